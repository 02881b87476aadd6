"""Groups with constraints: respected exactly, whatever the pairs say."""

import itertools

import numpy as np
import pytest

from resight.ranking import linkage
from resight.ranking.linkage import Constraints, divide, keep_apart, linked_groups, unite


def clique(*members: int) -> dict[tuple[int, int], float]:
    return dict.fromkeys(itertools.combinations(members, 2), 1.0)


def groups(
    count: int, pairs: dict[tuple[int, int], float], labels: dict[int, int], *apart: tuple[int, int]
) -> list[list[int]]:
    rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    probabilities = np.array([pairs[first, second] for first, second in rows.tolist()])
    constraints = Constraints(
        np.array([labels.get(row, -1) for row in range(count)]), frozenset(apart)
    )
    found = linked_groups(count, rows, probabilities, constraints=constraints)
    return sorted(part.tolist() for part in found)


def test_photos_apart_divide_a_group_between_them() -> None:
    pairs = clique(*range(6))
    found = groups(6, pairs, {0: 0, 5: 1}, (0, 1))
    assert found in ([[0, 1, 2, 3, 4]], [[1, 2, 3, 4, 5]])
    assert groups(2, clique(0, 1), {0: 0, 1: 1}, (0, 1)) == []


def test_photos_that_belong_together_join_their_groups_whole() -> None:
    first, second = range(10), range(10, 20)
    pairs = clique(*first) | clique(*second)
    pairs |= dict.fromkeys(itertools.product(first, second), 0.0)
    assert groups(21, pairs, {3: 0, 15: 0}) == [list(range(20))]
    assert groups(21, pairs, {3: 0, 20: 0}) == [[*first, 20], list(second)]
    assert groups(3, {}, {0: 0, 2: 0}) == [[0, 2]]


def test_only_photos_that_belong_together_move_where_others_must_be_apart() -> None:
    pairs = clique(0, 1, 2) | clique(3, 4)
    found = groups(5, pairs, {0: 0, 3: 0, 1: 1, 4: 2}, (1, 2))
    assert found == [[0, 1, 2, 3]]


def test_what_is_the_same_as_a_photo_is_apart_from_what_that_is_apart_from() -> None:
    pairs = clique(0, 1, 2, 3)
    found = groups(4, pairs, {0: 0, 1: 0, 3: 1}, (0, 1))
    assert [0, 1] in [part[:2] for part in found]
    assert not any(3 in part and {0, 1} & set(part) for part in found)


@pytest.mark.parametrize("max_divided", [500, 4])
def test_random_constraints_are_respected(
    monkeypatch: pytest.MonkeyPatch, max_divided: int
) -> None:
    monkeypatch.setattr(linkage, "MAX_DIVIDED", max_divided)
    rng = np.random.default_rng(0)
    for _ in range(100):
        count = 16
        every = list(itertools.combinations(range(count), 2))
        chosen = [every[n] for n in rng.choice(len(every), 60, replace=False)]
        pairs = {pair: float(rng.choice([0.0, 0.6, 1.0])) for pair in chosen}
        labels = {int(row): int(rng.integers(0, 5)) for row in rng.choice(count, 9, replace=False)}
        possible = list(itertools.combinations(range(5), 2))
        apart = [possible[n] for n in rng.choice(len(possible), 4, replace=False)]
        found = groups(count, pairs, labels, *apart)
        place = {row: number for number, part in enumerate(found) for row in part}
        assert len(place) == sum(map(len, found))
        for first, second in itertools.combinations(labels, 2):
            together = first in place and place.get(first) == place.get(second)
            if labels[first] == labels[second]:
                assert together
            elif tuple(sorted((labels[first], labels[second]))) in apart:
                assert not together


def test_distances_divide_with_the_photos_apart() -> None:
    constraints = Constraints(np.array([0, 1, -1]), frozenset({(0, 1)}))
    rows = np.arange(3)
    parts = divide(rows, lambda pairs: np.abs(pairs[:, 0] - pairs[:, 1]) / 10.0, 5.0, constraints)
    assert [part.tolist() for part in parts] == [[1, 2]]


def test_links_are_followed_in_their_order() -> None:
    constraints = Constraints(np.array([0, -1, 1]), frozenset({(0, 1)}))
    links = np.array([[1, 2], [0, 1]])
    assert [p.tolist() for p in keep_apart(np.arange(3), links, constraints)] == [[1, 2]]
    assert [p.tolist() for p in keep_apart(np.arange(3), links[::-1], constraints)] == [[0, 1]]


def test_without_constraints_nothing_changes() -> None:
    parts = [np.array([3, 4]), np.array([0, 1])]
    assert unite(parts, linkage.UNCONSTRAINED) == parts
