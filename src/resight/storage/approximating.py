"""The approximate index of a collection: made or brought up to date, measured, and opened."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resight.config import (
    ExtractionConfig,
    MethodConfig,
    NoReduction,
    ReductionConfig,
    SelectionConfig,
    own_distance,
)
from resight.errors import CollectionError, UsageError
from resight.memory import available_bytes
from resight.networks.weights import file_sha256
from resight.progress import Progress
from resight.ranking.codes import Steps, choose_steps
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
"""What a row takes in a graph beside its codes, about."""
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
        steps: of each descriptor's codes: `low`, `step` and `lost`.
    """

    rows: int
    recall: float
    queries: int
    sha256: dict[str, str]
    steps: dict[str, dict[str, float]]


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
        UsageError: USearch or Numba is not installed, or the method compares by another distance.
    """
    check_possible()
    if not isinstance(config, ExtractionConfig):
        raise UsageError(f"--approximate: for Manhattan distance only, not for {config.method}")
    if isinstance(selection, NoReduction) and own_distance(config) != "manhattan":
        raise UsageError("--approximate: for Manhattan distance only, not for cosine")
    if not isinstance(selection, SelectionConfig):
        raise UsageError("--approximate: for Manhattan distance only, not for whitening")


def make_approximate(collection: Collection, progress: Progress) -> ApproximateIndex:
    """Make the approximate index of a collection, or add to it what is missing.

    Raises:
        UsageError: USearch or Numba is not installed, or the method compares by another distance.
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
        steps, graphs = {}, []
        for name, rows in sides.items():
            path = _file(folder, name)
            if known is None:
                path.unlink(missing_ok=True)
                path.with_suffix(".faiss").unlink(missing_ok=True)  # of earlier versions
            steps[name] = choose_steps(rows) if known is None else Steps(**known.steps[name])
            grow_graph(
                path,
                rows,
                steps[name],
                lambda done, total: progress("linking neighbours", done, total),
            )
            graphs.append(open_graph(path, rows.shape[1], steps[name]))
        sums = {name: file_sha256(_file(folder, name)) for name in sides}
        recall, queries = measure_recall(database, graphs)
        meant = {name: asdict(made) for name, made in steps.items()}
        made = ApproximateIndex(len(database.ids), recall, queries, sums, meant)
        (folder / STATUS_NAME).write_text(json.dumps(asdict(made)), "utf-8")
        return made


def keep_approximate(collection: Collection, wanted: bool | None, progress: Progress) -> None:
    """What an index run does: make or add to the index where it is wanted, or there, or useful."""
    if wanted is None and collection.distance == "manhattan" and is_possible():
        folder = present_folder(collection)
        # There was one once, though it may be damaged now.
        there = folder is not None and (folder / STATUS_NAME).exists()
        wanted = there or collection.count("ok") >= APPROXIMATE_FROM
    if wanted:
        make_approximate(collection, progress)


def open_graphs(arrays: SearchArrays, made: ApproximateIndex) -> tuple[Graph, ...]:
    """The graphs of the global and, where there are any, the local descriptors.

    Raises:
        CollectionError: a file is not whole.
    """
    try:
        return tuple(
            open_graph(_file(arrays.folder, name), rows.shape[1], Steps(**made.steps[name]))
            for name, rows in _sides(arrays.database).items()
        )
    except ValueError as error:
        raise CollectionError(
            f"{arrays.folder}: the approximate index is damaged ({error}); run resight check, and "
            "then resight index once more"
        ) from None


def measure_recall(database: Database, graphs: Sequence[Graph]) -> tuple[float, int]:
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
    return folder / f"{name}.usearch"


def _check_space(collection: Collection, folder: Path, sides: dict[str, np.ndarray]) -> None:
    """Refuse to begin what memory or disk has no room for: codes once more, and links."""
    sizes = [rows.size + LINK_BYTES * len(rows) for rows in sides.values()]
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
