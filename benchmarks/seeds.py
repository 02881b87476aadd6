"""Variation of `paper` and `paper-cam` with the seed of the selection's k-means.

    resight index PHOTOS -c described --config paper-cam
    python benchmarks/seeds.py PHOTOS/groups.json -c described --seeds 40 -o docs/seeds.json

Redundant columns of a descriptor are clustered, and which of them represents a cluster depends on
the initialization of k-means. The selection is refitted with each seed on the descriptors of the
collection, as `resight benchmark run` does. Writes OUT.json and prints a Markdown table.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from draws import ranked_by
from harness import machine, make_parser, markdown, save
from resight.collection import Collection
from resight.config import SelectionConfig
from resight.evaluation.benchmark.extraction import Descriptors
from resight.evaluation.benchmark.ranking import comparable_descriptors
from resight.evaluation.measures import evaluate_groups, read_groups
from resight.methods import METHODS

NAMES = ("paper", "paper-cam")


def main() -> None:
    parser = make_parser(__doc__, output="seeds.json")
    parser.add_argument("groups", type=Path)
    parser.add_argument("-c", "--collection", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=40, help="number of seeds, from 0")
    options = parser.parse_args()
    descriptors = read(options.collection)
    groups = {
        name: [descriptors.rows[path] for path in members]
        for name, members in read_groups(options.groups).items()
    }
    precision: dict[str, list[float]] = {method: [] for method in NAMES}
    for seed in range(options.seeds):
        for method, values in precision.items():
            values.append(mean_average_precision(method, seed, descriptors, groups))
        print(seed, *(f"{values[-1]:.2f}" for values in precision.values()), flush=True)
    result = {"machine": machine(), "photos": len(descriptors.rows), "mAP": precision}
    save(result, options.output)
    print(table(result))


def read(folder: Path) -> Descriptors:
    """Read all descriptors of a collection, rows in the order of its photos."""
    with Collection.open(folder) as collection:
        path_of = {photo.id: photo.path for photo in collection.photos("ok")}
        ids, globals_, locals_ = zip(*collection.photo_descriptors(), strict=True)
    rows = {path_of[id_]: row for row, id_ in enumerate(ids)}
    return Descriptors(np.stack(globals_), np.stack(locals_), rows)


def mean_average_precision(
    method: str, seed: int, descriptors: Descriptors, groups: dict[str, list[int]]
) -> float:
    """Return the mAP, in percent, with the selection fitted with a seed."""
    spec = replace(METHODS[method], reduction=SelectionConfig(seed=seed))
    covers = METHODS["paper-cam"].config
    compared = comparable_descriptors(spec, "groups", covers, descriptors, None)
    return 100 * evaluate_groups(groups, ranked_by(compared)).mean_average_precision


def table(result: dict[str, Any]) -> str:
    """Lay out a line per method: distribution of its mAP, and that of seed 0, the default."""
    rows = []
    for method, values in result["mAP"].items():
        figures = np.mean(values), np.std(values), min(values), max(values), values[0]
        rows.append([f"`{method}`", str(len(values)), *(f"{figure:.2f}" for figure in figures)])
    head = ["row", "seeds", "mean", "deviation", "lowest", "highest", "seed 0"]
    return markdown(head, rows, align="---:")


if __name__ == "__main__":
    main()
