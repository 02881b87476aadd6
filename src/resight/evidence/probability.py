"""The probability that two photos show the same thing, from what was observed of them.

A logistic function of a few observations, whose published coefficients were fitted on photos of
many kinds; docs/decisions.md has its calibration on photos that it was not fitted on.
"""

from collections.abc import Mapping

import numpy as np

TRIED = 1.3
"""Logarithm of the number of candidates that are tried, each of which may be a false alarm."""
SURE = 3.0
"""Minus the logarithm of the number of false alarms among all candidates, from which on the
geometry is sure."""
TEXTURED = 600
"""Features of a photo that is full of texture."""
ALIKE = 0.235
"""Closeness from which on textured photos that agree in no detail are different things of the same
kind, such as pages of text."""

COEFFICIENTS = {
    "constant": -2.09,
    "closeness": 10.74,
    "sureness": 7.43,
    "unverified closeness": 5.31,
    "contradiction": -56.57,
}
"""Of `observations`; fitted on all photos of docs/decisions.md."""
DESCRIPTOR_ONLY = {"constant": -1.04, "closeness": 26.33}
"""For photos without evidence."""

UNRELATED = {"constant": -5.8, "closeness": 40.2}
"""For `strangeness`."""


def observations(closeness: float, log10_nfa: float, features: int) -> dict[str, float]:
    """Return what the probability depends on.

    Args:
        closeness: see `ranking.strangers`.
        log10_nfa: of the match.
        features: number of features of the photo that has fewer.
    """
    sureness = max(0.0, -log10_nfa - TRIED)
    unverified = 1 - min(sureness / SURE, 1.0)
    texture = min(features / TEXTURED, 1.0)
    return {
        "closeness": closeness,
        "sureness": float(np.log10(1 + sureness)),
        "unverified closeness": unverified * closeness,
        "contradiction": unverified * texture**2 * max(0.0, closeness - ALIKE),
    }


def strangeness(closeness: np.ndarray, chance: float) -> np.ndarray:
    """Return how surely photos are strangers that can tell what is background, (N,), 0 to 1.

    In small collections, where the nearest strangers are near by chance, photos of the same thing
    would be taken for strangers, and it for background: so chance is not subtracted.
    """
    return 1 - probability(UNRELATED, {"closeness": closeness + chance})


def probability(
    coefficients: Mapping[str, float], values: Mapping[str, float | np.ndarray]
) -> np.ndarray:
    """Return the logistic function of a weighted sum."""
    total = coefficients["constant"] + sum(coefficients[n] * v for n, v in values.items())
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -500, 500))))


def by_descriptor(closeness: np.ndarray) -> np.ndarray:
    """Return the probability of photos without evidence, (N,)."""
    return probability(DESCRIPTOR_ONLY, {"closeness": closeness})
