"""Decisions: backgrounds, watermarks and blank pictures prove nothing; views do."""

import numpy as np
import pytest
from PIL import Image

from resight.evidence import Evidence
from resight.evidence.decision import (
    UNDECIDED,
    decide,
    evident_probability,
    is_overlay,
    partiality,
)
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import match
from resight.evidence.probability import by_descriptor
from views import near, pasted, texture, view


def evidence_of(pixels: np.ndarray) -> Evidence:
    return extract_evidence(Image.fromarray(pixels))


def test_a_view_is_the_same_thing_and_a_stranger_is_not() -> None:
    pixels = texture(640, 480, seed=1)
    candidates = [evidence_of(view(pixels, seed=2)), evidence_of(texture(640, 480, seed=3))]
    same, other = decide(evidence_of(pixels), candidates, near(0, 0))
    assert same.probability > 0.98
    assert same.match is not None
    assert len(same.match) > 50
    assert other.probability < 0.85


def test_a_candidate_without_evidence_is_decided_by_its_descriptor() -> None:
    (decided,) = decide(evidence_of(texture(320, 240, seed=1)), [None], near(0.3))
    assert decided.match is None
    assert decided.probability == pytest.approx(float(by_descriptor(near(0.3).log10_nfa)[0]))


def test_a_background_shared_with_strangers_proves_nothing() -> None:
    table = texture(640, 480, seed=1)
    things = [texture(380, 300, seed=10 + number) for number in range(8)]
    photos = [pasted(view(table, seed=n), thing, 130, 90) for n, thing in enumerate(things)]
    other_table = texture(640, 480, seed=2)
    again = pasted(other_table, view(things[0], seed=50), 60, 40)
    query, *strangers = map(evidence_of, photos)
    alone = match(query, strangers[0])
    assert alone.log10_nfa < -50  # the table does agree
    decided = decide(query, [*strangers, evidence_of(again)], near(*[0] * 8))
    assert all(decision.probability < 0.5 for decision in decided[:-1])
    assert decided[-1].probability > 0.9


def test_a_burst_does_not_suffer_from_being_frequent() -> None:
    pixels = texture(640, 480, seed=1)
    frames = [evidence_of(view(pixels, seed=n, strength=0.02)) for n in range(12)]
    for decision in decide(frames[0], frames[1:], near(*[0] * 11)):
        assert decision.probability > 0.98


def test_a_watermark_is_no_evidence() -> None:
    mark = texture(180, 110, seed=99)
    marked = [pasted(texture(640, 480, seed=n), mark, 420, 340) for n in (3, 4)]
    first, second = map(evidence_of, marked)
    found = match(first, second)
    assert found.log10_nfa < -4
    assert is_overlay(found, first, second)
    (decided,) = decide(first, [second], near(0))
    assert decided.probability < 0.5


def test_a_copy_is_no_overlay_and_agrees_as_a_whole() -> None:
    pixels = texture(640, 480, seed=1)
    first, second = evidence_of(pixels), evidence_of(view(pixels, seed=1, strength=0.005))
    found = match(first, second)
    assert not is_overlay(found, first, second)
    assert partiality(found, first, second) == 0
    patch = pasted(texture(640, 480, seed=2), pixels[:160, :200], 20, 20)
    part = match(first, evidence_of(patch))
    assert partiality(part, first, evidence_of(patch)) == 1


def test_without_texture_nobody_can_say() -> None:
    assert evident_probability(0.9, -9.0, np.inf, 0) == UNDECIDED
    assert evident_probability(0.9, -15.0, np.inf, 100) > 0.9


def test_probabilities_grow_with_nearness_and_agreement() -> None:
    steps = np.linspace(0, 10, 20)
    by_nearness = [evident_probability(0.0, -e, np.inf, 600) for e in steps]
    by_agreement = [evident_probability(0.0, 0.0, -e, 600) for e in np.linspace(0, 50, 40)]
    assert by_nearness == sorted(by_nearness)
    assert by_nearness[0] < 0.15
    assert by_nearness[-1] > 0.85
    assert by_agreement == sorted(by_agreement)
    assert by_agreement[-1] > 0.98


def test_near_pages_of_text_that_agree_in_nothing_are_different() -> None:
    assert evident_probability(0.5, -8.0, np.inf, 600) < 0.2
