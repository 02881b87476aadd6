"""Photos are sent only as they were indexed."""

import os
import shutil
from pathlib import Path

import psutil
import pytest

from web_server import V1, checked, ids_of, running

PLACES = ("original", "thumbnail")


@pytest.fixture
def changed(own) -> Path:
    """Return one of the photos of a test's own server."""
    return own.photos / "object-01" / "view-1.jpg"


def id_of(own, path: Path) -> int:
    return ids_of(own.collection)[str(path)]


def test_one_other_byte_is_a_change_even_with_the_same_time_and_size(own, changed):
    id_, status = id_of(own, changed), changed.stat()
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    for place in PLACES:
        response = own.server.client.get(f"{V1}/photos/{id_}/{place}")
        assert "index its folder again" in checked(response, 409)["detail"]
        assert response.headers["cache-control"] == "no-store"


def test_a_copy_that_took_its_place_is_the_photo_that_was_indexed(own, changed):
    id_, data = id_of(own, changed), changed.read_bytes()
    changed.unlink()
    changed.write_bytes(data)
    assert own.server.client.get(f"{V1}/photos/{id_}/original").content == data


def test_a_link_to_another_file_is_not_followed(own, changed, tmp_path):
    id_ = id_of(own, changed)
    secret = tmp_path / "secret.jpg"
    shutil.copy(own.photos / "clutter" / "01.jpg", secret)
    padded = secret.read_bytes().ljust(changed.stat().st_size, b"x")
    for content in (secret.read_bytes(), padded):
        secret.write_bytes(content)
        changed.unlink()
        changed.symlink_to(secret)
        for place in PLACES:
            response = own.server.client.get(f"{V1}/photos/{id_}/{place}")
            assert "it is not followed" in checked(response, 403)["detail"]


def test_a_folder_that_became_a_link_shows_nothing_else(own, changed, tmp_path):
    id_ = id_of(own, changed)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(own.photos / "clutter" / "01.jpg", elsewhere / changed.name)
    shutil.rmtree(changed.parent)
    changed.parent.symlink_to(elsewhere)
    for place in PLACES:
        checked(own.server.client.get(f"{V1}/photos/{id_}/{place}"), 409)


def test_files_are_closed_after_each_response(own, changed):
    id_, client = id_of(own, changed), own.server.client
    for _ in range(20):
        assert client.get(f"{V1}/photos/{id_}/original").status_code == 200
        assert client.head(f"{V1}/photos/{id_}/original").status_code == 200
        with client.stream("GET", f"{V1}/photos/{id_}/original") as response:
            assert response.status_code == 200  # and its body is not read
    own.server.search(photo=1)  # the last connection has been closed
    assert str(changed) not in {file.path for file in psutil.Process().open_files()}


def test_folders_outside_of_the_collection_are_not_indexed(own, tmp_path):
    other, link = tmp_path / "other", own.photos / "object-01" / "link"
    shutil.copytree(own.photos / "object-01", other)
    link.symlink_to(other)
    for folder in (other, own.photos.parent, link, "/", f"{own.photos}/../other", "/none"):
        job = {"action": "index", "folders": [str(own.photos / "clutter"), str(folder)]}
        response = own.server.client.post(f"{V1}/jobs", json=job)
        assert "neither a folder of this collection nor" in checked(response, 403)["detail"]
    own.server.get("/photos/7", status=404)
    assert not own.server.get("/collection")["folders_allowed"]


def test_folders_that_the_server_may_index(own, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(own.photos / "object-01", other / "deep")
    with running(own.collection, index_folders=(other,)) as server:
        assert server.get("/collection")["folders_allowed"]
        for folder in (other, other / "deep", own.photos / "object-01"):
            body = {"action": "index", "folders": [str(folder)]}
            job = checked(server.client.post(f"{V1}/jobs", json=body), 202)["id"]
            while server.get(f"/jobs/{job}")["state"] == "running":
                pass
        assert server.get("/collection")["photos"] == 9
        body = {"action": "index", "folders": [str(tmp_path)]}
        checked(server.client.post(f"{V1}/jobs", json=body), 403)
        body = {"action": "index", "folders": [str(other / "none")]}
        checked(server.client.post(f"{V1}/jobs", json=body), 422)
