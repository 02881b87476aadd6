"""Writes the descriptors of the database as the arrays that searches scan (`search_arrays`)."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import appendable_npy
from resight.collection.database import check_disk_space
from resight.collection.reader import Collection
from resight.files import write_atomically
from resight.ranking.quantized import SLACK_BYTES, Quantizer, encode_blocks, fit_quantizer
from resight.reductions import to_bytes

HEADER_NAME = "header.json"
REDUCTION_NAME = "selection.bin"
"""The fitted numbers of the selection or whitening, as in the database."""
QUANTIZED_FROM = 1000
"""Photos from which on a collection has 8-bit codes that are scanned first."""
BLOCK_ROWS = 1024
"""Rows written together."""
FORMAT = 2
"""Format of the files; arrays of another format are rebuilt."""
MAX_OUTLIERS = 0.02
"""Share of rows outside the range of the codes from which on these are computed again."""

DESCRIPTORS = ("global", "local")
Header = dict[str, Any]
"""Contents of `header.json`: `format`, `generation` and `change` (together the stamp), `selection`,
`rows`, `gone` (rows), `codes` by descriptor (low, step, lost, outliers), `sums` by file."""


def read_header(folder: Path) -> Header:
    """Return the header of a folder of arrays."""
    header: Header = json.loads((folder / HEADER_NAME).read_text("utf-8"))
    return header


def stamp(header: Header) -> str:
    """Return the stamp of the database's state that arrays represent."""
    return f"{header['generation']}-{header['change']}"


def write_all(collection: Collection, folder: Path) -> str:
    """Write the arrays of the database's current state into an empty folder; return its stamp."""
    reduction = collection.reduction()
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
    return stamp(header)


def append_photos(collection: Collection, folder: Path, header: Header, since: int | None) -> None:
    """Append photos to the arrays, and then write the header, which makes them count.

    Args:
        collection: the photos.
        folder: the arrays.
        header: of the existing rows, for the state that the arrays will represent.
        since: append only photos whose descriptor changed after the change of this number.

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
    if header["rows"] >= QUANTIZED_FROM and collection.distance == "manhattan":
        for name in DESCRIPTORS:
            if (folder / f"{name}.npy").exists():
                _append_codes(folder, name, header, before)
    header["sums"] = {
        path.name: appendable_npy.extend_checksums(
            path, header["sums"].get(path.name, []), header["rows"]
        )
        for path in sorted(folder.glob("*.npy"))
    }
    with write_atomically(folder / HEADER_NAME) as unfinished:
        unfinished.write_text(json.dumps(header), "utf-8")


def _blocks(
    collection: Collection, since: int | None
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield IDs (n,) and descriptors by name (n, D) of at most `BLOCK_ROWS` photos."""
    photos = collection.photo_descriptors(since)
    while block := list(itertools.islice(photos, BLOCK_ROWS)):
        ids, *columns = zip(*block, strict=True)
        named = zip(DESCRIPTORS, columns, strict=True)
        yield np.array(ids), {name: np.stack(rows) for name, rows in named if rows[0] is not None}


def _append_codes(folder: Path, name: str, header: Header, before: int) -> None:
    """Write the codes of the rows after the first `before`; of all rows if there are none yet."""
    rows = appendable_npy.load(folder / f"{name}.npy", header["rows"])
    path, units_path = folder / f"{name}-codes.npy", folder / f"{name}-units.npy"
    codes_header = header["codes"].get(name)
    if codes_header is None:
        before = 0
        quantizer = fit_quantizer(rows)
        appendable_npy.create(path, rows.shape[1:], "|u1")
        appendable_npy.create(units_path, (SLACK_BYTES,), "|u1")
        codes_header = {
            "low": quantizer.low,
            "step": quantizer.step,
            "lost": quantizer.max_error,
            "outliers": [],
        }
    quantizer = Quantizer(codes_header["low"], codes_header["step"], codes_header["lost"])
    done = before
    for codes, units, outliers in encode_blocks(rows[before:], quantizer):
        appendable_npy.append(path, done, codes)
        appendable_npy.append(units_path, done, units)
        done += len(codes)
        codes_header["outliers"] += (before + outliers).tolist()
    if len(codes_header["outliers"]) > MAX_OUTLIERS * header["rows"]:
        raise ValueError("the codes do not fit the new rows")
    header["codes"][name] = codes_header


def check_space(collection: Collection) -> None:
    """Refuse to write arrays that do not fit on the disk.

    Raises:
        CollectionError: the message gives the needed and the free space.
    """
    reduction, count = collection.reduction(), collection.count("ok")
    _, *first = next(collection.photo_descriptors(), (0, None, None))
    values = sum(
        len(descriptor) if reduction is None else reduction.dimensions
        for descriptor in first
        if descriptor is not None
    )
    bytes_per_value = 5 if count >= QUANTIZED_FROM else 4
    check_disk_space(collection.folder, count * (values * bytes_per_value + 8), "searching needs")
