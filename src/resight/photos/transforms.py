"""Crops and resized copies of upright images.

Boxes are `(x, y, w, h)` in whole pixels of the upright image, x to the right, y downwards.
"""

import math

import numpy as np
from PIL import Image

from resight.errors import UsageError

Box = tuple[int, int, int, int]

RESIZE_FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

QUARTER_TURNS = {
    1: Image.Transpose.ROTATE_270,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_90,
}
"""By quarters clockwise; Pillow counts counterclockwise."""


def crop_box(image: Image.Image, box: Box) -> Image.Image:
    """Cut the region `box` out of an upright image.

    Raises:
        UsageError: the box is empty or not inside the image.
    """
    check_box(box, image.size)
    x, y, w, h = box
    return image.crop((x, y, x + w, y + h))


def scale_box(box: Box, size: tuple[int, int], decoded: tuple[int, int]) -> Box:
    """Convert a box in a photo of `size` to pixels of its reduced decoding of size `decoded`.

    >>> scale_box((100, 50, 31, 1), (400, 300), (200, 150))
    (50, 25, 16, 1)
    """
    if size == decoded:
        return box
    x, y, w, h = box
    x_scale = decoded[0] / size[0]
    y_scale = decoded[1] / size[1]
    left, top = int(x * x_scale), int(y * y_scale)
    right = max(left + 1, min(decoded[0], math.ceil((x + w) * x_scale)))
    bottom = max(top + 1, min(decoded[1], math.ceil((y + h) * y_scale)))
    return left, top, right - left, bottom - top


def turn(image: Image.Image, *, mirrored: bool, turns: int) -> Image.Image:
    """Mirror an image (left and right exchanged), then turn it clockwise by quarters."""
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(QUARTER_TURNS[turns]) if turns else image


def unturn(points: np.ndarray, size: tuple[int, int], *, mirrored: bool, turns: int) -> np.ndarray:
    """Convert points (n, 2) of an image that `turn` made, of `size`, to the image before.

    >>> unturn(np.array([[0, 0], [9, 19]]), (300, 400), mirrored=False, turns=1).tolist()
    [[0, 299], [19, 290]]
    """
    x, y = points.T
    width, height = size
    for _ in range(turns):  # counterclockwise
        x, y = y, width - 1 - x
        width, height = height, width
    return np.stack([width - 1 - x if mirrored else x, y], axis=1)


def unturn_box(box: Box, size: tuple[int, int], *, mirrored: bool, turns: int) -> Box:
    """Convert a box as `unturn` does points.

    >>> unturn_box((0, 0, 10, 20), (300, 400), mirrored=False, turns=1)
    (0, 290, 20, 10)
    """
    x, y, w, h = box
    corners = unturn(
        np.array([[x, y], [x + w - 1, y + h - 1]]), size, mirrored=mirrored, turns=turns
    )
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right - left + 1, bottom - top + 1


def check_box(box: Box, size: tuple[int, int]) -> None:
    """Refuse a box that is empty or not inside a photo of `size`.

    Raises:
        UsageError: it names the size.
    """
    x, y, w, h = box
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > size[0] or y + h > size[1]:
        raise UsageError(
            f"{x},{y},{w},{h} is not inside the photo, which is {size[0]} x {size[1]} pixels "
            "(x,y is the upper left corner, then w,h)",
            parameter="box",
        )


def bounding_box(points: np.ndarray) -> Box | None:
    """Return the smallest box of whole pixels around points (N, 2); None without any."""
    if not len(points):
        return None
    left, top = np.floor(points.min(axis=0) + 0.5).astype(int).tolist()
    right, bottom = np.floor(points.max(axis=0) + 0.5).astype(int).tolist()
    return left, top, right - left + 1, bottom - top + 1


def resized_copies(
    image: Image.Image,
    resolutions: tuple[int, ...],
    *,
    filter: str = "bilinear",
    upscale: bool = True,
    from_previous: bool = False,
    square: bool = False,
) -> list[np.ndarray]:
    """Resize an image to copies whose longest sides are `resolutions` (section 2).

    Returns:
        One uint8 array (h, w, 3) for each resolution, aspect kept unless `square`, both sides
        rounded to the nearest pixel and at least 1.
    """
    copies = []
    source = image
    for longest_side in resolutions:
        size = scaled_size(image.width, image.height, longest_side, upscale=upscale)
        if square:
            size = (max(size), max(size))
        copy = source.resize(size, RESIZE_FILTERS[filter])
        copies.append(np.asarray(copy))
        source = copy if from_previous else image
    return copies


def scaled_size(
    width: int, height: int, longest_side: int, *, upscale: bool = True
) -> tuple[int, int]:
    """Scale `(width, height)` so that the longer one is `longest_side`; halves round to even.

    >>> scaled_size(1280, 720, 800), scaled_size(320, 240, 550)
    ((800, 450), (550, 412))
    >>> scaled_size(20000, 30, 1050), scaled_size(300, 200, 1050, upscale=False)
    ((1050, 2), (300, 200))
    """
    longest = max(width, height)
    target = longest_side if upscale else min(longest_side, longest)
    return max(1, round(width * target / longest)), max(1, round(height * target / longest))
