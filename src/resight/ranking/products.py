"""Euclidean nearest neighbors by matrix products, which read a database about as fast as memory.

The squared distance is `|q|^2 + |x|^2 - 2 q.x`. Its rounding error is bounded, so that a superset
of the nearest rows remains, which `exact` compares by differences.
"""

import contextlib
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

BLOCK_VALUES = 1 << 20
"""Values of the database per product: 4 MB of float32, which stay in the cache for their lengths.
"""
MAX_SQUARES = 1 << 25
"""Squared distances in memory at a time: 128 MB."""
FEW_QUERIES = 4
"""Up to this many queries, products are computed without BLAS."""
ROUNDING = 1e-5
"""Rounding error of a squared distance, relative to the squared lengths; generously."""


def may_be_nearest(
    queries: np.ndarray, rows: np.ndarray, k: int, ignored: np.ndarray
) -> list[np.ndarray]:
    """Return, for each query (Q, D), a superset of its k nearest rows of a database (N, D).

    Args:
        queries: float32 (Q, D).
        rows: float32 (N, D), possibly memory-mapped.
        k: number of neighbors.
        ignored: mask of rows to exclude, bool (N,).

    Returns:
        Row indices of each query, int64 (n,), ascending; at least min(k, N) of them.
    """
    together = max(1, MAX_SQUARES // max(1, len(rows)))
    found: list[np.ndarray] = []
    for start in range(0, len(queries), together):
        block = np.ascontiguousarray(queries[start : start + together], np.float32)
        squares, longest = _squared_distances(block, rows)
        squares[:, ignored] = np.inf
        lengths = np.einsum("ij,ij->i", block, block)
        for distances, length in zip(squares, lengths, strict=True):
            if k >= len(rows):
                found.append(np.arange(len(rows)))
                continue
            error = 2 * ROUNDING * (length + longest)
            limit = np.partition(distances, k - 1)[k - 1] + error
            found.append(np.flatnonzero(distances <= limit))
    return found


def _squared_distances(queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return squared distances (Q, N), up to a term of each query, and the largest squared length.

    Blocks of rows are shared among threads, in each of which BLAS uses one thread: threads of its
    own would wait for each other, for very long on a busy machine.
    """
    squares = np.empty((len(queries), len(rows)), np.float32)
    step = max(1, BLOCK_VALUES // rows.shape[1])
    few = len(queries) <= FEW_QUERIES

    def fill(start: int) -> float:
        block = rows[start : start + step]
        lengths = np.einsum("ij,ij->i", block, block)
        target = squares[:, start : start + step]
        if few:
            for query, row in zip(queries, target, strict=True):
                np.subtract(lengths, np.einsum("ij,j->i", block, 2 * query), out=row)
        else:
            np.subtract(lengths, 2 * (queries @ block.T), out=target)
        return float(lengths.max())

    limit = contextlib.nullcontext() if few else _blas().limit(limits=1, user_api="blas")
    with limit, ThreadPoolExecutor(os.cpu_count()) as pool:
        longest = max(pool.map(fill, range(0, len(rows), step)))
    return squares, longest


@functools.cache
def _blas() -> ThreadpoolController:
    """Find the BLAS libraries of this process, once: that takes milliseconds."""
    return ThreadpoolController()
