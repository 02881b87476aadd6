"""RootSIFT against a slow loop, and the convention of the points."""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

import views
from resight.config import LocalConfig
from resight.descriptors.local_features.rootsift import LocalFeatures, root_sift


def texture(width: int, height: int, seed: int) -> Image.Image:
    """Return a textured picture as an image."""
    return Image.fromarray(views.texture(width, height, seed))


def blobs(width: int, height: int, centers: list[tuple[float, float]], sigma: float) -> Image.Image:
    """Draw dark Gaussian spots on white, at positions in pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    dark = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centers)
    return Image.fromarray((255 - 200 * dark).round().astype(np.uint8)).convert("RGB")


def assert_equal(a: LocalFeatures, b: LocalFeatures) -> None:
    np.testing.assert_array_equal(a.points, b.points)
    np.testing.assert_array_equal(a.descriptors, b.descriptors)
    assert a.scale == b.scale


@pytest.fixture
def cv_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def test_shapes_types_and_ranges() -> None:
    features = root_sift(texture(320, 240, 0), LocalConfig(method="sift-vlad"))
    count = len(features.points)
    assert 100 < count <= 2000
    assert features.points.shape == (count, 2)
    assert features.points.dtype == np.float32
    assert features.descriptors.shape == (count, 128)
    assert features.descriptors.dtype == np.float32
    assert features.descriptors.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-6)
    assert (features.points >= -1).all()
    assert (features.points <= (320, 240)).all()


def test_descriptors_are_the_root_of_sift() -> None:
    image = texture(200, 150, 1)
    features = root_sift(image, LocalConfig(method="sift-vlad", max_keypoints=40))
    sift = cv2.SIFT.create(contrastThreshold=0.01, enable_precise_upscale=True)
    keypoints, raw = sift.detectAndCompute(np.asarray(image.convert("L")), None)
    assert len(keypoints) > 40
    by_response = sorted(range(len(keypoints)), key=lambda i: -keypoints[i].response)[:40]
    # Orientations of one place have equal responses: compare as sets of (place, descriptor).
    expected = set()
    for i in by_response:
        total = math.fsum(float(v) for v in raw[i])
        expected.add(
            (
                tuple(round(c, 3) for c in keypoints[i].pt),
                tuple(round(math.sqrt(float(v) / total), 5) for v in raw[i]),
            )
        )
    described = {
        (tuple(round(float(c), 3) for c in p), tuple(round(float(v), 5) for v in d))
        for p, d in zip(features.points, features.descriptors, strict=True)
    }
    # The last place may have an orientation on either side of the limit.
    assert len(described & expected) >= 39


@pytest.mark.parametrize("seed", range(3))
def test_fewer_keypoints_are_the_first_ones(seed: int) -> None:
    image = texture(300, 200, seed)
    everything = root_sift(image, LocalConfig(method="sift-vlad", max_keypoints=100_000))
    for count in (1, 7, 50):
        some = root_sift(image, LocalConfig(method="sift-vlad", max_keypoints=count))
        np.testing.assert_array_equal(some.points, everything.points[:count])
        np.testing.assert_array_equal(some.descriptors, everything.descriptors[:count])


def test_ties_are_ordered() -> None:
    tile = np.asarray(texture(64, 64, 3))
    image = Image.fromarray(np.tile(tile, (6, 6, 1)))
    sift = cv2.SIFT.create(nfeatures=30, contrastThreshold=0.01, enable_precise_upscale=True)
    assert len(sift.detect(np.asarray(image.convert("L")), None)) > 30  # responses do tie
    everything = root_sift(image, LocalConfig(method="sift-vlad", max_keypoints=100_000))
    some = root_sift(image, LocalConfig(method="sift-vlad", max_keypoints=30))
    assert some.points.shape == (30, 2)
    np.testing.assert_array_equal(some.points, everything.points[:30])
    np.testing.assert_array_equal(some.descriptors, everything.descriptors[:30])


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (64, 64), (3, 2), (20_000, 30)])
def test_no_texture_no_features(size: tuple[int, int]) -> None:
    features = root_sift(Image.new("RGB", size, (200, 30, 90)), LocalConfig(method="sift-vlad"))
    assert features.points.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)
    assert features.points.dtype == features.descriptors.dtype == np.float32


def test_a_long_strip() -> None:
    features = root_sift(texture(6000, 40, 4), LocalConfig(method="sift-vlad"))
    assert features.scale == pytest.approx(6000 / 1024, rel=0.05)
    assert (features.points[:, 0] < 6000).all()


POSITIONS = [(40.0, 50.0), (130.0, 44.0), (90.0, 110.0), (200.0, 150.0)]


def test_points_are_pixel_centers() -> None:
    points = root_sift(blobs(260, 200, POSITIONS, sigma=6), LocalConfig(method="sift-vlad")).points
    for position in POSITIONS:
        assert np.abs(points - position).max(axis=1).min() < 0.1


def test_points_are_pixels_of_the_original_image() -> None:
    # Detected at a quarter of the size: half a pixel of the copy would be off by 1.5 pixels.
    positions = [(4 * x, 4 * y) for x, y in POSITIONS]
    features = root_sift(
        blobs(1040, 800, positions, sigma=24), LocalConfig(method="sift-vlad", longest_side=260)
    )
    assert features.scale == 4.0
    for position in positions:
        assert np.abs(features.points - position).max(axis=1).min() < 0.4


def test_small_images_are_not_enlarged() -> None:
    image = texture(300, 200, 5)
    assert_equal(
        root_sift(image, LocalConfig(method="sift-vlad", longest_side=300)),
        root_sift(image, LocalConfig(method="sift-vlad", longest_side=8192)),
    )
    assert root_sift(image, LocalConfig(method="sift-vlad")).scale == 1.0


def test_contrast_threshold_drops_weak_keypoints() -> None:
    image = texture(300, 200, 6)
    counts = [
        len(root_sift(image, LocalConfig(method="sift-vlad", contrast_threshold=threshold)).points)
        for threshold in (0.01, 0.1, 0.3)
    ]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.usefixtures("cv_threads")
def test_equal_for_any_number_of_threads() -> None:
    image = texture(700, 500, 7)
    config = LocalConfig(method="sift-vlad", max_keypoints=500)
    cv2.setNumThreads(1)
    expected = root_sift(image, config)
    for threads in (2, 3, 8):
        cv2.setNumThreads(threads)
        assert_equal(root_sift(image, config), expected)
