"""Apply a function to the evidence of pairs of photos, in several processes if there are many.

Comparing two photos is many short calls of NumPy, during which threads would mostly wait for each
other.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from resight.evaluation.evidence_reader import EvidenceReader, StoredEvidence

PROCESSES = os.cpu_count() or 1
MIN_PAIRS = 1000
"""Fewest pairs for which it pays off to start processes, which takes about a second."""
BATCH = 50
"""Pairs that a process is given at once."""
ROUND = 20 * BATCH * PROCESSES
"""Pairs whose evidence is in memory at once, up to 50 MB for each process."""

R = TypeVar("R")
Task = tuple[tuple[StoredEvidence, StoredEvidence], tuple[Any, ...]]


def map_pairs(
    function: Callable[..., R],
    reader: EvidenceReader,
    rows: np.ndarray,
    arguments: Sequence[tuple[Any, ...]] | None = None,
) -> Iterator[R]:
    """Yield `function(first, second, *arguments)` for each pair.

    Args:
        function: of a module, as processes import it; its first two arguments are the `Evidence`
            of the photos, None without any.
        reader: reads the evidence.
        rows: int64 (P, 2), the pairs.
        arguments: further ones for each pair.
    """
    tasks: Iterator[Task] = zip(reader.pairs(rows), arguments or [()] * len(rows), strict=True)
    if len(rows) < MIN_PAIRS or PROCESSES == 1:
        with threadpool_limits(1, "blas"):  # the matrices are small
            yield from _apply(function, tasks)
        return
    with joblib.Parallel(n_jobs=PROCESSES) as parallel:
        while pairs := list(itertools.islice(tasks, ROUND)):
            batches = [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]
            for results in parallel(joblib.delayed(_apply_all)(function, each) for each in batches):
                yield from results


def _apply(function: Callable[..., R], tasks: Iterable[Task]) -> Iterator[R]:
    """Apply a function to the evidence of some pairs."""
    for (first, second), arguments in tasks:
        yield function(first.decoded, second.decoded, *arguments)


def _apply_all(function: Callable[..., R], tasks: Sequence[Task]) -> list[R]:
    """Apply a function to the evidence of some pairs in a process."""
    return list(_apply(function, tasks))
