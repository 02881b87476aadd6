"""The journal of moves of photos: JSON lines, each on the disk before the file it names moves.

A line with a `source` is a step that was planned, and one with `at` says how it ended. A step
without an end was interrupted: `relocate.settle` looks where its file is.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from resight.collection.database import explained
from resight.collection.lock import DatabasePlace
from resight.files import sync_folder

JOURNAL_NAME = "moves.jsonl"

Action = Literal["move", "undo"]
Place = Literal["source", "target", "gone"]


@dataclass(frozen=True)
class Move:
    """A move of several photos.

    Attributes:
        move: its ID.
        started: UTC, ISO 8601.
        to: the folder, or "" for the trash.
    """

    move: str
    started: str
    to: str


@dataclass(frozen=True)
class Step:
    """A planned move of one file.

    Attributes:
        move: ID of the move.
        number: of the photo in the move, from 1.
        action: "undo" for its way back.
        source: where the file is.
        target: where it goes; no file was there.
        content: SHA-256 of the file.
        width, height: of the photo.
        info: the file that describes it in the trash, "" elsewhere.
        at: where the file is at the end; None until then.
    """

    move: str
    number: int
    action: Action
    source: str
    target: str
    content: str
    width: int | None
    height: int | None
    info: str = ""
    at: Place | None = None

    @property
    def part(self) -> Path:
        """Return the path of an unfinished copy, on the file system of the target."""
        return Path(self.target).with_name(f".resight-{self.move}-{self.number}.part")

    @property
    def trash_info(self) -> Path | None:
        """Return the path of the file that describes the photo in the trash."""
        return Path(self.info) if self.info else None

    @property
    def is_away(self) -> bool:
        """Return whether the file is, or may be after a crash, where the move has put it."""
        if self.at is None:
            return True
        return self.at == ("target" if self.action == "move" else "source")


class Journal:
    """The journal in a collection's folder; only the process that holds its lock appends."""

    def __init__(self, folder: Path, place: DatabasePlace | None = None) -> None:
        """Read the journal in a folder; to append, `place` is that of its database."""
        self._folder = folder
        self._place = place
        self._path = folder / JOURNAL_NAME

    def begin(self, move: Move) -> None:
        """Record that a move begins."""
        self._append(asdict(move))

    def plan(self, step: Step) -> None:
        """Record a step before its file moves."""
        values = asdict(step)
        del values["at"]
        self._append(values)

    def end(self, step: Step, at: Place) -> None:
        """Record where the file of a step is at the end."""
        self._append({"move": step.move, "number": step.number, "at": at})

    def moves(self) -> dict[str, tuple[Move, dict[int, Step]]]:
        """Return all moves by ID, the oldest first, each with the last step of each photo."""
        moves: dict[str, tuple[Move, dict[int, Step]]] = {}
        for line in self._lines():
            try:
                if "started" in line:
                    moves[line["move"]] = Move(**line), {}
                    continue
                steps, number = moves[line["move"]][1], int(line["number"])
                if "source" in line:
                    steps[number] = Step(**line)
                elif line["at"] in get_args(Place):
                    steps[number] = replace(steps[number], at=line["at"])
            except (KeyError, TypeError, ValueError):  # a newer version's, or damaged
                continue
        return moves

    def interrupted(self) -> list[Step]:
        """Return the steps that have no end."""
        return [
            step for _, steps in self.moves().values() for step in steps.values() if not step.at
        ]

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield the intact lines; the last one may be torn, and then its file has not moved."""
        with explained(self._folder):
            data = self._path.read_bytes() if self._path.exists() else b""
        for line in data.splitlines():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value

    def _append(self, values: dict[str, Any]) -> None:
        """Append a line, and wait until it is on the disk."""
        with explained(self._folder):
            is_new = not self._path.exists()
            line = json.dumps(values).encode() + b"\n"  # undecodable names as lone surrogates
            with self._path.open("ab+") as file:
                if file.tell() and not _ends_with_newline(self._path):
                    line = b"\n" + line  # after one that a crash has torn
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self._folder)
        if self._place is not None:  # otherwise the line may be in an empty folder
            self._place.check()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
