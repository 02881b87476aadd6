"""WCCN: against a plain reading of the formulas, and what must hold for any data."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import WccnConfig, WhiteningConfig
from resight.errors import FitError
from resight.reductions import Reduction, fit_reduction, from_bytes, to_bytes, to_query
from resight.reductions import wccn as wccn_module
from resight.reductions.wccn import SPREAD, Correction, Wccn, mean_neighbor_distance
from resight.vectors import l2_normalize_rows

SIZES = (6, 4)
CONFIG = WccnConfig(shrinkage=0.1, features=3, neighbors=4, correction=0.5, min_photos=2)


def descriptors(photos: int, seed: int = 0) -> np.ndarray:
    """Return values of different variance in every direction, float32 (photos, 10)."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(photos, 10)) * np.linspace(3, 0.3, 10)
    rotation = np.linalg.qr(np.random.default_rng(99).normal(size=(10, 10)))[0]
    return (mixed @ rotation + 5).astype(np.float32)


def copies_of(x: np.ndarray, count: int = 4, seed: int = 1) -> list[np.ndarray]:
    """Return copies of each row that vary more in some directions than in others."""
    generator = np.random.default_rng(seed)
    scales = np.linspace(0.1, 1, x.shape[1])
    return [row + scales * generator.normal(size=(count, len(row))) for row in x]


def fit(
    x: np.ndarray,
    copies: list[np.ndarray] | None = None,
    config: WccnConfig = CONFIG,
    sizes: tuple[int, ...] = SIZES,
) -> Wccn:
    varied = copies_of(x) if copies is None else copies
    fitted = fit_reduction(
        lambda: [x[:7], x[7:]], sizes, config, lambda: zip(x, varied, strict=bool(varied))
    )
    assert isinstance(fitted, Wccn)
    return fitted


# The formulas, one after the other and with loops


def slow_projection(
    x: np.ndarray, copies: list[np.ndarray], y: np.ndarray, config: WccnConfig
) -> np.ndarray:
    """Return rows y adapted to x and its copies, up to the signs of the components."""
    layers, start = [], 0
    for size in SIZES:
        layer = slice(start, start + size)
        start += size
        scatter, count = np.zeros((size, size)), 0
        for photo, varied in zip(x, copies, strict=True):
            for copy in varied:
                d = copy[layer].astype(float) - photo[layer].astype(float)
                scatter += np.outer(d, d)
                count += 1
        within = scatter / count
        within += config.shrinkage * np.trace(scatter / count) / size * np.eye(size)
        w, u = np.linalg.eigh(within)
        p = u / np.sqrt(w)
        mean = x[:, layer].astype(float).mean(axis=0)
        unit = [(row[layer] - mean) @ p for row in x]
        unit = [row / np.linalg.norm(row) for row in unit]
        _, _, components = np.linalg.svd(np.array(unit) - np.mean(unit, axis=0))
        projected = [(row[layer] - mean) @ p @ components[: config.features].T for row in y]
        layers.append([row / np.linalg.norm(row) for row in projected])
    return np.concatenate(layers, axis=1) / np.sqrt(len(SIZES))


def slow_neighbors(row: np.ndarray, references: np.ndarray, count: int) -> float:
    """Return the mean cosine distance to the nearest references other than the photo itself."""
    distances = sorted(1 - float(np.dot(row, other)) for other in references)
    others = [distance for distance in distances if distance >= wccn_module.SAME]
    return float(np.mean(others[:count])) if others else 0.0


@pytest.mark.parametrize("features", [2, 3, 128])
@pytest.mark.parametrize("photos", [5, 8, 40])
def test_the_projection_is_that_of_the_formulas(photos: int, features: int) -> None:
    x, y = descriptors(photos), descriptors(6, seed=1)
    config = replace(CONFIG, features=features, neighbors=0)
    fitted = fit(x, config=config)
    found, expected = fitted.apply(y), slow_projection(x, copies_of(x), y, config)
    # The signs of the components are arbitrary: products are what is compared.
    if features < 128:
        np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)
    assert found.dtype == np.float32
    kept = sum(min(size, features, photos - 1) for size in SIZES)
    assert found.shape == (6, kept)
    assert fitted.dimensions == kept
    assert fitted.correction is None


def test_all_components_are_those_of_the_formulas() -> None:
    x, y = descriptors(40), descriptors(6, seed=1)
    config = replace(CONFIG, features=128, neighbors=0)
    found = fit(x, config=config).apply(y)
    expected = slow_projection(x, copies_of(x), y, config)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-4)


def test_one_layer() -> None:
    x = descriptors(30)
    fitted = fit(x, sizes=(10,))
    assert fitted.dimensions == 3 + SPREAD
    np.testing.assert_allclose(np.linalg.norm(fitted.apply(x)[:, :3], axis=1), 1, atol=1e-5)


def test_each_layer_has_the_same_share() -> None:
    rows = fit(descriptors(30)).apply(descriptors(5, seed=2))
    for layer in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(np.linalg.norm(rows[:, layer], axis=1), 0.5**0.5, atol=1e-5)


# What it is for


def test_directions_in_which_copies_vary_count_less() -> None:
    """Whitening weights light like the directions that tell things apart; adaptation does not."""
    generator = np.random.default_rng(0)
    things = generator.normal(size=(20, 4)) * 3
    light = generator.normal(size=(40, 1)) * 9
    noise = generator.normal(size=(40, 5)) * 0.1
    shown = np.repeat(things, 2, axis=0)  # two photos of each thing
    x = (np.concatenate([shown, light], axis=1) + noise).astype(np.float32)
    copies = []
    for row in x:
        varied = np.tile(row, (8, 1))
        varied[:, 4] += generator.normal(size=8) * 9
        varied += generator.normal(size=varied.shape) * 0.1
        copies.append(varied)

    def found(reduction: Reduction) -> float:
        rows = reduction.apply(x)
        squares = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
        np.fill_diagonal(squares, np.inf)
        return float(np.mean(squares.argmin(axis=1) // 2 == np.arange(40) // 2))

    config = WccnConfig(min_photos=2, neighbors=0, shrinkage=0.001)
    adapted = fit_reduction(lambda: [x], (5,), config, lambda: zip(x, copies, strict=True))
    whitened = fit_reduction(
        lambda: [x], (5,), WhiteningConfig(features=5, shrinkage=0.0, min_photos=2)
    )
    assert found(adapted) == 1
    assert found(whitened) < 0.9
    weights = np.linalg.norm(adapted.projection.parts[0], axis=1)  # type: ignore[union-attr]
    assert weights[4] < weights[:4].min() / 3


@settings(deadline=None, max_examples=25)
@given(
    photos=st.integers(3, 40),
    seed=st.integers(0, 1000),
    shrinkage=st.floats(0, 10),
    features=st.integers(1, 12),
)
def test_adapted_descriptors(photos: int, seed: int, shrinkage: float, features: int) -> None:
    x = descriptors(photos, seed)
    config = replace(CONFIG, shrinkage=shrinkage, features=features)
    fitted = fit(x, config=config)
    rows = fitted.apply(x)
    assert np.isfinite(rows).all()
    assert rows.shape == (photos, fitted.dimensions)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :-SPREAD], axis=1), 1, atol=1e-4)
    assert (rows[:, -SPREAD:] >= 0).all()
    for one, row in zip(x, rows, strict=True):  # for any batch, up to rounding
        # A square root is steep at 0, where a photo is the farthest from its neighbors.
        np.testing.assert_allclose(fitted.apply(one)[:-SPREAD], row[:-SPREAD], atol=1e-4)
        np.testing.assert_allclose(fitted.apply(one)[-SPREAD:], row[-SPREAD:], atol=1e-3)
    assert to_bytes(fit(x, config=config)) == to_bytes(fitted)


def test_the_number_of_blocks_does_not_matter() -> None:
    x = descriptors(30)
    copies = copies_of(x)

    def fitted(*blocks: np.ndarray) -> bytes:
        return to_bytes(
            fit_reduction(lambda: blocks, SIZES, CONFIG, lambda: zip(x, copies, strict=True))
        )

    assert fitted(x) == fitted(x[:1], x[1:20], x[20:])


def test_only_the_first_rows_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    x = descriptors(30)
    monkeypatch.setattr(wccn_module, "MAX_ROWS", 12)
    expected = fit(x[:12])
    np.testing.assert_array_equal(fit(x).projection.means, expected.projection.means)
    correction = fit(x).correction
    assert correction is not None
    assert len(correction.references) == 12


# The correction


def corrected(fitted: Wccn, query: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Euclidean distances as they are searched, and what they are to order by."""
    correction = fitted.correction
    assert correction is not None
    adapted, q = fitted.apply(rows), to_query(fitted, fitted.apply(query))
    plain = fitted.projection.apply(rows).astype(float)
    expected = [
        1
        - float(np.dot(fitted.projection.apply(query).astype(float), row))
        - correction.weight * slow_neighbors(row, correction.references, correction.neighbors)
        for row in plain
    ]
    return np.linalg.norm(adapted.astype(float) - q, axis=1), np.array(expected)


@pytest.mark.parametrize("neighbors", [1, 4, 29, 30, 500])
@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0])
def test_distances_are_corrected_by_the_neighbors(neighbors: int, weight: float) -> None:
    x = descriptors(30)
    fitted = fit(x, config=replace(CONFIG, neighbors=neighbors, correction=weight))
    correction = fitted.correction
    assert correction is not None
    for query in descriptors(5, seed=7):
        distances, expected = corrected(fitted, query, x)
        # Half the squared distance is the corrected distance up to a constant.
        np.testing.assert_allclose(
            distances**2 / 2, expected + weight * correction.largest, atol=2e-3 * weight + 1e-5
        )
        apart = np.diff(np.sort(expected)).min() > 1e-3
        if apart:
            assert np.argsort(distances).tolist() == np.argsort(expected).tolist()


def test_the_order_is_that_of_the_corrected_distance() -> None:
    """No two corrected distances are near enough for rounding to exchange them."""
    x = descriptors(12, seed=3)
    fitted = fit(x)
    for query in descriptors(20, seed=4):
        distances, expected = corrected(fitted, query, x)
        order = np.argsort(distances)
        assert (np.diff(expected[order]) > -1e-4).all()


def test_a_query_has_no_correction() -> None:
    x = descriptors(30)
    fitted = fit(x)
    row = fitted.apply(x[3])
    before = row.copy()
    query = to_query(fitted, row)
    assert not query[-SPREAD:].any()
    assert row[-SPREAD:].any()
    np.testing.assert_array_equal(row, before)
    np.testing.assert_array_equal(query[:-SPREAD], row[:-SPREAD])
    plain = fit(x, config=replace(CONFIG, neighbors=0))
    row = plain.apply(x[3])
    np.testing.assert_array_equal(to_query(plain, row), row)
    np.testing.assert_array_equal(to_query(None, row), row)


@pytest.mark.parametrize("off", [{"neighbors": 0}, {"correction": 0.0}])
def test_without_correction(off: dict[str, float]) -> None:
    fitted = fit(descriptors(30), config=replace(CONFIG, **off))  # type: ignore[arg-type]
    assert fitted.correction is None
    assert fitted.dimensions == 6


def test_a_photo_and_its_duplicates_are_no_neighbors() -> None:
    x = descriptors(20)
    twice = np.concatenate([x, x, x[:1] * (1 + 1e-5)])
    fitted = fit(x, config=replace(CONFIG, neighbors=3)).projection
    rows, references = fitted.apply(x), fitted.apply(twice)
    expected = [slow_neighbors(row, references, 3) for row in rows.astype(float)]
    np.testing.assert_allclose(mean_neighbor_distance(rows, references, 3), expected, atol=1e-5)
    # Without neighbors other than itself a photo is not corrected for any.
    np.testing.assert_array_equal(mean_neighbor_distance(rows[:1], rows[:1], 3), [0])


def test_photos_unlike_all_references() -> None:
    """A photo farther than every reference counts with the largest mean distance."""
    references = np.eye(1, 6, dtype=np.float32) + 0.3 * descriptors(20)[:, :6] / 20
    references = l2_normalize_rows(references).astype(np.float32)
    means = mean_neighbor_distance(references, references, 4)
    correction = Correction(references, 4, 0.5, float(means.max()))
    far = -references[:1]
    assert mean_neighbor_distance(far, references, 4) > correction.largest
    assert not correction.values(far).any()
    assert correction.values(references).any()


def test_neighbors_are_sought_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    x = descriptors(30)
    fitted = fit(x)
    assert fitted.correction is not None
    expected = fitted.correction.values(fitted.projection.apply(x))
    monkeypatch.setattr(wccn_module, "MAX_REFERENCES", 7)
    np.testing.assert_allclose(
        fitted.correction.values(fitted.projection.apply(x)), expected, atol=1e-3
    )
    limited = fit(x).correction
    assert limited is not None
    assert len(limited.references) == 7


def test_dense_regions_are_corrected_most() -> None:
    generator = np.random.default_rng(0)
    dense = 1 + 0.05 * generator.normal(size=(15, 10))
    sparse = 3 * generator.normal(size=(15, 10))
    x = np.concatenate([dense, sparse]).astype(np.float32)
    values = fit(x, config=replace(CONFIG, neighbors=5)).apply(x)[:, -1]
    # The values grow with the mean distance's difference from the largest.
    assert np.median(values[:15]) > values[15:].max()


# Stored


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, neighbors=0)])
def test_stored_and_read(config: WccnConfig) -> None:
    x = descriptors(40)
    fitted = fit(x, config=config)
    read = from_bytes(to_bytes(fitted), config.to_dict())
    assert isinstance(read, Wccn)
    assert np.array_equal(fitted.apply(x), read.apply(x))
    assert to_bytes(read) == to_bytes(fitted)
    assert (read.distance, read.dimensions) == ("euclidean", fitted.dimensions)
    if fitted.correction is None:
        assert read.correction is None
        return
    assert read.correction is not None
    ours, theirs = fitted.correction, read.correction
    np.testing.assert_array_equal(ours.references, theirs.references)  # rounded before they count
    np.testing.assert_array_equal(ours.references, ours.references.astype(np.float16))
    assert (theirs.neighbors, theirs.weight, theirs.largest) == (
        ours.neighbors,
        ours.weight,
        ours.largest,
    )


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_damaged_bytes_are_refused(cut: int) -> None:
    data = to_bytes(fit(descriptors(20)))
    with pytest.raises((ValueError, KeyError, OSError, EOFError)):
        from_bytes(data[:cut], CONFIG.to_dict())


# Unusual collections


def test_too_few_photos() -> None:
    with pytest.raises(FitError, match="needs 8 photos or more, not 7"):
        fit(descriptors(7), config=WccnConfig())
    assert fit(descriptors(8), config=WccnConfig()).dimensions == 6 + 4 + SPREAD


@pytest.mark.parametrize("value", [1.0, 0.1, 1 / 3])
def test_photos_that_are_all_equal(value: float) -> None:
    """The rounded mean of equal numbers may differ from them, which is no direction."""
    x = np.full((9, 10), value, np.float32)
    with pytest.raises(FitError, match="are all equal"):
        fit(x)
    one_layer = descriptors(9)
    one_layer[:, 6:] = value
    with pytest.raises(FitError, match="are all equal"):
        fit(one_layer)


def test_copies_that_are_all_equal() -> None:
    x = descriptors(9)
    with pytest.raises(FitError, match="all copies of the photos have equal descriptors"):
        fit(x, [np.tile(row, (3, 1)) for row in x])


def test_no_photos_and_no_copies() -> None:
    x = descriptors(9)
    with pytest.raises(FitError, match="none of the sampled photos can be read"):
        fit(x, [])

    def none() -> Iterator[np.ndarray]:
        return iter(())

    with pytest.raises(FitError, match="there are no photos"):
        fit_reduction(none, SIZES, CONFIG, lambda: iter(()))


def test_zero_descriptors() -> None:
    """A blank photo has all values 0; it is adapted like any other."""
    x = descriptors(20)
    x[[3, 8]] = 0
    fitted = fit(x)
    rows = fitted.apply(x)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(rows[3], rows[8])
    # A photo that is the mean has no direction.
    assert not fitted.projection.apply(fitted.projection.means).any()
    assert np.isfinite(fitted.apply(fitted.projection.means)).all()


@pytest.mark.parametrize("photos", [2, 3])
def test_the_fewest_photos(photos: int) -> None:
    fitted = fit(descriptors(photos))
    assert fitted.dimensions == 2 * (photos - 1) + SPREAD
    assert np.isfinite(fitted.apply(descriptors(4, seed=5))).all()


def test_a_direction_that_never_varies_is_not_divided_by_zero() -> None:
    x = descriptors(20)
    copies = copies_of(x)
    for row, varied in zip(x, copies, strict=True):
        varied[:, [2, 7]] = row[[2, 7]]
    rows = fit(x, copies, replace(CONFIG, shrinkage=0.0)).apply(x)
    assert np.isfinite(rows).all()
