"""Ablation of the method `auto`: its network, selection, whitening, adaptation and its parts.

    python benchmarks/adaptation.py FOLDER ... --weights resnet50.pth -o docs/adaptation.json

Each FOLDER is as `resight benchmark run groups:FOLDER` accepts it. Photos and their varied copies
are described once by each network. Writes OUT.json and prints a Markdown table of mAP in percent.
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
from resight.methods.model import ModelOptions
from resight.methods.spec import MethodSpec

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
NETWORKS: Mapping[str, MethodSpec] = {
    "Lite 2 at 800 and 550 (`accurate`)": METHODS["accurate"],
    "ResNet-50 at 550": AUTO.on_backbone("resnet50"),
}


def variants() -> dict[str, MethodSpec]:
    """Return all variants by name: reductions of `auto`, and other networks with and without."""
    return {
        **{name: dataclasses.replace(AUTO, reduction=r) for name, r in REDUCTIONS.items()},
        **{f"{name}, adapted": spec for name, spec in NETWORKS.items()},
        **{
            f"{name}, all values": dataclasses.replace(spec, reduction=NoReduction())
            for name, spec in NETWORKS.items()
        },
    }


def main() -> None:
    parser = make_parser(__doc__, output="adaptation.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, help="keeps descriptors; a temporary folder if none")
    parser.add_argument("--weights", type=Path, required=True, help="of a ResNet-50")
    options = parser.parse_args()
    model = ModelOptions(weights_files=(options.weights,))
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for folder in options.folders:
            dataset = read_dataset("groups", folder)
            cache = options.cache or Path(temporary)
            run = run_benchmark(dataset, variants(), cache=cache, model=model)
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
