"""The benchmarks' measures: by hand, by slow readings of the official scripts, and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.evaluation.measures import (
    Judgement,
    Kind,
    Measure,
    average_precision,
    judge,
    mean_values,
    precision_at,
    ranks_of,
)

AP = Measure("mAP", "average precision")
FOUR = Measure("N-S", "first four")


def rows(*values: int) -> frozenset[int]:
    return frozenset(values)


def official_ap(ranked: list[int], positives: set[int], junk: set[int]) -> float:
    """As `compute_ap` of Oxford5k walks through a list, one photo after the other."""
    old_recall, old_precision, ap, actual, seen = 0.0, 1.0, 0.0, 0, 0
    for photo in ranked:
        if photo in junk:
            continue
        actual += photo in positives
        recall, precision = actual / len(positives), actual / (seen + 1)
        ap += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision, seen = recall, precision, seen + 1
    return ap


RANKINGS = st.integers(2, 40).flatmap(
    lambda n: st.tuples(
        st.permutations(range(n)),
        st.sets(st.integers(0, n - 1), min_size=1),
        st.sets(st.integers(0, n - 1)),
    )
)


@given(RANKINGS)
def test_average_precision_is_the_official_one(case: tuple[list[int], set[int], set[int]]) -> None:
    ranked, positives, junk = case
    positives = positives - junk
    value = judge(np.array(ranked), Judgement(frozenset(positives), frozenset(junk)), AP)
    if not positives:
        assert value is None
    else:
        assert value == pytest.approx(official_ap(ranked, positives, junk), abs=1e-12)


@given(RANKINGS, st.randoms())
def test_junk_changes_nothing(case: tuple[list[int], set[int], set[int]], random: object) -> None:
    ranked, positives, _ = case
    n = len(ranked)
    with_junk = list(ranked)
    for extra in range(n, n + 5):
        with_junk.insert(random.randint(0, len(with_junk)), extra)  # type: ignore[attr-defined]
    judgement = Judgement(frozenset(positives), frozenset(range(n, n + 5)))
    for measure in (AP, FOUR, Measure("mP@5", "precision at", k=5)):
        plain = judge(np.array(ranked), Judgement(frozenset(positives)), measure)
        assert judge(np.array(with_junk), judgement, measure) == plain


@given(st.integers(1, 10), st.integers(0, 30))
def test_a_perfect_ranking(positives: int, others: int) -> None:
    ranking = np.arange(positives + others)
    judgement = Judgement(frozenset(range(positives)))
    assert judge(ranking, judgement, AP) == 1.0
    assert judge(ranking, judgement, Measure("mP@5", "precision at", k=5)) == 1.0
    assert judge(ranking, judgement, FOUR) == min(4, positives)


def revisited(ranked: list[int], positives: set[int], junk: set[int], k: int) -> float:
    """Precision at k of the revisited benchmarks, one photo after the other.

    The list ends with its last positive, and junk is not in it.
    """
    remaining = [photo for photo in ranked if photo not in junk]
    while remaining[-1] not in positives:
        remaining.pop()
    first = remaining[:k]
    return sum(photo in positives for photo in first) / len(first)


@given(RANKINGS, st.integers(1, 12))
def test_precision_is_the_revisited_one(case: tuple[list[int], set[int], set[int]], k: int) -> None:
    ranked, positives, junk = case
    positives = positives - junk
    measure = Measure(f"mP@{k}", "precision at", k=k)
    value = judge(np.array(ranked), Judgement(frozenset(positives), frozenset(junk)), measure)
    expected = revisited(ranked, positives, junk, k) if positives else None
    assert value == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize("kind", ["average precision", "precision at", "first four"])
def test_a_query_whose_positives_were_all_not_found(kind: Kind) -> None:
    measure = Measure("", kind, k=5)
    assert judge(np.array([0, 1]), Judgement(rows(2, 9)), measure) == 0.0
    assert judge(np.array([], int), Judgement(rows(2, 9)), measure) == 0.0


def test_by_hand() -> None:
    assert judge(np.array([0, 1, 2]), Judgement(rows(0, 2)), AP) == pytest.approx(0.79166667)
    # A positive that is not ranked is not found: the sum is divided by all three.
    assert judge(np.array([0, 1, 2]), Judgement(rows(0, 2, 9)), AP) == pytest.approx(0.5277778)
    assert judge(np.array([3, 0, 1, 2]), Judgement(rows(0, 2), rows(3)), AP) == pytest.approx(
        0.79166667
    )
    assert judge(np.array([3, 0, 1, 2, 4]), Judgement(rows(3, 2, 4, 0)), FOUR) == 3.0
    assert judge(np.array([0, 1]), Judgement(frozenset()), AP) is None


@pytest.mark.parametrize(
    ("ranks", "k", "expected"),
    [([0, 1, 2], 5, 1.0), ([0, 4], 5, 0.4), ([0, 9], 5, 0.2), ([2], 10, 1 / 3), ([0], 1, 1.0)],
)
def test_precision_at(ranks: list[int], k: int, expected: float) -> None:
    assert precision_at(np.array(ranks), k) == pytest.approx(expected)


def test_ranks_without_junk() -> None:
    ranking = np.array([5, 0, 6, 1, 2])
    assert ranks_of(ranking, Judgement(rows(0, 1, 2), rows(5, 6))).tolist() == [0, 1, 2]
    # Junk wins: a photo that is both counts as not there.
    assert ranks_of(ranking, Judgement(rows(0, 5), rows(5))).tolist() == [0]
    assert ranks_of(ranking, Judgement(rows(1, 9), rows(5, 1000))).tolist() == [2]
    assert ranks_of(ranking, Judgement(rows(4))).tolist() == []


def test_means_leave_out_queries_without_a_value() -> None:
    assert mean_values({"a": [1.0, None, 0.0], "b": [None]}) == {"a": 0.5, "b": None}


def test_one_definition_of_average_precision() -> None:
    assert judge(np.arange(5), Judgement(rows(1, 3)), AP) == average_precision([1, 3], 2)
