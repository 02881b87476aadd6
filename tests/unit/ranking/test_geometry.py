"""Matching against brute force, homographies with exact answers, and errors."""

import itertools
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from threadpoolctl import threadpool_limits

import resight.ranking.geometry
from resight.config import LocalConfig
from resight.descriptors.local_features.rootsift import LocalFeatures, root_sift
from resight.ranking.geometry import (
    MIN_INLIERS,
    Verification,
    mutual_matches,
    order_by_inliers,
    verify,
)
from views import texture


def features_of(pixels: np.ndarray, longest_side: int = 1024) -> LocalFeatures:
    config = LocalConfig(method="sift-vlad", longest_side=longest_side, max_keypoints=600)
    return root_sift(Image.fromarray(pixels), config)


def unit_rows(count: int, seed: int, size: int = 128) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def grid(columns: int = 6, rows: int = 5, step: float = 40) -> np.ndarray:
    """Points in general position, about `step` pixels apart."""
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    wobble = np.random.default_rng(0).uniform(-0.3, 0.3, (columns * rows, 2))
    return (np.stack([x.ravel(), y.ravel()], axis=1) + 1 + wobble) * step


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    x = np.column_stack([points, np.ones(len(points))]) @ np.asarray(homography, float).T
    return x[:, :2] / x[:, 2:]


def pair(
    source: np.ndarray, target: np.ndarray, scale: float = 1.0
) -> tuple[LocalFeatures, LocalFeatures]:
    """Return two images whose features match one to one, in the order given."""
    descriptors = unit_rows(len(source), 1)
    return (
        LocalFeatures(source.astype(np.float32), descriptors),
        LocalFeatures(target.astype(np.float32), descriptors, scale),
    )


@pytest.fixture
def cv_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


VIEWS = {
    "perspective": [[0.9, 0.15, 20], [-0.1, 1.05, 30], [2e-4, 1e-4, 1]],
    "half size, turned": [[0.35, -0.35, 250], [0.35, 0.35, 20], [0, 0, 1]],
    "enlarged": [[1.8, 0.1, -150], [0, 1.7, -120], [0, 0, 1]],
}


@pytest.mark.parametrize("view", VIEWS)
def test_a_homography_is_recovered(view: str) -> None:
    pixels, homography = texture(480, 360, 0), np.array(VIEWS[view])
    query = features_of(pixels)
    other = features_of(cv2.warpPerspective(pixels, homography, (480, 360)))
    result = verify(query, other)
    assert result.inliers > 40
    assert result.homography is not None
    assert result.homography.shape == (3, 3)
    assert result.homography[2, 2] == 1
    assert result.matches.shape == (result.inliers, 2)
    source, target = query.points[result.matches[:, 0]], other.points[result.matches[:, 1]]
    errors = np.linalg.norm(project(homography, source) - target, axis=1)
    assert np.median(errors) < 1
    assert errors.max() < 12
    actual, expected = project(result.homography, source), project(homography, source)
    assert np.abs(actual - expected).max() < 1.5


@pytest.mark.parametrize("view", VIEWS)
def test_an_affine_map_follows_all_but_perspective(view: str) -> None:
    pixels, homography = texture(480, 360, 0), np.array(VIEWS[view])
    query = features_of(pixels)
    other = features_of(cv2.warpPerspective(pixels, homography, (480, 360)))
    free, affine = verify(query, other), verify(query, other, geometry="affine")
    assert affine.homography is not None
    assert affine.homography[2].tolist() == [0, 0, 1]
    if view == "perspective":
        assert MIN_INLIERS <= affine.inliers < free.inliers
        return
    assert affine.inliers > 0.9 * free.inliers
    source = query.points[affine.matches[:, 0]]
    actual, expected = project(affine.homography, source), project(homography, source)
    assert np.abs(actual - expected).max() < 1.5


def test_homography_is_in_pixels_of_the_images_given() -> None:
    pixels, homography = texture(480, 360, 1), np.array(VIEWS["perspective"])
    warped = cv2.warpPerspective(pixels, homography, (480, 360))
    large = cv2.resize(warped, (1440, 1080), interpolation=cv2.INTER_CUBIC)
    query, other = features_of(pixels), features_of(large, longest_side=480)
    assert (query.scale, other.scale) == (1.0, 3.0)
    result = verify(query, other)
    assert result.inliers > 100
    assert result.homography is not None
    corners = np.array([[60, 60], [400, 60], [400, 300], [60, 300]])
    expected = (project(homography, corners) + 0.5) * 3 - 0.5
    assert np.abs(project(result.homography, corners) - expected).max() < 3


@pytest.mark.parametrize("seed", range(8))
def test_unrelated_images_have_few_inliers(seed: int) -> None:
    query = features_of(texture(320, 240, 10 + seed))
    other = features_of(texture(320, 240, 50 + seed))
    assert verify(query, other).inliers < MIN_INLIERS
    assert verify(query, other, ratio=1.0).inliers < MIN_INLIERS
    assert verify(query, other, geometry="affine").inliers < MIN_INLIERS


@pytest.mark.usefixtures("cv_threads")
def test_equal_from_run_to_run_and_for_any_number_of_threads() -> None:
    pixels = texture(320, 240, 2)
    warped = cv2.warpPerspective(pixels, np.array(VIEWS["perspective"]), (320, 240))
    query, other = features_of(pixels), features_of(warped)
    cv2.setNumThreads(1)
    expected = verify(query, other, seed=3)
    for threads in (1, 2, 4):
        cv2.setNumThreads(threads)
        with threadpool_limits(threads):
            actual = verify(query, other, seed=3)
        np.testing.assert_array_equal(actual.matches, expected.matches)
        assert actual.homography is not None
        assert expected.homography is not None
        np.testing.assert_array_equal(actual.homography, expected.homography)


def test_outliers_are_left_out() -> None:
    source = grid()
    target = project(np.array(VIEWS["perspective"]), source)
    wrong = np.arange(len(source)) % 3 > 0  # two thirds
    rng = np.random.default_rng(4)
    target[wrong] += rng.uniform(40, 200, (wrong.sum(), 2)) * rng.choice([-1, 1], (wrong.sum(), 2))
    for seed in range(5):
        result = verify(*pair(source, target), seed=seed)
        np.testing.assert_array_equal(result.matches[:, 0], np.flatnonzero(~wrong))
        np.testing.assert_array_equal(result.matches[:, 1], result.matches[:, 0])
        assert result.inliers == 10


ACCEPTED = {
    "the same": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "upside down": [[-1, 0, 300], [0, -1, 300], [0, 0, 1]],
    "six times larger": [[6, 0, 5], [0, 6, 5], [0, 0, 1]],
    "six times smaller": [[1 / 6, 0, 5], [0, 1 / 6, 5], [0, 0, 1]],
    "foreshortened": [[0.25, 0, 5], [0, 1, 5], [0, 0, 1]],
}
REFUSED = {
    "mirrored": [[-1, 0, 300], [0, 1, 0], [0, 0, 1]],
    "mirrored and turned": [[0, 1, 0], [1, 0, 0], [0, 0, 1]],
    "thirty times larger": [[30, 0, 0], [0, 30, 0], [0, 0, 1]],
    "thirty times smaller": [[1 / 30, 0, 0], [0, 1 / 30, 0], [0, 0, 1]],
    "stretched": [[1, 0, 0], [0, 16, 0], [0, 0, 1]],
    "collapsed to a line": [[1, 0, 0], [0, 0, 50], [0, 0, 1]],
}


@pytest.mark.parametrize("view", ACCEPTED)
def test_possible_views_are_accepted(view: str) -> None:
    source = grid()
    result = verify(*pair(source, project(np.array(ACCEPTED[view]), source)))
    assert result.inliers == len(source)


def test_the_corner_of_the_query_may_lie_beyond_the_horizon() -> None:
    # The homogeneous coordinate is 0.006 x - 0.44: below zero at x = 0, above it at all points.
    homography = np.array([[1, 0, -240], [0, 1, -240], [0.006, 0, -0.44]])
    source = grid() + 100
    result = verify(*pair(source, project(homography, source)))
    assert result.inliers == len(source)
    assert result.homography is not None
    np.testing.assert_allclose(result.homography, homography / -0.44, rtol=1e-3, atol=1e-3)


def test_points_beyond_the_horizon_are_left_out() -> None:
    source = grid() + 100
    homography = np.array([[1, 0, -240], [0, 1, -240], [0.01, 0, -2]])  # horizon at x = 200
    target = project(homography, source)
    near = np.abs(source[:, 0] - 200) > 15
    result = verify(*pair(source[near], target[near]))
    sides = set(source[near][result.matches[:, 0]][:, 0] > 200)
    assert len(sides) < 2


def test_points_of_a_mirrored_map_do_not_agree() -> None:
    # OpenCV finds no mirrored homography by itself; the check must hold without it.
    source = grid()
    for view, count in [("the same", len(source)), ("mirrored", 0)]:
        homography = np.array({**ACCEPTED, **REFUSED}[view], float)
        target = project(homography, source)
        agree = resight.ranking.geometry._agreeing(homography, source, target, 1.0)
        assert agree.sum() == count


@pytest.mark.parametrize("view", REFUSED)
def test_impossible_views_are_refused(view: str) -> None:
    source = grid()
    # A tolerance far above the deviation: only the view decides.
    result = verify(*pair(source, project(np.array(REFUSED[view]), source)), max_error=8)
    assert result.inliers == 0
    assert result.homography is None
    assert result.matches.shape == (0, 2)


def test_everything_on_one_point_is_refused() -> None:
    source = grid()
    rng = np.random.default_rng(5)
    for spread in (0, 0.01, 1):
        target = 100 + rng.uniform(-spread, spread, source.shape)
        assert verify(*pair(source, target)).inliers < MIN_INLIERS
        assert verify(*pair(target, source)).inliers < MIN_INLIERS


def test_max_error_counts_in_pixels_of_the_copy() -> None:
    source = grid()
    target = source.copy()
    target[0] += 5.0  # 7.1 pixels off
    assert verify(*pair(source, target), max_error=6).inliers == len(source) - 1
    assert verify(*pair(source, target), max_error=9).inliers == len(source)
    result = verify(*pair(source, target * 3, scale=3.0), max_error=6)
    assert result.inliers == len(source) - 1
    assert result.homography is not None
    np.testing.assert_allclose(result.homography, np.diag([3, 3, 1]), atol=0.5)
    small, large = pair(source, target * 3, scale=3.0)
    result = verify(large, small, max_error=6)
    assert result.inliers == len(source) - 1
    assert result.homography is not None
    np.testing.assert_allclose(result.homography, np.diag([1 / 3, 1 / 3, 1]), atol=0.2)
    assert verify(small, large, max_error=9).inliers == len(source)
    assert verify(large, small, max_error=9).inliers == len(source)


def test_the_error_counts_there_and_back() -> None:
    source = grid()
    target = project(np.array(ACCEPTED["six times smaller"]), source)
    target[0] += 2.0  # 2.8 pixels there, 17 back
    for query, other in [pair(source, target), pair(target, source)]:
        result = verify(query, other, max_error=6)
        np.testing.assert_array_equal(result.matches[:, 0], np.arange(1, len(source)))


def test_noise_up_to_the_error_is_taken() -> None:
    source = grid(9, 9)
    noise = np.random.default_rng(9).uniform(-20, 20, source.shape)
    assert verify(*pair(source, source + noise), max_error=45).inliers == len(source)


def test_another_seed_draws_other_samples() -> None:
    source = grid()
    target = source + np.random.default_rng(8).normal(0, 6, source.shape)
    results = [verify(*pair(source, target), seed=seed) for seed in range(8)]
    assert all(result.homography is not None for result in results)
    assert len({np.asarray(result.homography).tobytes() for result in results}) > 1


@pytest.mark.parametrize("count", range(6))
def test_few_matches(count: int) -> None:
    source = grid(3, 2)[:count]
    result = verify(*pair(source, source))
    assert result.inliers == (count if count >= 4 else 0)
    assert isinstance(result, Verification)


def test_no_features() -> None:
    nothing = LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    something = pair(grid(), grid())[0]
    for query, other in [(nothing, nothing), (nothing, something), (something, nothing)]:
        result = verify(query, other)
        assert (result.inliers, result.homography, result.matches.shape) == (0, None, (0, 2))


def test_orientations_of_one_place_count_once() -> None:
    places = grid(3, 2)
    assert verify(*pair(places.repeat(3, axis=0), places.repeat(3, axis=0))).inliers == 6
    near = places.repeat(3, axis=0) + np.tile([[0], [0.1], [0.2]], (6, 1))
    assert verify(*pair(places.repeat(3, axis=0), near)).inliers == 6
    assert verify(*pair(near, places.repeat(3, axis=0))).inliers == 6
    three = places[[0, 1, 5]].repeat(4, axis=0)
    assert verify(*pair(three, three)).inliers == 0


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    values=st.sampled_from([1, 2, 5, 1000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_chance_points_never_fail(count: int, values: int, seed: int) -> None:
    # Few values make coinciding and collinear points.
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, values, (2, count, 2)).astype(np.float64)
    query, other = pair(source, target)
    result = verify(query, other)
    assert result.inliers == len(result.matches)
    assert (result.homography is None) == (result.inliers == 0)
    if result.homography is not None:
        assert result.inliers >= 4
        mapped = project(result.homography, source[result.matches[:, 0]])
        errors = np.linalg.norm(mapped - target[result.matches[:, 1]], axis=1)
        assert errors.max() <= 6.01


def slow_matches(query: np.ndarray, other: np.ndarray, ratio: float) -> list[tuple[int, int]]:
    """Match by the definition: mutual nearest neighbors, then Lowe's ratio."""
    distances = np.array([[float(np.linalg.norm(q - o)) for o in other] for q in query])
    pairs = []
    for i, row in enumerate(distances):
        j = int(np.argmin(row))
        second = min((d for k, d in enumerate(row) if k != j), default=np.inf)
        if int(np.argmin(distances[:, j])) == i and row[j] < ratio * second:
            pairs.append((i, j))
    return pairs


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 25), st.integers(1, 25)),
    ratio=st.sampled_from([0.7, 0.8, 0.95]),
    seed=st.integers(0, 2**32 - 1),
)
def test_matches_equal_brute_force(sizes: tuple[int, int], ratio: float, seed: int) -> None:
    # Three dimensions: near and ambiguous neighbors are common.
    query, other = unit_rows(sizes[0], seed, 3), unit_rows(sizes[1], seed + 1, 3)
    distances = np.linalg.norm(query[:, None].astype(float) - other[None], axis=2)
    nearest = np.sort(distances, axis=1)
    actual = {tuple(map(int, pair)) for pair in mutual_matches(query, other, ratio)}
    for i, j in actual ^ set(slow_matches(query, other, ratio)):
        # Only rounding may differ.
        assert abs(nearest[i, 0] ** 2 - (ratio * nearest[i, 1]) ** 2) < 3e-5, (i, j)


def test_matches_hand_counted() -> None:
    query = np.array([[1, 0, 0], [0, 1, 0], [0.8, 0.6, 0]], np.float32)
    other = np.array([[0, 1, 0], [0.96, 0.28, 0], [0, 0, 1]], np.float32)
    # 0 and 2 are nearest to 1, which is nearer to 0 (0.283 against 0.358); 1 is 0 itself.
    matches = mutual_matches(query, other, 0.8)
    assert matches.dtype == np.int64
    assert matches.tolist() == [[0, 1], [1, 0]]


def test_a_descriptor_that_occurs_twice_matches_nothing() -> None:
    rows = unit_rows(20, 6)
    assert len(mutual_matches(rows, rows, 0.8)) == 20
    assert len(mutual_matches(rows, np.concatenate([rows, rows]), 0.8)) == 0
    assert len(mutual_matches(rows[:1], rows[:1], 0.8)) == 1


@pytest.mark.parametrize("values", [1, 50, 333])
def test_chunks_change_nothing(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    query, other = unit_rows(40, 7, 4), unit_rows(30, 8, 4)
    expected = mutual_matches(query, other, 0.9)
    assert len(expected) > 3
    monkeypatch.setattr(resight.ranking.geometry, "CHUNK_VALUES", values)
    np.testing.assert_array_equal(mutual_matches(query, other, 0.9), expected)


def test_rerank_by_inliers() -> None:
    assert order_by_inliers([0, 9, 3, 40, 9], 8) == [3, 1, 4, 0, 2]
    assert order_by_inliers([7, 7, 7, 7, 7], 8) == [0, 1, 2, 3, 4]
    assert order_by_inliers([]) == []


def test_what_was_not_verified_keeps_its_place() -> None:
    assert order_by_inliers([0, None, 9, 3, None, 40], 8) == [5, 1, 2, 0, 4, 3]
    assert order_by_inliers([None, None], 8) == [0, 1]


@given(counts=st.lists(st.integers(0, 20), max_size=12))
def test_rerank_properties(counts: list[int]) -> None:
    actual = order_by_inliers(counts, 8)
    assert sorted(actual) == list(range(len(counts)))
    moved = sum(count >= 8 for count in counts)
    assert all(counts[i] >= 8 for i in actual[:moved])
    assert actual[moved:] == sorted(actual[moved:])
    for a, b in itertools.pairwise(actual[:moved]):
        assert counts[a] > counts[b] or (counts[a] == counts[b] and a < b)
