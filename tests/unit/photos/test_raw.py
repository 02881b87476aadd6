"""RAW photos: the JPEG in them, upright, and the time at which they were taken."""

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import broken_photos
from raw_photos import LOSSLESS, OTHER_CONTAINERS, RAW_PHOTOS, Raw, picture
from resight.errors import ImageError
from resight.photos.files import find_photos
from resight.photos.images import image_size, load_image, taken_at


@pytest.mark.parametrize("name", RAW_PHOTOS)
def test_a_raw_photo_is_read_by_its_jpeg(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(RAW_PHOTOS[name])
    expected = np.asarray(broken_photos.color_picture().rotate(-90, expand=True), np.float64)
    assert image_size(path) == (48, 64)
    assert np.abs(np.asarray(load_image(path)) - expected).mean() < 4
    assert load_image(io.BytesIO(RAW_PHOTOS[name])).size == (48, 64)
    assert taken_at(path) == datetime(2020, 1, 31, 12)
    assert [photo.path for photo in find_photos([tmp_path]).photos] == [path]


@pytest.mark.parametrize("name", OTHER_CONTAINERS)
def test_other_containers_of_a_jpeg(name: str) -> None:
    assert load_image(io.BytesIO(OTHER_CONTAINERS[name])).size == broken_photos.SIZE


def test_a_raw_photo_without_a_jpeg_says_what_to_do() -> None:
    raw = Raw("<", more=b"CR\2\0" + bytes(4))
    content = raw.finish(raw.directory(picture(raw, LOSSLESS, strips=True)))
    for data in (content, b"FUJIFILMCCD-RAW ".ljust(100, b"\0")):
        with pytest.raises(ImageError, match="without a preview; export it as JPEG or TIFF"):
            load_image(io.BytesIO(data))


def test_other_tiffs_are_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    color = broken_photos.color_picture()
    color.save(path, save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert load_image(path).tobytes() == color.tobytes()
