"""PCA and whitening: against plain readings of the formulas, and what must hold for any data."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import SelectionConfig, WhiteningConfig
from resight.errors import FitError
from resight.reductions import Reduction, combined, fit_reduction, from_bytes, to_bytes
from resight.reductions.whitening import Whitening, choose_width, fit_whitening

SIZES = (6, 4)


def descriptors(photos: int, seed: int = 0) -> np.ndarray:
    """Values of different variance in every direction, (photos, 10)."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(photos, 10)) * np.linspace(3, 0.1, 10)
    rotation = np.linalg.qr(generator.normal(size=(10, 10)))[0]
    return (mixed @ rotation + 5).astype(np.float32)


def fit(x: np.ndarray, **fields: object) -> Whitening:
    return fit_whitening(lambda: [x], SIZES, WhiteningConfig(min_photos=2, **fields))  # type: ignore[arg-type]


def slowly(x: np.ndarray, y: np.ndarray, d: int, shrinkage: float, whiten: bool) -> np.ndarray:
    """Rows of y whitened by what x says: covariance, eigenvectors, one layer after the other."""
    layers = []
    for layer in (slice(0, 6), slice(6, 10)):
        a, b = x[:, layer].astype(float), y[:, layer].astype(float)
        values, vectors = np.linalg.eigh(np.cov(a.T))
        values, vectors = values[::-1], vectors[:, ::-1]
        used = values[values > values[0] * 1e-10]
        scale = np.sqrt(values[:d] + shrinkage * used.mean()) if whiten else np.ones(d)
        projected = (b - a.mean(axis=0)) @ vectors[:, :d] / scale
        layers.append(projected / np.linalg.norm(projected, axis=1, keepdims=True))
    return np.hstack(layers) / np.sqrt(2)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("photos", [8, 50])
def test_as_the_formulas_say(photos: int, whiten: bool) -> None:
    x, y = descriptors(photos), descriptors(5, seed=1)
    found = fit(x, features=3, shrinkage=0.2, whiten=whiten).apply(y)
    # Up to the signs of the components, so by what is compared: the products.
    expected = slowly(x, y, 3, 0.2, whiten)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)
    assert found.dtype == np.float32
    assert found.shape == (5, 6)


@pytest.mark.parametrize("prior", [1000, 70])
def test_the_shrinkage_follows_the_number_of_photos(prior: float) -> None:
    x, y = descriptors(50), descriptors(5, seed=1)
    expected = slowly(x, y, 4, prior / 50, True)
    found = fit(x, features=4, prior=prior).apply(y)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-5)


def test_without_shrinkage_the_photos_themselves_are_white() -> None:
    x = descriptors(400)
    whitening = fit(x, features=4, shrinkage=0.0)
    first = (x - whitening.means)[:, :6] @ whitening.parts[0]
    np.testing.assert_allclose(np.cov(first.T), np.eye(4), atol=1e-4)


def test_the_width_is_the_spectrums() -> None:
    config = WhiteningConfig(variance=0.75, max_components=100)
    # Two strong directions count as 1 each, eight of chance as 0.01: 1.6 of 2.08 are requested.
    variances = np.array([100.0, 100.0] + [0.01] * 8)
    assert choose_width(variances, 1.0, config) == 2
    assert choose_width(np.ones(100), 1.0, config) == 75
    assert choose_width(np.ones(100), 1.0, WhiteningConfig(variance=0.75, max_components=10)) == 10
    assert choose_width(np.ones(7), 0.0, WhiteningConfig(variance=1.0)) == 7


@settings(deadline=None, max_examples=25)
@given(
    photos=st.integers(8, 40),
    seed=st.integers(0, 1000),
    shrinkage=st.floats(0.01, 10),
    power=st.sampled_from([1.0, 0.5]),
)
def test_whitened_descriptors(photos: int, seed: int, shrinkage: float, power: float) -> None:
    x = descriptors(photos, seed)
    whitening = fit(x, shrinkage=shrinkage, power=power)
    rows = whitening.apply(x)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows.shape == (photos, whitening.dimensions)
    for one, row in zip(x, rows, strict=True):  # for any batch
        np.testing.assert_allclose(whitening.apply(one), row, atol=1e-5)
    in_blocks = fit_whitening(
        lambda: [x[:3], x[3:]],
        SIZES,
        WhiteningConfig(min_photos=2, shrinkage=shrinkage, power=power),
    )
    np.testing.assert_allclose(in_blocks.apply(x), rows, atol=1e-4)


def test_too_few_photos_may_have_a_selection_instead() -> None:
    auto = WhiteningConfig(min_photos=128, fallback="pfa")
    assert auto.for_photos(127) == SelectionConfig()
    assert auto.for_photos(128) == auto
    assert WhiteningConfig().for_photos(2) == WhiteningConfig()
    assert SelectionConfig(features=5).for_photos(2) == SelectionConfig(features=5)


def test_a_photo_that_is_the_mean_stays_zero() -> None:
    x = descriptors(20)
    whitening = fit(x)
    assert not whitening.apply(whitening.means).any()


FEW = dataclasses.replace(WhiteningConfig(features=3), combine_with="pfa")


@pytest.fixture
def small_selection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the combined selection keep five values."""
    monkeypatch.setattr(combined, "SelectionConfig", lambda: SelectionConfig(features=5))


@given(
    rows=st.integers(2, 12).flatmap(
        lambda count: st.lists(
            st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=count, max_size=count
        )
    )
)
def test_the_mean_distance_is_that_of_all_pairs(rows: list[list[float]]) -> None:
    x = np.array(rows)
    pairs = [np.abs(a - b).sum() for a, b in itertools.combinations(x, 2)]
    assert combined.mean_distance(x) == pytest.approx(np.mean(pairs), abs=1e-9)


@pytest.mark.usefixtures("small_selection")
@pytest.mark.parametrize("part", [0.25, 0.5])
def test_whitened_values_have_their_part_of_the_distance(part: float) -> None:
    x = descriptors(40)
    config = dataclasses.replace(FEW, weight=part)
    both = fit_reduction(lambda: [x[:7], x[7:]], SIZES, config)
    assert isinstance(both, combined.SelectionPlusWhitening)
    assert (both.distance, both.dimensions) == ("manhattan", 5 + 3 * len(SIZES))
    rows = both.apply(x)
    plain = both.selection.apply(x)
    np.testing.assert_allclose(rows[:, :5], (1 - part) * plain, rtol=1e-6)
    whitened = fit_whitening(lambda: [x], SIZES, config).apply(x)
    np.testing.assert_allclose(rows[:, 5:], both.scales[1] * whitened, atol=1e-5)
    # In the mean the whole is as far apart as the selection, and the parts as configured.
    distance = combined.mean_distance(plain)
    assert combined.mean_distance(rows) == pytest.approx(distance, rel=1e-4)
    assert combined.mean_distance(rows[:, 5:]) == pytest.approx(part * distance, rel=1e-4)


@pytest.mark.usefixtures("small_selection")
@pytest.mark.parametrize("config", [SelectionConfig(features=5), WhiteningConfig(features=3), FEW])
def test_stored_and_read(config: SelectionConfig | WhiteningConfig) -> None:
    x = descriptors(40)
    fitted: Reduction = fit_reduction(lambda: [x], SIZES, config)
    read = from_bytes(to_bytes(fitted), config.to_dict())
    assert np.array_equal(fitted.apply(x), read.apply(x))
    assert (read.distance, read.dimensions) == (fitted.distance, fitted.dimensions)


@pytest.mark.parametrize(
    ("x", "config", "message"),
    [
        (descriptors(29), WhiteningConfig(), "needs 30 photos or more, not 29"),
        (np.ones((40, 10), np.float32), WhiteningConfig(), "all equal"),
        (descriptors(40), WhiteningConfig(features=5), "cannot keep 5 components"),
    ],
)
def test_what_cannot_be_fitted(x: np.ndarray, config: WhiteningConfig, message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_reduction(lambda: [x], SIZES, config)
