"""Quality of rankings: mean average precision and N-S score (section 9).

Conventions. Ranks are 0-based. Average precision is by trapezoids, as in the official scripts of
INRIA Holidays and Oxford5k. Of photos at equal distances, `evaluate` takes the mean over all
orders, so that file names do not matter. A photo in `junk` is removed before ranks are counted; a
query without positives has no value and does not count in the mean. Results are fractions in 0..1,
the N-S score in 0..4.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight.errors import DatasetError

GroupTruth = dict[str, list[Path]]
"""Name of a group to the absolute paths of its photos; a group of one is a distractor."""


@dataclass(frozen=True)
class QueryResult:
    """One query: the photo, its group, average precision and group members among the first 4.

    Both are means over all orders of photos at equal distances.
    """

    photo: int
    group: str
    average_precision: float
    among_first_four: float


@dataclass(frozen=True)
class Report:
    """Measures of all queries.

    Queries are in the order of groups and photos. `ns_score` is the mean of `among_first_four` over
    the groups of exactly 4, in 0..4, or None if there is no such group; `ns_groups` is their
    number.
    """

    queries: list[QueryResult]
    mean_average_precision: float
    ns_score: float | None
    ns_groups: int = 0

    def by_group(self) -> dict[str, float]:
        """Return the mean average precision of each group's queries."""
        values: dict[str, list[float]] = {}
        for query in self.queries:
            values.setdefault(query.group, []).append(query.average_precision)
        return {group: float(np.mean(precisions)) for group, precisions in values.items()}


def average_precision(ranks: Sequence[int] | np.ndarray, positives: int) -> float:
    """Compute the area under the precision-recall curve by trapezoids.

    Args:
        ranks: 0-based ranks of the retrieved positives, ascending.
        positives: number of positives, retrieved or not.

    >>> round(average_precision([0, 2], 2), 4)
    0.7917
    """
    if positives < 1:
        raise DatasetError("average precision needs one positive or more")
    total = 0.0
    for i, rank in enumerate(ranks):
        before = 1.0 if rank == 0 else i / rank
        after = (i + 1) / (rank + 1)
        total += before + after
    return total / (2 * positives)  # divided once, so that a perfect ranking has exactly 1


def evaluate_groups(
    groups: Mapping[str, Sequence[int]],
    rank: Callable[[int], "Sequence[int] | np.ndarray | TiedRanking"],
    incomplete: AbstractSet[str] = frozenset(),
) -> Report:
    """Query with every photo of a group of two or more.

    For the average precision the query itself is removed from its ranking; for the N-S score it
    counts, as in the benchmark's definition.

    Args:
        groups: name to the ids of its photos.
        rank: from a query's id to the ids of the whole database, nearest first.
        incomplete: names of groups that lack photos, and do not count for the N-S score.

    Raises:
        DatasetError: no group has two photos.
    """
    results, four = [], []
    for name, members in groups.items():
        for photo in members if len(members) > 1 else ():
            ranking = rank(photo)
            if not isinstance(ranking, TiedRanking):
                ranking = TiedRanking(ids := np.asarray(ranking, int), np.arange(len(ids)))
            others = frozenset(members) - {photo}
            precision = ranking.without(photo).average_precision(others)
            among_first = ranking.among_first(4, frozenset(members))
            results.append(QueryResult(photo, name, precision, among_first))
            if len(members) == 4 and name not in incomplete:
                four.append(among_first)
    if not results:
        raise DatasetError("no group has two photos or more: there is nothing to evaluate")
    mean = float(np.mean([result.average_precision for result in results]))
    return Report(results, mean, float(np.mean(four)) if four else None, len(four) // 4)


@dataclass(frozen=True)
class TiedRanking:
    """A ranking in which neighbors may be tied; measures are means over all orders of the ties.

    Source: McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently
    in the Presence of Tied Scores", ECIR 2008.

    Attributes:
        ids: int64 (N,), nearest first.
        ties: int64 (N,), ascending; equal where ids are tied.
    """

    ids: np.ndarray
    ties: np.ndarray

    def without(self, id_: int) -> "TiedRanking":
        """Return the ranking of the other ids."""
        rest = self.ids != id_
        return TiedRanking(self.ids[rest], self.ties[rest])

    def average_precision(self, positives: frozenset[int]) -> float:
        """Return the mean average precision by trapezoids."""
        positive = np.isin(self.ids, list(positives))
        places = np.arange(len(self.ids))
        _, start, group, size = np.unique(
            self.ties, return_index=True, return_inverse=True, return_counts=True
        )
        found = np.bincount(group, positive, len(size))  # positives in each tie
        if ((found == 0) | (found == size)).all():
            return average_precision(places[positive], len(positives))
        earlier = np.cumsum(found) - found
        # If a positive is at a place, the others of its ties are spread over the other places.
        share = (found - 1) / np.maximum(size - 1, 1)
        before = earlier[group] + (places - start[group]) * np.maximum(share, 0)[group]
        precision_before = np.where(places == 0, 1, before / np.maximum(places, 1))
        areas = precision_before + (before + 1) / (places + 1)
        return float((areas * (found / size)[group]).sum() / (2 * len(positives)))

    def among_first(self, count: int, members: frozenset[int]) -> float:
        """Return the mean number of members among the first ids."""
        member = np.isin(self.ids, list(members)).astype(float)
        _, group, size = np.unique(self.ties, return_inverse=True, return_counts=True)
        return float((np.bincount(group, member) / size)[group[:count]].sum())


# Measures by the protocols of benchmarks. A ranking is an array of rows of all photos.

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

    The ranking is int (N,), rows, nearest first. The value is a fraction in 0..1, or for
    `first four` a number in 0..4.
    """
    if not judgement.positives:
        return None
    ranks = ranks_of(ranking, judgement)
    if measure.kind == "first four":
        return float((ranks < 4).sum())
    if measure.kind == "precision at":
        return precision_at(ranks, measure.k)
    return average_precision(ranks, len(judgement.positives))


def ranks_of(ranking: np.ndarray, judgement: Judgement) -> np.ndarray:
    """Return 0-based ranks of the positives in a ranking without its junk, ascending, int (P,)."""
    rank_of = np.full(int(ranking.max(initial=-1)) + 1, -1)
    rank_of[ranking] = np.arange(len(ranking))
    ranks = _ranks(rank_of, judgement.positives - judgement.junk)
    return ranks - np.searchsorted(_ranks(rank_of, judgement.junk), ranks)


def precision_at(ranks: np.ndarray, k: int) -> float:
    """Compute precision at k as the revisited benchmarks define it.

    k is at most the rank of the last positive; without retrieved positives the precision is 0.
    Ranks are 0-based, ascending, int (P,).

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


# Ground truth


def read_groups(path: Path) -> GroupTruth:
    """Read a `groups.json`, or that of a folder: `{group: [paths relative to its folder]}`.

    Raises:
        DatasetError: missing, not JSON, not of that form, a duplicate group or photo, or an
            impossible file name.
    """

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:  # the last would silently replace the others
                raise DatasetError(f"{path}: the group {name!r} appears twice")
        return dict(pairs)

    if path.is_dir():
        path /= "groups.json"
    try:
        # Some editors put a mark (BOM) before the text.
        content = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=each_once)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON: {error}") from None
    except RecursionError:  # lists in lists, thousands deep
        raise DatasetError(f"{path}: nested too deeply; expected {{group: [paths]}}") from None
    if not isinstance(content, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in content.values()
    ):
        raise DatasetError(f"{path}: expected {{group: [paths]}}")
    groups: GroupTruth = {}
    seen: set[Path] = set()
    for group, names in content.items():
        for name in (group, *names):
            if not can_be_a_name(name):
                raise DatasetError(
                    f"{path}: {name!r} (in {group!r}) is not a valid name of a file or group; "
                    "write it as it is on disk"
                )
        groups[group] = [Path(os.path.abspath(path.parent / name)) for name in names]
        for name, photo in zip(names, groups[group], strict=True):
            if photo in seen:
                raise DatasetError(f"{path}: {name} appears twice (in {group!r})")
            seen.add(photo)
    return groups


def can_be_a_name(name: str) -> bool:
    """Return whether a file can have this name: JSON can contain lone surrogates and NUL.

    Python's escapes of bytes that are not UTF-8 are valid.
    """
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False
