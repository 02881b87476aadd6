"""The approximate index of a collection: made or brought up to date, measured, and opened."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resight.collection.array_builder import DESCRIPTORS
from resight.collection.database import DISK_FULL, explained
from resight.collection.reader import Collection
from resight.collection.search_arrays import SearchArrays, load_arrays, present_folder
from resight.config import (
    MethodConfig,
    ReductionConfig,
)
from resight.errors import CollectionError, UsageError
from resight.memory import available_bytes
from resight.networks.weights import file_sha256
from resight.progress import Progress
from resight.ranking.exact import GONE, Database, Neighbors, Query, nearest, nearest_by_lists
from resight.ranking.ivf import (
    InvertedLists,
    ensure_available,
    grow_lists,
    is_available,
    open_lists,
)

APPROXIMATE_FROM = 100_000
"""Photos from which on an index run makes an approximate index, where it can."""
MOST_UNLINKED = 0.05
"""Share of the rows that may be missing in the lists, and are scanned, before they are added."""
ENOUGH = 0.98
"""Recall that more lists are read for, until it is reached."""
ROW_BYTES = 48
"""What a row takes in the lists, about."""
MEASURED_QUERIES, MEASURED_RANKS = 100, 10
STATUS_NAME = "lists.json"
EARLIER_SUFFIXES = (".usearch", ".faiss")


@dataclass(frozen=True)
class ApproximateIndex:
    """What is known of an approximate index.

    Attributes:
        rows: how many rows of the arrays it holds.
        recall: share of the true first ten that it found, over a sample of the photos.
        queries: size of that sample.
        probes: how many lists a search reads to find that.
        sha256: of the file of each descriptor.
    """

    rows: int
    recall: float
    queries: int
    probes: int
    sha256: dict[str, str]


def approximate_status(collection: Collection) -> ApproximateIndex | None:
    """What is known of a collection's approximate index, if there is one for its arrays.

    One of another kind, as earlier versions made, or with a file missing counts for none.
    """
    folder = present_folder(collection)
    if folder is None:
        return None
    try:
        made = ApproximateIndex(**json.loads((folder / STATUS_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return made if all(_file(folder, name).exists() for name in made.sha256) else None


def check_approximate(config: MethodConfig, selection: ReductionConfig) -> None:
    """Refuse an approximate index where there can be none.

    Raises:
        UsageError: FAISS is not installed, or the method compares by another distance.
    """
    ensure_available()
    reduced_by = selection.distance if config.reducible else None
    distance = reduced_by or config.descriptor_distance
    if distance != "manhattan":
        raise UsageError(f"--approximate: for Manhattan distance only, not for {distance}")


def make_approximate(collection: Collection, progress: Progress) -> ApproximateIndex:
    """Make the approximate index of a collection, or add to it what is missing.

    Raises:
        UsageError: FAISS is not installed, or the method compares by another distance.
        CollectionError: the collection is empty, or memory or disk have no room.
    """
    check_approximate(collection.config, collection.selection_config)
    with explained(collection.folder):
        arrays = load_arrays(collection)
        if collection.distance != "manhattan":
            raise UsageError(
                f"{collection.folder}: compares by {collection.distance} distance; an approximate "
                "index is for Manhattan distance only"
            )
        known, database, folder = approximate_status(collection), arrays.database, arrays.folder
        if known and len(database.ids) - known.rows <= MOST_UNLINKED * len(database.ids):
            return known
        if database.count == 0:
            raise CollectionError(f"{collection.folder}: holds no photos yet; index some")
        sides = _sides(database)
        _check_space(collection, folder, sides)
        if known and _damaged(folder, known):
            known = None
        (folder / STATUS_NAME).unlink(missing_ok=True)
        for name, rows in sides.items():
            path = _file(folder, name)
            if known is None:
                for suffix in (path.suffix, *EARLIER_SUFFIXES):
                    path.with_suffix(suffix).unlink(missing_ok=True)
            grow_lists(path, rows, lambda done, total: progress("sorting into lists", done, total))
        sums = {name: file_sha256(_file(folder, name)) for name in sides}
        made = ApproximateIndex(len(database.ids), *measure_recall(arrays), sums)
        (folder / STATUS_NAME).write_text(json.dumps(asdict(made)), "utf-8")
        return made


def keep_approximate(collection: Collection, wanted: bool | None, progress: Progress) -> None:
    """What an index run does: make or add to the index where it is wanted, or there, or useful."""
    if wanted is None and collection.distance == "manhattan" and is_available():
        folder = present_folder(collection)
        # There was one once, though it may be damaged now.
        there = folder is not None and (folder / STATUS_NAME).exists()
        wanted = there or collection.count("ok") >= APPROXIMATE_FROM
    if wanted:
        make_approximate(collection, progress)


def open_index(arrays: SearchArrays, made: ApproximateIndex) -> tuple[InvertedLists, ...]:
    """The lists of the global and, where there are any, the local descriptors.

    Raises:
        CollectionError: a file is not whole.
    """
    try:
        if _damaged(arrays.folder, made):
            raise ValueError("its files are not what they were")
        return _open(arrays, made.probes)
    except (OSError, ValueError) as error:
        raise CollectionError(
            f"{arrays.folder}: the approximate index is damaged ({error}); run resight check, and "
            "then resight index once more"
        ) from None


def _open(arrays: SearchArrays, probes: int | None = None) -> tuple[InvertedLists, ...]:
    return tuple(
        open_lists(_file(arrays.folder, name), rows.shape[1], probes)
        for name, rows in _sides(arrays.database).items()
    )


def measure_recall(arrays: SearchArrays) -> tuple[float, int, int]:
    """How much of the truth the lists find, and how many of them a search must read for that.

    Twice as many are read until `ENOUGH` is found, or all are read.

    Returns:
        The share of the true first ten that is found, of how many photos, by how many probes.
    """
    database = arrays.database
    present = np.flatnonzero(database.ids != GONE)
    chosen = present[:: max(1, len(present) // MEASURED_QUERIES)][:MEASURED_QUERIES]
    local = database.local
    queries = [Query(database.global_[i], None if local is None else local[i]) for i in chosen]
    true = [nearest(query, database, MEASURED_RANKS) for query in queries]
    lists = _open(arrays)
    while True:
        found = [nearest_by_lists(query, database, lists, MEASURED_RANKS) for query in queries]
        recall = float(np.mean([_shared(*pair) for pair in zip(true, found, strict=True)]))
        probes = max(each.probes for each in lists)
        if recall >= ENOUGH or all(each.probes == each.lists for each in lists):
            return recall, len(queries), probes
        lists = _open(arrays, 2 * probes)


def _shared(true: Neighbors, found: Neighbors) -> float:
    return len(np.intersect1d(true.ids, found.ids)) / len(true.ids)


def find_damaged(collection: Collection) -> str | None:
    """What is wrong with the approximate index, if there is one; it is removed then."""
    known, folder = approximate_status(collection), present_folder(collection)
    if known is None or folder is None:
        return None
    damaged = _damaged(folder, known)
    for name in damaged:
        _file(folder, name).unlink()
    return ", ".join(f"{_file(folder, name).name} was damaged" for name in damaged) or None


def _damaged(folder: Path, known: ApproximateIndex) -> list[str]:
    """The descriptors whose file is not what it was; every byte is read."""
    return [n for n, sha256 in known.sha256.items() if file_sha256(_file(folder, n)) != sha256]


def _sides(database: Database) -> dict[str, np.ndarray]:
    values = zip(DESCRIPTORS, (database.global_, database.local), strict=True)
    return {name: rows for name, rows in values if rows is not None}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.lists"


def _check_space(collection: Collection, folder: Path, sides: dict[str, np.ndarray]) -> None:
    """Refuse to begin what memory or disk has no room for."""
    sizes = [ROW_BYTES * len(rows) for rows in sides.values()]
    memory, needed = available_bytes(), sum(sizes)
    if memory is not None and max(sizes) > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory: the approximate index needs "
            f"{max(sizes) / 2**20:,.1f} MiB while it is made, {memory / 2**20:,.1f} are available"
        )
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CollectionError(
            f"{collection.folder}: {DISK_FULL} (the approximate index needs "
            f"{needed / 2**20:,.1f} MiB there, {free / 2**20:,.1f} are free)"
        )
