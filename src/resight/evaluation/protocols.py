"""Measures of rankings by the benchmarks' protocols (section 9).

A ranking is an array of rows, nearest first, of all photos. Ranks are 0-based, junk is removed
before they are counted, and a query without positives has no value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resight.evaluation.measures import average_precision

Kind = Literal["average precision", "precision at", "first four"]


@dataclass(frozen=True)
class Judgement:
    """Ground truth of a query: rows of the positives, and of the photos to ignore."""

    positives: frozenset[int]
    junk: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Measure:
    """A measure of a benchmark: the mean over the queries that have a value.

    Attributes:
        name: in reports.
        kind: `average precision` by trapezoids, `precision at` k, or the number of positives among
            the `first four` (the N-S score).
        judgement: name of the ground truth.
        k: of `precision at`.
    """

    name: str
    kind: Kind
    judgement: str = "all"
    k: int = 0

    @property
    def scale(self) -> float:
        """Factor of reported values: 100 for percent, 1 for the N-S score."""
        return 1.0 if self.kind == "first four" else 100.0


def judge(ranking: np.ndarray, judgement: Judgement, measure: Measure) -> float | None:
    """Compute a measure for one query; None without positives.

    Args:
        ranking: int (N,), rows, nearest first.
        judgement: ground truth.
        measure: kind and parameters.

    Returns:
        A fraction in 0..1, or for `first four` a number in 0..4.
    """
    if not judgement.positives:
        return None
    ranks = ranks_of_rows(ranking, judgement)
    if measure.kind == "first four":
        return float((ranks < 4).sum())
    if measure.kind == "precision at":
        return precision_at(ranks, measure.k)
    return average_precision(ranks, len(judgement.positives))


def ranks_of_rows(ranking: np.ndarray, judgement: Judgement) -> np.ndarray:
    """Return 0-based ranks of the positives in a ranking without its junk, ascending, int (P,)."""
    rank_of = np.full(int(ranking.max(initial=-1)) + 1, -1)
    rank_of[ranking] = np.arange(len(ranking))
    ranks = _ranks(rank_of, judgement.positives - judgement.junk)
    return ranks - np.searchsorted(_ranks(rank_of, judgement.junk), ranks)


def precision_at(ranks: np.ndarray, k: int) -> float:
    """Compute precision at k as the revisited benchmarks define it.

    k is at most the rank of the last positive.

    Args:
        ranks: 0-based ranks of the retrieved positives, ascending, int (P,); without any the
            precision is 0.
        k: number of top results, 1 or more.

    Source: Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018; its public evaluation code.
    """
    if len(ranks) == 0:
        return 0.0
    k = min(k, int(ranks.max()) + 1)
    return float((ranks < k).sum()) / k


def mean_values(values: Mapping[str, list[float | None]]) -> dict[str, float | None]:
    """Return the mean of each measure over the queries that have a value; None without any."""
    means: dict[str, float | None] = {}
    for name, column in values.items():
        present = [value for value in column if value is not None]
        means[name] = float(np.mean(present)) if present else None
    return means


def _ranks(rank_of: np.ndarray, rows: frozenset[int]) -> np.ndarray:
    """Return the ranks of the rows that are ranked, ascending."""
    ranks = rank_of[np.fromiter((row for row in rows if row < len(rank_of)), int)]
    return np.sort(ranks[ranks >= 0])
