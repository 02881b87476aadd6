"""The arrays that searches scan: derived from the database, rebuilt whenever they are stale.

`arrays/STAMP/` holds `ids.npy`, `global.npy` and, with class activation maps, `local.npy`:
descriptors after the selection, float32, memory-mapped when they are read; of large collections
also their codes, `global-codes.npy` with `global-outliers.npy`, and so on (`codes.py`). The stamp
is the database's, so that arrays of another state are never taken for those of this one.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.lib.format import write_array_header_1_0

from resight.codes import Coded, Steps, choose_steps, encode_blocks, find_outliers
from resight.collection import Collection
from resight.database import explained
from resight.errors import CollectionError
from resight.neighbors import Database
from resight.selection import Selection
from resight.weights import file_sha256

FOLDER_NAME = "arrays"
HEADER_NAME = "header.json"
UNFINISHED_PREFIX = ".unfinished-"
UNFINISHED_AGE_S = 3600.0
CODED_FROM = 1000
"""Photos of a collection from which on it is scanned in codes."""

DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)
"""What reading a missing, cut off or overwritten header or array may raise."""


@dataclass(frozen=True)
class SearchArrays:
    """What a search scans, and the selection that made it; both of one state, named by a stamp."""

    stamp: str
    database: Database
    selection: Selection | None


def load_arrays(collection: Collection) -> SearchArrays:
    """The searchable arrays of a collection, built first where they are missing or stale.

    Where the collection's folder cannot be written, they are built in memory.
    """
    with explained(collection.folder):
        found = _read(collection.folder / FOLDER_NAME / collection.stamp)
        return found if found is not None else _build(collection)


def check_arrays(collection: Collection) -> str | None:
    """What is wrong with the arrays of the present state, if they were built; they are removed.

    Every byte is read and compared with the check sums in the header.
    """
    folder = collection.folder / FOLDER_NAME / collection.stamp
    if not folder.exists():
        return None
    problem = _find_damage(folder)
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
    return problem


def _read(folder: Path, mmap_mode: Literal["r"] | None = "r") -> SearchArrays | None:
    try:
        header = json.loads((folder / HEADER_NAME).read_text("utf-8"))
        arrays = {name: np.load(folder / name, mmap_mode=mmap_mode) for name in header["sha256"]}
        chosen = header["selection"]
        selection = chosen and Selection(np.array(chosen["indices"]), chosen["renormalize"])
        ids = np.asarray(arrays["ids.npy"])
        coded = tuple(
            Coded(
                Steps(made["low"], made["step"]),
                arrays[f"{name}-codes.npy"],
                np.asarray(arrays[f"{name}-outliers.npy"]),
                made["lost"],
            )
            for name, made in header["codes"].items()
        )
        database = Database(ids, arrays["global.npy"], arrays.get("local.npy"), coded)
        return SearchArrays(header["stamp"], database, selection)
    except DAMAGED:
        return None  # missing or damaged: built again from the database


def _build(collection: Collection) -> SearchArrays:
    parent = collection.folder / FOLDER_NAME
    try:
        parent.mkdir(exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED_PREFIX, dir=parent))
    except PermissionError:
        unfinished = Path(tempfile.mkdtemp(prefix="resight-"))
    try:
        stamp = _write(collection, unfinished)
        target = parent / stamp
        if target.exists() and _read(target) is None:
            shutil.rmtree(target, ignore_errors=True)
        with contextlib.suppress(OSError):  # another reader was faster: its arrays are the same
            unfinished.rename(target)
            _remove_others(parent, target)
        built = _read(target) or _read(unfinished, mmap_mode=None)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if built is None:
        raise CollectionError(f"{parent}: the arrays that were just written cannot be read")
    return built


def _write(collection: Collection, folder: Path) -> str:
    """Write the arrays of one state of the database; returns the stamp of that state."""
    files: dict[str, IO[bytes]] = {}
    with contextlib.ExitStack() as stack, _snapshot(collection):
        stamp, selection, count = collection.stamp, collection.selection(), collection.count("ok")
        ids = np.empty(count, np.int64)
        for row, (id_, *parts) in enumerate(collection.photo_descriptors()):
            ids[row] = id_
            for name, part in zip(("global.npy", "local.npy"), parts, strict=True):
                if part is None:
                    continue
                kept = part if selection is None else selection.apply(part)
                if name not in files:
                    files[name] = stack.enter_context((folder / name).open("wb"))
                    _write_header(files[name], (count, len(kept)))
                # Not through a memory map: on a full disk that would kill the process.
                files[name].write(kept.astype("<f4").tobytes())
    if not files:
        np.save(folder / "global.npy", np.empty((0, 0), np.float32))
    np.save(folder / "ids.npy", ids)
    chosen = selection and {
        "indices": selection.indices.tolist(),
        "renormalize": selection.renormalize,
    }
    descriptors = [name.removesuffix(".npy") for name in files]  # global before local
    codes = {name: _write_codes(folder, name) for name in descriptors if count >= CODED_FROM}
    sums = {path.name: file_sha256(path) for path in sorted(folder.glob("*.npy"))}
    header = {"stamp": stamp, "selection": chosen, "codes": codes, "sha256": sums}
    (folder / HEADER_NAME).write_text(json.dumps(header), "utf-8")
    return stamp


def _write_codes(folder: Path, name: str) -> dict[str, float]:
    """Write the codes of descriptors that were just written; returns what the codes mean."""
    rows = np.load(folder / f"{name}.npy", mmap_mode="r")
    steps = choose_steps(rows)
    lost = []
    with (folder / f"{name}-codes.npy").open("wb") as file:
        _write_header(file, rows.shape, "|u1")
        for codes, losses in encode_blocks(rows, steps):
            file.write(codes.tobytes())
            lost.append(losses)
    outliers, most = find_outliers(np.concatenate(lost))
    np.save(folder / f"{name}-outliers.npy", outliers)
    return {"low": steps.low, "step": steps.step, "lost": most}


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str = "<f4") -> None:
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    write_array_header_1_0(file, header)


@contextlib.contextmanager
def _snapshot(collection: Collection) -> Iterator[None]:
    """One state of the database for several reads, whatever a writer does meanwhile."""
    if collection.database.in_transaction:
        yield
        return
    collection.database.execute("BEGIN")
    try:
        yield
    finally:
        collection.database.execute("ROLLBACK")


def _remove_others(parent: Path, keep: Path) -> None:
    """Remove arrays of other states, and what a killed process left unfinished long ago."""
    for entry in parent.iterdir():
        unfinished = entry.name.startswith(UNFINISHED_PREFIX)
        if entry == keep or (unfinished and _age_s(entry) < UNFINISHED_AGE_S):
            continue
        shutil.rmtree(entry, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:  # another reader finished in the meantime
        return 0.0


def _find_damage(folder: Path) -> str | None:
    try:
        header = json.loads((folder / HEADER_NAME).read_text("utf-8"))
        for name, sha256 in header["sha256"].items():
            if file_sha256(folder / name) != sha256:
                return f"{name} was damaged"
    except DAMAGED as error:
        return f"the header was damaged ({error})"
    return None if _read(folder) is not None else "the header was damaged"
