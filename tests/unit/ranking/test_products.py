"""Euclidean neighbors by matrix products: the same as by comparing every row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import resight.ranking.products
from resight.errors import UsageError
from resight.ranking.exact import (
    MIN_SHORTLIST,
    REMOVED_ID,
    Database,
    Neighbors,
    Query,
    distances_to,
    euclidean,
    nearest,
    nearest_to_each,
    ranking,
)
from resight.ranking.products import may_be_nearest

COUNT = 2 * MIN_SHORTLIST


def rows(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def database(global_: np.ndarray, local: np.ndarray | None = None) -> Database:
    """Return a database whose ids are in no order."""
    ids = np.random.default_rng(9).permutation(len(global_)) * 3
    return Database(ids, global_, local)


def by_comparing(query: Query, searched: Database, k: int) -> Neighbors:
    distances = distances_to(query, searched, euclidean)
    order = ranking(distances, searched.ids, k)
    return Neighbors(searched.ids[order], distances[order])


def assert_same(found: Neighbors, expected: Neighbors) -> None:
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.distances, expected.distances)
    assert found.distances.dtype == np.float32


def assert_exact(query: Query, searched: Database, *ks: int) -> None:
    for k in ks or (1, 3, 50, COUNT, 5000):
        assert_same(nearest(query, searched, k, euclidean), by_comparing(query, searched, k))


@pytest.mark.parametrize("size", [1, 7, 272, 3000])
@pytest.mark.parametrize("count", [MIN_SHORTLIST - 1, MIN_SHORTLIST, COUNT + 1])
def test_equal_to_comparing_every_row(count: int, size: int) -> None:
    assert_exact(Query(rows(1, size, 1)[0]), database(rows(count, size, 2)))


def test_the_distance_is_that_of_the_definition() -> None:
    query, others = rows(1, 20, 0)[0], rows(COUNT, 20, 1)
    expected = [sum((float(a) - float(b)) ** 2 for a, b in zip(query, o, strict=True)) ** 0.5
                for o in others]  # fmt: skip
    found = nearest(Query(query), Database(np.arange(COUNT), others), COUNT, euclidean)
    np.testing.assert_array_equal(found.ids, np.argsort(expected))
    np.testing.assert_allclose(found.distances, np.sort(expected), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 5, 9, 10, 11, 300])
def test_ties_are_ordered_by_id(k: int) -> None:
    values = np.repeat(rows(COUNT // 10, 6, 0), 10, axis=0)
    assert_exact(Query(values[0]), database(values), k)
    assert_exact(Query(np.zeros(6, np.float32)), database(values), k)


@pytest.mark.parametrize("apart", [1e-3, 1e-4, 1e-5, 1e-7])
def test_near_duplicates(apart: float) -> None:
    """Differences far below the rounding of the products decide the order."""
    unit = rows(1, 64, 0)[0] / np.linalg.norm(rows(1, 64, 0)[0])
    values = unit + apart * rows(COUNT, 64, 1) / 8
    values[::5] = rows(len(values[::5]), 64, 2)
    assert_exact(Query(unit.astype(np.float32)), database(values.astype(np.float32)))


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e6])
@pytest.mark.parametrize("offset", [0, 1000])
def test_large_and_small_lengths(scale: float, offset: float) -> None:
    values = (scale * (rows(COUNT, 32, 1) + offset)).astype(np.float32)
    assert_exact(Query(values[7] * np.float32(1.0001)), database(values))


def test_one_long_row_does_not_matter() -> None:
    values = rows(COUNT, 16, 1)
    values[100] *= 1e4
    assert_exact(Query(values[5]), database(values))


def test_removed_rows() -> None:
    values = rows(COUNT, 8, 1)
    searched = database(values)
    searched.ids[::3] = REMOVED_ID
    for query in (values[0], values[1]):
        assert_exact(Query(query), searched)
        assert REMOVED_ID not in nearest(Query(query), searched, COUNT, euclidean).ids
    searched.ids[5:] = REMOVED_ID  # fewer than k remain
    assert len(nearest(Query(values[0]), searched, 10, euclidean).ids) == searched.count < 10
    searched.ids[:] = REMOVED_ID
    assert len(nearest(Query(values[0]), searched, 10, euclidean).ids) == 0


@pytest.mark.parametrize("removed", [False, True])
def test_local_descriptors(removed: bool) -> None:
    searched = database(rows(COUNT, 8, 1), rows(COUNT, 8, 2))
    if removed:
        searched.ids[::4] = REMOVED_ID
    for query in (
        Query(rows(1, 8, 3)[0], rows(1, 8, 4)[0]),
        Query(searched.global_[3], searched.local[5] if searched.local is not None else None),
        Query(rows(1, 8, 3)[0]),  # only the global descriptors count
    ):
        assert_exact(query, searched)
    assert_exact(Query(rows(1, 8, 3)[0], rows(1, 8, 4)[0]), database(searched.global_))


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("together", [1, 2, 5, 1 << 20])
def test_several_queries_are_as_one_by_one(
    together: int, local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = database(rows(COUNT, 8, 1), rows(COUNT, 8, 2) if local else None)
    monkeypatch.setattr(resight.ranking.products, "MAX_SQUARES", together * COUNT)
    queries = [
        Query(g, one if local else None)
        for g, one in zip(rows(7, 8, 3), rows(7, 8, 4), strict=True)
    ]
    found = nearest_to_each(queries, searched, 20, euclidean)
    assert len(found) == 7
    for query, one in zip(queries, found, strict=True):
        assert_same(one, by_comparing(query, searched, 20))
    assert nearest_to_each([], searched, 20, euclidean) == []


@pytest.mark.parametrize("block_values", [1, 8, 9, 1000, 8 * COUNT - 1, 8 * COUNT])
def test_blocks_do_not_matter(block_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resight.ranking.products, "BLOCK_VALUES", block_values)
    assert_exact(Query(rows(1, 8, 0)[0]), database(rows(COUNT, 8, 1)), 10)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    distinct=st.integers(1, 6),
    spread=st.sampled_from([0, 1e-7, 1e-5, 1e-3]),
    k=st.integers(1, 40),
)
def test_any_duplicates(seed: int, distinct: int, spread: float, k: int) -> None:
    values = rows(distinct, 5, seed)[np.arange(COUNT) % distinct]
    values = (values + spread * rows(COUNT, 5, seed + 1)).astype(np.float32)
    assert_exact(Query(values[0]), database(values), k)


def test_the_nearest_remain_and_not_many_others() -> None:
    values = rows(5000, 64, 1)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    (found,) = may_be_nearest(values[:1], values, 10, np.zeros(5000, bool))
    assert 10 <= len(found) < 30
    assert (np.diff(found) > 0).all()


def test_a_query_of_another_length_is_refused() -> None:
    searched = database(rows(COUNT, 4, 0), rows(COUNT, 4, 1))
    with pytest.raises(UsageError, match=r"the query has \(3,\) values, the database \(4,\)"):
        nearest(Query(np.ones(3, np.float32)), searched, 1, euclidean)
    with pytest.raises(UsageError, match=r"the query has \(5,\) values"):
        nearest(Query(np.ones(4, np.float32), np.ones(5, np.float32)), searched, 1, euclidean)
