"""Time of all rows of the paper's Table 1 relative to its row `paper`, from photos to figures.

    python benchmarks/ablation.py FOLDER --weights resnet50.pth -o docs/ablation.json

Both run with empty caches, in turn, in one process; the ratio is that of the medians. FOLDER is
as `resight benchmark run groups:FOLDER` accepts it.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from harness import machine, make_parser, save
from resight.evaluation.benchmark import run_benchmark, select_methods
from resight.evaluation.datasets import read_dataset
from resight.evaluation.datasets.dataset import Dataset
from resight.methods.model import ModelOptions
from resight.methods.spec import MethodSpec


def main() -> None:
    parser = make_parser(__doc__, output="ablation.json")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    dataset, model = read_dataset("groups", options.folder), ModelOptions(options.weights)
    table = select_methods(None, 1)
    paper_only = {"paper": table["paper"]}
    taken: dict[str, list[float]] = {"paper": [], "table 1": []}
    for number in range(options.rounds):
        both = [("paper", paper_only), ("table 1", table)]
        for name, specs in both if number % 2 == 0 else reversed(both):
            taken[name].append(seconds(dataset, specs, model))
            print(f"{name}: {taken[name][-1]:.1f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    result = {
        "machine": machine(),
        "photos": len(dataset.paths),
        "methods": list(table),
        "seconds": taken,
        "ratio": medians["table 1"] / medians["paper"],
    }
    save(result, options.output)
    print(f"{result['ratio']:.2f} times the time of only paper")


def seconds(dataset: Dataset, specs: Mapping[str, MethodSpec], model: ModelOptions) -> float:
    """Return the time of a run with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        run_benchmark(dataset, specs, cache=Path(cache), model=model)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
