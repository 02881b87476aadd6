"""Textured pictures and other views of them, for local features."""

import cv2
import numpy as np

from resight.ranking.strangers import Nearness


def texture(width: int, height: int, seed: int) -> np.ndarray:
    """Colored noise of several sizes, uint8 (h, w, 3): hundreds of keypoints, few alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (4, 8, 16, 32):
        coarse = rng.normal(size=(height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 40 * total, 0, 255).astype(np.uint8)


def view(pixels: np.ndarray, seed: int, strength: float = 0.08) -> np.ndarray:
    """Return the same plane from elsewhere, in other light."""
    rng = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    shifts = rng.uniform(-strength, strength, (4, 2)) * [width, height]
    matrix = cv2.getPerspectiveTransform(corners, (corners + shifts).astype(np.float32))
    moved = cv2.warpPerspective(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.clip(moved * rng.uniform(0.8, 1.1) + rng.normal(0, 3, pixels.shape), 0, 255).astype(
        np.uint8
    )


def pasted(background: np.ndarray, thing: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return a background with a thing on it, its upper left corner at x and y."""
    result = background.copy()
    result[y : y + thing.shape[0], x : x + thing.shape[1]] = thing
    return result


def near(*closeness: float) -> Nearness:
    """Return how near photos of a collection of some hundred are, by their closeness."""
    values = np.array(closeness)
    return Nearness(values, -15 * np.maximum(values, 0), chance=0.12)
