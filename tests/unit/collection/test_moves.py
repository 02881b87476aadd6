"""Moves of photos: nothing is overwritten or lost when a step fails, and all can be undone."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import samples
from resight.collection import Collection, moves
from resight.collection.integrity import check
from resight.collection.moves import (
    MoveReport,
    PastMove,
    move_photos,
    past_moves,
    recover,
    trash,
    undo_move,
)
from resight.collection.moves.journal import JOURNAL_NAME
from resight.collection.writer import writing
from resight.errors import CollectionError, UsageError
from resight.files import file_sha256
from shared_folders import made_once

OPERATIONS = ("link", "unlink", "replace", "fsync")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with four photos, a copy of the first, and their collection."""

    def make(folder: Path) -> None:
        drawn = samples.draw_many(folder / "photos", 4)
        (folder / "photos" / "more").mkdir()
        shutil.copy(drawn[0], folder / "photos" / "more" / drawn[0].name)
        samples.index(folder / "photos", folder / "c")

    return made_once(tmp_path_factory, "to-move", make)


class World:
    """A test's own copy of the photos and of their collection."""

    def __init__(self, indexed: Path, folder: Path) -> None:
        shutil.copytree(indexed / "c", folder / "c")
        shutil.copytree(indexed / "photos", folder / "photos")
        self.collection, self.photos = folder / "c", folder / "photos"
        self.away = folder / "away"
        with writing(self.collection) as writer:
            photos = list(writer.collection.photos())
            writer.move(
                {p.id: self.photos / p.path.relative_to(indexed / "photos") for p in photos}
            )
        self.originals = {p: file_sha256(p) for p in self.photos.rglob("*.png")}

    def move(self, names: list[str], to: Path | None, **options: Any) -> MoveReport:
        with writing(self.collection) as writer:
            photos = [p for p in writer.collection.photos() if p.path.name in names]
            return move_photos(writer, photos, to, roots={self.photos}, **options)

    def undo(self, move: str | None = None) -> MoveReport:
        with writing(self.collection) as writer:
            return undo_move(writer, move, roots={self.photos})

    def indexed(self) -> dict[Path, int]:
        with Collection.open(self.collection) as opened:
            return {photo.path: photo.id for photo in opened.photos("ok")}

    def check_nothing_lost(self, *folders: Path) -> None:
        """Require each file, whole, in its place or in one of the folders, and no torn ones."""
        found = [f for place in (self.photos, *folders) for f in place.rglob("*.png")]
        contents = [file_sha256(f) for f in found if f.stat().st_size]
        for content in self.originals.values():
            copies = list(self.originals.values()).count(content)
            assert contents.count(content) >= copies
        assert set(contents) == set(self.originals.values())

    def check_all_back(self) -> None:
        assert {p: file_sha256(p) for p in self.photos.rglob("*") if p.is_file()} == self.originals
        assert self.indexed().keys() == self.originals.keys()
        assert check(self.collection).problems == []
        assert past_moves(self.collection) == []


@pytest.fixture
def world(indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return World(indexed, tmp_path)


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "no hard links here")


def other_disk(*_: object) -> None:
    raise OSError(errno.EXDEV, "another file system")


def test_photos_leave_the_collection_and_return_without_being_described(world: World) -> None:
    before = samples.contents(world.collection)["descriptors"]
    report = world.move(["001.png", "002.png"], world.away)
    assert [path.name for _, path in report.moved] == ["001.png", "002.png"]
    assert world.indexed().keys().isdisjoint({world.photos / "001.png", world.photos / "002.png"})
    assert [m.photos for m in past_moves(world.collection)] == [2]
    assert check(world.collection).problems == []
    world.undo()
    world.check_all_back()
    assert samples.contents(world.collection)["descriptors"] == before
    run = samples.index(world.photos, world.collection)
    assert (run.report.new, run.report.changed, run.report.unchanged) == (0, 0, 5)
    with pytest.raises(UsageError, match="no move to undo"):
        world.undo(report.move)
    world.move(["001.png"], world.away)
    with writing(world.collection) as writer:
        writer.forget_moved()  # as the next move does
    assert len(samples.contents(world.collection)["descriptors"]) == len(before) - 1
    world.undo()
    assert world.photos / "001.png" not in world.indexed()  # until it is indexed again
    assert (world.photos / "001.png").exists()


def test_photos_that_stay_in_the_collection_keep_their_ids(world: World) -> None:
    ids = world.indexed()
    world.move(["000.png"], world.photos / "sorted")  # with its copy of the same name
    moved = {p.name: id_ for p, id_ in world.indexed().items() if p.parent.name == "sorted"}
    assert moved.keys() == {"000.png", "000 (2).png"}
    world.undo()
    world.check_all_back()
    assert world.indexed() == ids


def test_files_that_exist_are_never_overwritten(world: World) -> None:
    world.away.mkdir()
    (world.away / "001.png").write_text("mine")
    (world.away / "001 (2).png").symlink_to("nowhere")
    assert world.move(["001.png"], world.away).moved[0][1].name == "001 (3).png"
    (world.photos / "001.png").write_text("new")
    back = world.undo().moved[0][1]
    assert back == world.photos / "001 (2).png"
    assert file_sha256(back) == world.originals[world.photos / "001.png"]
    assert (world.photos / "001.png").read_text() == "new"
    assert (world.away / "001.png").read_text() == "mine"


def test_the_trash_is_that_of_the_system(world: World, tmp_path: Path) -> None:
    odd = world.photos / "été %.png"
    (world.photos / "003.png").rename(odd)
    with writing(world.collection) as writer:
        writer.move({world.indexed()[world.photos / "003.png"]: odd})
    world.originals[odd] = world.originals.pop(world.photos / "003.png")
    report = world.move([odd.name, "001.png"], None)
    files, info = (tmp_path / "data" / "Trash" / name for name in ("files", "info"))
    assert {path.parent for _, path in report.moved} == {files}
    lines = (info / f"{odd.name}.trashinfo").read_text().splitlines()
    assert lines[0] == "[Trash Info]"
    assert unquote(lines[1].removeprefix("Path=")) == str(odd)
    assert "%25" in lines[1]
    assert lines[2].startswith("DeletionDate=20")
    assert (tmp_path / "data" / "Trash").stat().st_mode & 0o077 == 0
    (files / "001.png").unlink()  # emptied in the meantime
    undone = world.undo()
    assert [path for _, path in undone.moved] == [odd]
    assert [reason for _, reason in undone.failed] == ["is not there any more"]
    assert not (info / f"{odd.name}.trashinfo").exists()


def test_a_trash_on_another_file_system_is_at_its_top(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trash, "_mount_point", lambda _: tmp_path)
    monkeypatch.setattr(trash, "_device", lambda _: -1)
    report = world.move(["001.png"], None)
    folder = tmp_path / f".Trash-{os.getuid()}"
    assert report.moved[0][1] == folder / "files" / "001.png"
    info = (folder / "info" / "001.png.trashinfo").read_text()
    assert "\nPath=photos/001.png\n" in info
    world.undo()
    world.check_all_back()
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path / "elsewhere")  # not followed: the home's trash instead
    assert world.move(["001.png"], None).moved[0][1].is_relative_to(tmp_path / "data")


def test_files_that_must_not_be_moved_stay(world: World, tmp_path: Path) -> None:
    changed, link = world.photos / "001.png", world.photos / "002.png"
    changed.write_bytes(b"other")
    link.rename(tmp_path / "elsewhere.png")
    link.symlink_to(tmp_path / "elsewhere.png")
    (world.photos / "003.png").unlink()
    report = world.move(["001.png", "002.png", "003.png"], world.away)
    assert [reason for _, reason in report.failed] == [
        "has changed since it was indexed",
        "is a link to a file elsewhere, which is not moved",
        "is not there any more",
    ]
    assert (report.moved, list(world.away.iterdir())) == ([], [])
    assert changed.read_bytes() == b"other"
    assert link.is_symlink()


def test_photos_below_a_linked_folder_stay(world: World, tmp_path: Path) -> None:
    (world.photos / "more").rename(tmp_path / "elsewhere")
    (world.photos / "more").symlink_to(tmp_path / "elsewhere")
    (world.photos / "alias").symlink_to(world.photos)
    report = world.move(["000.png"], world.photos / "alias")
    assert sorted(reason for _, reason in report.failed) == [
        "is in a folder elsewhere, by a link, and is not moved",
        "is in this folder already",
    ]
    assert (tmp_path / "elsewhere" / "000.png").exists()


def test_a_new_version_that_is_saved_during_the_move_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, link = world.photos / "001.png", os.link

    def save_afterwards(*paths: Path) -> None:
        link(*paths)
        (world.photos / "new").write_bytes(b"new version")
        (world.photos / "new").replace(source)  # as editors save

    monkeypatch.setattr(os, "link", save_afterwards)
    report = world.move(["001.png"], world.away)
    assert [reason for _, reason in report.failed] == ["was changed while it was moved"]
    assert source.read_bytes() == b"new version"
    assert list(world.away.iterdir()) == []


def test_photos_in_hidden_folders_leave_the_collection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(world.photos / ".local"))  # the trash is in there
    for place in (None, world.photos / ".hidden"):
        world.move(["001.png"], place)
        assert world.photos / "001.png" not in world.indexed()
        assert len(world.indexed()) == 4
        world.undo()
    shutil.rmtree(world.photos / ".local")
    world.check_all_back()


def test_undo_skips_a_move_whose_files_are_gone(world: World) -> None:
    world.move(["001.png"], world.away)
    world.move(["002.png"], world.away)
    (world.away / "002.png").unlink()
    assert [m.photos for m in past_moves(world.collection)] == [1]
    assert [path.name for _, path in world.undo().moved] == ["001.png"]
    with pytest.raises(UsageError, match="no move to undo"):
        world.undo()


def test_a_stopped_move_leaves_the_rest(world: World) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    report = world.move(["001.png", "002.png"], world.away, progress=stop)
    assert (report.stopped, len(report.moved)) == (True, 1)
    world.undo()
    world.check_all_back()


def test_a_folder_that_forbids_removal_keeps_its_photo(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def forbidden(path: Any, **options: Any) -> None:
        if Path(path).parent == world.photos:
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, **options)

    for link in (os.link, other_disk):
        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", forbidden)
            if link is other_disk:
                patch.setattr(os, "link", link_within(world.away))
            report = world.move(["001.png"], world.away)
        assert [reason for _, reason in report.failed] == ["Permission denied"]
        assert list(world.away.iterdir()) == []
        world.check_all_back()


def test_a_damaged_copy_is_not_trusted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", link_within(world.away))
    monkeypatch.setattr(shutil, "copystat", lambda _, part: Path(part).write_bytes(b"rot"))
    report = world.move(["001.png"], world.away)
    assert "differs" in report.failed[0][1]
    assert list(world.away.iterdir()) == []
    world.check_all_back()


def link_within(folder: Path) -> Callable[[Any, Any], None]:
    """Return a link that fails from another folder, as if that were another file system."""
    real = os.link

    def link(source: Any, target: Any) -> None:
        if (Path(source).parent == folder) != (Path(target).parent == folder):
            other_disk()
        real(source, target)

    return link


# Crashes


class CrashError(BaseException):
    """The process is dead: nothing of it runs any more."""


class Crashes:
    """Ends all changes of files at the n-th one, before it or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.after = False
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self.wrapped(getattr(os, name)))

    def wrapped(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.left is None:
                return real(*arguments, **options)
            self.left -= 1
            if self.left < 0:
                raise CrashError
            if self.left == 0 and self.after:
                real(*arguments, **options)
            if self.left == 0:
                raise CrashError
            return real(*arguments, **options)

        return call

    def during(self, nth: int, work: Callable[[], object], *, after: bool) -> bool:
        """Run some work until the n-th change; return whether it came to that."""
        self.left, self.after = nth, after
        try:
            work()
        except CrashError:
            return True
        finally:
            self.left = None
        return False


def ways(world: World) -> Iterator[tuple[str, Callable[..., Any] | None, Path | None]]:
    yield "a second name", None, world.away
    yield "a reserved name", no_links, world.away
    yield "a copy", link_within(world.away), world.away
    yield "the trash", None, None


@pytest.mark.parametrize("way", ["a second name", "a reserved name", "a copy", "the trash"])
def test_a_crash_at_any_moment_loses_nothing(
    world: World, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (link, to) = next((link, to) for name, link, to in ways(world) if name == way)
    if link is not None:
        monkeypatch.setattr(os, "link", link)
    crashes, crashed = Crashes(monkeypatch), 0
    folders = world.away, tmp_path / "data"
    for nth in range(1, 80, 1 if way == "a copy" else 2):
        in_move = crashes.during(
            nth, lambda: world.move(["001.png", "000.png"], to), after=nth % 4 < 2
        )
        world.check_nothing_lost(*folders)
        if in_move and nth % 3 == 0:  # also without an undo the collection is right
            with writing(world.collection) as writer:
                recover(writer, {world.photos})
            away = {f.name for f in folders[to is None].rglob("*.png")}
            assert {p.name for p in world.indexed()} | away >= {"000.png", "001.png"}
            assert all(path.exists() for path in world.indexed())
        for position in (nth % 17 + 1, 1000):
            with contextlib.suppress(UsageError):  # nothing had moved yet
                crashes.during(position, world.undo, after=nth % 4 < 2)
            world.check_nothing_lost(*folders)
        world.check_all_back()
        for folder in folders:
            assert [f for f in folder.rglob("*") if f.is_file()] == []
        crashed += in_move
        if not in_move:
            break
    assert crashed > 10


def test_the_entry_of_an_interrupted_move_survives_a_prune(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(moves, "_follow", crash)  # the file has moved, and the collection has not
        with pytest.raises(CrashError):
            world.move(["001.png"], world.away)
    assert [path.name for path in world.away.iterdir()] == ["001.png"]
    samples.index(world.photos, world.collection, prune=True)
    assert world.photos / "001.png" not in world.indexed()
    world.undo()
    world.check_all_back()


def test_an_undo_reports_files_that_came_back_under_another_name(world: World) -> None:
    original, other = world.photos / "001.png", world.photos / "001 (2).png"
    world.move(["001.png", "002.png"], world.away)
    samples.draw(original, 99)
    report = world.undo()
    assert report.renamed == [(original, other)]
    assert (world.away / "001.png", other) in report.moved
    assert file_sha256(other) == world.originals[original]


def test_an_unmounted_collection_moves_nothing(world: World) -> None:
    gone = world.collection.with_name("gone")

    def unmount(*_: object) -> None:
        world.collection.rename(gone)
        world.collection.mkdir()

    with pytest.raises(CollectionError, match="is gone; connect its disk"):
        world.move(["001.png", "002.png"], world.away, progress=unmount)
    assert [path.name for path in world.away.iterdir()] == ["001.png"]
    shutil.rmtree(world.collection)
    gone.rename(world.collection)
    world.undo()
    world.check_all_back()


@pytest.mark.parametrize("way", ["a second name", "a copy", "the trash"])
def test_a_disk_that_fails_to_sync_neither_loses_nor_doubles_a_file(
    world: World, way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (link, to) = next((link, to) for name, link, to in ways(world) if name == way)
    if link is not None:
        monkeypatch.setattr(os, "link", link)
    real, left = os.fsync, [0]

    def fsync(file: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.EIO, "Input/output error")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    failed = 0
    for work in (lambda: world.move(["001.png", "000.png"], to), world.undo):
        for nth in range(1, 30, 2):
            if work == world.undo:
                world.move(["001.png", "000.png"], to)
            left[0] = nth
            with contextlib.suppress(CollectionError):  # the journal cannot be written
                failed += bool(work().failed)
            left[0] = 0
            world.check_nothing_lost(world.away, tmp_path / "data")
            for _ in past_moves(world.collection):
                with contextlib.suppress(UsageError):  # it was complete
                    world.undo()
            world.check_all_back()
    assert failed >= 2


def test_a_torn_journal_line_is_skipped(world: World) -> None:
    world.move(["001.png"], world.away)
    journal = world.collection / JOURNAL_NAME
    journal.write_bytes(journal.read_bytes() + b'{"move": "torn", "numb')
    assert [move.photos for move in past_moves(world.collection)] == [1]
    world.move(["002.png"], world.away)
    moves = past_moves(world.collection)
    assert [move.photos for move in moves] == [1, 1]
    assert moves[0] == PastMove(moves[0].move, moves[0].started, world.away, 1)
    world.undo(moves[1].move)
    assert not (world.away / "001.png").exists()
    world.undo()
    world.check_nothing_lost()
