"""The demo's pictures: what is written, that it repeats, and that it shows what it should."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from resight.demo import draw_collection, run_demo
from resight.demo.objects import FAMILIES, Thing, bricks, facade, lettering, marble, mix, noise
from resight.demo.scenes import LAMP, SIZE, lay, photograph, pose, shade, turned
from resight.errors import UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    steps: list[tuple[int, int]] = []
    file = draw_collection(
        folder,
        objects=1,
        views=2,
        clutter=1,
        seed=5,
        progress=lambda what, done, total: steps.append((done, total)),
    )
    return file, steps


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_groups_name_every_picture_once(drawn: tuple[Path, list[tuple[int, int]]]) -> None:
    file, steps = drawn
    assert file.name == "groups.json"
    groups = json.loads(file.read_text("utf-8"))
    assert groups["object-01"] == ["object-01/view-1.jpg", "object-01/view-2.jpg"]
    assert groups["clutter-01"] == ["clutter/01.jpg"]
    listed = [path for paths in groups.values() for path in paths]
    assert sorted([*listed, "groups.json"]) == sorted(contents(file.parent))
    assert steps == [(done, 3) for done in range(1, 4)]


def test_pictures_are_rgb_jpegs_of_camera_size(drawn: tuple[Path, list[tuple[int, int]]]) -> None:
    for path in drawn[0].parent.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size in (SIZE, SIZE[::-1])


@pytest.mark.slow
def test_a_seed_decides_every_byte(
    drawn: tuple[Path, list[tuple[int, int]]], tmp_path: Path
) -> None:
    again = draw_collection(tmp_path / "again", objects=1, views=2, clutter=1, seed=5)
    assert contents(again.parent) == contents(drawn[0].parent)
    other = draw_collection(tmp_path / "other", objects=1, views=1, clutter=0, seed=6)
    for name, data in contents(other.parent).items():
        assert data != contents(drawn[0].parent)[name]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    draw_collection(tmp_path, objects=1, views=1, clutter=0)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("wrong", [{"objects": 0}, {"views": 0}, {"clutter": -1}, {"seed": -1}])
def test_impossible_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        draw_collection(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken: cannot be written: "):
        draw_collection(tmp_path / "taken", objects=1, views=1, clutter=0)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_families_draw_different_rich_surfaces(family: Callable[..., Thing]) -> None:
    first, again, other = (family(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.surface.mode == "RGBA"
    assert 600 <= max(first.surface.size) <= 1200
    assert first.relief.shape == first.surface.size[::-1]
    assert first.surface.tobytes() == again.surface.tobytes()
    assert first.surface.tobytes() != other.surface.tobytes()
    gray = np.asarray(first.surface.convert("L"), np.float32)
    assert cv2.GaussianBlur(gray, (0, 0), 3).std() > 15
    assert (gray - cv2.GaussianBlur(gray, (0, 0), 3)).std() > 1


Features = tuple[Any, np.ndarray]


def sift_features(image: Image.Image) -> Features:
    sift = cv2.SIFT_create(1500, contrastThreshold=0.02)
    return sift.detectAndCompute(np.asarray(image.convert("L")), None)


def good_matches(first: Features, second: Features) -> int:
    """SIFT matches that pass Lowe's ratio test and agree on one homography."""
    (points_a, a), (points_b, b) = first, second
    pairs = cv2.BFMatcher().knnMatch(a, b, k=2)
    good = [best for best, second_best in pairs if best.distance < 0.75 * second_best.distance]
    if len(good) < 4:
        return 0
    source = np.array([points_a[match.queryIdx].pt for match in good], np.float32)
    target = np.array([points_b[match.trainIdx].pt for match in good], np.float32)
    _, inliers = cv2.findHomography(source, target, cv2.RANSAC, 4.0)
    return 0 if inliers is None else int(inliers.sum())


@pytest.mark.slow
def test_views_match_their_own_object_and_not_its_sibling() -> None:
    """Two house fronts are of one family, and differ by their geometry."""
    views = []
    for seed in (1, 2):
        house = facade(np.random.default_rng(seed))
        pair = [photograph(np.random.default_rng((seed, k)), house, 0.9) for k in (0, 1)]
        views.append([sift_features(view) for view in pair])
    own = [good_matches(*pair) for pair in views]
    across = [good_matches(a, b) for a in views[0] for b in views[1]]
    assert min(own) > 2 * max(across)
    assert min(own) >= 25


@given(
    st.integers(0, 10**9),
    st.floats(0, 1),
    st.sampled_from([(780, 1150), (1138, 700)]),
    st.sampled_from([0.0, 0.1, 0.45]),
    st.sampled_from([None, np.ones(9)]),
)
def test_objects_lie_wholly_in_the_picture(
    seed: int, ease: float, side: tuple[int, int], depth: float, profile: np.ndarray | None
) -> None:
    thing = Thing(Image.new("RGBA", side), np.zeros(side[::-1]), "table", 0.0, depth, profile)
    corners, back = pose(np.random.default_rng(seed), thing, side, SIZE, ease)
    assert corners.shape == back.shape == (4, 2)
    both = np.vstack([corners, back])
    assert (both > -0.01).all()
    assert (both < np.array(SIZE) + 0.01).all()
    assert (np.ptp(both, axis=0) / SIZE).max() >= 0.49
    # Seen from the front and not mirrored: every corner turns clockwise (y points downwards).
    edges = np.roll(corners, -1, axis=0) - corners
    following = np.roll(edges, -1, axis=0)
    assert (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > 0).all()


def test_a_bump_is_bright_toward_the_light_and_dark_behind() -> None:
    y, x = np.mgrid[-20:20, -20:20]
    bump = 10 * np.exp(-(x**2 + y**2) / 50)
    lit = shade(np.full((40, 40, 3), 100.0), bump, LAMP, 0.0)[..., 0]
    flat = lit[0, 0]
    assert flat == pytest.approx(100 * (0.35 + 0.75 * LAMP[2]), rel=0.01)
    assert lit[16, 16] > 1.2 * flat  # the light comes from the upper left
    assert lit[24, 24] < 0.8 * flat


def test_a_turned_object_shows_the_front_of_its_surface_within_its_profile() -> None:
    surface = np.full((50, 200, 4), 255, np.float32)
    surface[:, :100, 1:3] = 0  # red on the left
    profile = np.linspace(0.2, 0.4, 20)
    thing = Thing(Image.new("RGBA", (200, 50)), np.zeros((50, 200)), "table", 0, 0, profile)
    seen = turned(surface, thing, np.array([0.0, 0.0, 1.0]), 0.0, 0.1)
    height, width = seen.shape[:2]
    widths = (seen[..., 3] > 0).sum(axis=1)
    assert widths[height // 4] < widths[height // 2] < widths[3 * height // 4] <= width
    row = seen[height // 2, seen[height // 2, :, 3] > 0]
    assert (row[5 : len(row) // 2 - 3, 1] == 0).all()
    assert (row[len(row) // 2 + 3 : -5, 1] > 50).all()
    assert row[len(row) // 2 + 3, 1] > row[-5, 1]  # less light where it turns away
    back = turned(surface, thing, np.array([0.0, 0.0, 1.0]), np.pi, 0.1)[height // 2]
    assert back[width // 2 - 20, 1] > 50
    assert back[width // 2 + 20, 1] == 0


def test_bricks_have_one_tone_each_and_staggered_joints() -> None:
    tone, joint = bricks(np.random.default_rng(0), 60, 120, 20, 40)
    assert tone.shape == joint.shape == (60, 120)
    assert joint[:3].all()
    assert joint[:, :3].all(axis=1).tolist() == [
        row % 20 < 3 or row // 20 % 2 == 0 for row in range(60)
    ]
    assert len(np.unique(tone[:20, :40])) == 1
    assert len(np.unique(tone)) > 6


def test_lay_puts_the_texture_upright_at_its_corners_with_a_shadow() -> None:
    scene = np.full((80, 100, 3), 100, np.float32)
    corners = np.array([(20, 10), (60, 10), (60, 50), (20, 50)], np.float32)
    texture = Image.new("RGBA", (200, 200), (0, 0, 0, 255))
    texture.paste((255, 0, 0, 255), (0, 0, 100, 100))
    lay(scene, texture, corners, 3.0)
    assert scene[20, 30].tolist() == pytest.approx([255, 0, 0], abs=1)
    for y, x in ((20, 50), (40, 30), (40, 50)):
        assert scene[y, x].max() < 1
    assert scene[52, 50, 0] < 75  # below, in the shadow
    assert scene[5, 40, 0] > 97  # above, in the light
    before = scene.copy()
    lay(scene, Image.new("RGBA", (50, 50), (9, 9, 9, 0)), corners, 3.0)
    assert np.array_equal(scene, before)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1, 60), st.integers(1, 4))
def test_noise_has_its_shape_and_range(height: int, width: int, cell: float, octaves: int) -> None:
    values = noise(np.random.default_rng(0), height, width, cell, octaves)
    assert values.shape == (height, width)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1


@given(st.integers(1, 40), st.integers(1, 40), st.floats(2, 60), st.floats(0, 2))
def test_marble_has_its_shape_and_range(height: int, width: int, cell: float, swirl: float) -> None:
    values = marble(np.random.default_rng(0), height, width, cell, swirl)
    assert values.shape == (height, width)
    assert values.min() >= 0
    assert values.max() <= 1


def test_mix_goes_from_the_first_color_to_the_second() -> None:
    a, b = (0, 100, 200), (100, 100, 0)
    assert [mix(a, b, share) for share in (0, 0.5, 1)] == [a, (50, 100, 100), b]


@pytest.mark.parametrize("space", [(300, 20), (60, 100), (300, 100)])
def test_lettering_stays_in_its_space(space: tuple[int, int]) -> None:
    image = Image.new("L", (400, 200))
    lettering(ImageDraw.Draw(image), (200, 100), "MERIDIAN", space, 255)
    left, top, right, bottom = image.getbbox()
    assert right - left <= space[0] + 2
    assert bottom - top <= space[1] * 1.15 + 2
    assert abs((left + right) / 2 - 200) < 4


def test_no_photo_is_replaced(tmp_path: Path) -> None:
    photo = tmp_path / "object-01" / "view-1.jpg"
    photo.parent.mkdir()
    Image.new("RGB", (4, 3)).save(photo)
    before = photo.read_bytes()
    with pytest.raises(UsageError, match=r"view-1\.jpg: exists, and may be a photo"):
        draw_collection(tmp_path, objects=1, views=1, clutter=0)
    assert photo.read_bytes() == before
    photo.unlink()
    for _ in range(2):  # what an earlier run drew is no obstacle
        draw_collection(tmp_path, objects=1, views=1, clutter=0)


def test_the_sheet_of_the_demo_replaces_no_photo(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "matches.jpg")
    with pytest.raises(UsageError, match=r"matches\.jpg: exists, and may be a photo"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["matches.jpg"]
