"""Euclidean nearest neighbors by matrix products, which read a database about as fast as memory.

The squared distance is `|q|^2 + |x|^2 - 2 q.x`. Its rounding error is bounded, so that a superset
of the nearest rows remains, which `exact` compares by differences.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

BLOCK_VALUES = 1 << 20
"""Values of the database per product: 4 MB of float32, which stay in the cache for their lengths.
"""
MAX_SQUARES = 1 << 25
"""Squared distances in memory at a time: 128 MB."""
ROUNDING = 1e-5
"""Rounding error of a squared distance, relative to the squared lengths; generously."""


def may_be_nearest(
    queries: np.ndarray, rows: np.ndarray, k: int, ignored: np.ndarray
) -> list[np.ndarray]:
    """Return, for each query (Q, D), the rows of a database (N, D) that may be among its k nearest.

    They are int64 (n,), n at least min(k, N), in ascending order; those that the mask `ignored`,
    bool (N,), excludes do not count.
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

    BLAS uses several threads for many queries; for few, blocks of rows are shared among threads.
    """
    squares = np.empty((len(queries), len(rows)), np.float32)
    step = max(1, BLOCK_VALUES // rows.shape[1])

    def fill(start: int) -> float:
        block = rows[start : start + step]
        lengths = np.einsum("ij,ij->i", block, block)
        np.subtract(lengths, 2 * (queries @ block.T), out=squares[:, start : start + step])
        return float(lengths.max())

    with ThreadPoolExecutor() as pool:
        longest = max(pool.map(fill, range(0, len(rows), step)))
    return squares, longest
