"""Decide which of a photo's nearest show the same thing, with a probability.

Three observations are combined by a logistic function with published coefficients:

- the descriptor: how many strangers of this collection are expected to be as near as a photo;
- the geometry: how surely the local features of the two photos agree (`matching`), SIFT and, where
  these are not sure, columns of the network's map; features that agree with many strangers, such as
  those of a table under many things, do not count;
- that nothing agrees although both photos have texture enough to.

Rarity: Knopp, Sivic and Pajdla, "Avoiding confusing features in place recognition", ECCV 2010;
Sattler, Havlena, Schindler and Pollefeys, "Large-scale location recognition and the geometric
burstiness problem", CVPR 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.descriptors.columns import Columns
from resight.evidence import Evidence
from resight.evidence.matching import (
    COLUMNS,
    NO_AGREEMENT,
    SIFT,
    Features,
    Match,
    Rules,
    features_of,
    match,
    match_near,
)
from resight.evidence.probability import (
    COEFFICIENTS,
    SURE,
    TRIED,
    WITHOUT_COLUMNS,
    by_descriptor,
    observations,
    probability,
    strangeness,
)
from resight.ranking.strangers import Nearness

COMMON = 1.0
"""Strangers with which a feature of the background agrees; an agreement is called background if its
median feature is."""
GRID = 8
"""Cells along a side in which agreement is counted."""
PART, WHOLE = 0.65, 0.85
"""Share of the cells with features in which photos agree that share a background at most, and from
which on they agree as a whole."""
OVERLAY_SHARE = 0.1
"""Largest share of the features that an overlay has; of a copy's features at least 13 % agree."""
OVERLAY_RADIUS = 8.0
"""Pixels of the copy around a feature of an overlay in which others are its features, too."""
SAME_PLACE = 0.03
"""Largest shift of features that are at the same place of two photos, as a share of the side."""
COPY_CORRELATION = 0.9
"""Minimum correlation of the thumbnails of copies, even of small ones with few features."""
STILL = 0.8
"""Least share of the features that agree which are at the same place, of an overlay or a layout."""

MIN_FEATURES = 8
"""Fewest features of a photo that can be decided on: of blank walls and skies nobody can say."""
UNDECIDED = 0.4
"""Largest probability with fewer features."""


@dataclass(frozen=True)
class Decision:
    """The probability that two photos show the same thing, and their matches.

    Attributes:
        probability: from 0 to 1.
        match: how the SIFT features agree; None without evidence.
        columns: how the columns agree; None if the SIFT features are sure, or without columns.
    """

    probability: float
    match: Match | None
    columns: Match | None = None

    def points(self, first: Evidence, second: Evidence) -> tuple[np.ndarray, np.ndarray]:
        """Return the places that agree, float32 (k, 2) in pixels of either copy.

        They are those of the kind of features that agrees more surely; none that agree as by
        chance, which have no weight in the decision.
        """
        surely = [
            (best.log10_nfa + rules.tried, rules, best)
            for rules, best in ((SIFT, self.match), (COLUMNS, self.columns))
            if best is not None and best.log10_nfa < -rules.tried
        ]
        if not surely:
            return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
        _, rules, best = min(surely, key=lambda each: each[0])
        return (
            _in_copy(first, best.matches[:, 0], rules),
            _in_copy(second, best.matches[:, 1], rules),
        )


def _in_copy(evidence: Evidence, rows: np.ndarray, rules: Rules) -> np.ndarray:
    """Return the places of some features in pixels of the copy."""
    features = features_of(evidence, rules)
    assert features is not None
    ratio = np.array(evidence.size) / features.size
    return ((features.points[rows] + 0.5) * ratio - 0.5).astype(np.float32)


def decide(
    query: Evidence,
    candidates: Sequence[Evidence | None],
    near: Nearness,
) -> list[Decision]:
    """Decide which candidates show the same thing as a photo.

    Args:
        query: evidence of the photo.
        candidates: evidence of its nearest; None for those without any.
        near: how near the candidates are.
    """
    strange = strangeness(near)
    whole = [
        None if other is None else match_near(query, other, closeness)
        for other, closeness in zip(candidates, near.closeness.tolist(), strict=True)
    ]
    matches = without_background(query, candidates, whole, strange, SIFT)
    columns = _match_columns(query, candidates, whole, strange)
    alone = by_descriptor(near.log10_nfa)
    return [
        Decision(float(without), None)
        if agreement is None or other is None
        else Decision(
            evident_probability(
                float(near.closeness[place]),
                float(near.log10_nfa[place]),
                agreement.log10_nfa,
                min(len(query), len(other)),
                columns_nfa(query, other, by_columns),
            ),
            agreement,
            by_columns,
        )
        for place, (without, agreement, by_columns, other) in enumerate(
            zip(alone, matches, columns, candidates, strict=True)
        )
    ]


def columns_nfa(first: Evidence, second: Evidence, agreement: Match | None) -> float | None:
    """Return the logarithm of the number of false alarms of columns, infinite if not compared.

    None if a photo has no columns.
    """
    if first.columns is None or second.columns is None:
        return None
    return np.inf if agreement is None else agreement.log10_nfa


def is_sure(log10_nfa: float) -> bool:
    """Return whether SIFT features agree so surely that columns are not compared."""
    return log10_nfa <= -TRIED - SURE


def _match_columns(
    query: Evidence,
    candidates: Sequence[Evidence | None],
    matches: Sequence[Match | None],
    strange: np.ndarray,
) -> list[Match | None]:
    """Match the columns of a photo with those of candidates whose SIFT features are not sure.

    Where these agree surely, be it on the background, columns would agree on the same.
    """
    if query.columns is None:
        return [None] * len(candidates)
    unsure = [
        None
        if agreement is None or is_sure(agreement.log10_nfa) or other is None
        else other.columns
        for agreement, other in zip(matches, candidates, strict=True)
    ]
    found = [
        None if other is None else match(query.columns, other, rules=COLUMNS) for other in unsure
    ]
    return without_background(query.columns, unsure, found, strange, COLUMNS)


def without_background(
    query: Features,
    candidates: Sequence[Features | None],
    matches: Sequence[Match | None],
    strange: np.ndarray,
    rules: Rules,
) -> list[Match | None]:
    """Match again, without it, the candidates that agree mostly on background or an overlay.

    Args:
        query: features of a photo.
        candidates: those of its nearest.
        matches: of the photo with each of them.
        strange: how surely each candidate is a stranger.
        rules: of the kind of features.
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
        else match_foreground(agreement, query, other, counts - agreeing[row], rules)
        for row, (agreement, other) in enumerate(zip(matches, candidates, strict=True))
    ]


def partiality(agreement: Match, first: Features, second: Features) -> float:
    """Return 1 where two photos agree in a part, 0 where they agree as a whole.

    Photos that agree nearly everywhere are no strangers that share a background, whatever their
    descriptors say: in a long burst, everything is frequent.
    """
    sides = zip((first, second), agreement.matches.T, strict=True)
    share = max(
        _count_cells(side.points[rows], side) / max(1, _count_cells(side.points, side))
        for side, rows in sides
    )
    return min(max((WHOLE - share) / (WHOLE - PART), 0.0), 1.0)


def _count_cells(points: np.ndarray, features: Features) -> int:
    """Return the number of the grid's cells with any of some points of a photo."""
    cells = np.clip((points + 0.5) / features.size * GRID, 0, GRID - 1).astype(int)
    return int(np.count_nonzero(np.bincount(cells[:, 0] + GRID * cells[:, 1])))


def match_foreground(
    agreement: Match, first: Features, second: Features, elsewhere: np.ndarray, rules: Rules
) -> Match:
    """Match two photos again if they agree mostly on background or an overlay, without it.

    Args:
        agreement: their match.
        first: features of one photo.
        second: features of the other.
        elsewhere: number of strangers, without the second photo, with which each feature of the
            first agrees, (N,).
        rules: of the kind of features.
    """
    inliers = agreement.matches[:, 0]
    if not len(inliers) or agreement.mirrored:
        return agreement
    if is_background(inliers, elsewhere):
        background = _near(first.points, elsewhere > COMMON, rules.background_radius)
        return match(first, second, background, rules)
    if not is_still(agreement, first, second):
        return agreement
    if isinstance(first, Columns):
        return NO_AGREEMENT
    overlaid = np.zeros(len(first), bool)
    overlaid[inliers] = True
    return match(first, second, without=_near(first.points, overlaid, OVERLAY_RADIUS))


def is_background(inliers: np.ndarray, elsewhere: np.ndarray) -> bool:
    """Return whether most features of a photo that agree, (k,), agree with strangers, too."""
    return bool(len(inliers)) and bool(np.median(elsewhere[inliers]) > COMMON)


def is_still(agreement: Match, first: Features, second: Features) -> bool:
    """Return whether two photos agree only in an overlay, or in their layout.

    Blank photos and pages of one layout have like columns at like places.
    """
    if not len(agreement):
        return False
    if isinstance(first, Evidence) and isinstance(second, Evidence):
        return is_overlay(agreement, first, second)
    return isinstance(first, Columns) and _still_share(agreement, first, second) > STILL


def is_overlay(agreement: Match, first: Evidence, second: Evidence) -> bool:
    """Return whether two photos agree in something laid over them, such as a watermark.

    It is at the same place of both, and hardly anything else agrees.
    """
    share = len(agreement) / max(1, min(len(first), len(second)))
    if share > OVERLAY_SHARE or thumbnail_correlation(first, second) > COPY_CORRELATION:
        return False
    return _still_share(agreement, first, second) > STILL


def _still_share(agreement: Match, first: Features, second: Features) -> float:
    """Return the share of the features that agree which are at the same place of two photos."""
    places = first.points[agreement.matches[:, 0]] / first.size
    others = second.points[agreement.matches[:, 1]] / second.size
    return float((np.abs(places - others).max(axis=1) < SAME_PLACE).mean())


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


def evident_probability(
    closeness: float,
    nearness: float,
    log10_nfa: float,
    features: int,
    columns: float | None = None,
) -> float:
    """Return the probability that two photos with evidence show the same thing.

    The arguments are those of `probability.observations`; `columns` is None without columns.
    """
    if columns is None:
        values = observations(closeness, nearness, log10_nfa, features)
        found = float(probability(WITHOUT_COLUMNS, values))
    else:
        values = observations(closeness, nearness, log10_nfa, features, columns)
        found = float(probability(COEFFICIENTS, values))
    return min(found, UNDECIDED) if features < MIN_FEATURES else found
