"""Move the files of photos, the only place where Resight changes them, and undo it.

Each move of a file is in the journal before it happens, and no file is ever overwritten or
deleted. The collection follows: a photo that goes to another of its folders keeps its entry, and
one that goes elsewhere leaves it, while its descriptors stay until the next move, for an undo.
"""

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from resight.collection import Collection, Photo
from resight.collection.folders import is_searched
from resight.collection.moves.journal import Journal, Move, Step
from resight.collection.moves.relocate import FreeNames, has_content, move_file, settle
from resight.collection.moves.trash import Trash, trash_for
from resight.collection.writer import Writer
from resight.errors import UsageError
from resight.files import create_folder
from resight.photos import is_remote, is_under
from resight.photos.files import file_state
from resight.progress import Progress, no_progress


@dataclass(frozen=True)
class MoveReport:
    """Result of a move, or of its undo.

    Attributes:
        move: ID of the move.
        moved: paths before and after.
        failed: path and reason of the files that stay where they were.
        renamed: original and new path of the files that came back to a place that was taken.
        stopped: whether it was stopped before the last photo.
    """

    move: str
    moved: list[tuple[Path, Path]] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    renamed: list[tuple[Path, Path]] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True)
class PastMove:
    """A move whose files are not all back: when (UTC), to which folder (None: the trash)."""

    move: str
    started: str
    folder: Path | None
    photos: int


def move_photos(
    writer: Writer,
    photos: Sequence[Photo],
    folder: Path | None,
    *,
    roots: set[Path],
    progress: Progress = no_progress,
) -> MoveReport:
    """Move the files of photos to a folder, or to the system's trash.

    Files whose names exist there get a number. An interruption, also by `progress`, leaves the
    rest where they are.

    Args:
        writer: of the collection.
        photos: of the collection.
        folder: absolute, created where missing; None for the trash.
        roots: folders of the collection, in which photos keep their entries, except in hidden
            folders, which are not indexed.
        progress: called after each photo.

    Raises:
        CollectionError: the journal cannot be written; see also `Writer`.
    """
    journal = Journal(writer.collection.folder, writer.place)
    recover(writer, roots)
    writer.forget_moved()
    move = Move(
        secrets.token_hex(4),
        datetime.now(UTC).isoformat(timespec="seconds"),
        "" if folder is None else str(folder),
    )
    journal.begin(move)
    report = MoveReport(move.move)
    for number, photo in enumerate(photos, 1):
        try:
            step = _move_one(journal, move, number, photo, folder, roots)
            _finish(writer, journal, step, roots)
            report.moved.append((photo.path, Path(step.target)))
        except OSError as error:
            report.failed.append((photo.path, error.strerror or str(error)))
        if not _goes_on(progress, "moving", number, len(photos)):
            return replace(report, stopped=True)
    return report


def undo_move(
    writer: Writer, move: str | None, *, roots: set[Path], progress: Progress = no_progress
) -> MoveReport:
    """Bring the files of a move back, by default of the last one that has any away.

    A file whose place is taken gets a number; one that was changed or is gone is left. Entries in
    the collection come back as well where their descriptors are still there.

    Raises:
        UsageError: there is no such move.
    """
    recover(writer, roots)
    journal = Journal(writer.collection.folder, writer.place)
    away = {
        id_: [step for step in steps.values() if step.is_away]
        for id_, (_, steps) in journal.moves().items()
    }
    id_ = move or next((i for i in reversed(away) if any(map(_is_returnable, away[i]))), None)
    if id_ is None or not away.get(id_):
        raise UsageError("there is no move to undo, or its files are back already")
    report = MoveReport(id_)
    for done, step in enumerate(away[id_], 1):
        try:
            back = _return_one(journal, step)
            _finish(writer, journal, back, roots)
            report.moved.append((_here(step), Path(back.target)))
            if back.target != str(_original(step)):
                report.renamed.append((_original(step), Path(back.target)))
        except OSError as error:
            report.failed.append((_here(step), error.strerror or str(error)))
        if not _goes_on(progress, "moving back", done, len(away[id_])):
            return replace(report, stopped=True)
    return report


def past_moves(folder: Path) -> list[PastMove]:
    """Return the moves of a collection that can be undone, the newest first."""
    found = []
    for move, steps in reversed(Journal(folder).moves().values()):
        away = sum(step.is_away and _here(step).exists() for step in steps.values())
        if away:
            place = Path(move.to) if move.to else None
            found.append(PastMove(move.move, move.started, place, away))
    return found


def recover(writer: Writer, roots: set[Path]) -> None:
    """Complete the steps that a crash has interrupted; the collection follows."""
    journal = Journal(writer.collection.folder, writer.place)
    for step in journal.interrupted():
        settled = replace(step, at=settle(step))
        trashed = step.target if step.action == "move" else step.source
        if step.trash_info is not None and not os.path.lexists(trashed):
            step.trash_info.unlink(missing_ok=True)
        _finish(writer, journal, settled, roots)


def _move_one(
    journal: Journal, move: Move, number: int, photo: Photo, folder: Path | None, roots: set[Path]
) -> Step:
    """Move the file of one photo; return the step that was taken."""
    if is_remote(photo.path) or photo.path.is_symlink():
        raise OSError("is a link to a file elsewhere, which is not moved")
    real = photo.path.parent.resolve()
    if not is_under(real, {root.resolve() for root in roots}):
        raise OSError("is in a folder elsewhere, by a link, and is not moved")
    trash = trash_for(photo.path) if folder is None else None
    place = trash.files if trash is not None else folder
    assert place is not None
    if real == place.resolve():
        raise OSError("is in this folder already")
    create_folder(place)
    names = FreeNames(place, photo.path.name)
    while True:
        target = names.next()
        info = trash.info_of(target) if trash is not None else None
        step = Step(
            move.move,
            number,
            "move",
            str(photo.path),
            str(target),
            str(photo.content),
            photo.width,
            photo.height,
            str(info or ""),
        )
        with contextlib.suppress(FileExistsError):  # taken just now: the next name
            _take(journal, step, trash)
            return replace(step, at="target")


def _take(journal: Journal, step: Step, trash: Trash | None = None) -> None:
    """Take a step that is in the journal before.

    Raises:
        OSError: it cannot be taken, and the file is where it was; or the disk fails once the file
            is at the target, and the step has no end: the next move or undo completes it.
    """
    journal.plan(step)
    info, described = step.trash_info, False
    try:
        if trash is not None and info is not None:
            trash.describe(info, Path(step.source))
            described = True
        move_file(step)
    except OSError as error:
        if isinstance(error, FileExistsError) or not has_content(Path(step.target), step.content):
            if info is not None and described:
                info.unlink(missing_ok=True)
            journal.end(step, "source")
        raise
    if info is not None and step.action == "undo":
        info.unlink(missing_ok=True)


def _finish(writer: Writer, journal: Journal, step: Step, roots: set[Path]) -> None:
    """Let the collection follow a step, and then record its end."""
    _follow(writer, step, roots)
    if step.at is not None:
        journal.end(step, step.at)


def _goes_on(progress: Progress, what: str, done: int, total: int) -> bool:
    """Report progress; return whether it was not interrupted."""
    try:
        progress(what, done, total)
    except KeyboardInterrupt:
        return False
    return True


def _return_one(journal: Journal, step: Step) -> Step:
    """Bring one file back to where it was; return the step that was taken."""
    original, here = _original(step), str(_here(step))
    create_folder(original.parent)
    names = FreeNames(original.parent, original.name)
    while True:
        back = replace(step, action="undo", source=here, target=str(names.next()), at=None)
        with contextlib.suppress(FileExistsError):
            _take(journal, back)
            return replace(back, at="target")


def _here(step: Step) -> Path:
    """Return where the file of a step is that was moved away."""
    return Path(step.target if step.action == "move" else step.source)


def _original(step: Step) -> Path:
    """Return where the file of a step was before the move."""
    return Path(step.source if step.action == "move" else step.target)


def _is_returnable(step: Step) -> bool:
    """Return whether the file of a step is still where it was moved to, unchanged."""
    return has_content(_here(step), step.content)


def _follow(writer: Writer, step: Step, roots: set[Path]) -> None:
    """Let the collection follow a file that a step has moved (idempotent)."""
    if step.at != "target":
        return
    collection, target = writer.collection, Path(step.target)
    photo = _entry(collection, Path(step.source), step.content)
    stays = step.action == "undo" or is_searched(target, roots)
    file = file_state(target, target.stat())
    if photo is not None and stays:
        writer.record_moved(file, photo)
    elif photo is not None:
        writer.remove([photo], keep=True)
    elif stays and _entry(collection, target, step.content) is None:
        is_described = collection.is_described(step.content)
        if is_described and step.width is not None and step.height is not None:
            writer.record_existing(file, step.content, (step.width, step.height))


def _entry(collection: Collection, path: Path, content: str) -> Photo | None:
    """Return the entry of a path if it is of a content."""
    photo = collection.photo_at(path)
    return photo if photo is not None and photo.content == content else None
