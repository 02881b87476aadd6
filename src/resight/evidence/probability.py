"""The probability that two photos show the same thing, from what was observed of them.

A logistic function of a few observations, whose published coefficients were fitted on photos of
many kinds; docs/decisions.md has its calibration on photos that it was not fitted on.
"""

from collections.abc import Mapping

import numpy as np

from resight.ranking.strangers import Nearness

EXPECTED = 1.5
"""Logarithm of the number of strangers expected as near, up to which a distance tells something."""
TRIED = 1.3
"""Logarithm of the number of candidates that are tried, each of which may be a false alarm."""
TRIED_BY_COLUMNS = 4.0
"""The same for columns, which are not independent: neighbors see almost the same."""
SURE = 3.0
"""Minus the logarithm of the number of false alarms among all candidates, from which on the
geometry is sure."""
FULLY_SURE = 10.0
"""The same, from which on nothing contradicts: textured photos that are near agree in many places
if they show the same thing."""
TEXTURED = 600
"""Features of a photo that is full of texture."""
ALIKE = 0.235
"""Closeness from which on textured photos that agree in no detail are different things of the same
kind, such as pages of text."""
ALIKE_RANGE = 0.1
"""Closeness beyond `ALIKE` at which agreeing columns prove nothing any more."""

COEFFICIENTS = {
    "constant": -5.5,
    "nearness": 6.8,
    "sureness": 6.0,
    "columns": 4.0,
    "contradiction": -24.8,
}
"""Of `observations`; fitted on all photos of docs/decisions.md."""
WITHOUT_COLUMNS = {
    "constant": -5.6,
    "nearness": 7.0,
    "sureness": 6.0,
    "columns": 0.0,
    "contradiction": -24.8,
}
"""The same for photos without columns, as of methods without a network."""
DESCRIPTOR_ONLY = {"constant": -4.76, "nearness": 7.05}
"""For photos without evidence."""

UNRELATED = {"constant": -5.8, "closeness": 40.2}
"""For `strangeness`."""


def observations(
    closeness: float, nearness: float, log10_nfa: float, features: int, columns: float = np.inf
) -> dict[str, float]:
    """Return what the probability depends on.

    Args:
        closeness: see `ranking.strangers`.
        nearness: logarithm of the number of strangers expected as near, see there.
        log10_nfa: logarithm of the number of false alarms of the match of SIFT features.
        features: number of features of the photo that has fewer.
        columns: as `log10_nfa`, of the match of columns; it counts as far as that of the features
            is not sure, and as far as the photos do not look alike as a whole.
    """
    sureness = max(0.0, -log10_nfa - TRIED)
    unverified = 1 - min(sureness / SURE, 1.0)
    texture = min(features / TEXTURED, 1.0)
    alike = max(0.0, closeness - ALIKE)
    # What looks alike has like columns, too.
    independent = 1 - texture**2 * min(alike / ALIKE_RANGE, 1.0)
    return {
        "nearness": float(surprise(nearness - EXPECTED)),
        "sureness": float(surprise(log10_nfa + TRIED)),
        "columns": unverified * independent * float(surprise(columns + TRIED_BY_COLUMNS)),
        "contradiction": (1 - min(sureness / FULLY_SURE, 1.0)) * texture**2 * alike,
    }


def surprise(log10_nfa: float | np.ndarray) -> np.ndarray:
    """Return what numbers of false alarms contribute: log10(1 + e) for 10^-e, 0 for one or more."""
    return np.asarray(np.log10(1 + np.maximum(0.0, -np.asarray(log10_nfa))))


def strangeness(near: Nearness) -> np.ndarray:
    """Return how surely photos are strangers that can tell what is background, (N,), 0 to 1.

    In small collections, where the nearest strangers are near by chance, photos of the same thing
    would be taken for strangers, and it for background: so chance is not subtracted.
    """
    return 1 - probability(UNRELATED, {"closeness": near.closeness + near.chance})


def probability(
    coefficients: Mapping[str, float], values: Mapping[str, float | np.ndarray]
) -> np.ndarray:
    """Return the logistic function of the weighted sum of some values."""
    total = coefficients["constant"] + sum(coefficients[n] * v for n, v in values.items())
    return np.asarray(1 / (1 + np.exp(-np.clip(total, -500, 500))))


def by_descriptor(log10_nfa: np.ndarray) -> np.ndarray:
    """Return the probability of photos without evidence, (N,).

    `log10_nfa` is the logarithm of the number of strangers expected as near.
    """
    return probability(DESCRIPTOR_ONLY, {"nearness": surprise(log10_nfa - EXPECTED)})
