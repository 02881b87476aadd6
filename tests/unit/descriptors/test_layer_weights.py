"""Layer weights: the hedge algorithm, and its fit on photos without labels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.descriptors.layer_weights import agreement, fit_layer_weights, hedge


def slow_weights(regrets: list[float]) -> list[float]:
    """Compute NormalHedge as in the paper, with c by bisection."""
    positive = [max(r, 0.0) for r in regrets]
    if not any(positive):
        return [1 / len(positive)] * len(positive)
    low, high = max(positive) ** 2 / 1000, max(positive) ** 2
    for _ in range(200):
        c = math.sqrt(low * high)
        mean = sum(math.exp(r * r / (2 * c)) for r in positive) / len(positive)
        low, high = (c, high) if mean > math.e else (low, c)
    weights = [r / high * math.exp(r * r / (2 * high)) for r in positive]
    return [weight / sum(weights) for weight in weights]


@given(experts=st.integers(1, 6), rounds=st.integers(0, 12), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_hedging_equals_the_slow_reading(experts: int, rounds: int, seed: int) -> None:
    gains = np.random.default_rng(seed).random((rounds, experts))
    weights = hedge(gains)
    regrets, expected = [0.0] * experts, [[1 / experts] * experts]
    for gain in gains.tolist():
        mean = sum(w * g for w, g in zip(expected[-1], gain, strict=True))
        regrets = [r + g - mean for r, g in zip(regrets, gain, strict=True)]
        expected.append(slow_weights(regrets))
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_the_best_expert_gets_all_the_weight() -> None:
    weights = hedge(np.tile([0.2, 0.9, 0.5], (200, 1)))
    np.testing.assert_allclose(weights[0], 1 / 3)
    assert weights[-1, 1] > 0.999


def test_agreement_by_hand() -> None:
    # By both layers together 0 and 1 are each other's nearest; 2's is 1, but not the other way.
    angles = np.radians([[0, 10, 50], [0, 40, 20]])
    layers = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in angles]
    np.testing.assert_allclose(agreement(layers), [[1, 1 / 2], [1, 1 / 2]])


def test_without_neighbors_all_weights_are_equal() -> None:
    layers = [np.ones((1, 3), np.float32)] * 2
    np.testing.assert_allclose(fit_layer_weights(layers), [1 / 2, 1 / 2])


def test_the_informative_layer_gets_most_weight() -> None:
    generator = np.random.default_rng(0)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    objects = np.repeat(generator.normal(size=(20, 30)), 2, axis=0)
    informative = unit(objects + 0.3 * generator.normal(size=objects.shape))
    noise = unit(5 + generator.normal(size=(40, 10)))
    weights = fit_layer_weights([noise, informative])
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 0.8
    np.testing.assert_array_equal(weights, fit_layer_weights([noise, informative]))
