"""Groups that obey hints and times, and mark the best photo; their sheet and exports."""

import csv
import dataclasses
import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import resight
import samples
from resight.backends.local import LocalStore
from resight.collection import Collection
from resight.errors import UsageError
from resight.evaluation import evidence_reader
from resight.evaluation.evidence_reader import EvidenceReader
from resight.evaluation.grouping import PhotoPairs, link_pairs
from resight.ranking.groups import Group, Groups
from resight.ranking.strangers import Nearness
from resight.views.contact_sheet import RIGHT
from resight.views.group_sheet import MAX_GROUPS, groups_sheet
from views import texture, view


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views of two things, one of them sharper or larger, and strangers."""
    folder = tmp_path_factory.mktemp("hinted-groups") / "photos"
    folder.mkdir()
    for name, seed in (("a", 1), ("b", 2)):
        for number in range(3):
            pixels = view(texture(320, 240, seed), seed=number, strength=0.05)
            save(folder / f"{name}{number}.png", pixels)
    large = cv2.resize(texture(320, 240, 2), (480, 360), interpolation=cv2.INTER_CUBIC)
    save(folder / "b9.png", large)
    for number in range(8):
        save(folder / f"s{number}.png", texture(320, 240, seed=20 + number))
    samples.index(folder, folder.parent / "c")
    return folder


@pytest.fixture
def collection(photos: Path, tmp_path: Path) -> Path:
    shutil.copytree(photos.parent / "c", tmp_path / "c")
    return tmp_path / "c"


def save(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


def things(groups: resight.Groups) -> list[str]:
    """Return the groups of the same thing, as in `a0 a1`."""
    return [
        " ".join(path.stem for path in group.paths)
        for group in groups
        if group.kind == "same-thing"
    ]


def decide(verdict: str, names: str, photos: Path, collection: Path) -> None:
    paths = [photos / f"{name}.png" for name in names.split()]
    resight.decide(verdict, paths, collection)  # type: ignore[arg-type]


def test_groups_without_hints(collection: Path) -> None:
    assert things(resight.groups(collection)) == ["a0 a1 a2", "b0 b1 b2 b9"]


@pytest.mark.parametrize("by", ["evidence", "limit"])
def test_hints_are_obeyed(photos: Path, collection: Path, by: str) -> None:
    limit = None if by == "evidence" else resight.groups(collection).estimated_limit
    decide("same", "a1 s0", photos, collection)
    decide("different", "b0 b1", photos, collection)
    decide("same", "b1 s5", photos, collection)
    decide("different", "b1 b9", photos, collection)
    groups = resight.groups(collection, limit=limit)
    found = [set(text.split()) for text in things(groups)]
    assert any({"a1", "s0"} <= group for group in found)
    assert any({"b1", "s5"} <= group for group in found)
    for group in groups:
        names = {path.stem for path in group.paths}
        for apart in ("b0 b1", "b1 b9", "b0 s5", "s5 b9"):
            assert not set(apart.split()) <= names
    if by == "evidence":
        assert {"a0", "a1", "a2", "s0"} in found


def test_copies_of_a_decided_photo_go_with_it(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    shutil.copy(photos / "s0.png", tmp_path / "photos" / "s0-copy.png")
    samples.index(tmp_path / "photos", tmp_path / "c")
    decide("same", "a1 s0", tmp_path / "photos", tmp_path / "c")
    decide("different", "a1 s3", tmp_path / "photos", tmp_path / "c")
    groups = resight.groups(tmp_path / "c")
    assert "a0 a1 a2 s0-copy s0" in things(groups)
    duplicates = [group.paths for group in groups if group.kind == "near-duplicate"]
    assert [[path.stem for path in paths] for paths in duplicates] == [["s0-copy", "s0"]]


def test_the_largest_photo_is_the_best_unless_another_is_kept(
    photos: Path, collection: Path
) -> None:
    assert [g.best_path and g.best_path.stem for g in resight.groups(collection)][-1] == "b9"
    decide("keep", "b1", photos, collection)
    groups = resight.groups(collection)
    (group,) = [group for group in groups if photos / "b1.png" in group.paths]
    assert group.best_path == photos / "b1.png"
    exported = groups.to_dict()["groups"][-1]
    assert exported["best"] == str(photos / "b1.png")
    rows = list(csv.DictReader(io.StringIO(groups.to_csv(), newline="")))
    assert [row["path"] for row in rows if row["best"] and "b" in Path(row["path"]).stem] == [
        str(photos / "b1.png")
    ]


def test_the_time_links_probable_pairs_only(tmp_path: Path) -> None:
    for number, second in enumerate((0, 2, 9, None)):
        exif = Image.Exif()
        if second is not None:
            exif[306] = f"2026:01:01 12:00:0{second}"
        samples.picture(number).save(tmp_path / f"{number}.jpg", exif=exif)
    samples.index(tmp_path, tmp_path / "c")
    rows = np.array([[0, 1], [0, 2], [0, 3], [1, 2]])
    pairs = PhotoPairs(rows, Nearness.unknown(4))
    probabilities = np.array([0.6, 0.6, 0.6, 0.4])
    with Collection.open(tmp_path / "c") as opened:
        store = LocalStore(opened)
        reader = EvidenceReader(store, store.ids())

        def linked(gap: float | None) -> list[bool]:
            return link_pairs(reader, pairs, probabilities, gap).tolist()

        assert linked(None) == [False] * 4
        assert linked(1.5) == [False] * 4
        assert linked(2) == [True, False, False, False]
        assert linked(60) == [True, True, False, False]
        probabilities[3] = 0.999
        assert linked(0.1) == [False, False, False, True]


def test_a_gap_is_seconds_and_needs_evidence(
    photos: Path, collection: Path, tmp_path: Path
) -> None:
    assert things(resight.groups(collection, gap=5)) == ["a0 a1 a2", "b0 b1 b2 b9"]
    for gap in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="gap: expected seconds"):
            resight.groups(collection, gap=gap)
    with pytest.raises(UsageError, match="gap: only by evidence"):
        resight.groups(collection, gap=5, limit=1)
    samples.index(photos, tmp_path / "bare", evidence=False)
    with pytest.raises(UsageError, match="gap: the collection keeps no evidence"):
        resight.groups(tmp_path / "bare", gap=5)


def test_evidence_is_read_in_batches(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_reader, "SAMPLED", 4)
    expected, requests = resight.groups(collection), []
    read = LocalStore.evidence

    def counted(self: LocalStore, contents: object) -> dict[str, bytes]:
        requests.append(contents)
        return read(self, contents)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "evidence", counted)
    assert resight.groups(collection) == expected
    assert len(requests) <= 3  # of 15 photos
    requests.clear()
    monkeypatch.setattr(evidence_reader, "BATCH", 1)
    monkeypatch.setattr(evidence_reader, "CACHED", 2)
    assert resight.groups(collection) == expected
    assert len(requests) > 15


def test_a_sheet_has_a_row_for_each_group_and_frames_the_best(collection: Path) -> None:
    groups = resight.groups(collection)
    sheet = groups_sheet(groups, tile=60)
    frames = (np.asarray(sheet) == RIGHT).all(axis=2)
    assert np.flatnonzero(frames.any(axis=1)).size > 2 * 60
    assert frames[:, : sheet.width // 3].sum() == frames.sum()  # the best is the first
    one = groups_sheet(dataclasses.replace(groups, groups=groups.groups[:1]), tile=60)
    assert one.height < sheet.height


def test_a_sheet_is_bounded_and_shows_missing_photos(tmp_path: Path) -> None:
    gone = Group("same-thing", tuple(range(20)), tuple(tmp_path / f"{n}.jpg" for n in range(20)))
    many = groups_sheet(Groups(None, 1.0, [gone] * (MAX_GROUPS + 5)), tile=30)
    few = groups_sheet(Groups(None, 1.0, [gone] * MAX_GROUPS), tile=30)
    assert many.size == few.size
    assert many.tobytes() != few.tobytes()  # a line says how many are not shown
    assert groups_sheet(Groups(None, 1.0, [])).height > 0
