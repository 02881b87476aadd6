"""Limits: requests that are too large, too slow, abandoned, or too many at once."""

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from resight.web import MIB, security
from resight.web.queues import RequestQueue
from resight.web.security import SMALL_BODY
from web_server import V1, Running, checked, running


@pytest.fixture(scope="module")
def server(few_collection: Path) -> Iterator[Running]:
    with running(few_collection, max_upload_bytes=8 * MIB) as started:
        yield started


@pytest.fixture
def jpeg(few_photos: Path) -> bytes:
    return (few_photos / "object-01" / "view-1.jpg").read_bytes()


def raw(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def head(port: int, **headers: str) -> bytes:
    lines = [f"POST {V1}/search HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


FORM = {"Content_Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


def test_a_large_upload_is_refused_before_any_of_it_is_read(server):
    with raw(server.port) as connection:
        connection.sendall(head(server.port, **FORM, Content_Length=str(200_000_000)))
        # Not one byte of the body was sent, and the answer is there.
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 413
        problem = json.loads(response.read(int(response.headers["content-length"])))
    assert "8 MiB" in problem["detail"]


def test_a_client_that_sends_a_large_upload_anyway_sees_the_refusal(server):
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


def test_broken_connections_leave_nothing_open(server, jpeg):
    def open_files() -> int:
        return len(psutil.Process().open_files())

    before = open_files()
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
    assert open_files() <= before + 1


def test_a_client_that_leaves_while_waiting_is_dropped(few_collection, jpeg):
    with running(few_collection, max_waiting=4) as server:
        release, queue = blocked(server)
        body = PART + jpeg + b'\r\n--x\r\nContent-Disposition: form-data; name="box"\r\n\r\n'
        body += b"3,3,99,99\r\n--x--\r\n"
        with raw(server.port) as connection:
            connection.sendall(head(server.port, **FORM, Content_Length=str(len(body))) + body)
            wait_until(lambda: queue.waiting == 1)
        wait_until(lambda: queue.waiting == 0)  # dropped, though no search has ended meanwhile
        release()
        assert server.search(photo=1)["total"] == 6


def test_a_stalled_upload_is_aborted(few_collection, monkeypatch):
    monkeypatch.setattr(security, "DRAIN_S", 0.2)
    with running(few_collection, body_timeout_s=0.5) as server, raw(server.port) as connection:
        connection.sendall(head(server.port, **FORM, Content_Length="5000000") + PART)
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 408
        assert response.headers["content-type"] == "application/problem+json"
        assert server.search(photo=1)["total"] == 6


def blocked(server: Running) -> tuple[Callable[[], list[httpx.Response]], RequestQueue]:
    """Block the server's search threads; return a function that releases them, and the queue."""
    released, busy = threading.Event(), threading.Barrier(3)
    queue = server.state.search_queue
    search_photos = server.state.service.search_photos

    def slow(*arguments, **options):
        if threading.current_thread().name.startswith("resight-search"):
            if not released.is_set():
                busy.wait(30)
            released.wait(30)
        return search_photos(*arguments, **options)

    server.state.service.search_photos = slow  # type: ignore[method-assign]
    client = httpx.Client(base_url=server.url, timeout=60, trust_env=False)
    responses: list[httpx.Response] = []

    def send(n: int) -> None:
        responses.append(client.post(f"{V1}/search", json={"photo": 1, "box": f"0,0,9,{n}"}))

    threads = [threading.Thread(target=send, args=(n,)) for n in (50, 60)]
    for thread in threads:
        thread.start()
    busy.wait(30)

    def release() -> list[httpx.Response]:
        released.set()
        for thread in threads:
            thread.join()
        client.close()
        return responses

    return release, queue


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_too_many_searches_at_once_get_a_time_to_retry(few_collection):
    with running(few_collection, max_waiting=2) as server:
        release, queue = blocked(server)
        responses: list[httpx.Response] = []

        def send(n: int) -> None:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                body = {"photo": 2, "box": f"0,0,90,{n}"}
                responses.append(client.post(f"{V1}/search", json=body))

        threads = [threading.Thread(target=send, args=(90 + n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: queue.waiting == 2)
        refused = server.client.post(f"{V1}/search", json={"photo": 3, "box": "0,0,90,90"})
        checked(refused, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        # Requests without the network are not delayed.
        assert server.search(photo=1)["total"] == 6
        assert server.client.get(f"{V1}/photos/1/thumbnail").status_code == 200
        release()
        for thread in threads:
            thread.join()
        assert [response.status_code for response in responses] == [200, 200]
        assert server.search(photo=3, box="0,0,90,90")["total"] == 6


def test_a_stopping_server_refuses_waiting_and_finishes_running_searches(few_collection):
    with running(few_collection) as server:
        release, queue = blocked(server)
        responses: list[httpx.Response] = []

        def send() -> None:
            with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
                responses.append(client.post(f"{V1}/search", json={"photo": 2, "box": "0,0,9,9"}))

        thread = threading.Thread(target=send)
        thread.start()
        wait_until(lambda: queue.waiting == 1)
        server.state.stop()
        thread.join()
        checked(responses[0], 503)
        checked(server.client.post(f"{V1}/search", json={"photo": 3, "verify": 1}), 503)
        assert [response.status_code for response in release()] == [200, 200]


def test_too_many_uploads_at_once(few_collection, jpeg):
    with running(few_collection, max_uploads=2) as server:
        with raw(server.port) as first, raw(server.port) as second:
            for connection in (first, second):
                connection.sendall(head(server.port, **FORM, Content_Length="50000") + PART)
            wait_until(lambda: server.state.active_uploads.running == 2)
            server.upload(jpeg, status=429)
        wait_until(lambda: server.state.active_uploads.running == 0)
        assert server.upload(jpeg)["total"] == 6


def test_too_many_requests_at_once_are_refused(few_collection):
    with running(few_collection, max_requests=2) as server:
        release, _ = blocked(server)
        refused = server.client.get(f"{V1}/health")
        assert "Too many requests" in checked(refused, 503)["detail"]
        assert refused.headers["retry-after"] == "2"
        assert [response.status_code for response in release()] == [200, 200]
        assert server.client.get(f"{V1}/health").status_code == 200


def test_too_many_connections_are_closed(few_collection):
    with running(few_collection, max_requests=2) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(raw(server.port)) for _ in range(8)]
        wait_until(lambda: sum(is_closed(connection) for connection in connections) >= 5)
        for connection in connections:
            connection.close()
        assert server.search(photo=1)["total"] == 6


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
