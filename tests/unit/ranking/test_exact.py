"""Exact search against a plain loop, hand-counted cases and properties."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import resight.ranking.exact
from resight.errors import UsageError
from resight.ranking.exact import (
    Database,
    Distance,
    Query,
    cosine,
    distances_to,
    manhattan,
    nearest,
    ranking,
)


def rows(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def numbered(global_: np.ndarray, local: np.ndarray | None = None) -> Database:
    """Ids 10, 13, 16, ...: ascending, but no positions."""
    return Database(10 + 3 * np.arange(len(global_)), global_, local)


def slow_cosine_distance(one: np.ndarray, other: np.ndarray) -> float:
    lengths = sum(float(v) ** 2 for v in one) ** 0.5 * sum(float(v) ** 2 for v in other) ** 0.5
    products = sum(float(a) * float(b) for a, b in zip(one, other, strict=True))
    return 1 - products / lengths if lengths > 0 else 1.0


@pytest.mark.parametrize("with_local", [False, True])
@pytest.mark.parametrize(("count", "size"), [(1, 1), (7, 3), (40, 33), (3, 500)])
def test_manhattan_search_equals_the_oracle(count: int, size: int, with_local: bool) -> None:
    query = Query(rows(1, size, 0)[0], rows(1, size, 1)[0] if with_local else None)
    database = numbered(rows(count, size, 2), rows(count, size, 3) if with_local else None)
    expected = [
        oracle.distance(
            query.global_,
            database.global_[i],
            query.local,
            database.local[i] if database.local is not None else None,
        )
        for i in range(count)
    ]
    actual = nearest(query, database, count)
    order = oracle.rank(expected)
    np.testing.assert_array_equal(actual.ids, database.ids[order])
    np.testing.assert_allclose(actual.distances, np.array(expected)[order], rtol=1e-5)
    assert actual.distances.dtype == np.float32


def test_cosine_search_equals_the_plain_loop() -> None:
    query, others = rows(1, 20, 0)[0], rows(30, 20, 1)
    others[4] = 0
    others[5] = 7 * query
    others[6] = -query
    expected = [slow_cosine_distance(query, other) for other in others]
    actual = distances_to(Query(query), numbered(others), cosine)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert actual.dtype == np.float32
    assert nearest(Query(query), numbered(others), 1, cosine).ids.tolist() == [10 + 3 * 5]


def test_counted_by_hand() -> None:
    block = np.array([[1, 2], [0, 0], [-3, 4]], np.float32)
    query = np.array([0, 2], np.float32)
    assert manhattan(query, block).tolist() == [1, 2, 5]
    np.testing.assert_allclose(cosine(query, block), [1 - 2 / 5**0.5, 1, 1 - 0.8], atol=1e-6)


def test_distances_do_not_change_their_arguments() -> None:
    query, block = rows(1, 8, 0)[0], rows(5, 8, 1)
    copies = query.copy(), block.copy()
    for distance in (manhattan, cosine):
        distance(query, block)
        np.testing.assert_array_equal(query, copies[0])
        np.testing.assert_array_equal(block, copies[1])


def test_zero_vectors_are_at_cosine_distance_one_from_everything() -> None:
    zero, block = np.zeros(3, np.float32), np.eye(3, dtype=np.float32)
    assert cosine(zero, block).tolist() == [1, 1, 1]
    assert cosine(block[0], np.zeros((2, 3), np.float32)).tolist() == [1, 1]
    assert cosine(zero, np.zeros((1, 3), np.float32)).tolist() == [1]


def test_cosine_stays_in_its_range_in_spite_of_rounding() -> None:
    one = rows(200, 7, 0)
    for row in one:
        actual = cosine(row, np.stack([row, 3 * row, -row]))
        assert actual.min() >= 0
        assert actual.max() <= 2
        np.testing.assert_allclose(actual, [0, 0, 2], atol=1e-6)


# Ties, and k


def test_ties_are_ordered_by_id() -> None:
    database = numbered(np.array([[2], [1], [2], [1], [0], [-1]], np.float32))
    query = Query(np.zeros(1, np.float32))
    actual = nearest(query, database, 6)
    assert actual.ids.tolist() == [22, 13, 19, 25, 10, 16]
    assert actual.distances.tolist() == [0, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("k", range(1, 9))
def test_ties_at_the_cut_are_ordered_by_id_too(k: int) -> None:
    distances = np.array([1, 0, 1, 1, 1, 0, 1, 1], np.float32)
    ids = np.array([40, 41, 42, 43, 44, 45, 46, 47])
    expected = [41, 45, 40, 42, 43, 44, 46, 47]
    assert ids[ranking(distances, ids, k)].tolist() == expected[:k]
    # Also where the rows are not in the order of their ids.
    shuffled = np.array([5, 2, 7, 0, 1, 6, 4, 3])
    actual = ranking(distances[shuffled], ids[shuffled], k)
    assert ids[shuffled][actual].tolist() == expected[:k]


def test_k_of_one_and_k_beyond_the_database() -> None:
    database = numbered(np.array([[3], [1], [2]], np.float32))
    query = Query(np.zeros(1, np.float32))
    assert nearest(query, database, 1).ids.tolist() == [13]
    assert nearest(query, database, 3).ids.tolist() == [13, 16, 10]
    assert nearest(query, database, 1000).ids.tolist() == [13, 16, 10]
    assert nearest(query, database, 1000).distances.tolist() == [1, 2, 3]


@given(
    distances=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    k=st.integers(1, 35),
    random=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_the_first_k_are_the_first_of_the_whole_ranking(distances, k, random) -> None:
    values = np.array(distances, np.float32)
    ids = np.array(random.sample(range(100), len(distances)))
    whole = sorted(range(len(distances)), key=lambda i: (distances[i], ids[i]))
    assert ranking(values, ids).tolist() == whole
    assert ranking(values, ids, k).tolist() == whole[:k]


@given(
    points=st.lists(st.integers(-4, 4), min_size=1, max_size=25),
    order=st.randoms(use_true_random=False),
    k=st.integers(1, 30),
)
@settings(deadline=None)
def test_the_order_of_the_database_does_not_matter(points, order, k) -> None:
    values, ids = np.array(points, np.float32)[:, None], np.arange(len(points))
    shuffled = np.array(order.sample(range(len(points)), len(points)))
    query = Query(np.array([0.5], np.float32))
    straight = nearest(query, Database(ids, values), k)
    mixed = nearest(query, Database(ids[shuffled], values[shuffled]), k)
    np.testing.assert_array_equal(straight.ids, mixed.ids)
    np.testing.assert_array_equal(straight.distances, mixed.distances)


# Local descriptors


def test_the_lesser_of_the_global_and_the_local_distance_counts() -> None:
    global_ = np.array([[1], [5], [9]], np.float32)
    local = np.array([[4], [2], [9]], np.float32)
    query = Query(np.zeros(1, np.float32), np.zeros(1, np.float32))
    assert distances_to(query, numbered(global_, local)).tolist() == [1, 2, 9]


def test_local_descriptors_on_only_one_side_do_not_count() -> None:
    global_, zero = np.array([[1], [5]], np.float32), np.zeros(1, np.float32)
    assert distances_to(Query(zero, zero), numbered(global_)).tolist() == [1, 5]
    with_local = numbered(global_, np.zeros((2, 1), np.float32))
    assert distances_to(Query(zero), with_local).tolist() == [1, 5]


# Sizes and storage


def test_an_empty_database_has_no_neighbours() -> None:
    database = numbered(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    actual = nearest(Query(np.ones(4, np.float32), np.ones(4, np.float32)), database, 5)
    assert actual.ids.tolist() == actual.distances.tolist() == []


@pytest.mark.parametrize("size", [0, 3, 5])
def test_a_query_of_another_length_is_refused(size: int) -> None:
    database = numbered(rows(6, 4, 0), rows(6, 4, 1))
    query = Query(np.ones(size, np.float32))
    with pytest.raises(
        UsageError, match=rf"^the query has \({size},\) values, the database \(4,\)$"
    ):
        nearest(query, database, 1)
    fitting = Query(np.ones(4, np.float32), np.ones(size, np.float32))
    with pytest.raises(UsageError):
        nearest(fitting, database, 1)


def test_a_matrix_is_no_query() -> None:
    with pytest.raises(UsageError):
        nearest(Query(rows(2, 4, 0)), numbered(rows(6, 4, 0)), 1)


@pytest.mark.parametrize("block_values", [1, 6, 7, 14, 20, 69, 70, 71, 1000])
@pytest.mark.parametrize("distance", [manhattan, cosine])
def test_blocks_do_not_matter(
    block_values: int, distance: Distance, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, database = Query(rows(1, 7, 0)[0]), numbered(rows(10, 7, 1))
    whole = distance(query.global_, database.global_)
    monkeypatch.setattr(resight.ranking.exact, "BLOCK_VALUES", block_values)
    np.testing.assert_array_equal(distances_to(query, database, distance), whole)


def test_a_database_may_lie_in_a_file(tmp_path: Path) -> None:
    values, local = rows(9, 5, 0), rows(9, 5, 1)
    np.save(tmp_path / "global.npy", values)
    np.save(tmp_path / "local.npy", local)
    mapped = numbered(
        np.load(tmp_path / "global.npy", mmap_mode="r"),
        np.load(tmp_path / "local.npy", mmap_mode="r"),
    )
    query = Query(rows(1, 5, 2)[0], rows(1, 5, 3)[0])
    for distance in (manhattan, cosine):
        expected = nearest(query, numbered(values, local), 4, distance)
        actual = nearest(query, mapped, 4, distance)
        np.testing.assert_array_equal(actual.ids, expected.ids)
        np.testing.assert_array_equal(actual.distances, expected.distances)
        assert type(actual.distances) is np.ndarray
