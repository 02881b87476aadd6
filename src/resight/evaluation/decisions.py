"""Quality of decisions: verdicts on search results, false alarms, calibration, and groups.

A search decides on the first results of a query; all behind them count as different. Pairs are
those of a query and a result, so that two photos that are both queries make two pairs.

The calibration error is that of Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural
networks", ICML 2017: the mean difference between probability and frequency over ten equal bins.
"""

import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.evaluation.measures import Judgement
from resight.searching.query import PROBABLE, SAME

BINS = 10
"""Bins of equal width of the calibration error."""


@dataclass(frozen=True)
class QueryDecisions:
    """The decisions on one query's results, without itself and without junk.

    Attributes:
        probabilities: of showing the same thing, float64 (n,).
        same: whether they truly do, bool (n,).
        positives: number of photos that do, decided on or not; 0 for a query without a match.
    """

    probabilities: np.ndarray
    same: np.ndarray
    positives: int


@dataclass(frozen=True)
class PairMeasures:
    """Precision and recall of pairs that show the same thing.

    Attributes:
        found: number of pairs taken for the same thing.
        right: number of them that truly are.
        true: number of pairs that are, found or not.
    """

    found: int
    right: int
    true: int

    @property
    def precision(self) -> float | None:
        """Share of the found pairs that are right; None if none was found."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Share of the true pairs that were found; None without any."""
        return self.right / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if there are no pairs at all."""
        total = self.found + self.true
        return 2 * self.right / total if total else None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers of pairs, and the measures in 0..1, as JSON values."""
        measures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        return {"pairs": self.found, "true_pairs": self.true, **measures}


@dataclass(frozen=True)
class VerdictMeasures:
    """Figures of the results that have a verdict, or a surer one.

    Attributes:
        pairs: of the results.
        first_matches: share of the queries with a match whose most probable match is among the
            results; None without such queries.
        false_alarms: share of the queries without a match that have such a result; None without
            such queries.
    """

    pairs: PairMeasures
    first_matches: float | None
    false_alarms: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values, in 0..1."""
        return {
            **self.pairs.to_dict(),
            "first_matches": self.first_matches,
            "false_alarms": self.false_alarms,
        }


@dataclass(frozen=True)
class Decisions:
    """Quality of the decisions of searches, and of groups.

    Attributes:
        matched: number of queries with a match.
        unmatched: number of queries without one.
        probable: of the results that show the same thing, at least probably.
        same: of the results with the verdict `same`.
        compared: number of pairs that were decided on.
        calibration_error: expected calibration error over these pairs, in 0..1; None without any.
        evidence: whether local features were compared; False if descriptors decide alone.
        groups: pairs of photos in one group; None if groups were not measured.
    """

    matched: int
    unmatched: int
    probable: VerdictMeasures
    same: VerdictMeasures
    compared: int
    calibration_error: float | None
    evidence: bool = True
    groups: PairMeasures | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all measures as JSON values, in 0..1."""
        return {
            "evidence": self.evidence,
            "queries_with_match": self.matched,
            "queries_without_match": self.unmatched,
            "probable": self.probable.to_dict(),
            "same": self.same.to_dict(),
            "calibration": {"error": self.calibration_error, "pairs": self.compared},
            "groups": None if self.groups is None else self.groups.to_dict(),
        }


def judge_decisions(probabilities: Mapping[int, float], judgement: Judgement) -> QueryDecisions:
    """Compare the decisions on a query's results with the ground truth.

    `probabilities` are by row, or by whatever the judgement holds; its junk is ignored.
    """
    judged = {row: value for row, value in probabilities.items() if row not in judgement.junk}
    positives = judgement.positives - judgement.junk
    return QueryDecisions(
        np.array(list(judged.values()), float),
        np.array([row in positives for row in judged], bool),
        len(positives),
    )


def measure_decisions(
    queries: Sequence[QueryDecisions], *, evidence: bool = True, groups: PairMeasures | None = None
) -> Decisions:
    """Measure the decisions on the results of many queries; see `Decisions`."""
    matched = sum(query.positives > 0 for query in queries)
    values = np.concatenate([np.zeros(0), *(query.probabilities for query in queries)])
    same = np.concatenate([np.zeros(0, bool), *(query.same for query in queries)])
    return Decisions(
        matched,
        len(queries) - matched,
        _measure_verdict(queries, PROBABLE),
        _measure_verdict(queries, SAME),
        len(values),
        calibration_error(values, same),
        evidence,
        groups,
    )


def _measure_verdict(queries: Sequence[QueryDecisions], least: float) -> VerdictMeasures:
    """Measure the results with at least a probability."""
    found = [query.probabilities >= least for query in queries]
    right = [query.same & here for query, here in zip(queries, found, strict=True)]
    pairs = PairMeasures(
        sum(int(here.sum()) for here in found),
        sum(int(here.sum()) for here in right),
        sum(query.positives for query in queries),
    )
    firsts = [bool(r.any()) for r, query in zip(right, queries, strict=True) if query.positives]
    alarms = [bool(f.any()) for f, query in zip(found, queries, strict=True) if not query.positives]
    return VerdictMeasures(pairs, _share(firsts), _share(alarms))


def measure_groups(
    found: Iterable[Iterable[Hashable]], truth: Iterable[Iterable[Hashable]]
) -> PairMeasures:
    """Compare groups of photos with the true ones, by their pairs of photos."""
    pairs, true = pairs_in(found), pairs_in(truth)
    return PairMeasures(len(pairs), len(pairs & true), len(true))


def pairs_in(groups: Iterable[Iterable[Any]]) -> set[tuple[Any, Any]]:
    """Return the pairs of photos that are in one group, each once."""
    return {pair for group in groups for pair in itertools.combinations(sorted(group), 2)}


def calibration_error(probabilities: np.ndarray, same: np.ndarray) -> float | None:
    """Return the expected calibration error in 0..1 of probabilities (N,); None without any.

    `same` is bool (N,), whether the pairs truly show the same thing.
    """
    if not len(probabilities):
        return None
    total = 0.0
    for members in calibration_bins(probabilities):
        if members.any():
            gap = abs(same[members].mean() - probabilities[members].mean())
            total += float(members.sum() * gap)
    return total / len(probabilities)


def calibration_bins(probabilities: np.ndarray) -> list[np.ndarray]:
    """Return the members of each bin of probabilities (N,): `BINS` arrays, bool (N,)."""
    numbers = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return [numbers == number for number in range(BINS)]


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
