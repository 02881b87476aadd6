"""Indexing stays within two gibibytes whatever the size of the photos."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from resight.images import MAX_PIXELS

LIMIT_KIB = 2 * 1024**2


def peak_kib(command: list[str]) -> int:
    """Peak resident memory of a command that must succeed, in KiB."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.stderr.read().decode()
    process.stderr.close()
    return usage.ru_maxrss


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_indexing_the_largest_photos_with_the_largest_configuration(tmp_path, small_weights):
    width = 12_000
    height = MAX_PIXELS // width
    photo = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the upright picture is a second one in memory
    photos = tmp_path / "photos"
    photos.mkdir()
    photo.save(photos / "progressive.jpg", quality=60, progressive=True, exif=exif)
    photo.rotate(1).save(photos / "baseline.jpg", quality=60, exif=exif)
    photo.rotate(2).convert("RGBA").save(photos / "alpha.png", compress_level=1)
    for number in range(6):
        small = photo.resize((1500 + number, 1500))
        small.save(photos / f"small-{number}.jpg", quality=60)
    del photo
    command = [sys.executable, "-m", "resight", "index", str(photos), "-c", str(tmp_path / "c")]
    options = ["--cam", "--weights", str(small_weights), "--workers", "4", "--strict"]
    assert peak_kib([*command, *options]) <= LIMIT_KIB
