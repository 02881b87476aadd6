"""The parts of the server by themselves: thumbnails, kept uploads, fetching, the queue."""

import http.server
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.collection.reader import Collection, Photo
from resight.web.app import STATIC
from resight.web.explain_routes import heat_overlay, mask_overlay
from resight.web.job_routes import indexed_folders
from resight.web.metrics import Metrics
from resight.web.pictures import FOLDER_NAME, Thumbnails
from resight.web.problems import ProblemError
from resight.web.schemas import display_path
from resight.web.settings import WebSettings
from resight.web.uploads import Uploads, fetch, is_public
from web_server import make_sift_collection

# Thumbnails


def photo_of(folder: Path, number: int, size: tuple[int, int] = (640, 480)) -> Photo:
    path = folder / f"{number}.jpg"
    Image.effect_noise(size, 80).convert("RGB").save(path)
    status = path.stat()
    content = f"{number:064x}"
    return Photo(number, path, status.st_size, status.st_mtime_ns, content, *size, "ok", None)


def on_disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in (folder / FOLDER_NAME).rglob("*") if p.is_file())


def test_thumbnails_are_bounded_and_the_least_recently_used_go(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(8)]
    one = len(Thumbnails(tmp_path, 10**9).get_or_create(photos[0])[0])
    shutil.rmtree(tmp_path / FOLDER_NAME)
    thumbnails = Thumbnails(tmp_path, int(4.5 * one))
    for photo in photos[:4]:
        thumbnails.get_or_create(photo)
    assert thumbnails.get(photos[0]) is not None  # used again: now 1 is the oldest
    thumbnails.get_or_create(photos[4])
    assert thumbnails.get(photos[1]) is None
    assert thumbnails.get(photos[0]) is not None
    for photo in photos:
        thumbnails.get_or_create(photo)
        assert on_disk(tmp_path) == thumbnails.stored_bytes <= 4.5 * one


def test_thumbnails_outlive_the_server_and_a_smaller_bound_is_kept(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(3)]
    before = Thumbnails(tmp_path, 10**9)
    made = [before.get_or_create(photo)[0] for photo in photos]
    for age, photo in enumerate(photos):
        path = tmp_path / FOLDER_NAME / photo.content[:2] / f"{photo.content}.jpg"
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / FOLDER_NAME / "abc.new").write_bytes(b"left by a kill")
    after = Thumbnails(tmp_path, 10**9)
    assert [after.get(photo) for photo in photos] == made
    for age, photo in enumerate(photos):
        path = tmp_path / FOLDER_NAME / photo.content[:2] / f"{photo.content}.jpg"
        os.utime(path, (1000 - age, 1000 - age))
    smaller = Thumbnails(tmp_path, len(made[0]) + len(made[1]))
    assert [smaller.get(photo) is not None for photo in photos] == [True, True, False]
    assert on_disk(tmp_path) == smaller.stored_bytes


def test_a_thumbnail_that_was_deleted_is_made_again(tmp_path):
    photo = photo_of(tmp_path, 1)
    thumbnails = Thumbnails(tmp_path, 10**9)
    data, _ = thumbnails.get_or_create(photo)
    shutil.rmtree(tmp_path / FOLDER_NAME)
    assert thumbnails.get(photo) is None
    assert thumbnails.stored_bytes == 0
    assert thumbnails.get_or_create(photo)[0] == data


@pytest.mark.parametrize("size", [(1, 1), (20_000, 30), (100, 50), (320, 321)])
def test_thumbnails_of_strange_sizes(tmp_path, size):
    data, as_indexed = Thumbnails(tmp_path, 10**9).get_or_create(photo_of(tmp_path, 1, size))
    assert as_indexed
    with Image.open(io.BytesIO(data)) as small:
        assert max(small.size) == min(320, max(size))
        assert min(small.size) >= 1


def test_thumbnails_made_by_many_threads_at_once(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(6)]
    thumbnails = Thumbnails(tmp_path, 40_000)
    problems = []

    def work() -> None:
        try:
            for _ in range(3):
                for photo in photos:
                    with Image.open(io.BytesIO(thumbnails.get_or_create(photo)[0])) as small:
                        small.load()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert on_disk(tmp_path) == thumbnails.stored_bytes <= 40_000


# Kept uploads


def jpeg(side: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 80).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    data = jpeg()
    kept = Uploads(WebSettings(kept_bytes=3 * len(data) + 900, max_upload_bytes=1000, kept_s=1000))
    yield kept
    kept.close()


def test_uploads_are_kept_under_names_that_cannot_be_guessed(uploads):
    kept = [uploads.add(io.BytesIO(jpeg())) for _ in range(2)]
    assert kept[0].token != kept[1].token
    assert all(len(one.token) >= 24 for one in kept)
    assert uploads.get(kept[0].token) == kept[0]
    assert (kept[0].width, kept[0].height) == (64, 64)


def test_uploads_are_bounded_in_bytes_and_the_least_recently_used_go(uploads):
    first, second = (uploads.add(io.BytesIO(jpeg())) for _ in range(2))
    uploads.get(first.token)
    for _ in range(2):
        last = uploads.add(io.BytesIO(jpeg()))
    assert uploads.get(first.token).path.exists()
    assert uploads.get(last.token).path.exists()
    with pytest.raises(ProblemError, match="no longer stored"):
        uploads.get(second.token)
    assert not second.path.exists()
    assert uploads.stored_bytes == sum(p.stat().st_size for p in last.path.parent.iterdir())


def test_uploads_are_bounded_in_time():
    kept = Uploads(WebSettings(kept_s=0.2))
    upload = kept.add(io.BytesIO(jpeg()))
    assert kept.get(upload.token) == upload
    time.sleep(0.3)
    with pytest.raises(ProblemError, match="no longer stored"):
        kept.get(upload.token)
    assert not upload.path.exists()
    kept.close()


def test_what_is_refused_leaves_nothing_behind(uploads):
    uploads.add(io.BytesIO(jpeg()))
    folder = uploads.add(io.BytesIO(jpeg())).path.parent
    before = sorted(folder.iterdir())
    with pytest.raises(ProblemError, match="not an image"):
        uploads.add(io.BytesIO(b"no photo"))
    assert sorted(folder.iterdir()) == before
    uploads.close()
    assert not folder.exists()


# Fetching


class Pages(http.server.BaseHTTPRequestHandler):
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
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def here(address: str) -> bool:
    return address == "127.0.0.1"


def test_fetching_follows_and_is_bounded(site):
    for path in ("/photo", "/moved"):
        target = io.BytesIO()
        fetch(site + path, target, 5000, here)
        assert target.getvalue() == bytes(5000)
    with pytest.raises(ProblemError) as refused:
        fetch(f"{site}/photo", io.BytesIO(), 4999, here)
    assert refused.value.status == 413
    for path, said in {"/loop": "redirects too often", "/none": "404", "/inside": "public"}.items():
        with pytest.raises(ProblemError, match=said):
            fetch(site + path, io.BytesIO(), 5000, here)


def test_by_default_only_public_addresses_are_fetched(site):
    with pytest.raises(ProblemError, match="public"):
        fetch(f"{site}/photo", io.BytesIO(), 5000)
    for inside in ("127.0.0.1", "10.1.1.1", "192.168.0.1", "169.254.169.254", "::1", "fe80::1",
                   "fd00::1", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::ffff:10.0.0.1"):  # fmt: skip
        assert not is_public(inside)
    for outside in ("93.184.215.14", "2606:2800:220:1::1"):
        assert is_public(outside)


# The rest


@given(st.binary(min_size=1, max_size=40).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_any_name_can_be_shown(name):
    text = display_path(Path(os.fsdecode(name)))
    assert text.encode("utf-8").decode("utf-8").isprintable()


def test_known_places_are_the_uppermost_folders_that_are_there(tmp_path):
    for place in ("a", "a/b", "a/b/c", "d/e", "gone"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        photo_of(tmp_path / place, len(place))
    collection = make_sift_collection(tmp_path / "collection", tmp_path)
    shutil.rmtree(tmp_path / "gone")
    with Collection.open(collection) as opened:
        assert indexed_folders(opened) == [tmp_path / "a", tmp_path / "d" / "e"]


def test_overlays_say_where_there_is_nothing():
    import numpy as np

    assert heat_overlay(np.zeros((4, 4), np.float32), (40, 40)) is None
    assert mask_overlay(None, (40, 40)) is None
    assert mask_overlay(np.ones((4, 4), bool), (4000, 30)) is not None


def test_metrics_are_counted_by_route_and_strange_methods_are_one():
    metrics = Metrics()
    for _ in range(3):
        metrics.count("GET", "/photos/{id}", 200, 0.5)
    metrics.count("BREW", "other", 405, 0.0)
    metrics.count("SIP", "other", 405, 0.0)
    metrics.add_gauge("queue", "Waiting.", lambda: 3)
    lines = metrics.text().decode().splitlines()
    assert 'resight_requests_total{method="GET",route="/photos/{id}",status="200"} 3.0' in lines
    assert 'resight_requests_total{method="other",route="other",status="405"} 2.0' in lines
    assert 'resight_request_seconds_total{method="GET",route="/photos/{id}"} 1.5' in lines
    assert "resight_queue 3.0" in lines


def test_the_page_has_no_inline_code_and_asks_no_other_site():
    assert "<script>" not in (STATIC / "index.html").read_text(encoding="utf-8")
    assert "style=" not in (STATIC / "index.html").read_text(encoding="utf-8")
    for path in STATIC.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines():
            outside = "http://" in line or "https://" in line
            assert not outside or "www.w3.org" in line or "placeholder" in line, line
