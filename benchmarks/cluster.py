"""How fast a Ray cluster of two nodes on this machine describes photos, beside the plain local run.

    pip install 'resight[ray]'
    python benchmarks/cluster.py PHOTOS --weights resnet50.pth -o docs/cluster.json

Both sides have the same two cores, the nodes one each. The cluster stands before the clock runs, as
a user's does. A round indexes a few photos, and more, into new collections, here and on the
cluster in turns. What the further ones took is the time of a photo; the rest of the time is the
start: weights read, the network made ready, on the cluster workers started.
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from resight import ModelOptions
from resight.indexing import pipeline
from resight.photos.files import find_photos
from speed import machine

NODES = 2
TITLES = {"local": "this machine", "ray": "Ray, two nodes of one core"}


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """A head and a second node, one CPU each; their address, as `--on` takes it."""
    from ray.cluster_utils import Cluster

    sizes = {"num_cpus": 1, "object_store_memory": 300 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args={**sizes, "include_dashboard": False})
    for _ in range(NODES - 1):
        nodes.add_node(**sizes)
    try:
        yield f"ray:{nodes.address}"
    finally:
        nodes.shutdown()


def seconds(photos: list[Path], **options: Any) -> float:
    """How long an index run of photos into a new collection takes."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = pipeline.index(photos, Path(folder, "c"), **options)
        taken = time.perf_counter() - started
    if run.photos != len(photos):
        raise SystemExit(f"not all photos were described: {run.report}")
    return taken


def measure(
    photos: list[Path], counts: list[int], rounds: int, **options: Any
) -> dict[str, dict[str, list[float]]]:
    """Seconds of the rounds for each side and each count of photos."""
    found = {side: {str(count): list[float]() for count in counts} for side in TITLES}
    with cluster() as address:
        where = {"local": None, "ray": address}
        for number in range(rounds):
            for side in TITLES if number % 2 == 0 else reversed(TITLES):
                for count in counts:
                    taken = seconds(photos[:count], on=where[side], **options)
                    found[side][str(count)].append(taken)
                    print(f"{side}, {count} photos: {taken:.1f} s", flush=True)
    return found


def figures(rounds: dict[str, list[float]], cores: int) -> dict[str, float]:
    """What the times of one side say: of a photo, of the start, and photos an hour a core."""
    few, many = sorted(rounds, key=int)
    pairs = zip(rounds[few], rounds[many], strict=True)
    photo = median((longer - shorter) / (int(many) - int(few)) for shorter, longer in pairs)
    return {
        "seconds_a_photo": photo,
        "start_seconds": median(rounds[few]) - int(few) * photo,
        "photos_an_hour_a_core": 3600 / (photo * cores),
    }


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    told = result["machine"]
    names = ", ".join(f"{name} {told['versions'][name]}" for name in ("resight", "ray", "openvino"))
    lines = [
        f"{told['processor']}, {told['cores']} cores; Python {told['python']}, {names}; commit "
        f"{told['commit']}, {told['date']}. The configuration `{result['config']}`, medians of "
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="a folder of JPEGs")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--config", default="paper")
    parser.add_argument("--counts", type=int, nargs=2, default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("cluster.json"))
    asked = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:NODES])  # on both sides, and below
    photos = [file.path for file in find_photos([asked.photos]).photos][: max(asked.counts)]
    options = {"config": asked.config, "model": ModelOptions(asked.weights)}
    found = measure(photos, asked.counts, asked.rounds, **options)
    told = machine()
    told["versions"]["ray"] = version("ray")
    result = {
        "machine": told,
        "config": asked.config,
        "photos": sorted(asked.counts),
        "rounds": asked.rounds,
        "cores": NODES,
        "seconds": found,
        "figures": {side: figures(rounds, NODES) for side, rounds in found.items()},
    }
    asked.output.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
