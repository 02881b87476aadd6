"""Bags of visual words against slow loops, hand-counted cases and properties."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import resight.descriptors.aggregation.vocabulary
from resight.config import LocalConfig
from resight.descriptors.aggregation.bag_of_words import (
    bag_of_words,
    fit,
    inverse_document_frequency,
)
from resight.descriptors.aggregation.vocabulary import (
    fit_large_vocabulary,
    nearest_words,
    soft_weights,
)
from resight.errors import FitError
from samples import root_sift_like


def slow_bag(
    descriptors: np.ndarray, words: np.ndarray, idf: np.ndarray, assigned: int, sigma2: float
) -> list[float]:
    """The definition, one descriptor at a time."""
    counts = [0.0] * len(words)
    for descriptor in descriptors:
        apart = sorted((math.dist(descriptor, word), k) for k, word in enumerate(words))[:assigned]
        shares = [math.exp(-(distance**2) / (2 * sigma2)) for distance, _ in apart]
        for share, (_, k) in zip(shares, apart, strict=True):
            counts[k] += share / math.fsum(shares)
    vector = [count * float(weight) for count, weight in zip(counts, idf, strict=True)]
    length = math.hypot(*vector)
    return [v / length if length else 0.0 for v in vector]


@pytest.mark.parametrize("assigned", [1, 3, 9])
@pytest.mark.parametrize(("count", "words"), [(1, 9), (40, 12), (200, 30)])
def test_equals_the_slow_loop(count: int, words: int, assigned: int) -> None:
    descriptors, vocabulary = root_sift_like(count, 0), root_sift_like(words, 1)
    idf = np.random.default_rng(2).uniform(0, 3, words).astype(np.float32)
    found = bag_of_words(descriptors, vocabulary, idf, assigned=assigned, sigma2=0.1)
    assert found.shape == (words,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, slow_bag(descriptors, vocabulary, idf, assigned, 0.1), atol=1e-6
    )


def test_hand_counted() -> None:
    vocabulary = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    descriptors = np.array([[1, 0], [2, 0], [0, -1], [9, 0]], np.float32)  # 3, 1 and 0 of each
    idf = np.array([1, 4, 2], np.float32)
    np.testing.assert_allclose(bag_of_words(descriptors, vocabulary, idf), [0.6, 0.8, 0], atol=1e-7)


def test_hand_counted_soft_weights() -> None:
    # Squared distances 1 and 1 + 2 ln 3: shares 3 to 1 where sigma is 1.
    np.testing.assert_allclose(
        soft_weights(np.array([[1.0, 1 + 2 * math.log(3)]]), 1.0), [[0.75, 0.25]]
    )
    far = soft_weights(np.array([[1e6, 1e6 + 1]]), 1.0)  # each exp(-d^2) alone would be zero
    np.testing.assert_allclose(far.sum(), 1)


def test_a_photo_without_words_is_zero() -> None:
    words, idf = root_sift_like(4, 0), np.ones(4, np.float32)
    np.testing.assert_array_equal(bag_of_words(np.zeros((0, 128), np.float32), words, idf), 0)
    np.testing.assert_array_equal(bag_of_words(words[:1], words, np.zeros(4, np.float32)), 0)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60),
    words=st.integers(1, 12),
    assigned=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_order_and_repetition_do_not_matter(
    count: int, words: int, assigned: int, seed: int
) -> None:
    descriptors, vocabulary = root_sift_like(count, seed), root_sift_like(words, seed + 1)
    idf = np.full(words, 2, np.float32)

    def bag(rows: np.ndarray) -> np.ndarray:
        return bag_of_words(rows, vocabulary, idf, assigned=assigned, sigma2=0.2)

    found = bag(descriptors)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(bag(descriptors[order]), found, atol=1e-6)
    np.testing.assert_allclose(bag(np.repeat(descriptors, 3, axis=0)), found, atol=1e-6)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def test_idf_is_the_logarithm_of_how_rare_a_word_is() -> None:
    random = np.random.default_rng(0)
    photos = [random.integers(0, 9, random.integers(0, 20)) for _ in range(15)]
    with_word = Counter(word for photo in photos for word in set(photo.tolist()))
    found = inverse_document_frequency(photos, 10)
    expected = [math.log(15 / max(1, with_word[word])) for word in range(10)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("assigned", [1, 3])
def test_a_word_occurs_wherever_a_feature_counts_for_it(assigned: int) -> None:
    photos = [root_sift_like(count, seed, 16) for seed, count in enumerate((1, 2, 5, 9, 1, 3))]
    config = LocalConfig(aggregation="words", centers=8, assigned=assigned)
    learned = fit(photos, config)
    occurs = [0] * 8
    for photo in photos:
        words = set()
        for descriptor in photo:
            apart = [math.dist(descriptor, word) for word in learned["words"]]
            words |= set(np.argsort(apart)[:assigned].tolist())
        occurs = [count + (k in words) for k, count in enumerate(occurs)]
    expected = [math.log(6 / max(1, count)) for count in occurs]
    np.testing.assert_allclose(learned["idf"], expected, rtol=1e-6)


def test_a_word_of_every_photo_weighs_nothing() -> None:
    assert inverse_document_frequency([np.array([0, 1]), np.array([0])], 2)[0] == 0


@pytest.mark.parametrize("values", [1, 50, 5000])
def test_chunks_change_nothing(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors, vocabulary = root_sift_like(70, 3), root_sift_like(11, 4)
    expected = nearest_words(descriptors, vocabulary, 4)
    monkeypatch.setattr(resight.descriptors.aggregation.vocabulary, "CHUNK_VALUES", values)
    found = nearest_words(descriptors, vocabulary, 4)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-12)


def test_the_nearest_words_are_the_first_of_all() -> None:
    descriptors, vocabulary = root_sift_like(30, 5), root_sift_like(8, 6)
    words, squares = nearest_words(descriptors, vocabulary, 100)  # no more than there are
    apart = ((descriptors[:, None].astype(np.float64) - vocabulary) ** 2).sum(axis=2)
    np.testing.assert_array_equal(words, np.argsort(apart, axis=1))
    np.testing.assert_allclose(squares, np.sort(apart, axis=1), atol=1e-9)
    for count in (1, 3):
        np.testing.assert_array_equal(
            nearest_words(descriptors, vocabulary, count)[0], words[:, :count]
        )


def test_a_descriptor_between_two_words_has_the_first() -> None:
    vocabulary = np.array([[-1, 0], [1, 0]], np.float32)
    assert nearest_words(np.zeros((1, 2), np.float32), vocabulary)[0] == [[0]]


def test_words_find_the_middle_of_well_separated_groups() -> None:
    random = np.random.default_rng(0)
    middles = np.eye(6, 128, dtype=np.float32)
    rows = middles.repeat(50, axis=0) + random.normal(0, 0.01, (300, 128)).astype(np.float32)
    words = fit_large_vocabulary(rows[random.permutation(300)], 6, seed=0)
    assert words.dtype == np.float32
    np.testing.assert_allclose(words[np.argmax(words[:, :6], axis=0)], middles, atol=0.02)


def test_words_are_equal_from_run_to_run_and_for_any_number_of_threads() -> None:
    rows = root_sift_like(2000, 7, 16)
    expected = fit_large_vocabulary(rows, 40, seed=1)
    for threads in (1, 4):
        with threadpool_limits(threads):
            np.testing.assert_array_equal(fit_large_vocabulary(rows, 40, seed=1), expected)
    assert not np.array_equal(fit_large_vocabulary(rows, 40, seed=2), expected)


def test_too_few_descriptors() -> None:
    with pytest.raises(FitError, match=r"^7 local descriptors are too few for 8 visual words"):
        fit_large_vocabulary(root_sift_like(7, 8), 8, seed=0)
