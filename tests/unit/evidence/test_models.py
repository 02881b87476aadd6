"""Scores of geometric models."""

import numpy as np

from resight.evidence.models import estimate, score

SIZE = (480, 360)


def test_letters_on_lines_of_text_agree_no_better_than_by_chance() -> None:
    rng = np.random.default_rng(5)
    rows, other_rows = rng.integers(0, 11, (2, 60)) * 30.0 + 20
    other_rows[:25] = rows[:25]
    source = np.stack([rng.uniform(0, 480, 60), rows], axis=1)
    target = np.stack([rng.uniform(0, 480, 60), other_rows], axis=1)
    sideways = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    agreement = score("epipolar", sideways, source, target, SIZE, SIZE)
    assert agreement.inliers.sum() >= 25
    assert agreement.log10_nfa > 0


def test_places_at_all_heights_agree_though_some_share_a_line() -> None:
    rng = np.random.default_rng(6)
    source = rng.uniform(0, SIZE, (60, 2))
    target = source + np.stack([rng.uniform(-60, 60, 60), np.zeros(60)], axis=1)
    matrix = estimate("epipolar", source, target)
    assert matrix is not None
    agreement = score("epipolar", matrix, source, target, SIZE, SIZE)
    assert agreement.inliers.sum() > 55
    assert agreement.log10_nfa < -40
