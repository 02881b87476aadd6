"""Groups from pairs: chains are cut, panoramas and long bursts stay whole."""

import itertools

import numpy as np

from resight.ranking.linkage import components, linked_groups


def groups(count: int, pairs: dict[tuple[int, int], float]) -> list[list[int]]:
    rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    probabilities = np.array([pairs[first, second] for first, second in rows.tolist()])
    return sorted(part.tolist() for part in linked_groups(count, rows, probabilities))


def clique(members: range, value: float = 1.0) -> dict[tuple[int, int], float]:
    return dict.fromkeys(itertools.combinations(members, 2), value)


def test_pairs_and_single_photos() -> None:
    assert groups(5, {(0, 1): 1.0, (2, 3): 0.89, (1, 4): 0.0}) == [[0, 1]]
    assert groups(3, {}) == []


def test_other_links_than_the_strong_ones() -> None:
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    probabilities = np.array([0.6, 0.6, 0.6])
    assert linked_groups(4, pairs, probabilities) == []
    linked = np.array([True, True, False])
    found = linked_groups(4, pairs, probabilities, linked=linked)
    assert [part.tolist() for part in found] == [[0, 1, 2]]


def test_one_wrong_link_does_not_join_two_groups() -> None:
    cross = dict.fromkeys(itertools.product(range(5), range(5, 10)), 0.0)
    pairs = clique(range(5)) | clique(range(5, 10)) | cross | {(4, 5): 1.0}
    assert groups(10, pairs) == [list(range(5)), list(range(5, 10))]


def test_a_panorama_whose_ends_do_not_overlap_is_one_group() -> None:
    pairs = {(n, n + 1): 1.0 for n in range(4)} | {(n, n + 2): 1.0 for n in range(3)}
    assert groups(5, pairs | {(0, 3): 0.1, (1, 4): 0.1, (0, 4): 0.0}) == [list(range(5))]


def test_a_burst_longer_than_the_lists_is_one_group() -> None:
    frames = range(120)
    near = {(a, b): 1.0 for a, b in itertools.combinations(frames, 2) if b - a <= 10}
    assert groups(130, near) == [list(frames)]


def test_two_bursts_with_one_link_stay_apart() -> None:
    near = {
        (a, b): 1.0
        for a, b in itertools.combinations(range(80), 2)
        if b - a <= 10 and (a < 40) == (b < 40)
    }
    assert groups(80, near | {(39, 40): 1.0}) == [list(range(40)), list(range(40, 80))]


def test_components_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = np.sort(rng.integers(0, 30, (15, 2)), axis=1)
        label = list(range(30))
        for first, second in pairs.tolist():
            old, new = label[first], label[second]
            label = [new if each == old else each for each in label]
        touched = set(pairs.ravel().tolist())
        expected = {
            tuple(row for row in sorted(touched) if label[row] == name)
            for name in {label[row] for row in touched}
        }
        assert {tuple(part.tolist()) for part in components(pairs, 30)} == expected
