"""Moves of the files of photos, and their undo, in a world: a collection with photos beside it."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from operation import Operation

import samples
from resight.collection.moves import MoveReport, move_photos, past_moves, undo_move
from resight.collection.writer import writing
from resight.config import ConfigPair
from resight.errors import UsageError
from resight.files import file_sha256
from resight.indexing.pipeline import index
from resight.progress import Progress, no_progress

PHOTOS = 6
MOVED = 3
AWAY, WITHIN = "away", "photos/album"


def operations(folder: Path, config: ConfigPair) -> list[Operation]:
    """Return the moves of files of photos, and an undo."""
    unmoved, moved = _prepare(folder, config)
    moves = []
    for what, before, run, again in (
        ("away", unmoved, _move(AWAY), _move_again(AWAY)),
        ("to an album", unmoved, _move(WITHIN), _move_again(WITHIN)),
        ("undo", moved, _undo, _restore),
    ):
        moves.append(
            Operation(
                f"move photos: {what}",
                before / "c",
                run,
                stage="",  # progress also counts files that stay
                again=again,
                photos="" if before == moved else "world/photos",
                beside=(before / "photos", before / AWAY),
                whole=_lost_file(unmoved),
            )
        )
    return moves


def _prepare(folder: Path, config: ConfigPair) -> tuple[Path, Path]:
    """Draw and index photos; return the worlds before a move, and before its undo."""
    world, unmoved, moved = (folder / name for name in ("world", "unmoved", "moved"))
    samples.draw_many(world / "photos", PHOTOS)
    (world / AWAY).mkdir()
    index([world / "photos"], world / "c", config=config)
    shutil.copytree(world, unmoved)
    _move(AWAY)(world / "c", no_progress)
    shutil.copytree(world, moved)
    return unmoved, moved


def _move(to: str) -> Callable[[Path, Progress], object]:
    """Return the command that moves the first photos to a folder of the world."""

    def run(collection: Path, progress: Progress) -> object:
        photos = collection.parent / "photos"
        with writing(collection) as writer:
            chosen = sorted(writer.collection.photos("ok"), key=lambda photo: photo.path.name)
            chosen = [photo for photo in chosen[:MOVED] if photo.path.parent == photos]
            folder = collection.parent / to
            return _complete(move_photos(writer, chosen, folder, roots={photos}, progress=progress))

    return run


def _undo(collection: Path, progress: Progress) -> object:
    """Undo the last move."""
    with writing(collection) as writer:
        roots = {collection.parent / "photos"}
        return _complete(undo_move(writer, None, roots=roots, progress=progress))


def _restore(collection: Path, progress: Progress) -> object:
    """Undo all moves, and index; each file must be in its place, and nothing else."""
    for _ in past_moves(collection):
        with contextlib.suppress(UsageError):  # the undo was complete up to its last words
            _undo(collection, progress)
    index([collection.parent / "photos"], collection, progress=progress, prune=True)
    _check_once(collection.parent)
    return None


def _move_again(to: str) -> Callable[[Path, Progress], object]:
    """Return the command that restores all photos, and then moves them."""

    def run(collection: Path, progress: Progress) -> object:
        _restore(collection, progress)
        done = _move(to)(collection, progress)
        _check_once(collection.parent)
        return done

    return run


def _lost_file(before: Path) -> Callable[[Path], str | None]:
    """Return the check that a world has each photo of the world before, whole."""
    contents = {file_sha256(path): path.name for path in _photos(before)}

    def check(world: Path) -> str | None:
        missing = contents.keys() - {file_sha256(path) for path in _photos(world)}
        return f"the file {contents[min(missing)]} was lost" if missing else None

    return check


def _complete(report: MoveReport) -> MoveReport:
    """Return a report; files that stayed, which the page would list, are an error."""
    if report.failed:
        raise OSError(report.failed[0][1])
    return report


def _check_once(world: Path) -> None:
    found = [path.name for path in _photos(world)]
    if len(found) != PHOTOS or len(set(found)) != PHOTOS:
        raise AssertionError(f"files are {sorted(found)}")


def _photos(world: Path) -> list[Path]:
    """Return all files of a world outside its collection."""
    return [
        path
        for name in ("photos", AWAY)
        for path in (world / name).rglob("*")
        if path.is_file() and path.stat().st_size
    ]
