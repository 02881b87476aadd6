"""Match the features of two photos, and find the geometric model on which they agree.

Three models are tried: a homography (planes, copies), an affine map (the same with fewer degrees of
freedom, for few matches), and epipolar geometry (scenes with depth). Each is estimated robustly and
scored a contrario (`a_contrario`); the one with the fewest false alarms counts.

SIFT is not invariant to reflections: mirror images are matched by reflecting features.

MAGSAC++: Barath et al., CVPR 2020, as in OpenCV.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from resight.evidence import Evidence
from resight.evidence.a_contrario import Agreement, best_agreement
from resight.ranking.geometry import ROUNDING, one_per_place, plausible, project

Model = Literal["homography", "affine", "epipolar"]

RATIO = 0.85
"""Of the ratio test; a milder one than for counting inliers, as chance is accounted for."""
MIN_MATCHES = 5
"""With fewer matches no model has fewer than one false alarm."""
MAX_ERRORS: dict[Model, float] = {"homography": 4.0, "affine": 4.0, "epipolar": 2.0}
"""Pixels of the copies; the estimators' thresholds, not that of the agreement."""
SAMPLES: dict[Model, int] = {"homography": 4, "affine": 3, "epipolar": 7}
CERTAIN = -8.0
"""From this logarithm of the number of false alarms on, no further model is tried."""
MIN_SPREAD: dict[Model, float] = {"homography": 0.02, "affine": 0.02, "epipolar": 0.06}
"""Least spread of the places that agree, see `_spread`: letters of one font agree in a spot, and
places on one line agree on any epipolar geometry."""
MIRROR_CLOSENESS = 0.285
"""Minimum closeness (`ranking.strangers`) of a mirror image."""
COPIED = 0.25
"""Maximum share of inliers of the plain match for a mirrored one to be tried."""
MIRROR_EXCESS = 2.0
"""Least ratio of the log NFA of a mirrored match to that of the plain match."""
MIRROR_CERTAIN = -6.0
"""Maximum log NFA of a mirrored match: a mirrored copy has many inliers."""
ITERATIONS = 1000
CONFIDENCE = 0.999


@dataclass(frozen=True)
class Match:
    """The agreement of two photos.

    Attributes:
        log10_nfa: logarithm of the number of false alarms; infinite without any agreement.
        model: on which the matches agree; None without any agreement.
        map: float64 (3, 3), the homography or affine map from the first photo's copy to the
            second's, if that is the model; its determinant is negative if mirrored.
        matches: int64 (k, 2), index of each inlier in the first and in the second photo.
        tentative: number of matches before the geometry.
        mirrored: one photo agrees with the mirror image of the other.
    """

    log10_nfa: float
    model: Model | None
    map: np.ndarray | None
    matches: np.ndarray
    tentative: int
    mirrored: bool = False

    def __len__(self) -> int:
        return len(self.matches)

    def reversed(self) -> "Match":
        """Return the agreement of the second photo with the first."""
        back = None if self.map is None else np.linalg.inv(self.map)
        return replace(self, map=back, matches=self.matches[:, ::-1])


def match(first: Evidence, second: Evidence, without: np.ndarray | None = None) -> Match:
    """Match two photos; the same for equal input.

    Args:
        first: evidence of one photo.
        second: evidence of the other.
        without: bool (N,), features of the first that are left out.
    """
    pairs = _mutual_matches(first.descriptors, second.descriptors)
    if without is not None:
        pairs = pairs[~without[pairs[:, 0]]]
    pairs = one_per_place(one_per_place(pairs, first.points, 0), second.points, 1)
    source = first.points[pairs[:, 0]].astype(np.float64)
    target = second.points[pairs[:, 1]].astype(np.float64)
    best = Match(np.inf, None, None, pairs[:0], len(pairs))
    if len(pairs) < MIN_MATCHES:
        return best
    for model, sample in SAMPLES.items():
        if len(pairs) <= sample or best.log10_nfa <= CERTAIN:
            continue
        matrix = _estimate(model, source, target)
        if matrix is None:
            continue
        agreement = _score(model, matrix, source, target, first.size, second.size)
        inliers = pairs[agreement.inliers]
        if len(inliers) <= sample:
            continue
        if _spread(model, matrix, first, second, inliers) < MIN_SPREAD[model]:
            continue
        log10_nfa = agreement.log10_nfa + math.log10(len(SAMPLES))  # as many models are tried
        if log10_nfa < best.log10_nfa:
            map_ = None if model == "epipolar" else matrix
            best = Match(log10_nfa, model, map_, inliers, len(pairs))
    return best


def _spread(
    model: Model, matrix: np.ndarray, first: Evidence, second: Evidence, inliers: np.ndarray
) -> float:
    """Return how far the places that agree are spread, in the photo where it is more.

    It is their deviation along the smaller axis, or across the epipolar lines, as a share of the
    diagonal.
    """
    spreads = []
    for photo, rows, map_ in zip((first, second), inliers.T, (matrix.T, matrix), strict=True):
        points = photo.points[rows].astype(np.float64)
        scatter = np.atleast_2d(np.cov(points.T))
        if model == "epipolar":
            others = (second if photo is first else first).points
            across = _line_normals(map_, others[inliers[:, 1 if photo is first else 0]])
            variance = float(across @ scatter @ across)
        else:
            variance = float(np.linalg.eigvalsh(scatter)[0])
        spreads.append(np.sqrt(max(variance, 0.0)) / np.hypot(*photo.size))
    return max(spreads)


def _line_normals(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the mean unit normal (2,) of the epipolar lines of points in the other photo."""
    normals = (np.hstack([points, np.ones((len(points), 1))]) @ matrix.T)[:, :2]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.sign(normals @ normals[0])[:, None]
    mean = normals.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def match_near(first: Evidence, second: Evidence, closeness: float) -> Match:
    """Match two photos, or the mirror image of the first if they are near and that agrees better.

    Symmetric buildings agree both ways, and so do mirror images of photos that show some; but a
    mirror image agrees far more surely.
    """
    found = match(first, second)
    if closeness < MIRROR_CLOSENESS or len(found) > COPIED * min(len(first), len(second)):
        return found
    reflected = match_mirrored(first, second)
    if reflected is None or reflected.log10_nfa > MIRROR_EXCESS * min(found.log10_nfa, 0.0):
        return found
    return reflected


def match_mirrored(first: Evidence, second: Evidence) -> Match | None:
    """Match the mirror image of the first photo with the second; None without a sure agreement.

    Only maps count: epipolar geometry is that of another view, and no view is mirrored.
    """
    found = match(mirrored(first), second)
    if found.map is None or found.log10_nfa > MIRROR_CERTAIN:
        return None
    reflection = np.array([[-1.0, 0, first.size[0] - 1], [0, 1, 0], [0, 0, 1]])
    return replace(found, map=found.map @ reflection, mirrored=True)


def mirrored(evidence: Evidence) -> Evidence:
    """Return the evidence of a photo's mirror image, left and right exchanged.

    SIFT's 4 x 4 cells are rows across and columns along a feature's direction, of 8 gradient
    directions relative to it. A reflection turns them over the direction: rows are reversed, and
    gradient directions change their sign. Features keep their numbers.
    """
    points = evidence.points.copy()
    points[:, 0] = evidence.size[0] - 1 - points[:, 0]
    frames = evidence.frames.copy()
    frames[:, 0] = (math.pi - frames[:, 0]) % (2 * math.pi)
    cells = evidence.descriptors.reshape(-1, 4, 4, 8)
    turned = cells[:, ::-1, :, -np.arange(8) % 8].reshape(-1, evidence.descriptors.shape[1])
    return replace(
        evidence,
        points=points,
        frames=frames,
        descriptors=np.ascontiguousarray(turned),
        thumbnail=evidence.thumbnail[:, ::-1],
    )


def _mutual_matches(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Find pairs of unit vectors that are each other's nearest and pass the ratio test.

    As `geometry.mutual_matches`, ten times faster for the few hundred features of evidence, as the
    way back is looked up only for pairs that pass. Returns int64 (P, 2), ascending.
    """
    if not len(first) or len(second) < 2:
        return np.zeros((0, 2), np.int64)
    products = first @ second.T
    rows = np.arange(len(first))
    nearest = products.argmax(axis=1)
    best = products[rows, nearest]
    products[rows, nearest] = -np.inf
    runner_up = products.max(axis=1)
    products[rows, nearest] = best
    # Squared distances of unit vectors are 2 - 2 times their products.
    passes = np.flatnonzero(2 - 2 * best < RATIO**2 * (2 - 2 * runner_up) - ROUNDING)
    back = products[:, nearest[passes]].argmax(axis=0)
    mutual = passes[back == passes]
    return np.stack([mutual, nearest[mutual]], axis=1)


def _estimate(model: Model, source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Estimate a model robustly; return its matrix (3, 3), if there is one."""
    params = cv2.UsacParams()
    params.score = cv2.SCORE_METHOD_MAGSAC
    params.loMethod = cv2.LOCAL_OPTIM_SIGMA
    params.sampler = cv2.SAMPLING_UNIFORM
    params.isParallel = False  # parallel runs are not repeatable
    params.randomGeneratorState = 0
    params.threshold = MAX_ERRORS[model]
    params.maxIterations = ITERATIONS
    params.confidence = CONFIDENCE
    try:
        if model == "affine":
            affine, _ = cv2.estimateAffine2D(source, target, params)
            matrix = None if affine is None else np.concatenate([affine, [[0, 0, 1]]])
        elif model == "homography":
            matrix, _ = cv2.findHomography(source, target, params)
        else:
            matrix, _ = cv2.findFundamentalMat(source, target, params)
    except cv2.error:  # OpenCV 5 asserts, where it should find no model: all points on a line
        return None
    if matrix is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        return None
    return np.asarray(matrix, np.float64)


def _score(
    model: Model,
    matrix: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    source_size: tuple[int, int],
    target_size: tuple[int, int],
) -> Agreement:
    """Score a model; a random match lies anywhere in the smaller of the two copies."""
    areas = [w * h for w, h in (source_size, target_size)]
    area = float(min(areas))
    if model != "epipolar":
        errors = _transfer_errors(matrix, source, target)
        return best_agreement(errors, SAMPLES[model], lambda r: np.pi * r**2 / area)
    diagonal = float(np.hypot(*(source_size, target_size)[int(np.argmin(areas))]))
    errors = _epipolar_errors(matrix, source, target)
    return best_agreement(errors, SAMPLES[model], lambda r: 2 * diagonal * r / area)


def _transfer_errors(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the larger of both directions' errors (n,), infinite where the map is not a view."""
    none = np.full(len(source), np.inf)
    determinant = np.linalg.det(matrix)
    if abs(matrix[2, 2]) < 1e-12 or abs(determinant) < 1e-12:
        return none
    matrix = matrix / matrix[2, 2]
    there, depth = project(matrix, source)
    back, _ = project(np.linalg.inv(matrix), target)
    forth = np.linalg.norm(there - target, axis=1)
    errors = np.maximum(forth, np.linalg.norm(back - source, axis=1))
    # The determinant of the Jacobian at a point is det(H) / depth**3: negative is mirrored.
    errors[~(depth * np.linalg.det(matrix) > 0) | ~np.isfinite(errors)] = np.inf
    near = np.isfinite(errors)
    near[near] = plausible(matrix, source[near])
    return np.where(near, errors, np.inf)


def _epipolar_errors(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the larger of both distances to the epipolar lines (n,)."""
    ones = np.ones((len(source), 1))
    left, right = np.hstack([source, ones]), np.hstack([target, ones])
    lines, other_lines = left @ matrix.T, right @ matrix
    products = np.abs((right * lines).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = products / np.minimum(np.hypot(*lines[:, :2].T), np.hypot(*other_lines[:, :2].T))
    return np.where(np.isfinite(errors), errors, np.inf)
