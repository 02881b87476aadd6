"""`serve` in its own process: it starts, prints its address, finishes requests, stops."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from resight.collection import Collection
from served import SERVE, Served
from web_server import V1, make_sift_collection

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def served(few_collection: Path) -> Iterator[Served]:
    server = Served(few_collection)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


def test_it_prints_its_address_and_stops_on_ctrl_c(served, few_collection):
    assert httpx.get(f"{served.url}api/v1/health", trust_env=False).status_code == 200
    assert served.stop() == 0
    lines = served.output.splitlines()
    assert lines[0] == f"serving {few_collection} at {served.url} (stop with Ctrl-C)"
    assert lines[-1] == "stopped"
    assert "Traceback" not in served.output
    assert not list(few_collection.glob("*.sqlite-wal"))


HANGING_DISK = """
import threading
from resight.web import app_state, photo_routes
app_state.PICTURE_LIMIT_S = 0.5
photo_routes.full_photo = lambda *arguments: threading.Event().wait()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_disk_that_hangs_neither_blocks_requests_nor_the_end(few_collection):
    server = Served(few_collection, HANGING_DISK, shutdown_s=1)
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False) as client:
        photo = client.get(f"{V1}/photos").json()["photos"][0]["id"]
        response = client.get(f"{V1}/photos/{photo}/original")
        assert (response.status_code, response.json()["detail"]) == (
            503,
            "The file could not be read in time; is its disk still connected?",
        )
        assert client.get(f"{V1}/health").status_code == 200
    started = time.monotonic()
    assert server.stop(signal.SIGTERM) == 1
    assert time.monotonic() - started < 10
    assert server.output.splitlines()[-1] == "stopped, although a request did not end"


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_running_requests_are_finished_when_it_stops(served, few_photos):
    client = httpx.Client(base_url=served.url, timeout=60, trust_env=False)
    query = (few_photos / "object-01" / "view-1.jpg").read_bytes()
    responses: list[httpx.Response] = []

    def send() -> None:
        fields = {"verify": "6", "box": "0,0,479,479"}
        responses.append(client.post(f"{V1}/search", files={"file": query}, data=fields))

    thread = threading.Thread(target=send)
    thread.start()
    deadline = time.monotonic() + 30
    while "uploads_stored_bytes 0.0" in httpx.get(f"{served.url}metrics", trust_env=False).text:
        assert time.monotonic() < deadline
    status = served.stop(signal.SIGTERM)  # while it verifies six photos
    thread.join()
    client.close()
    assert responses[0].status_code == 200
    assert len(responses[0].json()["results"]) == 6
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in served.output


def test_a_job_stops_cleanly_with_the_server_and_notifies_its_follower(few_photos, tmp_path):
    photos = shutil.copytree(few_photos, tmp_path / "photos")
    folder = make_sift_collection(tmp_path / "collection", photos)
    original = (photos / "object-01" / "view-1.jpg").read_bytes()
    for number in range(300):
        (photos / "clutter" / f"more-{number}.jpg").write_bytes(
            original + bytes([number % 256]) * 9
        )
    server = Served(folder)
    lines: list[str] = []
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        job = client.post(f"{V1}/jobs", json={"action": "index"}).json()["id"]
        with client.stream("GET", f"{V1}/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                lines.append(line)
                if line.startswith("event: progress") and lines.count(line) == 1:
                    server.process.send_signal(signal.SIGINT)
    _, output = server.process.communicate(timeout=60)
    assert server.process.returncode == 0, output
    assert "event: failed" in lines
    assert any("stopped" in line for line in lines)
    with Collection.open(folder) as opened:
        assert opened.count("failed") == 0
        assert 6 < opened.count("ok") < 306


def test_the_address_contains_the_token(few_collection):
    server = Served(few_collection, token=TOKEN)
    assert server.url.endswith(f"/?token={TOKEN}")
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        page = client.get(server.url)
        assert page.status_code == 200
        assert TOKEN not in str(page.url)
    assert server.stop() == 0


def test_a_public_address_without_a_token_is_refused_at_the_start(few_collection):
    server = Served(few_collection, host="0.0.0.0", token=None)
    _, output = server.process.communicate(timeout=60)
    assert server.process.returncode != 0
    assert "UsageError" in output
    assert "token" in output


def test_without_the_extra_the_error_says_what_to_install(few_collection):
    hide = "import sys; sys.modules['fastapi'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", hide + SERVE, str(few_collection), "{}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "MissingExtraError: serve needs an extra: pip install 'resight[web]'" in done.stderr
