"""Fusion of a photo's resolutions into one representation (section 3)."""

import functools
from collections.abc import Sequence

import numpy as np

from resight.vectors import l2_normalize

CUBIC = -0.75
"""The parameter a of Keys' cubic convolution, as in torch and OpenCV."""


def early_fusion(
    feature_maps: Sequence[np.ndarray],
    *,
    interpolation: str = "bilinear",
    align_corners: bool = False,
) -> np.ndarray:
    """Add feature maps, each rescaled to the size of the first.

    Args:
        feature_maps: float32 (C, H_r, W_r) for each resolution r.
        interpolation: `nearest`, `bilinear` or `bicubic`.
        align_corners: torch's convention for the corners (not with `nearest`).

    Returns:
        (C, H_1, W_1), not divided by the number of maps: the descriptor is normalized later.

    Source: Seddati et al. 2017, section 3.4 and algorithm 1, "Scale + SUM".
    """
    fused = feature_maps[0].copy(order="K")
    for other in feature_maps[1:]:
        _add_rescaled(other, fused, interpolation, align_corners)
    return fused


def late_fusion(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the normalized sum of the resolutions' vectors (D,), each normalized first.

    Source: Gordo et al. 2016, as the paper cites it (its rows "M-R").
    """
    return l2_normalize(np.sum([l2_normalize(vector) for vector in vectors], axis=0))


def rescale(
    feature_map: np.ndarray,
    size: tuple[int, ...],
    interpolation: str = "bilinear",
    align_corners: bool = False,
) -> np.ndarray:
    """Rescale a map (C, H, W) to a height and width like `torch.nn.functional.interpolate`.

    Channels come last in memory.
    """
    rescaled = np.zeros((*size, len(feature_map)), feature_map.dtype).transpose(2, 0, 1)
    _add_rescaled(feature_map, rescaled, interpolation, align_corners)
    return rescaled


def _add_rescaled(
    feature_map: np.ndarray, target: np.ndarray, interpolation: str, align_corners: bool
) -> None:
    """Add a map (C, H, W), rescaled to the size of the target, to the target.

    Works row by row, so that the data stays in the processor's cache: four times as fast as
    products with the (mostly empty) matrices of the weights.
    """
    _, height, width = feature_map.shape
    row_sources, row_weights = _taps(height, target.shape[1], interpolation, align_corners)
    column_sources, column_weights = _taps(width, target.shape[2], interpolation, align_corners)
    source_rows = np.ascontiguousarray(feature_map.transpose(1, 2, 0))
    target_rows = target.transpose(1, 2, 0)
    for y, (sources, weights) in enumerate(zip(row_sources, row_weights, strict=True)):
        mixed = source_rows[sources[0]] * weights[0]
        for source, weight in zip(sources[1:], weights[1:], strict=True):
            mixed += source_rows[source] * weight
        for columns, column_weight in zip(column_sources.T, column_weights.T, strict=True):
            target_rows[y] += mixed[columns] * column_weight[:, None]


@functools.lru_cache(maxsize=256)
def _taps(
    old: int, new: int, interpolation: str, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the T source positions of each of `new` positions, and their weights: (new, T)."""
    target = np.arange(new)
    if interpolation == "nearest":
        return (target * old // new)[:, None], np.ones((new, 1), np.float32)
    if align_corners:
        source = target * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        source = (target + 0.5) * (old / new) - 0.5
    if interpolation == "bilinear":
        source = source.clip(min=0)  # at the border only the outer position counts
    taps = np.arange(2) if interpolation == "bilinear" else np.arange(-1, 3)
    positions = np.floor(source).astype(int)[:, None] + taps
    distances = np.abs(source[:, None] - positions)
    weights = 1 - distances if interpolation == "bilinear" else _cubic(distances)
    return positions.clip(0, old - 1), weights.astype(np.float32)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Evaluate Keys' kernel at distances from 0 to 2."""
    near = (CUBIC + 2) * distance**3 - (CUBIC + 3) * distance**2 + 1
    far = CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)
