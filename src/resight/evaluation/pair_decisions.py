"""Decide which pairs of photos in a collection show the same thing, by the stored evidence.

Each photo is compared with its nearest neighbors, except strangers; each pair is compared once.

    neighbor lists --candidate_pairs--> pairs --match--> agreements --match_foreground-->
    agreements without background --evident_probability--> probabilities
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from resight.evaluation.evidence_reader import EvidenceReader
from resight.evaluation.grouping import PhotoPairs
from resight.evaluation.pair_processes import map_pairs
from resight.evidence import Evidence
from resight.evidence.decision import (
    evident_probability,
    is_background,
    is_still,
    is_sure,
    match_foreground,
    partiality,
)
from resight.evidence.kinds import kind_of
from resight.evidence.matching import COLUMNS, SIFT, Features, Match, Rules, features_of, match
from resight.evidence.probability import ALIKE, TRIED, by_descriptor, strangeness
from resight.progress import Progress
from resight.ranking.linkage import LINKED

NEAREST_STRANGER = -0.08
"""Closeness below which photos are compared only to see what strangers share; some 97 % of the
views of the same thing that agree in local features are nearer."""


class FeatureMatch(NamedTuple):
    """The match of the features of one kind of a pair.

    Attributes:
        match: how they agree.
        sizes: number of features of each photo.
        partial: see `decision.partiality`.
        is_still: they agree only where they are at the same place, see `decision.is_still`.
    """

    match: Match
    sizes: tuple[int, int]
    partial: float
    is_still: bool

    @classmethod
    def of(cls, first: Features, second: Features, rules: Rules) -> "FeatureMatch":
        """Match the features of two photos."""
        found = match(first, second, rules=rules)
        return cls(
            found,
            (len(first), len(second)),
            partiality(found, first, second),
            is_still(found, first, second),
        )


class Compared(NamedTuple):
    """The matches of a pair of photos.

    Attributes:
        features: of SIFT features.
        columns: of columns; None if not compared.
        fewest: number of SIFT features of the photo that has fewer.
        with_columns: both photos have columns.
    """

    features: FeatureMatch
    columns: FeatureMatch | None
    fewest: int
    with_columns: bool


def decide_pairs(
    reader: EvidenceReader, pairs: PhotoPairs, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Decide which pairs show the same thing, and which are near-duplicates.

    Without evidence of both photos, the distance of their descriptors decides.

    Returns:
        The probabilities, float64 (P,), and bool (P,).
    """
    probabilities = by_descriptor(pairs.near.log10_nfa)
    strange = strangeness(pairs.near)
    compared = _compare_pairs(reader, pairs, progress)
    features = [result and result.features for result in compared]
    columns = [result and result.columns for result in compared]
    found = _without_background(reader, pairs.rows, features, strange, SIFT)
    by_columns = _without_background(reader, pairs.rows, columns, strange, COLUMNS)
    for place, result in enumerate(compared):
        agreement, agreed = found[place], by_columns[place]
        if result is not None and agreement is not None:
            unknown = np.inf if result.with_columns else None
            probabilities[place] = evident_probability(
                float(pairs.near.closeness[place]),
                float(pairs.near.log10_nfa[place]),
                agreement.log10_nfa,
                result.fewest,
                unknown if agreed is None else agreed.log10_nfa,
            )
    contents = np.array(reader.contents)[pairs.rows]
    identical = contents[:, 0] == contents[:, 1]
    probabilities[identical] = 1.0
    linked = np.flatnonzero((probabilities >= LINKED) & ~identical)
    duplicates = identical.copy()
    agreements = [(found[place],) for place in linked.tolist()]
    duplicates[linked] = list(map_pairs(_is_duplicate, reader, pairs.rows[linked], agreements))
    return probabilities, duplicates


def _compare_pairs(
    reader: EvidenceReader, pairs: PhotoPairs, progress: Progress
) -> list[Compared | None]:
    """Match the pairs that may show the same thing; None for the others."""
    compared: list[Compared | None] = [None] * len(pairs)
    chosen = np.flatnonzero(pairs.near.closeness >= NEAREST_STRANGER)
    total = len(chosen)
    for _ in range(2):
        # Those that agree although they are no nearer than strangers may share a background:
        # that shows only when they are compared with strangers, too.
        results = map_pairs(_compare, reader, pairs.rows[chosen])
        for done, (place, result) in enumerate(zip(chosen.tolist(), results, strict=True), 1):
            compared[place] = result
            progress("comparing details", total - len(chosen) + done, total)
        doubtful = [
            place for place in chosen.tolist() if _is_doubtful(compared[place], pairs, place)
        ]
        involved = np.isin(pairs.rows, pairs.rows[doubtful]).any(axis=1)
        chosen = np.flatnonzero(involved & (pairs.near.closeness < NEAREST_STRANGER))
        total += len(chosen)
    return compared


def _compare(first: Evidence | None, second: Evidence | None) -> Compared | None:
    """Match a pair, by columns if features are not sure; None if a photo has no evidence."""
    if first is None or second is None:
        return None
    features, columns = FeatureMatch.of(first, second, SIFT), None
    both = (first.columns, second.columns)
    if both[0] is not None and both[1] is not None and not is_sure(features.match.log10_nfa):
        columns = FeatureMatch.of(both[0], both[1], COLUMNS)
    return Compared(features, columns, min(len(first), len(second)), None not in both)


def _is_doubtful(result: Compared | None, pairs: PhotoPairs, place: int) -> bool:
    """Return whether a pair agrees although its descriptors are hardly nearer than strangers'."""
    return (
        result is not None
        and result.features.match.log10_nfa < -TRIED
        and bool(pairs.near.closeness[place] < ALIKE)
    )


def _is_duplicate(first: Evidence | None, second: Evidence | None, agreement: Match | None) -> bool:
    """Return whether photos that show the same thing are the same picture, whole."""
    if first is None or second is None or agreement is None:  # removed just now
        return False
    kind = kind_of(first, second, agreement, same_content=False)
    return kind not in ("view", "crop")


def _without_background(
    reader: EvidenceReader,
    rows: np.ndarray,
    compared: Sequence[FeatureMatch | None],
    strange: np.ndarray,
    rules: Rules,
) -> list[Match | None]:
    """Match pairs that agree mostly on background or an overlay again without it."""
    found = [None if result is None else result.match for result in compared]
    shared = _count_strangers(rows, compared, strange)
    elsewhere: dict[int, list[np.ndarray]] = {}
    for place, result in enumerate(compared):
        if result is not None and result.match.log10_nfa < -rules.tried:
            own = strange[place] * result.partial
            counts = [
                _elsewhere(shared[row], result.match.matches[:, side], own, size)
                for side, (row, size) in enumerate(
                    zip(rows[place].tolist(), result.sizes, strict=True)
                )
            ]
            if result.is_still or any(
                is_background(result.match.matches[:, side], counts[side]) for side in (0, 1)
            ):
                elsewhere[place] = counts

    places = list(elsewhere)
    arguments = [(found[place], *elsewhere[place], rules) for place in places]
    again = map_pairs(_match_foregrounds, reader, rows[places], arguments)
    for place, agreement in zip(places, again, strict=True):
        found[place] = agreement
    return found


def _match_foregrounds(
    first: Evidence | None,
    second: Evidence | None,
    agreement: Match | None,
    forth: np.ndarray,
    back: np.ndarray,
    rules: Rules,
) -> Match | None:
    """Match a pair without the background of either photo, and return the weaker match.

    `forth` and `back` are the numbers of strangers with which the features of either agree.
    """
    one, other = features_of(first, rules), features_of(second, rules)
    if agreement is None or one is None or other is None:
        return agreement  # removed just now
    return max(
        match_foreground(agreement, one, other, forth, rules),
        match_foreground(agreement.reversed(), other, one, back, rules).reversed(),
        key=lambda side: side.log10_nfa,
    )


def _count_strangers(
    rows: np.ndarray, compared: Sequence[FeatureMatch | None], strange: np.ndarray
) -> dict[int, np.ndarray]:
    """Return, by row, the number of strangers with which the features of a photo agree.

    The arrays end with the last feature that agrees with any photo.
    """
    counts: dict[int, np.ndarray] = {}
    for pair, result, weight in zip(rows.tolist(), compared, strange, strict=True):
        if result is None or not len(result.match):
            continue
        for side, row in enumerate(pair):
            features = result.match.matches[:, side]
            present = counts.get(row, np.zeros(0, np.float32))
            present = _padded(present, max(len(present), int(features.max()) + 1))
            present[features] += weight * result.partial
            counts[row] = present
    return counts


def _elsewhere(counts: np.ndarray, features: np.ndarray, own: float, size: int) -> np.ndarray:
    """Return the counts, (size,), without what one match contributed to its features."""
    result = _padded(counts, size)
    result[features] -= own
    return result


def _padded(counts: np.ndarray, size: int) -> np.ndarray:
    """Return a copy of counts with zeros behind them, up to a size."""
    return np.pad(counts, (0, size - len(counts)))
