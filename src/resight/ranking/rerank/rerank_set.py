"""Descriptors of a short list, compared with one another: what all re-ranking methods work on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import RerankConfig
from resight.descriptors.aggregation.hamming import hamming, hamming_wgc
from resight.errors import UsageError
from resight.ranking.exact import Database, Distance, Query, distances_to

EPSILON = 1e-12
"""Smallest divisor."""
AVERAGING = ("aqe", "alpha-qe", "dba")
"""Methods that average descriptors."""


@dataclass(frozen=True)
class RerankSet:
    """M photos, and a query if it is not among them, as the last item.

    Attributes:
        ids: int64 (M,), of the photos.
        descriptors: float32 (M, D): global, and local where there are any.
        matrix: float32 (M, M), distances between all items.
        distance: between descriptors.
        part_sizes: lengths of the descriptors' parts (layers, scales), for late fusion; they sum
            to D.
        part_matrices: for each part float32 (M, M), distances by it only.
    """

    ids: np.ndarray
    descriptors: tuple[np.ndarray, ...]
    matrix: np.ndarray
    distance: Distance
    part_sizes: tuple[int, ...] = ()
    part_matrices: tuple[np.ndarray, ...] = ()


def make_rerank_set(
    database: Database, distance: Distance, config: RerankConfig, part_sizes: Sequence[int] = ()
) -> RerankSet:
    """Compare all photos of a small database with one another; late fusion needs `part_sizes`.

    Raises:
        UsageError: the method does not work with these descriptors.
    """
    _check_method(config, distance, part_sizes)
    descriptors = tuple(
        np.asarray(values) for values in (database.global_, database.local) if values is not None
    )
    queries = [Query(*rows) for rows in zip(*descriptors, strict=True)]
    matrix = np.stack([distances_to(query, database, distance) for query in queries])
    parts = [distances_between(part, part, distance) for part in _split(descriptors, part_sizes)]
    return RerankSet(database.ids, descriptors, matrix, distance, tuple(part_sizes), tuple(parts))


def with_query(items: RerankSet, query: Query) -> RerankSet:
    """Return the items with a query as the last one."""
    own = (query.global_, query.local)
    descriptors = tuple(
        np.vstack([rows, values])
        for rows, values in zip(items.descriptors, own, strict=False)
        if values is not None
    )
    parts = zip(items.part_matrices, _split(descriptors, items.part_sizes), strict=True)
    return RerankSet(
        items.ids,
        descriptors,
        _with_last(items.matrix, descriptors, items.distance),
        items.distance,
        items.part_sizes,
        tuple(_with_last(matrix, part, items.distance) for matrix, part in parts),
    )


def distances_between(
    rows: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...], distance: Distance
) -> np.ndarray:
    """Compute distances of Q items to M others, the smaller of global and local, float32 (Q, M)."""
    return np.stack(
        [
            np.min([distance(a[row], b) for a, b in zip(rows, others, strict=True)], axis=0)
            for row in range(len(rows[0]))
        ]
    )


def neighbor_order(matrix: np.ndarray) -> np.ndarray:
    """Return the columns of each row by ascending value, ties by column."""
    return np.argsort(matrix, axis=1, kind="stable")


def is_averaged(distance: Distance) -> bool:
    """Return whether descriptors that a distance compares can be averaged: not sets."""
    return distance not in (hamming, hamming_wgc)


def _check_method(config: RerankConfig, distance: Distance, part_sizes: Sequence[int]) -> None:
    if config.method == "late-fusion" and len(part_sizes) < 2:
        raise UsageError(
            "'late-fusion' fuses the parts of a descriptor (layers of a network, scales), and "
            "descriptors of this method have only one part; use another re-ranking method",
            parameter="rerank",
        )
    if config.method in AVERAGING and not is_averaged(distance):
        raise UsageError(
            f"{config.method!r} averages descriptors, and those of Hamming embedding are sets; use "
            "'k-reciprocal' or 'diffusion'",
            parameter="rerank",
        )


def _split(
    descriptors: tuple[np.ndarray, ...], sizes: Sequence[int]
) -> list[tuple[np.ndarray, ...]]:
    """Split descriptors into their parts, each of them global and local."""
    ends = np.cumsum(sizes)
    return [
        tuple(np.ascontiguousarray(rows[:, end - size : end]) for rows in descriptors)
        for size, end in zip(sizes, ends, strict=True)
    ]


def _with_last(
    matrix: np.ndarray, descriptors: tuple[np.ndarray, ...], distance: Distance
) -> np.ndarray:
    """Add a row and a column to a matrix of distances, for the last descriptor."""
    last = tuple(rows[len(matrix) :] for rows in descriptors)
    new = distances_between(last, descriptors, distance)[0]
    return np.vstack([np.column_stack([matrix, new[:-1]]), new])
