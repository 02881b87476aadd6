"""The approximate index of a collection: made or brought up to date, measured, and opened."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resight.config import ExtractionConfig, MethodConfig, ReductionConfig, SelectionConfig
from resight.errors import CollectionError, UsageError
from resight.memory import available_bytes
from resight.networks.weights import file_sha256
from resight.progress import Progress
from resight.ranking.graph import Graph, check_possible, grow_graph, is_possible, open_graph
from resight.ranking.neighbors import GONE, Database, Query, nearest, nearest_by_graph
from resight.storage.arrays import SearchArrays, load_arrays, present_folder
from resight.storage.collection import Collection
from resight.storage.database import DISK_FULL, explained
from resight.storage.derived import DESCRIPTORS

APPROXIMATE_FROM = 100_000
"""Photos from which on an index run makes an approximate index, where it can."""
MOST_UNLINKED = 0.05
"""Share of the rows that may be missing in the graph, and are scanned, before they are added."""
LINK_BYTES = 300
"""What a row takes in a graph beside its descriptor, about."""
MEASURED_QUERIES, MEASURED_RANKS = 100, 10
STATUS_NAME = "graph.json"


@dataclass(frozen=True)
class ApproximateIndex:
    """What is known of an approximate index.

    Attributes:
        rows: how many rows of the arrays it holds.
        recall: share of the true first ten that it found, over a sample of the photos.
        queries: size of that sample.
        sha256: of the file of each descriptor.
    """

    rows: int
    recall: float
    queries: int
    sha256: dict[str, str]


def approximate_status(collection: Collection) -> ApproximateIndex | None:
    """What is known of a collection's approximate index, if there is one for its arrays."""
    folder = present_folder(collection)
    if folder is None:
        return None
    try:
        return ApproximateIndex(**json.loads((folder / STATUS_NAME).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def check_approximate(config: MethodConfig, selection: ReductionConfig) -> None:
    """Refuse an approximate index where there can be none.

    Raises:
        UsageError: FAISS is not installed, or the method compares by another distance.
    """
    check_possible()
    if not isinstance(config, ExtractionConfig):
        raise UsageError("--approximate: for Manhattan distance only, not for sift-vlad")
    if not isinstance(selection, SelectionConfig):
        raise UsageError("--approximate: for Manhattan distance only, not for whitening")


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
        (folder / STATUS_NAME).unlink(missing_ok=True)
        for name, rows in sides.items():
            if known is None:
                _file(folder, name).unlink(missing_ok=True)
            grow_graph(
                _file(folder, name),
                rows,
                lambda done, total: progress("linking neighbours", done, total),
            )
        graphs = open_graphs(arrays)
        sums = {name: file_sha256(_file(folder, name)) for name in sides}
        recall, queries = measure_recall(database, graphs)
        made = ApproximateIndex(len(database.ids), recall, queries, sums)
        (folder / STATUS_NAME).write_text(json.dumps(asdict(made)), "utf-8")
        return made


def keep_approximate(collection: Collection, wanted: bool | None, progress: Progress) -> None:
    """What an index run does: make or add to the index where it is wanted, or there, or useful."""
    if wanted is None and collection.distance == "manhattan" and is_possible():
        large = collection.count("ok") >= APPROXIMATE_FROM
        wanted = large or approximate_status(collection) is not None
    if wanted:
        make_approximate(collection, progress)


def open_graphs(arrays: SearchArrays) -> tuple[Graph, ...]:
    """The graphs of the global and, where there are any, the local descriptors."""
    return tuple(open_graph(_file(arrays.folder, name)) for name in _sides(arrays.database))


def measure_recall(database: Database, graphs: tuple[Graph, ...]) -> tuple[float, int]:
    """Share of the true first ten of a sample of the photos that the graphs find; its size."""
    present = np.flatnonzero(database.ids != GONE)
    chosen = present[:: max(1, len(present) // MEASURED_QUERIES)][:MEASURED_QUERIES]
    shares = []
    for row in chosen:
        local = None if database.local is None else database.local[row]
        query = Query(database.global_[row], local)
        true = nearest(query, database, MEASURED_RANKS).ids
        found = nearest_by_graph(query, database, graphs, MEASURED_RANKS).ids
        shares.append(len(np.intersect1d(true, found)) / len(true))
    return float(np.mean(shares)), len(chosen)


def find_damaged(collection: Collection) -> str | None:
    """What is wrong with the approximate index, if there is one; it is removed then."""
    known, folder = approximate_status(collection), present_folder(collection)
    if known is None or folder is None:
        return None
    for name, sha256 in known.sha256.items():
        path = _file(folder, name)
        if not path.exists() or file_sha256(path) != sha256:
            (folder / STATUS_NAME).unlink()
            return f"{path.name} was damaged"
    return None


def _sides(database: Database) -> dict[str, np.ndarray]:
    values = zip(DESCRIPTORS, (database.global_, database.local), strict=True)
    return {name: rows for name, rows in values if rows is not None}


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.faiss"


def _check_space(collection: Collection, folder: Path, sides: dict[str, np.ndarray]) -> None:
    """Refuse to begin what memory or disk has no room for: descriptors once more, and links."""
    sizes = [rows.nbytes + LINK_BYTES * len(rows) for rows in sides.values()]
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
