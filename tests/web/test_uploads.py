"""Uploads, and photos fetched from web addresses: stored for a while, within limits."""

import http.server
import io
import threading
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from resight.web import WebSettings
from resight.web.problems import ProblemError
from resight.web.uploads import Uploads, fetch, is_public


def jpeg(side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 80).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    data = jpeg()
    settings = WebSettings(stored_bytes=3 * len(data) + 900, max_upload_bytes=1000, stored_s=1000)
    stored = Uploads(settings)
    yield stored
    stored.close()


def test_uploads_have_names_that_cannot_be_guessed(uploads):
    first = uploads.add(io.BytesIO(jpeg()))
    second = uploads.add(io.BytesIO(jpeg()))
    assert first.upload != second.upload
    assert len(first.upload) >= 24
    assert uploads.get(first.upload) == first
    assert first.size == (64, 64)


def test_the_least_recently_used_uploads_are_evicted(uploads):
    first = uploads.add(io.BytesIO(jpeg()))
    second = uploads.add(io.BytesIO(jpeg()))
    uploads.get(first.upload)
    for _ in range(2):
        last = uploads.add(io.BytesIO(jpeg()))
    assert uploads.get(first.upload).path.exists()
    assert uploads.get(last.upload).path.exists()
    with pytest.raises(ProblemError, match="no longer stored"):
        uploads.get(second.upload)
    assert not second.path.exists()
    assert uploads.stored_bytes == sum(p.stat().st_size for p in last.path.parent.iterdir())


def test_unused_uploads_expire():
    uploads = Uploads(WebSettings(stored_s=0.2))
    upload = uploads.add(io.BytesIO(jpeg()))
    assert uploads.get(upload.upload) == upload
    time.sleep(0.3)
    with pytest.raises(ProblemError, match="no longer stored"):
        uploads.get(upload.upload)
    assert not upload.path.exists()
    uploads.close()


def test_a_refused_upload_leaves_no_file(uploads):
    uploads.add(io.BytesIO(jpeg()))
    folder = uploads.add(io.BytesIO(jpeg())).path.parent
    before = sorted(folder.iterdir())
    with pytest.raises(ProblemError, match="not an image"):
        uploads.add(io.BytesIO(b"no photo"))
    assert sorted(folder.iterdir()) == before
    uploads.close()
    assert not folder.exists()


class Site(http.server.BaseHTTPRequestHandler):
    """A small web site."""

    def do_GET(self) -> None:
        if self.path.startswith("/loop"):
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path.startswith("/inside"):
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
        elif self.path.startswith("/photo"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bytes(5000))
        elif self.path.startswith("/moved"):
            self.send_response(301)
            self.send_header("Location", "photo?moved")
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def is_local(address: str) -> bool:
    return address == "127.0.0.1"


def test_fetching_follows_redirects_within_limits(site):
    for path in ("/photo", "/moved"):
        target = io.BytesIO()
        fetch(site + path, target, 5000, is_local)
        assert target.getvalue() == bytes(5000)
    with pytest.raises(ProblemError) as refused:
        fetch(f"{site}/photo", io.BytesIO(), 4999, is_local)
    assert refused.value.status == 413
    for path, detail in {
        "/loop": "redirects too often",
        "/none": "404",
        "/inside": "public",
    }.items():
        with pytest.raises(ProblemError, match=detail):
            fetch(site + path, io.BytesIO(), 5000, is_local)


def test_by_default_only_public_addresses_are_fetched(site):
    with pytest.raises(ProblemError, match="public"):
        fetch(f"{site}/photo", io.BytesIO(), 5000)
    for inside in ("127.0.0.1", "10.1.1.1", "192.168.0.1", "169.254.169.254", "::1", "fe80::1",
                   "fd00::1", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::ffff:10.0.0.1"):  # fmt: skip
        assert not is_public(inside)
    for outside in ("93.184.215.14", "2606:2800:220:1::1"):
        assert is_public(outside)
