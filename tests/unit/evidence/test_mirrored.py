"""Mirrored features against features of mirrored pictures."""

import numpy as np
import pytest
from PIL import ImageOps

from resight.evidence import Evidence
from resight.evidence.decision import decide
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import match, match_mirrored, match_near, mirrored
from samples import text_page, textured_picture
from views import near

PICTURE = textured_picture(3)
FIRST = extract_evidence(PICTURE)
REFLECTED = extract_evidence(ImageOps.mirror(PICTURE))


def same_place(first: Evidence, second: Evidence) -> np.ndarray:
    """Return the features at the same place with the same frame, (k, 2)."""
    apart = np.linalg.norm(first.points[:, None] - second.points, axis=2)
    turned = np.abs(np.angle(np.exp(1j * (first.frames[:, None, 0] - second.frames[:, 0]))))
    sizes = np.abs(np.log(first.frames[:, None, 1] / second.frames[:, 1]))
    return np.argwhere((apart < 0.1) & (turned < 0.02) & (sizes < 0.05))


def test_mirrored_features_are_those_of_the_mirrored_picture() -> None:
    turned = mirrored(FIRST)
    pairs = same_place(turned, REFLECTED)
    assert len(pairs) > 0.8 * len(FIRST)
    cosines = (turned.descriptors[pairs[:, 0]] * REFLECTED.descriptors[pairs[:, 1]]).sum(axis=1)
    assert np.median(cosines) > 0.999
    assert np.abs(turned.thumbnail.astype(int) - REFLECTED.thumbnail).max() <= 1


def test_mirrored_twice_is_the_same() -> None:
    twice = mirrored(mirrored(FIRST))
    assert np.array_equal(twice.descriptors, FIRST.descriptors)
    assert np.allclose(twice.points, FIRST.points, atol=1e-3)
    assert np.abs(np.angle(np.exp(1j * (twice.frames[:, 0] - FIRST.frames[:, 0])))).max() < 1e-5


def test_a_mirror_image_is_found_and_mapped() -> None:
    assert match(FIRST, REFLECTED).map is None
    found = match_near(FIRST, REFLECTED, 0.6)
    assert found.mirrored
    assert len(found) > 100
    assert found.map is not None
    ones = np.ones((len(found), 1))
    places = np.hstack([FIRST.points[found.matches[:, 0]], ones]) @ found.map.T
    places = places[:, :2] / places[:, 2:]
    assert np.abs(places - REFLECTED.points[found.matches[:, 1]]).max() < 1


def test_photos_that_are_not_near_are_not_compared_mirrored() -> None:
    assert not match_near(FIRST, REFLECTED, 0.05).mirrored


def test_plain_copies_are_not_mirrored() -> None:
    assert not match_near(FIRST, extract_evidence(PICTURE.resize((400, 300))), 1.0).mirrored


@pytest.mark.parametrize("seed", range(3))
def test_pages_of_text_are_no_mirror_images_of_others(seed: int) -> None:
    page = extract_evidence(text_page(seed))
    assert len(page) > 300
    other = text_page(seed + 10)
    assert match_mirrored(page, extract_evidence(other)) is None
    assert match_mirrored(page, extract_evidence(ImageOps.mirror(other))) is None
    assert match_mirrored(page, extract_evidence(ImageOps.mirror(text_page(seed)))) is not None


def test_a_mirror_image_is_decided_to_be_the_same_among_strangers() -> None:
    others = [extract_evidence(textured_picture(seed)) for seed in range(10, 14)]
    decisions = decide(FIRST, [REFLECTED, *others], near(0.7, 0.4, 0.3, 0.0, -0.1))
    assert decisions[0].probability > 0.9
    assert decisions[0].match is not None
    assert decisions[0].match.mirrored
    assert not any(decision.match and decision.match.mirrored for decision in decisions[1:])


def test_near_pages_of_text_are_not_the_same_mirrored_or_not() -> None:
    pages = [text_page(seed) for seed in range(20, 25)]
    others = [extract_evidence(page) for page in [*pages, *map(ImageOps.mirror, pages)]]
    decisions = decide(extract_evidence(text_page(0)), others, near(*[0.4] * len(others)))
    assert max(decision.probability for decision in decisions) < 0.5
