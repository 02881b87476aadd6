"""Approximate nearest neighbors of descriptors, by inverted lists."""

from collections.abc import Sequence

import numpy as np

from resight.ranking.exact import (
    MIN_SHORTLIST,
    REMOVED_ID,
    Database,
    Distance,
    Neighbors,
    Query,
    manhattan,
    nearest_of,
)
from resight.ranking.ivf import InvertedLists
from resight.ranking.quantized import shortlist, shortlist_among

LISTED_PER_NEIGHBOR = 4
"""Candidates of inverted lists per neighbor, at least."""
CANDIDATES_PER_NEIGHBOR = 2
"""Candidates per neighbor that are compared exactly."""


def nearest_by_lists(
    query: Query,
    database: Database,
    lists: Sequence[InvertedLists],
    k: int,
    distance: Distance = manhattan,
) -> Neighbors:
    """Find approximately the k nearest photos, with inverted lists.

    Candidates are compared by their codes, if there are any for Manhattan distance, and the nearest
    of them exactly.
    Rows that are not in the lists (one for each descriptor) yet are scanned.
    """
    first = min(each.count for each in lists)  # of the rows that are not in all lists
    length = LISTED_PER_NEIGHBOR * k
    parts: list[np.ndarray] = []
    for side, values in enumerate((query.global_, query.local)[: len(lists)]):
        if values is None:
            continue
        near = lists[side].near(np.asarray(values, np.float32), max(MIN_SHORTLIST, length))
        near = near[database.ids[near] != REMOVED_ID]
        if not database.coded or distance is not manhattan:
            parts += [near, np.arange(first, len(database.ids))]
            continue
        coded = database.coded[side]
        code = coded.quantizer.encode_queries(values[None])
        parts.append(
            shortlist_among(code, coded.codes, coded.slack, near, CANDIDATES_PER_NEIGHBOR * k)
        )
        later = len(coded.codes) - first
        if later:
            codes, slack = coded.codes[first:], coded.slack[first:]
            parts.append(first + shortlist(code, codes, slack, min(length, later))[0][0])
    return nearest_of(query, database, parts, k, distance)
