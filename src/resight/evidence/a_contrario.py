"""A contrario validation: how often chance would agree as well as some matches do.

Of n matches, k agree with a geometric model up to an error r. If the matches were random, each
would do so with probability alpha(r), and the expected number of equally good agreements among all
that could have been tried, the number of false alarms, is

    NFA = (n - s) C(n, k) C(k, s) alpha^(k - s)

where s matches define the model. The error r is not chosen: it is the one with the fewest false
alarms. An NFA of 1 is met once by chance; 10^-4 is evidence.

Source: Moisan and Stival, "A probabilistic criterion to detect rigid point matches between two
images and estimate the fundamental matrix", IJCV 2004, section 2; AC-RANSAC: Moisan, Moulon and
Monasse, IPOL 2012.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAX_MATCHES = 5000
"""Most matches of a pair; features of evidence are fewer."""
LOG_FACTORIALS = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, MAX_MATCHES + 1)))])
"""Natural logarithm of n!; a table, as SciPy takes long to import."""
SMALLEST_ERROR = 0.5
"""Pixels; features are not located more accurately, so smaller errors prove no more."""


@dataclass(frozen=True)
class Agreement:
    """The matches that agree best.

    Attributes:
        log10_nfa: logarithm of the number of false alarms.
        inliers: bool (n,), the matches that agree.
    """

    log10_nfa: float
    inliers: np.ndarray


def best_agreement(
    errors: np.ndarray, sample: int, chance: Callable[[np.ndarray], np.ndarray]
) -> Agreement:
    """Choose the error up to which matches agree, by the fewest false alarms.

    Args:
        errors: of each match against the model, in pixels, (n,); infinite where it cannot agree.
        sample: number of matches that define the model.
        chance: maps errors to the probability that a random match has at most that error.
    """
    n = len(errors)
    order = np.argsort(errors, kind="stable")
    usable = int(np.count_nonzero(np.isfinite(errors)))
    k = np.arange(sample + 1, usable + 1)
    if not len(k):
        return Agreement(np.inf, np.zeros(n, bool))
    alpha = chance(np.maximum(errors[order[k - 1]], SMALLEST_ERROR))
    log10_nfa = log10_false_alarms(n, k, sample, alpha)
    best = int(log10_nfa.argmin())
    inliers = np.zeros(n, bool)
    inliers[order[: k[best]]] = True
    return Agreement(float(log10_nfa[best]), inliers)


def log10_false_alarms(n: int, k: np.ndarray | int, sample: int, alpha: np.ndarray) -> np.ndarray:
    """Return the logarithm of the number of false alarms where k > `sample` of n matches agree.

    `alpha` is the probability that a random match agrees.
    """
    log_nfa = np.log(max(n - sample, 1)) + log_binomial(n, k) + log_binomial(k, sample)
    log_alpha = np.log(np.clip(alpha, 1e-300, 1.0))
    return np.asarray((log_nfa + (np.asarray(k) - sample) * log_alpha) / np.log(10))


def log_binomial(n: np.ndarray | int, k: np.ndarray | int) -> np.ndarray:
    """Return the natural logarithm of binomial coefficients, n at most `MAX_MATCHES`."""
    return np.asarray(LOG_FACTORIALS[n] - LOG_FACTORIALS[k] - LOG_FACTORIALS[np.subtract(n, k)])
