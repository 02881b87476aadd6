"""What the HTTP interface makes of everything that should not come: it refuses, and goes on."""

import contextlib
import http.client
import io
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from resight.errors import CollectionError, UsageError
from resight.methods.model import ModelOptions
from resight.web.limits import SMALL_BODY, RequestQueue
from resight.web.security import SECURITY_HEADERS
from resight.web.server import serve
from resight.web.settings import MIB, WebSettings, is_allowed_host
from web_server import V1, Running, checked, make_photos, make_sift_collection, running

TOKEN = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("web") / "photos", objects=1)


@pytest.fixture(scope="module")
def collection(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sift_collection(tmp_path_factory.mktemp("web") / "collection", photos)


@pytest.fixture(scope="module")
def one(collection: Path) -> Iterator[Running]:
    with running(collection, max_pixels=4_000_000, max_upload_bytes=8 * MIB) as started:
        yield started


@pytest.fixture
def server(one: Running) -> Iterator[Running]:
    """After each test the server still answers, and has forgotten nothing it must not."""
    yield one
    assert one.search(photo=1, k=3)["results"][0]["id"] == 1
    assert one.state.active_uploads.running == 0
    assert one.state.search_queue.waiting == 0


@pytest.fixture
def jpeg(photos: Path) -> bytes:
    return (photos / "object-01" / "view-1.jpg").read_bytes()


def png_bomb(width: int, height: int) -> bytes:
    """A few bytes that say they are a picture of any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


# Photos that are none


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 415, "empty"),
        (b"no photo at all", 415, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
        (png_bomb(50_000, 50_000), 413, "50000 x 50000 pixels"),
        (png_bomb(2_000, 2_001), 413, "2000 x 2001 pixels"),
        (png_bomb(2_000, 1_000), 422, "cannot be read"),
    ],
    ids=["empty", "text", "svg", "postscript", "bomb", "a little too large", "damaged"],
)
def test_what_is_no_photo(server, data, status, said):
    assert said in server.upload(data, status=status)["detail"]


def test_truncated_photo(server, jpeg):
    assert "truncated" in server.upload(jpeg[: len(jpeg) // 2], status=422)["detail"]


def test_the_content_decides_whatever_the_header_says(server, jpeg):
    for name, kind in [("a.png", "image/png"), ("../../x", "text/html"), ("", "application/json")]:
        files = {"file": (name or "x", jpeg, kind)}
        answer = checked(server.client.post(f"{V1}/search", files=files), 200)
        assert answer["results"][0]["distance"] == 0
    gif = io.BytesIO()
    Image.new("RGB", (9, 9)).save(gif, "GIF")
    files = {"file": ("a.jpg", gif.getvalue(), "image/jpeg")}
    answer = checked(server.client.post(f"{V1}/search", files=files), 200)
    kept = server.client.get(f"{V1}/uploads/{answer['query']['upload']}")
    assert kept.headers["content-type"] == "image/gif"


# Values that cannot be


@pytest.mark.parametrize(
    "box",
    ["0,0,641,1", "639,479,2,1", "0,0,0,5", "5,5,5,0", "640,0,1,1", "1,2,3", "a,b,c,d", "",
     "1,1,9999999,1", "-1,0,5,5", "1.5,0,5,5", "0,0,5,5,5", "0, 0, 5, 5", "٣,0,5,5"],
)  # fmt: skip
def test_boxes_that_cannot_be(server, jpeg, box):
    problem = server.upload(jpeg, status=422, box=box)
    assert "box" in problem["detail"].lower()
    server.search(photo=4, box=box, status=422)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"k": 0}, "k:"),
        ({"k": 1001}, "k:"),
        ({"k": "many"}, "k:"),
        ({"k": "1e3"}, "k:"),
        ({"offset": -1}, "offset:"),
        ({"limit": "nan"}, "limit:"),
        ({"limit": "inf"}, "limit:"),
        ({"limit": -0.5}, "limit:"),
        ({"verify": 51}, "verify:"),
        ({"colour": "red"}, "colour:"),
        ({"url": "x"}, "url:"),
        ({"under": "photos"}, "under:"),
        ({"under": "~/photos"}, "under:"),
        ({"under": ""}, "under:"),
        ({"under": "/photos\0/x"}, "under:"),
        ({"taken_from": "yesterday"}, "taken_from:"),
        ({"taken_from": "2020-01-01T00:00:00Z"}, "taken_from:"),
        ({"taken_from": "0000"}, "There is no time"),
        ({"taken_before": "2020-02-30"}, "There is no time"),
        ({"min_side": 0}, "min_side:"),
        ({"min_side": 10**7}, "min_side:"),
    ],
)
def test_options_that_cannot_be(server, jpeg, fields, said):
    assert said in server.upload(jpeg, status=422, **fields)["detail"]


@pytest.mark.parametrize(
    "body",
    [{}, [], 7, "photo", {"photo": "1"}, {"photo": True}, {"photo": 0}, {"photo": 2**63},
     {"photo": 1, "upload": "x"}, {"photo": 1, "k": "3"}, {"photo": 1, "box": [1, 2, 3, 4]},
     {"photo": 1, "more": 1}, {"photo": 1.5}, {"photo": 1, "min_side": "3"},
     {"photo": 1, "min_side": True}, {"photo": 1, "taken_from": 2020}, {"photo": 1, "under": 7},
     {"photo": 1, "under": "/" + 4096 * "x"}],
)  # fmt: skip
def test_json_that_cannot_be(server, body):
    checked(server.client.post(f"{V1}/search", json=body), 422)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b'{"photo": "\xff"}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"photo": 1}', "text/plain", 415),
        (b'{"photo": 1}', "image/jpeg", 415),
        (b'{"photo": 1}', "", 415),
        (b"photo=1", "application/x-www-form-urlencoded", 415),
        (b"no parts", "multipart/form-data", 400),
        (b"no parts", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc\r\n--x--\r\n",
         "multipart/form-data; boundary=x", 422),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be(server, content, kind, status):
    headers = {"Content-Type": kind} if kind else {}
    answer = server.client.post(f"{V1}/search", content=content, headers=headers)
    checked(answer, status)


def test_forms_with_too_much_in_them(server, jpeg):
    photo = ("photo.jpg", jpeg, "image/jpeg")
    post = server.client.post
    checked(post(f"{V1}/search", files=[("file", photo), ("file", photo)]), 400)
    many = {f"field{n}": "x" for n in range(40)}
    checked(post(f"{V1}/search", files={"file": photo}, data=many), 400)
    checked(post(f"{V1}/search", files={"file": photo}, data={"box": "1" * 10_000}), 400)
    checked(post(f"{V1}/search", files={"file": photo}, data={"k": ["3", "4"]}), 422)


def test_unknown_names(server):
    server.search(photo=999, status=404)
    server.search(upload="nothing-of-that-name", status=404)
    for path in ("/photos/999", "/photos/999/thumbnail", "/photos/999/original", "/jobs/none",
                 "/jobs/none/events", "/uploads/none", "/nothing", "/"):  # fmt: skip
        server.get(path, status=404)
    checked(server.client.post(f"{V1}/jobs", json={"action": "remove", "photos": [999]}), 404)
    checked(server.client.put(f"{V1}/search"), 405)
    checked(server.client.post("/"), 405)


@pytest.mark.parametrize(
    "body",
    [{"action": "format"}, {"action": "remove"}, {"action": "remove", "photos": []},
     {"action": "index", "photos": [1]}, {"action": "index", "folders": ["relative"]},
     {"action": "index", "folders": ["/no/such/folder"]}, {"action": "index", "folders": ["/\0"]},
     {"action": "index", "folders": [""]}, {"action": "remove", "photos": [1], "folders": ["/"]}],
)  # fmt: skip
def test_jobs_that_cannot_be(server, body):
    answer = server.client.post(f"{V1}/jobs", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert not server.state.jobs.running


def test_addresses_are_fetched_only_where_that_is_allowed(server):
    server.search(url="http://127.0.0.1/photo.jpg", status=403)


def test_addresses_of_this_machine_are_never_fetched(collection, server):
    with running(collection, allow_urls=True) as other:
        port = server.port
        for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/static/icon.svg",
                    f"http://[::1]:{port}/", "http://10.0.0.1/", "http://169.254.169.254/latest",
                    "http://0.0.0.0/", f"http://[::ffff:127.0.0.1]:{port}/", "http://0x7f.1/",
                    "file:///etc/passwd", "ftp://example.org/", "http://", "http://user@127.0.0.1/",
                    "nonsense", "http://127.0.0.1:99999/", "http://\r\nHost: x/"):  # fmt: skip
            other.search(url=url, status=422)


# Paths


@pytest.mark.parametrize("root", ["", "/static", f"{V1}/photos", f"{V1}/uploads", f"{V1}/jobs", V1])
@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd",
     "/..%5c..%5cetc%5cpasswd", "/%252e%252e%252fetc%252fpasswd", "//etc/passwd",
     "/%2fetc%2fpasswd",
     "/../app.py", "/..%2fapp.py", "/%00", "/a%00.js", "/main.js%00", "/%ff%fe", "/./main.js/..",
     "/1/../../../etc/passwd", "/1%2f..%2f..%2foriginal"],
)  # fmt: skip
def test_no_path_leads_out(server, root, path):
    # As it is written: httpx would tidy it up.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("GET", root + path)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"root:" not in body
    assert b"import" not in body


def test_file_names_and_tokens_are_no_paths_either(server, jpeg):
    for name in ("../../../evil.jpg", "/etc/evil", "..\\evil", "a\0b", "x" * 5000):
        files = {"file": (name, jpeg)}
        assert server.client.post(f"{V1}/search", files=files).status_code in (200, 400)
    for token in ("../../../etc/passwd", "/etc/passwd", "..", ".", "\0"):
        server.search(upload=token, status=404)
    assert not list(Path.cwd().rglob("evil*"))


# Too large, too slow, gone, too many


def raw(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def head(port: int, **headers: str) -> bytes:
    lines = [f"POST {V1}/search HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


FORM = {"Content_Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


def test_200_mb_are_refused_before_any_of_it_is_read(server):
    with raw(server.port) as connection:
        connection.sendall(head(server.port, **FORM, Content_Length=str(200_000_000)))
        # Not one byte of the body was sent, and the answer is there.
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 413
        problem = json.loads(answer.read(int(answer.headers["content-length"])))
    assert "8 MiB" in problem["detail"]


def test_a_client_that_sends_200_mb_all_the_same_gets_to_see_the_refusal(server):
    memory = psutil.Process()
    before = memory.memory_info().rss
    block = bytes(1 << 20)

    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield block

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    sized = {**headers, "Content-Length": str(200 << 20)}
    checked(server.client.post(f"{V1}/search", content=body(), headers=sized), 413)

    def form() -> Iterator[bytes]:
        yield PART
        yield from body()

    checked(server.client.post(f"{V1}/search", content=form(), headers=headers), 413)
    assert memory.memory_info().rss - before < 60e6


def test_just_over_the_limit(server, jpeg):
    over = jpeg + bytes(8 * MIB - len(jpeg) + 1)
    assert "8 MiB" in server.upload(over, status=413)["detail"]
    assert server.upload(over[:-1])["total"] == 6  # what follows a JPEG does not matter
    small = server.client.post(
        f"{V1}/jobs", content=bytes(SMALL_BODY + 1), headers={"Content-Type": "application/json"}
    )
    assert "1 MiB" in checked(small, 413)["detail"]


def test_cut_connections_cost_nothing(server, jpeg):
    def kept() -> int:
        return len(psutil.Process().open_files())

    before = kept()
    for data in (b"", PART[:20], PART, PART + jpeg[:5000], PART + bytes(3 << 20)):
        with raw(server.port) as connection:
            connection.sendall(head(server.port, **FORM, Content_Length="5000000") + data)
            time.sleep(0.05)
    with raw(server.port) as connection:  # reset instead of an orderly end
        connection.sendall(head(server.port, **FORM, Content_Length="5000000") + PART)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deadline = time.monotonic() + 20
    while server.state.active_uploads.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.state.active_uploads.running == 0
    assert kept() <= before + 1


def test_a_client_that_leaves_while_it_waits_is_not_served(collection, jpeg):
    with running(collection, max_waiting=4) as server:
        release, gate = blocked(server)
        body = PART + jpeg + b'\r\n--x\r\nContent-Disposition: form-data; name="box"\r\n\r\n'
        body += b"3,3,99,99\r\n--x--\r\n"
        with raw(server.port) as connection:
            connection.sendall(head(server.port, **FORM, Content_Length=str(len(body))) + body)
            wait_until(lambda: gate.waiting == 1)
        wait_until(lambda: gate.waiting == 0)  # given up, though nothing was served meanwhile
        release()
        assert server.search(photo=1)["total"] == 6


def test_a_stalled_upload_is_given_up(collection):
    with running(collection, upload_timeout_s=0.5) as server, raw(server.port) as connection:
        connection.sendall(head(server.port, **FORM, Content_Length="5000000") + PART)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 408
        assert answer.headers["content-type"] == "application/problem+json"
        assert server.search(photo=1)["total"] == 6


def blocked(server: Running) -> tuple[Callable[[], list[httpx.Response]], RequestQueue]:
    """Keep the server's searching threads busy until told otherwise; returns their answers."""
    released, busy = threading.Event(), threading.Barrier(3)
    gate = server.state.search_queue
    answer = server.state.service.searching

    @contextlib.contextmanager
    def slow():
        if threading.current_thread().name.startswith("resight-search"):
            if not released.is_set():
                busy.wait(30)
            released.wait(30)
        with answer() as searcher:
            yield searcher

    server.state.service.searching = slow  # type: ignore[method-assign]
    client = httpx.Client(base_url=server.url, timeout=60, trust_env=False)
    answers: list[httpx.Response] = []

    def ask(n: int) -> None:
        answers.append(client.post(f"{V1}/search", json={"photo": 1, "box": f"0,0,9,{n}"}))

    threads = [threading.Thread(target=ask, args=(n,)) for n in (50, 60)]
    for thread in threads:
        thread.start()
    busy.wait(30)

    def release() -> list[httpx.Response]:
        released.set()
        for thread in threads:
            thread.join()
        client.close()
        return answers

    return release, gate


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_too_many_at_once_are_told_when_to_come_back(collection):
    with running(collection, max_waiting=2) as server:
        release, gate = blocked(server)
        answers: list[httpx.Response] = []

        def ask(n: int) -> None:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                body = {"photo": 2, "box": f"0,0,90,{n}"}
                answers.append(client.post(f"{V1}/search", json=body))

        threads = [threading.Thread(target=ask, args=(90 + n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: gate.waiting == 2)
        refused = server.client.post(f"{V1}/search", json={"photo": 3, "box": "0,0,90,90"})
        checked(refused, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        # What needs no network is not held up.
        assert server.search(photo=1)["total"] == 6
        assert server.client.get(f"{V1}/photos/1/thumbnail").status_code == 200
        release()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert server.search(photo=3, box="0,0,90,90")["total"] == 6


def test_when_the_server_stops_what_waits_is_refused_and_what_runs_is_finished(collection):
    with running(collection) as server:
        release, gate = blocked(server)
        answers: list[httpx.Response] = []

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                answers.append(client.post(f"{V1}/search", json={"photo": 2, "box": "0,0,9,9"}))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: gate.waiting == 1)
        server.state.stop()
        thread.join()
        checked(answers[0], 503)
        checked(server.client.post(f"{V1}/search", json={"photo": 3, "verify": 1}), 503)
        assert [answer.status_code for answer in release()] == [200, 200]


def test_too_many_uploads_at_once(collection, jpeg):
    with running(collection, max_uploads=2) as server:
        with raw(server.port) as one, raw(server.port) as two:
            for connection in (one, two):
                connection.sendall(head(server.port, **FORM, Content_Length="50000") + PART)
            wait_until(lambda: server.state.active_uploads.running == 2)
            server.upload(jpeg, status=429)
        wait_until(lambda: server.state.active_uploads.running == 0)
        assert server.upload(jpeg)["total"] == 6


# Who may ask


def test_missing_and_wrong_tokens(collection):
    with running(collection, token=TOKEN) as server:
        get = server.client.get
        right = {"Authorization": f"Bearer {TOKEN}"}
        wrong = [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN},
                 {"Authorization": f"Basic {TOKEN}"}, {"Cookie": f"token={TOKEN}"},
                 {"Authorization": "Bearer \xe9"},
                 {"Authorization": f"Bearer {TOKEN[:-1]}"}]  # fmt: skip
        paths = [f"{V1}/collection", f"{V1}/photos/1/original", f"{V1}/openapi.json", "/metrics",
                 "/static/main.js", f"{V1}/nothing"]  # fmt: skip
        for path in paths:
            for headers in wrong:
                encoded = {name: value.encode("latin-1") for name, value in headers.items()}
                answer = get(path, headers=encoded)
                checked(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
            assert get(path, headers=right).status_code == (404 if "nothing" in path else 200)
        body = {"action": "index"}
        checked(server.client.post(f"{V1}/jobs", json=body), 401)
        assert get(f"{V1}/health").status_code == 200
        page = get("/")
        assert page.status_code == 401
        assert TOKEN not in page.text
        assert get("/", params={"token": "wrong"}).status_code == 401


def test_the_address_with_the_token_is_exchanged_for_a_cookie(collection):
    with running(collection, token=TOKEN) as server:
        answer = server.client.get("/", params={"token": TOKEN, "x": "1"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?x=1"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert server.client.get("/").status_code == 200  # the client keeps cookies
        assert server.get("/collection")["photos"] == 6


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "",
     "10.1.2.3", "user@localhost", "localhost:80:80", "[::2]", "localhost/", "127.0.0.2"],
)  # fmt: skip
def test_names_that_are_not_the_servers(server, host):
    answer = server.client.get(f"{V1}/collection", headers={"Host": host})
    checked(answer, 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9", "127.0.0.1:1", "[::1]:5", "localhost."]
)
def test_names_that_are_the_servers(server, host):
    assert server.client.get(f"{V1}/health", headers={"Host": host}).status_code == 200


def test_hosts_of_a_server_on_all_addresses():
    everywhere = WebSettings(host="0.0.0.0", token=TOKEN, allowed_hosts=("photos.example",))
    for host in ("192.168.1.5:8765", "photos.example", "[fe80::1]:80", "localhost"):
        assert is_allowed_host(host, everywhere)
    for host in ("evil.example", "", "example"):
        assert not is_allowed_host(host, everywhere)


def test_pages_of_other_sites_cannot_ask(server):
    own = f"http://127.0.0.1:{server.port}"
    post, get = server.client.post, server.client.get
    refused = [{"Origin": "http://evil.example"}, {"Origin": "null"},
               {"Origin": f"http://127.0.0.1:{server.port + 1}"},
               {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
               {"Origin": own, "Sec-Fetch-Site": "cross-site"}]  # fmt: skip
    for headers in refused:
        checked(post(f"{V1}/search", json={"photo": 1}, headers=headers), 403)
        checked(post(f"{V1}/jobs", json={"action": "index"}, headers=headers), 403)
        checked(server.client.delete(f"{V1}/jobs/x", headers=headers), 403)
    checked(get(f"{V1}/photos/1/original", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    for headers in ({"Origin": own}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}, {}):
        assert post(f"{V1}/search", json={"photo": 1}, headers=headers).status_code == 200
    # A link on another site may lead to the page.
    assert get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert "access-control-allow-origin" not in get(f"{V1}/collection").headers


def test_every_answer_carries_the_security_headers(server, jpeg):
    client = server.client
    answers = [
        client.get("/"), client.get("/static/main.js"), client.get("/static/none"),
        client.get(f"{V1}/collection"), client.get(f"{V1}/photos/1/thumbnail"),
        client.get(f"{V1}/photos/1/original"), client.get(f"{V1}/photos/x"),
        client.get("/metrics"), client.get("/", headers={"Host": "evil.example"}),
        client.post(f"{V1}/search", files={"file": b"x"}), client.put(f"{V1}/search"),
        client.post(f"{V1}/search", json={"photo": 1}, headers={"Origin": "null"}),
        client.post(f"{V1}/jobs", content=bytes(SMALL_BODY + 9)),
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {200, 403, 404, 405, 413, 415, 421, 422}
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
        assert "server" not in answer.headers or "uvicorn" not in answer.text
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_a_failure_inside_is_a_problem_too_and_tells_nothing(collection, caplog):
    with running(collection) as server:

        def fail(token: str) -> None:
            raise RuntimeError("a secret of the inside")

        server.state.uploads.get = fail  # type: ignore[method-assign, assignment]
        answer = server.client.get(f"{V1}/uploads/abc")
        assert "secret" not in checked(answer, 500)["detail"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "a secret of the inside" in caplog.text
        assert server.search(photo=1)["total"] == 6


def test_others_on_the_network_learn_no_paths(collection, photos):
    with running(collection, host="0.0.0.0", token=TOKEN) as server:
        server.client.headers["Authorization"] = f"Bearer {TOKEN}"
        answers = [
            server.client.get(f"{V1}/photos/1"),
            server.client.get(f"{V1}/photos"),
            server.client.get(f"{V1}/collection"),
            server.client.post(f"{V1}/search", json={"photo": 1}),
            server.client.post(f"{V1}/jobs", json={"action": "index", "folders": [str(photos)]}),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 403]
        for answer in answers:
            assert str(photos.parent) not in answer.text
            assert str(collection.parent) not in answer.text


# Settings that cannot be


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"host": "0.0.0.0"}, "token"),
        ({"host": "::"}, "token"),
        ({"host": "192.168.1.5"}, "token"),
        ({"host": "example.org"}, "token"),
        ({"host": "0.0.0.0", "token": "short"}, "at least 16"),
        ({"token": "with space"}, "token"),
        ({"token": ""}, "token"),
        ({"port": 70000}, "port"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(UsageError, match=said):
        WebSettings(**settings)


def test_serving_what_is_no_collection_or_a_port_in_use(tmp_path, collection):
    with pytest.raises(CollectionError, match="no collection here"):
        serve(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}.*choose another"):
            serve(collection, settings=WebSettings(port=port), model=ModelOptions())
