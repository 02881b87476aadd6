"""Matches of evidence: views of one thing agree, others do not, whatever the model."""

import cv2
import numpy as np
import pytest
from PIL import Image

from resight.evidence import Evidence
from resight.evidence.encoding import from_bytes, to_bytes
from resight.evidence.extraction import extract_evidence
from resight.evidence.matching import SIFT, _mutual_matches, match
from resight.ranking.geometry import mutual_matches
from views import texture, view


def evidence_of(pixels: np.ndarray) -> Evidence:
    """Return evidence as it comes out of a collection."""
    restored = from_bytes(to_bytes(extract_evidence(Image.fromarray(pixels))))
    assert restored is not None
    return restored


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return texture(640, 480, seed=1)


def test_another_view_agrees_and_the_map_is_right(pixels: np.ndarray) -> None:
    shift = np.array([[1, 0, 40], [0, 1, 25]], float)
    moved = cv2.warpAffine(pixels, shift, (640, 480), borderMode=cv2.BORDER_REFLECT_101)
    first, second = evidence_of(pixels), evidence_of(moved)
    found = match(first, second)
    assert found.log10_nfa < -100
    assert found.map is not None
    shift[:, 2] *= first.size[0] / 640
    np.testing.assert_allclose(found.map / found.map[2, 2], [*shift, [0, 0, 1]], atol=0.5)
    offsets = second.points[found.matches[:, 1]] - first.points[found.matches[:, 0]]
    assert np.abs(offsets - shift[:, 2]).max() < 5
    assert len(found) <= found.tentative


def test_the_way_back_is_the_same_agreement(pixels: np.ndarray) -> None:
    first, second = evidence_of(pixels), evidence_of(view(pixels, seed=2))
    found = match(first, second)
    back = found.reversed()
    assert (back.matches == found.matches[:, ::-1]).all()
    assert found.map is not None
    assert back.map is not None
    np.testing.assert_allclose(back.map @ found.map, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_strangers_do_not_agree(pixels: np.ndarray, seed: int) -> None:
    found = match(evidence_of(pixels), evidence_of(texture(640, 480, seed=10 + seed)))
    assert found.log10_nfa > -1


def test_two_planes_at_different_depths_agree_by_epipolar_geometry(pixels: np.ndarray) -> None:
    other = pixels.copy()
    for top in range(0, 480, 40):  # strips at many depths, none of which dominates
        other[top : top + 40] = np.roll(pixels[top : top + 40], 4 + top // 8, axis=1)
    found = match(evidence_of(pixels), evidence_of(other))
    assert found.log10_nfa < -4


def test_left_out_features_are_not_matched(pixels: np.ndarray) -> None:
    first, second = evidence_of(pixels), evidence_of(view(pixels, seed=3))
    without = first.points[:, 0] < 320
    found = match(first, second, without=without)
    assert len(found) > 10
    assert not without[found.matches[:, 0]].any()
    assert len(match(first, second, without=np.ones(len(first), bool))) == 0


def test_photos_without_features_agree_on_nothing(pixels: np.ndarray) -> None:
    blank = evidence_of(np.full((480, 640, 3), 128, np.uint8))
    for pair in ((blank, evidence_of(pixels)), (evidence_of(pixels), blank), (blank, blank)):
        found = match(*pair)
        assert found.log10_nfa == np.inf
        assert found.model is None
        assert len(found) == 0


def test_points_on_a_line_are_no_error(pixels: np.ndarray) -> None:
    whole = evidence_of(pixels)
    flat = Evidence(
        whole.size,
        np.stack([whole.points[:, 0], np.full(len(whole), 100, np.float32)], axis=1),
        whole.frames,
        whole.descriptors,
        whole.thumbnail,
        whole.sharpness,
    )
    assert match(flat, flat).tentative > 0


def test_equal_to_the_general_matcher() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        first, second = (
            rng.gamma(0.3, size=(int(rng.integers(2, 80)), 128)).astype(np.float32)
            for _ in range(2)
        )
        second[: len(second) // 2] = first[rng.integers(len(first), size=len(second) // 2)]
        second += rng.gamma(0.3, 0.1, second.shape).astype(np.float32)
        first, second = (
            rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second)
        )
        expected = mutual_matches(first, second, SIFT.ratio)
        np.testing.assert_array_equal(_mutual_matches(first, second, SIFT.ratio), expected)
