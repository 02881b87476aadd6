"""Bags of visual words against slow loops, cases counted by hand, and properties."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import LocalConfig
from resight.descriptors.aggregation.bag_of_words import (
    bag_of_words,
    fit,
    inverse_document_frequency,
)
from samples import root_sift_like


def slow_bag(
    descriptors: np.ndarray, words: np.ndarray, idf: np.ndarray, assigned: int, sigma2: float
) -> list[float]:
    """Compute the definition, one descriptor at a time."""
    counts = [0.0] * len(words)
    for descriptor in descriptors:
        by_distance = sorted((math.dist(descriptor, word), k) for k, word in enumerate(words))
        nearest = by_distance[:assigned]
        shares = [math.exp(-(distance**2) / (2 * sigma2)) for distance, _ in nearest]
        for share, (_, k) in zip(shares, nearest, strict=True):
            counts[k] += share / math.fsum(shares)
    vector = [count * float(weight) for count, weight in zip(counts, idf, strict=True)]
    length = math.hypot(*vector)
    return [v / length if length else 0.0 for v in vector]


@pytest.mark.parametrize("assigned", [1, 3, 9])
@pytest.mark.parametrize(("count", "words"), [(1, 9), (40, 12), (200, 30)])
def test_equals_the_slow_loop(count: int, words: int, assigned: int) -> None:
    descriptors, vocabulary = root_sift_like(count, 0), root_sift_like(words, 1)
    idf = np.random.default_rng(2).uniform(0, 3, words).astype(np.float32)
    vector = bag_of_words(descriptors, vocabulary, idf, assigned=assigned, sigma2=0.1)
    assert vector.shape == (words,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(
        vector, slow_bag(descriptors, vocabulary, idf, assigned, 0.1), atol=1e-6
    )


def test_by_hand() -> None:
    vocabulary = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    descriptors = np.array([[1, 0], [2, 0], [0, -1], [9, 0]], np.float32)  # 3, 1 and 0 of the words
    idf = np.array([1, 4, 2], np.float32)
    np.testing.assert_allclose(bag_of_words(descriptors, vocabulary, idf), [0.6, 0.8, 0], atol=1e-7)


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

    vector = bag(descriptors)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(bag(descriptors[order]), vector, atol=1e-6)
    np.testing.assert_allclose(bag(np.repeat(descriptors, 3, axis=0)), vector, atol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_inverse_document_frequency() -> None:
    random = np.random.default_rng(0)
    photos = [random.integers(0, 9, random.integers(0, 20)) for _ in range(15)]
    with_word = Counter(word for photo in photos for word in set(photo.tolist()))
    vector = inverse_document_frequency(photos, 10)
    expected = [math.log(15 / max(1, with_word[word])) for word in range(10)]
    np.testing.assert_allclose(vector, expected, rtol=1e-6)
    assert vector.dtype == np.float32


@pytest.mark.parametrize("assigned", [1, 3])
def test_a_word_occurs_if_any_feature_is_assigned_to_it(assigned: int) -> None:
    photos = [root_sift_like(count, seed, 16) for seed, count in enumerate((1, 2, 5, 9, 1, 3))]
    config = LocalConfig(aggregation="words", centers=8, assigned=assigned)
    params = fit(photos, config)
    occurs = [0] * 8
    for photo in photos:
        words = set()
        for descriptor in photo:
            distances = [math.dist(descriptor, word) for word in params["words"]]
            words |= set(np.argsort(distances)[:assigned].tolist())
        occurs = [count + (k in words) for k, count in enumerate(occurs)]
    expected = [math.log(6 / max(1, count)) for count in occurs]
    np.testing.assert_allclose(params["idf"], expected, rtol=1e-6)


def test_a_word_of_every_photo_has_no_weight() -> None:
    assert inverse_document_frequency([np.array([0, 1]), np.array([0])], 2)[0] == 0
