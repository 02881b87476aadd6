"""Speed, recall and size of collections in databases, at the default settings: one command.

    pip install 'resight[dev]'
    python benchmarks/backends.py COLLECTION... -o docs/backends.json

Real descriptors come from the given collections, extracted by the default method; a selection is
fitted on them, and a tenth of them are queries that are not in the database. Synthetic descriptors
that resemble real ones (`harness.draw_descriptors`) fill collections of 10,000 photos and more.
Measured are uploads as by `resight push`, index construction, searches, recall of the exact ten
nearest, and errors of the distances. PostgreSQL is a server on this machine with durable writes;
Qdrant runs in this process, so its upload rate does not apply to a server. `--table OUT.json`
prints the table again.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, draw_descriptors, machine, make_parser, markdown, save
from resight.backends.local import LocalStore
from resight.backends.remote import Remote
from resight.backends.transfer import prepare, upload
from resight.collection import Collection, Photo
from resight.collection.writer import writing
from resight.config import BackendConfig, ExtractionConfig, SelectionConfig
from resight.descriptors.extractor import Description
from resight.methods.model import Model
from resight.progress import no_progress
from resight.ranking.exact import Database, Query, nearest
from resight.reductions.pfa import fit_selection

SIZES = (10_000, 20_000)
WHOLE = 3072
SELECTED = 768
DRAWN_QUERIES = 100
K = 10
RECORDED = 1000


@dataclass(frozen=True)
class QuerySet:
    """Queries by their kind, float32 (N, 768), and the database that they search."""

    queries: dict[str, np.ndarray]
    database: Database


def main() -> None:
    parser = make_parser(__doc__, output="backends.json")
    parser.add_argument("collections", type=Path, nargs="*", help="of real photos")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--table", type=Path, help="print the table of an earlier run")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    real = np.concatenate([descriptors_of(folder) for folder in options.collections])
    measured: dict[str, dict[str, dict[str, float]]] = {}
    folder_bytes: dict[str, float] = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="resight-") as parent:
            queries = create_collection(Path(parent) / "collection", real, size)
            folder_bytes[str(size)] = bytes_of_folder(Path(parent) / "collection") / size
            for name, opened in BACKENDS.items():
                with opened(Path(parent)) as remote:
                    figures = measure(Path(parent) / "collection", remote, queries)
                    figures |= sizes_of(name, remote, Path(parent), size)
                measured.setdefault(name, {})[str(size)] = figures
                print(size, name, json.dumps(figures), flush=True)
    result = {
        "machine": machine(),
        "real photos": len(real),
        "folder, bytes/photo": folder_bytes,
        "measured": measured,
    }
    save(result, options.output)
    print(table(result))


def descriptors_of(folder: Path) -> np.ndarray:
    """Return the global descriptors of a collection before the selection, float32 (N, 3072)."""
    with Collection.open(folder) as opened:
        return np.stack([global_ for _, global_, _ in opened.photo_descriptors()])


def create_collection(folder: Path, real: np.ndarray, size: int) -> QuerySet:
    """Create a collection of `size` photos, most of them synthetic, and queries for it."""
    rng = np.random.default_rng(size)
    selection = fit_selection([real], SelectionConfig())
    queries = real[::10]
    indexed = np.delete(real, np.s_[::10], axis=0)
    values = draw_descriptors(size - len(indexed), rng)
    whole = np.tile(values, (1, WHOLE // SELECTED))
    whole[:, selection.indices] = values
    rows = np.concatenate([indexed, whole])[rng.permutation(size)]
    with writing(folder, (ExtractionConfig(), SelectionConfig())) as writer:
        writer.bind_model(Model("0" * 64))
        writer.store_reduction(
            selection, SelectionConfig(), {"photos": len(real), "values": SELECTED}
        )
        for start in range(0, size, RECORDED):
            block = enumerate(rows[start : start + RECORDED], start)
            writer.import_photos((photo(i), Description(row, None)) for i, row in block)
    drawn = values[rng.integers(0, len(values), DRAWN_QUERIES)]
    drawn = (drawn * np.exp(rng.normal(0, 0.2, drawn.shape))).astype(np.float32)
    return QuerySet(
        {"real": selection.apply(queries), "drawn": drawn},
        Database(np.arange(size), selection.apply(rows)),
    )


def bytes_of_folder(folder: Path) -> int:
    """Return the disk usage of a collection, with its derived arrays."""
    with Collection.open(folder) as opened:
        store = LocalStore(opened)
        store.arrays()
        return store.bytes_on_disk()


def photo(number: int) -> Photo:
    """Return a photo without a file; its path holds its number."""
    content = hashlib.sha256(str(number).encode()).hexdigest()
    path = Path(f"/photos/{number:09}.jpg")
    return Photo(0, path, 3_000_000, 1, content, 4000, 3000, "ok", None)


# The backends


@contextlib.contextmanager
def on_postgres(folder: Path) -> Iterator[Remote]:
    """Run a PostgreSQL server and yield a collection in it."""
    from postgres_server import running
    from resight.backends import open_remote

    with running() as server:
        server.execute("ALTER SYSTEM RESET fsync")
        server.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
        server.execute("SELECT pg_reload_conf()")
        remote = open_remote(server.address("postgres", "measured"))
        assert remote is not None
        with contextlib.closing(remote):
            yield remote


@contextlib.contextmanager
def on_qdrant(folder: Path) -> Iterator[Remote]:
    """Yield a collection in Qdrant, in this process."""
    from edge_client import EdgeClient
    from resight.backends.qdrant import QdrantStore

    store = QdrantStore(EdgeClient(folder / "qdrant"), "measured", "qdrant")
    with contextlib.closing(store):
        yield store


BACKENDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Remote]]] = {
    "PostgreSQL": on_postgres,
    "Qdrant": on_qdrant,
}


def measure(folder: Path, remote: Remote, queries: QuerySet) -> dict[str, float]:
    """Measure one collection in one backend."""
    result: dict[str, float] = {}
    with Collection.open(folder) as opened:
        prepare(opened, remote, BackendConfig())
        started = time.perf_counter()
        done = upload(opened, remote)
        result["upload, photos/s"] = done.sent / (time.perf_counter() - started)
    started = time.perf_counter()
    remote.build_index(no_progress)
    result["index, photos/s"] = done.sent / (time.perf_counter() - started)
    number_of = {p.id: int(p.path.stem) for p in remote.photos("ok")}
    for kind, rows in queries.queries.items():
        remote.nearest([Query(rows[0])], K)
        times, shares, errors = [], [], []
        for row in rows:
            started = time.perf_counter()
            (answer,) = remote.nearest([Query(row)], K)
            times.append(time.perf_counter() - started)
            true = nearest(Query(row), queries.database, K)
            numbers = [number_of[id_] for id_ in answer.ids.tolist()]
            shares.append(len(set(numbers) & set(true.ids.tolist())) / K)
            other = queries.database.global_[numbers].astype(np.float64)
            errors.append(np.abs(np.abs(other - row).sum(axis=1) - answer.distances).max())
        result[f"recall@10, {kind} queries"] = float(np.mean(shares))
        result[f"search, ms, {kind} queries"] = 1000 * float(np.median(times))
        result[f"distance error, {kind} queries"] = float(np.max(errors))
    return result


def sizes_of(name: str, remote: Any, folder: Path, count: int) -> dict[str, float]:
    """Return bytes per photo: on disk in total, and of the index that each search step reads."""
    if name == "Qdrant":
        remote.close()  # releases replaced files
        files = [file for file in (folder / "qdrant").rglob("*") if file.is_file()]
        index = [f for f in files if "vector_index-global" in str(f) or "quantized" in f.name]
        parts = (sum(file.stat().st_blocks * 512 for file in kind) for kind in (files, index))
    else:
        size = "SELECT coalesce(pg_relation_size(to_regclass('resight.photos_1_global')), 0)"
        parts = (remote.bytes_on_disk(), remote._rows(size)[0][0])
    whole, hot = parts
    return {"disk, bytes/photo": whole / count, "index, bytes/photo": hot / count}


def table(result: dict[str, Any]) -> str:
    """Lay out the figures of the largest collection as a Markdown table."""
    measured = {name: list(sizes.items())[-1] for name, sizes in result["measured"].items()}
    (size,) = {size for size, _ in measured.values()}
    rows = []
    for row in next(iter(measured.values()))[1]:
        cells = [
            SHOWN.get(row.split(",")[0], "{:.0f}").format(f[row]) for _, f in measured.values()
        ]
        rows.append([row, *cells])
    return markdown([f"{int(size):,} photos", *measured], rows)


SHOWN = {"recall@10": "{:.3f}", "search": "{:.1f}", "distance error": "{:.0e}"}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    main()
