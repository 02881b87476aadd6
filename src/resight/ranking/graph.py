"""An approximate index for very large collections: a graph of near neighbours, by FAISS.

Hierarchical navigable small worlds (Malkov and Yashunin, TPAMI 2020) under Manhattan distance. A
search walks from neighbour to neighbour and looks at some hundred descriptors instead of all; what
it finds is compared exactly by `neighbors`. Of FAISS's kinds of index that take Manhattan distance
only `IndexHNSWFlat` is used here: some others end the process.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UsageError

LINKS = 32
"""Neighbours that each row is linked to; twice as many on the lowest level."""
BUILD_EFFORT = 80
"""Candidates that are kept in mind while a row's neighbours are looked for."""
SEARCH_EFFORT = 128
"""Likewise while a query's are."""
BLOCK_ROWS = 2048
"""Rows that are added between two reports of progress."""


@dataclass(frozen=True)
class Graph:
    """A graph over the first `count` rows of a database."""

    index: Any
    count: int

    def near(self, query: np.ndarray, k: int) -> np.ndarray:
        """Rows int64 (at most k,) that are near to a query, float32 (D,)."""
        import faiss

        effort = faiss.SearchParametersHNSW(efSearch=max(SEARCH_EFFORT, 2 * k))
        _, rows = self.index.search(query[None], k, params=effort)
        return rows[0][rows[0] >= 0]


def check_possible() -> None:
    """Refuse approximate indexes where FAISS is not installed.

    Raises:
        UsageError: it says what to install.
    """
    if not is_possible():
        raise UsageError("an approximate index needs FAISS; run pip install 'resight[faiss]'")


def is_possible() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def open_graph(path: Path) -> Graph:
    """A graph from its file, mapped into memory."""
    check_possible()
    import faiss

    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    return Graph(index, index.ntotal)


def grow_graph(
    path: Path, rows: np.ndarray, progress: Callable[[int, int], None] | None = None
) -> int:
    """Bring a graph in a file up to date with a database, or make it.

    Args:
        path: the file, replaced when all is done.
        rows: the database, float32 (N, D), of which the graph holds the first ones already.
        progress: called with rows done and rows in all.

    Returns:
        How many rows were added.
    """
    check_possible()
    import faiss

    if path.exists():
        index = faiss.read_index(str(path))
    else:
        index = faiss.IndexHNSWFlat(rows.shape[1], LINKS, faiss.METRIC_L1)
        index.hnsw.efConstruction = BUILD_EFFORT
    first = index.ntotal
    for start in range(first, len(rows), BLOCK_ROWS):
        index.add(np.ascontiguousarray(rows[start : start + BLOCK_ROWS], np.float32))
        if progress:
            progress(index.ntotal, len(rows))
    new = path.with_name(f"{path.name}.new")
    faiss.write_index(index, str(new))
    new.replace(path)
    return len(rows) - first
