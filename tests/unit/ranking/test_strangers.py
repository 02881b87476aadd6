"""The distances to strangers, and how near photos are compared with them."""

import numpy as np
import pytest
import scipy.stats

from resight.ranking.strangers import (
    Strangers,
    chance_closeness,
    log10_tail,
    nearness,
    normal_from_ranks,
    strangers_distance,
)


def test_large_collections_average_the_ranks_20_to_60() -> None:
    distances = np.arange(1, 101, dtype=np.float32)[None, :] ** 2
    expected = np.mean(np.arange(20, 61, dtype=float) ** 2)
    assert strangers_distance(distances, 1000)[0] == pytest.approx(expected)


@pytest.mark.parametrize(("count", "first", "last"), [(8, 2, 5), (24, 8, 16), (60, 20, 40)])
def test_small_collections_average_the_second_third(count: int, first: int, last: int) -> None:
    distances = np.arange(1, count, dtype=np.float32)[None, :60]
    expected = np.mean(np.arange(first, last + 1))
    assert strangers_distance(distances, count)[0] == pytest.approx(expected)


def test_nearness_is_free_of_scale() -> None:
    distances = np.sort(np.random.default_rng(0).uniform(0, 2, 60))
    ours, scaled = (Strangers.of(unit * distances[None], 500, 256) for unit in (1, 700))
    for name in ("closeness", "log10_nfa"):
        expected = getattr(ours.nearness(distances), name)
        np.testing.assert_allclose(getattr(scaled.nearness(700 * distances), name), expected)
    assert ours.nearness(np.zeros(1)).closeness[0] == 1 - ours.chance


def test_equal_distances_are_finite() -> None:
    near = Strangers.of(np.zeros((1, 20)), 21, 256).nearness(np.zeros(3))
    assert np.isfinite(near.closeness).all()
    assert np.isfinite(near.log10_nfa).all()


def test_nothing_is_known_without_strangers() -> None:
    near = nearness(np.ones(3), None)
    assert near.closeness.tolist() == near.log10_nfa.tolist() == [0, 0, 0]


@pytest.mark.parametrize("samples", [4, 12, 41, 1000])
def test_the_tail_is_that_of_student(samples: int) -> None:
    values = np.linspace(0, 20, 50)
    expected = scipy.stats.t.logsf(values, samples) / np.log(10)
    np.testing.assert_allclose(log10_tail(values, samples), expected, atol=0.03, rtol=0.04)


def test_a_normal_distribution_is_found_from_its_nearest() -> None:
    values = np.sort(np.random.default_rng(0).normal(5, 0.3, (2000, 300)), axis=1)
    ranks = np.arange(20, 61)
    centers, deviations = normal_from_ranks(values[:, ranks - 1], ranks, 300)
    assert np.median(centers) == pytest.approx(5, abs=0.02)
    assert np.median(deviations) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("count", [12, 40, 500])
def test_strangers_are_rarely_nearer_than_expected(count: int) -> None:
    distances = np.sort(np.random.default_rng(0).normal(5, 0.3, (1000, count)), axis=1)
    near = Strangers.of(distances, count, 256).nearness(distances)
    for expected in (1, 0.1):  # as many false alarms a query, within a factor of two
        found = (near.log10_nfa <= np.log10(expected)).sum(axis=1).mean()
        assert expected / 2 <= found <= 2 * expected


@pytest.mark.parametrize(("count", "dimensions"), [(30, 256), (200, 64), (2000, 128)])
def test_the_nearest_of_random_strangers_has_no_closeness(count: int, dimensions: int) -> None:
    rng = np.random.default_rng(0)
    nearest = []
    for _ in range(20):
        rows = rng.normal(size=(count + 1, min(dimensions, count - 1)))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        distances = np.sort(np.linalg.norm(rows[1:] - rows[0], axis=1))
        nearest.append(1 - distances[0] / distances.mean())
    assert np.mean(nearest) == pytest.approx(chance_closeness(count, dimensions), rel=0.25)


def test_strangers_of_many_photos_at_once() -> None:
    distances = np.sort(np.random.default_rng(0).uniform(1, 2, (5, 60)), axis=1)
    together = Strangers.of(distances, 500, 256).nearness(distances)
    for row in range(5):
        single = Strangers.of(distances[row : row + 1], 500, 256).nearness(distances[row])
        np.testing.assert_allclose(together.closeness[row], single.closeness)
        np.testing.assert_allclose(together.log10_nfa[row], single.log10_nfa)
