"""Match the features of two photos, and find the geometric model on which they agree.

Three models are tried: a homography (planes, copies), an affine map (the same with fewer degrees of
freedom, for few matches), and epipolar geometry (scenes with depth). Each is estimated robustly and
scored a contrario (`a_contrario`); the one with the fewest false alarms counts.

SIFT is not invariant to reflections: mirror images are matched by reflecting features.

Columns of a network's map are matched alike. Neighboring columns see almost the same, so that their
ratio test is mild.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from resight.descriptors.columns import CELL
from resight.evidence import Evidence
from resight.evidence.consensus import largest_consensus
from resight.evidence.models import SAMPLES, Model, estimate, fewest_false_alarms, score
from resight.evidence.probability import TRIED, TRIED_BY_COLUMNS
from resight.ranking.geometry import ROUNDING, one_per_place

MIN_MATCHES = 5
"""With fewer matches no model has fewer than one false alarm."""
CERTAIN = -8.0
"""From this logarithm of the number of false alarms on, no further model is tried."""
MAX_DOUBTED = 100
"""Matches up to which it pays off to look first whether any could agree."""
MIN_SPREAD: dict[Model, float] = {"homography": 0.02, "affine": 0.02, "epipolar": 0.06}
"""Least spread of the places that agree, see `_spread`: letters of one font agree in a spot, and
places on one line agree on any epipolar geometry."""
AXES = np.stack([[np.cos(a), np.sin(a)] for a in np.arange(8) * np.pi / 8])
"""Directions along which places are spread, (8, 2)."""
NORMAL_DEVIATION = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
MIRROR_CLOSENESS = 0.285
"""Minimum closeness (`ranking.strangers`) of a mirror image."""
COPIED = 0.25
"""Maximum share of inliers of the plain match for a mirrored one to be tried."""
MIRROR_EXCESS = 2.0
"""Least ratio of the log NFA of a mirrored match to that of the plain match."""
MIRROR_CERTAIN = -6.0
"""Maximum log NFA of a mirrored match: a mirrored copy has many inliers."""


class Features(Protocol):
    """Local features: SIFT (`Evidence`) or columns of a map."""

    def __len__(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what `points` lie in."""

    @property
    def points(self) -> np.ndarray:
        """Places, float32 (N, 2)."""

    @property
    def descriptors(self) -> np.ndarray:
        """Rows of unit length, float32 (N, D)."""


@dataclass(frozen=True)
class Rules:
    """Matching parameters of a kind of features.

    Attributes:
        ratio: of the ratio test.
        models: that are tried.
        background_radius: around a feature of the background within which others belong to it, in
            the unit of the points: no stranger happens to share all features of a table.
        tried: minus the logarithm of the number of false alarms up to which an agreement proves
            nothing.
    """

    ratio: float
    models: tuple[Model, ...]
    background_radius: float
    tried: float


SIFT = Rules(0.85, ("homography", "affine", "epipolar"), 64.0, TRIED)
"""The ratio is milder than for counting inliers, as chance is accounted for."""
COLUMNS = Rules(0.98, ("homography", "affine"), 3 * CELL, TRIED_BY_COLUMNS)


def features_of(evidence: Evidence | None, rules: Rules) -> Features | None:
    """Return a photo's features of the kind that rules are for; None if it has none."""
    return evidence if evidence is None or rules == SIFT else evidence.columns


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


NO_AGREEMENT = Match(np.inf, None, None, np.zeros((0, 2), np.int64), 0)


def match(
    first: Features, second: Features, without: np.ndarray | None = None, rules: Rules = SIFT
) -> Match:
    """Match two photos; the same for equal input.

    Args:
        first: features of one photo.
        second: features of the other.
        without: bool (N,), features of the first that are left out.
        rules: of the kind of features.
    """
    pairs = _mutual_matches(first.descriptors, second.descriptors, rules.ratio)
    if without is not None:
        pairs = pairs[~without[pairs[:, 0]]]
    pairs = one_per_place(one_per_place(pairs, first.points, 0), second.points, 1)
    source = first.points[pairs[:, 0]].astype(np.float64)
    target = second.points[pairs[:, 1]].astype(np.float64)
    best = replace(NO_AGREEMENT, tentative=len(pairs))
    if len(pairs) < MIN_MATCHES:
        return best
    for model in promising_models(first, second, pairs, rules):
        if best.log10_nfa <= CERTAIN:
            break
        matrix = estimate(model, source, target)
        if matrix is None:
            continue
        agreement = score(model, matrix, source, target, first.size, second.size)
        inliers = pairs[agreement.inliers]
        log10_nfa = agreement.log10_nfa + math.log10(len(rules.models))  # that are tried
        if len(inliers) <= SAMPLES[model] or log10_nfa >= best.log10_nfa:
            continue
        if _spread(model, matrix, first, second, inliers) >= MIN_SPREAD[model]:
            map_ = None if model == "epipolar" else matrix
            best = Match(log10_nfa, model, map_, inliers, len(pairs))
    return best


def promising_models(
    first: Features, second: Features, pairs: np.ndarray, rules: Rules
) -> list[Model]:
    """Return the models on which matches (n, 2) could agree better than by chance.

    Few matches of SIFT features agree on any model only if their directions and sizes do, too.
    """
    most = len(pairs)
    if most <= MAX_DOUBTED and isinstance(first, Evidence) and isinstance(second, Evidence):
        most = largest_consensus(first, second, pairs)
    return [
        model
        for model in rules.models
        if fewest_false_alarms(model, len(pairs), most, first.size, second.size) < -rules.tried
    ]


def _spread(
    model: Model, matrix: np.ndarray, first: Features, second: Features, inliers: np.ndarray
) -> float:
    """Return how far the places that agree are spread, in the photo where it is more.

    It is their deviation along the axis where it is least, or across the epipolar lines, as a share
    of the diagonal. It is estimated by the median, so that most places must be spread: a word that
    is printed on both photos, and a few places that agree by chance, are not.
    """
    spreads = []
    for photo, rows, map_ in zip((first, second), inliers.T, (matrix.T, matrix), strict=True):
        points = photo.points[rows].astype(np.float64)
        axes = AXES
        if model == "epipolar":
            others = (second if photo is first else first).points
            axes = _line_normals(map_, others[inliers[:, 1 if photo is first else 0]])[None, :]
        along = points @ axes.T
        deviations = _median(np.abs(along - _median(along)))
        spreads.append(NORMAL_DEVIATION * float(deviations.min()) / np.hypot(*photo.size))
    return max(spreads)


def _median(values: np.ndarray) -> np.ndarray:
    """Return the medians of columns; several times as fast as NumPy's for a few hundred values."""
    ordered, half = np.sort(values, axis=0), len(values) // 2
    return np.asarray(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2)


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


def _mutual_matches(first: np.ndarray, second: np.ndarray, ratio: float) -> np.ndarray:
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
    passes = np.flatnonzero(2 - 2 * best < ratio**2 * (2 - 2 * runner_up) - ROUNDING)
    back = products[:, nearest[passes]].argmax(axis=0)  # of equal ones the first
    mutual = passes[back == passes]
    return np.stack([mutual, nearest[mutual]], axis=1)
