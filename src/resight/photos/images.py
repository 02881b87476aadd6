"""From a file to an upright 8-bit RGB image, and from that to the copies the network sees.

Images are `PIL.Image.Image` objects in mode RGB. Boxes are `(x, y, w, h)` in whole pixels of the
upright image, x to the right, y downwards.
"""

import contextlib
import ctypes
import functools
import importlib
import io
import logging
import math
import os
import stat
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, _imaging

from resight.errors import ImageError, UsageError
from resight.photos.remote import is_remote, open_photo

Box = tuple[int, int, int, int]

MAX_PIXELS = 80_000_000
"""Photos that would decode to more pixels are refused: one of this size takes 320 MB (Pillow stores
4 bytes a pixel) and 0.9 GB for a moment while it is decoded and turned, which with the network
at work stays within 2 GiB. JPEGs, which larger photos nearly always are, see `MAX_JPEG_PIXELS`."""

MAX_JPEG_PIXELS = 4 * MAX_PIXELS
"""JPEGs up to this size are decoded at half scale or less, so that `MAX_PIXELS` still holds; not
progressive ones, for which libjpeg keeps the coefficients of the whole picture."""

MAX_WEBP_PIXELS = MAX_PIXELS // 2
"""WebP takes 16 bytes a pixel while it is decoded, twice as many as other formats."""

MAX_FILE_BYTES = 1 << 30
"""Larger files are refused: some decoders read the whole file into memory first."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PHOTO_SUFFIXES = HEIF_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif",
}  # fmt: skip
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
"""Decoders that may run: a file's content decides, not its name, and no rare format is tried."""
PLUGINS = ("Jpeg", "Mpo", "Png", "WebP", "Tiff", "Bmp", "Gif", "Avif")
"""Pillow's modules for them; all forty of its plugins would take a tenth of a second to import."""

_KEEP_DECODER = frozenset({"WEBP", "AVIF"})
_STRIP_PIXELS = 1 << 20

RESIZE_FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def load_image(file: Path | IO[bytes], reduce_to: int | None = None) -> Image.Image:
    """Decode the (first) picture of a file: upright, RGB, 8 bit.

    EXIF orientation is applied; transparency is laid over white; 16-bit greys are scaled to 8.

    Args:
        file: a path, or a binary file at its start.
        reduce_to: a JPEG may be decoded at 1/2, 1/4 or 1/8 while its longest side stays at
            least this many pixels.

    Raises:
        ImageError: the file is no image, is damaged or truncated, or has too many pixels.
    """
    with _reading(file) as image:
        _limit_size(image, reduce_to)
        image.load()
        _turn_upright(image)
        return _to_rgb(image)


def image_size(file: Path | IO[bytes]) -> tuple[int, int]:
    """Width and height of the upright picture in a file, from its header alone.

    Raises:
        ImageError: the file is no image.
    """
    with _reading(file) as image:
        width, height = image.size
        # Pillow turns a TIFF's size itself, and would decode all of a PNG to look for EXIF.
        if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
            return width, height
        orientation = 1
        with contextlib.suppress(Exception):  # as in `_turn_upright`
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def taken_at(file: Path) -> datetime | None:
    """When a photo was taken, by its EXIF data, in the camera's own time; None if nobody knows."""
    with contextlib.suppress(Exception), _reading(file) as image:  # as in `_turn_upright`
        exif = image.getexif()
        original = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        said = original or exif.get(ExifTags.Base.DateTime)
        return datetime.strptime(str(said).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    return None


def crop_box(image: Image.Image, box: Box) -> Image.Image:
    """The region `box` of an upright image.

    Raises:
        UsageError: the box is empty or not inside the image.
    """
    check_box(box, image.size)
    x, y, w, h = box
    return image.crop((x, y, x + w, y + h))


def scale_box(box: Box, size: tuple[int, int], decoded: tuple[int, int]) -> Box:
    """A box in a photo of `size`, in the pixels of its reduced decoding of size `decoded`.

    >>> scale_box((100, 50, 31, 1), (400, 300), (200, 150))
    (50, 25, 16, 1)
    """
    if size == decoded:
        return box
    x, y, w, h = box
    across, down = decoded[0] / size[0], decoded[1] / size[1]
    left, top = int(x * across), int(y * down)
    right = max(left + 1, min(decoded[0], math.ceil((x + w) * across)))
    bottom = max(top + 1, min(decoded[1], math.ceil((y + h) * down)))
    return left, top, right - left, bottom - top


def check_box(box: Box, size: tuple[int, int]) -> None:
    """Refuse a box that is empty or not inside a photo of `size`, with a UsageError."""
    x, y, w, h = box
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > size[0] or y + h > size[1]:
        raise UsageError(
            f"--box {x},{y},{w},{h}: not inside the photo, which is {size[0]} x {size[1]} pixels "
            "(x,y is the upper left corner, then w,h)"
        )


def resized_copies(
    image: Image.Image,
    resolutions: tuple[int, ...],
    *,
    filter: str = "bilinear",
    upscale: bool = True,
    from_previous: bool = False,
    square: bool = False,
) -> list[np.ndarray]:
    """The copies of an image whose longest sides are `resolutions` (section 2).

    Returns:
        One uint8 array (h, w, 3) for each resolution, aspect kept unless `square`, both sides
        rounded to the nearest pixel and at least 1.
    """
    copies, source = [], image
    for longest_side in resolutions:
        size = scaled_size(image.width, image.height, longest_side, upscale=upscale)
        size = (max(size),) * 2 if square else size
        copy = source.resize(size, RESIZE_FILTERS[filter])
        copies.append(np.asarray(copy))
        source = copy if from_previous else image
    return copies


def scaled_size(
    width: int, height: int, longest_side: int, *, upscale: bool = True
) -> tuple[int, int]:
    """`(width, height)` scaled so that the longer one is `longest_side`; halves round to even.

    >>> scaled_size(1280, 720, 800), scaled_size(320, 240, 550)
    ((800, 450), (550, 412))
    >>> scaled_size(20000, 30, 1050), scaled_size(300, 200, 1050, upscale=False)
    ((1050, 2), (300, 200))
    """
    longest = max(width, height)
    target = longest_side if upscale else min(longest_side, longest)
    return max(1, round(width * target / longest)), max(1, round(height * target / longest))


@contextlib.contextmanager
def _reading(file: Path | IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """The image in a file, opened; whatever is wrong with it becomes an `ImageError`."""
    try:
        if isinstance(file, Path) and is_remote(file):
            file = open_photo(file)
        _check_file(file)
        with Image.open(file, formats=_decoders()) as image:
            yield image
    except UnidentifiedImageError:
        raise ImageError(_unidentified(file)) from None
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        raise ImageError(_reason(error)) from None


def _check_file(file: Path | IO[bytes]) -> None:
    try:
        status = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return  # bytes in memory
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for a writer, maybe for ever
        raise ImageError("not a regular file")
    if status.st_size == 0:
        raise ImageError("an empty file")
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(f"larger than the limit of {MAX_FILE_BYTES >> 20} MiB")


def _limit_size(image: ImageFile.ImageFile, reduce_to: int | None) -> None:
    pixels = image.width * image.height
    if pixels == 0:
        raise ImageError("a picture without pixels")
    limit = MAX_WEBP_PIXELS if image.format == "WEBP" else MAX_PIXELS
    reducible = pixels <= MAX_PIXELS or not image.info.get("progressive")
    if image.format in ("JPEG", "MPO") and pixels <= MAX_JPEG_PIXELS and reducible:
        longest = max(image.size)
        scale = 2 if pixels > MAX_PIXELS else 1
        while reduce_to and scale < 8 and longest // (2 * scale) >= reduce_to:
            scale *= 2
        if scale > 1:
            image.draft("RGB", (max(1, image.width // scale), max(1, image.height // scale)))
        pixels = image.width * image.height
    if pixels > limit:
        raise ImageError(
            f"{image.width} x {image.height} pixels, more than the limit of "
            f"{limit // 10**6} megapixels"
        )


def _turn_upright(image: Image.Image) -> None:
    with contextlib.suppress(Exception):  # damaged EXIF must not lose a good picture
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey_to_8_bit(image).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        return _over_white(image)
    if image.mode == "RGB":
        # These decoders hold two or three times the picture for as long as their image lives.
        return image.copy() if image.format in _KEEP_DECODER else image
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    over_white = Image.new("RGB", image.size, "white")
    for top, strip in _strips(image):
        rgba = strip.convert("RGBA")
        over_white.paste(rgba, (0, top), mask=rgba.getchannel("A"))
    return over_white


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit and wider greys: 0..65535 to 0..255; floats in 0..1 to 0..255."""
    grey = Image.new("L", image.size)
    with np.errstate(invalid="ignore"):  # a damaged float may be a signaling NaN
        scale = 1 / 256
        if image.mode == "F":
            brightest = max(np.nan_to_num(np.asarray(strip)).max() for _, strip in _strips(image))
            scale = 255.0 if brightest <= 1.0 else 1.0
        for top, strip in _strips(image):
            values = np.nan_to_num(np.asarray(strip, np.float64))
            values = np.clip(values, 0, 255 / scale) * scale
            grey.paste(Image.fromarray(values.astype(np.uint8)), (0, top))
    return grey


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    # Strip by strip, so that no second picture of 4 or 8 bytes a pixel comes to be.
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


@functools.cache
def _decoders() -> list[str]:
    # Pillow's limit would refuse JPEGs that can be decoded at half scale; `_limit_size` is ours.
    Image.MAX_IMAGE_PIXELS = None
    # What is wrong with a photo is told by its `ImageError` alone, not on standard error as well.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError, OSError):  # where libtiff is linked in statically
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    for name in PLUGINS:
        with contextlib.suppress(ImportError):  # AVIF comes with newer versions of Pillow
            importlib.import_module(f"PIL.{name}ImagePlugin")
    # Without the extra a HEIC file fails with a reason that names it.
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def _reason(error: Exception) -> str:
    # An OSError's own text would hold the path; a damaged file's bytes may hold anything.
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if not isinstance(error, OSError | SyntaxError | ValueError):
        text = f"damaged ({type(error).__name__}: {text})"
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:200] or type(error).__name__


def _unidentified(file: Path | IO[bytes]) -> str:
    name = file if isinstance(file, Path) else getattr(file, "name", "")
    if Path(str(name)).suffix.lower() in HEIF_SUFFIXES and "HEIF" not in Image.OPEN:
        return "HEIC needs an extra: pip install 'resight[heif]'"
    return "not an image, or damaged beyond recognition"
