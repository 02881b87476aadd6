"""Varied copies of a photo: what its subject looks like from elsewhere and in other light.

Each copy differs by a random perspective, rotation, crop, gamma, color gains, and often a blur or a
covered patch. Nothing is mirrored: a mirror image is not the same thing (text, facades).

Source: the ranges are those of the transformations that Seddati et al. 2017, section 5, plan to
generate positive examples by; measured in `docs/results.md`.
"""

import cv2
import numpy as np
from PIL import Image

CROP = (0.55, 1.0)
"""Sides of the crop, as a share of the photo's."""
PERSPECTIVE = 0.12
"""Largest shift of a corner, as a share of the side."""
ROTATION = 20.0
"""Largest rotation, in degrees."""
GAMMA = (0.5, 2.0)
GAINS = (0.6, 1.2)
"""Factors of red, green and blue, each by itself."""
BLUR_SHARE, BLUR = 0.4, (0.3, 2.5)
"""Share of the copies that are blurred, and the standard deviations in pixels."""
PATCH_SHARE, PATCH = 0.5, 0.25
"""Share of the copies with a covered patch, and its sides as a share of the copy's."""


def varied_copies(
    image: Image.Image, count: int, longest_side: int, seed: int
) -> list[Image.Image]:
    """Return `count` varied copies of an RGB image, each with a given longest side in pixels.

    The same image and seed give the same copies.
    """
    generator = np.random.default_rng(seed)
    pixels = np.asarray(image.convert("RGB"))
    return [Image.fromarray(_vary(pixels, longest_side, generator)) for _ in range(count)]


def _vary(pixels: np.ndarray, longest_side: int, generator: np.random.Generator) -> np.ndarray:
    """Return one copy, uint8 (h, w, 3)."""
    corners, crop = _random_quadrilateral(pixels.shape, generator)
    scale = longest_side / crop.max()
    width, height = np.maximum(1, np.rint(crop * scale)).astype(int).tolist()
    copy = _warp(pixels, corners, (width, height), scale)
    copy = _relight(copy, generator)
    if generator.random() < BLUR_SHARE:
        copy = cv2.GaussianBlur(copy, (0, 0), generator.uniform(*BLUR))
    if generator.random() < PATCH_SHARE:
        w, h = int(width * PATCH), int(height * PATCH)
        x, y = generator.integers(0, (width - w + 1, height - h + 1))
        copy[y : y + h, x : x + w] = generator.integers(0, 256, 3)
    return copy


def _random_quadrilateral(
    shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the part of an image (h, w, 3) that a copy shows.

    Returns:
        Its corners, clockwise from the upper left, (4, 2) in pixels; its width and height (2,).
    """
    size = np.array([shape[1], shape[0]], float)
    crop = size * generator.uniform(*CROP)
    corners = generator.uniform(0, size - crop) + crop * [[0, 0], [1, 0], [1, 1], [0, 1]]
    corners += crop * generator.uniform(-PERSPECTIVE, PERSPECTIVE, (4, 2))
    angle = np.deg2rad(generator.uniform(-ROTATION, ROTATION))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    center = corners.mean(axis=0)
    return (corners - center) @ turn + center, crop


def _warp(
    pixels: np.ndarray, corners: np.ndarray, size: tuple[int, int], scale: float
) -> np.ndarray:
    """Map a quadrilateral to an image of a size (width, height); beyond the photo, mirrored."""
    reduction = max(1, int(1 / scale))
    if reduction > 1:  # or sampling would alias
        height, width = (max(1, side // reduction) for side in pixels.shape[:2])
        corners = corners * [width / pixels.shape[1], height / pixels.shape[0]]
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    target = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target.astype(np.float32))
    return cv2.warpPerspective(
        pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def _relight(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Apply a random gamma and gain to each channel."""
    gamma = np.exp(generator.uniform(*np.log(GAMMA)))
    gains = generator.uniform(*GAINS, 3)
    levels = 255 * gains * (np.arange(256)[:, None] / 255) ** gamma
    return cv2.LUT(pixels, np.clip(levels, 0, 255).astype(np.uint8)[None])
