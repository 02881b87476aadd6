"""An approximate index for very large collections: inverted lists of short codes, by FAISS.

The first principal components of a descriptor are stored in 4 bits each: 32 bytes, compared in the
processor's registers (Jegou et al., "Product Quantization for Nearest Neighbor Search", TPAMI 2011;
André et al., "Quicker ADC", TPAMI 2021). k-means divides the photos into lists, and a search reads
those whose centers are nearest to the query. That is by Euclidean distance and finds candidates
only; `exact` compares them by Manhattan distance of the codes, and exactly.
"""

import errno
import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UsageError
from resight.files import write_atomically

COMPONENTS = 64
"""Number of principal components; more barely increase recall on real descriptors."""
TRAINING_ROWS_PER_LIST = 64
MIN_TRAINING_ROWS = 64
"""Minimum number of training rows; fewer are repeated."""
OUTLIER_FRACTION = 0.01
"""Fraction of the rows that is excluded from training."""
MIN_PROBES = 32
"""Minimum number of lists that a search reads; all of a small collection."""
PROBED_FRACTION = 1 / 7
"""Fraction of the lists that a search reads unless recall was measured."""
REBUILD_FACTOR = 2
"""An index is rebuilt when its number of lists should grow by this factor."""
SINGLE_QUERY_IMPLEM = 10
"""FAISS's fastest implementation for single queries."""
BLOCK_ROWS = 16_384
"""Rows added between two progress reports."""


@dataclass(frozen=True)
class InvertedLists:
    """Inverted lists of the first rows of a database."""

    index: Any

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """Number of lists."""
        return int(_inverted(self.index).nlist)

    @property
    def probes(self) -> int:
        """Number of lists that a search reads."""
        return int(_inverted(self.index).nprobe)

    def near(self, query: np.ndarray, k: int) -> np.ndarray:
        """Return rows int64 (at most k,) that are near to a query, float32 (D,)."""
        import faiss

        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # more would wait for each other longer than they compute
        try:
            _, rows = self.index.search(query[None], k)
        finally:
            faiss.omp_set_num_threads(threads)
        return np.asarray(rows[0][rows[0] >= 0])


def ensure_available() -> None:
    """Raise UsageError if FAISS is not installed."""
    if not is_available():
        raise UsageError("an approximate index needs FAISS; run pip install 'resight[approximate]'")


def is_available() -> bool:
    """Return whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def open_lists(path: Path, values: int, probes: int | None = None) -> InvertedLists:
    """Open the inverted lists in a file.

    Args:
        path: the file.
        values: of a row.
        probes: number of lists that a search reads; None is a seventh, whose recall is unmeasured.

    Raises:
        UsageError: FAISS is not installed.
        ValueError: there are no such lists in the file.
    """
    ensure_available()
    index = _read(path, values)
    inverted = _inverted(index)
    default = max(MIN_PROBES, math.ceil(PROBED_FRACTION * inverted.nlist))
    inverted.nprobe = min(probes or default, inverted.nlist)
    inverted.implem = SINGLE_QUERY_IMPLEM
    return InvertedLists(index)


def grow_lists(
    path: Path, rows: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> int:
    """Add a database's new rows to the lists in a file, or create them.

    Args:
        path: the file, replaced at the end.
        rows: the database, float32 (N, D), whose first rows the lists hold already.
        progress: called with rows done and rows in all.

    Returns:
        Number of added rows.
    """
    ensure_available()
    import faiss

    index = _read(path, rows.shape[1]) if path.exists() else None
    if index is None or _list_count(len(rows)) > REBUILD_FACTOR * _inverted(index).nlist:
        index = _train(rows)
    first = index.ntotal
    for start in range(first, len(rows), BLOCK_ROWS):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK_ROWS], np.float32))
        if progress:
            progress(index.ntotal, len(rows))
    with write_atomically(path) as unfinished:
        try:
            faiss.write_index(index, str(unfinished))
        except RuntimeError:  # faiss reports all I/O errors this way
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path)) from None
    return len(rows) - first


def _train(rows: np.ndarray) -> Any:
    """Train empty lists for a database (N, D) on a sample: components, centers and quantizers."""
    import faiss

    lists = _list_count(len(rows))
    sample = np.asarray(rows[:: max(1, len(rows) // (TRAINING_ROWS_PER_LIST * lists))], np.float32)
    apart = np.abs(sample - sample.mean(axis=0)).sum(axis=1)
    sample = sample[
        apart <= np.quantile(apart, 1 - OUTLIER_FRACTION)
    ]  # they would take up all steps
    values = min(COMPONENTS, rows.shape[1], len(sample))
    # FAISS's fast scan is for product quantization with one quantizer per component.
    index = faiss.index_factory(
        rows.shape[1], f"PCA{values},IVF{lists},PQ{values}x4fs", faiss.METRIC_L2
    )
    inverted = _inverted(index)
    for clustering in (inverted.cp, inverted.pq.cp):
        clustering.min_points_per_centroid = 1  # or FAISS would warn of small collections
    index.train(np.resize(sample, (max(MIN_TRAINING_ROWS, len(sample)), rows.shape[1])))
    return index


def _list_count(rows: int) -> int:
    """Return the number of lists for a number of rows; more would cost more than they save."""
    return max(1, min(math.isqrt(rows) // 2, rows // TRAINING_ROWS_PER_LIST))


def _inverted(index: Any) -> Any:
    """Return the inverted lists inside an index with a PCA transform."""
    import faiss

    return faiss.downcast_index(faiss.extract_index_ivf(index))


def _read(path: Path, values: int) -> Any:
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError:
        raise ValueError(f"{path.name} cannot be read") from None
    if index.d != values:
        raise ValueError(f"{path.name} is of {index.d} values, not {values}")
    return index
