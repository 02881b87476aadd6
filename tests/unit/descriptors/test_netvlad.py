"""The NetVLAD layer against a slow loop, its beginning, and properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.descriptors.aggregation.netvlad import initial_layer, netvlad
from resight.descriptors.aggregation.vlad import vlad
from samples import root_sift_like

SIZE = 12


def layer(words: int, seed: int, sharp: float = 5.0) -> dict[str, np.ndarray]:
    """Any words, weights and biases."""
    random = np.random.default_rng(seed)
    return {
        "words": random.normal(0, 0.3, (words, SIZE)).astype(np.float32),
        "weights": random.normal(0, sharp, (words, SIZE)).astype(np.float32),
        "biases": random.normal(0, 1, words).astype(np.float32),
    }


def slow_netvlad(descriptors: np.ndarray, learned: dict[str, np.ndarray]) -> list[float]:
    """Equation 4 and the two normalizations, one value at a time."""
    words, weights, biases = (learned[name].tolist() for name in ("words", "weights", "biases"))
    blocks = [[0.0] * SIZE for _ in words]
    for descriptor in descriptors.tolist():
        logs = [
            math.fsum(w * x for w, x in zip(row, descriptor, strict=True)) + bias
            for row, bias in zip(weights, biases, strict=True)
        ]
        shares = [math.exp(log - max(logs)) for log in logs]
        for k, share in enumerate(shares):
            for d in range(SIZE):
                blocks[k][d] += share / math.fsum(shares) * (descriptor[d] - words[k][d])
    vector = [v / math.hypot(*block) for block in blocks for v in block]
    return [v / math.hypot(*vector) for v in vector]


@pytest.mark.parametrize(("count", "words"), [(1, 2), (30, 5), (100, 16)])
def test_equals_the_slow_loop(count: int, words: int) -> None:
    descriptors, learned = root_sift_like(count, 0, SIZE), layer(words, 1)
    found = netvlad(descriptors, learned)
    assert found.shape == (words * SIZE,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_netvlad(descriptors, learned), atol=1e-5)


def test_no_descriptor_gives_zeros() -> None:
    found = netvlad(np.zeros((0, SIZE), np.float32), layer(3, 0))
    np.testing.assert_array_equal(found, np.zeros(3 * SIZE, np.float32))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 50), words=st.integers(2, 8), seed=st.integers(0, 2**31))
def test_order_and_repetition_do_not_matter(count: int, words: int, seed: int) -> None:
    descriptors, learned = root_sift_like(count, seed, SIZE), layer(words, seed)
    found = netvlad(descriptors, learned)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(netvlad(descriptors[order], learned), found, atol=1e-5)
    thrice = np.repeat(descriptors, 3, axis=0)
    np.testing.assert_allclose(netvlad(thrice, learned), found, atol=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)


def test_a_very_sharp_layer_is_vlad() -> None:
    # Alpha to infinity: the nearest word has all of a descriptor (section 3.1).
    descriptors, words = root_sift_like(80, 2, SIZE), root_sift_like(5, 3, SIZE)
    middles, alpha = words.astype(np.float64), 1e6
    learned = {
        "words": words,
        "weights": 2 * alpha * middles,
        "biases": -alpha * (middles**2).sum(axis=1),
    }
    np.testing.assert_allclose(
        netvlad(descriptors, learned), vlad(descriptors, words, power=1.0), atol=1e-5
    )


def test_at_the_beginning_the_largest_share_is_a_hundred_times_the_second() -> None:
    descriptors, words = root_sift_like(500, 4, SIZE), root_sift_like(6, 5, SIZE)
    learned = initial_layer(descriptors, words)
    assert {name: values.dtype for name, values in learned.items()} == dict.fromkeys(
        ("words", "weights", "biases"), np.dtype(np.float32)
    )
    logs = np.sort(descriptors @ learned["weights"].T + learned["biases"], axis=1)
    assert np.exp((logs[:, -1] - logs[:, -2]).mean()) == pytest.approx(100, rel=1e-3)


def test_at_the_beginning_shares_fall_with_the_distance() -> None:
    descriptors, words = root_sift_like(50, 6, SIZE), root_sift_like(6, 7, SIZE)
    learned = initial_layer(descriptors, words)
    logs = descriptors @ learned["weights"].T + learned["biases"]
    apart = ((descriptors[:, None] - words) ** 2).sum(axis=2)
    np.testing.assert_array_equal(np.argsort(-logs, axis=1), np.argsort(apart, axis=1))
    # log share + alpha d^2 is the same for all words: softmax(-alpha d^2).
    alpha = float((learned["weights"] / (2 * words)).mean())
    np.testing.assert_allclose(np.ptp(logs + alpha * apart, axis=1), 0, atol=1e-3 * alpha)


def test_words_that_are_all_alike() -> None:
    words = np.repeat(root_sift_like(1, 8, SIZE), 3, axis=0)
    learned = initial_layer(root_sift_like(20, 9, SIZE), words)
    assert all(np.isfinite(values).all() for values in learned.values())
