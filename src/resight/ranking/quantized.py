"""Descriptors quantized to 8 bits, to find the few that may be nearest before reading exact values.

Manhattan distance between codes is a sum of absolute differences of bytes, for which processors
have an instruction that OpenCV uses; squared Euclidean distance is one of squared differences. A
scan takes hardly longer than reading the codes, which are a quarter of the descriptors, for many
queries at once or Euclidean distance where Numba is installed (`compiled_scan`). The rounding
errors are bounded, so that the distance of the codes bounds the true one from below
(`QuantizedDescriptors.lower_bounds`).
"""

import functools
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

Norm = Literal["manhattan", "euclidean"]
"""Distance that codes bound."""

MAX_CODE = 255
"""Largest code."""
CLIPPED = 1e-4
"""Share of the outermost values that are clipped, so that the codes resolve the others better."""
CLIPPED_EUCLIDEAN = (0.0, 1e-6, 1e-5, 1e-4)
"""The same for Euclidean distance, where a clipped value costs a row more: the best is taken."""
MAX_EUCLIDEAN_VALUES = (2**31 - 1) // MAX_CODE**2
"""Values of a row whose squared differences fit in 32 bits."""
PROBE_ROWS = 2048
MAX_NEAR = 1 / 64
"""If more than this share of a sample of `PROBE_ROWS` rows may be nearer to a query than the
nearest of them, too many rows would be left to compare for a scan of the codes to be faster."""
SAMPLE_ROWS = 4096
"""Rows that a quantizer is fitted on."""
SLACK_BYTES = 4
"""Bytes that hold a row's slack, as their sum; more would hardly tighten the bounds."""
BLOCK_ROWS = 4096
"""Rows that are encoded, or compared with several queries, while they stay in the cache."""
COMPILED_QUERIES = 4
COMPILED_ROWS = 50_000
COMPILED_AFTER = 500_000
"""Loading a compiled scan pays off from this number of queries over this number of rows on, or when
the process has scanned `COMPILED_AFTER` rows before and is likely to continue."""
ROUNDING = 1e-5
"""Relative rounding error of distances in float32, generously."""


@dataclass(frozen=True)
class Quantizer:
    """Maps values to codes; a code stands for `low + step * code`, and step is above 0.

    `max_error` is the largest rounding error of a row that is no outlier. A row's slack makes up
    for a smaller error: each unit is a step that the row is farther than the error allows for.
    Sums of absolute differences of codes and slack order the rows by their lower bounds. Sums of
    squared differences do so for Euclidean distance, without slack.
    """

    low: float
    step: float
    max_error: float
    norm: Norm = "manhattan"

    @property
    def slack_bytes(self) -> int:
        """Bytes of a row's slack."""
        return SLACK_BYTES if self.norm == "manhattan" else 0

    def encode_queries(self, values: np.ndarray) -> np.ndarray:
        """Return the nearest codes of values (Q, D), uint8 (Q, D)."""
        with np.errstate(over="ignore"):  # far from a database of constant values
            codes = np.rint((values - np.float32(self.low)) / np.float32(self.step))
        return np.clip(codes, 0, MAX_CODE).astype(np.uint8)

    def encode_rows(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Encode rows (n, D): codes uint8 (n, D), slack uint8 (n, 4 or 0), rounding errors (n,)."""
        codes = self.encode_queries(values)
        errors = self.rounding_errors(values, codes)
        units = np.floor((self.max_error - errors) / self.step).clip(0, SLACK_BYTES * MAX_CODE)
        slack = np.clip(units[:, None] - MAX_CODE * np.arange(self.slack_bytes), 0, MAX_CODE)
        return codes, slack.astype(np.uint8), errors

    def rounding_errors(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Compute the distances between values (n, D) and decoded codes, float64 (n,)."""
        differences = values - (self.low + self.step * codes.astype(np.float64))
        if self.norm == "euclidean":
            return np.sqrt(np.einsum("ij,ij->i", differences, differences))
        return np.abs(differences).sum(axis=1)


@dataclass(frozen=True)
class QuantizedDescriptors:
    """A quantized database.

    Attributes:
        quantizer: maps values to codes.
        codes: uint8 (N, D), possibly memory-mapped.
        slack: uint8 (N, 4 or 0), possibly memory-mapped; a row's slack is their sum.
        outliers: int64 (M,), rows with a larger error than `quantizer.max_error`, ascending.
    """

    quantizer: Quantizer
    codes: np.ndarray
    slack: np.ndarray
    outliers: np.ndarray

    def lower_bounds(self, query: np.ndarray, code: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Compute lower bounds of the distances of queries to rows that are no outliers.

        By the triangle inequality `d(q, x) >= d(q', x') - d(q, q') - d(x, x')`, where q' and x' are
        decoded; the sums contain the part of `max_error` that x did not use. Queries (Q, D), their
        codes uint8 (Q, D), sums of (squared) differences of codes and slack (Q, n).
        """
        lengths = np.sqrt(sums) if self.quantizer.norm == "euclidean" else sums.astype(np.float64)
        distances = self.quantizer.step * lengths
        errors = (self.quantizer.rounding_errors(query, code) + self.quantizer.max_error)[:, None]
        return distances - errors - ROUNDING * (distances + errors)

    def pays_off(self, query: np.ndarray) -> bool:
        """Return whether few rows are likely to be near a query (D,), Euclidean distance only.

        Among rows that are all about as far from it, the codes cannot tell the nearest.
        """
        rows, squares = self._sample
        code = self.quantizer.encode_queries(query[None])
        error = self.quantizer.max_error + self.quantizer.rounding_errors(query[None], code)[0]
        squares = squares + np.einsum("i,i", query, query)
        distances = np.sqrt(np.maximum(0, squares - 2 * np.einsum("ij,j->i", rows, query)))
        return bool((distances <= distances.min() + error).sum() <= max(1, MAX_NEAR * len(rows)))

    @cached_property
    def _sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Decode a sample of the rows, float32 (n, D), with their squared lengths (n,)."""
        codes = self.codes[:: max(1, len(self.codes) // PROBE_ROWS)]
        rows = (self.quantizer.low + self.quantizer.step * codes).astype(np.float32)
        return rows, np.einsum("ij,ij->i", rows, rows)


def fit_quantizer(rows: np.ndarray, norm: Norm = "manhattan") -> Quantizer:
    """Fit a quantizer on a sample of a database's rows (N, D)."""
    sample = np.asarray(rows[:: max(1, len(rows) // SAMPLE_ROWS)])
    clipped = CLIPPED_EUCLIDEAN if norm == "euclidean" else (CLIPPED,)
    return min(
        (_fit_clipped(sample, share, norm) for share in clipped), key=lambda each: each.max_error
    )


def _fit_clipped(sample: np.ndarray, clipped: float, norm: Norm) -> Quantizer:
    low, high = np.quantile(sample, [clipped, 1 - clipped])
    step = float(max(high - low, np.finfo(np.float32).tiny)) / MAX_CODE
    *_, errors = Quantizer(float(low), step, 0.0, norm).encode_rows(sample)
    return Quantizer(float(low), step, float(errors.max(initial=0.0)), norm)


def encode_blocks(
    rows: np.ndarray, quantizer: Quantizer
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield codes (n, D), slack (n, 4 or 0) and outliers (m,) of one block after the other."""
    for start in range(0, len(rows), BLOCK_ROWS):
        codes, slack, errors = quantizer.encode_rows(np.asarray(rows[start : start + BLOCK_ROWS]))
        yield codes, slack, start + np.flatnonzero(errors > quantizer.max_error)


def encode(rows: np.ndarray, quantizer: Quantizer) -> QuantizedDescriptors:
    """Encode a database's rows (N, D)."""
    blocks = zip(*encode_blocks(rows, quantizer), strict=True)
    codes, slack, outliers = (np.concatenate(block) for block in blocks)
    return QuantizedDescriptors(quantizer, codes, slack, outliers)


def shortlist(
    queries: np.ndarray, codes: np.ndarray, slack: np.ndarray, k: int, squared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k <= N rows with the smallest sums of (squared) differences and slack.

    Queries uint8 (Q, D), codes uint8 (N, D), slack uint8 (N, 4 or 0). Returns rows int64 (Q, k) of
    each query, and the sums int32 (Q, k), ascending.
    """
    count = min(os.cpu_count() or 1, len(codes) // max(k, BLOCK_ROWS))
    compiled = _compiled.pays_off(len(queries), len(codes))
    scan = _opencv_scan
    if compiled:
        from resight.ranking.compiled_scan import nearest_rows as scan
    # OpenCV shares several queries among its threads itself.
    if count < 2 or (len(queries) > 1 and not compiled):
        return scan(queries, codes, slack, k, squared)
    bounds = np.linspace(0, len(codes), count + 1).astype(int)
    pieces = [slice(*piece) for piece in pairwise(bounds)]
    results = list(
        _pool().map(lambda part: scan(queries, codes[part], slack[part], k, squared), pieces)
    )
    rows = np.concatenate(
        [rows + part.start for (rows, _), part in zip(results, pieces, strict=True)], axis=1
    )
    sums = np.concatenate([sums for _, sums in results], axis=1)
    order = np.argsort(sums, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(sums, order, 1)


def shortlist_among(
    query: np.ndarray, codes: np.ndarray, slack: np.ndarray, candidates: np.ndarray, k: int
) -> np.ndarray:
    """Return the (at most) k nearest candidates, rows int64 (n,), by codes (1, D), in no order."""
    if len(candidates) <= k:
        return candidates
    if _compiled.pays_off(1, len(candidates)):
        from resight.ranking.compiled_scan import nearest_of_some

        return nearest_of_some(query, codes, slack, candidates, k)
    return candidates[_opencv_scan(query, codes[candidates], slack[candidates], k)[0][0]]


class _CompiledScan:
    """Decides when the compiled scan is worth the time of loading it; then it stays loaded."""

    def __init__(self) -> None:
        self.scanned_rows = 0
        self.loaded = False

    def pays_off(self, queries: int, rows: int) -> bool:
        """Count a scan, and return whether to use the compiled one."""
        many = queries >= COMPILED_QUERIES or self.scanned_rows >= COMPILED_AFTER
        self.scanned_rows += queries * rows
        if not self.loaded and many and rows >= COMPILED_ROWS:
            self.loaded = importlib.util.find_spec("numba") is not None
        return self.loaded


_compiled = _CompiledScan()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="scan")


def _opencv_scan(
    queries: np.ndarray, codes: np.ndarray, slack: np.ndarray, k: int, squared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    # No block may be smaller than k, or OpenCV would shorten the lists.
    blocks = max(1, len(codes) // max(k, BLOCK_ROWS))
    bounds = np.linspace(0, len(codes), blocks + 1).astype(int)
    padded = np.pad(queries, ((0, 0), (0, slack.shape[1])))
    sums = rows = None
    for start, stop in pairwise(bounds):
        # To OpenCV the slack is codes for which queries have zeros. The lists of the earlier
        # blocks, whose rows are counted from the first block on, are continued.
        sums, rows = cv2.batchDistance(
            padded,
            np.concatenate([codes[start:stop], slack[start:stop]], axis=1),
            dtype=cv2.CV_32S,
            normType=cv2.NORM_L2SQR if squared else cv2.NORM_L1,
            dist=sums,
            nidx=rows,
            K=k,
            update=int(start),
        )
    return np.asarray(rows).astype(np.int64), np.asarray(sums)
