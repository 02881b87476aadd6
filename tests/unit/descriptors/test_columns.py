"""Columns of a network's map as local features of a few bytes."""

import numpy as np
import pytest

from resight.descriptors.columns import BITS, CELL, MAX_COLUMNS, MAX_SIDE, code_columns


def random_map(seed: int, channels: int = 96, height: int = 24, width: int = 32) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(channels, height, width))
    return np.maximum(values, 0).astype(np.float32)


def test_the_most_distinctive_columns_inside_the_border() -> None:
    x = random_map(0)
    x[:, 5, 7] *= 4
    x[:, 0, 3] *= 9
    columns = code_columns(x)
    assert columns is not None
    assert len(columns) == len(columns.codes) == MAX_COLUMNS
    assert columns.shape == (32, 24)
    assert [7, 5] in columns.places.tolist()
    assert columns.places.min() == 1
    assert (columns.places < np.array(columns.shape) - 1).all()
    lengths = np.linalg.norm(x - x.mean(axis=(1, 2), keepdims=True), axis=0)
    chosen = np.zeros_like(lengths, bool)
    chosen[columns.places[:, 1], columns.places[:, 0]] = True
    inner = lengths[1:-1, 1:-1]
    assert inner[chosen[1:-1, 1:-1]].min() >= inner[~chosen[1:-1, 1:-1]].max()


def test_signs_keep_angles() -> None:
    x = random_map(1)
    columns = code_columns(x)
    assert columns is not None
    centered = x - x.mean(axis=(1, 2), keepdims=True)
    vectors = centered[:, columns.places[:, 1], columns.places[:, 0]].T
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    angles = np.arccos(np.clip(vectors @ vectors.T, -1, 1))
    # A projection separates two vectors with a probability of their angle / pi.
    estimated = (1 - columns.descriptors @ columns.descriptors.T) / 2 * np.pi
    deviation = np.sqrt(0.25 / BITS) * np.pi
    assert np.abs(estimated - angles).mean() < deviation
    assert np.abs(np.diag(estimated)).max() < 1e-3


def test_nothing_depends_on_a_common_column_or_scale() -> None:
    x = random_map(2)
    one, other = (
        code_columns(x),
        code_columns(3 * x + np.arange(96, dtype=np.float32)[:, None, None]),
    )
    assert one is not None
    assert other is not None
    same = (one.codes[:, None] == other.codes[None]).all(axis=2)
    assert same.any(axis=1).mean() > 0.95


def test_points_are_centers_of_positions() -> None:
    columns = code_columns(random_map(3))
    assert columns is not None
    assert columns.size == (32 * CELL, 24 * CELL)
    np.testing.assert_allclose((columns.points + 0.5) / CELL - 0.5, columns.places, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 1, 1), (8, 2, 9), (8, 1, 40)])
def test_maps_that_are_all_border_have_no_columns(shape: tuple[int, int, int]) -> None:
    columns = code_columns(np.ones(shape, np.float32))
    assert columns is not None
    assert len(columns) == 0
    assert columns.descriptors.shape == (0, BITS)


def test_a_map_without_differences_has_no_columns() -> None:
    columns = code_columns(np.full((8, 10, 10), 0.5, np.float32))
    assert columns is not None
    assert len(columns) == 0


def test_too_large_a_map_is_not_coded() -> None:
    assert code_columns(np.zeros((2, 3, MAX_SIDE + 1), np.float32)) is None
