"""Choose the pairs of photos to compare, and the pairs that link groups."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.collection.hints import Hints
from resight.evaluation.evidence_reader import EvidenceReader
from resight.ranking.groups import NeighborLists
from resight.ranking.linkage import LINKED, UNCONSTRAINED, Constraints
from resight.ranking.strangers import MIN_PHOTOS, Nearness, Strangers
from resight.searching.query import PROBABLE

CANDIDATES = 20
"""Nearest photos with which a photo is compared."""


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
