"""Fisher vectors: how the local descriptors of a photo pull at a mixture of Gaussians.

Perronnin, Liu, Sanchez and Poirier, "Large-scale image retrieval with compressed Fisher vectors",
CVPR 2010, section 3 (the gradients) and section 3.2 with Perronnin, Sanchez and Mensink, "Improving
the Fisher kernel for large-scale image classification", ECCV 2010, sections 3.1 and 3.2 (power law,
unit length). Local descriptors are projected onto their principal components first, as there.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from resight.errors import FitError

MAX_ITERATIONS = 100
"""Rounds of expectation and maximization, at most."""

FEWEST_PER_GAUSSIAN = 10
"""Local descriptors for each Gaussian, at least: a variance of fewer is chance."""

LEAST_VARIANCE = 1e-6
"""Added to every variance, so that none is zero; RootSIFT has unit length."""


def fit_gaussians(descriptors: np.ndarray, gaussians: int, seed: int) -> dict[str, np.ndarray]:
    """A mixture of Gaussians with diagonal covariances, begun by k-means.

    Args:
        descriptors: float32 (M, D).
        gaussians: how many, K.
        seed: of the random numbers.

    Returns:
        float32 arrays: `weights` (K,), which sum to 1, `means` (K, D) and `variances` (K, D).

    Raises:
        FitError: too few descriptors, or they are all the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    if len(descriptors) < FEWEST_PER_GAUSSIAN * gaussians:
        raise FitError(
            f"{len(descriptors)} local descriptors are too few for {gaussians} Gaussians, which "
            f"need {FEWEST_PER_GAUSSIAN * gaussians}: index more photos with texture, or choose "
            "fewer centers"
        )
    mixture = GaussianMixture(
        gaussians,
        covariance_type="diag",
        max_iter=MAX_ITERATIONS,
        reg_covar=LEAST_VARIANCE,
        random_state=seed,
    )
    with threadpool_limits(1), warnings.catch_warnings():
        # A mixture that still moves a little is as good a vocabulary.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(np.asarray(descriptors, np.float64))
    return {
        "weights": mixture.weights_.astype(np.float32),
        "means": mixture.means_.astype(np.float32),
        "variances": mixture.covariances_.astype(np.float32),
    }


def fisher_vector(
    descriptors: np.ndarray, gaussians: Mapping[str, np.ndarray], power: float = 0.5
) -> np.ndarray:
    """The Fisher vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D).
        gaussians: what `fit_gaussians` gives.
        power: exponent of the signed power law.

    Returns:
        float32 (2 K D,): the gradients by the means, Gaussian by Gaussian, then those by the
        standard deviations; of unit length, zeros when there is no descriptor.
    """
    weights, means, variances = (
        np.asarray(gaussians[name], np.float64) for name in ("weights", "means", "variances")
    )
    if not len(descriptors):
        return np.zeros(2 * means.size, np.float32)
    x = np.asarray(descriptors, np.float64)
    shares = _posteriors(x, weights, means, variances)
    # Sums over the descriptors of gamma, gamma x and gamma x^2 hold both gradients.
    s0, s1, s2 = shares.sum(axis=0)[:, None], shares.T @ x, shares.T @ x**2
    deviations = np.sqrt(variances)
    scale = len(x) * np.sqrt(weights)[:, None]
    by_mean = (s1 - means * s0) / (deviations * scale)
    by_deviation = (s2 - 2 * means * s1 + (means**2 - variances) * s0) / (
        variances * scale * np.sqrt(2)
    )
    vector = np.concatenate([by_mean.ravel(), by_deviation.ravel()])
    vector = np.sign(vector) * np.abs(vector) ** power
    length = np.linalg.norm(vector)
    return np.asarray(vector / length if length > 0 else vector, np.float32)


def _posteriors(
    x: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """The probability (N, K) that a descriptor came from a Gaussian."""
    precisions = 1 / variances
    squares = x**2 @ precisions.T - 2 * x @ (means * precisions).T + (means**2 * precisions).sum(1)
    logs = np.log(weights) - 0.5 * (squares + np.log(variances).sum(axis=1))
    logs -= logs.max(axis=1, keepdims=True)
    shares = np.exp(logs)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
