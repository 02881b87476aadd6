"""Heat maps by local features: what each adds to the cosine of two VLADs.

A word's block is its sum of residuals `s`, scaled for each value by `g = |s|**(power - 1)` and by
the lengths, so that `v = g * s` is linear in the residuals once `g` is known. The cosine is then,
exactly, a sum over pairs of features with the same word: `sum((r * g) * (r' * g'))`. As in
`explain`, such a pair counts as much as the two features look alike beyond the average.
"""

import math

import cv2
import numpy as np

from resight.descriptors.aggregation.vlad import ROUNDING
from resight.descriptors.local_features.rootsift import LocalFeatures
from resight.ranking.geometry import verify

LIKENESS_POWER = 3
"""Exponent of the cosine above the average, which weights a pair of features."""
HEAT_SIDE = 64
"""Cells along the longer side of a heat map."""
SPREAD = 1.5
"""Standard deviation of a feature's heat, in cells."""


def feature_supply(
    features: LocalFeatures, vocabulary: np.ndarray, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Split the VLAD of a photo over its local features.

    Args:
        features: N local features.
        vocabulary: float32 (K, 128), the words.
        power: exponent of the signed power law.

    Returns:
        Words int64 (N,) and parts float64 (N, 128); the parts of a word's features add up to the
        word's block of `vlad`.
    """
    words = np.asarray(vocabulary, dtype=np.float64)
    descriptors = features.descriptors.astype(np.float64)
    nearest = np.argmin((words**2).sum(axis=1) - 2.0 * (descriptors @ words.T), axis=1)
    parts = descriptors - words[nearest]
    blocks = 0
    for word in np.unique(nearest):
        members = nearest == word
        sums = parts[members].sum(axis=0)
        if np.linalg.norm(sums) <= ROUNDING:
            parts[members] = 0.0
            continue
        nonzero = sums != 0
        gain = np.zeros_like(sums)
        gain[nonzero] = np.abs(sums[nonzero]) ** (power - 1)
        parts[members] *= gain / np.linalg.norm(gain * sums)
        blocks += 1
    return nearest, parts / math.sqrt(max(1, blocks))


def feature_heats(
    query: LocalFeatures, other: LocalFeatures, vocabulary: np.ndarray, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each feature of two photos adds to their cosine, float64 (N,), (M,), >= 0."""
    words, parts = feature_supply(query, vocabulary, power)
    other_words, other_parts = feature_supply(other, vocabulary, power)
    heat, other_heat = np.zeros(len(words)), np.zeros(len(other_words))
    if not len(words) or not len(other_words):
        return heat, other_heat
    average = float(query.descriptors.mean(axis=0) @ other.descriptors.mean(axis=0))
    for word in np.intersect1d(words, other_words):
        mine, theirs = np.flatnonzero(words == word), np.flatnonzero(other_words == word)
        alike = query.descriptors[mine] @ other.descriptors[theirs].T - average
        pairs = np.maximum(parts[mine] @ other_parts[theirs].T, 0)
        pairs *= np.maximum(alike, 0) ** LIKENESS_POWER
        heat[mine], other_heat[theirs] = pairs.sum(axis=1), pairs.sum(axis=0)
    return heat, other_heat


def heat_map(points: np.ndarray, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw the heat of features at `points` (N, 2), in pixels of a photo, as a smooth map.

    Args:
        points: x and y.
        heat: (N,), values >= 0.
        size: width and height of the photo.

    Returns:
        float32 (h, w), the longer side `HEAT_SIDE`, 0 to 1; zeros where no feature has heat.
    """
    width, height = size
    cell = max(width, height) / HEAT_SIDE
    shape = max(1, round(height / cell)), max(1, round(width / cell))
    cells = np.zeros(shape, np.float32)
    column = np.clip((points[:, 0] + 0.5) / width * shape[1], 0, shape[1] - 1).astype(int)
    row = np.clip((points[:, 1] + 0.5) / height * shape[0], 0, shape[0] - 1).astype(int)
    np.add.at(cells, (row, column), heat)
    smooth = np.asarray(cv2.GaussianBlur(cells, (0, 0), SPREAD, borderType=cv2.BORDER_CONSTANT))
    highest = float(smooth.max())
    return smooth / np.float32(highest) if highest > 0 else cells


def feature_matches(query: LocalFeatures, other: LocalFeatures) -> np.ndarray:
    """Return matches that agree on one geometry: float32 (M, 4), x, y, x and y in pixels."""
    return verify(query, other).points(query, other)
