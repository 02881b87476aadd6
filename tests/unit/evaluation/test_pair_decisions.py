"""Decisions on pairs: the background of either photo proves nothing."""

import numpy as np
from PIL import Image

from resight.evaluation.pair_decisions import _match_foregrounds
from resight.evidence import Evidence
from resight.evidence.decision import COMMON
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import SIFT, match
from views import texture, view


def evidence_of(number: int, width: int) -> Evidence:
    """Return the evidence of one view of a scene, cut to a width."""
    pixels = view(texture(480, 360, seed=3), seed=number)
    return extract_evidence(Image.fromarray(pixels[:, :width]))


def test_a_match_without_the_background_of_the_second_photo_keeps_its_sides() -> None:
    first, second = evidence_of(1, 480), evidence_of(2, 400)
    agreement = match(first, second)
    background = second.points[:, 0] > 150
    elsewhere = np.where(background, 9 * COMMON, 0.0)
    assert np.median(elsewhere[agreement.matches[:, 1]]) > COMMON
    nowhere = np.zeros(len(first))
    found = _match_foregrounds(first, second, agreement, nowhere, elsewhere, SIFT)
    assert found is not None
    assert agreement.log10_nfa < found.log10_nfa < -10
    assert not background[found.matches[:, 1]].any()
    assert found.map is not None
    there = np.c_[first.points[found.matches[:, 0]], np.ones(len(found))] @ found.map.T
    np.testing.assert_allclose(
        there[:, :2] / there[:, 2:], second.points[found.matches[:, 1]], atol=6
    )
