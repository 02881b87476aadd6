"""One representation from several resolutions of a photo (section 3)."""

import functools
from collections.abc import Sequence

import numpy as np

from resight.descriptors.pooling import l2_normalize

CUBIC = -0.75
"""The parameter a of Keys' cubic convolution, as in torch and OpenCV."""


def early_fusion(
    feature_maps: Sequence[np.ndarray],
    *,
    interpolation: str = "bilinear",
    align_corners: bool = False,
) -> np.ndarray:
    """The sum of feature maps, each rescaled to the size of the first.

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
        fused += rescale(other, fused.shape[1:], interpolation, align_corners)
    return fused


def late_fusion(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The normalized sum of the resolutions' vectors (D,), each normalized first.

    Source: Gordo et al. 2016, as the paper cites it (its rows "M-R").
    """
    return l2_normalize(np.sum([l2_normalize(vector) for vector in vectors], axis=0))


def rescale(
    feature_map: np.ndarray,
    size: tuple[int, ...],
    interpolation: str = "bilinear",
    align_corners: bool = False,
) -> np.ndarray:
    """A map (C, H, W) at another height and width, as `torch.nn.functional.interpolate` does it.

    Rescaling is linear along each axis, so it is two products with small matrices. Channels come
    last in memory, where the products are fastest.
    """
    channels, height, width = feature_map.shape
    down = _axis_weights(height, size[0], interpolation, align_corners)
    across = _axis_weights(width, size[1], interpolation, align_corners)
    places = np.ascontiguousarray(feature_map.transpose(1, 2, 0))
    rows = (down @ places.reshape(height, -1)).reshape(size[0], width, channels)
    return (across @ rows).transpose(2, 0, 1)


@functools.lru_cache(maxsize=256)
def _axis_weights(old: int, new: int, interpolation: str, align_corners: bool) -> np.ndarray:
    """What each of `old` positions gives to each of `new` ones, float32 (new, old)."""
    weights = np.zeros((new, old))
    target = np.arange(new)
    if interpolation == "nearest":
        weights[target, target * old // new] = 1
        return weights.astype(np.float32)
    if align_corners:
        source = target * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        source = (target + 0.5) * (old / new) - 0.5
    if interpolation == "bilinear":
        source = source.clip(min=0)  # at the border the outer position alone counts
    first = np.floor(source).astype(int)
    taps = range(2) if interpolation == "bilinear" else range(-1, 3)
    for tap in taps:
        distance = np.abs(source - (first + tap))
        share = 1 - distance if interpolation == "bilinear" else _cubic(distance)
        np.add.at(weights, (target, (first + tap).clip(0, old - 1)), share)
    return weights.astype(np.float32)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel at distances from 0 to 2."""
    near = (CUBIC + 2) * distance**3 - (CUBIC + 3) * distance**2 + 1
    far = CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)
