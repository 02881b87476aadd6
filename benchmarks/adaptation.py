"""Ablation of the method `auto`: the network's values, selected, whitened and adapted.

    python benchmarks/adaptation.py FOLDER ... -o docs/adaptation.json

Each FOLDER is as `resight benchmark run groups:FOLDER` accepts it. Photos and their varied copies
are described once. Writes OUT.json and prints a Markdown table of mAP in percent.
"""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import machine, make_parser, markdown, save
from resight.config import NoReduction, ReductionConfig, SelectionConfig, WhiteningConfig
from resight.config.reduction import WccnConfig
from resight.evaluation.benchmark import run_benchmark
from resight.evaluation.datasets import read_dataset
from resight.methods import METHODS
from resight.progress import no_progress

AUTO = METHODS["auto"]
COPIES = (16, 8, 4, 2, 1)
"""Numbers of varied copies per photo, in descending order, so that all reuse the first ones."""


def adapted(**changes: object) -> WccnConfig:
    """Return the adaptation of `auto` with some fields changed."""
    return dataclasses.replace(WccnConfig(), **changes)  # type: ignore[arg-type]


REDUCTIONS: Mapping[str, ReductionConfig] = {
    **{f"adapted, {copies} copies": adapted(copies=copies) for copies in COPIES},
    "all values": NoReduction(),
    "FS (PFA), 96 values": SelectionConfig(features=96),
    "whitened": WhiteningConfig(min_photos=8),
    "adapted, without correction": adapted(neighbors=0),
    "adapted, 10 neighbors": adapted(neighbors=10),
    "adapted, 64 components": adapted(features=64),
    "adapted, 256 components": adapted(features=256),
    "adapted, shrinkage 0.2": adapted(shrinkage=0.2),
    "adapted, 64 sampled photos": adapted(sample=64),
}


def main() -> None:
    parser = make_parser(__doc__, output="adaptation.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, help="keeps descriptors; a temporary folder if none")
    options = parser.parse_args()
    methods = {
        name: dataclasses.replace(AUTO, reduction=reduction)
        for name, reduction in REDUCTIONS.items()
    }
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for folder in options.folders:
            dataset = read_dataset("groups", folder)
            cache = (options.cache or Path(temporary)) / dataset.name
            run = run_benchmark(dataset, methods, cache=cache, progress=no_progress)
            figures[dataset.name] = {result.method: result.measures for result in run.results}
            print(dataset.name, figures[dataset.name], flush=True)
    result = {"machine": machine(), "figures": figures}
    save(result, options.output)
    print(table(result))


def table(result: Mapping[str, Any]) -> str:
    """Return a table with a row for each variant and a column for each folder."""
    figures = result["figures"]
    rows = [
        [name, *(f"{100 * by_method[name]['mAP']:.2f}" for by_method in figures.values())]
        for name in next(iter(figures.values()))
    ]
    return markdown(["variant", *figures], rows, "---:")


if __name__ == "__main__":
    main()
