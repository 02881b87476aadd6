"""Bit rot: a flipped bit anywhere in a collection is found by `check`, or changes nothing."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from operation import Operation
from operations import results
from trials import Tally, new_world, note

from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.errors import ResightError
from resight.indexing.cluster.segments import read_segment

FILES = {
    "database": "resight.sqlite",
    "arrays": "arrays/*/*.npy",
    "headers": "arrays/*/*.[jb]*",
    "approximate index": "arrays/*/*.lists",
}
"""Files of a collection by the name in the table."""
HARMLESS = ("changes", "file_states")
"""Tables without effect once arrays are up to date, or but for files that are read again."""


def flip(
    operation: Operation, folder: Path, pattern: str, trials: int, chance: random.Random
) -> Tally:
    """Flip bits of a collection's files after an operation; damage must be found or harmless."""
    world, tally = new_world(operation, folder), Tally()
    operation.run(world / "c", lambda *_: None)
    whole = _copy(world / "c", folder / "whole-after")
    paths = [path.relative_to(whole) for path in sorted(whole.glob(pattern))]
    contents = _contents(whole)
    for number in range(trials):
        place = _copy(whole, world / "c")
        path = place / chance.choice(paths)
        data = bytearray(path.read_bytes())
        where = _flip_bit(data, chance)
        path.write_bytes(data)
        found, violation = False, _served(operation, _copy(place, world / "searched"))
        if violation is None:
            found, violation = _checked(place, contents)
        if violation:
            violation = f"{path.name} byte {where} of {len(data)}: {violation}"
        note(tally, found, violation, number)
    return tally


def flip_segments(folder: Path, trials: int, chance: random.Random) -> Tally:
    """Flip bits of segments; all are refused."""
    tally = Tally()
    paths = sorted((folder / "segments").glob("*.segment"))
    for number in range(trials):
        data = bytearray(chance.choice(paths).read_bytes())
        where = _flip_bit(data, chance)
        (folder / "rotten.segment").write_bytes(data)
        try:
            read_segment(folder / "rotten.segment")
            note(tally, False, f"byte {where}: read", number)
        except ResightError:
            note(tally, True, None, number)
    return tally


def _flip_bit(data: bytearray, chance: random.Random) -> int:
    """Flip a bit; return its byte's position."""
    where = chance.randrange(len(data))
    data[where] ^= 1 << chance.randrange(8)
    return where


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def _served(operation: Operation, place: Path) -> str | None:
    """Return what is wrong with the answer of a search, which may be a refusal."""
    try:
        found = results(place, operation.after)
    except ResightError:
        return None
    except Exception as error:  # noqa: BLE001 - any other error is a violation
        return f"search: {type(error).__name__}: {error}"
    return None if found == operation.found else "served as an answer"


def _checked(place: Path, contents: Any) -> tuple[bool, str | None]:
    """Return whether `check` finds the damage; if it does not, the damage must be harmless."""
    try:
        if not check(place).intact:
            return True, None
    except ResightError:
        return True, None
    except Exception as error:  # noqa: BLE001 - any other error is a violation
        return False, f"check: {type(error).__name__}: {error}"
    return False, None if _contents(place) == contents else "unnoticed"


def _contents(folder: Path) -> Any:
    """Return all rows and the structure of the database, and the arrays."""
    with closing(sqlite3.connect(folder / "resight.sqlite")) as database:
        schema = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        rows = {
            name: sorted(map(repr, database.execute(f"SELECT * FROM {name}")))
            for kind, name, _ in schema
            if kind == "table" and name not in HARMLESS
        }
        rows["structure"] = sorted(map(repr, schema))
    with Collection.open(folder) as opened:
        arrays = load_arrays(opened)
        values = arrays.database.ids.tobytes(), np.asarray(arrays.database.global_).tobytes()
    return rows, values
