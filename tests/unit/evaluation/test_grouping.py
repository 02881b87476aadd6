"""Groups by evidence: views are joined, and copies; shared tables and blanks join nothing."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import resight
import samples
from resight.evaluation import pair_processes
from views import pasted, texture, view


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views, copies, things on one table, strangers, and blank pictures."""
    root = tmp_path_factory.mktemp("grouping")
    folder = root / "photos"
    folder.mkdir()
    thing, other = texture(480, 360, seed=1), texture(480, 360, seed=2)
    for number in range(3):
        save(folder / f"view-{number}.png", view(thing, seed=number, strength=0.05))
    save(folder / "original.png", other)
    save(folder / "small.png", cv2.resize(other, (320, 240), interpolation=cv2.INTER_AREA))
    table = texture(480, 360, seed=3)
    for number in range(7):
        on_table = pasted(view(table, seed=number), texture(280, 230, seed=60 + number), 90, 60)
        save(folder / f"table-{number}.png", on_table)
    for number in range(9):
        save(folder / f"stranger-{number}.png", texture(480, 360, seed=20 + number))
    for number in range(3):
        save(folder / f"blank-{number}.png", np.full((90, 120, 3), 90 + number, np.uint8))
    shutil.copy(folder / "blank-0.png", folder / "blank-copy.png")
    samples.index(folder, root / "c")
    return root / "c"


def save(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


def named(groups: resight.Groups) -> list[tuple[str, list[str]]]:
    return sorted((group.kind, sorted(path.stem for path in group.paths)) for group in groups)


def test_what_shows_the_same_thing_is_grouped(collection: Path) -> None:
    groups = resight.groups(collection)
    assert groups.limit is None
    assert named(groups) == [
        ("near-duplicate", ["blank-0", "blank-copy"]),
        ("near-duplicate", ["original", "small"]),
        ("same-thing", ["view-0", "view-1", "view-2"]),
    ]


def test_many_pairs_are_compared_in_processes(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequential = resight.groups(collection)
    monkeypatch.setattr(pair_processes, "MIN_PAIRS", 1)
    monkeypatch.setattr(pair_processes, "PROCESSES", 2)
    assert resight.groups(collection).to_dict() == sequential.to_dict()


def test_a_limit_groups_by_distance_alone(collection: Path) -> None:
    assert resight.groups(collection, limit=0).limit == 0
    everything = resight.groups(collection, limit=1e6)
    assert max(len(group.paths) for group in everything) > 10


def test_details_are_compared_with_progress(collection: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    resight.groups(collection, progress=lambda *stage: stages.append(stage))
    details = [(done, total) for name, done, total in stages if name == "comparing details"]
    assert details[-1][0] == details[-1][1] == len(details)


@pytest.mark.parametrize("limit", [None, 0.6])
def test_many_copies_change_no_other_group(
    collection: Path, tmp_path: Path, limit: float | None
) -> None:
    shutil.copytree(collection, tmp_path / "c")
    photos = tmp_path / "copies"
    photos.mkdir()
    for number in range(30):
        shutil.copy(collection.parent / "photos" / "view-0.png", photos / f"copy-{number:02}.png")
    samples.index(photos, tmp_path / "c")
    before, after = (resight.groups(c, limit=limit) for c in (collection, tmp_path / "c"))
    assert after.estimated_limit == before.estimated_limit
    copies = [f"copy-{number:02}" for number in range(30)]
    expected = [
        (kind, sorted([*names, *copies]) if "view-0" in names else names)
        for kind, names in named(before)
    ]
    assert named(after) == sorted([*expected, ("near-duplicate", [*copies, "view-0"])])


@pytest.mark.slow
def test_pages_of_text_are_apart_and_edited_copies_together(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    expected = []
    for number in range(4):
        samples.text_page(number).save(folder / f"page-{number}.png")
        photo = samples.textured_picture(100 + number, 800, 600)
        photo.save(folder / f"{number}.png")
        photo.resize((600, 450)).save(folder / f"{number}-small.jpg", quality=85)
        photo.crop((16, 12, 784, 588)).save(folder / f"{number}-crop.jpg", quality=90)
        names = [f"{number}{suffix}" for suffix in ("", "-crop", "-small")]
        expected += [("same-thing", sorted(names)), ("near-duplicate", names[::2])]
    samples.index(folder, tmp_path / "c")
    found = named(resight.groups(tmp_path / "c"))
    for kind, members in expected:
        assert (kind, members) in found
    assert not any("page" in name for _, members in found for name in members)


def test_a_blank_picture_finds_only_itself(collection: Path) -> None:
    blank = collection.parent / "photos" / "blank-1.png"
    results = resight.search(blank, collection, k=30)
    assert [result.path for result in results if result.verdict != "different"] == [blank]
    assert results.results[0].path == blank
