"""R-MAC as Tolias et al. define it: maxima over square regions, exact or by integral maps.

Source: Tolias, Sicre and Jegou, "Particular object retrieval with integral max-pooling of CNN
activations", ICLR 2016, sections 3 and 4. The paper's variant is in `modified_rmac`.
"""

import math

import numpy as np

from resight.config import WhiteningConfig
from resight.reductions.whitening import fit_whitening
from resight.vectors import Projection, l2_normalize

OVERLAP = 0.4
"""Target overlap of neighboring regions of the first scale."""
MAX_EXTRA = 6
"""Maximum number of regions that the longer side has more than the shorter one."""
ALPHA = 10.0
"""Power of the mean that approximates the maximum; the paper's choice."""

Region = tuple[int, int, int]
"""Top, left and side of a square, in positions of the map."""


def rmac(
    feature_map: np.ndarray,
    *,
    levels: int = 3,
    integral: bool = False,
    whitening: Projection | None = None,
) -> np.ndarray:
    """Sum the vectors of the regions and normalize the sum.

    Args:
        feature_map: float32 (C, H, W), values >= 0.
        levels: scales of the grid.
        integral: approximate the maxima by integral maps.
        whitening: of the regions' vectors, as in the paper (section 3.2).

    Returns:
        float32 (C,) of unit length, or (d,) with a whitening to d values.
    """
    vectors = region_vectors(feature_map, levels=levels, integral=integral)
    if whitening is not None:
        vectors = whitening.apply(vectors)
    return l2_normalize(vectors.sum(axis=0))


def region_vectors(
    feature_map: np.ndarray, *, levels: int = 3, integral: bool = False
) -> np.ndarray:
    """Return the vector of each region, of unit length (or zero): (C, H, W) to float32 (1 + R, C).

    The whole map is the first region, as in the authors' published code; for a square map it
    equals the region of the first scale. With `integral`, `(sum of x**10) ** (1 / 10)`, whose sums
    come from integral maps, approximates the maxima.
    """
    _, height, width = feature_map.shape
    regions = region_grid(height, width, levels)
    maxima = _approximate_maxima if integral else _maxima
    whole = feature_map.max(axis=(1, 2))
    return np.stack([l2_normalize(row) for row in [whole, *maxima(feature_map, regions)]])


def region_grid(height: int, width: int, levels: int = 3) -> list[Region]:
    """Return the squares of each scale l = 1..levels: l by l + m, of side 2 min(H, W) / (l + 1).

    The m extra regions along the longer side bring the overlap of the first scale's regions as
    close to 40 % as possible.
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


def fit_region_whitening(vectors: np.ndarray, values: int | None = None) -> Projection:
    """Fit the PCA-whitening of regions' vectors.

    Small variances are shrunk as for whole descriptors (section 12).

    Args:
        vectors: float32 (N, C), regions of many photos.
        values: number of components; None chooses it from the spectrum.

    Raises:
        FitError: fewer regions, or directions of variation, than `values`.
    """
    config = WhiteningConfig(features=values)
    fitted = fit_whitening(lambda: [vectors], [vectors.shape[1]], config)
    weight = np.ascontiguousarray(fitted.parts[0].T)
    return Projection(weight, -weight @ fitted.means)


def _starts(length: int, side: int, count: int) -> list[int]:
    """Return the first positions of `count` regions that together span the whole length."""
    if count == 1:
        return [(length - side) // 2]
    return [math.floor(i * (length - side) / (count - 1)) for i in range(count)]


def _maxima(feature_map: np.ndarray, regions: list[Region]) -> np.ndarray:
    return np.stack(
        [feature_map[:, y : y + side, x : x + side].max(axis=(1, 2)) for y, x, side in regions]
    )


def _approximate_maxima(feature_map: np.ndarray, regions: list[Region]) -> np.ndarray:
    """Return float32 (R, C) by integral maps, scaled by each channel's peak to avoid overflow."""
    peaks = np.maximum(feature_map.max(axis=(1, 2)), np.finfo(np.float32).tiny)
    powered = (feature_map / peaks[:, None, None]).astype(np.float64) ** ALPHA
    sums = np.pad(powered.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    rows = [
        sums[:, y + n, x + n] - sums[:, y, x + n] - sums[:, y + n, x] + sums[:, y, x]
        for y, x, n in regions
    ]
    # Rounding can leave a zero sum slightly negative.
    return (np.maximum(rows, 0) ** (1 / ALPHA) * peaks).astype(np.float32)
