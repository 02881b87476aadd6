"""Which pairs of a collection's photos show the same thing, by the evidence kept with it.

Each photo is compared with those of its nearest that are nearer than strangers; each pair once.

    neighbor lists --candidate_pairs--> pairs --match--> agreements --match_foreground-->
    agreements without background --evident_probability--> probabilities
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from resight.collection.hints import Hints
from resight.evaluation.evidence_reader import EvidenceReader
from resight.evidence import Evidence
from resight.evidence.decision import (
    evident_probability,
    is_sure,
    match_foreground,
    partiality,
)
from resight.evidence.kinds import kind_of
from resight.evidence.matching import COLUMNS, SIFT, Match, Rules, features_of, match
from resight.evidence.probability import ALIKE, TRIED, by_descriptor, strangeness
from resight.indexing.extraction import prefetch
from resight.progress import Progress
from resight.ranking.groups import NeighborLists
from resight.ranking.linkage import LINKED, UNCONSTRAINED, Constraints
from resight.ranking.strangers import MIN_PHOTOS, Nearness, Strangers
from resight.searching.query import PROBABLE

CANDIDATES = 20
"""Nearest photos with which a photo is compared."""
NEAREST_STRANGER = -0.08
"""Closeness below which photos are compared only to see what strangers share; some 97 % of the
views of the same thing that agree in local features are nearer."""
THREADS = min(os.cpu_count() or 1, 8)


class Compared(NamedTuple):
    """A pair's match, the features of the photo that has fewer, and `decision.partiality`.

    Both photos may have `columns`.
    """

    match: Match
    features: int
    partial: float
    columns: bool


@dataclass(frozen=True)
class PhotoPairs:
    """Pairs of photos, each once.

    Attributes:
        rows: int64 (P, 2), rows of the photos in the neighbor lists, the smaller first; ascending.
        near: how near the two photos of each pair are, the mean of both directions.
    """

    rows: np.ndarray
    near: Nearness

    def __len__(self) -> int:
        return len(self.rows)


def candidate_pairs(lists: NeighborLists, dimensions: int) -> PhotoPairs:
    """Return the pairs of each photo and its nearest neighbors.

    `dimensions` is the length of the descriptors.
    """
    count = len(lists.ids)
    near = lists.rows[:, :CANDIDATES].astype(np.int64)
    distances = lists.distances[:, :CANDIDATES].astype(np.float64)
    if count >= MIN_PHOTOS:
        directed = Strangers.of(lists.distances, count, dimensions).nearness(distances)
    else:
        directed = Nearness.unknown(distances.size)
    first = np.repeat(np.arange(count), near.shape[1])
    pairs = np.sort(np.stack([first, near.ravel()], axis=1), axis=1)
    keys, place, times = np.unique(
        pairs[:, 0] * count + pairs[:, 1], return_inverse=True, return_counts=True
    )
    closeness, log10_nfa = (
        np.bincount(place.ravel(), values.ravel()) / times
        for values in (directed.closeness, directed.log10_nfa)
    )
    rows = np.stack([keys // count, keys % count], axis=1)
    return PhotoPairs(rows, Nearness(closeness, log10_nfa, directed.chance))


def constraints_of(hints: Hints, contents: Sequence[str]) -> Constraints:
    """Return what hints say about rows of photos, by their contents."""
    if not hints.labels:
        return UNCONSTRAINED
    labels = np.array([hints.labels.get(content, -1) for content in contents], np.int64)
    return Constraints(labels, hints.apart)


def link_pairs(
    reader: EvidenceReader, pairs: PhotoPairs, probabilities: np.ndarray, gap: float | None
) -> np.ndarray:
    """Return which pairs are links: bool (P,).

    Photos that were taken within `gap` seconds of each other need only be probably the same. The
    times of only these are read, from their files; photos without a time are not helped.
    """
    linked = probabilities >= LINKED
    if gap is None:
        return linked
    taken = functools.cache(reader.taken)
    for place in np.flatnonzero(~linked & (probabilities >= PROBABLE)).tolist():
        first, second = (taken(row) for row in pairs.rows[place].tolist())
        if first and second:
            linked[place] = abs((first - second).total_seconds()) <= gap
    return linked


def decide_pairs(
    reader: EvidenceReader, pairs: PhotoPairs, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Decide which pairs show the same thing, and which are near-duplicates.

    Pairs of which a photo has no evidence are decided by their closeness.

    Returns:
        The probabilities, float64 (P,), and bool (P,).
    """
    probabilities = by_descriptor(pairs.near.log10_nfa)
    strange = strangeness(pairs.near)
    compared = _compare_pairs(reader, pairs, progress)
    found = _without_background(reader, pairs.rows, compared, strange, SIFT)
    by_columns = _compare_columns(reader, pairs.rows, compared, progress)
    columns = _without_background(reader, pairs.rows, by_columns, strange, COLUMNS)
    for place, (result, agreement) in enumerate(zip(compared, found, strict=True)):
        if result is not None and agreement is not None:
            agreed = columns[place]
            unknown = np.inf if result.columns else None
            probabilities[place] = evident_probability(
                float(pairs.near.closeness[place]),
                float(pairs.near.log10_nfa[place]),
                agreement.log10_nfa,
                result.features,
                unknown if agreed is None else agreed.log10_nfa,
            )
    contents = np.array(reader.contents)[pairs.rows]
    identical = contents[:, 0] == contents[:, 1]
    probabilities[identical] = 1.0
    linked = np.flatnonzero((probabilities >= LINKED) & ~identical)
    duplicates = identical.copy()
    for place, evidence in zip(linked.tolist(), reader.pairs(pairs.rows[linked]), strict=True):
        duplicates[place] = _is_duplicate(evidence, found[place])
    return probabilities, duplicates


def _without_background(
    reader: EvidenceReader,
    rows: np.ndarray,
    compared: Sequence[Compared | None],
    strange: np.ndarray,
    rules: Rules,
) -> list[Match | None]:
    """Match pairs that agree mostly on background or an overlay again without it."""
    found = [None if result is None else result.match for result in compared]
    agreeing = [
        place for place, agreement in enumerate(found) if agreement is not None and len(agreement)
    ]
    shared = _count_strangers(rows, compared, strange)
    evidence = reader.pairs(rows[agreeing])
    for place, (first, second) in zip(agreeing, evidence, strict=True):
        agreement, result = found[place], compared[place]
        one, other = features_of(first, rules), features_of(second, rules)
        if agreement is None or result is None or one is None or other is None:
            continue  # removed just now
        own = strange[place] * result.partial
        counts = [
            _elsewhere(shared[row], agreement.matches[:, side], own, len(features))
            for side, (row, features) in enumerate(
                zip(rows[place].tolist(), (one, other), strict=True)
            )
        ]
        found[place] = max(
            match_foreground(agreement, one, other, counts[0], rules),
            match_foreground(agreement.reversed(), other, one, counts[1], rules),
            key=lambda side: side.log10_nfa,
        )
    return found


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
        results = prefetch(_compare, reader.pairs(pairs.rows[chosen]), THREADS)
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


def _compare_columns(
    reader: EvidenceReader,
    rows: np.ndarray,
    compared: Sequence[Compared | None],
    progress: Progress,
) -> list[Compared | None]:
    """Match the columns of pairs whose SIFT features were compared and are not sure."""
    found: list[Compared | None] = [None] * len(rows)
    chosen = [
        place
        for place, result in enumerate(compared)
        if result is not None and result.columns and not is_sure(result.match.log10_nfa)
    ]
    compare = functools.partial(_compare, rules=COLUMNS)
    results = prefetch(compare, reader.pairs(rows[chosen]), THREADS)
    for done, (place, result) in enumerate(zip(chosen, results, strict=True), 1):
        found[place] = result
        progress("comparing columns", done, len(chosen))
    return found


def _is_duplicate(
    evidence: tuple[Evidence | None, Evidence | None], agreement: Match | None
) -> bool:
    """Return whether photos that show the same thing are the same picture, whole."""
    first, second = evidence
    if first is None or second is None or agreement is None:  # not compared, or removed just now
        return False
    return kind_of(first, second, agreement, same_content=False) not in ("view", "crop")


def _is_doubtful(result: Compared | None, pairs: PhotoPairs, place: int) -> bool:
    """Return whether a pair agrees although its descriptors are hardly nearer than strangers'."""
    return (
        result is not None
        and result.match.log10_nfa < -TRIED
        and bool(pairs.near.closeness[place] < ALIKE)
    )


def _compare(pair: tuple[Evidence | None, Evidence | None], rules: Rules = SIFT) -> Compared | None:
    """Match a pair; None if a photo has no evidence."""
    first, second = (features_of(evidence, rules) for evidence in pair)
    if first is None or second is None:
        return None
    agreement = match(first, second, rules=rules)
    return Compared(
        agreement,
        min(len(first), len(second)),
        partiality(agreement, first, second),
        all(evidence is not None and evidence.columns is not None for evidence in pair),
    )


def _count_strangers(
    rows: np.ndarray, compared: Sequence[Compared | None], strange: np.ndarray
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
