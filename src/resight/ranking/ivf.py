"""An approximate index for very large collections: inverted lists of short codes, by FAISS.

Of a descriptor its first principal components are kept, in 4 bits each: 32 bytes that are compared
in the processor's registers (Jegou et al., "Product Quantization for Nearest Neighbor Search",
TPAMI 2011; André et al., "Quicker ADC", TPAMI 2021). k-means parts the photos into lists, and a
search reads those whose centres are nearest to the query. That is by Euclidean distance and finds
candidates only; `neighbors` compares them by Manhattan distance of the codes, and exactly.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UsageError
from resight.files import write_atomically

COMPONENTS = 64
"""Principal components that are kept: on real descriptors more of them find hardly more."""
ROWS_OF_A_LIST = 64
"""Rows for each list that its centre is learned from."""
FEWEST_ROWS = 64
"""Rows that anything is learned from; fewer are told more than once."""
FARTHEST = 0.01
"""Share of the rows, the farthest from all others, that nothing is learned from."""
FEWEST_PROBES = 32
"""Lists that are read at least; all of a small collection's."""
SHARE_PROBED = 1 / 7
"""Share of the lists that are read at first, until more are known to be needed."""
OUTGROWN = 2
"""An index that should have so many times the lists that it has is made anew."""
ONE_QUERY = 10
"""FAISS's scan that is the fastest for one query at a time."""
BLOCK_ROWS = 16_384
"""Rows that are added between two reports of progress."""


@dataclass(frozen=True)
class InvertedLists:
    """The first rows of a database, in lists."""

    index: Any

    @property
    def count(self) -> int:
        """How many rows they hold."""
        return int(self.index.ntotal)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return int(_inverted(self.index).nlist)

    @property
    def probes(self) -> int:
        """How many of the lists a search reads."""
        return int(_inverted(self.index).nprobe)

    def near(self, query: np.ndarray, k: int) -> np.ndarray:
        """Rows int64 (at most k,) that are near to a query, float32 (D,)."""
        import faiss

        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # more would wait for each other longer than they compute
        try:
            _, rows = self.index.search(query[None], k)
        finally:
            faiss.omp_set_num_threads(threads)
        return np.asarray(rows[0][rows[0] >= 0])


def ensure_available() -> None:
    """Refuse approximate indexes where FAISS is not installed.

    Raises:
        UsageError: it says what to install.
    """
    if not is_available():
        raise UsageError("an approximate index needs FAISS; run pip install 'resight[approximate]'")


def is_available() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def open_lists(path: Path, values: int, probes: int | None = None) -> InvertedLists:
    """Inverted lists of rows of so many values from their file.

    Args:
        path: the file.
        values: of a row.
        probes: how many lists a search reads, at most all; not said, a seventh, which must be
            measured to be known to be enough.

    Raises:
        UsageError: FAISS is not installed.
        ValueError: there are no such lists in the file.
    """
    ensure_available()
    index = _read(path, values)
    inverted = _inverted(index)
    wanted = probes or max(FEWEST_PROBES, math.ceil(SHARE_PROBED * inverted.nlist))
    inverted.nprobe = min(wanted, inverted.nlist)
    inverted.implem = ONE_QUERY
    return InvertedLists(index)


def grow_lists(
    path: Path, rows: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> int:
    """Bring the lists in a file up to date with a database, or make them.

    Args:
        path: the file, replaced when all is done.
        rows: the database, float32 (N, D), of which the lists hold the first ones already.
        progress: called with rows done and rows in all.

    Returns:
        How many rows were added.
    """
    ensure_available()
    import faiss

    index = _read(path, rows.shape[1]) if path.exists() else None
    if index is None or _lists_for(len(rows)) > OUTGROWN * _inverted(index).nlist:
        index = _learn(rows)
    first = index.ntotal
    for start in range(first, len(rows), BLOCK_ROWS):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK_ROWS], np.float32))
        if progress:
            progress(index.ntotal, len(rows))
    with write_atomically(path) as unfinished:
        faiss.write_index(index, str(unfinished))
    return len(rows) - first


def _learn(rows: np.ndarray) -> Any:
    """Empty lists for a database (N, D): components, centres and steps, from a sample of it."""
    import faiss

    lists = _lists_for(len(rows))
    sample = np.asarray(rows[:: max(1, len(rows) // (ROWS_OF_A_LIST * lists))], np.float32)
    apart = np.abs(sample - sample.mean(axis=0)).sum(axis=1)
    sample = sample[apart <= np.quantile(apart, 1 - FARTHEST)]  # or all steps would be theirs
    values = min(COMPONENTS, rows.shape[1], len(sample))
    # Product quantisation with a quantiser for each component, which is what its fast scan is for.
    index = faiss.index_factory(
        rows.shape[1], f"PCA{values},IVF{lists},PQ{values}x4fs", faiss.METRIC_L2
    )
    inverted = _inverted(index)
    for clustering in (inverted.cp, inverted.pq.cp):
        clustering.min_points_per_centroid = 1  # or FAISS would warn of small collections
    index.train(np.resize(sample, (max(FEWEST_ROWS, len(sample)), rows.shape[1])))
    return index


def _lists_for(rows: int) -> int:
    """How many lists so many rows are parted into; more of them would cost more than they save."""
    return max(1, min(math.isqrt(rows) // 2, rows // ROWS_OF_A_LIST))


def _inverted(index: Any) -> Any:
    """The lists within an index, behind what brings values to their components."""
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
