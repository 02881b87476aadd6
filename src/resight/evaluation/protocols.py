"""How rankings are judged by the benchmarks' own protocols (section 9); NumPy only.

A ranking is an array of rows, nearest first, of all photos. Ranks are 0-based, junk is taken out
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
    """What is right for a query: rows of the positives, and of those that count as not there."""

    positives: frozenset[int]
    junk: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Measure:
    """A figure of a benchmark: the mean of a kind of value over the queries that have one.

    Attributes:
        name: as it is reported.
        kind: `average precision` by trapezoids, `precision at` k, or how many of the `first four`
            are positives (the N-S score).
        judgement: the name of the judgements it is made on.
        k: of `precision at`.
    """

    name: str
    kind: Kind
    judgement: str = "all"
    k: int = 0

    @property
    def scale(self) -> float:
        """By what a value is multiplied for people: 100 for percent, 1 for the N-S score."""
        return 1.0 if self.kind == "first four" else 100.0


def judge(ranking: np.ndarray, judgement: Judgement, measure: Measure) -> float | None:
    """The value of a measure for one query; None where the query has no positives.

    Args:
        ranking: int (N,), rows, nearest first.
        judgement: what is right.
        measure: what to compute.

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
    """0-based ranks of the positives once junk is taken out of a ranking, ascending, int (P,)."""
    place = np.full(int(ranking.max(initial=-1)) + 1, -1)
    place[ranking] = np.arange(len(ranking))
    found = np.sort(_places(place, judgement.positives - judgement.junk))
    junk = np.sort(_places(place, judgement.junk))
    return found - np.searchsorted(junk, found)


def precision_at(ranks: np.ndarray, k: int) -> float:
    """Precision at k as the revisited benchmarks define it.

    Not more photos are looked at than up to the last positive.

    Args:
        ranks: 0-based ranks of the positives that were found, ascending, int (P,); without any the
            precision is 0.
        k: how many first photos are looked at, 1 or more.

    Source: Radenovic et al., "Revisiting Oxford and Paris", CVPR 2018; its public evaluation code.
    """
    if len(ranks) == 0:
        return 0.0
    looked_at = min(k, int(ranks.max()) + 1)
    return float((ranks < looked_at).sum()) / looked_at


def mean_values(values: Mapping[str, list[float | None]]) -> dict[str, float | None]:
    """The mean of each measure over the queries that have a value; None where none has."""
    means: dict[str, float | None] = {}
    for name, column in values.items():
        known = [value for value in column if value is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def _places(place: np.ndarray, rows: frozenset[int]) -> np.ndarray:
    wanted = np.fromiter((row for row in rows if row < len(place)), int)
    found = place[wanted]
    return found[found >= 0]
