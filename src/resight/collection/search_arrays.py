"""The arrays that searches scan: derived from the database and updated when they are stale.

A folder in `arrays/` holds `ids.npy`, `global.npy` and, with class activation maps, `local.npy`:
descriptors after the reduction, float32, memory-mapped when read; for large collections also their
8-bit codes, `global-codes.npy`, `global-units.npy` (for Manhattan distance) and so on
(`ranking.quantized`). `header.json`
names the state of the database that they represent, the number of valid rows, and the rows of
removed photos. For new photos rows are appended, and those of removed ones are marked; everything
is rebuilt only after another reduction, or when much has changed.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight.collection import Collection, appendable_npy
from resight.collection.code_files import append_codes, norm_of_codes, read_codes
from resight.collection.database import check_disk_space, explained
from resight.errors import CollectionError
from resight.files import sync_file, write_atomically
from resight.ranking.exact import REMOVED_ID, Database
from resight.reductions import Reduction, from_bytes, to_bytes

HEADER_NAME = "header.json"
REDUCTION_NAME = "selection.bin"
"""The fitted numbers of the reduction, as in the database."""
MIN_QUANTIZED_PHOTOS = 1000
"""Minimum number of photos for 8-bit codes, which are scanned first."""
BLOCK_ROWS = 1024
"""Rows written together."""
MAX_VERIFIED_BYTES = 16 << 20
"""Largest size of arrays that are verified whenever they are opened, which takes about 10 ms."""
FORMAT = 2
"""Format of the files; arrays of another format are rebuilt."""

DESCRIPTORS = ("global", "local")
Header = dict[str, Any]
"""Contents of `header.json`: `format`, `generation` and `change` (together the stamp), `selection`,
`rows`, `gone` (rows), `codes` by descriptor (low, step, lost, norm if it is not Manhattan,
outliers), `sums` by file, `sum` (SHA-256 of the rest)."""


def _read_header(folder: Path) -> Header:
    """Return the header of a folder of arrays."""
    header: Header = json.loads((folder / HEADER_NAME).read_text("utf-8"))
    stored = header.pop("sum", None)  # which older versions did not write
    if stored is not None and stored != _header_sum(header):
        raise ValueError("its checksum is wrong")
    return header


def _header_sum(header: Header) -> str:
    """Return the SHA-256 (hex) of a header without its checksum."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _write_all(collection: Collection, folder: Path) -> str:
    """Write the arrays of the database's current state into an empty folder; return its stamp."""
    reduction = collection.reduction()
    state = {"generation": collection.generation, "change": collection.last_change}
    contents: Header = {"selection": None, "rows": 0, "gone": [], "codes": {}, "sums": {}}
    header = {"format": FORMAT, **state, **contents}
    if reduction is not None:
        data, info = to_bytes(reduction), collection.fit_info("selection") or {}
        (folder / REDUCTION_NAME).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        header["selection"] = {"config": info["config"], "sha256": sha256}
    appendable_npy.create(folder / "ids.npy", (), "<i8")
    _, *first = next(collection.photo_descriptors(), (0, None, None))
    for name, values in zip(DESCRIPTORS, first, strict=True):
        if values is not None:
            reduced = values if reduction is None else reduction.apply(values)
            appendable_npy.create(folder / f"{name}.npy", reduced.shape, "<f4")
        elif name == "global":  # an empty collection
            appendable_npy.create(folder / f"{name}.npy", (0,), "<f4")
    append_photos(collection, folder, header, None)
    return _stamp(header)


def append_photos(collection: Collection, folder: Path, header: Header, since: int | None) -> None:
    """Append photos to the arrays, and then write the header, which makes them count.

    The header is that of the existing rows, for the state that the arrays will represent; only
    photos whose descriptor changed after the change number `since` are appended.

    Raises:
        ValueError: the files are damaged, or the codes do not fit the new rows.
    """
    reduction, before = collection.reduction(), header["rows"]
    for ids, descriptors in _blocks(collection, since):
        appendable_npy.append(folder / "ids.npy", header["rows"], ids)
        for name, values in descriptors.items():
            reduced = values if reduction is None else reduction.apply(values)
            appendable_npy.append(folder / f"{name}.npy", header["rows"], reduced)
        header["rows"] += len(ids)
    present = [name for name in DESCRIPTORS if (folder / f"{name}.npy").exists()]
    for name in present if header["rows"] >= MIN_QUANTIZED_PHOTOS else ():
        append_codes(folder, name, header, before, collection.distance)
    header["sums"] = {
        path.name: appendable_npy.extend_checksums(
            path, header["sums"].get(path.name, []), header["rows"]
        )
        for path in sorted(folder.glob("*.npy"))
    }
    for path in folder.iterdir():  # a header on the disk must not count rows that are not
        if path.suffix in (".npy", ".bin"):
            sync_file(path)
    with write_atomically(folder / HEADER_NAME) as unfinished:
        unfinished.write_text(json.dumps({**header, "sum": _header_sum(header)}), "utf-8")


def _stamp(header: Header) -> str:
    """Return the stamp of the database's state that arrays represent."""
    return f"{header['generation']}-{header['change']}"


def _blocks(
    collection: Collection, since: int | None
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield IDs (n,) and descriptors by name (n, D) of at most `BLOCK_ROWS` photos."""
    photos = collection.photo_descriptors(since)
    while block := list(itertools.islice(photos, BLOCK_ROWS)):
        ids, *columns = zip(*block, strict=True)
        named = zip(DESCRIPTORS, columns, strict=True)
        yield np.array(ids), {name: np.stack(rows) for name, rows in named if rows[0] is not None}


def _check_space(collection: Collection) -> None:
    """Refuse to write arrays that do not fit on the disk."""
    reduction, count = collection.reduction(), collection.count("ok")
    _, *first = next(collection.photo_descriptors(), (0, None, None))
    values = sum(
        len(descriptor) if reduction is None else reduction.dimensions
        for descriptor in first
        if descriptor is not None
    )
    bytes_per_value = 5 if count >= MIN_QUANTIZED_PHOTOS else 4
    check_disk_space(collection.folder, count * (values * bytes_per_value + 8), "searching needs")


FOLDER_NAME = "arrays"
LOCK_NAME = "arrays.lock"
UNFINISHED_PREFIX = ".unfinished-"
UNFINISHED_AGE_S = 3600.0
MAX_REMOVED = 0.25
"""Largest fraction of rows of removed photos; beyond it, everything is rebuilt."""
DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, IndexError)
"""Errors from reading a missing, truncated or overwritten header or array."""


@dataclass(frozen=True)
class SearchArrays:
    """Descriptors to scan and their reduction, both of the state named by the stamp.

    The folder of arrays that were built in memory does not exist.
    """

    stamp: str
    folder: Path
    database: Database
    reduction: Reduction | None

    @cached_property
    def rows_by_id(self) -> np.ndarray:
        """Rows by ascending ID, int64 (N,)."""
        return np.argsort(self.database.ids, kind="stable")


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
            if arrays is not None and arrays.stamp == current and not _is_small_and_damaged(folder):
                # Older versions wrote no codes for some distances.
                few = len(arrays.database.ids) < MIN_QUANTIZED_PHOTOS
                lacking = not (few or arrays.database.coded) and norm_of_codes(
                    collection.distance, arrays.database.global_.shape[1]
                )
                return _update(collection) if lacking and os.access(folder, os.W_OK) else arrays
        return _update(collection)


def remove_damaged_arrays(
    collection: Collection, start: float = 0.0, end: float = 1.0
) -> str | None:
    """Remove arrays that differ from their checksums; return the first problem, if any.

    Only the part of each file from `start` to `end` (in 0..1) is read.
    """
    first = None
    for folder in _folders(collection):
        problem = _find_damage(folder, start, end)
        if problem:
            first = first or problem
            shutil.rmtree(folder, ignore_errors=True)
    return first


def remove_arrays(collection: Collection) -> None:
    """Remove all arrays; the next search rebuilds them."""
    for folder in _folders(collection):
        shutil.rmtree(folder, ignore_errors=True)


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
    return [
        folder
        for folder in sorted(parent.iterdir())
        if folder.is_dir() and not folder.name.startswith(UNFINISHED_PREFIX)
    ]


def _read(folder: Path, mmap_mode: Literal["r"] | None = "r") -> SearchArrays | None:
    """Return the arrays in a folder; None where they are missing or damaged."""
    try:
        header = _read_header(folder)
        if header["format"] != FORMAT:
            return None
        count = header["rows"]
        rows = {
            name: appendable_npy.load(folder / name, count, mmap_mode) for name in header["sums"]
        }
        ids = np.array(rows["ids.npy"])
        ids[header["gone"]] = REMOVED_ID
        quantized = read_codes(rows, header["codes"], count)
        database = Database(ids, rows["global.npy"], rows.get("local.npy"), quantized)
        return SearchArrays(_stamp(header), folder, database, _read_reduction(folder, header))
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
        except OSError as error:
            if isinstance(error, PermissionError) or error.errno == errno.EROFS:
                return _build_in_memory(collection)
            raise
        stack.enter_context(collection.snapshot())
        for folder in _folders(collection):
            arrays = None if _is_small_and_damaged(folder) else _extend(collection, folder)
            if arrays is not None:
                return arrays
        return _read_new(_build(collection, parent))


def _extend(collection: Collection, folder: Path) -> SearchArrays | None:
    """Append the database's changes to the arrays of a folder; return None if that fails."""
    arrays = _read(folder)
    if arrays is None:
        return None
    header = _read_header(folder)
    if header["generation"] != collection.generation:
        return None
    changed = collection.changed_since(header["change"])
    header["gone"] += np.flatnonzero(np.isin(arrays.database.ids, changed)).tolist()
    if len(header["gone"]) > MAX_REMOVED * header["rows"]:
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
    _check_space(collection)
    with tempfile.TemporaryDirectory(
        prefix=UNFINISHED_PREFIX, dir=parent, ignore_cleanup_errors=True
    ) as unfinished:
        target = parent / _write_all(collection, Path(unfinished))
        shutil.rmtree(target, ignore_errors=True)
        Path(unfinished).rename(target)
    for entry in parent.iterdir():
        in_progress = entry.name.startswith(UNFINISHED_PREFIX) and _age_s(entry) < UNFINISHED_AGE_S
        if entry != target and not in_progress:
            shutil.rmtree(entry, ignore_errors=True)
    return target


def _build_in_memory(collection: Collection) -> SearchArrays:
    with tempfile.TemporaryDirectory(prefix="resight-") as folder:
        with collection.snapshot():
            _write_all(collection, Path(folder))
        return _read_new(Path(folder), mmap_mode=None)


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


def _is_small_and_damaged(folder: Path) -> bool:
    """Return whether arrays differ from their checksums; large ones are left to `check`."""
    size = sum(path.stat().st_size for path in folder.glob("*.npy"))
    return size <= MAX_VERIFIED_BYTES and _find_damage(folder, 0.0, 1.0) is not None


def _find_damage(folder: Path, start: float, end: float) -> str | None:
    try:
        for name, chunks in _read_header(folder)["sums"].items():
            if appendable_npy.is_damaged(folder / name, chunks, start, end):
                return f"{name} was damaged"
    except DAMAGED as error:
        return f"the header was damaged ({error})"
    return None if _read(folder) is not None else "the header was damaged"
