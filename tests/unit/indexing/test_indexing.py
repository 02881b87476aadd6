"""Index runs: what is new, changed, moved, gone or broken, and what is described again (little)."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import samples
from resight.backends.manage import info, move, remove
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SearchConfig
from resight.config.extraction import WORKING_BYTES
from resight.descriptors.extractor import Description, Extractor
from resight.descriptors.local_extractor import LocalExtractor
from resight.errors import (
    CollectionError,
    CollectionMismatchError,
    FitError,
    QueryError,
    UsageError,
)
from resight.files import user_cache
from resight.indexing import fitting, pipeline
from resight.indexing import plan as planning
from resight.indexing.fitting import fit
from resight.indexing.recording import IndexReport
from resight.methods.model import ModelOptions
from resight.searching import search
from resight.searching.export import export_found


class Counting:
    """An extractor around the real one that counts."""

    def __init__(self, real: Extractor) -> None:
        self.real, self.described = real, 0

    @property
    def dimensions(self) -> int:
        return self.real.dimensions

    @property
    def decode_size(self) -> int | None:
        return self.real.decode_size

    @property
    def concurrency(self) -> int:
        return self.real.concurrency

    def prepare(self, image: Image.Image) -> Any:
        return self.real.prepare(image)

    def describe(self, prepared: Any, *, columns: bool = False) -> Description:
        self.described += 1
        return self.real.describe(prepared, columns=columns)


class Library:
    """A folder of photos with its collection; each run says how many photos it described."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.photos, self.collection = folder / "photos", folder / "collection"
        self.extractors: list[Counting] = []
        real = pipeline.load_extractor

        def counting(*arguments: Any) -> Counting | None:
            extractor = real(*arguments)
            if extractor is None:
                return None
            self.extractors.append(Counting(extractor))
            return self.extractors[-1]

        monkeypatch.setattr(pipeline, "load_extractor", counting)

    def index(self, **options: Any) -> tuple[int, IndexReport]:
        """Index everything: how many photos were described, and the report."""
        self.extractors.clear()
        run = samples.index(self.photos, self.collection, **options)
        samples.assert_whole(self.collection)
        assert run.photos == info(self.collection).photos
        return sum(e.described for e in self.extractors), run.report

    def draw(self, name: str, seed: int) -> Path:
        return samples.draw(self.photos / name, seed)

    def rows(self) -> dict[str, Any]:
        return samples.photos_by_name(self.collection)

    def search(self, query: Path) -> list[Any]:
        return search(query, self.collection, SearchConfig(k=50)).results


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index six photos in a folder, with which each library begins."""
    with pytest.MonkeyPatch.context() as patch:
        library = Library(tmp_path_factory.mktemp("six"), patch)
        samples.draw_many(library.photos, 6)
        described, report = library.index()
    assert (described, report.new, report.unchanged, report.failed) == (6, 6, 0, [])
    return library.photos.parent


@pytest.fixture
def library(six: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Return six photos and their collection."""
    library = Library(tmp_path, monkeypatch)
    for folder in (library.photos, library.collection):
        shutil.copytree(six / folder.name, folder)
    with closing(sqlite3.connect(library.collection / "resight.sqlite")) as database, database:
        for name, row in library.rows().items():
            path = library.photos / name
            state = (path.stat().st_ctime_ns, path.stat().st_ino, row.id)
            database.execute("UPDATE photos SET path = ? WHERE id = ?", (os.fsencode(path), row.id))
            database.execute(
                "UPDATE file_states SET ctime_ns = ?, inode = ? WHERE photo = ?", state
            )
        last = "SELECT max(number) FROM changes"  # as after a run
        database.execute(f"UPDATE meta SET value = ({last}) WHERE key = 'cleaned'")
        folders = json.dumps([str(library.photos)])
        database.execute("UPDATE meta SET value = ? WHERE key = 'folders'", (folders,))
    return library


def age(path: Path, seconds: int = 10) -> None:
    """Give a file another modification time."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


# The disk changes


def test_a_second_run_describes_nothing(library: Library) -> None:
    before, stamp = samples.contents(library.collection), samples.stamp(library.collection)
    described, report = library.index()
    assert (described, report.new, report.unchanged) == (0, 0, 6)
    assert library.extractors == []  # not even the network would have been loaded
    assert samples.contents(library.collection) == before
    assert samples.stamp(library.collection) == stamp


def test_a_new_photo(library: Library) -> None:
    library.draw("deep/down/new.png", 50)
    described, report = library.index()
    assert (described, report.new, report.unchanged) == (1, 1, 6)
    assert len(library.search(library.photos / "deep/down/new.png")) == 7


def test_a_photo_changed_by_content(library: Library) -> None:
    before = library.rows()["002.png"]
    path = library.draw("002.png", 50)
    age(path)
    described, report = library.index()
    assert (described, report.new, report.changed, report.unchanged) == (1, 0, 1, 5)
    after = library.rows()["002.png"]
    assert after.id == before.id
    assert after.content != before.content
    assert library.search(path)[0].path == path


def test_a_photo_that_was_only_touched(library: Library) -> None:
    stamp = samples.stamp(library.collection)
    age(library.photos / "002.png")
    described, report = library.index()
    assert (described, report.new, report.changed, report.unchanged) == (0, 0, 0, 6)
    assert samples.stamp(library.collection) == stamp
    _, report = library.index()
    assert library.extractors == []  # the new time was noted
    assert report.unchanged == 6


def replace_keeping_size_and_time(path: Path, seed: int) -> None:
    """Replace a PNG file by another picture of the same size in bytes, with the same times."""
    status = path.stat()
    other = samples.draw(path.with_name("other.png"), seed)
    size = max(status.st_size, other.stat().st_size)
    other.write_bytes(other.read_bytes().ljust(size, b"\0"))
    path.unlink()
    other.rename(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def pad(path: Path, size: int = 40_000) -> None:
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))


def test_a_photo_replaced_with_the_same_size_and_time(library: Library) -> None:
    path = library.photos / "002.png"
    pad(path)
    library.index()
    before = library.rows()["002.png"]
    replace_keeping_size_and_time(path, 50)
    described, report = library.index()
    assert (described, report.changed, report.unchanged) == (1, 1, 5)
    after = library.rows()["002.png"]
    assert (after.id, after.size, after.mtime_ns) == (before.id, before.size, before.mtime_ns)
    assert after.content != before.content
    library.index()
    assert library.extractors == []  # the new state was noted


def test_collections_without_states_of_files_get_them(library: Library) -> None:
    with Collection.open(library.collection) as opened:
        opened.connection.execute("DROP TABLE file_states")
    path = library.photos / "002.png"
    pad(path)
    library.index()
    with Collection.open(library.collection) as opened:
        assert len(opened.file_states()) == 6
        opened.connection.execute("DROP TABLE file_states")
    replace_keeping_size_and_time(path, 50)
    _, report = library.index()
    assert report.unchanged == 6, "nothing tells it"
    described, report = library.index(rehash=True)
    assert (described, report.changed, report.unchanged) == (1, 1, 5)


def test_one_file_is_one_photo(library: Library) -> None:
    first = library.photos / "001.png"
    os.link(first, library.photos / "hard.png")
    (library.photos / "000-soft.png").symlink_to("002.png")
    library.photos.with_name("other").symlink_to(library.photos)
    run = pipeline.index([library.photos, library.photos.with_name("other")], library.collection)
    assert (run.photos, run.report.new, run.report.unchanged) == (6, 0, 6)
    assert first.name in library.rows()
    first.unlink()  # the file is still there
    described, report = library.index()
    assert (described, report.moved) == (0, [(first, library.photos / "hard.png")])


def test_links_that_were_indexed_as_photos_are_forgotten(library: Library) -> None:
    first = library.photos / "001.png"
    shutil.copy(first, library.photos / "copy.png")
    library.index()
    (library.photos / "copy.png").unlink()
    os.link(first, library.photos / "copy.png")
    _, report = library.index()
    assert (len(library.rows()), report.vanished) == (6, [])


def test_rehash_describes_nothing_that_is_the_same(library: Library) -> None:
    stamp = samples.stamp(library.collection)
    described, report = library.index(rehash=True)
    assert (described, report.new, report.changed, report.unchanged) == (0, 0, 0, 6)
    assert samples.stamp(library.collection) == stamp


@pytest.mark.parametrize("year", [1600, 2300])
def test_times_out_of_range(library: Library, year: int) -> None:
    path = library.draw("x.png", 50)
    try:
        subprocess.run(["touch", "-d", f"{year}-01-01", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this file system has no such times")
    described, report = library.index()
    assert (described, report.new, report.failed) == (1, 1, [])
    described, report = library.index()
    assert (described, report.unchanged) == (0, 7)
    found = search(path, library.collection)
    copied = export_found(found, path.parent.with_name("out")).written[0]
    assert copied.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("paths", ["", [""], ["photos", ""]])
def test_empty_paths_are_refused(library: Library, paths: Any) -> None:
    before = samples.contents(library.collection)
    for function in (pipeline.index, remove):
        with pytest.raises(UsageError, match="a path is empty"):
            function(paths, library.collection)
    assert samples.contents(library.collection) == before


def test_moved_photos_keep_their_ids_and_are_not_described_again(library: Library) -> None:
    before = library.rows()
    (library.photos / "album").mkdir()
    for name in ("001.png", "004.png"):
        (library.photos / name).rename(library.photos / "album" / f"moved-{name}")
    described, report = library.index()
    assert (described, report.new, report.vanished, report.unchanged) == (0, 0, [], 4)
    assert sorted(report.moved) == [
        (library.photos / name, library.photos / "album" / f"moved-{name}")
        for name in ("001.png", "004.png")
    ]
    after = library.rows()
    assert set(after) == {
        "000.png",
        "002.png",
        "003.png",
        "005.png",
        "moved-001.png",
        "moved-004.png",
    }
    assert after["moved-001.png"] == replace(
        before["001.png"], path=library.photos / "album" / "moved-001.png"
    )


def test_a_renamed_folder(library: Library) -> None:
    library.photos.rename(library.photos.with_name("elsewhere"))
    library.photos.mkdir()
    library.photos.with_name("elsewhere").rename(library.photos / "inner")
    described, report = library.index()
    assert (described, len(report.moved), report.vanished) == (0, 6, [])


def test_a_photo_renamed_over_another(library: Library) -> None:
    before = library.rows()
    (library.photos / "001.png").rename(library.photos / "004.png")
    described, report = library.index()
    assert described == 0
    assert report.moved == [(library.photos / "001.png", library.photos / "004.png")]
    assert report.vanished == []
    after = library.rows()
    assert set(after) == {"000.png", "002.png", "003.png", "004.png", "005.png"}
    assert after["004.png"].content == before["001.png"].content
    assert library.search(library.photos / "004.png")[0].path == library.photos / "004.png"


def test_a_copied_photo(library: Library) -> None:
    shutil.copy2(library.photos / "001.png", library.photos / "copy.png")
    described, report = library.index()
    assert (described, report.new, report.copied, report.moved) == (0, 1, 1, [])
    first, *others = library.search(library.photos / "001.png")
    assert (first.path.name, [path.name for path in first.copies]) == ("001.png", ["copy.png"])
    assert len(others) == 5


def test_the_same_content_twice_in_one_run_is_described_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers in (1, 4):
        library = Library(tmp_path / str(workers), monkeypatch)
        for seed in range(4):
            for name in ("a", "b", "c"):
                library.draw(f"{seed}-{name}.png", seed)
        described, report = library.index(workers=workers)
        assert (described, report.new, report.copied) == (4, 12, 8)


def test_vanished_photos_are_reported_and_stay_until_pruned(library: Library) -> None:
    gone = [library.photos / "001.png", library.photos / "003.png"]
    for path in gone:
        path.unlink()
    for _ in range(2):
        described, report = library.index()
        assert (described, report.vanished, report.pruned, report.unchanged) == (0, gone, 0, 4)
    assert len(library.rows()) == 6
    described, report = library.index(prune=True)
    assert (described, report.vanished, report.pruned) == (0, gone, 2)
    assert sorted(library.rows()) == ["000.png", "002.png", "004.png", "005.png"]
    stamp = samples.stamp(library.collection)
    _, report = library.index(prune=True)
    assert (report.vanished, report.pruned) == ([], 0)
    assert samples.stamp(library.collection) == stamp


def test_an_unmounted_drive_is_not_pruned(library: Library) -> None:
    away = library.photos.with_name("away")
    library.photos.rename(away)
    library.photos.mkdir()
    before = samples.contents(library.collection)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"needed to prune, because 6 of 6 photos of .* gone"):
            library.index(prune=True)
        assert samples.contents(library.collection) == before
        shutil.rmtree(library.photos, ignore_errors=True)  # the second time, not even a folder
    away.rename(library.photos)
    described, report = library.index(prune=True)
    assert (described, report.unchanged, report.pruned) == (0, 6, 0)


def test_most_photos_are_pruned_only_on_demand(library: Library) -> None:
    gone = sorted(library.photos.iterdir())[:4]
    for path in gone:
        path.unlink()
    added = library.draw("new.png", 30)
    with pytest.raises(UsageError, match="because 4 of 6 photos of"):
        library.index(prune=True)
    assert len(library.rows()) == 7, "new photos are in"
    _, report = library.index(prune_most=True)
    assert (report.vanished, report.pruned) == (gone, 4)
    assert sorted(library.rows()) == ["004.png", "005.png", added.name]


def test_a_folder_that_is_gone_is_pruned_by_its_name(library: Library) -> None:
    album = library.draw("album/x.png", 50).parent
    library.index()
    shutil.rmtree(album)
    with pytest.raises(UsageError, match="album: no such file or folder"):
        samples.index(album, library.collection)
    run = samples.index(album, library.collection, prune_most=True)
    assert (run.report.vanished, run.report.pruned) == ([album / "x.png"], 1)
    assert len(library.rows()) == 6
    with pytest.raises(UsageError, match="album: no such file or folder"):
        samples.index(album, library.collection, prune_most=True)


def test_a_moved_root_is_followed(library: Library) -> None:
    before = {name: photo.id for name, photo in library.rows().items()}
    former, library.photos = library.photos, library.photos.with_name("moved")
    former.rename(library.photos)
    described, report = library.index()
    assert described == 0
    assert sorted(report.moved) == [(former / name, library.photos / name) for name in before]
    assert (report.new, report.copied, report.vanished) == (0, 0, [])
    assert {name: photo.id for name, photo in library.rows().items()} == before


def test_copies_in_a_moved_root_stay_copies(library: Library) -> None:
    shutil.copy(library.photos / "001.png", library.photos / "copy.png")
    library.index()
    former, library.photos = library.photos, library.photos.with_name("moved")
    former.rename(library.photos)
    shutil.copy(library.photos / "001.png", library.photos / "third.png")
    _, report = library.index()
    pairs = {source.name: target.name for source, target in report.moved}
    assert (pairs["001.png"], pairs["copy.png"]) == ("001.png", "copy.png")
    assert (report.new, report.copied, len(library.rows())) == (1, 1, 8)


def test_a_copy_of_a_photo_that_is_still_there_has_not_moved(library: Library) -> None:
    shutil.copytree(library.photos, library.photos.with_name("backup"))
    (library.photos / "001.png").unlink()
    shutil.copy(library.photos / "002.png", library.photos / "copy.png")
    library.index()
    shutil.rmtree(library.photos.with_name("backup"))
    run = samples.index(
        samples.draw(library.photos.with_name("elsewhere") / "x.png", 2).parent, library.collection
    )
    assert (run.report.new, run.report.copied, run.report.moved) == (1, 1, [])


def test_move_follows_a_folder_without_reading_it(library: Library) -> None:
    before = library.rows()
    former, library.photos = library.photos, library.photos.with_name("moved")
    for source, target, message in (
        (former.with_name("nowhere"), library.photos, "no photo of .* is there"),
        (former, library.photos, "none of the 6 photos of .*photos is there"),
        (former / "001.png", former / "002.png", "002.png: is in the collection already"),
    ):
        with pytest.raises(UsageError, match=message):
            move(source, target, library.collection)
    former.rename(library.photos)
    moved = move(former, library.photos, library.collection)
    assert moved == sorted(library.photos.iterdir())
    after = library.rows()
    assert {name: photo.id for name, photo in after.items()} == {n: p.id for n, p in before.items()}
    described, report = library.index()
    assert (described, report.unchanged, report.vanished) == (0, 6, [])
    assert library.search(library.photos / "003.png")[0].path == library.photos / "003.png"


def test_a_photo_that_comes_back_needs_no_second_description(library: Library) -> None:
    away = library.photos.with_name("away.png")
    (library.photos / "001.png").rename(away)
    library.index()
    away.rename(library.photos / "001.png")
    described, report = library.index()
    assert (described, report.unchanged, report.vanished) == (0, 6, [])


def test_photos_outside_the_places_of_a_run_stay(library: Library) -> None:
    (library.photos / "001.png").unlink()
    other = samples.draw(library.photos.with_name("other") / "x.png", 70)
    run = samples.index(other.parent, library.collection, prune=True)
    assert (run.report.new, run.report.vanished, run.photos) == (1, [], 7)


def test_two_photos_that_swap_their_names(library: Library) -> None:
    before = library.rows()
    first, second = library.photos / "001.png", library.photos / "004.png"
    third = library.photos / "third"
    for source, target in ((first, third), (second, first), (third, second)):
        source.rename(target)
    age(first)
    age(second)
    described, report = library.index()
    assert described == 0
    assert (report.changed, report.new, report.copied, report.vanished) == (2, 0, 0, [])
    after = library.rows()
    assert after["001.png"].content == before["004.png"].content
    assert after["004.png"].content == before["001.png"].content
    assert {name: photo.id for name, photo in after.items()} == {
        name: photo.id for name, photo in before.items()
    }


def test_photos_that_all_take_the_name_of_the_next(library: Library) -> None:
    for seed in range(5, -1, -1):
        (library.photos / f"{seed:03}.png").rename(library.photos / f"{seed + 1:03}.png")
    described, report = library.index()
    assert (described, report.vanished, report.failed) == (0, [], [])
    assert sorted(library.rows()) == [f"{seed:03}.png" for seed in range(1, 7)]
    for path in library.photos.iterdir():
        assert library.search(path)[0].path == path


def test_two_copies_that_both_move(library: Library) -> None:
    shutil.copy2(library.photos / "001.png", library.photos / "copy.png")
    library.index()
    for name in ("001.png", "copy.png"):
        (library.photos / name).rename(library.photos / f"moved-{name}")
    described, report = library.index()
    assert (described, len(report.moved), report.new, report.vanished) == (0, 2, 0, [])


def test_mixed_changes_equal_a_new_collection(library: Library, tmp_path: Path) -> None:
    chance = random.Random(0)
    seed = 100
    for _ in range(8):
        for _ in range(6):
            present = sorted(library.photos.iterdir())
            path = chance.choice(present)
            other = library.photos / f"{chance.randrange(12):03}.png"
            action = chance.choice(["draw", "move", "copy", "delete", "damage"])
            if action == "draw":
                seed += 1
                library.draw(other.name, seed)
            elif action == "move":
                path.rename(other)
            elif action == "copy" and path != other:
                shutil.copyfile(path, other)
            elif action == "delete" and len(present) > 2:
                path.unlink()
            elif action == "damage":
                seed += 1
                path.write_bytes(f"no picture {seed}".encode())
            if other.exists():
                seed += 1
                age(other, seed)  # no clock is so coarse that a change would go unseen
        library.index(prune=True, workers=chance.choice([1, 3]))
        indexed = samples.contents(library.collection)
        rows = {os.fsdecode(row[1]): (row[4], row[7]) for row in indexed["photos"]}
        assert set(rows) == {str(path) for path in library.photos.iterdir()}
        readable = {path for path in rows if not Path(path).read_bytes().startswith(b"no")}
        assert {path for path, (_, state) in rows.items() if state == "ok"} == readable
    # The descriptors equal those of a new collection with the same vocabulary.
    fresh = tmp_path / "fresh"
    shutil.copytree(library.collection, fresh)
    remove([library.photos], fresh, everything=True)
    samples.index(library.photos, fresh)
    assert samples.contents(fresh)["descriptors"] == indexed["descriptors"]


# Broken photos


def test_a_failed_photo_is_tried_again_and_may_be_repaired(library: Library) -> None:
    path = library.photos / "broken.jpg"
    path.write_text("no photo")
    for _ in range(2):
        stamp = samples.stamp(library.collection)
        described, report = library.index()
        assert (described, report.new, report.unchanged) == (0, 0, 6)
        assert report.failed == [(path, "not an image, or damaged beyond recognition")]
        row = library.rows()["broken.jpg"]
        assert (row.state, row.reason, row.width) == ("failed", report.failed[0][1], None)
        assert samples.stamp(library.collection) == stamp
    samples.picture(50).save(path)
    described, report = library.index()
    assert (described, report.new, report.copied, report.failed) == (1, 1, 0, [])
    repaired = library.rows()["broken.jpg"]
    assert (repaired.id, repaired.state, repaired.reason) == (row.id, "ok", None)


def test_descriptors_that_are_not_finite_are_failures(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalExtractor._aggregate

    def overflow(self: LocalExtractor, *arguments: Any) -> np.ndarray:
        return real(self, *arguments) * np.inf

    library.draw("new.png", 30)
    monkeypatch.setattr(LocalExtractor, "_aggregate", overflow)
    _, report = library.index()
    reason = "its descriptor is not finite; are the weights damaged?"
    assert report.failed == [(library.photos / "new.png", reason)]
    assert report.unchanged == 6
    with pytest.raises(QueryError, match=r"new\.png: its descriptor is not finite"):
        library.search(library.photos / "new.png")
    monkeypatch.undo()
    samples.index(library.photos, library.collection)
    assert library.rows()["new.png"].state == "ok"


def test_a_photo_that_becomes_damaged_is_found_no_more(library: Library) -> None:
    path = library.photos / "001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    age(path)
    described, report = library.index()
    assert described == 0
    assert [failed for failed, _ in report.failed] == [path]
    assert library.rows()["001.png"].state == "failed"
    assert path not in [result.path for result in library.search(library.photos / "002.png")]
    path.write_bytes(whole)
    described, report = library.index()
    assert (described, report.new, report.failed) == (1, 1, [])
    assert library.search(path)[0].path == path


def test_a_failed_photo_that_goes_is_forgotten(library: Library) -> None:
    (library.photos / "broken.jpg").write_text("no photo")
    library.index()
    (library.photos / "broken.jpg").unlink()
    _, report = library.index()
    assert (report.failed, report.vanished) == ([], [])
    assert "broken.jpg" not in library.rows()


def test_a_photo_that_cannot_be_opened_comes_back_without_a_description(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library.photos / "001.png"
    age(path)
    real = os.open

    def guarded(file: Any, *arguments: Any, **options: Any) -> int:  # root may read anything
        if os.fspath(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", guarded)
        described, report = library.index()
        assert (described, report.failed) == (0, [(path, "Permission denied")])
    assert library.rows()["001.png"].state == "failed"
    described, report = library.index()
    assert (described, report.new, report.copied, report.failed) == (0, 1, 0, [])
    assert library.search(path)[0].path == path


def test_a_folder_that_cannot_be_read_takes_nothing_away(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = library.draw("album/x.png", 60).parent
    library.index()
    real = os.scandir

    def guarded(folder: str) -> Any:
        if Path(folder) == album:
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return real(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", guarded)
        described, report = library.index(prune=True)
        assert (described, report.vanished, report.pruned) == (0, [], 0)
        assert report.failed == [(album, "folder: Permission denied")]
    assert library.rows()["x.png"].state == "ok"
    described, report = library.index()
    assert (described, report.failed, report.unchanged) == (0, [], 7)
    assert "album" not in library.rows()


def test_damage_that_check_found_is_described_again(library: Library) -> None:
    with Collection.open(library.collection) as opened:
        opened.connection.execute("UPDATE descriptors SET global = zeroblob(4) WHERE rowid = 2")
    report = check(library.collection)
    assert report.problems
    assert [path.name for path in report.to_describe] == ["001.png"]
    described, index_report = library.index()
    assert (described, index_report.failed) == (1, [])
    assert check(library.collection).problems == []


def test_nothing_but_broken_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("no photo")
    reason = r"none of the photos can be read \(.*a\.jpg: not an image"
    for _ in range(2):
        with pytest.raises(FitError, match=reason):
            samples.index(tmp_path / "photos", tmp_path / "new" / "c")
        assert not (tmp_path / "new").exists()
    (tmp_path / "c").mkdir()
    with pytest.raises(FitError, match=reason):
        samples.index(tmp_path / "photos", tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []
    samples.draw_many(tmp_path / "photos", 3)
    run = samples.index(tmp_path / "photos", tmp_path / "c")
    assert (run.photos, len(run.report.failed)) == (3, 1)


def test_photos_without_texture_leave_no_collection(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 64), "white").save(tmp_path / "photos" / "blank.png")
    with pytest.raises(FitError, match=r"index more photos with texture"):
        samples.index(tmp_path / "photos", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_collection_without_a_vocabulary_gets_it_from_the_next_run(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 3)
    with writing(tmp_path / "killed", (samples.QUICK, samples.QUICK.default_reduction())):
        pass
    samples.index(tmp_path / "photos", tmp_path / "killed")
    samples.index(tmp_path / "photos", tmp_path / "straight")
    assert samples.contents(tmp_path / "killed") == samples.contents(tmp_path / "straight")


# Places


def test_a_folder_and_files_in_one_run(tmp_path: Path) -> None:
    folder = samples.draw_many(tmp_path / "folder", 2)[0].parent
    odd = samples.draw(tmp_path / "alone.png", 7).rename(tmp_path / "no suffix")
    run = pipeline.index([folder, odd, folder / "000.png"], tmp_path / "c", config=samples.QUICK)
    assert (run.photos, run.report.new) == (3, 3)
    assert set(samples.photos_by_name(tmp_path / "c")) == {"000.png", "001.png", "no suffix"}


def test_one_file_after_its_folder_and_the_folder_after_one_file(library: Library) -> None:
    path = library.photos / "001.png"
    run = pipeline.index([path], library.collection)
    assert (run.report.unchanged, run.report.vanished, run.photos) == (1, [], 6)
    path.unlink()
    with pytest.raises(UsageError, match=r"no such file or folder"):
        pipeline.index([path], library.collection)


def test_the_collection_may_lie_among_the_photos(library: Library) -> None:
    inside = library.photos / "collection"
    for _ in range(2):
        run = samples.index(library.photos, inside)
        assert (run.photos, run.report.failed, run.report.ignored) == (6, [], {})


def test_passed_over_files_are_counted(library: Library) -> None:
    (library.photos / "notes.txt").touch()
    _, report = library.index()
    assert report.ignored == {".txt": 1}


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_a_new_collection_of_nothing_is_refused(tmp_path: Path, content: list[str]) -> None:
    (tmp_path / "photos").mkdir()
    for name in content:
        (tmp_path / "photos" / name).touch()
    with pytest.raises(UsageError, match=r"no photos there, so there is nothing to index"):
        samples.index(tmp_path / "photos", tmp_path / "c")
    assert not (tmp_path / "c").exists()


# Interrupts and workers

IN_WORK = 3
"""Photos that may be described and not yet stored."""


def interrupt_after(count: int) -> Callable[[str, int, int], None]:
    def progress(what: str, done: int, total: int) -> None:
        if what == "indexing" and done == count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interrupted_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    library = Library(tmp_path, monkeypatch)
    samples.draw_many(library.photos, 10)
    described, report = library.index(progress=interrupt_after(4), workers=workers)
    assert (report.new, report.interrupted) == (4, 6)
    assert 4 <= described <= 4 + IN_WORK
    assert len(library.rows()) == 4
    assert len(library.search(library.photos / "000.png")) == 4
    described, report = library.index(progress=interrupt_after(3), workers=workers)
    assert (report.new, report.unchanged, report.interrupted) == (3, 4, 3)
    assert 3 <= described <= 3 + IN_WORK
    described, report = library.index(workers=workers)
    assert (described, report.new, report.unchanged, report.interrupted) == (3, 3, 7, 0)
    straight = tmp_path / "straight"
    samples.index(library.photos, straight)
    assert samples.contents(straight) == samples.contents(library.collection)


def test_each_content_counts_once_where_a_method_is_fitted(tmp_path: Path) -> None:
    photos = samples.draw_many(tmp_path / "photos", 6)
    for number in range(10):
        shutil.copy(photos[0], tmp_path / "photos" / f"copy-{number}.png")
    samples.index(tmp_path / "photos", tmp_path / "c")
    learned = info(tmp_path / "c").learned
    assert learned is not None
    assert learned["photos"] == 6
    with Collection.open(tmp_path / "c") as opened:
        assert len(list(opened.photo_descriptors())) == 16
        assert [id_ for id_, *_ in opened.photo_descriptors(distinct=True)] == list(range(1, 7))


def test_an_interrupted_sampling_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photos = samples.draw_many(tmp_path / "photos", 6)
    samples.index(tmp_path / "photos", tmp_path / "expected")
    sampled: list[Image.Image] = []
    real = LocalExtractor.sample

    def sample(self: LocalExtractor, image: Image.Image) -> Any:
        sampled.append(image)
        return real(self, image)

    monkeypatch.setattr(LocalExtractor, "sample", sample)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("sampling", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        samples.index(tmp_path / "photos", tmp_path / "c", progress=interrupt)
    assert (len(sampled), (tmp_path / "c").exists()) == (4, False)
    samples.index(tmp_path / "photos", tmp_path / "c")
    assert len(sampled) == len(photos)
    assert (
        samples.contents(tmp_path / "c")["fitted"]
        == (samples.contents(tmp_path / "expected")["fitted"])
    )
    assert not list((user_cache() / "partial").iterdir())


def test_an_interrupted_run_prunes_nothing(library: Library) -> None:
    (library.photos / "001.png").unlink()
    library.draw("x.png", 50)
    library.draw("y.png", 51)
    _, report = library.index(progress=interrupt_after(1), prune=True)
    assert (report.interrupted, report.pruned) == (1, 0)
    assert len(library.rows()) == 7


def test_progress_counts_to_the_end(library: Library) -> None:
    library.draw("x.png", 50)
    library.draw("y.png", 51)
    updates = []
    library.index(progress=lambda *news: updates.append(news))
    assert updates == [("indexing", 1, 2), ("indexing", 2, 2)]


def test_any_number_of_workers_gives_the_same(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 25)
    (tmp_path / "photos" / "010a.jpg").write_text("no photo")
    shutil.copy(tmp_path / "photos" / "003.png", tmp_path / "photos" / "020-copy.png")
    for workers in (1, 4):
        samples.index(tmp_path / "photos", tmp_path / str(workers), workers=workers)
    assert samples.contents(tmp_path / "1") == samples.contents(tmp_path / "4")


# With the network: weights and the selection

NET = 'layers = ["layer2", "layer1"]\nresolutions = [96, 64]\n'


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.toml").write_text(NET)
    return str(tmp_path / "net.toml")


@pytest.mark.slow
def test_the_network_describes_from_any_number_of_workers_the_same(
    tmp_path: Path, net: str, small_weights: Path
) -> None:
    model = ModelOptions(small_weights, "cpu")
    samples.draw_many(tmp_path / "photos", 6)
    for workers in (1, 4):
        folder = tmp_path / str(workers)
        samples.index(tmp_path / "photos", folder, config=net, model=model, workers=workers)
    assert samples.contents(tmp_path / "1") == samples.contents(tmp_path / "4")
    (_, global_, local, _) = samples.contents(tmp_path / "1")["descriptors"][0]
    assert (len(global_), local) == (4 * 768, None)


def test_other_weights_or_another_configuration_are_refused(
    tmp_path: Path, net: str, small_weights: Path
) -> None:
    photos, folder = samples.draw_many(tmp_path / "photos", 2)[0].parent, tmp_path / "c"
    model = ModelOptions(small_weights, "cpu")
    run = samples.index(photos, folder, config=net, model=model)
    assert run.selection_note is not None
    assert "128 photos" in run.selection_note
    before = samples.contents(folder)
    samples.draw(photos / "new.png", 50)
    (tmp_path / "other.pth").write_bytes(b"other weights")
    other = ModelOptions(tmp_path / "other.pth")
    with pytest.raises(CollectionMismatchError, match=r"indexed with other weights"):
        samples.index(photos, folder, config=net, model=other)
    with pytest.raises(CollectionMismatchError, match=r"indexed with other weights"):
        search(photos / "new.png", folder, model=other)
    for config, field in (
        ("paper", "resolutions"),
        ("sift-vlad", "method"),
        (ExtractionConfig(resolutions=(96, 64), levels=2), "levels is 3, not 2"),
    ):
        with pytest.raises(CollectionMismatchError, match=f"another configuration .*{field}"):
            samples.index(photos, folder, config=config, model=model)
    with pytest.raises(CollectionMismatchError, match=r"cam is False, not True"):
        samples.index(photos, folder, config=None, cam=True, model=model)
    assert samples.contents(folder) == before
    run = samples.index(photos, folder, config=None)  # the weights are remembered
    assert (run.report.new, run.photos) == (1, 3)


def test_without_weights_no_collection_is_created(tmp_path: Path) -> None:
    photos = samples.draw_many(tmp_path / "photos", 1)[0].parent
    model = ModelOptions(tmp_path / "missing.pth")
    with pytest.raises(Exception, match=r"missing\.pth: cannot be read"):
        samples.index(photos, tmp_path / "c", config="fast", model=model)
    assert not (tmp_path / "c").exists()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, small_weights: Path) -> Path:
    """Return 130 photos, and a collection of 127 of them."""
    folder = tmp_path_factory.mktemp("many")
    paths = samples.draw_many(folder / "photos", 130)
    (folder / "net.toml").write_text(
        'layers = ["layer1"]\nresolutions = [64]\n[selection]\nfeatures = 12\nrestarts = 1\n'
    )
    model = ModelOptions(small_weights, "cpu")
    config = str(folder / "net.toml")
    run = pipeline.index(paths[:127], folder / "collection", config=config, model=model)
    assert run.photos == 127
    assert run.selection_note is not None
    assert "until there are 128 photos" in run.selection_note
    return folder


@pytest.fixture
def nearly(many: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """Return a copy of that collection, and the photos."""
    folder = Path(shutil.copytree(many / "collection", tmp_path / "c"))
    return folder, sorted((many / "photos").iterdir())


def fitted(folder: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    with Collection.open(folder) as opened:
        selection, how = opened.reduction(), opened.fit_info("selection")
    return None if selection is None or how is None else (selection.indices, how)


@pytest.mark.slow
def test_a_selection_is_fitted_once_from_128_photos_on(nearly: Any) -> None:
    folder, paths = nearly
    assert fitted(folder) is None
    assert pipeline.index(paths[:127], folder).selection_note is None  # reported once
    run = pipeline.index(paths[:129], folder)
    assert run.selection_note is not None
    assert "fitted a selection of 12 of 256 values on 129 photos" in run.selection_note
    first = fitted(folder)
    assert first is not None
    indices, how = first
    assert len(set(indices.tolist())) == 12
    assert how["photos"] == 129
    found = search(paths[5], folder, SearchConfig(k=1)).results
    assert found[0].path == paths[5]

    run = pipeline.index(paths, folder)  # never again by itself
    assert (run.report.new, run.selection_note) == (1, None)
    again = fitted(folder)
    assert again is not None
    assert again[1] == how

    run = fit(folder, features=20, restarts=1)
    assert (run.features, run.dimensions, run.photos) == (20, 256, 130)
    after = fitted(folder)
    assert after is not None
    assert len(after[0]) == 20
    assert search(paths[5], folder, SearchConfig(k=1)).results[0].path == paths[5]


@pytest.mark.slow
def test_a_run_that_ended_before_the_fit_leaves_it_to_the_next(
    nearly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, paths = nearly

    def stopped(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "fit_reduction", stopped)
        with pytest.raises(KeyboardInterrupt):
            pipeline.index(paths, folder)
    assert fitted(folder) is None
    run = pipeline.index(paths, folder)
    assert run.report.unchanged == 130
    assert run.selection_note is not None
    assert "fitted a selection" in run.selection_note


@pytest.mark.slow
def test_an_impossible_fit_leaves_the_collection_as_it_was(nearly: Any) -> None:
    folder, _ = nearly
    before = samples.contents(folder)
    with pytest.raises(FitError, match=r"cannot keep 4000 features"):
        fit(folder, features=4000)
    assert samples.contents(folder) == before


def test_fit_needs_a_collection_of_the_network(library: Library) -> None:
    before = samples.contents(library.collection)
    with pytest.raises(UsageError, match=r"sift-vlad has no selection"):
        fit(library.collection)
    with pytest.raises(CollectionError, match=r"no collection here"):
        fit(library.photos)
    assert samples.contents(library.collection) == before


# Remove


def test_remove_forgets_photos_and_folders_and_touches_no_file(library: Library) -> None:
    album = library.draw("album/x.png", 50).parent
    library.draw("album/y.png", 51)
    library.index()
    gone = remove([album, library.photos / "001.png"], library.collection)
    assert sorted(path.name for path in gone) == ["001.png", "x.png", "y.png"]
    assert len(library.rows()) == 5
    samples.assert_whole(library.collection)
    assert all(path.exists() for path in gone)
    before = samples.contents(library.collection)
    with pytest.raises(UsageError, match=r"no photo of .* is there; nothing was removed"):
        remove([library.photos / "000.png", album], library.collection)
    with pytest.raises(UsageError, match="needed to remove all 5 photos of the collection"):
        remove("/", library.collection)
    assert samples.contents(library.collection) == before
    assert len(remove("/", library.collection, everything=True)) == 5


def test_too_little_disk_space_is_reported_before_extraction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.draw_many(tmp_path / "photos", 5)
    usage = shutil._ntuple_diskusage(1000, 0, 5 * 512 * 4 - 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CollectionError, match=r"the disk is full; .* \(5 photos need 0.0 MiB"):
        samples.index(tmp_path / "photos", tmp_path / "c")
    assert samples.photos_by_name(tmp_path / "c") == {}
    monkeypatch.undo()
    assert samples.index(tmp_path / "photos", tmp_path / "c").report.new == 5


def test_too_little_memory_is_reported_before_extraction(
    tmp_path: Path, net: str, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.draw_many(tmp_path / "photos", 2)
    model, folder = ModelOptions(small_weights, "cpu"), tmp_path / "c"
    monkeypatch.setattr(planning, "available_bytes", lambda: 100 << 20)
    with pytest.raises(CollectionError, match=r"too little memory \(describing .* 202 MiB, 100 "):
        samples.index(tmp_path / "photos", folder, config=net, model=model)
    assert samples.photos_by_name(folder) == {}
    for unknown_or_enough in (None, 203 << 20):
        monkeypatch.setattr(planning, "available_bytes", lambda memory=unknown_or_enough: memory)
        samples.index(tmp_path / "photos", folder, config=net, model=model)
    assert len(samples.photos_by_name(folder)) == 2


def test_what_a_network_needs_grows_with_its_largest_copy() -> None:
    small, large = (
        (ExtractionConfig(resolutions=(side, 64))).memory_bytes() for side in (500, 1000)
    )
    assert large - WORKING_BYTES == 4 * (small - WORKING_BYTES)
    assert samples.QUICK.memory_bytes() == 0
