"""The approximate index of a collection: built or extended, measured, and opened."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resight.collection import Collection
from resight.collection.database import check_disk_space, explained
from resight.collection.search_arrays import DESCRIPTORS, SearchArrays, current_folder, load_arrays
from resight.config import MethodConfig, ReductionConfig
from resight.errors import CollectionError, UsageError
from resight.files import file_sha256, write_atomically
from resight.memory import available_bytes
from resight.progress import Progress
from resight.ranking.approximate import nearest_by_lists
from resight.ranking.exact import (
    DISTANCES,
    REMOVED_ID,
    Database,
    Distance,
    Query,
    manhattan,
    nearest,
)
from resight.ranking.ivf import (
    InvertedLists,
    ensure_available,
    grow_lists,
    is_available,
    open_lists,
)
from resight.reductions import to_query

ANN_DISTANCES = ("manhattan", "euclidean")
"""Distances for which there can be an approximate index."""
AUTO_BUILD_PHOTOS = 100_000
"""Minimum number of photos for which an index run builds an approximate index by itself."""
MAX_UNINDEXED = 0.05
"""Largest fraction of rows missing from the lists, which are scanned; beyond it, they are added."""
TARGET_RECALL = 0.98
"""Recall until which more lists are probed."""
ROW_BYTES = 48
"""Approximate size of a row in the lists."""
MEASURED_QUERIES, MEASURED_RANKS = 100, 10
STATUS_NAME = "lists.json"
EARLIER_SUFFIXES = (".usearch", ".faiss")


@dataclass(frozen=True)
class ApproximateIndex:
    """State of an approximate index.

    Attributes:
        rows: number of rows of the arrays in it.
        recall: share of the exact first ten that it returned, over a sample of the photos.
        queries: size of that sample.
        probes: number of lists that a search reads for this recall.
        sha256: of the file of each descriptor.
    """

    rows: int
    recall: float
    queries: int
    probes: int
    sha256: dict[str, str]


def read_ann_status(collection: Collection) -> ApproximateIndex | None:
    """Return the state of a collection's approximate index, if its arrays have a complete one."""
    folder = current_folder(collection)
    if folder is None:
        return None
    try:
        status = ApproximateIndex(**json.loads((folder / STATUS_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):  # none, or one of an earlier version
        return None
    return status if all(_file(folder, name).exists() for name in status.sha256) else None


def check_ann_supported(config: MethodConfig, reduction: ReductionConfig) -> None:
    """Refuse an approximate index where there can be none.

    Raises:
        UsageError: FAISS is not installed, or the method compares by another distance.
    """
    ensure_available()
    reduced = reduction.distance if config.reducible else None
    distance = reduced or config.descriptor_distance
    if distance not in ANN_DISTANCES:
        raise UsageError(
            f"for Manhattan and Euclidean distance only, not for {distance}",
            parameter="approximate",
        )


def build_ann_index(collection: Collection, progress: Progress) -> ApproximateIndex:
    """Build the approximate index of a collection, or add the missing rows.

    Raises:
        UsageError: FAISS is not installed, or the method compares by another distance.
        CollectionError: the collection is empty, or the index exceeds the memory or the disk.
    """
    check_ann_supported(collection.config, collection.reduction_config)
    with explained(collection.folder):
        arrays = load_arrays(collection)
        if collection.distance not in ANN_DISTANCES:
            raise UsageError(
                f"{collection.folder}: compares by {collection.distance} distance; an approximate "
                "index is for Manhattan and Euclidean distance only"
            )
        status, database, folder = read_ann_status(collection), arrays.database, arrays.folder
        if status and len(database.ids) - status.rows <= MAX_UNINDEXED * len(database.ids):
            return status
        if database.count == 0:
            raise CollectionError(f"{collection.folder}: holds no photos yet; index some")
        descriptors = _by_name(database)
        _check_space(collection, descriptors)
        rebuild = status is None or bool(_damaged(folder, status))
        (folder / STATUS_NAME).unlink(missing_ok=True)
        for name, rows in descriptors.items():
            path = _file(folder, name)
            if rebuild:
                for suffix in (path.suffix, *EARLIER_SUFFIXES):
                    path.with_suffix(suffix).unlink(missing_ok=True)
            grow_lists(path, rows, lambda done, total: progress("sorting into lists", done, total))
        hashes = {name: file_sha256(_file(folder, name)) for name in descriptors}
        status = ApproximateIndex(
            len(database.ids), *measure_recall(arrays, DISTANCES[collection.distance]), hashes
        )
        with write_atomically(folder / STATUS_NAME) as unfinished:
            unfinished.write_text(json.dumps(asdict(status)), "utf-8")
        return status


def update_ann_index(collection: Collection, requested: bool | None, progress: Progress) -> None:
    """Build or extend the index if requested; by default (None) where it exists or is useful."""
    if requested is None and collection.distance in ANN_DISTANCES and is_available():
        folder = current_folder(collection)
        # A status file shows that there was an index once, even if it is damaged now.
        exists = folder is not None and (folder / STATUS_NAME).exists()
        requested = exists or collection.count("ok") >= AUTO_BUILD_PHOTOS
    if requested:
        build_ann_index(collection, progress)


def open_ann_index(arrays: SearchArrays, status: ApproximateIndex) -> tuple[InvertedLists, ...]:
    """Open the lists of the global and, if there are any, the local descriptors.

    Raises:
        CollectionError: a file is damaged.
    """
    try:
        if _damaged(arrays.folder, status):
            raise ValueError("its files have changed")
        return _open(arrays, status.probes)
    except (OSError, ValueError) as error:
        raise CollectionError(
            f"{arrays.folder}: the approximate index is damaged ({error}); run resight check, and "
            "then resight index once more"
        ) from None


def _open(arrays: SearchArrays, probes: int | None = None) -> tuple[InvertedLists, ...]:
    return tuple(
        open_lists(_file(arrays.folder, name), rows.shape[1], probes)
        for name, rows in _by_name(arrays.database).items()
    )


def measure_recall(arrays: SearchArrays, distance: Distance = manhattan) -> tuple[float, int, int]:
    """Measure the recall of the lists, and the number of lists that a search must probe for it.

    Probes are doubled until the recall reaches `TARGET_RECALL`, or all lists are probed.

    Returns:
        The fields `recall`, `queries` and `probes` of an `ApproximateIndex`.
    """
    database = arrays.database
    present = np.flatnonzero(database.ids != REMOVED_ID)
    rows = present[:: max(1, len(present) // MEASURED_QUERIES)][:MEASURED_QUERIES]
    local = database.local
    reduction = arrays.reduction
    queries = [
        Query(
            to_query(reduction, database.global_[i]),
            None if local is None else to_query(reduction, local[i]),
        )
        for i in rows
    ]
    exact = [nearest(query, database, MEASURED_RANKS, distance).ids for query in queries]
    lists = _open(arrays)
    while True:
        recalls = []
        for query, expected in zip(queries, exact, strict=True):
            ids = nearest_by_lists(query, database, lists, MEASURED_RANKS, distance).ids
            recalls.append(len(np.intersect1d(expected, ids)) / len(expected))
        recall = float(np.mean(recalls))
        probes = max(each.probes for each in lists)
        if recall >= TARGET_RECALL or all(each.probes == each.lists for each in lists):
            return recall, len(queries), probes
        lists = _open(arrays, 2 * probes)


def remove_damaged_files(collection: Collection) -> str | None:
    """Remove damaged files of the approximate index; return the problem, if any."""
    status, folder = read_ann_status(collection), current_folder(collection)
    if status is None or folder is None:
        return None
    damaged = _damaged(folder, status)
    for name in damaged:
        _file(folder, name).unlink()
    return ", ".join(f"{_file(folder, name).name} was damaged" for name in damaged) or None


def _damaged(folder: Path, status: ApproximateIndex) -> list[str]:
    """Return the descriptors whose file has changed; every byte is read."""
    return [n for n, sha256 in status.sha256.items() if file_sha256(_file(folder, n)) != sha256]


def _by_name(database: Database) -> dict[str, np.ndarray]:
    values = zip(DESCRIPTORS, (database.global_, database.local), strict=True)
    return {name: rows for name, rows in values if rows is not None}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.lists"


def _check_space(collection: Collection, descriptors: dict[str, np.ndarray]) -> None:
    """Refuse to build what exceeds the available memory or disk space."""
    sizes = [ROW_BYTES * len(rows) for rows in descriptors.values()]
    memory = available_bytes()
    if memory is not None and max(sizes) > memory:
        raise CollectionError(
            f"{collection.folder}: too little memory: building the approximate index needs "
            f"{max(sizes) / 2**20:,.1f} MiB, {memory / 2**20:,.1f} are available"
        )
    check_disk_space(collection.folder, sum(sizes), "the approximate index needs")
