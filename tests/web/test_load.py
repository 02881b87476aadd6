"""Load: clients that are slow or many, a stop under load, and what must not stay on the disk."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from resight.backends.manage import remove
from resight.indexing import pipeline
from resight.web import scratch
from resight.web.pictures import Thumbnails
from resight.web.scratch import Scratch, remove_abandoned
from served import Served
from web_server import V1, Running, checked, ids_of, running

GET = f"GET {V1}/health HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()


def closed_after(connection: socket.socket, trickle: bytes, limit_s: float = 5.0) -> float:
    """Send a byte every now and then; return the seconds until the server closes."""
    started = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - started < limit_s:
        try:
            connection.sendall(trickle)
            if not connection.recv(1 << 16):
                return time.monotonic() - started
        except TimeoutError:
            continue
        except OSError:
            return time.monotonic() - started
    pytest.fail("the connection is still open")


def connect(server: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


@pytest.fixture(scope="module")
def server(few_collection: Path) -> Iterator[Running]:
    """Start a server with short limits of time."""
    limits = {"header_timeout_s": 0.5, "body_timeout_s": 0.5, "read_timeout_s": 0.5}
    with running(few_collection, **limits) as started:
        yield started


@pytest.mark.parametrize("sent", [b"", b"G", GET, GET + b"X-A: " + b"b" * 2000])
def test_headers_that_do_not_end_close_the_connection(server, sent):
    connections = [connect(server) for _ in range(20)]
    for connection in connections:
        connection.sendall(sent)
    assert server.client.get(f"{V1}/health").status_code == 200
    trickle = b"x" if sent else b""
    seconds = [closed_after(connection, trickle) for connection in connections[:3]]
    assert 0.2 < seconds[0] < 3
    for connection in connections[3:]:
        assert closed_after(connection, b"") < 1
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("ahead", [b"", GET])
def test_headers_of_a_second_request_have_the_same_limit(server, ahead):
    with connect(server) as connection:
        connection.sendall(GET + b"\r\n" + ahead)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        connection.sendall(GET if not ahead else b"X")
        assert 0.1 < closed_after(connection, b"x") < 3


def test_a_body_that_trickles_in_is_refused(server):
    with connect(server) as connection:
        head = f"POST {V1}/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: 500\r\n\r\n{{".encode())
        started, received = time.monotonic(), b""
        connection.settimeout(0.05)
        while b"408" not in received:
            assert time.monotonic() - started < 5
            connection.sendall(b" ")
            try:
                received += connection.recv(1 << 16)
            except TimeoutError:
                continue
        assert time.monotonic() - started > 0.4


def test_a_body_that_comes_steadily_may_take_longer(server, few_photos):
    data = (few_photos / "object-01" / "view-1.jpg").read_bytes()
    started = time.monotonic()

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        for block in range(0, len(data), 1 + len(data) // 8):
            time.sleep(0.1)
            yield data[block : block + 1 + len(data) // 8]
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = server.client.post(f"{V1}/search", content=form(), headers=headers)
    assert checked(response, 200)["total"] == 6
    assert time.monotonic() - started > 0.7


@pytest.mark.skipif(os.name != "posix", reason="open files as on POSIX")
def test_a_client_that_does_not_read_is_cut_off(own):
    path = own.photos / "object-01" / "view-1.jpg"
    with path.open("ab") as file:  # what follows a JPEG does not matter
        file.truncate(30 << 20)
    pipeline.index([own.photos], own.collection)
    id_ = ids_of(own.collection)[str(path)]
    with running(own.collection, read_timeout_s=0.5) as server, connect(server) as connection:
        connection.sendall(GET.replace(b"health", f"photos/{id_}/original".encode()) + b"\r\n")
        deadline = time.monotonic() + 5
        seen = False
        while not seen or str(path) in {file.path for file in psutil.Process().open_files()}:
            seen = seen or connection.recv(1000, socket.MSG_PEEK).startswith(b"HTTP/1.1 200")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        received = 0
        with contextlib.suppress(ConnectionError):
            while block := connection.recv(1 << 20):
                received += len(block)
        assert received < 30 << 20


@pytest.fixture
def alone(few_collection: Path, tmp_path: Path) -> Iterator[Served]:
    """Start a server in its own process, with a folder for temporary files of its own."""
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    collection = shutil.copytree(few_collection, tmp_path / "collection")
    started = Served(collection, environment=environment, shutdown_s=2)
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


async def ask_all(port: int, requests: list[bytes]) -> list[int]:
    """Send all requests at the same time, each on a connection of its own; return the statuses."""

    async def ask(request: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        status = int((await reader.readline()).split()[1])
        await reader.read()
        writer.close()
        return status

    return await asyncio.gather(*(ask(request) for request in requests))


def requests_of(count: int) -> list[bytes]:
    """Return searches by photos and by their regions, thumbnails, originals and lists."""
    bodies = []
    for n in range(count):
        photo = 1 + n % 6
        region = f', "box": "{n % 50},{n // 50},99,99"' if n % 5 == 1 else ""
        body = f'{{"photo": {photo}{region}}}'
        places = {2: f"photos/{photo}/thumbnail", 3: f"photos/{photo}/original", 4: "photos"}
        line = f"GET {V1}/{places[n % 5]}" if n % 5 in places else f"POST {V1}/search"
        sized = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        head = f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        bodies.append(f"{head}{sized}\r\n{body}" if "POST" in line else f"{head}\r\n")
    return [body.encode() for body in bodies]


@pytest.mark.skipif(os.name != "posix", reason="open files as on POSIX")
@pytest.mark.slow
@pytest.mark.parametrize("clients", [150, pytest.param(500, marks=pytest.mark.exhaustive)])
def test_many_clients_at_once_are_all_answered(alone, clients):
    port = int(alone.url.rsplit(":", 1)[1].strip("/"))
    process = psutil.Process(alone.process.pid)
    asyncio.run(ask_all(port, requests_of(20)))
    before = process.num_fds()
    statuses = Counter(asyncio.run(ask_all(port, requests_of(clients))))
    assert set(statuses) <= {200, 429, 503}
    assert statuses[200] > clients / 10
    with httpx.Client(base_url=alone.url, timeout=60, trust_env=False) as client:
        assert client.post(f"{V1}/search", json={"photo": 1}).json()["total"] == 6
    deadline = time.monotonic() + 10
    while process.num_fds() > before + 6:  # a few more threads may have opened the database
        assert time.monotonic() < deadline, process.open_files()
        time.sleep(0.1)


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.slow
def test_sigterm_ends_a_server_under_load(alone, tmp_path):
    port = int(alone.url.rsplit(":", 1)[1].strip("/"))
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, IndexError):  # the server has gone
                asyncio.run(ask_all(port, requests_of(20)))

    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for connection in idle[:10]:
        connection.sendall(GET)  # headers that never end
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    status = alone.stop(signal.SIGTERM)
    seconds = time.monotonic() - started
    stop.set()
    for thread in threads:
        thread.join()
    for connection in idle:
        connection.close()
    assert seconds < 10
    assert status == -signal.SIGTERM, alone.output  # and not 1: no request hung
    assert not temporary(tmp_path)
    assert "Traceback" not in alone.output


def temporary(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "temporary").glob(f"{scratch.PREFIX}*"))


def send_upload(url: str, photo: Path) -> None:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        files = {"file": photo.read_bytes()}
        assert client.post(f"{V1}/search", files=files).status_code == 200


def test_uploads_of_a_killed_server_are_removed_by_the_next(
    alone, few_photos, tmp_path, monkeypatch
):
    send_upload(alone.url, few_photos / "object-01" / "view-1.jpg")
    (left,) = temporary(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    remove_abandoned()
    assert len(list(left.iterdir())) == 2  # the server runs: its upload, and the lock
    alone.stop(signal.SIGKILL)
    assert left.exists()
    with running(tmp_path / "collection"):
        deadline = time.monotonic() + 10
        while left.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_only_what_is_surely_abandoned_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    used, other = Scratch(), tmp_path / "other"
    (used.path() / "upload").touch()
    (other / "folder").mkdir(parents=True)
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(other)
    (tmp_path / f"{scratch.PREFIX}starting").mkdir()  # without its lock yet
    old = tmp_path / f"{scratch.PREFIX}old"
    old.mkdir()
    os.utime(old, (1, 1))
    remove_abandoned()
    assert (used.path() / "upload").exists()
    assert (other / "folder").exists()
    assert (tmp_path / f"{scratch.PREFIX}starting").exists()
    assert not old.exists()
    folder = used.path()
    used.close()
    assert not folder.exists()


def thumbnails(collection: Path) -> set[str]:
    return {path.stem for path in (collection / "thumbnails").glob("*/*.jpg")}


def test_thumbnails_of_removed_photos_are_deleted(own):
    entries = own.server.get("/photos")["photos"]
    for entry in entries:
        own.server.client.get(f"{V1}/photos/{entry['id']}/thumbnail")
    assert len(thumbnails(own.collection)) == 6
    body = {"action": "remove", "photos": [1]}
    job = checked(own.server.client.post(f"{V1}/jobs", json=body), 202)["id"]
    while own.server.get(f"/jobs/{job}")["state"] == "running":
        time.sleep(0.01)
    present = {entry["version"] for entry in own.server.get("/photos")["photos"]}
    assert {name[:16] for name in thumbnails(own.collection)} == present
    assert len(present) == 5


def test_thumbnails_are_deleted_without_a_server_and_at_its_next_start(own):
    for id_ in range(1, 7):
        own.server.client.get(f"{V1}/photos/{id_}/thumbnail")
    assert len(thumbnails(own.collection)) == 6
    remove([own.photos / "clutter"], own.collection)
    assert len(thumbnails(own.collection)) == 3
    left = own.collection / "thumbnails" / "00" / f"{'0' * 64}.jpg"  # a kill came in between
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"of a photo that was removed")
    with running(own.collection):
        deadline = time.monotonic() + 10
        while left.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(thumbnails(own.collection)) == 3


def test_forgetting_thumbnails_asks_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("resight.web.pictures.FORGET_BATCH", 2)
    for number in range(5):
        path = tmp_path / "thumbnails" / f"{number}{number}" / f"{str(number) * 64}.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"jpeg")
    cached, asked = Thumbnails(tmp_path, 10**6), []

    def is_known(contents: list[str]) -> set[str]:
        asked.append(len(contents))
        return {content for content in contents if content[0] in "13"}

    cached.forget(is_known)
    assert asked == [2, 2, 1]
    assert thumbnails(tmp_path) == {"1" * 64, "3" * 64}
    assert cached.stored_bytes == 8
