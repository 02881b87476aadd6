"""An operation of the trials: a command, the state before it and the state it must reach."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.progress import Progress

State = dict[str, dict[Any, Any]]
"""Rows by table and key, without numbers and times."""


def read_state(folder: Path) -> State:
    """Return what a collection holds; empty tables where there is none."""
    tables = {
        "photos": "SELECT path, content, state, size, mtime_ns, width, height FROM photos",
        "descriptors": "SELECT content, global, local, crc32 FROM descriptors",
        "evidence": "SELECT content, data FROM evidence",
        "copies": "SELECT content, descriptors FROM copies",
        "hints": "SELECT first, second, verdict FROM hints",
        "names": "SELECT content || name, name FROM names",
        "fitted": "SELECT name, data FROM fitted",
        "meta": "SELECT key, value FROM meta WHERE key IN ('config', 'selection_config', 'model', "
        "'fingerprint', 'evidence')",
    }
    state: State = {name: {} for name in tables}
    if not (folder / "resight.sqlite").exists():
        return state
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database:
        present = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        for name in tables.keys() & present:
            state[name] = {row[0]: row[1:] for row in database.execute(tables[name])}
    return state


@dataclass(frozen=True)
class Operation:
    """A command on a collection.

    Attributes:
        name: as in the table of results.
        before: a folder with the collection before it; it does not exist for a new one.
        run: the command, given the collection's folder and a progress function.
        acknowledges: a table, whose rows are durable when the progress of that `stage` counts them.
        stage: what the progress counts.
        former: the collection's state before the command.
        after: its state after the command.
        found: results of a search after the command.
        again: the next run, where it is another command.
        confirm: returns what is missing elsewhere after the command was acknowledged.
        photos: the folder of the photos, which may be unmounted during the command; "" if files
            come back to it.
        beside: folders that are copied beside the collection.
        whole: returns which file of a world is lost, after any end of the command.
    """

    name: str
    before: Path
    run: Callable[[Path, Progress], object]
    acknowledges: str = "photos"
    stage: str = "indexing"
    after: State = field(default_factory=dict)
    former: State = field(default_factory=dict)
    found: list[tuple[str, float]] = field(default_factory=list)
    again: Callable[[Path, Progress], object] | None = None
    confirm: Callable[[Path], str | None] = lambda _: None
    photos: str = "photos"
    beside: tuple[Path, ...] = ()
    whole: Callable[[Path], str | None] = lambda _: None

    def lost(self, state: State, acknowledged: int) -> str | None:
        """Return what is missing from a state, given the number that was acknowledged."""
        for table, rows in self.former.items():
            for key, row in rows.items():
                if self.after[table].get(key) == row and state[table].get(key) != row:
                    return f"{table}: {key!r} was lost"
        table = self.acknowledges
        new = {k: v for k, v in self.after[table].items() if self.former[table].get(k) != v}
        there = sum(state[table].get(key) == row for key, row in new.items())
        if there < min(acknowledged, len(new)):
            return f"{table}: {there} of {acknowledged} acknowledged ones are there"
        return None


def start_from(operation: Operation, target: Path) -> None:
    """Copy the collection before an operation, and what is beside it, into a new folder."""
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    for folder in operation.beside:
        shutil.copytree(folder, target.parent / folder.name)
    if operation.before.exists():
        shutil.copytree(operation.before, target)
