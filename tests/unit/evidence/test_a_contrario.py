"""Numbers of false alarms against the formula, and against chance itself."""

import math

import numpy as np
import pytest

from resight.evidence.a_contrario import (
    SMALLEST_ERROR,
    Agreement,
    best_agreement,
    log_binomial,
)

AREA = 640 * 480


def chance(errors: np.ndarray) -> np.ndarray:
    return np.pi * errors**2 / AREA


def oracle(errors: list[float], sample: int) -> float:
    """Return the least logarithm over all numbers of inliers, by exact integers."""
    n, ordered = len(errors), sorted(errors)
    best = math.inf
    for k in range(sample + 1, n + 1):
        if math.isfinite(ordered[k - 1]):
            alpha = min(1.0, math.pi * max(ordered[k - 1], SMALLEST_ERROR) ** 2 / AREA)
            tests = (n - sample) * math.comb(n, k) * math.comb(k, sample)
            best = min(best, math.log10(tests) + (k - sample) * math.log10(alpha))
    return best


@pytest.mark.parametrize("sample", [3, 4, 7])
@pytest.mark.parametrize("seed", range(5))
def test_the_fewest_false_alarms_of_all_thresholds(sample: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = np.concatenate([rng.exponential(1, 20), rng.uniform(0, 400, 30), [np.inf] * 4])
    rng.shuffle(errors)
    found = best_agreement(errors, sample, chance)
    assert found.log10_nfa == pytest.approx(oracle(errors.tolist(), sample), abs=1e-9)
    assert found.log10_nfa < -10
    limit = errors[found.inliers].max()
    assert (found.inliers == (errors <= limit)).all()
    assert 15 <= found.inliers.sum() <= 25


def test_too_few_matches_agree_on_nothing() -> None:
    for errors in ([], [0.1] * 4, [0.1] * 4 + [np.inf]):
        found = best_agreement(np.array(errors, float), 4, chance)
        assert isinstance(found, Agreement)
        assert found.log10_nfa == np.inf
        assert not found.inliers.any()


def test_random_errors_are_rarely_called_an_agreement() -> None:
    """The expected number of chance agreements with an NFA below 0.01 is below 0.01 a trial."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2000):
        # Errors of random matches to any one model: uniform places in the picture.
        places = rng.uniform(0, [640, 480], (40, 2))
        errors = np.hypot(*(places - [320, 240]).T)
        alarms += best_agreement(errors, 4, chance).log10_nfa < -2
    assert alarms <= 20


def test_more_agreement_is_surer() -> None:
    values = [
        best_agreement(np.array([0.5] * k + [300.0] * 20), 4, chance).log10_nfa
        for k in range(5, 20)
    ]
    assert values == sorted(values, reverse=True)


def test_binomials() -> None:
    for n, k in ((5, 2), (600, 300), (1200, 7), (9, 9), (9, 0)):
        assert float(log_binomial(n, k)) == pytest.approx(math.log(math.comb(n, k)), rel=1e-9)
