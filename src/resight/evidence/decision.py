"""Decide which of a photo's nearest show the same thing, with a probability.

Three observations are combined by a logistic function with published coefficients:

- the descriptor: how much nearer a photo is than strangers of this collection are;
- the geometry: how surely the local features of the two photos agree (`matching`), where features
  that agree with many strangers, such as a table under many things, do not count;
- that nothing agrees although both photos have texture enough to.

Rarity: Knopp, Sivic and Pajdla, "Avoiding confusing features in place recognition", ECCV 2010;
Sattler, Havlena, Schindler and Pollefeys, "Large-scale location recognition and the geometric
burstiness problem", CVPR 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.evidence import Evidence
from resight.evidence.matching import Match, match, match_near
from resight.evidence.probability import (
    COEFFICIENTS,
    by_descriptor,
    observations,
    probability,
    strangeness,
)

COMMON = 1.0
"""Strangers that share the median feature of an agreement that is called background."""
GRID = 8
"""Cells along a side in which agreement is counted."""
PART, WHOLE = 0.65, 0.85
"""Share of the cells with features in which photos agree that share a background at most, and from
which on they agree as a whole."""
SHARED = 0.5
"""Strangers that share a feature of the background."""
BACKGROUND_RADIUS = 64.0
"""Pixels of the copy around a feature of the background that belong to it: no stranger happens to
share all features of a table."""
OVERLAY_SHARE = 0.1
"""Largest share of the features that an overlay has; of a copy's features at least 13 % agree."""
OVERLAY_RADIUS = 8.0
"""Pixels of the copy around a feature of an overlay in which others are its features, too."""
OVERLAY_SHIFT = 0.03
"""Largest shift of an overlay's features between the photos, as a share of the side."""
COPY_CORRELATION = 0.9
"""Minimum correlation of the thumbnails of copies, even of small ones with few features."""
OVERLAY_STILL = 0.8
"""Least share of the features that agree which are at the same place."""

MIN_FEATURES = 8
"""Fewest features of a photo that can be decided on: of blank walls and skies nobody can say."""
UNDECIDED = 0.4
"""Largest probability with fewer features."""


@dataclass(frozen=True)
class Decision:
    """The probability that two photos show the same thing, and their match.

    Attributes:
        probability: from 0 to 1.
        match: how the local features agree; None without evidence.
    """

    probability: float
    match: Match | None


def decide(
    query: Evidence,
    candidates: Sequence[Evidence | None],
    closeness: np.ndarray,
    chance: float,
) -> list[Decision]:
    """Decide which candidates show the same thing as a photo.

    Args:
        query: evidence of the photo.
        candidates: evidence of its nearest; None for those without any.
        closeness: of the candidates, see `ranking.strangers`.
        chance: closeness that the nearest stranger reaches by chance.
    """
    alone = by_descriptor(closeness)
    matches = [
        None if other is None else match_near(query, other, float(near))
        for other, near in zip(candidates, closeness, strict=True)
    ]
    matches = without_background(query, candidates, matches, strangeness(closeness, chance))
    return [
        Decision(float(without), None)
        if agreement is None or other is None
        else Decision(
            evident_probability(float(near), agreement.log10_nfa, min(len(query), len(other))),
            agreement,
        )
        for without, near, agreement, other in zip(
            alone, closeness, matches, candidates, strict=True
        )
    ]


def without_background(
    query: Evidence,
    candidates: Sequence[Evidence | None],
    matches: Sequence[Match | None],
    strange: np.ndarray,
) -> list[Match | None]:
    """Match again, without it, the candidates that agree mostly on background or an overlay.

    Args:
        query: evidence of a photo.
        candidates: of its nearest.
        matches: of the photo with each of them.
        strange: how surely each candidate is a stranger.
    """
    agreeing = np.zeros((len(candidates), len(query)))
    for row, (agreement, other) in enumerate(zip(matches, candidates, strict=True)):
        if agreement is not None and other is not None:
            weight = strange[row] * partiality(agreement, query, other)
            agreeing[row, agreement.matches[:, 0]] = weight
    counts = agreeing.sum(axis=0)
    return [
        None
        if agreement is None or other is None
        else match_foreground(agreement, query, other, counts - agreeing[row])
        for row, (agreement, other) in enumerate(zip(matches, candidates, strict=True))
    ]


def partiality(agreement: Match, first: Evidence, second: Evidence) -> float:
    """Return 1 where two photos agree in a part, 0 where they agree as a whole.

    Photos that agree nearly everywhere are no strangers that share a background, whatever their
    descriptors say: in a long burst, everything is frequent.
    """
    sides = zip((first, second), agreement.matches.T, strict=True)
    share = max(
        len(_cells(side.points[rows], side)) / max(1, len(_cells(side.points, side)))
        for side, rows in sides
    )
    return min(max((WHOLE - share) / (WHOLE - PART), 0.0), 1.0)


def _cells(points: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Return the numbers of the grid's cells with any of some points of a photo."""
    cells = np.clip((points + 0.5) / evidence.size * GRID, 0, GRID - 1).astype(int)
    return np.unique(cells @ [1, GRID])


def match_foreground(
    agreement: Match, first: Evidence, second: Evidence, elsewhere: np.ndarray
) -> Match:
    """Match two photos again if they agree mostly on background or an overlay, without it.

    Args:
        agreement: their match.
        first: evidence of one photo.
        second: evidence of the other.
        elsewhere: number of strangers, without the second photo, with which each feature of the
            first agrees, (N,).
    """
    inliers = agreement.matches[:, 0]
    if not len(inliers) or agreement.mirrored:
        return agreement
    if np.median(elsewhere[inliers]) > COMMON:
        background = _near(first.points, elsewhere > SHARED, BACKGROUND_RADIUS)
        return match(first, second, without=background)
    if is_overlay(agreement, first, second):
        overlaid = np.zeros(len(first), bool)
        overlaid[inliers] = True
        return match(first, second, without=_near(first.points, overlaid, OVERLAY_RADIUS))
    return agreement


def is_overlay(agreement: Match, first: Evidence, second: Evidence) -> bool:
    """Return whether two photos agree in something laid over them, such as a watermark.

    It is at the same place of both, and hardly anything else agrees.
    """
    share = len(agreement) / max(1, min(len(first), len(second)))
    if share > OVERLAY_SHARE or thumbnail_correlation(first, second) > COPY_CORRELATION:
        return False
    places = first.points[agreement.matches[:, 0]] / first.size
    others = second.points[agreement.matches[:, 1]] / second.size
    still = np.abs(places - others).max(axis=1) < OVERLAY_SHIFT
    return bool(still.mean() > OVERLAY_STILL)


def thumbnail_correlation(first: Evidence, second: Evidence) -> float:
    """Return the correlation of the brightness of two thumbnails, from -1 to 1."""
    sides = [photo.thumbnail.mean(axis=2) for photo in (first, second)]
    centered = [side - side.mean() for side in sides]
    norms = [float(np.linalg.norm(side)) for side in centered]
    return float((centered[0] * centered[1]).sum() / max(norms[0] * norms[1], 1e-9))


def _near(points: np.ndarray, chosen: np.ndarray, radius: float) -> np.ndarray:
    """Return which points (N, 2) are within a radius of chosen ones, bool (N,)."""
    offsets = points[:, None, :] - points[None, chosen, :]
    return np.asarray(((offsets**2).sum(axis=2) <= radius**2).any(axis=1))


def evident_probability(closeness: float, log10_nfa: float, features: int) -> float:
    """Return the probability that two photos with evidence show the same thing.

    The arguments are those of `probability.observations`.
    """
    found = float(probability(COEFFICIENTS, observations(closeness, log10_nfa, features)))
    return min(found, UNDECIDED) if features < MIN_FEATURES else found
