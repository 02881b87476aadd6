"""Exact nearest neighbors of descriptors (section 8).

Small databases are scanned as they are. Of large ones the codes (`quantized`) are scanned for a
short list, which is then compared exactly; it grows until all other rows are provably farther, so
that the result is the same. Where that does not help, and for many Euclidean queries at once,
matrix products (`products`) leave the rows to compare.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from resight.descriptors.aggregation.hamming import hamming, hamming_wgc
from resight.errors import UsageError
from resight.ranking.products import FEW_QUERIES, may_be_nearest
from resight.ranking.quantized import ROUNDING, QuantizedDescriptors, shortlist

BLOCK_VALUES = 1 << 22
"""Values that are compared at a time: 16 MB of float32, so that a scan needs little memory."""

MIN_SHORTLIST = 256
"""Initial rows of a short list, or `LISTED_PER_NEIGHBOR` times the number of neighbors if more."""
LISTED_PER_NEIGHBOR = {"manhattan": 4, "euclidean": 8}
"""By the distance of the codes; Euclidean bounds are wider."""
MIN_COMPARED = 32
"""Rows of a short list that are compared exactly first, to bound the distance of the others."""
SHORTLIST_GROWTH = 8
"""Growth factor of a short list that is too short."""
MIN_SHORTLISTS = 8
"""A database shorter than this number of short lists is scanned as it is."""

REMOVED_ID = -1
"""Stands for the id of a removed photo."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a query (D,) and a block of the database (n, D) to distances (n,)."""


@dataclass(frozen=True)
class Database:
    """Descriptors to search in, rows in the order of the ids.

    Attributes:
        ids: int64 (N,), unique, in any order; `REMOVED_ID` in rows of removed photos.
        global_: float32 (N, D), possibly memory-mapped.
        local: float32 (N, D) with class activation maps, else None.
        coded: both of them quantized, in the same order; empty without codes.
    """

    ids: np.ndarray
    global_: np.ndarray
    local: np.ndarray | None = None
    coded: tuple[QuantizedDescriptors, ...] = ()

    @property
    def count(self) -> int:
        """Number of photos."""
        return int(np.count_nonzero(self.ids != REMOVED_ID))


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

    def among(self, ids: np.ndarray, count: int) -> "Neighbors":
        """Return the `count` nearest photos with the given ids."""
        present = np.flatnonzero(np.isin(self.ids, ids))[:count]
        return Neighbors(self.ids[present], self.distances[present])


def manhattan(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Compute L1 distances of a query (D,) to each row of a block (n, D), float32 (n,)."""
    difference = block - query
    return np.abs(difference, out=difference).sum(axis=1)


def euclidean(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Compute L2 distances of a query (D,) to each row of a block (n, D), float32 (n,)."""
    difference = block - query
    return np.sqrt(np.einsum("ij,ij->i", difference, difference))


def cosine(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Compute 1 - cosine of a query (D,) with each row of a block (n, D), in 0..2, float32 (n,).

    A zero vector is at distance 1 from everything.
    """
    lengths = np.linalg.norm(block, axis=1) * np.linalg.norm(query)
    products = (block * query).sum(axis=1)
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.clip(1 - cosines, 0, 2)


DISTANCES: dict[str, Distance] = {
    "manhattan": manhattan,
    "euclidean": euclidean,
    "cosine": cosine,
    "hamming": hamming,
    "hamming-wgc": hamming_wgc,
}


def distances_to(query: Query, database: Database, distance: Distance = manhattan) -> np.ndarray:
    """Compute distances of a query to every photo, float32 (N,), infinite for removed ones.

    With local descriptors on both sides the smaller of the global and the local distance counts
    (section 8).

    Raises:
        UsageError: the query's descriptor is not as long as the database's.
    """
    distances = _scan(query.global_, database.global_, distance)
    if query.local is not None and database.local is not None:
        np.minimum(distances, _scan(query.local, database.local, distance), out=distances)
    distances[database.ids == REMOVED_ID] = np.inf
    return distances


def nearest(query: Query, database: Database, k: int, distance: Distance = manhattan) -> Neighbors:
    """Find the k nearest photos (fewer in a smaller database); ties by ascending id."""
    return nearest_to_each([query], database, k, distance)[0]


def nearest_to_each(
    queries: Sequence[Query], database: Database, k: int, distance: Distance = manhattan
) -> list[Neighbors]:
    """Find the k nearest photos to each query, as `nearest` does, in one scan.

    Either all queries have local descriptors or none.
    """
    results = _by_short_lists(queries, database, k, distance)
    pending = [i for i in range(len(queries)) if i not in results]
    if distance is euclidean and pending and len(database.ids) >= MIN_SHORTLIST:
        found = _by_products([queries[i] for i in pending], database, k)
        results |= dict(zip(pending, found, strict=True))
        pending = []
    for i in pending:
        distances = distances_to(queries[i], database, distance)
        order = ranking(distances, database.ids, k)
        results[i] = Neighbors(database.ids[order], distances[order])
    return [results[i] for i in range(len(queries))]


def _by_short_lists(
    queries: Sequence[Query], database: Database, k: int, distance: Distance
) -> dict[int, Neighbors]:
    """Find the neighbors by codes, for those of the queries for which that is possible and fast."""
    results: dict[int, Neighbors] = {}
    norm = database.coded[0].quantizer.norm if database.coded else None
    if norm is None or distance is not DISTANCES[norm]:
        return results
    length = max(MIN_SHORTLIST, LISTED_PER_NEIGHBOR[norm] * k)
    pending = list(range(len(queries)))
    if distance is euclidean:
        if len(queries) > FEW_QUERIES or length * MIN_SHORTLISTS > len(database.ids):
            return results  # matrix products are faster
        pending = [i for i in pending if _codes_pay_off(queries[i], database)]
    while pending and length * MIN_SHORTLISTS <= len(database.ids):
        certain = _by_codes([queries[i] for i in pending], database, k, length, distance)
        results |= {i: near for i, near in zip(pending, certain, strict=True) if near is not None}
        pending = [i for i in pending if i not in results]
        length *= SHORTLIST_GROWTH
    return results


def _codes_pay_off(query: Query, database: Database) -> bool:
    """Return whether Euclidean codes are likely to tell near rows from the others."""
    sides = zip((query.global_, query.local), database.coded, strict=False)
    for values, coded in sides:
        if values is not None:
            _check_length(values, coded.codes)
            if not coded.pays_off(values):
                return False
    return True


def _by_products(queries: Sequence[Query], database: Database, k: int) -> list[Neighbors]:
    """Find the Euclidean neighbors of each query among the rows that products leave."""
    removed = database.ids == REMOVED_ID
    sides = [([query.global_ for query in queries], database.global_)]
    if database.local is not None and queries[0].local is not None:
        local = [query.local for query in queries if query.local is not None]
        sides.append((local, database.local))
    for values, rows in sides:
        for value in values:
            _check_length(value, rows)
    candidates = [may_be_nearest(np.stack(values), rows, k, removed) for values, rows in sides]
    return [
        nearest_of(query, database, [each[i] for each in candidates], k, euclidean)
        for i, query in enumerate(queries)
    ]


def _by_codes(
    queries: Sequence[Query], database: Database, k: int, length: int, distance: Distance
) -> list[Neighbors | None]:
    """Find the neighbors of each query; None if a short list of this length is too short."""
    sides = [[query.global_ for query in queries]]
    if database.local is not None and queries[0].local is not None:
        sides.append([query.local for query in queries if query.local is not None])
    lists, bounds, outliers = [], [], []
    for values, coded in zip(map(np.stack, sides), database.coded, strict=False):
        _check_length(values[0], coded.codes)
        codes = coded.quantizer.encode_queries(values)
        squared = coded.quantizer.norm == "euclidean"
        rows, sums = shortlist(codes, coded.codes, coded.slack, length, squared)
        lists.append(rows)
        bounds.append(coded.lower_bounds(values, codes, sums))
        outliers.append(coded.outliers)
    return [
        _compare(
            query, database, k, [r[i] for r in lists], [d[i] for d in bounds], outliers, distance
        )
        for i, query in enumerate(queries)
    ]


def _compare(
    query: Query,
    database: Database,
    k: int,
    lists: Sequence[np.ndarray],
    bounds: Sequence[np.ndarray],
    outliers: Sequence[np.ndarray],
    distance: Distance,
) -> Neighbors | None:
    """Find the neighbors of a query in short lists; None if other rows may be nearer.

    For each descriptor there are the nearest rows by their codes (L,), lower bounds of their
    distances, ascending (L,), and the rows without a bound.
    """
    first = max(MIN_COMPARED, k)
    rows = [*outliers, *(listed[:first] for listed in lists)]
    nearest_rows = nearest_of(query, database, rows, k, distance)
    limit = _limit(nearest_rows, k)
    more = [r[first:][d[first:] <= limit] for r, d in zip(lists, bounds, strict=True)]
    if any(map(len, more)):
        nearest_rows = nearest_of(query, database, [*rows, *more], k, distance)
        limit = _limit(nearest_rows, k)
    # Rows on neither list are farther than the last of the k, by either descriptor.
    return nearest_rows if limit < min(distances[-1] for distances in bounds) else None


def _limit(neighbors: Neighbors, k: int) -> float:
    """Return the distance beyond which no row can be among the k nearest."""
    return neighbors.distances[-1] * (1 + ROUNDING) if len(neighbors.ids) == k else np.inf


def nearest_of(
    query: Query,
    database: Database,
    parts: Sequence[np.ndarray],
    k: int,
    distance: Distance = manhattan,
) -> Neighbors:
    """Find the k nearest of some rows, given in parts."""
    rows = np.unique(np.concatenate(parts))
    rows = rows[database.ids[rows] != REMOVED_ID]
    local = None if database.local is None else database.local[rows]
    listed = Database(database.ids[rows], database.global_[rows], local)
    distances = distances_to(query, listed, distance)
    order = ranking(distances, listed.ids, k)
    return Neighbors(listed.ids[order], distances[order])


def ranking(distances: np.ndarray, ids: np.ndarray, k: int | None = None) -> np.ndarray:
    """Return positions (k,) by ascending distance, ties by ascending id; all of them without k.

    Infinite distances are omitted.
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
