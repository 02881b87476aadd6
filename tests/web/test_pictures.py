"""Thumbnails: bounded, cached on disk, of any size."""

import io
import os
import shutil
import threading
from pathlib import Path

import pytest
from PIL import Image

from resight.collection import Photo
from resight.collection.thumbnails import FOLDER_NAME
from resight.files import file_sha256
from resight.web.pictures import Thumbnails


def photo_of(folder: Path, number: int, size: tuple[int, int] = (640, 480)) -> Photo:
    path = folder / f"{number}.jpg"
    Image.effect_noise(size, 80).convert("RGB").save(path)
    status = path.stat()
    content = file_sha256(path)
    return Photo(number, path, status.st_size, status.st_mtime_ns, content, *size, "ok", None)


def on_disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in (folder / FOLDER_NAME).rglob("*") if p.is_file())


def test_the_least_recently_used_thumbnails_are_evicted(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(8)]
    one = len(Thumbnails(tmp_path, 10**9).get_or_create(photos[0]))
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


def test_thumbnails_survive_a_restart_with_a_smaller_limit(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(3)]
    before = Thumbnails(tmp_path, 10**9)
    data = [before.get_or_create(photo) for photo in photos]
    for age, photo in enumerate(photos):
        path = tmp_path / FOLDER_NAME / photo.content[:2] / f"{photo.content}.jpg"
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / FOLDER_NAME / "abc.new").write_bytes(b"left by a kill")
    after = Thumbnails(tmp_path, 10**9)
    assert [after.get(photo) for photo in photos] == data
    for age, photo in enumerate(photos):
        path = tmp_path / FOLDER_NAME / photo.content[:2] / f"{photo.content}.jpg"
        os.utime(path, (1000 - age, 1000 - age))
    smaller = Thumbnails(tmp_path, len(data[0]) + len(data[1]))
    assert [smaller.get(photo) is not None for photo in photos] == [True, True, False]
    assert on_disk(tmp_path) == smaller.stored_bytes


def test_a_deleted_thumbnail_is_created_again(tmp_path):
    photo = photo_of(tmp_path, 1)
    thumbnails = Thumbnails(tmp_path, 10**9)
    data = thumbnails.get_or_create(photo)
    shutil.rmtree(tmp_path / FOLDER_NAME)
    assert thumbnails.get(photo) is None
    assert thumbnails.stored_bytes == 0
    assert thumbnails.get_or_create(photo) == data


@pytest.mark.parametrize("size", [(1, 1), (20_000, 30), (100, 50), (320, 321)])
def test_thumbnails_of_unusual_sizes(tmp_path, size):
    data = Thumbnails(tmp_path, 10**9).get_or_create(photo_of(tmp_path, 1, size))
    with Image.open(io.BytesIO(data)) as small:
        assert max(small.size) == min(320, max(size))
        assert min(small.size) >= 1


def test_thumbnails_created_by_many_threads(tmp_path):
    photos = [photo_of(tmp_path, number) for number in range(6)]
    thumbnails = Thumbnails(tmp_path, 40_000)
    problems = []

    def run() -> None:
        try:
            for _ in range(3):
                for photo in photos:
                    with Image.open(io.BytesIO(thumbnails.get_or_create(photo))) as small:
                        small.load()
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert on_disk(tmp_path) == thumbnails.stored_bytes <= 40_000
