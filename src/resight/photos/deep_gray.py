"""Images of more than 8 bits a value: gray scaled to 8 bits, and layouts that Pillow misreads."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from resight.errors import ImageError

STRIP_PIXELS = 1 << 20
SAMPLE_PIXELS = 1 << 16
"""Number of pixels from which the range of the values is estimated."""

FLOAT_WHITES = 1.0, 255.0, 65535.0
"""Values that programs use for white in images of floats."""
OUTLIERS = 0.05
"""Largest share of values above white, such as reflections."""
DARKEST = 16
"""Ratio of white to the largest value from which on floats are scaled by their own range."""

PHOTOMETRIC, PLANAR, BITS = 262, 284, 258
"""Tags of TIFF."""


def check_layout(image: ImageFile.ImageFile) -> None:
    """Refuse a TIFF with separate color planes of 16 bits, which Pillow displaces.

    Raises:
        ImageError: it is one.
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if tags.get(PLANAR, 1) == 2 and len(image.getbands()) > 1 and max(tags.get(BITS, (8,))) > 8:
        raise ImageError("a TIFF with separate color planes of 16 bits; save it interleaved")


def deep_gray_to_8_bit(image: Image.Image) -> Image.Image:
    """Convert gray of more than 8 bits, mode I;16, I or F, to 0..255.

    Integers have white at 65535, floats at 1, 255 or 65535, whichever holds nearly all values.
    Values that fit none of them, or are negative, are scaled by their range. What is not a number
    is black.
    """
    black, scale = _find_scale(image)
    inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0  # Pillow inverts 8 bits only
    gray = Image.new("L", image.size)
    with np.errstate(invalid="ignore"):  # a damaged float may be a signaling NaN
        for top, strip in strips(image):
            values = np.asarray(strip, np.float64)
            scaled = np.clip((values - black) * scale, 0, 255)
            if inverted:
                scaled = 255 - scaled
            gray.paste(Image.fromarray(np.nan_to_num(scaled).astype(np.uint8)), (0, top))
    return gray


def _find_scale(image: Image.Image) -> tuple[float, float]:
    """Return the value of black, and the factor by which the difference to it is multiplied."""
    if image.mode.startswith("I;16"):
        return 0.0, 1 / 256
    with np.errstate(invalid="ignore"):
        values = _sample(image)
        values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    black, brightest = values.min(), values.max()
    if black >= 0:
        for white in FLOAT_WHITES if image.mode == "F" else (65535.0,):
            fits = np.mean(values > white) <= OUTLIERS
            if fits and (white == 1 or image.mode == "I" or brightest > white / DARKEST):
                return 0.0, 1 / 256 if white == 65535 else 255 / white
            if fits:
                break
        black = 0.0
    return float(black), 255 / max(float(brightest - black), 1e-30)


def _sample(image: Image.Image) -> np.ndarray:
    """Return some of the values, float64 (n,), evenly chosen."""
    step = max(1, image.width * image.height // SAMPLE_PIXELS)
    return np.concatenate(
        # copies, because a view would keep its whole strip
        [np.asarray(strip).ravel()[::step].astype(np.float64) for _, strip in strips(image)]
    )


def strips(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Yield top and content of strips, which avoids a second image of 4 or 8 bytes a pixel.

    All tops are multiples of a number.
    """
    rows = max(1, STRIP_PIXELS // (image.width * multiple)) * multiple
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))
