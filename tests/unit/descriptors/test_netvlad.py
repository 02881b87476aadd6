"""The NetVLAD layer against a slow loop, its initialization, and properties."""

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
    """Return random words, weights and biases."""
    random = np.random.default_rng(seed)
    return {
        "words": random.normal(0, 0.3, (words, SIZE)).astype(np.float32),
        "weights": random.normal(0, sharp, (words, SIZE)).astype(np.float32),
        "biases": random.normal(0, 1, words).astype(np.float32),
    }


def slow_netvlad(descriptors: np.ndarray, params: dict[str, np.ndarray]) -> list[float]:
    """Compute equation 4 and the two normalizations, one value at a time."""
    words, weights, biases = (params[name].tolist() for name in ("words", "weights", "biases"))
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
    descriptors, params = root_sift_like(count, 0, SIZE), layer(words, 1)
    vector = netvlad(descriptors, params)
    assert vector.shape == (words * SIZE,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, slow_netvlad(descriptors, params), atol=1e-5)


def test_no_descriptor_gives_zeros() -> None:
    vector = netvlad(np.zeros((0, SIZE), np.float32), layer(3, 0))
    np.testing.assert_array_equal(vector, np.zeros(3 * SIZE, np.float32))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 50), words=st.integers(2, 8), seed=st.integers(0, 2**31))
def test_order_and_repetition_do_not_matter(count: int, words: int, seed: int) -> None:
    descriptors, params = root_sift_like(count, seed, SIZE), layer(words, seed)
    vector = netvlad(descriptors, params)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(netvlad(descriptors[order], params), vector, atol=1e-5)
    thrice = np.repeat(descriptors, 3, axis=0)
    np.testing.assert_allclose(netvlad(thrice, params), vector, atol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_very_sharp_layer_is_vlad() -> None:
    # For large alpha the assignment is hard (section 3.1).
    descriptors, words = root_sift_like(80, 2, SIZE), root_sift_like(5, 3, SIZE)
    centers, alpha = words.astype(np.float64), 1e6
    params = {
        "words": words,
        "weights": 2 * alpha * centers,
        "biases": -alpha * (centers**2).sum(axis=1),
    }
    np.testing.assert_allclose(
        netvlad(descriptors, params), vlad(descriptors, words, power=1.0), atol=1e-5
    )


def test_initially_the_largest_weight_is_a_hundred_times_the_second() -> None:
    descriptors, words = root_sift_like(500, 4, SIZE), root_sift_like(6, 5, SIZE)
    params = initial_layer(descriptors, words)
    assert {name: values.dtype for name, values in params.items()} == dict.fromkeys(
        ("words", "weights", "biases"), np.dtype(np.float32)
    )
    logs = np.sort(descriptors @ params["weights"].T + params["biases"], axis=1)
    assert np.exp((logs[:, -1] - logs[:, -2]).mean()) == pytest.approx(100, rel=1e-3)


def test_initial_weights_fall_with_the_distance() -> None:
    descriptors, words = root_sift_like(50, 6, SIZE), root_sift_like(6, 7, SIZE)
    params = initial_layer(descriptors, words)
    logs = descriptors @ params["weights"].T + params["biases"]
    squared = ((descriptors[:, None] - words) ** 2).sum(axis=2)
    np.testing.assert_array_equal(np.argsort(-logs, axis=1), np.argsort(squared, axis=1))
    # log share + alpha d^2 is the same for all words: softmax(-alpha d^2).
    alpha = float((params["weights"] / (2 * words)).mean())
    np.testing.assert_allclose(np.ptp(logs + alpha * squared, axis=1), 0, atol=1e-3 * alpha)


def test_identical_words() -> None:
    words = np.repeat(root_sift_like(1, 8, SIZE), 3, axis=0)
    params = initial_layer(root_sift_like(20, 9, SIZE), words)
    assert all(np.isfinite(values).all() for values in params.values())
