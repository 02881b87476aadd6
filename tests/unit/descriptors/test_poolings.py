"""Every pooling: slow readings of the papers' formulas, and what holds for all of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import ExtractionConfig
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.rmac import region_grid, region_vectors

CONFIG = ExtractionConfig()


def feature_map(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.maximum(generator.normal(size=shape), 0).astype(np.float32)


def unit(vector: list[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(vector, float)
    length = math.sqrt((values**2).sum())
    return values / length if length else values


# Slow readings


def slow_mac(fm: np.ndarray) -> np.ndarray:
    return unit([max(float(v) for v in channel.ravel()) for channel in fm])


def slow_spoc(fm: np.ndarray) -> np.ndarray:
    return unit([sum(float(v) for v in ch.ravel()) for ch in fm])


def slow_spoc_center(fm: np.ndarray) -> np.ndarray:
    c, h, w = fm.shape
    sigma = (min(h, w) / 2) / 3
    sums = [0.0] * c
    for y in range(h):
        for x in range(w):
            away = (y + 0.5 - h / 2) ** 2 + (x + 0.5 - w / 2) ** 2
            for k in range(c):
                sums[k] += math.exp(-away / (2 * sigma**2)) * float(fm[k, y, x])
    return unit(sums)


def slow_crow(fm: np.ndarray) -> np.ndarray:
    c, h, w = fm.shape
    total = [[sum(float(fm[k, y, x]) for k in range(c)) for x in range(w)] for y in range(h)]
    length = math.sqrt(sum(v * v for row in total for v in row))
    share = [sum(float(v) != 0 for v in channel.ravel()) / (h * w) for channel in fm]
    out = []
    for k in range(c):
        value = sum(
            math.sqrt(total[y][x] / length) * float(fm[k, y, x]) for y in range(h) for x in range(w)
        )
        out.append(value * math.log((c * 1e-6 + sum(share)) / (1e-6 + share[k])))
    return unit(out)


def slow_gem(fm: np.ndarray) -> np.ndarray:
    return unit([(sum(float(v) ** 3 for v in ch.ravel()) / ch.size) ** (1 / 3) for ch in fm])


def slow_rmac(fm: np.ndarray) -> np.ndarray:
    total = slow_mac(fm)
    for top, left, side in slow_grid(*fm.shape[1:]):
        region = fm[:, top : top + side, left : left + side]
        total += unit([max(float(v) for v in ch.ravel()) for ch in region])
    return unit(total)


def slow_grid(height: int, width: int) -> list[tuple[int, int, int]]:
    """As the authors' public code lays the regions."""
    w = min(width, height)
    best, extra = None, 0
    for steps in range(2, 8):
        b = (max(height, width) - w) / (steps - 1)
        away = abs((w**2 - w * b) / w**2 - 0.4)
        if best is None or away < best:
            best, extra = away, steps - 1
    wd = extra if height < width else 0
    hd = extra if height > width else 0
    regions = []
    for level in (1, 2, 3):
        wl = max(1, math.floor(2 * w / (level + 1)))
        bw = 0 if level + wd == 1 else (width - wl) / (level + wd - 1)
        bh = 0 if level + hd == 1 else (height - wl) / (level + hd - 1)
        for i in range(level + hd):
            for j in range(level + wd):
                regions.append((math.floor(i * bh), math.floor(j * bw), wl))
    return regions


SLOW = {
    "mac": slow_mac,
    "spoc": slow_spoc,
    "spoc-center": slow_spoc_center,
    "crow": slow_crow,
    "gem": slow_gem,
    "rmac": slow_rmac,
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("shape", [(5, 6, 9), (4, 9, 6), (3, 7, 7), (3, 1, 4), (2, 1, 1)])
def test_as_the_papers_say(name: str, shape: tuple[int, int, int]) -> None:
    fm = feature_map(shape, seed=3) + np.float32(0.01)
    np.testing.assert_allclose(POOLINGS[name](fm, CONFIG), SLOW[name](fm), atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7), (25, 33), (33, 20), (5, 40), (1, 1)])
def test_the_grid_is_the_authors(shape: tuple[int, int]) -> None:
    assert region_grid(*shape) == slow_grid(*shape)


def test_the_regions_of_a_square() -> None:
    assert region_grid(6, 6) == [
        (0, 0, 6),
        *[(y, x, 4) for y in (0, 2) for x in (0, 2)],
        *[(y, x, 3) for y in (0, 1, 3) for x in (0, 1, 3)],
    ]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
def test_regions_lie_inside_and_reach_both_ends(height: int, width: int, levels: int) -> None:
    regions = region_grid(height, width, levels)
    assert all(y >= 0 and y + n <= height and x >= 0 and x + n <= width for y, x, n in regions)
    if levels > 1 or height != width:
        assert max(x + n for _, x, n in regions) == width
        assert max(y + n for y, _, n in regions) == height


def test_integral_maxima_are_near_the_true_ones() -> None:
    fm = feature_map((16, 12, 17))
    true, near = region_vectors(fm), region_vectors(fm, integral=True)
    cosines = (true * near).sum(axis=1)
    assert cosines.min() > 0.97
    # Exactly: the tenth root of the sum of tenth powers.
    y, x, n = region_grid(12, 17)[3]
    expected = (fm[:, y : y + n, x : x + n].astype(float) ** 10).sum(axis=(1, 2)) ** 0.1
    np.testing.assert_allclose(near[4], unit(expected), atol=1e-4)  # the whole map is the first


# What holds for every one

SHAPES = st.tuples(st.integers(2, 6), st.integers(1, 9), st.integers(1, 9))


@pytest.mark.parametrize("name", POOLINGS)
@settings(deadline=None, max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 100), scale=st.sampled_from([2.0**-10, 1.0, 2.0**10]))
def test_contract(name: str, shape: tuple[int, int, int], seed: int, scale: float) -> None:
    fm = feature_map(shape, seed)
    vector = POOLINGS[name](fm * np.float32(scale), CONFIG)
    assert vector.shape == shape[:1]
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    length = np.linalg.norm(vector)
    assert length == pytest.approx(1, abs=1e-5) or (length == 0 and (fm == 0).all())
    # It does not matter how large the activations are, nor in which order the channels come.
    np.testing.assert_allclose(vector, POOLINGS[name](fm, CONFIG), atol=2e-4)
    order = np.random.default_rng(seed).permutation(shape[0])
    again = POOLINGS[name](fm[order] * np.float32(scale), CONFIG)
    np.testing.assert_allclose(again, vector[order], atol=1e-4)


@pytest.mark.parametrize("name", POOLINGS)
def test_an_empty_map_gives_zeros(name: str) -> None:
    vector = POOLINGS[name](np.zeros((4, 5, 6), np.float32), CONFIG)
    assert vector.shape == (4,)
    assert not vector.any()


@pytest.mark.parametrize("name", POOLINGS)
def test_they_differ_from_each_other(name: str) -> None:
    fm = feature_map((8, 10, 14))
    others = [POOLINGS[other](fm, CONFIG) for other in POOLINGS if other != name]
    assert all(np.abs(POOLINGS[name](fm, CONFIG) - other).max() > 1e-4 for other in others)
