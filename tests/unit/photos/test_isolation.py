"""Decoders that crash, hang or take all memory: the failure of one photo."""

import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

import samples
from resight.errors import ImageError
from resight.photos import isolation
from resight.photos.images import image_size, load_image, taken_at

pytestmark = pytest.mark.skipif(os.name != "posix", reason="all photos are decoded in one process")

DECODER = """
import ctypes, io, os
from PIL import Image

def decode(file, name):
    data = file.read()
    if b"abort" in data:
        os.abort()
    if b"hang" in data:
        ctypes.PyDLL(None).sleep(600)  # as native code does, it lets no other thread run
    if b"large" in data:
        bytearray(8 << 30)
    if b"print" in data:
        os.write(1, b"printed")
        os.write(2, b"printed")
    return Image.open(io.BytesIO(data[32:]))

def register_heif_opener():
    Image.register_open("HEIF", decode, lambda start: start[4:8] == b"ftyp")
"""
"""Stands for the package that decodes HEIC."""


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let processes decode HEIC by `DECODER`."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pillow_heif.py").write_text(DECODER)
    isolation._end_all()
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setattr(isolation, "LIMIT_S", 2)
    yield
    isolation._end_all()


def heic(path: Path, behavior: str, seed: int = 0) -> Path:
    """Write a picture that `DECODER` reads."""
    file = io.BytesIO()
    samples.picture(seed).save(file, "PNG")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0\0\0\x20ftyp" + behavior.encode().ljust(24) + file.getvalue())
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("decoder")
def test_a_decoder_that_fails_is_the_failure_of_one_photo(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    behaviors = ["good", "abort", "hang", "print", "large", "good"]
    if sys.platform != "linux":
        behaviors[4] = "good"  # memory is limited on Linux only
    for number, behavior in enumerate(behaviors):
        heic(photos / f"{number}-{behavior}.heic", behavior, number)
    samples.index(photos, tmp_path / "c")
    found = samples.photos_by_name(tmp_path / "c")
    reasons = {name: photo.reason for name, photo in found.items()}
    if sys.platform == "linux":
        assert reasons.pop("4-large.heic") == "not enough memory to decode it"
    else:
        del reasons["4-good.heic"]
    assert reasons == {
        "0-good.heic": None,
        "1-abort.heic": "damaged: its decoder crashes",
        "2-hang.heic": "damaged: decoding it takes more than 2 s",
        "3-print.heic": None,
        "5-good.heic": None,
    }


@pytest.mark.usefixtures("decoder")
def test_a_process_serves_many_photos_and_another_takes_over_from_one_that_crashed(
    tmp_path: Path,
) -> None:
    good, bad = heic(tmp_path / "good.heic", "good"), heic(tmp_path / "bad.heic", "abort")
    expected = samples.picture(0)
    for _ in range(3):
        assert load_image(good).tobytes() == expected.tobytes()
    (first,) = isolation._idle
    with pytest.raises(ImageError, match="crashes"):
        load_image(bad)
    assert first._process.poll() is not None
    assert load_image(io.BytesIO(good.read_bytes())).tobytes() == expected.tobytes()
    (second,) = isolation._idle
    assert second is not first


def test_what_is_read_elsewhere_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, exif = tmp_path / "photo.tif", Image.Exif()
    exif[274], exif[306] = 6, "2020:01:31 12:00:00"
    samples.picture(1).save(path, exif=exif)
    read = image_size(path), load_image(path).tobytes(), taken_at(path)
    assert isolation._idle
    monkeypatch.setattr(isolation, "available", False)
    assert (image_size(path), load_image(path).tobytes(), taken_at(path)) == read
    assert read[0] == (90, 120)
    assert read[2] is not None


def test_a_file_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    samples.picture(1).save(path)
    with path.open("rb") as file:
        samples.picture(2).save(tmp_path / "other.tif")
        (tmp_path / "other.tif").replace(path)
        with pytest.raises(ImageError, match="it changed while it was read"):
            load_image(file)
        path.unlink()
        with pytest.raises(ImageError, match="it changed while it was read"):
            image_size(file)


def test_a_process_ends_with_that_which_uses_it(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    samples.picture(1).save(path)
    load_image(path)
    used = {process._process.pid for process in isolation._idle}
    output, input = os.pipe()
    child = os.fork()
    if child == 0:  # it may not use the processes of its parent, and ends without cleaning up
        load_image(path)
        (own,) = isolation._idle
        os.write(input, str(own._process.pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    started = int(os.read(output, 100))
    assert started not in used
    assert load_image(path).size == (120, 90)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(started) and time.monotonic() < deadline:
        if psutil.Process(started).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.02)
    else:
        assert not psutil.pid_exists(started)
    os.close(output)
    os.close(input)
