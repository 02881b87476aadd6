"""Groups against ground truth: precision and recall of pairs of photos in a group; their time.

    python benchmarks/groups.py FOLDER ... -o docs/groups.json
    python benchmarks/groups.py --growth PHOTOS --sizes 1000 3000 10000 -o groups-growth.json

Each FOLDER has a `groups.json` as `resight evaluate` reads it. Its photos are indexed by the
default method, or by that of `--config`. Writes OUT.json and prints a Markdown table. `--growth`
indexes the first photos of a folder, more and more of them, and measures how long indexing and
grouping take; run it on an idle machine.
"""

import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import resight
from harness import machine, make_parser, markdown, save, seconds
from resight.evaluation.decisions import measure_groups
from resight.evaluation.measures import read_groups
from resight.memory import keep_heap_small
from resight.photos import absolute
from resight.photos.files import find_photos


def main() -> None:
    parser = make_parser(__doc__, output="groups.json")
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--config", default="auto", help="the method")
    parser.add_argument("--growth", type=Path, metavar="PHOTOS", help="measure times instead")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 3000, 10_000])
    options = parser.parse_args()
    measured: dict[str, dict[str, Any]]
    if options.growth is not None:
        measured = grow(options.growth, sorted(options.sizes), options.config)
    else:
        measured = {folder.name: measure(folder, options.config) for folder in options.folders}
    result = {"machine": machine(), "config": options.config, "figures": measured}
    save(result, options.output)
    rows = [[name, *map(str, figures.values())] for name, figures in measured.items()]
    print(markdown(["photos of", *next(iter(measured.values()))], rows, "---:"))


def measure(folder: Path, config: str) -> dict[str, Any]:
    """Index a folder and compare its groups with the true ones."""
    truth = read_groups(folder / "groups.json")
    with tempfile.TemporaryDirectory() as temporary:
        collection = Path(temporary) / "c"
        run = resight.index(folder, collection, config=config)
        found = resight.groups(collection)
    true = [[absolute(path) for path in paths] for paths in truth.values()]
    pairs = measure_groups([group.paths for group in found], true)
    return {
        "photos": run.photos,
        "pairs": pairs.true,
        "found": pairs.found,
        "precision": round(pairs.precision or 0.0, 3),
        "recall": round(pairs.recall or 0.0, 3),
    }


def grow(photos: Path, sizes: Sequence[int], config: str) -> dict[str, dict[str, Any]]:
    """Index the first photos of a folder, and measure the times of ever larger collections.

    The last figure is the time of grouping as a share of n log n, 1 for the smallest collection.
    """
    keep_heap_small()  # as the command does
    files = [photo.path for photo in find_photos([absolute(photos)]).photos]
    measured: dict[str, dict[str, Any]] = {}
    first, known = 0.0, 0
    with tempfile.TemporaryDirectory() as temporary:
        collection = Path(temporary) / "c"
        for size in sizes:
            part = files[:size]
            indexing = seconds(lambda part=part: resight.index(part, collection, config=config))
            started = time.perf_counter()
            stages: dict[str, int] = {}

            def note(stage: str, done: int, total: int, stages: dict[str, int] = stages) -> None:
                stages[stage] = total

            found = resight.groups(collection, progress=note)
            taken = time.perf_counter() - started
            growth = taken / (len(part) * math.log(len(part)))
            first = first or growth
            measured[str(len(part))] = {
                "indexing a photo, ms": round(1e3 * indexing / (len(part) - known)),
                "grouping, s": round(taken, 1),
                "pairs compared": stages.get("comparing details", 0),
                "groups": len(found),
                "share of n log n": round(growth / first, 2),
            }
            known = len(part)
            print(measured[str(len(part))], flush=True)
    return measured


if __name__ == "__main__":
    main()
