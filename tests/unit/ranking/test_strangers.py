"""The distance to strangers, and closeness in its unit."""

import numpy as np
import pytest

from resight.ranking.strangers import (
    NEUTRAL,
    Strangers,
    chance_closeness,
    closeness,
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


def test_closeness_is_free_of_scale() -> None:
    distances = np.random.default_rng(0).uniform(0, 2, 10)
    ours, scaled = Strangers(1.5, 0.1), Strangers(1050, 0.1)
    np.testing.assert_allclose(ours.closeness(distances), scaled.closeness(700 * distances))
    assert ours.closeness(np.zeros(1))[0] == 0.9
    assert (closeness(distances, None) == NEUTRAL).all()
    assert np.isfinite(Strangers(0.0).closeness(np.zeros(3))).all()


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
    together = Strangers.of(distances, 500, 256).closeness(distances)
    for row in range(5):
        alone = Strangers.of(distances[row : row + 1], 500, 256)
        np.testing.assert_allclose(together[row], alone.closeness(distances[row : row + 1])[0])
