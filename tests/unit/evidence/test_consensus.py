"""The consensus of matches: large between two views of an object, small between random matches."""

import numpy as np
import pytest
from PIL import Image

from resight.evidence import Evidence
from resight.evidence.consensus import largest_consensus
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import SIFT, _mutual_matches, match, promising_models
from resight.evidence.models import fewest_false_alarms
from views import texture, view


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return texture(640, 480, seed=1)


def evidence_of(pixels: np.ndarray) -> Evidence:
    return extract_evidence(Image.fromarray(pixels))


@pytest.mark.parametrize("turns", range(4))
def test_all_inliers_of_a_view_agree(pixels: np.ndarray, turns: int) -> None:
    first = evidence_of(pixels)
    second = evidence_of(np.ascontiguousarray(np.rot90(view(pixels, seed=2), turns)))
    found = match(first, second)
    assert largest_consensus(first, second, found.matches) >= 0.9 * len(found) > 50


def test_matches_at_random_do_not_agree(pixels: np.ndarray) -> None:
    first, second = evidence_of(pixels), evidence_of(texture(640, 480, seed=7))
    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = np.stack([rng.permutation(len(first))[:20], rng.permutation(len(second))[:20]], 1)
        assert largest_consensus(first, second, pairs) <= 6
    assert largest_consensus(first, second, np.zeros((0, 2), np.int64)) == 0


def test_strangers_are_not_estimated_and_views_are(pixels: np.ndarray) -> None:
    first = evidence_of(pixels)
    for seed in range(10, 16):
        other = evidence_of(texture(640, 480, seed=seed))
        pairs = _mutual_matches(first.descriptors, other.descriptors, SIFT.ratio)
        assert "epipolar" not in promising_models(first, other, pairs, SIFT)
    other = evidence_of(view(pixels, seed=3))
    pairs = _mutual_matches(first.descriptors, other.descriptors, SIFT.ratio)
    assert promising_models(first, other, pairs, SIFT) == list(SIFT.models)


def test_fewer_matches_have_more_false_alarms() -> None:
    size = (640, 480)
    values = [fewest_false_alarms("affine", 20, k, size, size) for k in range(21)]
    assert values[:4] == [np.inf] * 4
    assert (np.diff(values[4:]) < 0).all()
    assert values[4] > -1.3 > values[5]
