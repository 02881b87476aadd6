"""Descriptors in 8 bits, to find the few that may be nearest before the exact values are read.

Manhattan distance between codes is a sum of absolute differences of bytes, for which processors
have an instruction that OpenCV uses: a scan takes hardly longer than reading the codes, which are a
quarter of the descriptors. For many queries at once `sad` is faster still, where Numba is
installed. What rounding took away is known for every row, so that the distance of the codes bounds
the true one from below (`QuantizedDescriptors.least_distances`).
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LEVELS = 255
"""The largest code."""
CLIPPED = 1e-4
"""Share of the values, the outermost, that codes do not reach: others are told apart better."""
SAMPLE_ROWS = 4096
"""Rows that are looked at to choose the steps of the codes."""
UNIT_BYTES = 4
"""Bytes that hold a row's units, as their sum; more would hardly bring the bounds nearer."""
BLOCK_ROWS = 4096
"""Rows that are coded, or compared with several queries, while they stay in the cache."""
COMPILED_QUERIES = 4
COMPILED_ROWS = 50_000
COMPILED_AFTER = 500_000
"""From so many queries at once over so many rows on, or when a process has compared so many rows
before and is likely to go on, loading a compiled scan (`sad`) is worth its time."""
SLACK = 1e-5
"""Relative rounding of distances in float32, generously."""


@dataclass(frozen=True)
class Quantizer:
    """What the codes of values mean: `low + step * code`; step above 0.

    Beside its codes a row has units, which make up for the row having lost less than `lost`, the
    most that any row but an outlier lost to rounding: every unit is a step that the row cannot be
    nearer than its codes say. Sums of absolute differences and units put the rows in the order of
    what is known of their distances.
    """

    low: float
    step: float
    lost: float

    def encode_queries(self, values: np.ndarray) -> np.ndarray:
        """The nearest codes of values (Q, D), uint8 (Q, D)."""
        codes = np.rint((values - np.float32(self.low)) / np.float32(self.step))
        return np.clip(codes, 0, LEVELS).astype(np.uint8)

    def encode_rows(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A database's rows (n, D): codes uint8 (n, D), units uint8 (n, 4), what each lost (n,)."""
        codes = self.encode_queries(values)
        lost = self.lost_by(values, codes)
        spare = np.floor((self.lost - lost) / self.step).clip(0, UNIT_BYTES * LEVELS)
        units = np.clip(spare[:, None] - LEVELS * np.arange(UNIT_BYTES), 0, LEVELS)
        return codes, units.astype(np.uint8), lost

    def lost_by(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Manhattan distances between values (n, D) and what their codes mean, float64 (n,)."""
        meant = self.low + self.step * codes.astype(np.float64)
        return np.abs(values - meant).sum(axis=1)


@dataclass(frozen=True)
class QuantizedDescriptors:
    """A database in codes.

    Attributes:
        steps: what the codes mean.
        codes: uint8 (N, D), possibly memory-mapped.
        units: uint8 (N, 4), likewise; a row has as many as their sum.
        outliers: int64 (M,), rows that lost more than `steps.lost`, ascending.
    """

    steps: Quantizer
    codes: np.ndarray
    units: np.ndarray
    outliers: np.ndarray

    def least_distances(self, query: np.ndarray, code: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Bounds from below of the distances of queries to rows that are no outliers.

        By the triangle inequality `d(q, x) >= d(q', x') - d(q, q') - d(x, x')`, where q' and x' are
        what the codes of q and x mean; the sum holds what x lost less than `steps.lost`.

        Args:
            query: (Q, D).
            code: the queries' codes, uint8 (Q, D).
            sums: absolute differences of codes, summed, and units (Q, n).
        """
        apart = self.steps.step * sums.astype(np.float64)
        lost = (self.steps.lost_by(query, code) + self.steps.lost)[:, None]
        return apart - lost - SLACK * (apart + lost)


def choose_steps(rows: np.ndarray) -> Quantizer:
    """Steps for a database's rows (N, D), from a sample of them."""
    sample = np.asarray(rows[:: max(1, len(rows) // SAMPLE_ROWS)])
    low, high = np.quantile(sample, [CLIPPED, 1 - CLIPPED])
    step = float(max(high - low, np.finfo(np.float32).tiny)) / LEVELS
    *_, lost = Quantizer(float(low), step, 0.0).encode_rows(sample)
    return Quantizer(float(low), step, float(lost.max(initial=0.0)))


def encode_blocks(
    rows: np.ndarray, steps: Quantizer
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Codes (n, D) and units (n, 4) of one block of rows after the other, and its outliers (m,)."""
    for start in range(0, len(rows), BLOCK_ROWS):
        codes, units, lost = steps.encode_rows(np.asarray(rows[start : start + BLOCK_ROWS]))
        yield codes, units, start + np.flatnonzero(lost > steps.lost)


def encode(rows: np.ndarray, steps: Quantizer) -> QuantizedDescriptors:
    """A database's rows (N, D) in codes."""
    codes, units, outliers = map(np.concatenate, zip(*encode_blocks(rows, steps), strict=True))
    return QuantizedDescriptors(steps, codes, units, outliers)


def shortlist(
    queries: np.ndarray, codes: np.ndarray, units: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows whose codes and units are nearest to those of each query, nearest first.

    Args:
        queries: uint8 (Q, D).
        codes: uint8 (N, D).
        units: uint8 (N, 4).
        k: at most N.

    Returns:
        Rows int64 (Q, k), and the sums of absolute differences and units int32 (Q, k), ascending.
    """
    scan, parts = _opencv_scan, min(os.cpu_count() or 1, len(codes) // max(k, BLOCK_ROWS))
    if _compiled(len(queries), len(codes)):
        from resight.ranking.sad import nearest_rows as scan
    elif len(queries) > 1:
        parts = 1  # OpenCV shares several queries among its threads itself
    if parts < 2:
        return scan(queries, codes, units, k)
    bounds = np.linspace(0, len(codes), parts + 1).astype(int)
    pieces = [slice(*piece) for piece in pairwise(bounds)]
    found = list(_pool().map(lambda piece: scan(queries, codes[piece], units[piece], k), pieces))
    parts_of = zip(found, pieces, strict=True)
    rows = np.concatenate([rows + piece.start for (rows, _), piece in parts_of], axis=1)
    sums = np.concatenate([s for _, s in found], axis=1)
    order = np.argsort(sums, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(sums, order, 1)


def shortlist_among(
    query: np.ndarray, codes: np.ndarray, units: np.ndarray, some: np.ndarray, k: int
) -> np.ndarray:
    """The k of some rows, int64 (n,), whose codes and units are nearest to those of a query (1, D).

    They are in no order, and fewer where there are no more.
    """
    if len(some) <= k:
        return some
    if _compiled(1, len(some)):
        from resight.ranking.sad import nearest_of_some

        return nearest_of_some(query, codes, units, some, k)
    return some[_opencv_scan(query, codes[some], units[some], k)[0][0]]


def _compiled(queries: int, rows: int) -> bool:
    """Whether the compiled scan is there and worth the time of loading it."""
    before = _compared[0]
    _compared[0] += queries * rows
    if "resight.ranking.sad" in sys.modules:
        return True
    worth = queries >= COMPILED_QUERIES or before >= COMPILED_AFTER
    return rows >= COMPILED_ROWS and worth and importlib.util.find_spec("numba") is not None


_compared = [0]
"""Rows that this process has compared with queries, in all."""


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="scan")


def _opencv_scan(
    queries: np.ndarray, codes: np.ndarray, units: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    # No block may be smaller than k, or OpenCV would shorten the lists.
    blocks = max(1, len(codes) // max(k, BLOCK_ROWS))
    bounds = np.linspace(0, len(codes), blocks + 1).astype(int)
    padded = np.pad(queries, ((0, 0), (0, UNIT_BYTES)))
    sums = rows = None
    for start, stop in pairwise(bounds):
        # To OpenCV the units are codes in which queries have zeros. The lists of the blocks before,
        # whose rows are counted from the first block's, go on.
        sums, rows = cv2.batchDistance(
            padded,
            np.concatenate([codes[start:stop], units[start:stop]], axis=1),
            dtype=cv2.CV_32S,
            normType=cv2.NORM_L1,
            dist=sums,
            nidx=rows,
            K=k,
            update=int(start),
        )
    return np.asarray(rows).astype(np.int64), np.asarray(sums)
