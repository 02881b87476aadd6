"""R-MAC as Tolias et al. define it: maxima over square regions, true or by integral maps.

Source: Tolias, Sicre and Jegou, "Particular object retrieval with integral max-pooling of CNN
activations", ICLR 2016, sections 3 and 4. The paper's modified R-MAC is in `pooling`.
"""

import math

import numpy as np

from resight.config import WhiteningConfig
from resight.descriptors.pooling import l2_normalize
from resight.networks.projection import Projection
from resight.reductions.whitening import fit_whitening

OVERLAP = 0.4
"""Neighboring regions of the first scale share about so much."""
MAX_EXTRA = 6
"""The longer side has at most so many more regions than the shorter one."""
ALPHA = 10.0
"""The power whose mean stands for the maximum; the paper's choice."""

Region = tuple[int, int, int]
"""Top, left and side of a square, in positions of the map."""


def region_grid(height: int, width: int, levels: int = 3) -> list[Region]:
    """The squares of every scale l = 1..levels: l by l + m of them, of side 2 min(H, W) / (l + 1).

    The m more along the longer side are chosen so that regions of the first scale overlap by as
    near to 40 % as can be.
    """
    short, long = min(height, width), max(height, width)
    extra = 0
    if long > short:
        overlaps = [1 - (long - short) / (count * short) for count in range(1, MAX_EXTRA + 1)]
        extra = 1 + int(np.argmin([abs(overlap - OVERLAP) for overlap in overlaps]))
    regions = []
    for level in range(1, levels + 1):
        side = max(1, math.floor(2 * short / (level + 1)))
        tops = _starts(height, side, level + (extra if height > width else 0))
        lefts = _starts(width, side, level + (extra if width > height else 0))
        regions += [(top, left, side) for top in tops for left in lefts]
    return regions


def region_vectors(
    feature_map: np.ndarray, *, levels: int = 3, integral: bool = False
) -> np.ndarray:
    """The vector of each region, of unit length (or zero): (C, H, W) to float32 (1 + R, C).

    The whole map is the first region, as in the authors' published code; for a square map that is
    the region of the first scale once more.

    Args:
        feature_map: float32 (C, H, W), values >= 0.
        levels: scales of the grid.
        integral: not the true maxima, but the approximation `(sum of x**10) ** (1 / 10)`, whose
            sums are those of integral maps.
    """
    _, height, width = feature_map.shape
    regions = region_grid(height, width, levels)
    find = _approximate_maxima if integral else _maxima
    whole = feature_map.max(axis=(1, 2))
    return np.stack([l2_normalize(row) for row in [whole, *find(feature_map, regions)]])


def rmac(
    feature_map: np.ndarray,
    *,
    levels: int = 3,
    integral: bool = False,
    whitening: Projection | None = None,
) -> np.ndarray:
    """R-MAC: the sum of the regions' vectors, of unit length.

    Returns:
        float32 (C,); with a whitening of the regions, as in the paper (section 3.2), (d,).
    """
    vectors = region_vectors(feature_map, levels=levels, integral=integral)
    if whitening is not None:
        vectors = whitening.apply(vectors)
    return l2_normalize(vectors.sum(axis=0))


def fit_region_whitening(vectors: np.ndarray, values: int | None = None) -> Projection:
    """PCA-whitening of regions' vectors.

    Small variances are enlarged as those of whole descriptors are (section 12).

    Args:
        vectors: float32 (N, C), regions of many photos.
        values: components kept; None leaves their number to the spectrum.

    Raises:
        FitError: fewer regions, or directions in which they vary, than are wanted.
    """
    config = WhiteningConfig(features=values)
    fitted = fit_whitening(lambda: [vectors], [vectors.shape[1]], config)
    weight = np.ascontiguousarray(fitted.parts[0].T)
    return Projection(weight, -weight @ fitted.means)


def _starts(length: int, side: int, count: int) -> list[int]:
    """`count` first positions of regions that together reach from end to end."""
    if count == 1:
        return [(length - side) // 2]
    return [math.floor(i * (length - side) / (count - 1)) for i in range(count)]


def _maxima(feature_map: np.ndarray, regions: list[Region]) -> np.ndarray:
    return np.stack(
        [feature_map[:, y : y + side, x : x + side].max(axis=(1, 2)) for y, x, side in regions]
    )


def _approximate_maxima(feature_map: np.ndarray, regions: list[Region]) -> np.ndarray:
    """Float32 (R, C) by integral maps; relative to each channel's peak, so that none overflows."""
    peaks = np.maximum(feature_map.max(axis=(1, 2)), np.finfo(np.float32).tiny)
    powered = (feature_map / peaks[:, None, None]).astype(np.float64) ** ALPHA
    sums = np.pad(powered.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    rows = [
        sums[:, y + n, x + n] - sums[:, y, x + n] - sums[:, y + n, x] + sums[:, y, x]
        for y, x, n in regions
    ]
    # A sum that is zero can come out a little below.
    return (np.maximum(rows, 0) ** (1 / ALPHA) * peaks).astype(np.float32)
