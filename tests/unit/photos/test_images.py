"""From files to pictures: intact, odd and broken ones, and their copies."""

import contextlib
import hashlib
import io
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

import broken_photos
import samples
from resight.errors import ImageError, UsageError
from resight.photos import images, transforms
from resight.photos.files import find_photos
from resight.photos.images import image_size, load_image
from resight.photos.transforms import crop_box, resized_copies, scaled_size

# A process that loads photos hides what Pillow warns of; in here pytest sets its own filters.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SECONDS_PER_FILE = 30

LOADER = """
import json, os, sys, time
from pathlib import Path
from resight.errors import ImageError
from resight.photos.images import load_image

answers = os.fdopen(os.dup(1), "w", buffering=1)
printed = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.dup2(printed, 1)
os.dup2(printed, 2)
for line in sys.stdin:
    before, answer = os.fstat(printed).st_size, {}
    try:
        image = load_image(Path(os.fsdecode(bytes.fromhex(line))))
        answer = {"outcome": "loads", "size": image.size, "mode": image.mode}
    except ImageError as error:
        answer = {"outcome": "fails", "reason": str(error)}
    except BaseException as error:
        answer = {"outcome": "raises", "reason": repr(error)}
    sys.stdout.flush(), sys.stderr.flush()
    os.lseek(printed, before, os.SEEK_SET)
    answer["printed"] = os.read(printed, 500).decode(errors="replace")
    print(json.dumps(answer), file=answers)
"""


@dataclass(frozen=True)
class Result:
    """Outcome of a file: loads, fails, raises, hangs or crashes."""

    outcome: str
    size: tuple[int, ...] = ()
    mode: str = ""
    reason: str = ""
    printed: str = ""


class Loader:
    """Loads photos in a process of its own, which may be lost: by a hang or a crash."""

    def __init__(self, printed: Path):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(printed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put("")

    def load(self, path):
        print(os.fsencode(path).hex(), file=self.process.stdin, flush=True)
        try:
            answer = self.answers.get(timeout=SECONDS_PER_FILE)
        except queue.Empty:
            self.process.kill()
            return Result("hangs")
        return Result(**json.loads(answer)) if answer else Result("crashes")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=SECONDS_PER_FILE)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return broken_photos.make_files(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def results(files, tmp_path_factory):
    """Return the outcome of each file, in order."""
    printed = tmp_path_factory.mktemp("printed") / "printed.txt"
    results, loader = [], Loader(printed)
    for file in files:
        results.append(loader.load(file.path))
        if results[-1].outcome in ("hangs", "crashes"):
            loader.close()
            loader = Loader(printed)
    loader.close()
    return results


def digest(file):
    return hashlib.sha256(file.path.read_bytes()).hexdigest()


def is_plain(file):
    return file.path.is_file() and not file.path.is_symlink() and file.path.stat().st_size < 1e9


@pytest.mark.slow
def test_the_files_are_many_and_distinct(files):
    plain = [file for file in files if is_plain(file) and os.access(file.path, os.R_OK)]
    assert len({digest(file) for file in plain if file.expect != "loads"}) >= 200
    assert len({digest(file) for file in plain if file.expect == "loads"}) >= 200
    assert len({file.path for file in files}) == len(files)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_files_are_the_same_on_every_run(files, tmp_path):
    again = broken_photos.make_files(tmp_path)
    assert [file.path.name for file in files] == [file.path.name for file in again]
    for first, second in zip(files, again, strict=True):
        # A film in AVIF holds the time of its making.
        if is_plain(first) and os.access(first.path, os.R_OK) and first.path.suffix != ".avif":
            assert digest(first) == digest(second), first.path.name


def test_every_file_loads_or_fails_as_it_should(files, results):
    wrong = [
        (file.path.name, file.expect, result)
        for file, result in zip(files, results, strict=True)
        if result.outcome not in {"either": ("loads", "fails")}.get(file.expect, (file.expect,))
    ]
    assert wrong == []


def test_what_loads_is_rgb_and_has_its_size(files, results):
    for file, result in zip(files, results, strict=True):
        if result.outcome == "loads":
            assert result.mode == "RGB", file.path.name
        if file.picture is not None:
            assert tuple(result.size) == file.picture.size, file.path.name


def test_reasons_are_short_lines_without_the_path(files, results):
    for file, result in zip(files, results, strict=True):
        if result.outcome == "fails":
            assert 3 <= len(result.reason) <= 200, (file.path.name, result.reason)
            assert result.reason.isprintable()
            assert result.reason == result.reason.strip()
            assert str(file.path.parent) not in result.reason
            assert file.reason in result.reason, (file.path.name, result.reason)


def test_nothing_is_printed_by_python_or_the_decoders(files, results):
    printed = [(f.path.name, r.printed) for f, r in zip(files, results, strict=True) if r.printed]
    assert printed == []


def test_colours_are_right(files):
    wrong = []
    for file in files:
        if file.picture is not None:
            loaded = np.asarray(load_image(file.path)).astype(np.float64)
            difference = np.abs(loaded - np.asarray(file.picture))
            if difference.mean() > file.tolerance:
                wrong.append((file.path.name, difference.mean()))
    assert wrong == []


def test_sizes_come_from_the_header(files):
    for file in files:
        if file.picture is not None:
            assert image_size(file.path) == file.picture.size, file.path.name
        elif file.reason != "megapixels":
            with contextlib.suppress(ImageError):
                assert min(image_size(file.path)) >= 0
    bombs = [file.path for file in files if file.reason == "megapixels"]
    sizes = {path.name: image_size(path) for path in bombs if path.suffix != ".gif"}
    assert sizes["declared-60000.png"] == (60000, 60000)
    assert all(width * height > 120_000_000 for width, height in sizes.values())


def test_open_files_are_checked_too(files):
    sparse = next(file for file in files if file.path.name == "sparse.webp")
    with sparse.path.open("rb") as opened, pytest.raises(ImageError, match="larger than the limit"):
        load_image(opened)


def test_pictures_are_the_same_from_many_threads_and_from_open_files(files):
    good = [file.path for file in files if file.picture is not None]
    one_by_one = [load_image(path).tobytes() for path in good]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda path: load_image(path).tobytes(), good)) == one_by_one
    for path, expected in zip(good, one_by_one, strict=True):
        assert load_image(io.BytesIO(path.read_bytes())).tobytes() == expected, path.name


def test_in_this_process_too_nothing_is_printed(files, capfd):
    for file in files:
        if file.expect == "either" and file.path.suffix in (".tif", ".tiff", ".heic", ".avif"):
            with contextlib.suppress(ImageError):
                load_image(file.path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_looking_for_the_time_does_not_decode_a_bomb(tmp_path):
    bomb = next(data for name, data in broken_photos._bombs() if name == "real-20000.png")
    (tmp_path / "bomb.png").write_bytes(bomb)
    code = (
        "import re, sys; from pathlib import Path\n"
        "from resight.photos.images import taken_at\n"
        "assert taken_at(Path(sys.argv[1])) is None\n"
        # Its own peak in KiB; that of `getrusage` begins with the peak of its parent.
        "print(*re.findall(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text()))"
    )
    command = [sys.executable, "-c", code, tmp_path / "bomb.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 200 << 10


def test_heic_without_the_extra_names_it(tmp_path):
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (tmp_path / "pillow_heif.py").write_text("raise ImportError")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path; from resight.photos.images import load_image\n"
        "from resight.errors import ImageError\n"
        "try: load_image(Path(sys.argv[1]))\n"
        "except ImageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "HEIC needs an extra: pip install 'resight[heif]'\n"
    assert done.stderr == ""


# Memory

MEASURE = """
import sys
from pathlib import Path
from PIL import Image
from resight.photos.images import load_image

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

small = Path(sys.argv[1]).with_name("small" + Path(sys.argv[1]).suffix)
load_image(small)
before = peak()
image = load_image(Path(sys.argv[1]), int(sys.argv[2]) or None)
print(*image.size, peak() - before)
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc"
)


def measure(path, reduce_to=0):
    """Size of the picture, and MiB that the process grew by while it was loaded."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path, str(reduce_to)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    width, height, mebibytes = done.stdout.split()
    return (int(width), int(height)), float(mebibytes)


@pytest.fixture(scope="module")
def large_photo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    code = (
        "import sys; from PIL import Image\n"
        "for name, size in [('large.jpg', (10000, 7500)), ('small.jpg', (64, 64))]:\n"
        "    image = Image.new('RGB', size, (200, 30, 60))\n"
        "    image.save(sys.argv[1] + '/' + name, quality=80)"
    )
    # In a process of its own, for the memory it takes is not given back at once.
    subprocess.run([sys.executable, "-c", code, folder], check=True, timeout=120)
    return folder / "large.jpg"


@needs_proc
def test_a_photo_of_75_megapixels_takes_only_its_own_memory(large_photo):
    size, mebibytes = measure(large_photo)
    assert size == (10000, 7500)
    assert mebibytes < 1.1 * 4 * 10000 * 7500 / 2**20


@needs_proc
def test_decoded_at_a_reduced_scale_it_takes_a_sixteenth(large_photo):
    size, mebibytes = measure(large_photo, 2100)
    assert size == (2500, 1875)
    assert mebibytes < 60


@needs_proc
@pytest.mark.parametrize(
    ("suffix", "mode", "bytes_per_pixel"),
    [(".png", "RGBA", 10), (".png", "LA", 10), (".tif", "F", 11), (".png", "I;16", 9)],
)
def test_conversions_need_no_second_copy(tmp_path, suffix, mode, bytes_per_pixel):
    size = (4000, 3000)
    Image.new(mode, size).save(tmp_path / f"large{suffix}")
    Image.new(mode, (16, 16)).save(tmp_path / f"small{suffix}")
    _, mebibytes = measure(tmp_path / f"large{suffix}")
    assert mebibytes < bytes_per_pixel * size[0] * size[1] / 2**20


@needs_proc
def test_too_little_memory_is_reported(large_photo):
    code = (
        "import resource, sys; from pathlib import Path; from PIL import Image\n"
        "from resight.errors import ImageError; from resight.photos.images import load_image\n"
        "load_image(Path(sys.argv[1]).with_name('small.jpg'))\n"
        "lines = Path('/proc/self/status').read_text().splitlines()\n"
        "used = next(int(line.split()[1]) for line in lines if line.startswith('VmSize'))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used * 1024 + (100 << 20),) * 2)\n"
        "try: load_image(Path(sys.argv[1]))\n"
        "except ImageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, large_photo],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "not enough memory to decode it\n"


def test_jpegs_beyond_the_limit_are_decoded_at_half_scale(tmp_path):
    size = (65500, 2000)
    assert size[0] * size[1] > images.MAX_PIXELS
    Image.new("L", size, 90).save(tmp_path / "wide.jpg", quality=50)
    image = load_image(tmp_path / "wide.jpg")
    assert image.size == (32750, 1000)
    assert image.getpixel((32749, 999)) == (90, 90, 90)


def draw_scan(path, mode, color, scale):
    """Save a picture of `12 * scale + 1` by `7 * scale + 1` pixels, black to the left of half."""
    size = (12 * scale + 1, 7 * scale + 1)
    exif = Image.Exif()
    exif[broken_photos.ORIENTATION_TAG] = 6
    image = Image.new(mode, size, color)
    image.paste(0, (0, 0, 6 * scale, size[1]))
    image.save(path, exif=exif)
    Image.new("L", (16, 16)).save(path.with_name(f"small{path.suffix}"))


@pytest.mark.parametrize(
    ("suffix", "mode", "color", "shown"),
    [
        (".png", "RGB", (200, 30, 60), (200, 30, 60)),
        (".png", "1", 1, (255, 255, 255)),
        (".tif", "LA", (90, 255), (90, 90, 90)),
        (".tif", "I;16", 45 * 256, (45, 45, 45)),
    ],
)
def test_scans_beyond_the_limit_are_read_at_half_scale(
    tmp_path, monkeypatch, suffix, mode, color, shown
):
    monkeypatch.setattr(images.isolation, "available", False)  # its process has the usual limit
    monkeypatch.setattr(images, "MAX_PIXELS", 800_000)
    draw_scan(path := tmp_path / f"scan{suffix}", mode, color, scale=100)
    assert image_size(path) in ((1201, 701), (701, 1201))
    image = load_image(path)
    assert image.size == (351, 601)
    assert image.getpixel((100, 400)) == image.getpixel((350, 600)) == shown
    assert image.getpixel((100, 200)) == ((255,) * 3 if mode == "LA" else (0,) * 3)


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".png", "1"),
        *(
            pytest.param(suffix, mode, marks=pytest.mark.exhaustive)
            for suffix, mode in ((".png", "RGB"), (".tif", "LA"), (".tif", "I;16"))
        ),
    ],
)
def test_scans_beyond_the_limit_take_the_memory_of_half_their_scale(tmp_path, suffix, mode):
    path = tmp_path / f"scan{suffix}"
    # In a process of its own, for the memory it takes is not given back at once.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(draw_scan, path, mode, 0, scale=1000).result()
    size, mebibytes = measure(path)
    assert size == (3501, 6001)
    assert mebibytes < 180


# Reduced JPEG decoding


@pytest.mark.parametrize("size", [(1600, 1200), (1601, 1199), (30, 1500), (1500, 5), (9, 7)])
@pytest.mark.parametrize("reduce_to", [1, 100, 375, 400, 401, 749, 800, 801, 5000])
def test_reduced_decoding_keeps_the_requested_size(tmp_path, size, reduce_to):
    path = tmp_path / "photo.jpg"
    picture = broken_photos.color_picture(size)
    picture.save(path, quality=95, subsampling=0)
    assert load_image(path).size == size
    reduced = load_image(path, reduce_to)
    scale = next(s for s in (8, 4, 2, 1) if s == 1 or max(size) // s >= reduce_to)
    actual = max(size) / max(reduced.size)
    assert actual <= scale
    assert max(reduced.size) >= min(reduce_to, max(size))
    if min(size) >= 8:  # a very thin picture is reduced less
        assert actual > 0.9 * scale
        expected = picture.resize(reduced.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(reduced, float) - np.asarray(expected, float)).mean() < 5


def test_reduced_decoding_turns_upright_and_leaves_other_formats(tmp_path):
    color = broken_photos.color_picture((800, 600))
    exif = Image.Exif()
    exif[broken_photos.ORIENTATION_TAG] = 6
    broken_photos.oriented(color, 6).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    reduced = load_image(tmp_path / "turned.jpg", 200)
    assert reduced.size == (200, 150)
    expected = np.asarray(color.resize((200, 150), Image.Resampling.BOX), float)
    assert np.abs(np.asarray(reduced, float) - expected).mean() < 4
    color.save(tmp_path / "photo.png")
    assert load_image(tmp_path / "photo.png", 200).size == (800, 600)


# Sizes and copies

sides = st.integers(1, 60_000)
longest_sides = st.integers(32, 8192)


@settings(deadline=None)
@given(sides, sides, longest_sides)
def test_scaled_size_keeps_the_aspect(width, height, longest_side):
    new = scaled_size(width, height, longest_side)
    assert max(new) == longest_side
    for side, scaled in zip((width, height), new, strict=True):
        exact = side * longest_side / max(width, height)
        assert scaled >= 1
        assert abs(scaled - exact) <= 0.5 or (scaled == 1 and exact < 0.5)
    assert scaled_size(height, width, longest_side) == new[::-1]


@settings(deadline=None)
@given(sides, sides, longest_sides)
def test_scaled_size_without_upscaling_never_enlarges(width, height, longest_side):
    new = scaled_size(width, height, longest_side, upscale=False)
    if max(width, height) <= longest_side:
        assert new == (width, height)
    else:
        assert new == scaled_size(width, height, longest_side)
        assert max(new) == longest_side


@pytest.mark.parametrize(
    ("size", "longest_side", "expected"),
    [
        ((320, 240), 1050, (1050, 788)),  # 787.5, to even
        ((320, 240), 550, (550, 412)),  # 412.5, to even
        ((240, 320), 550, (412, 550)),
        ((3, 2), 100, (100, 67)),
        ((1, 1), 1050, (1050, 1050)),
        ((20000, 4), 1050, (1050, 1)),  # 0.21
    ],
)
def test_scaled_size_by_hand(size, longest_side, expected):
    assert scaled_size(*size, longest_side) == expected


@pytest.mark.parametrize("filter", transforms.RESIZE_FILTERS)
def test_copies_are_those_of_pillow(filter):
    picture = broken_photos.color_picture((333, 250))
    # Something that filters disagree on.
    picture.paste((0, 0, 0), (100, 50, 103, 200))
    copies = resized_copies(picture, (400, 200, 60), filter=filter)
    for copy, size in zip(copies, [(400, 300), (200, 150), (60, 45)], strict=True):
        assert copy.shape == (size[1], size[0], 3)
        assert copy.dtype == np.uint8
        expected = picture.resize(size, getattr(Image.Resampling, filter.upper()))
        np.testing.assert_array_equal(copy, np.asarray(expected))


def test_copies_of_copies_and_without_upscaling():
    picture = broken_photos.color_picture((333, 250))
    picture.paste((0, 0, 0), (100, 50, 103, 200))
    first, second = resized_copies(picture, (200, 60), from_previous=True)
    expected = Image.fromarray(first).resize((60, 45), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(second, np.asarray(expected))
    assert (second != resized_copies(picture, (60,))[0]).any()
    same, smaller = resized_copies(picture, (400, 200), upscale=False)
    np.testing.assert_array_equal(same, np.asarray(picture))
    np.testing.assert_array_equal(smaller, first)


# Boxes


@settings(deadline=None)
@given(st.data())
def test_a_box_inside_is_cut_out(data):
    picture = broken_photos.color_picture()
    x = data.draw(st.integers(0, picture.width - 1))
    y = data.draw(st.integers(0, picture.height - 1))
    w = data.draw(st.integers(1, picture.width - x))
    h = data.draw(st.integers(1, picture.height - y))
    cut = crop_box(picture, (x, y, w, h))
    np.testing.assert_array_equal(np.asarray(cut), np.asarray(picture)[y : y + h, x : x + w])


@pytest.mark.parametrize(
    "box",
    [
        *[(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (0, 0, 5, -5), (60, 0, 5, 5)],
        *[(0, 44, 5, 5), (64, 48, 1, 1), (0, 0, 65, 48), (0, 0, 64, 49), (10**12, 0, 1, 1)],
    ],
)
def test_a_box_outside_is_refused(box):
    with pytest.raises(UsageError, match=r"not inside the photo, which is 64 x 48 pixels"):
        crop_box(broken_photos.color_picture(), box)


# Real photos


def test_real_photos_load_upright(real_photos):
    paths = sorted(real_photos.glob("ukbench-first500/*.jpg"))[:40]
    paths += sorted(real_photos.glob("benchmark-samples/*/*/*.jpg"))[:6]
    assert len(paths) == 46
    for path in paths:
        with Image.open(path) as image:
            turned = image.getexif().get(broken_photos.ORIENTATION_TAG, 1) >= 5
            size = image.size[::-1] if turned else image.size
        assert load_image(path).size == size


RAMP = np.linspace(0, 1, 48 * 64).reshape(48, 64)
"""Gray from black to white."""


@pytest.mark.parametrize(
    "values",
    [
        RAMP,
        np.where(RAMP[20, 20] == RAMP, 1.5, RAMP),  # one value above 1
        RAMP * 255,
        RAMP * 65535,
        RAMP * 4,  # the range of no kind
        RAMP * 1e6,
        RAMP - 0.5,
        np.where(RAMP[20, 20] == RAMP, np.inf, RAMP),
    ],
    ids=["1", "above 1", "255", "65535", "4", "million", "negative", "infinite"],
)
def test_floats_are_scaled_by_their_range(tmp_path, values):
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "float.tif")
    gray = np.asarray(load_image(tmp_path / "float.tif").convert("L"), float)
    expected = 255 * RAMP
    expected[20, 20] = gray[20, 20]
    assert np.abs(gray - expected).max() < 2


@pytest.mark.parametrize("values", [RAMP * 65535, RAMP * 2e9, RAMP * 6e4 - 3e4])
def test_integers_are_scaled_by_their_range(tmp_path, values):
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "int.tif")
    gray = np.asarray(load_image(tmp_path / "int.tif").convert("L"), float)
    assert np.abs(gray - 255 * RAMP).max() < 2


def write_tiff(path, planes, bits, photometric, samples, planar, sample_format=1):
    """Write an uncompressed TIFF of 64 x 48 pixels with one strip a plane."""
    sizes = [len(plane) for plane in planes]
    tags = [
        (256, [64]), (257, [48]), (258, [bits] * samples), (259, [1]), (262, [photometric]),
        (273, [sum(sizes[:n]) + 8 for n in range(len(planes))]), (277, [samples]), (278, [48]),
        (279, sizes), (284, [planar]), (339, [sample_format] * samples),
    ]  # fmt: skip
    after = 8 + sum(sizes)  # the directory follows the strips
    lists = after + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for tag, numbers in tags:
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            extra, data = extra + data, struct.pack("<I", lists + len(extra))
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + data
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", after) + b"".join(planes) + directory + extra)
    return path


def test_white_is_zero(tmp_path):
    deep = (RAMP * 65535).astype("<u2").tobytes()
    for photometric, expected in ((1, RAMP), (0, 1 - RAMP)):
        path = write_tiff(tmp_path / "a.tif", [deep], 16, photometric, 1, 1)
        gray = np.asarray(load_image(path).convert("L"), float)
        assert np.abs(gray - 255 * expected).max() < 2
    floats = RAMP.astype("<f4").tobytes()
    path = write_tiff(tmp_path / "b.tif", [floats], 32, 0, 1, 1, sample_format=3)
    assert np.abs(np.asarray(load_image(path).convert("L"), float) - 255 * (1 - RAMP)).max() < 2


def test_layouts_are_read_right_or_refused_with_the_reason(tmp_path):
    color = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
    for bits, kind in ((8, "u1"), (16, "<u2")):
        values = (color * (2**bits - 1)).astype(kind)
        path = write_tiff(tmp_path / "interleaved.tif", [values.tobytes()], bits, 2, 3, 1)
        assert np.abs(np.asarray(load_image(path), float) - 255 * color).max() < 2
        planes = [values[..., band].tobytes() for band in range(3)]
        path = write_tiff(tmp_path / "planes.tif", planes, bits, 2, 3, 2)
        if bits == 8:
            assert np.abs(np.asarray(load_image(path), float) - 255 * color).max() < 2
        else:
            with pytest.raises(ImageError, match="separate color planes of 16 bits"):
                load_image(path)
    wide = color.astype("<f4").tobytes()
    path = write_tiff(tmp_path / "wide.tif", [wide], 32, 2, 3, 1, sample_format=3)
    with pytest.raises(ImageError, match="a TIFF of a kind that is not read, such as 32-bit"):
        load_image(path)


@pytest.mark.parametrize("suffix", [".mpo", ".jp2", ".j2k", ".jpx"])
def test_rarer_formats_of_cameras_and_archives(tmp_path, suffix):
    if suffix != ".mpo" and not features.check("jpg_2000"):
        pytest.skip("Pillow was built without JPEG 2000")
    picture = samples.picture(1)
    path = tmp_path / f"photo{suffix}"
    picture.save(path, "MPO" if suffix == ".mpo" else "JPEG2000")
    assert [file.path for file in find_photos([tmp_path]).photos] == [path]
    assert image_size(path) == picture.size
    difference = np.asarray(load_image(path), float) - np.asarray(picture, float)
    assert np.abs(difference).mean() < 4
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ImageError):
        load_image(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_without_its_end_marker_is_read_and_a_shorter_one_is_not(tmp_path, options):
    samples.textured_picture(1).save(tmp_path / "whole.jpg", quality=90, **options)
    data = (tmp_path / "whole.jpg").read_bytes()
    expected = np.asarray(load_image(tmp_path / "whole.jpg"))
    path = tmp_path / "cut.jpg"
    for missing in (1, 2):
        path.write_bytes(data[:-missing])
        np.testing.assert_array_equal(np.asarray(load_image(path)), expected)
        with path.open("rb") as file:
            np.testing.assert_array_equal(np.asarray(load_image(file)), expected)
    for missing in (200, 2000, len(data) // 2):
        path.write_bytes(data[:-missing])
        with pytest.raises(ImageError, match="truncated"):
            load_image(path)
