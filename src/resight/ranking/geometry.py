"""Match the local features of two photos under one homography.

Ratio test: Lowe, IJCV 2004, section 7.1. Re-ranking by the number of inliers: Philbin, Chum, Isard,
Sivic and Zisserman, "Object retrieval with large vocabularies and fast spatial matching", CVPR
2007, section 3.3. RANSAC: MAGSAC++ (Barath et al., CVPR 2020) as in OpenCV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from resight.config import Geometry

if TYPE_CHECKING:
    from resight.descriptors.local_features.rootsift import LocalFeatures

RATIO = 0.8
"""Ratio of the ratio test, for SIFT."""
MAX_ERROR = 6.0
"""Largest error of an inlier, in pixels of the copy that SIFT processed."""
MIN_INLIERS = 8
"""Minimum number of inliers of two photos of the same thing; other pairs rarely reach 7."""

ITERATIONS = 2000
CONFIDENCE = 0.999
MAX_ZOOM = 20.0
"""Largest ratio of the sizes at which two photos show the same thing."""
MAX_STRETCH = 10.0
"""Largest foreshortening of a view; beyond it, matches agree by chance."""
CHUNK_VALUES = 2**23
"""Distances held at once while matching: 32 MiB as float32."""
ROUNDING = 1e-5
"""Squared distances between float32 descriptors of unit length have about this error."""


@dataclass(frozen=True)
class Verification:
    """Matches of two images.

    Attributes:
        inliers: number of matches that agree with the homography, 0 when there is none.
        homography: float64 (3, 3) from pixels of the query to pixels of the other image, lower
            right value 1; or None.
        matches: int64 (inliers, 2), index in the query and in the other, ascending.
    """

    inliers: int
    homography: np.ndarray | None
    matches: np.ndarray


def verify(
    query: "LocalFeatures",
    other: "LocalFeatures",
    *,
    ratio: float = RATIO,
    max_error: float = MAX_ERROR,
    seed: int = 0,
    geometry: Geometry = "homography",
) -> Verification:
    """Match two images and count the matches that agree on one homography, or affine map.

    Mirrored, collapsed and extremely stretched homographies count as none. The same for equal
    input and seed.

    Args:
        query: features of one image.
        other: features of the other.
        ratio: a match must be nearer than this share of the distance to the second nearest.
        max_error: largest distance, in pixels of the copy that SIFT processed, of an inlier from
            where the homography projects it, in both directions.
        seed: of RANSAC's samples.
        geometry: an affine map has two degrees of freedom less than a homography: it ignores
            perspective, and fewer matches agree on one by chance.
    """
    nothing = Verification(0, None, np.zeros((0, 2), np.int64))
    matches = one_per_place(
        mutual_matches(query.descriptors, other.descriptors, ratio), query.points, 0
    )
    matches = one_per_place(matches, other.points, 1)
    if len(matches) < 4:
        return nothing
    # In pixels of the copies that SIFT processed: an error means the same for photos of any size.
    source = query.points[matches[:, 0]].astype(np.float64) / query.scale
    target = other.points[matches[:, 1]].astype(np.float64) / other.scale
    homography = _ransac(source, target, max_error, seed, geometry)
    if homography is None:
        return nothing
    agree = _agreeing(homography, source, target, max_error)
    if np.count_nonzero(agree) < 4 or not plausible(homography, source[agree]).all():
        return nothing
    homography = (
        np.diag([other.scale, other.scale, 1.0])
        @ homography
        @ np.diag([1 / query.scale, 1 / query.scale, 1.0])
    )
    return Verification(int(agree.sum()), homography / homography[2, 2], matches[agree])


def order_by_inliers(inliers: Sequence[int | None], minimum: int = MIN_INLIERS) -> list[int]:
    """Return places of results: those with enough inliers first, by decreasing inliers.

    A result that was not verified (None) keeps its place.

    >>> order_by_inliers([0, 12, 3, 40]), order_by_inliers([0, None, 3, 40])
    ([3, 1, 0, 2], [3, 1, 0, 2])
    """
    keys = {
        place: -count if count >= minimum else 0
        for place, count in enumerate(inliers)
        if count is not None
    }
    verified = iter(sorted(keys, key=lambda place: keys[place]))
    return [next(verified) if place in keys else place for place in range(len(inliers))]


def mutual_matches(query: np.ndarray, other: np.ndarray, ratio: float) -> np.ndarray:
    """Find pairs of descriptors that are each other's nearest and pass the ratio test.

    Descriptors float32 (N, D) and (M, D) have unit length or are zero. The test looks from the
    query to the other image. Returns int64 (P, 2), index in `query` and in `other`, ascending.
    """
    if not len(query) or not len(other):
        return np.zeros((0, 2), np.int64)
    lengths = (other**2).sum(axis=1)
    back = np.zeros(len(other), np.int64)
    back_best = np.full(len(other), np.inf, np.float32)
    nearest, passes = [], []
    step = max(1, CHUNK_VALUES // len(other))
    for start in range(0, len(query), step):
        chunk = query[start : start + step]
        squares = (chunk**2).sum(axis=1)[:, None] + lengths - 2 * (chunk @ other.T)
        rows, columns = np.arange(len(chunk)), np.arange(len(other))
        up = squares.argmin(axis=0)
        closer = squares[up, columns] < back_best
        back[closer] = start + up[closer]
        back_best[closer] = squares[up, columns][closer]
        best_column = squares.argmin(axis=1)
        best = squares[rows, best_column]
        squares[rows, best_column] = np.inf
        # The margin keeps a descriptor that occurs twice from passing by rounding.
        passes.append(best < ratio**2 * squares.min(axis=1) - ROUNDING)
        nearest.append(best_column)
    forth, mutual = np.concatenate(nearest), np.concatenate(passes)
    mutual &= back[forth] == np.arange(len(query))
    return np.stack([np.flatnonzero(mutual), forth[mutual]], axis=1)


def one_per_place(matches: np.ndarray, points: np.ndarray, side: int) -> np.ndarray:
    """Drop matches of the same place, which SIFT describes once for each orientation.

    `points` (N, 2) are those of the matches' first or second photo, as `side` is 0 or 1.
    """
    x, y = points[matches[:, side]].T
    _, first = np.unique(x + 1j * y, return_index=True)  # faster than rows
    return matches[np.sort(first)]


def _ransac(
    source: np.ndarray, target: np.ndarray, max_error: float, seed: int, geometry: Geometry
) -> np.ndarray | None:
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.sampler = cv2.SAMPLING_UNIFORM
    params.isParallel = False  # parallel runs are not repeatable
    params.randomGeneratorState = seed
    params.threshold = max_error
    params.maxIterations = ITERATIONS
    params.confidence = CONFIDENCE
    homography: np.ndarray | None
    if geometry == "affine":
        affine, _ = cv2.estimateAffine2D(source, target, params)
        homography = None if affine is None else np.concatenate([affine, [[0, 0, 1]]])
    else:
        homography, _ = cv2.findHomography(source, target, params)
    if homography is None or homography.shape != (3, 3) or not np.isfinite(homography).all():
        return None
    if homography[2, 2] == 0 or np.linalg.matrix_rank(homography) < 3:
        return None
    return np.asarray(homography / homography[2, 2], dtype=np.float64)


def _agreeing(
    homography: np.ndarray, source: np.ndarray, target: np.ndarray, max_error: float
) -> np.ndarray:
    """Check which points fit both ways, neither mirrored nor beyond the horizon, bool (P,)."""
    there, depth = project(homography, source)
    back, _ = project(np.linalg.inv(homography), target)
    near = np.linalg.norm(there - target, axis=1) <= max_error
    near &= np.linalg.norm(back - source, axis=1) <= max_error
    # The determinant of the Jacobian at a point is det(H) / depth**3.
    return np.asarray(near & (depth * np.linalg.det(homography) > 0))


def project(homography: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places (P, 2) and homogeneous coordinates (P,); places at infinity are infinite."""
    x = np.column_stack([points, np.ones(len(points))]) @ homography.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return x[:, :2] / x[:, 2:], x[:, 2]


def plausible(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Check where a map zooms and stretches within limits: bool (P,) for points (P, 2)."""
    places, depth = project(homography, points)
    # Jacobian of (u / w, v / w): (row of u - place * row of w) / w.
    jacobians = (homography[:2, :2] - places[:, :, None] * homography[2, :2]) / depth[:, None, None]
    (a, b), (c, d) = jacobians.transpose(1, 2, 0)
    # The singular values have the product |det| and the sum of squares of all entries; their ratio
    # r is within its limit if r + 1 / r is.
    zoom = np.abs(a * d - b * c)
    squares = a * a + b * b + c * c + d * d
    within = (zoom >= MAX_ZOOM**-2) & (zoom <= MAX_ZOOM**2)
    return np.asarray(within & (squares <= (MAX_STRETCH + 1 / MAX_STRETCH) * zoom))
