"""How fast, exact and large collections are on engines, at the default settings: one command.

    pip install 'resight[dev]'
    python benchmarks/engines.py COLLECTION... -o docs/engines.json

Real descriptors are those of the collections named, made by the default method; a selection is
fitted on them, and a tenth of them are queries and not in what is searched. They stand among others
that look like real ones (`speed.draw`), so that collections of 10,000 photos and more are measured:
uploads as by `resight push`, the index, searches, how many of the true ten nearest are found, and
how far the distances are from exact ones. PostgreSQL is a server on this machine, written to the
disk as usual; Qdrant is its engine in this process, so that its uploads say nothing of a server's.
`--table OUT.json` prints the table once more.
"""

import argparse
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

from resight.backends.local import LocalStore
from resight.backends.store import Remote
from resight.backends.transfer import prepare, upload
from resight.collection.reader import Collection, Photo
from resight.collection.writer import writing
from resight.config import BackendConfig, ExtractionConfig, SelectionConfig
from resight.descriptors.extractor import Description
from resight.methods.model import Model
from resight.progress import no_progress
from resight.ranking.exact import Database, Query, nearest
from resight.reductions.pfa import fit_selection
from speed import draw, machine

SIZES = (10_000, 20_000)
WHOLE = 3072
KEPT = 768
DRAWN_QUERIES = 100
K = 10
RECORDED = 1000


@dataclass(frozen=True)
class Questions:
    """Queries by their kind, float32 (N, 768), with what is searched."""

    of: dict[str, np.ndarray]
    database: Database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("collections", type=Path, nargs="*", help="of real photos")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("-o", "--output", type=Path, default=Path("engines.json"))
    parser.add_argument("--table", type=Path, help="print the table of an earlier run")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    real = np.concatenate([descriptors_of(folder) for folder in options.collections])
    measured: dict[str, dict[str, dict[str, float]]] = {}
    in_folder: dict[str, float] = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="resight-") as parent:
            questions = make(Path(parent) / "collection", real, size)
            in_folder[str(size)] = bytes_of_folder(Path(parent) / "collection") / size
            for name, opened in ENGINES.items():
                with opened(Path(parent)) as remote:
                    found = measure(Path(parent) / "collection", remote, questions)
                    found |= sizes_of(name, remote, Path(parent), size)
                measured.setdefault(name, {})[str(size)] = found
                print(size, name, json.dumps(found), flush=True)
    result = {
        "machine": machine(),
        "real photos": len(real),
        "folder, bytes/photo": in_folder,
        "measured": measured,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def descriptors_of(folder: Path) -> np.ndarray:
    """The global descriptors of a collection before the selection, float32 (N, 3072)."""
    with Collection.open(folder) as opened:
        return np.stack([global_ for _, global_, _ in opened.photo_descriptors()])


def make(folder: Path, real: np.ndarray, size: int) -> Questions:
    """A collection of so many photos, most of them drawn, and what to ask of it."""
    rng = np.random.default_rng(size)
    selection = fit_selection([real], SelectionConfig())
    queries, kept = real[::10], np.delete(real, np.s_[::10], axis=0)
    values = draw(size - len(kept), rng)
    whole = np.tile(values, (1, WHOLE // KEPT))
    whole[:, selection.indices] = values
    rows = np.concatenate([kept, whole])[rng.permutation(size)]
    with writing(folder, (ExtractionConfig(), SelectionConfig())) as writer:
        writer.bind_model(Model("0" * 64))
        writer.store_reduction(selection, SelectionConfig(), {"photos": len(real), "values": KEPT})
        for start in range(0, size, RECORDED):
            block = enumerate(rows[start : start + RECORDED], start)
            writer.import_photos((photo(i), Description(row, None)) for i, row in block)
    strange = values[rng.integers(0, len(values), DRAWN_QUERIES)]
    strange = (strange * np.exp(rng.normal(0, 0.2, strange.shape))).astype(np.float32)
    return Questions(
        {"real": selection.apply(queries), "drawn": strange},
        Database(np.arange(size), selection.apply(rows)),
    )


def bytes_of_folder(folder: Path) -> int:
    """What a collection takes on the disk, with the arrays that are made from it."""
    with Collection.open(folder) as opened:
        store = LocalStore(opened)
        store.arrays()
        return store.bytes_on_disk()


def photo(number: int) -> Photo:
    """A photo that is not there; its path says its number."""
    content = hashlib.sha256(str(number).encode()).hexdigest()
    path = Path(f"/photos/{number:09}.jpg")
    return Photo(0, path, 3_000_000, 1, content, 4000, 3000, "ok", None)


# The engines


@contextlib.contextmanager
def on_postgres(folder: Path) -> Iterator[Remote]:
    """A collection in a PostgreSQL server of its own."""
    from postgres_server import running
    from resight.backends.open import open_remote

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
    """A collection in Qdrant's engine."""
    from edge_client import EdgeClient
    from resight.backends.qdrant.store import QdrantStore

    store = QdrantStore(EdgeClient(folder / "qdrant"), "measured", "qdrant")
    with contextlib.closing(store):
        yield store


ENGINES: dict[str, Callable[[Path], contextlib.AbstractContextManager[Remote]]] = {
    "PostgreSQL": on_postgres,
    "Qdrant": on_qdrant,
}


def measure(folder: Path, remote: Remote, questions: Questions) -> dict[str, float]:
    """Seconds and shares of one collection on one engine."""
    found: dict[str, float] = {}
    with Collection.open(folder) as opened:
        prepare(opened, remote, BackendConfig())
        started = time.perf_counter()
        done = upload(opened, remote)
        found["upload, photos/s"] = done.sent / (time.perf_counter() - started)
    started = time.perf_counter()
    remote.build_index(no_progress)
    found["index, photos/s"] = done.sent / (time.perf_counter() - started)
    number_of = {p.id: int(p.path.stem) for p in remote.photos("ok")}
    for kind, rows in questions.of.items():
        remote.nearest([Query(rows[0])], K)
        times, shares, errors = [], [], []
        for row in rows:
            started = time.perf_counter()
            (answer,) = remote.nearest([Query(row)], K)
            times.append(time.perf_counter() - started)
            true = nearest(Query(row), questions.database, K)
            numbers = [number_of[id_] for id_ in answer.ids.tolist()]
            shares.append(len(set(numbers) & set(true.ids.tolist())) / K)
            other = questions.database.global_[numbers].astype(np.float64)
            errors.append(np.abs(np.abs(other - row).sum(axis=1) - answer.distances).max())
        found[f"recall@10, {kind} queries"] = float(np.mean(shares))
        found[f"search, ms, {kind} queries"] = 1000 * float(np.median(times))
        found[f"distance error, {kind} queries"] = float(np.max(errors))
    return found


def sizes_of(name: str, remote: Any, folder: Path, count: int) -> dict[str, float]:
    """Bytes for each photo: on the disk in all, and of what searches read at every step."""
    if name == "Qdrant":
        remote.close()  # its engine then lets go of what it has replaced
        files = [file for file in (folder / "qdrant").rglob("*") if file.is_file()]
        index = [f for f in files if "vector_index-global" in str(f) or "quantized" in f.name]
        parts = (sum(file.stat().st_blocks * 512 for file in kind) for kind in (files, index))
    else:
        size = "SELECT coalesce(pg_relation_size(to_regclass('resight.photos_1_global')), 0)"
        parts = (remote.bytes_on_disk(), remote._rows(size)[0][0])
    whole, hot = parts
    return {"disk, bytes/photo": whole / count, "index, bytes/photo": hot / count}


def table(result: dict[str, Any]) -> str:
    """The figures of the largest collection as a Markdown table."""
    measured = {name: list(sizes.items())[-1] for name, sizes in result["measured"].items()}
    (size,) = {size for size, _ in measured.values()}
    lines = [f"| {int(size):,} photos | {' | '.join(measured)} |", "|---|" + "---|" * len(measured)]
    for row in next(iter(measured.values()))[1]:
        cells = [
            SHOWN.get(row.split(",")[0], "{:.0f}").format(f[row]) for _, f in measured.values()
        ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


SHOWN = {"recall@10": "{:.3f}", "search": "{:.1f}", "distance error": "{:.0e}"}

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    main()
