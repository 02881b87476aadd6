"""What all rows of the paper's Table 1 cost beside its row `paper` alone, from photos to figures.

    python benchmarks/ablation.py FOLDER --weights resnet50.pth -o docs/ablation.json

Both are run anew with empty caches, in turn, in one process; the ratio is that of the medians.
Needs a folder as `resight benchmark run groups:FOLDER` takes it.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from resight.evaluation.benchmark.run import chosen_methods, run_benchmark
from resight.evaluation.datasets.dataset import Dataset
from resight.evaluation.datasets.registry import read_dataset
from resight.methods.model import ModelOptions
from resight.methods.spec import MethodSpec
from speed import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation.json"))
    options = parser.parse_args()
    dataset, model = read_dataset("groups", options.folder), ModelOptions(options.weights)
    table = chosen_methods(None, 1)
    alone = {"paper": table["paper"]}
    taken: dict[str, list[float]] = {"paper": [], "table 1": []}
    for number in range(options.rounds):
        both = [("paper", alone), ("table 1", table)]
        for name, recipes in both if number % 2 == 0 else reversed(both):
            taken[name].append(seconds(dataset, recipes, model))
            print(f"{name}: {taken[name][-1]:.1f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    result = {
        "machine": machine(),
        "photos": len(dataset.paths),
        "methods": list(table),
        "seconds": taken,
        "ratio": medians["table 1"] / medians["paper"],
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['ratio']:.2f} times the time of paper alone")


def seconds(dataset: Dataset, recipes: Mapping[str, MethodSpec], model: ModelOptions) -> float:
    """What a run takes that finds nothing in its cache."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        run_benchmark(dataset, recipes, cache=Path(cache), model=model)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
