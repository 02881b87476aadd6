"""Exact nearest neighbours of descriptors (section 8).

Small databases are scanned as they are. Of large ones the codes (`codes.py`) are scanned for a
short list, which is then compared exactly; it grows until what is not on it is provably farther,
so that the answer is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from resight.descriptors.aggregation.hamming import hamming, hamming_wgc
from resight.errors import UsageError
from resight.ranking.ivf import InvertedLists
from resight.ranking.quantized import SLACK, QuantizedDescriptors, shortlist, shortlist_among

BLOCK_VALUES = 1 << 22
"""Values compared at once: 16 MB of float32, so that a scan needs little memory."""

FIRST_SHORT_LIST = 256
"""Rows of a short list at first, or `LONGER` times the neighbors wanted."""
FIRST_COMPARED = 32
"""Rows of a short list that are compared exactly before it is known how near the others must be."""
LONGER = 4
"""A short list that is not enough is made so many times longer."""
COMPARED = 2
"""Rows for each neighbor wanted that are compared exactly, of those that inverted lists give."""
FEWEST_LISTS = 8
"""A database that would hold fewer short lists than this is scanned as it is."""

GONE = -1
"""In place of the id of a photo that was removed."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a query (D,) and a block of the database (n, D) to distances (n,)."""


@dataclass(frozen=True)
class Database:
    """Descriptors to search in, rows in the order of the ids.

    Attributes:
        ids: int64 (N,), each once, in any order; `GONE` in rows whose photo is no longer there.
        global_: float32 (N, D), possibly memory-mapped.
        local: float32 (N, D) with class activation maps, else None.
        coded: both of them in codes, as far as there are any, in the same order; or nothing.
    """

    ids: np.ndarray
    global_: np.ndarray
    local: np.ndarray | None = None
    coded: tuple[QuantizedDescriptors, ...] = ()

    @property
    def count(self) -> int:
        """How many photos there are."""
        return int(np.count_nonzero(self.ids != GONE))


@dataclass(frozen=True)
class Query:
    """One query's descriptors, float32 (D,), in the same form as the database's."""

    global_: np.ndarray
    local: np.ndarray | None = None


@dataclass(frozen=True)
class Neighbors:
    """Nearest photos: ids int64 (k,) and distances float32 (k,), nearest first."""

    ids: np.ndarray
    distances: np.ndarray


def manhattan(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """L1 distances of a query (D,) to each row of a block (n, D), float32 (n,)."""
    difference = block - query
    return np.abs(difference, out=difference).sum(axis=1)


def cosine(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """1 - cosine of a query (D,) with each row of a block (n, D), in 0..2, float32 (n,).

    A zero vector is at distance 1 from everything.
    """
    lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(query)
    products = (block * query).sum(axis=1)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.clip(1 - cosines, 0, 2)


DISTANCES: dict[str, Distance] = {
    "manhattan": manhattan,
    "cosine": cosine,
    "hamming": hamming,
    "hamming-wgc": hamming_wgc,
}


def distances_to(query: Query, database: Database, distance: Distance = manhattan) -> np.ndarray:
    """Distances of a query to every photo, float32 (N,), infinite where it is gone.

    With local descriptors on both sides the smaller of the global and the local distance counts
    (section 8).

    Raises:
        UsageError: the query's descriptor is not as long as the database's.
    """
    distances = _scan(query.global_, database.global_, distance)
    if query.local is not None and database.local is not None:
        np.minimum(distances, _scan(query.local, database.local, distance), out=distances)
    distances[database.ids == GONE] = np.inf
    return distances


def nearest(query: Query, database: Database, k: int, distance: Distance = manhattan) -> Neighbors:
    """The k nearest photos (fewer when the database is smaller); ties by ascending id."""
    return nearest_to_each([query], database, k, distance)[0]


def nearest_to_each(
    queries: Sequence[Query], database: Database, k: int, distance: Distance = manhattan
) -> list[Neighbors]:
    """The k nearest photos to each query: what `nearest` says of each, found together.

    The queries have local descriptors all, or none of them.
    """
    found: dict[int, Neighbors] = {}
    length = max(FIRST_SHORT_LIST, LONGER * k)
    while distance is manhattan and database.coded and length * FEWEST_LISTS <= len(database.ids):
        left = [i for i in range(len(queries)) if i not in found]
        if not left:
            break
        certain = _by_codes([queries[i] for i in left], database, k, length)
        found |= {i: near for i, near in zip(left, certain, strict=True) if near is not None}
        length *= LONGER
    for i in (i for i in range(len(queries)) if i not in found):
        distances = distances_to(queries[i], database, distance)
        order = ranking(distances, database.ids, k)
        found[i] = Neighbors(database.ids[order], distances[order])
    return [found[i] for i in range(len(queries))]


def _by_codes(
    queries: Sequence[Query], database: Database, k: int, length: int
) -> list[Neighbors | None]:
    """The neighbors of each query, or None where a short list of this length is not enough."""
    sides = [[query.global_ for query in queries]]
    if database.local is not None and queries[0].local is not None:
        sides.append([query.local for query in queries if query.local is not None])
    lists, least, outliers = [], [], []
    for values, coded in zip(map(np.stack, sides), database.coded, strict=False):
        _check_length(values[0], coded.codes)
        codes = coded.steps.encode_queries(values)
        rows, sums = shortlist(codes, coded.codes, coded.units, length)
        lists.append(rows)
        least.append(coded.least_distances(values, codes, sums))
        outliers.append(coded.outliers)
    return [
        _compare(query, database, k, [r[i] for r in lists], [d[i] for d in least], outliers)
        for i, query in enumerate(queries)
    ]


def _compare(
    query: Query,
    database: Database,
    k: int,
    lists: Sequence[np.ndarray],
    least: Sequence[np.ndarray],
    outliers: Sequence[np.ndarray],
) -> Neighbors | None:
    """The neighbors of a query among short lists, or None where others may be nearer.

    Args:
        query: the query.
        database: in which it is searched.
        k: how many neighbors.
        lists: of each descriptor, the nearest rows by their codes (L,).
        least: of each descriptor, the distances that those rows have at least, ascending (L,).
        outliers: of each descriptor, the rows of which the codes say nothing.
    """
    first = max(FIRST_COMPARED, k)
    rows = [*outliers, *(listed[:first] for listed in lists)]
    found = _nearest_of(query, database, rows, k)
    limit = found.distances[-1] * (1 + SLACK) if len(found.ids) == k else np.inf
    more = [r[first:][d[first:] <= limit] for r, d in zip(lists, least, strict=True)]
    if any(map(len, more)):
        found = _nearest_of(query, database, [*rows, *more], k)
        limit = found.distances[-1] * (1 + SLACK) if len(found.ids) == k else np.inf
    # What is on neither list is farther than the last of the k, by either descriptor.
    return found if limit < min(distances[-1] for distances in least) else None


def _nearest_of(query: Query, database: Database, parts: Sequence[np.ndarray], k: int) -> Neighbors:
    """The k nearest of some rows, given in parts, by Manhattan distance."""
    rows = np.unique(np.concatenate(parts))
    rows = rows[database.ids[rows] != GONE]
    local = None if database.local is None else database.local[rows]
    listed = Database(database.ids[rows], database.global_[rows], local)
    distances = distances_to(query, listed)
    order = ranking(distances, listed.ids, k)
    return Neighbors(listed.ids[order], distances[order])


def nearest_by_lists(
    query: Query, database: Database, lists: Sequence[InvertedLists], k: int
) -> Neighbors:
    """About the k nearest photos by Manhattan distance, found by inverted lists.

    What is found is compared by its codes, where there are any, and the nearest of that exactly.
    Rows that are not in the lists yet are scanned.

    Args:
        query: the query.
        database: with codes where many rows are not in the lists.
        lists: those of each descriptor, in the order of `Database.coded`.
        k: how many photos.
    """
    first, wanted, parts = min(each.count for each in lists), LONGER * k, []
    for side, values in enumerate((query.global_, query.local)[: len(lists)]):
        if values is None:
            continue
        found = lists[side].near(np.asarray(values, np.float32), max(FIRST_SHORT_LIST, wanted))
        found = found[database.ids[found] != GONE]
        if not database.coded:
            parts += [found, np.arange(first, len(database.ids))]
            continue
        coded = database.coded[side]
        code = coded.steps.encode_queries(values[None])
        parts.append(shortlist_among(code, coded.codes, coded.units, found, COMPARED * k))
        later = len(coded.codes) - first
        if later:
            codes, units = coded.codes[first:], coded.units[first:]
            parts.append(first + shortlist(code, codes, units, min(wanted, later))[0][0])
    return _nearest_of(query, database, parts, k)


def ranking(distances: np.ndarray, ids: np.ndarray, k: int | None = None) -> np.ndarray:
    """Positions (k,) by ascending distance, ties by ascending id; all of them without k.

    Infinite distances are left out.
    """
    if k is None or k >= len(distances):
        order = np.lexsort((ids, distances))
        return order[distances[order] < np.inf]
    # Everything at the k-th distance competes, so that ties at the cut are decided by id too.
    limit = np.partition(distances, k - 1)[k - 1]
    candidates = np.flatnonzero((distances <= limit) & (distances < np.inf))
    return candidates[np.lexsort((ids[candidates], distances[candidates]))[:k]]


def _scan(query: np.ndarray, rows: np.ndarray, distance: Distance) -> np.ndarray:
    _check_length(query, rows)
    distances = np.empty(len(rows), np.float32)
    step = max(1, BLOCK_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        distances[start : start + step] = distance(query, rows[start : start + step])
    return distances


def _check_length(query: np.ndarray, rows: np.ndarray) -> None:
    if query.shape != rows.shape[1:]:
        raise UsageError(f"the query has {query.shape} values, the database {rows.shape[1:]}")
