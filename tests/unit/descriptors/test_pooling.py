"""Every pooling against a slow reading of its paper, and the contract that all of them keep."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from feature_maps import SIDES, random_map, tensor
from resight.config import ExtractionConfig
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.descriptors.pooling.rmac import (
    fit_region_whitening,
    region_grid,
    region_vectors,
    rmac,
)

CONFIG = ExtractionConfig()


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
    """Lay the regions like the authors' public code."""
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
def test_poolings_equal_the_papers_formulas(name: str, shape: tuple[int, int, int]) -> None:
    fm = random_map(*shape, seed=3) + np.float32(0.01)
    np.testing.assert_allclose(POOLINGS[name](fm, CONFIG), SLOW[name](fm), atol=1e-5)


# Modified R-MAC


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_modified_rmac_equals_the_oracle(height: int, width: int, seed: int) -> None:
    feature_map = random_map(5, height, width, seed)
    expected = oracle.modified_rmac(tensor(feature_map))
    np.testing.assert_allclose(modified_rmac(feature_map), expected, atol=1e-6, rtol=0)


def test_modified_rmac_by_hand() -> None:
    # 2 x 3, so regions of side 2, 2, 1 every 1, 1, 1 positions at levels 1, 2, 3.
    feature_map = np.float32([[[3, 0, 0], [0, 0, 4]], [[0, 0, 0], [0, 2, 0]]])
    first = 5 + 5 + 5  # level 1: maxima 3 and 4; level 2 the same; level 3: 3 and 4
    second = 8**0.5 + 8**0.5 + 2  # maxima 2 and 2, twice; then 2
    np.testing.assert_allclose(modified_rmac(feature_map), unit([first, second]), rtol=1e-6)


def test_levels_and_stride_by_hand() -> None:
    # Level 1: side 4 every 4 positions of 4 x 8, two regions; every 2 positions, three.
    feature_map = np.zeros((2, 4, 8), np.float32)
    feature_map[0, 0, 0] = feature_map[1, 0, 3] = 1.0
    wide = modified_rmac(feature_map, levels=1, stride=1.0)
    np.testing.assert_allclose(wide, unit([1, 1]), rtol=1e-6)
    close = modified_rmac(feature_map, levels=1, stride=0.5)
    np.testing.assert_allclose(close, unit([1, 2**0.5]), rtol=1e-6)


@given(
    height=SIDES,
    width=SIDES,
    order=st.permutations(range(6)),
    levels=st.integers(1, 5),
    stride=st.floats(0.05, 1),
)
@settings(max_examples=40, deadline=None)
def test_modified_rmac_treats_channels_alike(
    height: int, width: int, order: list[int], levels: int, stride: float
) -> None:
    feature_map = random_map(6, height, width, seed=0)
    np.testing.assert_allclose(
        modified_rmac(feature_map[order], levels=levels, stride=stride),
        modified_rmac(feature_map, levels=levels, stride=stride)[order],
        atol=1e-6,
        rtol=0,
    )


# R-MAC


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7), (25, 33), (33, 20), (5, 40), (1, 1)])
def test_the_grid_equals_the_authors_code(shape: tuple[int, int]) -> None:
    assert region_grid(*shape) == slow_grid(*shape)


def test_the_regions_of_a_square() -> None:
    assert region_grid(6, 6) == [
        (0, 0, 6),
        *[(y, x, 4) for y in (0, 2) for x in (0, 2)],
        *[(y, x, 3) for y in (0, 1, 3) for x in (0, 1, 3)],
    ]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
def test_regions_lie_inside_and_span_the_map(height: int, width: int, levels: int) -> None:
    regions = region_grid(height, width, levels)
    assert all(y >= 0 and y + n <= height and x >= 0 and x + n <= width for y, x, n in regions)
    if levels > 1 or height != width:
        assert max(x + n for _, x, n in regions) == width
        assert max(y + n for y, _, n in regions) == height


def test_integral_maxima_are_near_the_exact_ones() -> None:
    fm = random_map(16, 12, 17, seed=0)
    exact, approximate = region_vectors(fm), region_vectors(fm, integral=True)
    assert (exact * approximate).sum(axis=1).min() > 0.97
    # By definition: the tenth root of the sum of tenth powers.
    y, x, n = region_grid(12, 17)[3]  # the first vector is the whole map's
    expected = (fm[:, y : y + n, x : x + n].astype(float) ** 10).sum(axis=(1, 2)) ** 0.1
    np.testing.assert_allclose(approximate[4], unit(expected), atol=1e-4)


def test_regions_are_whitened_before_they_are_added() -> None:
    maps = [random_map(6, 7, 9, seed) for seed in range(8)]
    vectors = np.concatenate([region_vectors(x) for x in maps])
    whitening = fit_region_whitening(vectors, 4)
    total = np.zeros(4)
    for row in region_vectors(maps[0]).astype(float):
        total += unit(whitening.weight.astype(float) @ row + whitening.bias)
    vector = rmac(maps[0], whitening=whitening)
    np.testing.assert_allclose(vector, unit(total), atol=1e-5)
    assert vector.dtype == np.float32
    centered = vectors @ whitening.weight.T + whitening.bias
    np.testing.assert_allclose(centered.mean(axis=0), 0, atol=1e-5)
    assert 1 <= len(fit_region_whitening(vectors).bias) <= 6  # chosen from the spectrum


# Contract

SHAPES = st.tuples(st.integers(2, 6), st.integers(1, 9), st.integers(1, 9))


@pytest.mark.parametrize("name", POOLINGS)
@settings(deadline=None, max_examples=20)
@given(shape=SHAPES, seed=st.integers(0, 100), scale=st.sampled_from([2.0**-10, 1.0, 2.0**10]))
def test_unit_length_and_invariance(
    name: str, shape: tuple[int, int, int], seed: int, scale: float
) -> None:
    fm = random_map(*shape, seed)
    vector = POOLINGS[name](fm * np.float32(scale), CONFIG)
    assert vector.shape == shape[:1]
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    length = np.linalg.norm(vector)
    assert length == pytest.approx(1, abs=1e-5) or (length == 0 and (fm == 0).all())
    # Invariant to the scale of the activations, equivariant to the order of the channels.
    np.testing.assert_allclose(vector, POOLINGS[name](fm, CONFIG), atol=2e-4)
    order = np.random.default_rng(seed).permutation(shape[0])
    again = POOLINGS[name](fm[order] * np.float32(scale), CONFIG)
    np.testing.assert_allclose(again, vector[order], atol=1e-4)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_zero_map_gives_zeros(name: str) -> None:
    vector = POOLINGS[name](np.zeros((4, 5, 6), np.float32), CONFIG)
    assert vector.shape == (4,)
    assert not vector.any()


@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_differ_from_each_other(name: str) -> None:
    fm = random_map(8, 10, 14, seed=0)
    others = [POOLINGS[other](fm, CONFIG) for other in POOLINGS if other != name]
    assert all(np.abs(POOLINGS[name](fm, CONFIG) - other).max() > 1e-4 for other in others)
