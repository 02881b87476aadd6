"""The arrays that searches scan: derived from the database and updated when they are stale.

A folder in `arrays/` holds `ids.npy`, `global.npy` and, with class activation maps, `local.npy`:
descriptors after the reduction, float32, memory-mapped when read; for large collections also their
8-bit codes, `global-codes.npy`, `global-units.npy` and so on (`ranking.quantized`). `header.json`
names the state of the database that they represent, the number of valid rows, and the rows of
removed photos. When photos come and go, rows are appended and others marked as gone; everything is
rebuilt only after another reduction, or when much has changed.
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

from resight.collection import appendable_npy
from resight.collection.array_builder import (
    FORMAT,
    REDUCTION_NAME,
    Header,
    append_photos,
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
from resight.reductions import Reduction, from_bytes

FOLDER_NAME = "arrays"
LOCK_NAME = "arrays.lock"
UNFINISHED_PREFIX = ".unfinished-"
UNFINISHED_AGE_S = 3600.0
MAX_GONE = 0.25
"""Share of rows of removed photos from which on everything is rebuilt."""
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError)
"""Errors from reading a missing, truncated or overwritten header or array."""


@dataclass(frozen=True)
class SearchArrays:
    """Descriptors to scan and the reduction behind them, both of the state named by the stamp.

    The folder of arrays that were built in memory does not exist.
    """

    stamp: str
    folder: Path
    database: Database
    reduction: Reduction | None


def load_arrays(collection: Collection) -> SearchArrays:
    """Return the search arrays of a collection, updated first if they are stale.

    They are built in memory where the collection's folder is read-only.

    Raises:
        CollectionError: they do not fit on the disk.
    """
    with explained(collection.folder):
        current = collection.stamp
        for folder in _folders(collection):
            arrays = _read(folder)
            if arrays is not None and arrays.stamp == current:
                return arrays
        return _update(collection)


def remove_damaged_arrays(collection: Collection) -> str | None:
    """Check every byte of existing arrays against its checksum; remove damaged ones.

    Returns:
        The first problem, if any.
    """
    problems = []
    for folder in _folders(collection):
        problem = _find_damage(folder)
        if problem:
            problems.append(problem)
            shutil.rmtree(folder, ignore_errors=True)
    return problems[0] if problems else None


def current_folder(collection: Collection) -> Path | None:
    """Return the folder of arrays for the current reduction, if any; they may be stale."""
    for folder in _folders(collection):
        arrays = _read(folder)
        if arrays is not None and arrays.stamp.startswith(f"{collection.generation}-"):
            return folder
    return None


def _folders(collection: Collection) -> list[Path]:
    parent = collection.folder / FOLDER_NAME
    if not parent.is_dir():
        return []
    return [f for f in sorted(parent.iterdir()) if not f.name.startswith(UNFINISHED_PREFIX)]


def _read(folder: Path, mmap_mode: Literal["r"] | None = "r") -> SearchArrays | None:
    """Return the arrays in a folder; None where they are missing or damaged."""
    try:
        header = read_header(folder)
        if header["format"] != FORMAT:
            return None
        count = header["rows"]
        rows = {
            name: appendable_npy.load(folder / name, count, mmap_mode) for name in header["sums"]
        }
        ids = np.array(rows["ids.npy"])
        ids[header["gone"]] = GONE
        quantized = tuple(
            QuantizedDescriptors(
                Quantizer(codes["low"], codes["step"], codes["lost"]),
                rows[f"{name}-codes.npy"],
                rows[f"{name}-units.npy"],
                np.array(codes["outliers"], np.int64),
            )
            for name, codes in header["codes"].items()
        )
        database = Database(ids, rows["global.npy"], rows.get("local.npy"), quantized)
        return SearchArrays(stamp(header), folder, database, _read_reduction(folder, header))
    except DAMAGED:
        return None


def _read_reduction(folder: Path, header: Header) -> Reduction | None:
    reduction_header = header["selection"]
    if reduction_header is None:
        return None
    data = (folder / REDUCTION_NAME).read_bytes()
    if hashlib.sha256(data).hexdigest() != reduction_header["sha256"]:
        raise ValueError("the reduction was damaged")
    return from_bytes(data, reduction_header["config"])


def _update(collection: Collection) -> SearchArrays:
    """Return arrays of the database's current state, extended from older ones or rebuilt."""
    import filelock  # slow to import, and current arrays do not need it

    parent = collection.folder / FOLDER_NAME
    with contextlib.ExitStack() as stack:
        try:
            parent.mkdir(exist_ok=True)
            stack.enter_context(filelock.FileLock(collection.folder / LOCK_NAME))
        except PermissionError:
            return _build_in_memory(collection)
        stack.enter_context(collection.snapshot())
        for folder in _folders(collection):
            arrays = _extend(collection, folder)
            if arrays is not None:
                return arrays
        return _read_new(_build(collection, parent))


def _extend(collection: Collection, folder: Path) -> SearchArrays | None:
    """Append the database's changes to the arrays of a folder; return None if that fails."""
    arrays = _read(folder)
    if arrays is None:
        return None
    header = read_header(folder)
    if header["generation"] != collection.generation:
        return None
    changed = collection.changed_since(header["change"])
    header["gone"] += np.flatnonzero(np.isin(arrays.database.ids, changed)).tolist()
    if len(header["gone"]) > MAX_GONE * header["rows"]:
        return None
    since = header["change"]
    header["change"] = collection.last_change
    try:
        append_photos(collection, folder, header, since)
    except ValueError:  # the codes do not fit the new photos, or a file is damaged
        return None
    return _read(folder)


def _build(collection: Collection, parent: Path) -> Path:
    """Build the arrays in a new folder and remove older ones."""
    check_space(collection)
    unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED_PREFIX, dir=parent))
    try:
        target = parent / write_all(collection, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for entry in parent.iterdir():
        in_progress = entry.name.startswith(UNFINISHED_PREFIX) and _age_s(entry) < UNFINISHED_AGE_S
        if entry != target and not in_progress:
            shutil.rmtree(entry, ignore_errors=True)
    return target


def _build_in_memory(collection: Collection) -> SearchArrays:
    folder = Path(tempfile.mkdtemp(prefix="resight-"))
    try:
        with collection.snapshot():
            write_all(collection, folder)
        return _read_new(folder, mmap_mode=None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_new(folder: Path, mmap_mode: Literal["r"] | None = "r") -> SearchArrays:
    arrays = _read(folder, mmap_mode)
    if arrays is None:
        raise CollectionError(f"{folder}: the arrays that were just written cannot be read")
    return arrays


def _age_s(path: Path) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:  # another reader finished in the meantime
        return 0.0


def _find_damage(folder: Path) -> str | None:
    try:
        for name, chunks in read_header(folder)["sums"].items():
            if appendable_npy.is_damaged(folder / name, chunks):
                return f"{name} was damaged"
    except DAMAGED as error:
        return f"the header was damaged ({error})"
    return None if _read(folder) is not None else "the header was damaged"
