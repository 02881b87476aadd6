"""Memory: indexing within two gibibytes for photos of any size, heaps that shrink."""

import subprocess
import sys

import pytest
from PIL import Image, ImageOps

import samples
from resight.photos.images import MAX_PIXELS

NEAREST = Image.Resampling.NEAREST
LIMIT_KIB = 2 * 1024**2


PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process in between, as a new process inherits the peak of its parent."""


def peak_kib(command: list[str]) -> int:
    """Peak resident memory of a command that must succeed, in KiB."""
    run = subprocess.run(
        [sys.executable, "-c", PEAK, *command], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return int(run.stdout.splitlines()[-1])


def test_the_peak_is_the_commands_own():
    held = bytearray(b"x" * 2**27)
    small = peak_kib([sys.executable, "-c", "pass"])
    large = peak_kib([sys.executable, "-c", "bytearray(b'x' * 2**26)"])
    assert small < len(held) / 1024 / 3
    assert large > 2**26 / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_large_photos_are_decoded_one_at_a_time(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        photo = samples.picture(number).resize((5_000, 4_000), NEAREST)
        photo.convert("L").save(tmp_path / "photos" / f"{number}.bmp")
    del photo
    config = samples.write_config(tmp_path / "quick.toml")
    command = [sys.executable, "-m", "resight", "index", str(tmp_path / "photos")]
    options = ["-c", str(tmp_path / "c"), "--config", str(config), "--workers", "4", "--strict"]
    assert peak_kib([*command, *options]) <= LIMIT_KIB / 5


@pytest.mark.slow
@pytest.mark.exhaustive
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
    ImageOps.mirror(photo).save(photos / "baseline.jpg", quality=60, exif=exif)
    ImageOps.flip(photo).convert("RGBA").save(photos / "alpha.png", compress_level=1)
    photo.resize((1500, 1500)).save(photos / "small.jpg", quality=60)
    del photo
    command = [sys.executable, "-m", "resight", "index", str(photos), "-c", str(tmp_path / "c")]
    options = ["--config", "paper-cam", "--weights", str(small_weights), "--workers", "4"]
    assert peak_kib([*command, *options, "--strict"]) <= LIMIT_KIB


HEAP = """
import threading
import numpy as np
from resight.memory import keep_heap_small, release_unused_memory

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

def work(small):
    # Blocks of 9 MiB, each held by a small one above it: what a heap cannot give back.
    blocks = []
    for _ in range(20):
        blocks.append(np.ones(9 * 2**20, np.uint8))
        small.append(np.ones(1000, np.uint8))

{before}
small, before = [], resident_mib()
threads = [threading.Thread(target=work, args=(small,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
{after}
print(resident_mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries are left as they are")
@pytest.mark.parametrize(
    ("before", "after"), [("keep_heap_small()", ""), ("", "release_unused_memory()")]
)
def test_freed_memory_goes_back_to_the_system(before, after):
    code = HEAP.format(before=before, after=after)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 5  # without either, more than 20
