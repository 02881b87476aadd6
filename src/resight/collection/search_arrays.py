"""The arrays that searches scan: derived from the database, brought up to date when they are stale.

A folder in `arrays/` holds `ids.npy`, `global.npy` and, with class activation maps, `local.npy`:
descriptors after the selection, float32, memory-mapped when they are read; of large collections
also their codes, `global-codes.npy`, `global-units.npy` and so on (`codes`). `header.json` says of
which state of the database they are, how many rows count, and which of those belong to photos that
are gone. When photos have come and gone, rows are added and others are crossed out; all is written
anew only after another selection, and when much has changed.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from resight.collection import appendable_npy as rowfiles
from resight.collection.array_builder import (
    FORMAT,
    SELECTION_NAME,
    Header,
    add_photos,
    check_space,
    read_header,
    stamp,
    write_all,
)
from resight.collection.database import explained
from resight.collection.reader import Collection
from resight.errors import CollectionError
from resight.ranking.exact import GONE, Database
from resight.ranking.quantized import QuantizedDescriptors, Quantizer
from resight.reductions.reduction import Reduction, from_bytes

FOLDER_NAME = "arrays"
LOCK_NAME = "arrays.lock"
UNFINISHED_PREFIX = ".unfinished-"
UNFINISHED_AGE_S = 3600.0
MOST_GONE = 0.25
"""Share of the rows that may be of photos that are gone before all is written anew."""
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError)
"""What reading a missing, cut off or overwritten header or array may raise."""


@dataclass(frozen=True)
class SearchArrays:
    """What a search scans, and the selection that made it; both of one state, named by a stamp.

    Arrays that were built in memory have no folder that is there.
    """

    stamp: str
    folder: Path
    database: Database
    selection: Reduction | None


def load_arrays(collection: Collection) -> SearchArrays:
    """The searchable arrays of a collection, first brought up to date where they are stale.

    Where the collection's folder cannot be written, they are built in memory.

    Raises:
        CollectionError: the disk has no room for them.
    """
    with explained(collection.folder):
        present = collection.stamp
        for found in map(_read, _folders(collection)):
            if found is not None and found.stamp == present:
                return found
        return _renew(collection)


def check_arrays(collection: Collection) -> str | None:
    """What is wrong with the arrays, if they were built; they are removed then.

    Every byte is read and compared with the check sums in the header.
    """
    problem = None
    for folder in _folders(collection):
        found = _find_damage(folder)
        if found:
            shutil.rmtree(folder, ignore_errors=True)
        problem = problem or found
    return problem


def present_folder(collection: Collection) -> Path | None:
    """The folder of the arrays for the present selection, of this or an earlier state."""
    for folder in _folders(collection):
        found = _read(folder)
        if found is not None and found.stamp.startswith(f"{collection.generation}-"):
            return folder
    return None


def _folders(collection: Collection) -> list[Path]:
    parent = collection.folder / FOLDER_NAME
    if not parent.is_dir():
        return []
    return [f for f in sorted(parent.iterdir()) if not f.name.startswith(UNFINISHED_PREFIX)]


def _read(folder: Path, mmap_mode: Literal["r"] | None = "r") -> SearchArrays | None:
    """The arrays in a folder; None where they are missing or damaged."""
    try:
        header = read_header(folder)
        if header["format"] != FORMAT:
            return None
        count = header["rows"]
        rows = {name: rowfiles.load(folder / name, count, mmap_mode) for name in header["sums"]}
        ids = np.array(rows["ids.npy"])
        ids[header["gone"]] = GONE
        coded = tuple(
            QuantizedDescriptors(
                Quantizer(made["low"], made["step"], made["lost"]),
                rows[f"{name}-codes.npy"],
                rows[f"{name}-units.npy"],
                np.array(made["outliers"], np.int64),
            )
            for name, made in header["codes"].items()
        )
        database = Database(ids, rows["global.npy"], rows.get("local.npy"), coded)
        return SearchArrays(stamp(header), folder, database, _read_selection(folder, header))
    except DAMAGED:
        return None


def _read_selection(folder: Path, header: Header) -> Reduction | None:
    chosen = header["selection"]
    if chosen is None:
        return None
    data = (folder / SELECTION_NAME).read_bytes()
    if hashlib.sha256(data).hexdigest() != chosen["sha256"]:
        raise ValueError("the selection was damaged")
    return from_bytes(data, chosen["config"])


def _renew(collection: Collection) -> SearchArrays:
    """Arrays of the database's present state, from older ones or from nothing."""
    import filelock  # takes a while, and fresh arrays need none

    parent = collection.folder / FOLDER_NAME
    with contextlib.ExitStack() as stack:
        try:
            parent.mkdir(exist_ok=True)
            stack.enter_context(filelock.FileLock(collection.folder / LOCK_NAME))
        except PermissionError:
            return _build_in_memory(collection)
        stack.enter_context(collection.snapshot())
        for folder in _folders(collection):
            if _bring_up_to_date(collection, folder):
                found = _read(folder)
                if found is not None:
                    return found
        folder = _build(collection, parent)
        found = _read(folder)
    if found is None:
        raise CollectionError(f"{parent}: the arrays that were just written cannot be read")
    return found


def _bring_up_to_date(collection: Collection, folder: Path) -> bool:
    """Add what is new in the database to the arrays of a folder; False where that cannot be."""
    if _read(folder) is None:
        return False
    header = read_header(folder)
    if header["generation"] != collection.generation:
        return False
    changed = collection.changed_since(header["change"])
    ids = np.array(rowfiles.load(folder / "ids.npy", header["rows"]))
    ids[header["gone"]] = GONE
    header["gone"] += np.flatnonzero(np.isin(ids, changed)).tolist()
    if len(header["gone"]) > MOST_GONE * header["rows"]:
        return False
    since, header["change"] = header["change"], collection.last_change
    try:
        add_photos(collection, folder, header, since)
    except ValueError:  # the codes do not fit the new photos, or a file is not what it should be
        return False
    return True


def _build(collection: Collection, parent: Path) -> Path:
    """The folder of arrays that are written from nothing; older ones are removed."""
    check_space(collection, parent)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED_PREFIX, dir=parent))
    try:
        target = parent / write_all(collection, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for entry in parent.iterdir():
        fresh = entry.name.startswith(UNFINISHED_PREFIX) and _age_s(entry) < UNFINISHED_AGE_S
        if entry != target and not fresh:
            shutil.rmtree(entry, ignore_errors=True)
    return target


def _build_in_memory(collection: Collection) -> SearchArrays:
    folder = Path(tempfile.mkdtemp(prefix="resight-"))
    try:
        with collection.snapshot():
            write_all(collection, folder)
        found = _read(folder, mmap_mode=None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if found is None:
        raise CollectionError(f"{folder}: the arrays that were just written cannot be read")
    return found


def _age_s(path: Path) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:  # another reader finished in the meantime
        return 0.0


def _find_damage(folder: Path) -> str | None:
    try:
        for name, pieces in read_header(folder)["sums"].items():
            if rowfiles.is_damaged(folder / name, pieces):
                return f"{name} was damaged"
    except DAMAGED as error:
        return f"the header was damaged ({error})"
    return None if _read(folder) is not None else "the header was damaged"
