"""Throughput of a Ray cluster of two nodes on this machine, compared with the local run.

    pip install 'resight[ray]'
    python benchmarks/cluster.py PHOTOS --weights resnet50.pth -o docs/cluster.json

Both use the same two cores, one per node. The cluster is started before the clock, as a user's is.
A round indexes a few photos, and more photos, into new collections, locally and on the cluster in
turn. The difference gives the time per photo; the rest is start-up: reading weights, compiling the
network, and on the cluster starting workers.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from harness import conditions, machine, make_parser, save
from resight import ModelOptions
from resight.indexing import pipeline
from resight.photos.files import find_photos

NODES = 2
TITLES = {"local": "this machine", "ray": "Ray, two nodes of one core"}


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Run a head and a second node, one CPU each; yield their address, as `--on` takes it."""
    from ray.cluster_utils import Cluster

    sizes = {"num_cpus": 1, "object_store_memory": 300 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args={**sizes, "include_dashboard": False})
    for _ in range(NODES - 1):
        nodes.add_node(**sizes)
    try:
        yield f"ray:{nodes.address}"
    finally:
        nodes.shutdown()


def index_seconds(photos: list[Path], **options: Any) -> float:
    """Return the time of an index run of photos into a new collection."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = pipeline.index(photos, Path(folder, "c"), **options)
        taken = time.perf_counter() - started
    if run.photos != len(photos):
        raise SystemExit(f"not all photos could be described: {run.report}")
    return taken


def measure(
    photos: list[Path], counts: list[int], rounds: int, **options: Any
) -> dict[str, dict[str, list[float]]]:
    """Measure the seconds of every round for each side and number of photos."""
    result = {side: {str(count): list[float]() for count in counts} for side in TITLES}
    with cluster() as address:
        where = {"local": None, "ray": address}
        for number in range(rounds):
            for side in TITLES if number % 2 == 0 else reversed(TITLES):
                for count in counts:
                    taken = index_seconds(photos[:count], on=where[side], **options)
                    result[side][str(count)].append(taken)
                    print(f"{side}, {count} photos: {taken:.1f} s", flush=True)
    return result


def figures(rounds: dict[str, list[float]], cores: int) -> dict[str, float]:
    """Compute time per photo, start-up time, and photos per hour and core of one side."""
    few, many = sorted(rounds, key=int)
    pairs = zip(rounds[few], rounds[many], strict=True)
    photo = median((longer - shorter) / (int(many) - int(few)) for shorter, longer in pairs)
    return {
        "seconds_a_photo": photo,
        "start_seconds": median(rounds[few]) - int(few) * photo,
        "photos_an_hour_a_core": 3600 / (photo * cores),
    }


def table(result: dict[str, Any]) -> str:
    """Lay out the figures as Markdown."""
    lines = [
        f"{conditions(result['machine'], ('resight', 'ray', 'openvino'))} "
        f"The configuration `{result['config']}`, medians of "
        f"{result['rounds']} rounds of {' and '.join(map(str, result['photos']))} photos.",
        "",
        "| | a photo, s | of the local speed | photos an hour a core | start, s |",
        "|---|---|---|---|---|",
    ]
    here = result["figures"]["local"]["seconds_a_photo"]
    for side, title in TITLES.items():
        found = result["figures"][side]
        lines.append(
            f"| {title} | {found['seconds_a_photo']:.3f} | {here / found['seconds_a_photo']:.2f} "
            f"| {found['photos_an_hour_a_core']:,.0f} | {found['start_seconds']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = make_parser(__doc__, output="cluster.json")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", default="paper")
    parser.add_argument("--counts", type=int, nargs=2, default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NODES])  # on both sides, and below
    photos = [file.path for file in find_photos([options.photos]).photos][: max(options.counts)]
    model = ModelOptions(options.weights)
    rounds = measure(photos, options.counts, options.rounds, config=options.config, model=model)
    result = {
        "machine": machine("ray"),
        "config": options.config,
        "photos": sorted(options.counts),
        "rounds": options.rounds,
        "cores": NODES,
        "seconds": rounds,
        "figures": {side: figures(times, NODES) for side, times in rounds.items()},
    }
    save(result, options.output)
    print(table(result))


if __name__ == "__main__":
    main()
