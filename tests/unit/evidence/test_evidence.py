"""Evidence: what is kept of a photo, and its stored form."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from resight.evidence import LONGEST_SIDE, Evidence
from resight.evidence.encoding import LARGEST, LEVELS, POINT_STEP, SIZE_STEP, from_bytes, to_bytes
from resight.evidence.extraction import MAX_FEATURES, extract_evidence
from views import texture

MAX_BYTES = 32_000


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return extract_evidence(Image.fromarray(texture(1000, 700, seed=1)))


def test_features_of_a_reduced_copy(evidence: Evidence) -> None:
    assert evidence.size == (480, 336)
    assert len(evidence) == MAX_FEATURES == len(evidence.descriptors) == len(evidence.frames)
    assert (evidence.points >= -0.5).all()
    assert (evidence.points <= np.array(evidence.size) - 0.5).all()
    assert evidence.points.max() > LONGEST_SIDE / 2
    assert evidence.thumbnail.shape == (16, 16, 3)


def test_small_photos_are_not_enlarged() -> None:
    assert extract_evidence(Image.fromarray(texture(120, 90, seed=1))).size == (120, 90)


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (31, 31)])
def test_tiny_and_blank_photos_have_few_features(size: tuple[int, int]) -> None:
    evidence = extract_evidence(Image.new("RGB", size, (90, 120, 30)))
    assert len(evidence) == 0
    assert evidence.sharpness == 0
    restored = from_bytes(to_bytes(evidence))
    assert restored is not None
    assert len(restored) == 0
    assert (restored.thumbnail == [90, 120, 30]).all()


def test_a_blurred_photo_is_less_sharp() -> None:
    image = Image.fromarray(texture(640, 480, seed=2))
    blurred = image.resize((160, 120)).resize((640, 480), Image.Resampling.BICUBIC)
    assert extract_evidence(blurred).sharpness < extract_evidence(image).sharpness / 2


def test_the_stored_form_is_small_and_loses_little(evidence: Evidence) -> None:
    data = to_bytes(evidence)
    assert len(data) <= MAX_BYTES
    restored = from_bytes(data)
    assert restored is not None
    assert restored.size == evidence.size
    assert restored.sharpness == pytest.approx(evidence.sharpness, rel=1e-6)
    assert (restored.thumbnail == evidence.thumbnail).all()
    assert np.abs(restored.points - evidence.points).max() <= POINT_STEP / 2 + 1e-4
    turns = (restored.frames[:, 0] - evidence.frames[:, 0]) / (2 * np.pi)
    assert np.abs(turns - np.rint(turns)).max() <= 1 / 512 + 1e-6
    sizes = np.log(restored.frames[:, 1] / np.maximum(evidence.frames[:, 1], 1))
    assert np.abs(sizes).max() <= SIZE_STEP / 2 + 1e-6
    np.testing.assert_allclose(np.linalg.norm(restored.descriptors, axis=1), 1, rtol=1e-5)
    # Unit length apart, a value is off by half a step at most, unless it is beyond the last code.
    codes = np.minimum(np.rint(evidence.descriptors / LARGEST * LEVELS), LEVELS)
    expected = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    np.testing.assert_allclose(restored.descriptors, expected, atol=1e-6)
    cosines = (restored.descriptors * evidence.descriptors).sum(axis=1)
    assert np.median(cosines) > 0.98


def test_noise_fits_as_well() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert len(to_bytes(extract_evidence(Image.fromarray(noise)))) <= MAX_BYTES


def test_the_same_photo_gives_the_same_bytes(evidence: Evidence) -> None:
    again = extract_evidence(Image.fromarray(texture(1000, 700, seed=1)))
    digests = {hashlib.sha256(to_bytes(each)).hexdigest() for each in (evidence, again)}
    assert len(digests) == 1


def test_damaged_bytes_are_as_good_as_missing(evidence: Evidence) -> None:
    data = to_bytes(evidence)
    assert from_bytes(b"") is None
    assert from_bytes(data[:-20]) is None
    assert from_bytes(bytes([data[0] + 1]) + data[1:]) is None
    rng = np.random.default_rng(3)
    for _ in range(50):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        restored = from_bytes(bytes(damaged))  # any answer, but no exception
        assert restored is None or len(restored.points) == len(restored.descriptors)
