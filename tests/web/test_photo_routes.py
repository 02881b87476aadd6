"""The collection, its photos and their pictures over HTTP; the page's files; metrics."""

import io
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.web.app import STATIC
from resight.web.app_state import Metrics, display_path
from web_server import V1, ids_of, make_sift_collection, running


def test_the_collection_and_what_is_allowed(server, collection):
    about = server.get("/collection")
    assert about["name"] == collection.name
    assert (about["photos"], about["failed"]) == (15, 0)
    assert (about["method"], about["distance"], about["cnn"]) == ("sift-vlad", "cosine", False)
    assert about["config"]["centers"] == 16
    assert not about["urls_allowed"]
    assert not about["indexing"]


def test_photos_come_in_pages_by_id(server, collection):
    seen, after = [], 0
    while after is not None:
        page = server.get("/photos", after=after, limit=4)
        assert len(page["photos"]) <= 4
        seen += page["photos"]
        after = page["next"]
    assert [p["id"] for p in seen] == sorted(ids_of(collection).values())
    assert server.get(f"/photos/{seen[3]['id']}") == seen[3]
    for photo in seen:
        assert Path(photo["path"]).name == photo["name"]
        with Image.open(photo["path"]) as image:
            assert image.size == (photo["width"], photo["height"])


def test_a_thumbnail_is_small_cached_and_revalidated(server, collection):
    photo = server.get("/photos/1")
    first = server.client.get(f"{V1}/photos/1/thumbnail")
    assert first.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(first.content)) as small:
        assert max(small.size) == 320
        assert small.size[0] * photo["height"] == small.size[1] * photo["width"]
    assert list((collection / "thumbnails").glob("*/*.jpg"))
    etag = first.headers["etag"]
    again = server.client.get(f"{V1}/photos/1/thumbnail", headers={"If-None-Match": f'"x", {etag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    # An id may come to show another photo, a version may not.
    assert "no-cache" in first.headers["cache-control"]
    versioned = server.client.get(f"{V1}/photos/1/thumbnail", params={"v": photo["version"]})
    assert versioned.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert versioned.content == first.content
    other = server.client.get(f"{V1}/photos/1/thumbnail", params={"v": "0123456789abcdef"})
    assert "no-cache" in other.headers["cache-control"]


@pytest.mark.timeout(60)
def test_a_photo_that_has_become_a_pipe_is_not_opened(tmp_path):
    path = tmp_path / "photos" / "1.png"
    path.parent.mkdir()
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 60).convert("RGB").save(path)
    collection = make_sift_collection(tmp_path / "collection", path.parent)
    path.unlink()
    os.mkfifo(path)
    with running(collection) as server:
        for place in ("original", "thumbnail"):
            response = server.client.get(f"{V1}/photos/1/{place}")
            assert response.status_code == 404
            assert "not a regular file" in response.json()["detail"]


def test_an_original_is_the_file_itself_where_browsers_show_it(server):
    photo = server.get("/photos/1")
    response = server.client.get(f"{V1}/photos/1/original")
    assert response.content == Path(photo["path"]).read_bytes()
    assert response.headers["content-type"] == "image/jpeg"
    etag = response.headers["etag"]
    again = server.client.get(f"{V1}/photos/1/original", headers={"If-None-Match": etag})
    assert again.status_code == 304


def test_formats_that_browsers_do_not_show_become_upright_jpegs(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 60).convert("RGB")
    picture.paste((255, 0, 0), (0, 0, 60, 60))
    picture.save(folder / "1.tif")
    exif = Image.Exif()
    exif[274] = 6  # upright after a quarter turn to the right: red comes to the upper right
    picture.save(folder / "2.webp", exif=exif, lossless=True)
    picture.save(folder / "3.png")
    shutil.copy(folder / "3.png", folder / "4.jpg")  # a wrong extension
    shutil.copy(folder / "1.tif", folder / "5.png")
    collection = make_sift_collection(tmp_path / "collection", folder)
    types = {1: "jpeg", 2: "jpeg", 3: "png", 4: "png", 5: "jpeg"}
    with running(collection) as server:
        for id_, format_ in types.items():
            response = server.client.get(f"{V1}/photos/{id_}/original")
            assert response.headers["content-type"] == f"image/{format_}"
            with Image.open(io.BytesIO(response.content)) as image:
                entry = server.get(f"/photos/{id_}")
                assert image.size == (entry["width"], entry["height"])
                corner = (image.width - 20, 20) if id_ == 2 else (20, 20)
                red, green, blue = image.convert("RGB").getpixel(corner)
                assert red > 240
                assert max(green, blue) < 20


def test_failed_photos_are_listed_with_the_reason(photos, tmp_path):
    folder = shutil.copytree(photos / "object-01", tmp_path / "photos")
    (folder / "text.jpg").write_text("no photo")
    (folder / "cut\x07.jpg").write_bytes((folder / "view-1.jpg").read_bytes()[:9000])
    with running(make_sift_collection(tmp_path / "collection", folder)) as server:
        failed = server.get("/failed")["failed"]
        names = [entry["name"] for entry in failed]
        assert names == ["cut\N{REPLACEMENT CHARACTER}.jpg", "text.jpg"]
        assert all(entry["reason"] for entry in failed)
        assert server.get("/collection")["failed"] == 2


@given(st.binary(min_size=1, max_size=40).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_any_file_name_can_be_displayed(name):
    import os

    text = display_path(Path(os.fsdecode(name)))
    assert text.encode("utf-8").decode("utf-8").isprintable()


def test_the_page_and_its_files_are_served(server):
    page = server.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    script = server.client.get("/static/main.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "private, no-cache"
    headers = {"If-None-Match": script.headers["etag"]}
    again = server.client.get("/static/main.js", headers=headers)
    assert again.status_code == 304
    assert again.headers["cache-control"] == "private, no-cache"
    assert server.client.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_the_page_has_no_inline_code_and_names_no_other_site():
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html)
    for path in filter(Path.is_file, STATIC.rglob("*")):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://\w|@import|innerHTML|eval\(", text), path.name


def test_requests_are_counted_by_route(own):
    for id_ in (1, 2, 999):
        own.server.client.get(f"{V1}/photos/{id_}/thumbnail")
    lines = own.server.client.get("/metrics").text.splitlines()
    counts = [line for line in lines if "requests_total{" in line and 'thumbnail"' in line]
    assert [line.partition("status=")[2] for line in counts] == ['"200"} 2.0', '"404"} 1.0']
    assert "resight_searches_waiting 0.0" in lines


@pytest.mark.parametrize(("method", "label"), [("GET", "GET"), ("BREW", "other"), ("SIP", "other")])
def test_unusual_methods_are_counted_as_one(method, label):
    metrics = Metrics()
    metrics.count(method, "/photos/{id}", 200, 0.5)
    metrics.count(method, "/photos/{id}", 200, 1.0)
    metrics.add_gauge("queue", "Waiting.", lambda: 3)
    lines = metrics.text().decode().splitlines()
    labels = f'method="{label}",route="/photos/{{id}}"'
    assert f'resight_requests_total{{{labels},status="200"}} 2.0' in lines
    assert f"resight_request_seconds_total{{{labels}}} 1.5" in lines
    assert "resight_queue 3.0" in lines
