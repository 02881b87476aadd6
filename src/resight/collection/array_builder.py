"""From the descriptors in the database to the rows of the arrays that searches scan."""

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import appendable_npy as rowfiles
from resight.collection.database import DISK_FULL
from resight.collection.reader import Collection
from resight.errors import CollectionError
from resight.ranking.quantized import UNIT_BYTES, Quantizer, choose_steps, encode_blocks
from resight.reductions.reduction import to_bytes

HEADER_NAME = "header.json"
SELECTION_NAME = "selection.bin"
"""The fitted numbers of the selection or whitening, as the database has them."""
CODED_FROM = 1000
"""Photos of a collection from which on it is scanned in codes."""
BLOCK_ROWS = 1024
"""Rows that are written at once."""
FORMAT = 2
"""Of the files; arrays of another format are written anew."""
MOST_OUTLIERS = 0.02
"""Likewise for rows that the codes fit badly."""

DESCRIPTORS = ("global", "local")
Header = dict[str, Any]
"""What `header.json` holds: `format`, `generation` and `change` (together the stamp), `selection`,
`rows`, `gone` (rows), `codes` by descriptor (low, step, lost, outliers), `sums` by file."""


def read_header(folder: Path) -> Header:
    """What the header of a folder says."""
    header: Header = json.loads((folder / HEADER_NAME).read_text("utf-8"))
    return header


def stamp(header: Header) -> str:
    """The stamp of the state of the database that arrays are of."""
    return f"{header['generation']}-{header['change']}"


def write_all(collection: Collection, folder: Path) -> str:
    """Write the arrays of the database's present state into an empty folder; returns its stamp."""
    selection = collection.selection()
    header: Header = {
        "format": FORMAT,
        "generation": collection.generation,
        "change": collection.last_change,
        "selection": None,
        "rows": 0,
        "gone": [],
        "codes": {},
        "sums": {},
    }
    if selection is not None:
        data, how = to_bytes(selection), collection.how_fitted("selection") or {}
        (folder / SELECTION_NAME).write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        header["selection"] = {"config": how["config"], "sha256": sha256}
    rowfiles.create(folder / "ids.npy", (), "<i8")
    first = next(collection.photo_descriptors(), None)
    for name, values in zip(DESCRIPTORS, first[1:] if first else [np.empty(0), None], strict=True):
        if values is not None:
            kept = values if selection is None or not first else selection.apply(values)
            rowfiles.create(folder / f"{name}.npy", kept.shape, "<f4")
    add_photos(collection, folder, header, None)
    return stamp(header)


def add_photos(collection: Collection, folder: Path, header: Header, since: int | None) -> None:
    """Add rows to the files, and then write the header, with which they count.

    Args:
        collection: whose photos.
        folder: with the files.
        header: of the rows that are there, for the state that the files are to be of.
        since: only photos that have another descriptor since the change of this number.

    Raises:
        ValueError: the files are damaged, or the codes do not fit the new rows.
    """
    selection, before = collection.selection(), header["rows"]
    for ids, sides in _blocks(collection, since):
        rowfiles.append(folder / "ids.npy", header["rows"], ids)
        for name, values in sides.items():
            kept = values if selection is None else selection.apply(values)
            rowfiles.append(folder / f"{name}.npy", header["rows"], kept)
        header["rows"] += len(ids)
    if header["rows"] >= CODED_FROM and collection.distance == "manhattan":
        for name in DESCRIPTORS:
            if (folder / f"{name}.npy").exists():
                _add_codes(folder, name, header, before)
    header["sums"] = {
        path.name: rowfiles.add_sums(path, header["sums"].get(path.name, []), header["rows"])
        for path in sorted(folder.glob("*.npy"))
    }
    new = folder / f"{HEADER_NAME}.new"
    new.write_text(json.dumps(header), "utf-8")
    new.replace(folder / HEADER_NAME)


def _blocks(
    collection: Collection, since: int | None
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Ids (n,) and descriptors by name (n, D) of photos, so many at a time."""
    photos = collection.photo_descriptors(since)
    while block := list(itertools.islice(photos, BLOCK_ROWS)):
        ids, *sides = zip(*block, strict=True)
        parts = zip(DESCRIPTORS, sides, strict=True)
        yield np.array(ids), {name: np.stack(side) for name, side in parts if side[0] is not None}


def _add_codes(folder: Path, name: str, header: Header, before: int) -> None:
    """Write the codes of the rows after the first `before`; of all, where there are none yet."""
    rows = rowfiles.load(folder / f"{name}.npy", header["rows"])
    path, units_path = folder / f"{name}-codes.npy", folder / f"{name}-units.npy"
    made = header["codes"].get(name)
    if made is None:
        before, steps = 0, choose_steps(rows)
        rowfiles.create(path, rows.shape[1:], "|u1")
        rowfiles.create(units_path, (UNIT_BYTES,), "|u1")
        made = {**asdict(steps), "outliers": []}
    done, steps = before, Quantizer(made["low"], made["step"], made["lost"])
    for codes, units, outliers in encode_blocks(rows[before:], steps):
        rowfiles.append(path, done, codes)
        rowfiles.append(units_path, done, units)
        done += len(codes)
        made["outliers"] += (before + outliers).tolist()
    if len(made["outliers"]) > MOST_OUTLIERS * header["rows"]:
        raise ValueError("the codes do not fit the new rows")
    header["codes"][name] = made


def check_space(collection: Collection, parent: Path) -> None:
    """Refuse to begin what the disk has no room for.

    Raises:
        CollectionError: it says how much is needed, and how much there is.
    """
    first = next(collection.photo_descriptors(), None)
    selection, count = collection.selection(), collection.count("ok")
    values = sum(
        len(side) if selection is None else selection.dimensions
        for side in (first[1:] if first else ())
        if side is not None
    )
    needed = count * (values * (5 if count >= CODED_FROM else 4) + 8)
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise CollectionError(
            f"{collection.folder}: {DISK_FULL} (searching needs {needed / 2**20:,.1f} MiB there, "
            f"{free / 2**20:,.1f} are free)"
        )
