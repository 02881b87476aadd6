"""Time, memory and disk of a collection by its number of photos: measurements and a model.

    python benchmarks/growth.py -o docs/growth.json

Creates collections of 10,000, 100,000 and 1,000,000 synthetic descriptors that resemble real ones
(`harness.draw_descriptors`), 768 values in float32, and measures what a user waits for. Needs 15 GB
of disk and half an hour on two cores. The model `a + b * photos` is fitted to the figures.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from harness import draw_descriptors, machine, make_parser, markdown, save, seconds
from resight.backends.manage import remove
from resight.collection import Collection
from resight.collection.ann_index import build_ann_index
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SelectionConfig
from resight.photos.files import PhotoFile
from resight.progress import no_progress
from resight.ranking.approximate import nearest_by_lists
from resight.ranking.exact import Query, nearest
from resight.ranking.ivf import InvertedLists
from resight.searching import Searcher

SIZES = (10_000, 100_000, 1_000_000)
MODELLED = (10_000_000, 100_000_000)
CHANGED = 1000
REPEATS = 9

START = """
import sys, time
started = time.perf_counter()
from pathlib import Path
import numpy as np
from resight.collection import Collection
from resight.ranking.exact import Query
from resight.searching import Searcher
with Collection.open(Path(sys.argv[1])) as collection:
    searcher = Searcher(collection)
    query = np.array(searcher.store.arrays().database.global_[5])
    searcher.store.nearest([Query(query)], 10)
taken = time.perf_counter() - started
# Not getrusage, which reports the peak of the parent where that was higher.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(taken, int(status["VmHWM"].split()[0]) / 1024)
"""


def main() -> None:
    parser = make_parser(__doc__, output="growth.json")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as parent:
        collection = Path(parent) / "collection"
        for size in options.sizes:
            add(collection, size)
            measured[size] = measure(collection)
            print(size, json.dumps(measured[size]), flush=True)
    result = {"machine": machine(), "measured": measured, "model": fit(measured)}
    save(result, options.output)
    print(table(result))


def add(collection: Path, size: int) -> None:
    """Grow a collection to a size."""
    rng = np.random.default_rng(size)
    with writing(collection, (ExtractionConfig(), SelectionConfig())) as writer:
        present = writer.collection.count("ok")
        # Durability is measured elsewhere, with fewer photos.
        writer.collection.connection.execute("PRAGMA synchronous = OFF")
        for start in range(present, size, 10_000):
            for i, values in enumerate(draw_descriptors(min(10_000, size - start), rng), start):
                record(writer, f"{i:09}", values)


def record(writer: Any, name: str, values: np.ndarray) -> None:
    """Record a photo that does not exist."""
    content = hashlib.sha256(name.encode()).hexdigest()
    writer.record_described(PhotoFile(path_of(name), 1, 1), content, (640, 480), values, None)


def path_of(name: str) -> Path:
    """Return the path of a photo that does not exist."""
    return Path(f"/photos/{name}.jpg")


def measure(collection: Path) -> dict[str, float]:
    """Measure seconds, MB and recall of one collection."""
    result: dict[str, float] = {}
    shutil.rmtree(collection / "arrays", ignore_errors=True)
    with Collection.open(collection) as opened:
        result["arrays from nothing, s"] = seconds(lambda: load_arrays(opened))
        result["approximate index from nothing, s"] = seconds(
            lambda: build_ann_index(opened, no_progress)
        )
        started = [subprocess_figures(collection) for _ in range(3)]
        result["start and first search, s"], result["memory of it, MB"] = np.median(started, axis=0)
        searcher = Searcher(opened)
        arrays, lists = searcher.store.arrays(), searcher.store.lists()
        rng = np.random.default_rng(1)
        rows = rng.integers(0, len(arrays.database.ids), REPEATS)
        queries = [Query(np.array(arrays.database.global_[row]) * 1.05) for row in rows]
        result["exact search, s"] = median(lambda q: nearest(q, arrays.database, 10), queries)
        result["approximate search, s"] = median(
            lambda q: by_lists(q, arrays.database, lists), queries
        )
        status = build_ann_index(opened, no_progress)
        result["approximate recall"] = status.recall
    result["add 1000, s"] = seconds(lambda: change(collection, CHANGED))
    result["remove 1000, s"] = seconds(lambda: change(collection, -CHANGED))
    result["check, s"] = seconds(lambda: check(collection))
    result["database, MB"] = megabytes(collection, "resight.sqlite*")
    result["arrays, MB"] = megabytes(collection, "arrays/*/*.npy")
    result["approximate index, MB"] = megabytes(collection, "arrays/*/*.lists")
    return {name: float(value) for name, value in result.items()}


def by_lists(query: Query, database: Any, lists: tuple[InvertedLists, ...]) -> None:
    """Search approximately once."""
    nearest_by_lists(query, database, lists, 10)


def change(collection: Path, count: int) -> None:
    """Add or remove photos, and update the search arrays."""
    names = [f"new {i}" for i in range(CHANGED)]
    if count < 0:
        remove([path_of(name) for name in names], collection)
        with Collection.open(collection) as opened:
            load_arrays(opened)
        return
    values = draw_descriptors(CHANGED, np.random.default_rng(7))
    with writing(collection) as writer:
        for name, row in zip(names, values, strict=True):
            record(writer, name, row)
        load_arrays(writer.collection)


def subprocess_figures(collection: Path) -> list[float]:
    """Measure seconds and MB of a new process that opens a collection and searches once."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(collection)], capture_output=True, text=True, check=True
    )
    return [float(value) for value in done.stdout.split()]


def median(run: Any, queries: list[Query]) -> float:
    """Return the median time of queries, after a warm-up."""
    run(queries[0])
    return float(np.median([seconds(lambda q=query: run(q)) for query in queries]))


def megabytes(folder: Path, pattern: str) -> float:
    """Return the total size of the files that match a pattern."""
    return sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6


def fit(measured: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Fit `a + b * photos` to every figure but the recall, and extrapolate to larger collections.

    Minimizes relative errors, so small collections count as much as large ones; both coefficients
    are non-negative.
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
    """Lay out measured and computed figures as a Markdown table."""
    measured, model = result["measured"], result["model"]
    sizes = [int(size) for size in measured]
    head = [f"{size:,}" for size in sizes] + [f"{size:,} (computed)" for size in MODELLED]
    rows = []
    for name in next(iter(measured.values())):
        cells = [f"{figures[name]:.4g}" for figures in measured.values()]
        cells += [f"{model[name][str(n)]:.4g}" if name in model else "" for n in MODELLED]
        rows.append([name, *cells])
    return markdown(["photos", *head], rows)


if __name__ == "__main__":
    main()
