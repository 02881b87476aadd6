"""An approximate index for very large collections: a graph of near neighbours, by USearch.

Hierarchical navigable small worlds (Malkov and Yashunin, TPAMI 2020) under Manhattan distance of
8-bit codes (`codes`), compared by the compiled loop of `sad`: a quarter of the memory that the
descriptors would take, and less of its time. A search walks from neighbour to neighbour and looks
at some thousand codes instead of all; what it finds is compared exactly by `neighbors`.
"""

import importlib.util
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import UsageError
from resight.ranking.codes import Steps

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
    """A graph over the first `count` rows of a database, by the codes of some steps."""

    index: Any
    steps: Steps
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        """How many rows it holds."""
        return len(self.index)

    def near(self, query: np.ndarray, k: int) -> np.ndarray:
        """Rows int64 (at most k,) that are near to a query, float32 (D,)."""
        code = self.steps.encode_queries(query).view(np.int8)
        with self._lock:  # a thread of the index answers one caller at a time
            found = self.index.search(code, k, threads=1)
        return np.asarray(found.keys, np.int64)


def check_possible() -> None:
    """Refuse approximate indexes where USearch or Numba is not installed.

    Raises:
        UsageError: it says what to install.
    """
    if not is_possible():
        raise UsageError(
            "an approximate index needs USearch and Numba; run pip install 'resight[approximate]'"
        )


def is_possible() -> bool:
    """Whether USearch and Numba are installed."""
    return all(importlib.util.find_spec(package) for package in ("usearch", "numba"))


def open_graph(path: Path, values: int, steps: Steps) -> Graph:
    """A graph over rows of so many values from its file, mapped into memory.

    Raises:
        UsageError: USearch or Numba is not installed.
        ValueError: there is no such graph in the file.
    """
    check_possible()
    return Graph(_read(path, values, in_place=True), steps)


def grow_graph(
    path: Path,
    rows: np.ndarray,
    steps: Steps,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Bring a graph in a file up to date with a database, or make it.

    Args:
        path: the file, replaced when all is done.
        rows: the database, float32 (N, D), of which the graph holds the first ones already.
        steps: of the codes, the same for all rows.
        progress: called with rows done and rows in all.

    Returns:
        How many rows were added.
    """
    check_possible()
    index = _read(path, rows.shape[1]) if path.exists() else _empty(rows.shape[1])
    first = len(index)
    for start in range(first, len(rows), BLOCK_ROWS):
        codes = steps.encode_queries(np.asarray(rows[start : start + BLOCK_ROWS]))
        # Threads that begin a graph together do not see each other's rows, and link few of them.
        threads = 1 if start == 0 else 0
        index.add(np.arange(start, start + len(codes)), codes.view(np.int8), threads=threads)
        if progress:
            progress(len(index), len(rows))
    new = path.with_name(f"{path.name}.new")
    index.save(str(new))
    new.replace(path)
    return len(rows) - first


def _empty(values: int) -> Any:
    from usearch.index import Index

    return Index(
        ndim=values,
        # The bytes are compared as they are, without a sign, whatever their type is called: of
        # USearch's types of bytes this is the one whose values it leaves alone.
        dtype="i8",
        metric=_metric(),
        connectivity=LINKS,
        expansion_add=BUILD_EFFORT,
        expansion_search=SEARCH_EFFORT,
    )


def _read(path: Path, values: int, in_place: bool = False) -> Any:
    index = _empty(values)
    try:
        (index.view if in_place else index.load)(str(path))
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    if index.ndim != values:
        raise ValueError(f"{path.name} is of {index.ndim} values, not {values}")
    index.metric = _metric()  # which is not in the file, and was forgotten when that was read
    return index


def _metric() -> Any:
    from usearch.index import CompiledMetric, MetricKind, MetricSignature

    from resight.ranking.sad import distance_of_codes  # imports Numba, which takes a while

    return CompiledMetric(
        distance_of_codes.address, MetricKind.Unknown, MetricSignature.ArrayArraySize
    )
