"""VLAD against a slow loop, cases counted by hand, and properties."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import resight.descriptors.aggregation.vlad
from resight.descriptors.aggregation.vlad import vlad
from samples import root_sift_like


def slow_vlad(descriptors: np.ndarray, vocabulary: np.ndarray, power: float) -> list[float]:
    """Compute the definition, one value at a time."""
    words = [[float(v) for v in word] for word in vocabulary]
    sums = [[0.0] * len(words[0]) for _ in words]
    for descriptor in descriptors:
        x = [float(v) for v in descriptor]
        distances = [math.dist(x, word) for word in words]
        nearest = distances.index(min(distances))
        for d in range(len(x)):
            sums[nearest][d] += x[d] - words[nearest][d]
    vector: list[float] = []
    for block in sums:
        powered = [math.copysign(abs(v) ** power, v) for v in block]
        length = math.hypot(*powered)
        vector += [v / length if length else 0.0 for v in powered]
    length = math.hypot(*vector)
    return [v / length if length else 0.0 for v in vector]


@pytest.mark.parametrize("power", [1.0, 0.5, 0.2])
@pytest.mark.parametrize(("count", "words"), [(1, 1), (3, 8), (60, 5), (200, 16)])
def test_equals_the_slow_loop(count: int, words: int, power: float) -> None:
    descriptors, vocabulary = root_sift_like(count, 0), root_sift_like(words, 1)
    vector = vlad(descriptors, vocabulary, power)
    assert vector.shape == (words * 128,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, slow_vlad(descriptors, vocabulary, power), atol=1e-6)


@pytest.mark.parametrize("assigned", [1, 2, 5])
def test_soft_assignment_equals_the_slow_loop(assigned: int) -> None:
    """Gong et al. [9]: shares exp(-d^2 / (2 s^2)), s^2 the mean squared distance to the nearest."""
    descriptors, words = root_sift_like(40, 0), root_sift_like(8, 1)
    squares = [[math.dist(x, word) ** 2 for word in words] for x in descriptors]
    variance = sum(map(min, squares)) / len(squares)
    sums = np.zeros(words.shape)
    for x, row in zip(descriptors, squares, strict=True):
        near = sorted(range(len(words)), key=row.__getitem__)[:assigned]
        weights = [math.exp(-row[k] / (2 * variance)) for k in near]
        for k, weight in zip(near, weights, strict=True):
            sums[k] += weight / sum(weights) * (x.astype(float) - words[k])
    blocks = np.sign(sums) * np.sqrt(np.abs(sums))
    lengths = np.linalg.norm(blocks, axis=1, keepdims=True)
    blocks = np.divide(blocks, lengths, out=np.zeros_like(blocks), where=lengths > 0).ravel()
    vector = vlad(descriptors, words, 0.5, assigned=assigned)
    np.testing.assert_allclose(vector, blocks / np.linalg.norm(blocks), atol=1e-6)


def test_by_hand() -> None:
    vocabulary = np.array([[0, 0], [10, 0], [0, 90]], np.float32)
    descriptors = np.array([[1, 4], [2, 0], [10, -2]], np.float32)  # sums (3, 4), (0, -2), none
    half = math.sqrt(0.5)
    np.testing.assert_allclose(
        vlad(descriptors, vocabulary, 1.0), np.array([0.6, 0.8, 0, -1, 0, 0]) * half, atol=1e-7
    )
    np.testing.assert_allclose(
        vlad(descriptors, vocabulary, 0.5),
        np.array([math.sqrt(3 / 7), math.sqrt(4 / 7), 0, -1, 0, 0]) * half,
        atol=1e-7,
    )


def test_the_first_of_equally_near_words_wins() -> None:
    vocabulary = np.array([[-1, 0], [1, 0]], np.float32)
    vector = vlad(np.array([[0, 0]], np.float32), vocabulary, 1.0)
    np.testing.assert_array_equal(vector, np.array([1, 0, 0, 0], np.float32))


def test_no_descriptor_gives_zeros() -> None:
    vector = vlad(np.zeros((0, 128), np.float32), root_sift_like(4, 0), 0.5)
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, np.zeros(512, np.float32))


def test_rounding_does_not_become_a_direction() -> None:
    word = root_sift_like(1, 0)
    np.testing.assert_array_equal(vlad(np.repeat(word, 9, axis=0), word, 0.5), np.zeros(128))
    # The mean of descriptors, rounded to float32: their residuals cancel but for that rounding.
    descriptors = root_sift_like(4, 1)
    mean = descriptors.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
    np.testing.assert_array_equal(vlad(descriptors, mean, 0.5), np.zeros(128))


def test_every_occurring_word_has_the_same_norm() -> None:
    # 1, 10 and 100 descriptors near three words: a burst weighs no more than a single one.
    vocabulary = np.eye(4, 128, dtype=np.float32)
    rng = np.random.default_rng(0)
    repeated = np.repeat(vocabulary[:3], (1, 10, 100), axis=0)
    descriptors = repeated + rng.normal(0, 0.01, (111, 128)).astype(np.float32)
    lengths = np.linalg.norm(vlad(descriptors, vocabulary, 0.5).reshape(4, 128), axis=1)
    np.testing.assert_allclose(lengths, [3**-0.5] * 3 + [0], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 80),
    words=st.integers(1, 12),
    power=st.floats(0.3, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_order_and_repetition_do_not_matter(
    count: int, words: int, power: float, seed: int
) -> None:
    descriptors, vocabulary = root_sift_like(count, seed), root_sift_like(words, seed + 1)
    vector = vlad(descriptors, vocabulary, power)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(vlad(descriptors[order], vocabulary, power), vector, atol=1e-6)
    thrice = np.repeat(descriptors, 3, axis=0)
    np.testing.assert_allclose(vlad(thrice, vocabulary, power), vector, atol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1 if count else 0, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(words=st.integers(2, 10), seed=st.integers(0, 2**32 - 1))
def test_blocks_have_the_order_of_the_words(words: int, seed: int) -> None:
    descriptors, vocabulary = root_sift_like(50, seed), root_sift_like(words, seed + 1)
    order = np.random.default_rng(seed).permutation(words)
    np.testing.assert_allclose(
        vlad(descriptors, vocabulary[order], 0.5).reshape(words, 128),
        vlad(descriptors, vocabulary, 0.5).reshape(words, 128)[order],
        atol=1e-6,
    )


@pytest.mark.parametrize("values", [1, 30, 700])
def test_chunks_do_not_change_the_result(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors, vocabulary = root_sift_like(100, 2), root_sift_like(10, 3)
    expected = vlad(descriptors, vocabulary, 0.5)
    monkeypatch.setattr(resight.descriptors.aggregation.vlad, "CHUNK_VALUES", values)
    np.testing.assert_allclose(vlad(descriptors, vocabulary, 0.5), expected, atol=1e-7)


def test_vlad_is_equal_for_any_number_of_threads() -> None:
    descriptors, vocabulary = root_sift_like(3000, 4), root_sift_like(64, 5)
    with threadpool_limits(1):
        expected = vlad(descriptors, vocabulary, 0.5)
    for threads in (2, 4):
        with threadpool_limits(threads):
            np.testing.assert_allclose(vlad(descriptors, vocabulary, 0.5), expected, atol=1e-6)


def test_import_stays_light() -> None:
    heavy = "{'sklearn', 'torch', 'cv2'}"
    code = (
        f"import sys, resight.descriptors.aggregation; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
