"""Fisher vectors: gradients of a mixture of Gaussians with respect to its parameters.

Perronnin, Liu, Sanchez and Poirier, "Large-scale image retrieval with compressed Fisher vectors",
CVPR 2010, section 3 (the gradients) and section 3.2 with Perronnin, Sanchez and Mensink, "Improving
the Fisher kernel for large-scale image classification", ECCV 2010, sections 3.1 and 3.2 (power law,
unit length). Local descriptors are projected onto their principal components first, as there.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.extractor import FittedParams
from resight.errors import FitError
from resight.vectors import l2_normalize, signed_power

MAX_ITERATIONS = 100
"""Of expectation maximization."""

MIN_PER_GAUSSIAN = 10
"""Minimum number of local descriptors per Gaussian; a variance of fewer is chance."""

MIN_VARIANCE = 1e-6
"""Added to every variance, so that none is zero; descriptors have unit length."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit the mixture, see `fit_gaussians`."""
    return fit_gaussians(np.concatenate(photos), config.centers, config.seed)


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Aggregate the features of one photo."""
    return fisher_vector(features, params, config.power)


def fit_gaussians(descriptors: np.ndarray, gaussians: int, seed: int) -> dict[str, np.ndarray]:
    """Fit a mixture of Gaussians with diagonal covariances, initialized by k-means.

    Returns:
        float32 arrays, for descriptors (M, D): `weights` (K,), of sum 1, `means` (K, D) and
        `variances` (K, D).

    Raises:
        FitError: too few descriptors, or all are the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    if len(descriptors) < MIN_PER_GAUSSIAN * gaussians:
        raise FitError(
            f"{len(descriptors)} local descriptors are too few for {gaussians} Gaussians, which "
            f"need {MIN_PER_GAUSSIAN * gaussians}: index more photos with texture, or choose fewer "
            "centers"
        )
    mixture = GaussianMixture(
        gaussians,
        covariance_type="diag",
        max_iter=MAX_ITERATIONS,
        reg_covar=MIN_VARIANCE,
        random_state=seed,
    )
    with threadpool_limits(1), warnings.catch_warnings():
        # A mixture that has not quite converged is as good a vocabulary.
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
    """Compute the Fisher vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D).
        gaussians: as `fit_gaussians` returns them.
        power: exponent of the signed power law.

    Returns:
        float32 (2 K D,): the gradients by the means, Gaussian by Gaussian, then those by the
        standard deviations; of unit length, zeros without descriptors.
    """
    weights = np.asarray(gaussians["weights"], np.float64)
    means = np.asarray(gaussians["means"], np.float64)
    variances = np.asarray(gaussians["variances"], np.float64)
    if not len(descriptors):
        return np.zeros(2 * means.size, np.float32)
    x = np.asarray(descriptors, np.float64)
    gamma = _posteriors(x, weights, means, variances)
    # Both gradients follow from the sums over the descriptors of gamma, gamma x and gamma x^2.
    s0 = gamma.sum(axis=0)[:, None]
    s1 = gamma.T @ x
    s2 = gamma.T @ x**2
    deviations = np.sqrt(variances)
    scale = len(x) * np.sqrt(weights)[:, None]
    by_mean = (s1 - means * s0) / (deviations * scale)
    by_deviation = (s2 - 2 * means * s1 + (means**2 - variances) * s0) / (
        variances * scale * np.sqrt(2)
    )
    vector = signed_power(np.concatenate([by_mean.ravel(), by_deviation.ravel()]), power)
    return np.asarray(l2_normalize(vector), np.float32)


def _posteriors(
    x: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """Return the probability (N, K) that a descriptor came from a Gaussian."""
    precisions = 1 / variances
    squares = x**2 @ precisions.T - 2 * x @ (means * precisions).T + (means**2 * precisions).sum(1)
    logs = np.log(weights) - 0.5 * (squares + np.log(variances).sum(axis=1))
    logs -= logs.max(axis=1, keepdims=True)
    posteriors = np.exp(logs)
    return np.asarray(posteriors / posteriors.sum(axis=1, keepdims=True))
