"""The demo's pictures: what is written, that it repeats, and that they show what they should."""

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from resight.demo import draw_collection
from resight.demo.collection import FAMILIES
from resight.demo.paint import PALETTES, Color, font, lettering, mix, noise, polar
from resight.demo.scenes import SIZE, Thing, lay, photograph, pose, still_life
from resight.errors import UsageError


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    steps: list[tuple[int, int]] = []
    file = draw_collection(
        folder / "new" / "folder",
        objects=3,
        views=2,
        clutter=2,
        seed=5,
        progress=lambda done, total: steps.append((done, total)),
    )
    return file, steps


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_groups_name_every_picture_once(drawn):
    file, _ = drawn
    assert file.name == "groups.json"
    assert json.loads(file.read_text("utf-8")) == {
        "object-01": ["object-01/view-1.jpg", "object-01/view-2.jpg"],
        "object-02": ["object-02/view-1.jpg", "object-02/view-2.jpg"],
        "object-03": ["object-03/view-1.jpg", "object-03/view-2.jpg"],
        "clutter-01": ["clutter/01.jpg"],
        "clutter-02": ["clutter/02.jpg"],
    }
    listed = [p for paths in json.loads(file.read_text("utf-8")).values() for p in paths]
    assert sorted([*listed, "groups.json"]) == sorted(contents(file.parent))


def test_pictures_are_rgb_jpegs_of_camera_size(drawn):
    file, _ = drawn
    for path in file.parent.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size in (SIZE, SIZE[::-1])


def test_progress_counts_every_picture(drawn):
    _, steps = drawn
    assert steps == [(done, 8) for done in range(1, 9)]


def test_default_collection_is_large_enough():
    defaults = draw_collection.__kwdefaults__
    assert defaults["objects"] >= 15
    assert defaults["views"] >= 4
    assert defaults["objects"] > len(FAMILIES)  # some families come twice


def test_equal_seeds_give_equal_bytes(drawn, tmp_path):
    file, _ = drawn
    again = draw_collection(tmp_path, objects=3, views=2, clutter=2, seed=5)
    assert contents(again.parent) == contents(file.parent)


def test_another_seed_gives_other_pictures(drawn, tmp_path):
    file, _ = drawn
    other = draw_collection(tmp_path, objects=1, views=2, clutter=0, seed=6).parent
    for path in ("object-01/view-1.jpg", "object-01/view-2.jpg"):
        assert (other / path).read_bytes() != (file.parent / path).read_bytes()


def test_fewer_objects_are_the_same_objects(drawn, tmp_path):
    file, _ = drawn
    fewer = draw_collection(tmp_path, objects=1, views=2, clutter=0, seed=5).parent
    pictures = {p: b for p, b in contents(fewer).items() if p.endswith(".jpg")}
    assert pictures.items() <= contents(file.parent).items()
    assert len(pictures) == 2


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    draw_collection(tmp_path, objects=1, views=1, clutter=0)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objects": 0}, "objects and views"),
        ({"views": 0}, "objects and views"),
        ({"clutter": -1}, "clutter and seed"),
        ({"seed": -1}, "clutter and seed"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path, wrong, message):
    with pytest.raises(UsageError, match=message):
        draw_collection(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken: cannot be written to"):
        draw_collection(tmp_path / "taken", objects=1, views=1, clutter=0)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_families_draw_different_rich_textures(family):
    first, again, other = (
        family(np.random.default_rng(seed), palette)
        for seed, palette in ((1, PALETTES[0]), (1, PALETTES[0]), (2, PALETTES[1]))
    )
    assert first.mode == "RGBA"
    assert 600 <= max(first.size) <= 1200
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    small = cv2.resize(np.asarray(first.convert("L")), None, fx=0.4, fy=0.4, interpolation=3)
    assert len(cv2.SIFT_create(contrastThreshold=0.02).detect(small, None)) > 150


def test_there_are_more_palettes_than_families():
    assert len(PALETTES) > len(FAMILIES)
    assert len(set(PALETTES)) == len(PALETTES)


def good_matches(first: Image.Image, second: Image.Image) -> int:
    """SIFT matches that pass Lowe's ratio test and one homography."""
    sift = cv2.SIFT_create(1500, contrastThreshold=0.02)
    (points_a, a), (points_b, b) = (
        sift.detectAndCompute(np.asarray(image.convert("L")), None) for image in (first, second)
    )
    similarity = a @ b.T
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * similarity
    nearest = np.argsort(squared, axis=1)[:, :2]
    rows = np.arange(len(a))
    good = squared[rows, nearest[:, 0]] < 0.75**2 * squared[rows, nearest[:, 1]]
    if good.sum() < 4:
        return 0
    source = np.array([points_a[i].pt for i in rows[good]], np.float32)
    target = np.array([points_b[i].pt for i in nearest[good, 0]], np.float32)
    _, kept = cv2.findHomography(source, target, cv2.RANSAC, 4.0)
    return 0 if kept is None else int(kept.sum())


def test_views_match_their_own_object_and_not_its_sibling():
    """Two carpets: of one family, told apart by their geometry."""
    carpets = [Thing(FAMILIES[0](np.random.default_rng(seed), PALETTES[seed])) for seed in (1, 2)]
    views = [
        [photograph(np.random.default_rng((seed, k)), carpet, 0.7) for k in range(2)]
        for seed, carpet in enumerate(carpets)
    ]
    own = [good_matches(*pair) for pair in views]
    across = [good_matches(a, b) for a in views[0] for b in views[1]]
    assert min(own) > 2 * max(across)
    assert min(own) >= 25


def test_still_lifes_have_camera_size():
    image = still_life(np.random.default_rng(0))
    assert image.mode == "RGB"
    assert image.size in (SIZE, SIZE[::-1])


@given(st.integers(0, 10**9), st.floats(0, 1), st.sampled_from([(780, 1150), (1138, 700)]))
def test_objects_are_wholly_in_the_picture_and_neither_tiny_nor_too_large(seed, ease, texture):
    rng = np.random.default_rng(seed)
    corners = pose(rng, Thing(Image.new("RGBA", texture)), SIZE, ease)
    assert corners.shape == (4, 2)
    assert (corners >= 0).all()
    assert (corners <= SIZE).all()
    assert 0.2 <= np.ptp(corners[:, 0]) / SIZE[0] <= 0.86
    # Seen from the front and not mirrored: every corner turns clockwise (y points downwards).
    edges = np.roll(corners, -1, axis=0) - corners
    following = np.roll(edges, -1, axis=0)
    assert (edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0] > 0).all()


def test_lay_puts_the_texture_at_its_corners():
    scene = np.zeros((80, 100, 3), np.float32)
    corners = np.array([(20, 10), (60, 10), (60, 50), (20, 50)], np.float32)
    lay(scene, Image.new("RGBA", (200, 200), (200, 100, 50, 255)), corners, 3.0)
    assert np.abs(scene[12:48, 22:58] - (200, 100, 50)).max() < 1
    scene[9:52, 19:62] = 0
    assert not scene.any()


def test_lay_shows_the_texture_upright():
    scene = np.zeros((60, 60, 3), np.float32)
    texture = Image.new("RGBA", (100, 100), (0, 0, 0, 255))
    texture.paste((255, 0, 0, 255), (0, 0, 50, 50))
    lay(scene, texture, np.array([(10, 10), (50, 10), (50, 50), (10, 50)], np.float32), 2.0)
    assert scene[20, 20, 0] > 250
    for y, x in ((20, 40), (40, 20), (40, 40)):
        assert scene[y, x, 0] < 5


def test_lay_casts_a_shadow_to_the_lower_right_only_where_the_texture_is_opaque():
    scene = np.full((100, 100, 3), 100, np.float32)
    corners = np.array([(30, 30), (60, 30), (60, 60), (30, 60)], np.float32)
    lay(scene, Image.new("RGBA", (50, 50), (9, 9, 9, 0)), corners, 6.0)
    assert (scene == 100).all()
    lay(scene, Image.new("RGBA", (50, 50), (9, 9, 9, 255)), corners, 6.0)
    assert scene[62, 55, 0] < 75
    assert scene[25, 45, 0] > 97


@pytest.mark.parametrize("offset", [(-500, 0), (0, -500), (500, 0), (0, 500)])
def test_lay_leaves_the_scene_alone_when_the_texture_is_outside(offset):
    scene = np.full((50, 50, 3), 7, np.float32)
    corners = np.array([(0, 0), (20, 0), (20, 20), (0, 20)], np.float32) + np.float32(offset)
    lay(scene, Image.new("RGBA", (50, 50), (255, 255, 255, 255)), corners, 5.0)
    assert (scene == 7).all()


def test_later_views_are_harder():
    """With less ease, the picture is blurrier or noisier and the object smaller, on the mean."""
    widths = []
    for ease in (1.0, 0.0):
        poses = [
            pose(np.random.default_rng(k), Thing(Image.new("RGBA", (1138, 700))), SIZE, ease)
            for k in range(60)
        ]
        widths.append(np.mean([np.ptp(corners[:, 0]) for corners in poses]))
    assert widths[0] > 1.2 * widths[1]


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1, 60), st.integers(1, 4))
def test_noise_has_the_asked_shape_and_range(height, width, cell, octaves):
    values = noise(np.random.default_rng(0), height, width, cell, octaves)
    assert values.shape == (height, width)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1


def test_noise_is_smooth_within_a_cell():
    values = noise(np.random.default_rng(1), 64, 64, 32)
    assert max(np.abs(np.diff(values, axis=axis)).max() for axis in (0, 1)) < 0.12
    assert np.ptp(values) > 0.2


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, (5, 3)), (90, (7, 5)), (180, (5, 7)), (270, (3, 5))]
)
def test_convention_angles_start_up_and_grow_clockwise(degrees, expected):
    assert polar((5, 5), 2, degrees) == pytest.approx(expected)


def test_mix_goes_from_the_first_color_to_the_second():
    a: Color = (0, 100, 200)
    b: Color = (100, 100, 0)
    assert [mix(a, b, share) for share in (0, 0.5, 1)] == [a, (50, 100, 100), b]


@pytest.mark.parametrize("room", [(300, 20), (60, 100), (300, 100)])
def test_lettering_stays_in_its_room(room):
    image = Image.new("L", (400, 200))
    from PIL import ImageDraw

    lettering(ImageDraw.Draw(image), (200, 100), "MERIDIAN", room, 255, bold=0.05)
    left, top, right, bottom = image.getbbox()
    assert right - left <= room[0] + 2
    assert bottom - top <= room[1] * 1.15 + 2
    assert abs((left + right) / 2 - 200) < 4
    widths = [font(size).getlength("M") for size in (10, 20, 40)]
    assert all(small < large for small, large in pairwise(widths))
