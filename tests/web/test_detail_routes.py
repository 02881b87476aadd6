"""Folders, filtered and sorted lists, details of photos, and photos shown in a file manager."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from resight.web import file_manager
from resight.web.listing import folders_of, shallowest
from resight.web.problems import ProblemError
from web_server import V1, Running, make_sift_collection, running

TOKEN = "0123456789abcdef-secret"
TAKEN = {"img2.jpg": "2021:05:05 05:05:05", "img10.jpg": "2019:12:31 23:59:59", "IMG1.jpg": None}


@pytest.fixture(scope="module")
def album(few_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return photos in and below a folder; three have EXIF data, two of these a time."""
    folder = tmp_path_factory.mktemp("album") / "photos"
    shutil.copytree(few_photos / "clutter", folder / "old" / "clutter")
    (folder / "new").mkdir()
    sources = sorted((few_photos / "object-01").iterdir())
    for source, (name, taken) in zip(sources, TAKEN.items(), strict=True):
        exif = Image.Exif()
        exif[0x10F], exif[0x110] = "NIKON CORPORATION", "NIKON D90\0"
        exif.get_ifd(0x8769)[0xA434] = "50mm\tf/1.8"
        if taken is not None:
            exif.get_ifd(0x8769)[0x9003] = taken
        with Image.open(source) as image:
            image.resize((image.width // 2, image.height // 2)).save(
                folder / "new" / name, exif=exif
            )
    return folder


@pytest.fixture(scope="module")
def album_collection(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sift_collection(tmp_path_factory.mktemp("album") / "collection", album)


@pytest.fixture(scope="module")
def server(album_collection: Path) -> Iterator[Running]:
    with running(album_collection) as started:
        yield started


@pytest.fixture(scope="module")
def remote(album_collection: Path) -> Iterator[Running]:
    """Start a server that other machines can reach."""
    with running(album_collection, host="0.0.0.0", token=TOKEN) as started:
        started.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield started


def listed(server: Running, **query: object) -> list[str]:
    """Return the names of the photos in a list, read in pages of two."""
    names, page = [], {"next": 0, "total": None}
    while page["next"] is not None:
        page = server.get("/photos", **{"limit": 2, "after": page["next"], **query})
        names += [photo["name"] for photo in page["photos"]]
    assert page["total"] == len(names)
    return names


def id_of(server: Running, name: str) -> int:
    (photo,) = server.get("/photos", file_name=name)["photos"]
    return photo["id"]


def test_folders_have_counts_and_can_be_searched(server, album):
    folders = server.get("/folders")["folders"]
    assert [(f["name"], f["photos"]) for f in folders] == [
        (".", 6),
        ("new", 3),
        ("old", 3),
        ("old/clutter", 3),
    ]
    assert [f["folder"] for f in folders[:2]] == [str(album), str(album / "new")]
    for folder in folders:
        results = server.search(photo=1, under=folder["folder"], k=9)["results"]
        assert len(results) == folder["photos"]
    assert server.search(photo=1, under="old", k=9)["results"]
    assert "folder of this name" in server.search(photo=1, under="ol", status=422)["detail"]


def test_lists_are_filtered_and_sorted(server, album):
    assert len(listed(server)) == 6
    assert listed(server, sort="date")[:2] == ["img2.jpg", "img10.jpg"]
    assert listed(server, sort="name", file_name="IMG") == ["IMG1.jpg", "img2.jpg", "img10.jpg"]
    assert listed(server, under=album / "old", sort="name") == ["01.jpg", "02.jpg", "03.jpg"]
    assert listed(server, sort="added") == listed(server)[::-1]
    assert listed(server, taken_from="2020", sort="name") == ["img2.jpg"]
    assert listed(server, taken_before="2020-01") == ["img10.jpg"]
    assert listed(server, min_side=400, sort="name") == ["01.jpg", "02.jpg", "03.jpg"]
    assert listed(server, file_name="none") == []
    found = server.search(photo=1, file_name="img1", k=9)["results"]
    assert sorted(result["name"] for result in found) == ["IMG1.jpg", "img10.jpg"]
    for query in ({"sort": "size"}, {"file_name": ""}, {"file_name": "a/b"}, {"taken_from": "soon"},
                  {"taken_from": "2020", "taken_before": "2010"}, {"nme": "x"}):  # fmt: skip
        server.get("/photos", status=422, **query)


def test_details_are_read_from_the_unchanged_file(server, remote, album):
    id_ = id_of(server, "img2")
    details = server.get(f"/photos/{id_}/details")
    path = album / "new" / "img2.jpg"
    assert details["taken"] == "2021-05-05T05:05:05"
    assert (details["camera"], details["lens"]) == ("NIKON D90", "50mm f/1.8")
    assert (details["bytes"], details["path"]) == (path.stat().st_size, str(path))
    assert details["folder"] == str(path.parent)
    assert "taken" not in server.get(f"/photos/{id_of(server, 'IMG1.')}/details")
    hidden = remote.get(f"/photos/{id_}/details")
    assert (hidden["folder"], hidden["camera"]) == ("new", "NIKON D90")
    assert "path" not in hidden
    original = path.read_bytes()
    try:
        path.write_bytes(original + b"x")
        changed = server.get(f"/photos/{id_}/details")
    finally:
        path.write_bytes(original)
    assert "changed since" in changed["problem"]
    assert "camera" not in changed


def test_other_machines_name_folders_without_their_paths(remote, album):
    response = remote.client.get(f"{V1}/folders")
    assert str(album.parent) not in response.text
    folders = response.json()["folders"]
    assert [f["folder"] for f in folders] == [f["name"] for f in folders]
    assert len(listed(remote, under="old/clutter")) == 3
    assert len(remote.search(photo=1, under="new", k=9)["results"]) == 3
    remote.get("/photos", status=403, under=album / "new")
    refused = remote.client.post(f"{V1}/photos/1/reveal")
    assert refused.status_code == 403
    assert "server's own machine" in refused.json()["detail"]


@pytest.mark.skipif(os.name != "posix", reason="the programs of Linux")
def test_a_photo_is_shown_in_the_file_manager(server, album, tmp_path, monkeypatch):
    monkeypatch.setattr(file_manager.sys, "platform", "linux")
    monkeypatch.setattr(file_manager, "LIMIT_S", 0.4)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":9")
    path, log = album / "new" / "img2.jpg", tmp_path / "log"

    def program(name: str, then: str) -> None:
        file = tmp_path / name
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" > {log}\n{then}\n')
        file.chmod(0o755)

    def shown(status: int = 200) -> str:
        log.unlink(missing_ok=True)
        response = server.client.post(f"{V1}/photos/{id_of(server, 'img2')}/reveal")
        assert response.status_code == status, response.text
        return log.read_text() if log.exists() else response.json()["detail"]

    program("dbus-send", "exit 0")
    program("xdg-open", "exit 3")
    assert f"\narray:string:{path.as_uri()}\nstring:\n" in shown()
    program("dbus-send", "exit 1")
    assert "xdg-open" in shown(409)
    program("xdg-open", "exec sleep 2")  # a window that stays open
    assert shown().splitlines()[1:] == [str(path.parent)]
    program("dbus-send", "exec sleep 2")  # no answer: it is ended, and the next one is tried
    assert "xdg-open" in shown()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert shown(409) == file_manager.NO_FILE_MANAGER
    for gone, status in ((path.with_name("gone.jpg"), 404), (Path("s3://bucket/a.jpg"), 409)):
        with pytest.raises(ProblemError) as refused:
            file_manager.reveal(gone)
        assert refused.value.status == status


def test_folders_of_several_disks_and_stores():
    paths = ["/a/b/1.jpg", "/a/b/c/d/2.jpg", "/a/b/c/3.jpg", "s3://x/y/4.jpg", "s3://x/z/5.jpg"]
    folders = folders_of(map(Path, paths))
    assert [(f.name, f.photos) for f in folders] == [
        (".", 3),
        ("c", 2),
        ("c/d", 1),
        ("s3", 2),
        ("s3/y", 1),
        ("s3/z", 1),
    ]
    assert [f.name for f in shallowest(folders, 4)] == [".", "c", "c/d", "s3"]
    numbered = folders_of(Path(f"/p/day {day}/1.jpg") for day in (10, 9, 1))
    assert [f.name for f in numbered] == [".", "day 1", "day 9", "day 10"]
    assert folders_of([]) == []
