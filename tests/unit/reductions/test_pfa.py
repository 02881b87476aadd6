"""Principal feature analysis against the oracle, on countable cases, and from run to run."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import oracle
from resight.config import SelectionConfig
from resight.errors import FitError
from resight.reductions.pfa import Selection, fit_selection, principal_rows
from resight.vectors import principal_components


def descriptors(images: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Like descriptors: not negative, correlated, each row of unit length."""
    generator = np.random.default_rng(seed)
    causes = generator.gamma(1.0, size=(images, 8)) @ generator.gamma(0.3, size=(8, dimensions))
    values = causes + 0.3 * generator.gamma(1.0, size=(images, dimensions))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def fit(x: np.ndarray, **fields: Any) -> list[int]:
    return fit_selection([x], SelectionConfig(**fields)).indices.tolist()


def blocks_of(x: np.ndarray, size: int) -> list[np.ndarray]:
    return [x[start : start + size] for start in range(0, len(x), size)]


# Rows

BOTH_BRANCHES = pytest.mark.parametrize(
    ("images", "dimensions"), [(12, 30), (2, 5), (30, 30), (100, 20), (31, 30), (40, 600)], ids=str
)
"""Fewer images than dimensions (thin SVD) and at least as many (scatter matrix)."""


@BOTH_BRANCHES
@pytest.mark.parametrize(
    "fields", [{}, {"variance": 0.5}, {"variance": 0.99}, {"components": 1}], ids=str
)
def test_rows_equal_the_oracles_up_to_sign(
    images: int, dimensions: int, fields: dict[str, Any]
) -> None:
    x = descriptors(images, dimensions)
    found = principal_rows(principal_components([x]), SelectionConfig(**fields))
    expected = oracle.pfa_rows(x, **fields)
    assert found.shape == expected.shape  # the same number of components
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-7)


@BOTH_BRANCHES
def test_each_component_has_its_largest_weight_positive(images: int, dimensions: int) -> None:
    spectrum = principal_components([descriptors(images, dimensions)])
    rows = principal_rows(spectrum, SelectionConfig())
    assert (rows.max(axis=0) >= -rows.min(axis=0)).all()


@BOTH_BRANCHES
@pytest.mark.parametrize("size", [1, 7, 20, 29, 1000])
def test_blocks_do_not_matter(images: int, dimensions: int, size: int) -> None:
    x = descriptors(images, dimensions)
    config = SelectionConfig(features=4)
    whole, parts = principal_components([x]), principal_components(iter(blocks_of(x, size)))
    assert parts.images == whole.images == images
    np.testing.assert_array_equal(parts.varies, whole.varies)
    np.testing.assert_allclose(
        principal_rows(parts, config), principal_rows(whole, config), atol=1e-7
    )
    np.testing.assert_array_equal(
        fit_selection(blocks_of(x, size), config).indices, fit_selection([x], config).indices
    )


def test_a_large_common_offset_does_not_cost_precision() -> None:
    for images, dimensions in ((12, 30), (100, 20)):
        x = descriptors(images, dimensions).astype(np.float64)
        found, expected = (
            principal_rows(principal_components([values]), SelectionConfig())
            for values in (x + 1e6, x)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


# Choice


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"absolute": True},
        {"components": 3},
        {"variance": 0.6},
        {"restarts": 1},
        {"seed": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("images", "dimensions", "features"),
    [(20, 60, 15), (120, 40, 12), pytest.param(30, 520, 32, marks=pytest.mark.slow)],
)
def test_indices_equal_the_oracles(
    images: int, dimensions: int, features: int, fields: dict[str, Any]
) -> None:
    x = descriptors(images, dimensions)
    expected = oracle.pfa(x, features, **fields)
    assert fit(x, features=features, **fields) == expected.tolist()


def three_kinds() -> tuple[np.ndarray, list[list[int]]]:
    """Columns of three kinds that move alike within a kind; the indices of each kind."""
    images = np.arange(12)
    causes = [np.sin(images), np.cos(2 * images), (-1.0) ** images]
    kinds: list[list[int]] = [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    x = np.empty((12, 10))
    for cause, kind in zip(causes, kinds, strict=True):
        for place, column in enumerate(kind):
            x[:, column] = (1 + 0.01 * place) * cause
    return x.astype(np.float32), kinds


def test_the_column_nearest_to_each_center_is_selected() -> None:
    x, kinds = three_kinds()
    columns = fit(x, features=3)
    # Rows of a kind lie on a line, at 1, 1.01, 1.02 (and 1.03) times some length: the center of
    # three is the second; between the second and the third of four, these are equally near.
    assert [column for column in columns if column in kinds[1]] == [4]
    assert [column for column in columns if column in kinds[2]] == [5]
    assert [column for column in columns if column in kinds[0]] in ([3], [6])


def test_the_first_of_equally_near_columns_is_selected() -> None:
    x = np.array([[0, 0, 0, 0, 0], [1, 1, 4, 4, 4]], np.float32)
    assert fit(x, features=2) == [0, 2]


@given(
    images=st.integers(2, 30),
    dimensions=st.integers(2, 25),
    features=st.integers(1, 25),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_indices_are_distinct_and_ascending(
    images: int, dimensions: int, features: int, seed: int
) -> None:
    features = min(features, dimensions)
    x = np.random.default_rng(seed).random((images, dimensions)).astype(np.float32)
    selection = fit_selection([x], SelectionConfig(features=features, restarts=1))
    assert selection.indices.dtype == np.int64
    assert selection.indices.shape == (features,)
    assert (np.diff(selection.indices) > 0).all()
    assert selection.indices[0] >= 0
    assert selection.indices[-1] < dimensions


def test_all_columns_can_be_selected() -> None:
    assert fit(descriptors(9, 14), features=14) == list(range(14))
    assert fit(descriptors(50, 14), features=14) == list(range(14))


@pytest.mark.parametrize("images", [8, 60])
def test_constant_columns_are_never_selected(images: int) -> None:
    x = descriptors(images, 20)
    x[:, [0, 7, 19]] = [0.0, 0.1, 5.0]
    varying = [column for column in range(20) if column not in (0, 7, 19)]
    assert fit(x, features=17) == varying
    assert not {0, 7, 19} & set(fit(x, features=9))
    blocks = blocks_of(x, 3)
    assert fit_selection(blocks, SelectionConfig(features=17)).indices.tolist() == varying


def test_a_column_that_differs_in_one_image_varies() -> None:
    x = np.ones((50, 3), np.float32)
    x[:, 0] = np.arange(50)
    x[-1, 2] = 1.5
    assert principal_components([x]).varies.tolist() == [True, False, True]
    assert principal_components(blocks_of(x, 4)).varies.tolist() == [True, False, True]


@pytest.mark.parametrize("copies", [2, 10])
def test_images_that_are_there_twice_change_nothing(copies: int) -> None:
    x = descriptors(20, 60)
    assert fit(np.repeat(x, copies, axis=0), features=15) == fit(x, features=15)


# Errors


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_are_refused(images: int) -> None:
    message = f"^a selection needs 2 photos or more, not {images}$"
    with pytest.raises(FitError, match=message):
        fit(descriptors(2, 5)[:images], features=1)
    with pytest.raises(FitError, match=message):
        fit_selection(iter([descriptors(2, 5)[:1]] * images), SelectionConfig(features=1))


@pytest.mark.parametrize("images", [4, 40])
def test_fewer_usable_columns_than_features_are_refused(images: int) -> None:
    x = descriptors(images, 10)
    x[:, 3] = 0.25
    with pytest.raises(
        FitError,
        match=rf"^cannot keep 10 features: the {images} photos have 9 that vary; use fewer",
    ):
        fit(x, features=10)


@pytest.mark.parametrize("images", [3, 40])
def test_images_that_are_all_the_same_are_refused(images: int) -> None:
    x = np.repeat(descriptors(2, 10)[:1], images, axis=0)
    with pytest.raises(FitError, match=rf"the {images} photos have 0 that vary"):
        fit(x, features=1)


@pytest.mark.parametrize("images", [8, 30, 300])
def test_duplicate_columns_never_yield_fewer_features(images: int) -> None:
    x = np.repeat(descriptors(images, 10), 5, axis=1)
    columns = fit(x, features=10)
    assert [column // 5 for column in columns] == list(range(10))
    for features in (20, 50):
        with pytest.raises(FitError, match=rf"^cannot keep {features} features: ") as caught:
            fit(x, features=features)
        assert "\n" not in str(caught.value)


# Every field of the configuration does what it says


def test_absolute_takes_opposite_columns_for_alike() -> None:
    images = np.arange(12)
    cause, other = np.sin(images), np.cos(2 * images)
    x = np.stack([cause, -cause, other, -other], axis=1)
    columns = fit(x, features=2, absolute=True)
    assert len({0, 1} & set(columns)) == len({2, 3} & set(columns)) == 1
    rows = principal_rows(principal_components([x]), SelectionConfig(absolute=True))
    assert (rows >= 0).all()


@pytest.mark.parametrize("images", [12, 100])
def test_the_rank_limits_the_components(images: int) -> None:
    spectrum = principal_components([descriptors(images, 30)])
    for requested, expected in ((1, 1), (5, 5), (500, min(images - 1, 30))):
        rows = principal_rows(spectrum, SelectionConfig(components=requested))
        assert rows.shape == (30, expected)


@pytest.mark.parametrize("images", [5, 50])
def test_all_of_the_variance_takes_all_components(images: int) -> None:
    spectrum = principal_components([descriptors(images, 20)])
    assert principal_rows(spectrum, SelectionConfig(variance=1.0)).shape[1] == min(images - 1, 20)


def test_the_share_of_the_variance_counted_by_hand() -> None:
    # Independent columns of variances 6, 3, 1: shares 0.6, 0.9, 1.
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    spectrum = principal_components([signs * np.sqrt([6.0, 3.0, 1.0])])
    for variance, components in ((0.1, 1), (0.59, 1), (0.61, 2), (0.9, 2), (0.91, 3), (1.0, 3)):
        rows = principal_rows(spectrum, SelectionConfig(variance=variance))
        np.testing.assert_allclose(rows, np.eye(3)[:, :components], atol=1e-12)


def test_more_restarts_find_tighter_clusters() -> None:
    x = descriptors(40, 300)
    rows = principal_rows(principal_components([x]), SelectionConfig())

    def spread(restarts: int) -> float:
        """Of the rows around the selected ones, squared."""
        columns = fit(x, features=20, restarts=restarts)
        return float(((rows[:, None] - rows[columns]) ** 2).sum(axis=2).min(axis=1).sum())

    assert spread(20) < spread(1)


CHANGES: dict[str, dict[str, Any]] = {
    "features": {"features": 21},
    "variance": {"variance": 0.3},
    "components": {"components": 2},
    "restarts": {"restarts": 20},
    "absolute": {"absolute": True},
    "renormalize": {"renormalize": True},
    "seed": {"seed": 1},
}


@pytest.mark.parametrize(
    "name", [field.name for field in dataclasses.fields(SelectionConfig) if field.name != "method"]
)
def test_every_field_changes_the_selection(name: str) -> None:
    assert name in CHANGES, f"{name} is a new field: say in CHANGES how it changes the selection"
    x = descriptors(40, 300)
    before, after = (
        fit_selection([x], SelectionConfig(**{"features": 20, "restarts": 1, **fields}))
        for fields in ({}, CHANGES[name])
    )
    assert (
        before.apply(x).shape != after.apply(x).shape or (before.apply(x) != after.apply(x)).any()
    )


# Application


def test_apply_is_column_indexing() -> None:
    x = descriptors(6, 40)
    selection = Selection(np.array([3, 4, 17, 39]))
    np.testing.assert_array_equal(selection.apply(x), x[:, [3, 4, 17, 39]])
    np.testing.assert_array_equal(selection.apply(x[2]), x[2, [3, 4, 17, 39]])
    for values in (x, x[0], x.astype(np.float16), x.astype(np.float64)):
        assert selection.apply(values).dtype == np.float32
        assert selection.apply(values).flags.c_contiguous
    assert selection.apply(np.empty((0, 40), np.float32)).shape == (0, 4)


def test_apply_works_on_a_copy(tmp_path: Path) -> None:
    x = descriptors(6, 5)
    before = x.copy()
    everything = Selection(np.arange(5), renormalize=True)
    everything.apply(3 * x)[:] = 0
    everything.apply(x)[:] = 0
    np.testing.assert_array_equal(x, before)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(everything.apply(mapped), everything.apply(x))


def test_renormalized_descriptors_have_unit_length_or_are_zero() -> None:
    x = descriptors(6, 40)
    x[3, :20] = 0
    columns = np.arange(20)
    plain, unit = Selection(columns).apply(x), Selection(columns, renormalize=True).apply(x)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 1, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(unit * np.linalg.norm(plain, axis=1, keepdims=True), plain)
    np.testing.assert_allclose(Selection(columns, renormalize=True).apply(x[0]), unit[0])
    assert not np.allclose(np.linalg.norm(plain, axis=1)[:3], 1)


# From run to run

FIT = """
import hashlib, os, sys
import numpy as np
from resight.config import SelectionConfig
from resight.reductions.pfa import fit_selection

x = np.load(sys.argv[1])
indices = fit_selection([x], SelectionConfig(features=int(sys.argv[2]))).indices
print(hashlib.sha256(indices.tobytes()).hexdigest())
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0)
"""


def fit_in_a_process(path: Path, features: int, **threads: int) -> tuple[str, int]:
    """Hash of the indices, and the threads that the process has in the end (0: unknown)."""
    environment = os.environ | {name: str(number) for name, number in threads.items()}
    done = subprocess.run(
        [sys.executable, "-c", FIT, path, str(features)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    digest, count = done.stdout.split()
    return digest, int(count)


@pytest.mark.slow
def test_indices_do_not_depend_on_the_run_or_the_number_of_threads(tmp_path: Path) -> None:
    # Rows by the hundred, for k-means shares its work out in parts of 256.
    x = descriptors(60, 1200)
    np.save(tmp_path / "x.npy", x)
    here = np.array(fit(x, features=96))
    digest, _ = fit_in_a_process(
        tmp_path / "x.npy", 96, OMP_NUM_THREADS=2, OPENBLAS_NUM_THREADS=2, MKL_NUM_THREADS=2
    )
    other, threads = fit_in_a_process(
        tmp_path / "x.npy", 96, OMP_NUM_THREADS=4, OPENBLAS_NUM_THREADS=1, MKL_NUM_THREADS=1
    )
    assert digest == other == hashlib.sha256(here.tobytes()).hexdigest()
    assert threads in (0, 1), "the fit starts none"


def test_many_images_give_the_same_indices_for_any_number_of_threads() -> None:
    x = descriptors(900, 300)
    with threadpool_limits(1):
        single_threaded = fit(x, features=60)
    with threadpool_limits(2):
        assert fit(x, features=60) == single_threaded
    assert fit(x, features=60) == single_threaded
