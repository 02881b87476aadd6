"""Fisher vectors against the gradient of the likelihood, cases counted by hand, and properties."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from resight.descriptors.aggregation.fisher import MIN_PER_GAUSSIAN, fisher_vector, fit_gaussians
from resight.errors import FitError
from samples import root_sift_like


def mixture(gaussians: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Return a random mixture."""
    random = np.random.default_rng(seed)
    weights = random.uniform(0.5, 1.5, gaussians)
    return {
        "weights": (weights / weights.sum()).astype(np.float32),
        "means": random.normal(0, 0.3, (gaussians, size)).astype(np.float32),
        "variances": random.uniform(0.02, 0.2, (gaussians, size)).astype(np.float32),
    }


def gradient(descriptors: np.ndarray, gaussians: dict[str, np.ndarray], power: float) -> np.ndarray:
    """Compute the gradient of the mean log likelihood by automatic differentiation.

    Scaled by the square root of the Fisher information's diagonal approximation (Perronnin et al.
    2010, section 3.1): sigma / sqrt(w) for a mean, sigma / sqrt(2 w) for a standard deviation.
    """
    x = torch.tensor(descriptors, dtype=torch.float64)
    weights, means, variances = (
        torch.tensor(gaussians[name], dtype=torch.float64)
        for name in ("weights", "means", "variances")
    )
    means.requires_grad_()
    deviations = variances.sqrt().detach().requires_grad_()
    logs = torch.distributions.Normal(means, deviations).log_prob(x[:, None]).sum(dim=2)
    torch.logsumexp(weights.log() + logs, dim=1).mean().backward()
    assert means.grad is not None
    assert deviations.grad is not None
    scale = deviations.detach() / weights.sqrt()[:, None]
    vector = torch.cat(
        [(means.grad * scale).ravel(), (deviations.grad * scale / math.sqrt(2)).ravel()]
    )
    vector = vector.sign() * vector.abs() ** power
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize(("count", "gaussians", "size"), [(1, 1, 3), (7, 2, 5), (90, 6, 16)])
def test_is_the_gradient_of_the_likelihood(
    count: int, gaussians: int, size: int, power: float
) -> None:
    descriptors, fitted = root_sift_like(count, 0, size), mixture(gaussians, size, 1)
    vector = fisher_vector(descriptors, fitted, power)
    assert vector.shape == (2 * gaussians * size,)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, gradient(descriptors, fitted, power), atol=1e-5)


def test_by_hand() -> None:
    # One Gaussian of mean 1 and standard deviation 2: u = (x - 1) / 2 is 1 and 0.
    fitted = {"weights": [1.0], "means": [[1.0]], "variances": [[4.0]]}
    gaussians = {name: np.array(values, np.float32) for name, values in fitted.items()}
    vector = fisher_vector(np.array([[3.0], [1.0]], np.float32), gaussians, power=1.0)
    by_mean, by_deviation = (1 + 0) / 2, ((1 - 1) + (0 - 1)) / 2 / math.sqrt(2)
    length = math.hypot(by_mean, by_deviation)
    np.testing.assert_allclose(vector, [by_mean / length, by_deviation / length], atol=1e-6)


def test_no_descriptor_gives_zeros() -> None:
    vector = fisher_vector(np.zeros((0, 4), np.float32), mixture(3, 4, 0))
    np.testing.assert_array_equal(vector, np.zeros(24, np.float32))


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 60),
    gaussians=st.integers(1, 6),
    power=st.floats(0.3, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_order_and_repetition_do_not_matter(
    count: int, gaussians: int, power: float, seed: int
) -> None:
    descriptors, fitted = root_sift_like(count, seed, 8), mixture(gaussians, 8, seed)
    vector = fisher_vector(descriptors, fitted, power)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_allclose(fisher_vector(descriptors[order], fitted, power), vector, atol=1e-5)
    thrice = np.repeat(descriptors, 3, axis=0)
    np.testing.assert_allclose(fisher_vector(thrice, fitted, power), vector, atol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_descriptor_far_from_every_gaussian_is_finite() -> None:
    vector = fisher_vector(np.full((1, 4), 1e4, np.float32), mixture(3, 4, 0))
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_the_mixture_recovers_well_separated_clusters() -> None:
    random = np.random.default_rng(0)
    centers, deviations = np.eye(3, 4), np.array([0.02, 0.04, 0.08])
    which = np.repeat([0, 1, 2], [100, 200, 300])
    rows = centers[which] + random.normal(size=(600, 4)) * deviations[which, None]
    fitted = fit_gaussians(rows[random.permutation(600)].astype(np.float32), 3, seed=0)
    order = np.argsort(fitted["weights"])
    np.testing.assert_allclose(fitted["weights"][order], [1 / 6, 1 / 3, 1 / 2], atol=1e-3)
    np.testing.assert_allclose(fitted["means"][order], centers, atol=0.02)
    np.testing.assert_allclose(
        np.sqrt(fitted["variances"][order]), np.repeat(deviations[:, None], 4, axis=1), rtol=0.2
    )


def test_the_fit_is_deterministic_for_any_number_of_threads() -> None:
    rows = root_sift_like(1500, 2, 16)
    expected = fit_gaussians(rows, 8, seed=1)
    for threads in (1, 4):
        with threadpool_limits(threads):
            fitted = fit_gaussians(rows, 8, seed=1)
        for name, values in expected.items():
            np.testing.assert_array_equal(fitted[name], values)
            assert values.dtype == np.float32


def test_the_gradient_vanishes_on_the_descriptors_of_the_fit() -> None:
    # At the maximum of the likelihood its gradient is zero: far below that of a single photo.
    rows = root_sift_like(4000, 3, 8)
    fitted = fit_gaussians(rows, 4, seed=0)
    whole = _before_unit_length(rows, fitted)
    assert _before_unit_length(rows[:50], fitted) > 20 * whole


def _before_unit_length(rows: np.ndarray, fitted: dict[str, np.ndarray]) -> float:
    x = torch.tensor(rows, dtype=torch.float64)
    weights, means, variances = (
        torch.tensor(fitted[n], dtype=torch.float64) for n in ("weights", "means", "variances")
    )
    logs = torch.distributions.Normal(means, variances.sqrt()).log_prob(x[:, None]).sum(dim=2)
    shares = torch.softmax(weights.log() + logs, dim=1)
    offsets = (x[:, None] - means) / variances.sqrt()
    return float(((shares[..., None] * offsets).mean(dim=0) / weights.sqrt()[:, None]).norm())


def test_too_few_descriptors() -> None:
    rows = root_sift_like(8 * MIN_PER_GAUSSIAN - 1, 4, 4)
    with pytest.raises(FitError, match=r"^79 local descriptors are too few for 8 Gaussians"):
        fit_gaussians(rows, 8, seed=0)
