"""From a file to an upright 8-bit RGB image, and from that to the copies the network sees.

Images are `PIL.Image.Image` objects in mode RGB. Boxes are `(x, y, w, h)` in whole pixels of the
upright image, x to the right, y downwards.
"""

import contextlib
import functools
import importlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from resight.errors import ImageError, UsageError

Box = tuple[int, int, int, int]

MAX_PIXELS = 128_000_000
"""Photos that would decode to more pixels are refused: 128 megapixels are 384 MB as RGB."""

MAX_JPEG_PIXELS = 4 * MAX_PIXELS
"""JPEGs up to this size are decoded at half scale or less, so that `MAX_PIXELS` still holds."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PHOTO_SUFFIXES = HEIF_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif",
}  # fmt: skip
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
"""Decoders that may run: a file's content decides, not its name, and no rare format is tried."""

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
    try:
        with Image.open(file, formats=_decoders()) as image:
            _limit_size(image, reduce_to)
            image.load()
            _turn_upright(image)
            return _to_rgb(image)
    except UnidentifiedImageError:
        raise ImageError(_unidentified(file)) from None
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        raise ImageError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def crop_box(image: Image.Image, box: Box) -> Image.Image:
    """The region `box` of an upright image.

    Raises:
        UsageError: the box is empty or not inside the image.
    """
    x, y, w, h = box
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > image.width or y + h > image.height:
        raise UsageError(
            f"--box {x},{y},{w},{h}: not inside the photo, which is "
            f"{image.width} x {image.height} pixels (x,y is the upper left corner, then w,h)"
        )
    return image.crop((x, y, x + w, y + h))


def resized_copies(
    image: Image.Image,
    resolutions: tuple[int, ...],
    *,
    filter: str = "bilinear",
    upscale: bool = True,
    from_previous: bool = False,
) -> list[np.ndarray]:
    """The copies of an image whose longest sides are `resolutions` (section 2).

    Returns:
        One uint8 array (h, w, 3) for each resolution, aspect kept, both sides rounded to the
        nearest pixel and at least 1.
    """
    copies, source = [], image
    for longest_side in resolutions:
        size = scaled_size(image.width, image.height, longest_side, upscale=upscale)
        copy = source.resize(size, RESIZE_FILTERS[filter])
        copies.append(np.asarray(copy))
        source = copy if from_previous else image
    return copies


def scaled_size(
    width: int, height: int, longest_side: int, *, upscale: bool = True
) -> tuple[int, int]:
    """`(width, height)` scaled so that the longer one is `longest_side`; halves round up.

    >>> scaled_size(1280, 720, 800)
    (800, 450)
    >>> scaled_size(20000, 30, 1050), scaled_size(300, 200, 1050, upscale=False)
    ((1050, 2), (300, 200))
    """
    longest = max(width, height)
    target = longest_side if upscale else min(longest_side, longest)
    # Integer arithmetic: floor(side * target / longest + 1/2), exact for every size.
    width, height = ((2 * side * target + longest) // (2 * longest) for side in (width, height))
    return max(1, width), max(1, height)


def _limit_size(image: ImageFile.ImageFile, reduce_to: int | None) -> None:
    pixels = image.width * image.height
    if image.format in ("JPEG", "MPO") and pixels <= MAX_JPEG_PIXELS:
        longest = max(image.size)
        scale = 2 if pixels > MAX_PIXELS else 1
        while reduce_to and scale < 8 and longest // (2 * scale) >= reduce_to:
            scale *= 2
        if scale > 1:
            image.draft("RGB", (image.width // scale, image.height // scale))
        pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"{image.width} x {image.height} pixels, more than the limit of "
            f"{MAX_PIXELS // 10**6} megapixels"
        )


def _turn_upright(image: Image.Image) -> None:
    with contextlib.suppress(Exception):  # damaged EXIF must not lose a good picture
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey_to_8_bit(image).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        over_white = Image.new("RGB", image.size, "white")
        rgba = image.convert("RGBA")
        over_white.paste(rgba, mask=rgba.getchannel("A"))
        return over_white
    return image.convert("RGB")


def _grey_to_8_bit(image: Image.Image) -> Image.Image:
    """16-bit and wider greys: 0..65535 to 0..255; floats in 0..1 to 0..255."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        top = 255.0 if values.size and np.nanmax(values) <= 1.0 else 1.0
        values = np.nan_to_num(values) * top
    elif values.dtype.itemsize > 1:
        values = np.clip(values, 0, 65535) >> 8
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@functools.cache
def _decoders() -> list[str]:
    # Pillow's limit would refuse JPEGs that can be decoded at half scale; `_limit_size` is ours.
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    # Without the extra a HEIC file fails with a reason that names it.
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def _unidentified(file: Path | IO[bytes]) -> str:
    name = file if isinstance(file, Path) else getattr(file, "name", "")
    if Path(str(name)).suffix.lower() in HEIF_SUFFIXES and "HEIF" not in Image.OPEN:
        return "HEIC needs an extra: pip install 'resight[heif]'"
    return "not an image, or damaged beyond recognition"
