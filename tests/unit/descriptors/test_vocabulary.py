"""Visual vocabularies and the assignment to words."""

import math

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import resight.descriptors.aggregation.vocabulary
from resight.descriptors.aggregation.vocabulary import (
    fit_large_vocabulary,
    fit_vocabulary,
    nearest_words,
    soft_weights,
)
from resight.errors import FitError
from samples import root_sift_like

FITS = pytest.mark.parametrize("fit", [fit_vocabulary, fit_large_vocabulary])


@FITS
def test_words_are_the_centers_of_well_separated_clusters(fit: object) -> None:
    generator = np.random.default_rng(0)
    centers = np.eye(6, 128, dtype=np.float32)
    rows = centers.repeat(50, axis=0) + generator.normal(0, 0.01, (300, 128)).astype(np.float32)
    words = fit(rows[generator.permutation(300)], 6, seed=0)  # type: ignore[operator]
    assert words.shape == (6, 128)
    assert words.dtype == np.float32
    np.testing.assert_allclose(words[np.argmax(words[:, :6], axis=0)], centers, atol=0.02)


@FITS
def test_the_fit_is_deterministic_for_any_number_of_threads(fit: object) -> None:
    rows = root_sift_like(2000, 7, 16)
    before = rows.copy()
    expected = fit(rows, 40, seed=1)  # type: ignore[operator]
    np.testing.assert_array_equal(rows, before)
    for threads in (1, 4):
        with threadpool_limits(threads):
            np.testing.assert_array_equal(fit(rows, 40, seed=1), expected)  # type: ignore[operator]
    assert not np.array_equal(fit(rows, 40, seed=2), expected)  # type: ignore[operator]


def test_as_many_words_as_descriptors() -> None:
    descriptors = root_sift_like(6, 7)
    words = fit_vocabulary(np.concatenate([descriptors, descriptors]), 6, seed=0)
    sorted_words = words[np.lexsort(words.T)]
    np.testing.assert_allclose(sorted_words, descriptors[np.lexsort(descriptors.T)], atol=1e-6)


@pytest.mark.parametrize("rows", [np.zeros((0, 128)), root_sift_like(7, 8).repeat(30, axis=0)])
def test_too_few_distinct_descriptors(rows: np.ndarray) -> None:
    distinct = len(rows) // 30
    with pytest.raises(FitError, match=f"^{distinct} different .* too few for 8 visual words"):
        fit_vocabulary(rows.astype(np.float32), 8, seed=0)


def test_too_few_descriptors_for_a_large_vocabulary() -> None:
    with pytest.raises(FitError, match=r"^7 local descriptors are too few for 8 visual words"):
        fit_large_vocabulary(root_sift_like(7, 8), 8, seed=0)


def test_minus_zero_equals_zero() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32)
    with pytest.raises(FitError, match=r"^1 different"):
        fit_vocabulary(rows, 2, seed=0)


def test_descriptors_too_much_alike() -> None:
    rows = np.array([[0.0], [1e-9], [1000.0]], np.float32)  # two are equal but for rounding
    with pytest.raises(FitError, match=r"^the local descriptors are too much alike for 3"):
        fit_vocabulary(rows, 3, seed=0)


def test_nearest_words_are_sorted_by_distance() -> None:
    descriptors, vocabulary = root_sift_like(30, 5), root_sift_like(8, 6)
    words, squared = nearest_words(descriptors, vocabulary, 100)  # at most the vocabulary
    expected = ((descriptors[:, None].astype(np.float64) - vocabulary) ** 2).sum(axis=2)
    np.testing.assert_array_equal(words, np.argsort(expected, axis=1))
    np.testing.assert_allclose(squared, np.sort(expected, axis=1), atol=1e-9)
    for count in (1, 3):
        np.testing.assert_array_equal(
            nearest_words(descriptors, vocabulary, count)[0], words[:, :count]
        )


def test_the_first_of_equally_near_words_wins() -> None:
    vocabulary = np.array([[-1, 0], [1, 0]], np.float32)
    assert nearest_words(np.zeros((1, 2), np.float32), vocabulary)[0] == [[0]]


@pytest.mark.parametrize("values", [1, 50, 5000])
def test_chunks_do_not_change_the_result(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors, vocabulary = root_sift_like(70, 3), root_sift_like(11, 4)
    expected = nearest_words(descriptors, vocabulary, 4)
    monkeypatch.setattr(resight.descriptors.aggregation.vocabulary, "CHUNK_VALUES", values)
    words, squared = nearest_words(descriptors, vocabulary, 4)
    np.testing.assert_array_equal(words, expected[0])
    np.testing.assert_allclose(squared, expected[1], atol=1e-12)


def test_soft_weights_by_hand() -> None:
    # Squared distances 1 and 1 + 2 ln 3: weights 3 to 1 for sigma 1.
    squared = np.array([[1.0, 1 + 2 * math.log(3)]])
    np.testing.assert_allclose(soft_weights(squared, 1.0), [[0.75, 0.25]])
    far = soft_weights(np.array([[1e6, 1e6 + 1]]), 1.0)  # each exp(-d^2) would underflow
    np.testing.assert_allclose(far.sum(), 1)
