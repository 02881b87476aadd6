"""How a collection's time, memory and disk grow with its photos: measured, and a model fitted.

    python benchmarks/growth.py -o docs/growth.json

Collections of 10,000, 100,000 and 1,000,000 photos are made without describing any photo, with
descriptors that look like real ones (`speed.draw`), 768 values in float32, and what a user would
wait for is measured on each. Needs 15 GB of disk and half an hour of two cores. The model is
`a + b * photos`, fitted to the figures.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from resight.backends.manage import remove
from resight.collection.ann_index import build_ann_index
from resight.collection.integrity import check
from resight.collection.reader import Collection
from resight.collection.search_arrays import load_arrays
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SelectionConfig
from resight.photos.files import PhotoFile
from resight.progress import no_progress
from resight.ranking.exact import Query, nearest, nearest_by_lists
from resight.ranking.ivf import InvertedLists
from resight.searching.searcher import Searcher
from speed import draw, machine

SIZES = (10_000, 100_000, 1_000_000)
MODELLED = (10_000_000, 100_000_000)
CHANGED = 1000
REPEATS = 9

START = """
import sys, time
started = time.perf_counter()
from pathlib import Path
import numpy as np
from resight.collection.reader import Collection
from resight.ranking.exact import Query
from resight.searching.searcher import Searcher
with Collection.open(Path(sys.argv[1])) as collection:
    searcher = Searcher(collection)
    query = np.array(searcher.store.arrays().database.global_[5])
    searcher.neighbors(Query(query), 10)
taken = time.perf_counter() - started
# Not getrusage, which tells the peak of the parent where that was higher.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(taken, int(status["VmHWM"].split()[0]) / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("-o", "--output", type=Path, default=Path("growth.json"))
    options = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as parent:
        collection = Path(parent) / "collection"
        for size in options.sizes:
            add(collection, size)
            measured[size] = measure(collection)
            print(size, json.dumps(measured[size]), flush=True)
    result = {"machine": machine(), "measured": measured, "model": fit(measured)}
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def add(collection: Path, size: int) -> None:
    """Bring a collection to a size."""
    rng = np.random.default_rng(size)
    with writing(collection, (ExtractionConfig(), SelectionConfig())) as writer:
        there = writer.collection.count("ok")
        # One transaction for all: what a run makes of each photo is measured with fewer.
        writer.collection.connection.execute("PRAGMA synchronous = OFF")
        for start in range(there, size, 10_000):
            for i, values in enumerate(draw(min(10_000, size - start), rng), start):
                record(writer, f"{i:09}", values)


def record(writer: Any, name: str, values: np.ndarray) -> None:
    """Record a photo that there is not."""
    content = hashlib.sha256(name.encode()).hexdigest()
    writer.record_described(PhotoFile(path_of(name), 1, 1), content, (640, 480), values, None)


def path_of(name: str) -> Path:
    """Where a photo would be."""
    return Path(f"/photos/{name}.jpg")


def measure(collection: Path) -> dict[str, float]:
    """Seconds, MB and shares of one collection."""
    found: dict[str, float] = {}
    shutil.rmtree(collection / "arrays", ignore_errors=True)
    with Collection.open(collection) as opened:
        found["arrays from nothing, s"] = seconds(lambda: load_arrays(opened))
        found["approximate index from nothing, s"] = seconds(
            lambda: build_ann_index(opened, no_progress)
        )
        started = [subprocess_figures(collection) for _ in range(3)]
        found["start and first search, s"], found["memory of it, MB"] = np.median(started, axis=0)
        searcher = Searcher(opened)
        arrays, lists = searcher.store.arrays(), searcher.store.lists()
        rng = np.random.default_rng(1)
        rows = rng.integers(0, len(arrays.database.ids), REPEATS)
        queries = [Query(np.array(arrays.database.global_[row]) * 1.05) for row in rows]
        found["exact search, s"] = median(lambda q: nearest(q, arrays.database, 10), queries)
        found["approximate search, s"] = median(
            lambda q: by_lists(q, arrays.database, lists), queries
        )
        status = build_ann_index(opened, no_progress)
        found["approximate recall"] = status.recall
    found["add 1000, s"] = seconds(lambda: change(collection, CHANGED))
    found["remove 1000, s"] = seconds(lambda: change(collection, -CHANGED))
    found["check, s"] = seconds(lambda: check(collection))
    found["database, MB"] = megabytes(collection, "resight.sqlite*")
    found["arrays, MB"] = megabytes(collection, "arrays/*/*.npy")
    found["approximate index, MB"] = megabytes(collection, "arrays/*/*.lists")
    return {name: float(value) for name, value in found.items()}


def by_lists(query: Query, database: Any, lists: tuple[InvertedLists, ...]) -> None:
    """One approximate search."""
    nearest_by_lists(query, database, lists, 10)


def change(collection: Path, count: int) -> None:
    """Add or remove photos, and bring what searches read up to date."""
    names = [f"new {i}" for i in range(CHANGED)]
    if count < 0:
        remove([path_of(name) for name in names], collection)
        with Collection.open(collection) as opened:
            load_arrays(opened)
        return
    values = draw(CHANGED, np.random.default_rng(7))
    with writing(collection) as writer:
        for name, row in zip(names, values, strict=True):
            record(writer, name, row)
        load_arrays(writer.collection)


def subprocess_figures(collection: Path) -> list[float]:
    """Seconds and MB of a new process that opens a collection and searches once."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(collection)], capture_output=True, text=True, check=True
    )
    return [float(value) for value in done.stdout.split()]


def seconds(run: Any) -> float:
    """How long something takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def median(run: Any, queries: list[Query]) -> float:
    """The median time of some queries, after one that is not counted."""
    run(queries[0])
    return float(np.median([seconds(lambda q=query: run(q)) for query in queries]))


def megabytes(folder: Path, pattern: str) -> float:
    """The size of some files."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6


def fit(measured: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """`a + b * photos` for every figure but shares, and what it says of larger collections.

    Relative errors count: the smallest collection has as much to say as the largest. Nothing
    becomes less with the photos, whatever the scatter of the times.
    """
    sizes = np.array(list(measured), float)
    model = {}
    for name in next(iter(measured.values())):
        if "recall" in name:
            continue
        values = np.maximum([figures[name] for figures in measured.values()], 1e-9)
        terms = np.stack([np.ones_like(sizes), sizes], axis=1) / values[:, None]
        (a, b), _ = nnls(terms, np.ones_like(sizes))
        model[name] = {"a": float(a), "b": float(b)} | {str(n): float(a + b * n) for n in MODELLED}
    return model


def table(result: dict[str, Any]) -> str:
    """Measured and computed figures as a Markdown table."""
    measured, model = result["measured"], result["model"]
    sizes = [int(size) for size in measured]
    head = [f"{size:,}" for size in sizes] + [f"{size:,} (computed)" for size in MODELLED]
    lines = [f"| photos | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    for name in next(iter(measured.values())):
        cells = [f"{figures[name]:.4g}" for figures in measured.values()]
        cells += [f"{model[name][str(n)]:.4g}" if name in model else "" for n in MODELLED]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
