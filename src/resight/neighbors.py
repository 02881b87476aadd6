"""Exact nearest neighbours of descriptors (section 8); NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resight.errors import UsageError

BLOCK_VALUES = 1 << 22
"""Values compared at once: 16 MB of float32, so that a scan needs little memory."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a query (D,) and a block of the database (n, D) to distances (n,)."""


@dataclass(frozen=True)
class Database:
    """Descriptors to search in, rows in the order of the ids.

    Attributes:
        ids: int64 (N,), ascending.
        global_: float32 (N, D), possibly memory-mapped.
        local: float32 (N, D) with class activation maps, else None.
    """

    ids: np.ndarray
    global_: np.ndarray
    local: np.ndarray | None = None


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


DISTANCES: dict[str, Distance] = {"manhattan": manhattan, "cosine": cosine}


def distances_to(query: Query, database: Database, distance: Distance = manhattan) -> np.ndarray:
    """Distances of a query to every photo, float32 (N,).

    With local descriptors on both sides the smaller of the global and the local distance counts
    (section 8).

    Raises:
        UsageError: the query's descriptor is not as long as the database's.
    """
    distances = _scan(query.global_, database.global_, distance)
    if query.local is not None and database.local is not None:
        np.minimum(distances, _scan(query.local, database.local, distance), out=distances)
    return distances


def nearest(query: Query, database: Database, k: int, distance: Distance = manhattan) -> Neighbors:
    """The k nearest photos (fewer when the database is smaller); ties by ascending id."""
    distances = distances_to(query, database, distance)
    order = ranking(distances, database.ids, k)
    return Neighbors(database.ids[order], distances[order])


def ranking(distances: np.ndarray, ids: np.ndarray, k: int | None = None) -> np.ndarray:
    """Positions (k,) by ascending distance, ties by ascending id; all of them without k."""
    if k is None or k >= len(distances):
        return np.lexsort((ids, distances))
    # Everything at the k-th distance competes, so that ties at the cut are decided by id too.
    limit = np.partition(distances, k - 1)[k - 1]
    candidates = np.flatnonzero(distances <= limit)
    return candidates[np.lexsort((ids[candidates], distances[candidates]))[:k]]


def _scan(query: np.ndarray, rows: np.ndarray, distance: Distance) -> np.ndarray:
    if query.shape != rows.shape[1:]:
        raise UsageError(f"the query has {query.shape} values, the database {rows.shape[1:]}")
    distances = np.empty(len(rows), np.float32)
    step = max(1, BLOCK_VALUES // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        distances[start : start + step] = distance(query, rows[start : start + step])
    return distances
