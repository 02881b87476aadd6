"""Geometric models of the agreement of two photos: estimation, and scores a contrario.

MAGSAC++: Barath et al., CVPR 2020, as in OpenCV.
"""

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from resight.evidence.a_contrario import (
    SMALLEST_ERROR,
    Agreement,
    best_agreement,
    log10_false_alarms,
)
from resight.ranking.geometry import plausible, project

Model = Literal["homography", "affine", "epipolar"]

MAX_ERRORS: dict[Model, float] = {"homography": 4.0, "affine": 4.0, "epipolar": 2.0}
"""Pixels of the copies; the estimators' thresholds, not that of the agreement."""
SAMPLES: dict[Model, int] = {"homography": 4, "affine": 3, "epipolar": 7}
"""Matches that define a model."""
ITERATIONS = 1000
CONFIDENCE = 0.999
LINE_WIDTH = 1.0
"""Pixels; matches whose epipolar lines are nearer than this in both photos share a line."""


def estimate(model: Model, source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
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


def score(
    model: Model,
    matrix: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    source_size: tuple[int, int],
    target_size: tuple[int, int],
) -> Agreement:
    """Score a model.

    Matches on one epipolar line count once: the letters of a line of text agree with each other's
    wherever they stand in it, so that pages in one layout would agree.
    """
    transfer = model != "epipolar"
    errors = (_transfer_errors if transfer else _epipolar_errors)(matrix, source, target)

    def chance(errors: np.ndarray) -> np.ndarray:
        return _chance(model, errors, source_size, target_size)

    best = best_agreement(errors, SAMPLES[model], chance)
    rows = np.flatnonzero(best.inliers)
    if transfer or not len(rows):
        return best
    lines = _count_lines(matrix, source[rows], target[rows])
    if lines <= SAMPLES[model]:
        return replace(best, log10_nfa=np.inf)
    alpha = chance(np.maximum(errors[rows].max(), SMALLEST_ERROR))
    n = len(errors) - len(rows) + lines
    log10_nfa = float(log10_false_alarms(n, lines, SAMPLES[model], alpha))
    return replace(best, log10_nfa=max(best.log10_nfa, log10_nfa))


def fewest_false_alarms(
    model: Model, n: int, k: int, source_size: tuple[int, int], target_size: tuple[int, int]
) -> float:
    """Return the least logarithm of the number of false alarms where k of n matches agree.

    Infinite where so few agree by definition.
    """
    if k <= SAMPLES[model]:
        return np.inf
    alpha = _chance(model, np.array(SMALLEST_ERROR), source_size, target_size)
    return float(log10_false_alarms(n, k, SAMPLES[model], alpha))


def _chance(
    model: Model,
    errors: np.ndarray,
    source_size: tuple[int, int],
    target_size: tuple[int, int],
) -> np.ndarray:
    """Return the probability that a random match, anywhere in the smaller copy, has an error."""
    width, height = min(source_size, target_size, key=lambda size: size[0] * size[1])
    if model == "epipolar":
        return 2 * float(np.hypot(width, height)) * errors / (width * height)
    return np.asarray(np.pi * errors**2 / (width * height))


def _transfer_errors(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the larger of both directions' errors (n,), infinite where the map is not a view."""
    if abs(matrix[2, 2]) < 1e-12 or abs(np.linalg.det(matrix)) < 1e-12:
        return np.full(len(source), np.inf)
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


def _count_lines(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> int:
    """Count the epipolar lines of matches (n, 2) that are `LINE_WIDTH` apart in either photo."""
    ones = np.ones((len(source), 1))
    left, right = np.hstack([source, ones]), np.hstack([target, ones])
    shared = np.ones((len(source), len(source)), bool)
    for points, lines in ((right, left @ matrix.T), (left, right @ matrix)):
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.abs(points @ lines.T) / np.hypot(*lines[:, :2].T)
        shared &= distances < LINE_WIDTH
    shared |= shared.T
    counted: list[int] = []
    for row in range(len(source)):
        if not shared[row, counted].any():
            counted.append(row)
    return len(counted)


def _epipolar_errors(matrix: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the larger of both distances to the epipolar lines (n,)."""
    ones = np.ones((len(source), 1))
    left, right = np.hstack([source, ones]), np.hstack([target, ones])
    lines, other_lines = left @ matrix.T, right @ matrix
    products = np.abs((right * lines).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = products / np.minimum(np.hypot(*lines[:, :2].T), np.hypot(*other_lines[:, :2].T))
    return np.where(np.isfinite(errors), errors, np.inf)
