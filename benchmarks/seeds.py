"""What the seed of the selection's k-means makes of `paper` and `paper-cam`.

    resight index PHOTOS -c described --config paper-cam
    python benchmarks/seeds.py PHOTOS/groups.json -c described --seeds 40 -o docs/seeds.json

Columns of a descriptor that say the same are clustered, and which of them stands for a cluster
depends on where k-means begins. The selection is fitted anew with each seed on the descriptors of
the collection, as `resight benchmark run` fits it. Writes OUT.json and prints a Markdown table.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from auto import ranked_by
from resight.collection.reader import Collection
from resight.config import SelectionConfig
from resight.evaluation.benchmark.extraction import Descriptors
from resight.evaluation.benchmark.ranking import compare
from resight.evaluation.measures import evaluate_groups, read_groups
from resight.methods.catalogue import METHODS
from speed import machine

NAMES = ("paper", "paper-cam")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("groups", type=Path)
    parser.add_argument("-c", "--collection", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=40, help="how many, from 0 on")
    parser.add_argument("-o", "--output", type=Path, default=Path("seeds.json"))
    options = parser.parse_args()
    described = read(options.collection)
    groups = {
        name: [described.rows[path] for path in members]
        for name, members in read_groups(options.groups).items()
    }
    found: dict[str, list[float]] = {method: [] for method in NAMES}
    for seed in range(options.seeds):
        for method, values in found.items():
            values.append(mean_average_precision(method, seed, described, groups))
        print(seed, *(f"{values[-1]:.2f}" for values in found.values()), flush=True)
    result = {"machine": machine(), "photos": len(described.rows), "mAP": found}
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def read(folder: Path) -> Descriptors:
    """All descriptors of a collection, rows in the order of its photos."""
    with Collection.open(folder) as collection:
        path_of = {photo.id: photo.path for photo in collection.photos("ok")}
        ids, globals_, locals_ = zip(*collection.photo_descriptors(), strict=True)
    rows = {path_of[id_]: row for row, id_ in enumerate(ids)}
    return Descriptors(np.stack(globals_), np.stack(locals_), rows)


def mean_average_precision(
    method: str, seed: int, described: Descriptors, groups: dict[str, list[int]]
) -> float:
    """In percent, by a selection that is fitted with a seed."""
    recipe = replace(METHODS[method], selection=SelectionConfig(seed=seed))
    covers = METHODS["paper-cam"].config
    compared = compare(recipe, "groups", covers, described, None)
    return 100 * evaluate_groups(groups, ranked_by(compared)).mean_average_precision


def table(result: dict[str, Any]) -> str:
    """A line for each method: how its mAP scatters, and that of seed 0, the default."""
    lines = ["| row | seeds | mean | deviation | lowest | highest | seed 0 |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for method, values in result["mAP"].items():
        figures = np.mean(values), np.std(values), min(values), max(values), values[0]
        cells = " | ".join(f"{figure:.2f}" for figure in figures)
        lines.append(f"| `{method}` | {len(values)} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
