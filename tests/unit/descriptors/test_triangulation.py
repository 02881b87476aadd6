"""Triangulation embedding and democratic weights against slow loops, and their properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.descriptors.aggregation.triangulation import (
    democratic_weights,
    directions,
    embed,
    fit_embedding,
    triangulation,
)
from resight.errors import FitError
from samples import root_sift_like

SIZE, ANCHORS = 6, 5


@pytest.fixture(scope="module")
def embedding() -> dict[str, np.ndarray]:
    return fit_embedding(root_sift_like(3000, 0, SIZE), root_sift_like(ANCHORS, 1, SIZE))


def slow_directions(descriptor: np.ndarray, anchors: np.ndarray) -> list[float]:
    """Compute the definition, one anchor at a time (section 3.1)."""
    vector: list[float] = []
    for anchor in anchors:
        offset = [float(x) - float(c) for x, c in zip(descriptor, anchor, strict=True)]
        length = math.hypot(*offset)
        vector += [v / length if length else 0.0 for v in offset]
    return vector


def slow_weights(embedded: np.ndarray) -> list[float]:
    """Run ten iterations of the modified Sinkhorn algorithm (section 4), one weight at a time."""
    count = len(embedded)
    kernel = [[max(0.0, float(a @ b)) for b in embedded] for a in embedded]
    weights = [1.0] * count
    for _ in range(10):
        shares = [
            weights[i] * math.fsum(kernel[i][j] * weights[j] for j in range(count))
            for i in range(count)
        ]
        weights = [w / math.sqrt(share) for w, share in zip(weights, shares, strict=True)]
    return weights


def test_directions_equal_the_slow_loop() -> None:
    descriptors, anchors = root_sift_like(20, 2), root_sift_like(7, 3)
    result = directions(descriptors, anchors)
    assert result.shape == (20, 7 * 128)
    np.testing.assert_allclose(
        result, [slow_directions(d, anchors) for d in descriptors], atol=1e-9
    )
    lengths = np.linalg.norm(result.reshape(20, 7, 128), axis=2)
    np.testing.assert_allclose(lengths, 1, atol=1e-9)


def test_directions_by_hand() -> None:
    anchors = np.array([[0, 0], [3, 0]], np.float32)
    np.testing.assert_allclose(
        directions(np.array([[3, 4], [0, 0]], np.float32), anchors),
        [[0.6, 0.8, 0, 1], [0, 0, -1, 0]],  # the second lies on the first anchor
    )


def test_embedded_descriptors_are_whitened(embedding: dict[str, np.ndarray]) -> None:
    # On the descriptors of the fit: zero mean, identity covariance, D components left out.
    rows = root_sift_like(3000, 0, SIZE)
    whole = (directions(rows, embedding["anchors"]) - embedding["mean"]) @ embedding["projection"]
    assert whole.shape == (3000, ANCHORS * SIZE - SIZE)
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(whole.T, bias=True), np.eye(whole.shape[1]), atol=1e-2)


def test_the_largest_components_are_left_out(embedding: dict[str, np.ndarray]) -> None:
    seen = directions(root_sift_like(3000, 0, SIZE), embedding["anchors"])
    expected = np.linalg.eigvalsh(np.cov(seen.T, bias=True))[::-1][SIZE:]
    lengths = np.linalg.norm(embedding["projection"], axis=0)  # one over the standard deviation
    np.testing.assert_allclose(lengths**-2, expected, rtol=1e-2)


def test_embedded_descriptors_have_unit_length(embedding: dict[str, np.ndarray]) -> None:
    result = embed(root_sift_like(50, 4, SIZE), embedding)
    assert result.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 30])
def test_weights_equal_the_slow_loop(count: int, embedding: dict[str, np.ndarray]) -> None:
    embedded = embed(root_sift_like(count, 5, SIZE), embedding)
    result = democratic_weights(embedded)
    np.testing.assert_allclose(result, slow_weights(embedded.astype(np.float64)), rtol=1e-4)


def test_weights_equalize_the_descriptors(embedding: dict[str, np.ndarray]) -> None:
    # Sixty equal descriptors and four others: in a plain sum the sixty would dominate.
    burst = np.repeat(root_sift_like(1, 6, SIZE), 60, axis=0)
    embedded = embed(np.concatenate([burst, root_sift_like(4, 7, SIZE)]), embedding)
    kernel = np.maximum(embedded @ embedded.T, 0)
    weights = democratic_weights(embedded)
    shares = weights * (kernel @ weights)
    assert shares.max() / shares.min() < 1.1
    assert kernel.sum(axis=1).max() / kernel.sum(axis=1).min() > 10


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_equals_the_slow_sum(power: float, embedding: dict[str, np.ndarray]) -> None:
    descriptors = root_sift_like(25, 8, SIZE)
    embedded = embed(descriptors, embedding).astype(np.float64)
    total = np.zeros(embedded.shape[1])
    for weight, row in zip(slow_weights(embedded), embedded, strict=True):
        total += weight * row
    powered = np.array([math.copysign(abs(v) ** power, v) for v in total])
    result = triangulation(descriptors, embedding, power)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, powered / math.hypot(*powered), atol=1e-4)


def test_no_descriptor_gives_zeros(embedding: dict[str, np.ndarray]) -> None:
    result = triangulation(np.zeros((0, SIZE), np.float32), embedding)
    np.testing.assert_array_equal(result, np.zeros(ANCHORS * SIZE - SIZE, np.float32))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_order_and_repetition_do_not_matter(
    count: int, seed: int, embedding: dict[str, np.ndarray]
) -> None:
    descriptors = root_sift_like(count, seed, SIZE)
    result = triangulation(descriptors, embedding, 1.0)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(triangulation(descriptors[order], embedding, 1.0), result, atol=1e-4)
    thrice = np.repeat(descriptors, 3, axis=0)
    np.testing.assert_allclose(triangulation(thrice, embedding, 1.0), result, atol=1e-4)
    assert np.linalg.norm(result) == pytest.approx(1, abs=1e-6)


def test_the_fit_is_deterministic(embedding: dict[str, np.ndarray]) -> None:
    again = fit_embedding(root_sift_like(3000, 0, SIZE), root_sift_like(ANCHORS, 1, SIZE))
    for name, values in embedding.items():
        np.testing.assert_array_equal(again[name], values)
        assert values.dtype == np.float32


def test_too_few_directions() -> None:
    rows = root_sift_like(3, 9, SIZE)  # three points vary in two directions
    with pytest.raises(FitError, match=r"^the local descriptors vary in 2 directions"):
        fit_embedding(rows, root_sift_like(ANCHORS, 1, SIZE))
