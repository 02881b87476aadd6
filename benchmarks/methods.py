"""Methods side by side: accuracy on several folders, photos per second, and a picture of all.

    python benchmarks/methods.py FOLDER ... --photos PHOTOS --weights resnet50.pth \
        -o docs/methods.json --picture docs/images/accuracy-time.png

Each FOLDER is as `resight benchmark run groups:FOLDER` accepts it; the demo's pictures are added.
PHOTOS are large JPEGs, to measure the time from a file to its descriptor: all methods of
docs/benchmarks.md take turns. Writes OUT.json and the picture, and prints a Markdown table. With
`--cache FOLDER`, an interrupted run resumes.
"""

import dataclasses
import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, machine, make_parser, markdown, save, seconds, spread
from resight.demo import draw_collection
from resight.evaluation.benchmark import run_benchmark
from resight.evaluation.datasets import read_dataset
from resight.indexing.method_setup import fit_method
from resight.memory import keep_heap_small
from resight.methods import METHODS
from resight.methods.model import ModelOptions
from resight.methods.spec import MethodSpec
from resight.photos.files import find_photos
from resight.photos.images import load_image
from resight.progress import no_progress

MEASURED = ("paper", "paper, bfloat16", "auto", "accurate", "sift-vlad")
FITTED_ON = 16
"""Photos on which vocabularies are fitted to measure times, which do not depend on them."""
ROUNDS, WARM_UP = 5, 1
WITH_NS = ("ukbench-first500", "demo")
"""Folders whose groups have four photos, for which the N-S score is defined."""

Measures = dict[str, float | None]


def main() -> None:
    parser = make_parser(__doc__, output="methods.json")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=MEASURED, choices=MEASURED)
    parser.add_argument("--picture", type=Path, default=Path("accuracy-time.png"))
    parser.add_argument("--cache", type=Path, help="keeps descriptors; a temporary folder if none")
    options = parser.parse_args()
    model = ModelOptions(weights_files=(options.weights,))
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        draw_collection(Path(temporary) / "demo")
        cache = options.cache or Path(temporary) / "cache"
        methods = {name: find(name) for name in options.methods}
        for folder in [*options.folders, Path(temporary) / "demo"]:
            figures[folder.name] = measure(folder, methods, cache, model)
            print(folder.name, json.dumps(figures[folder.name]), flush=True)
    taken = seconds_per_photo(timed_methods(), options.photos, model)
    result = {"machine": machine(), "seconds": taken, "figures": figures}
    save(result, options.output)
    plot(result, options.picture)
    print(table(result))


def find(name: str) -> MethodSpec:
    """Return a method of the catalog, in another precision if its name ends with one."""
    plain, _, precision = name.partition(", ")
    spec = METHODS[plain]
    if not precision:
        return spec
    return dataclasses.replace(spec, config=spec.config.with_precision(precision))


# Accuracy


def measure(
    folder: Path, methods: Mapping[str, MethodSpec], cache: Path, model: ModelOptions
) -> dict[str, Measures]:
    """Measure methods on a folder: mAP in 0..1 and N-S score, and the number of values."""
    run = run_benchmark(read_dataset("groups", folder), methods, cache=cache, model=model)
    return {
        result.method: {"values": result.dimensions, **result.measures} for result in run.results
    }


# Time


def timed_methods() -> dict[str, MethodSpec]:
    """Return the measured methods, and all that have figures in docs/benchmarks.md."""
    return {name: find(name) for name in dict.fromkeys([*MEASURED, *documented()])}


def seconds_per_photo(
    methods: Mapping[str, MethodSpec], folder: Path, model: ModelOptions
) -> dict[str, float]:
    """Return the median seconds from a file to its descriptor, one photo at a time.

    Methods of one configuration, which differ in their reduction or re-ranking, share a figure.
    """
    keep_heap_small()  # as the command does
    files = find_photos([folder]).photos
    sample = spread(files, FITTED_ON)
    extractors = {
        config: fit_method(config, model, sample, no_progress).extractor
        for config in {spec.config: None for spec in methods.values()}
    }
    taken: dict[Any, list[float]] = {config: [] for config in extractors}
    for file in spread(files, ROUNDS + WARM_UP):
        for config, extractor in extractors.items():

            def describe(path: Path = file.path, extractor: Any = extractor) -> None:
                image = load_image(path, extractor.decode_size)
                extractor.describe(extractor.prepare(image))

            taken[config].append(seconds(describe))
    medians = {config: float(np.median(values[WARM_UP:])) for config, values in taken.items()}
    return {name: medians[spec.config] for name, spec in methods.items()}


# Report


def table(result: Mapping[str, Any]) -> str:
    """Lay out mAP in percent, for some folders with the N-S score, and photos per second."""
    figures = result["figures"]
    rows = []
    for name in next(iter(figures.values())):
        values = sorted({measured[name]["values"] for measured in figures.values()})
        taken = result["seconds"].get(name)
        cells = [re.sub(r"^([\w-]+)", r"`\1`", name)]
        cells += [", ".join(map(str, values)), f"{1 / taken:.3g}" if taken else ""]
        for folder, measured in figures.items():
            ns = f" ({measured[name]['N-S']:.3f})" if folder in WITH_NS else ""
            cells.append(f"{100 * measured[name]['mAP']:.2f}{ns}")
        rows.append(cells)
    return markdown(["method", "values", "photos/s", *figures], rows, "---:")


def documented() -> dict[str, tuple[float, float]]:
    """Return the mAP on the buildings and the N-S score on UKBench of docs/benchmarks.md."""
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    row = r"^\| `([\w-]+)` \|[^|]*\|[^|]*\| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|"
    return {name: (float(m), float(n)) for name, m, n in re.findall(row, text, re.MULTILINE)}


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Plot the accuracy of methods over the time of a photo: a panel per measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    taken = result["seconds"]
    accuracies = {name: values for name, values in documented().items() if name in taken}
    figure, axes = pyplot.subplots(2, figsize=(11, 15), sharex=True)
    for number, (axis, title) in enumerate(
        zip(axes, ("mAP on 135 photos of buildings, %", "N-S score on 500 of UKBench"), strict=True)
    ):
        points = {name: (taken[name], values[number]) for name, values in accuracies.items()}
        axis.set_xscale("log")
        if number:
            axis.set_yscale("function", functions=(_crowded, _sparse))
            axis.set_yticks([3.4, 3.6, 3.7, 3.8, 3.9, 3.95, 3.98, 4.0])
        for name, point in points.items():
            axis.plot(*point, "o", color=color(name), markersize=5)
        axis.margins(0.08)
        axis.set_title(title, loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        write_names(axis, points)
    axes[-1].set_xlabel("seconds from a file to its descriptor")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def color(name: str) -> str:
    """Return the color of a method: of the adapted ones, of the paper's, and of the others."""
    if name in ("auto", "accurate"):
        return "#1f6f54"
    return "#a4422b" if name.startswith("paper") else "#8a8578"


def _crowded(score: Any) -> Any:
    """Stretch N-S scores near 4, where most methods are."""
    return -np.log(4.03 - np.minimum(score, 4.0))


def _sparse(height: Any) -> Any:
    """Invert `_crowded`."""
    return 4.03 - np.exp(-np.asarray(height))


def write_names(axis: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write a name beside each point, where it covers no other name and no point."""
    axis.figure.canvas.draw()
    places = axis.transData.transform(list(points.values()))
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    scale = 72 / axis.figure.dpi
    offsets = [
        (dx, dy, side)
        for dy in sorted(range(-90, 91, 5), key=abs)
        for dx, side in ((7, "left"), (-7, "right"), (35, "left"), (-35, "right"))
    ]
    for name in sorted(points, key=lambda name: color(name) == color("")):  # others come last
        for dx, dy, side in offsets:
            text = axis.annotate(
                name,
                points[name],
                (scale * dx, scale * dy),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=8,
                color=color(name),
                arrowprops={"arrowstyle": "-", "color": "#cccccc", "shrinkB": 3, "lw": 0.6},
            )
            box = text.get_window_extent()
            if not any(
                box.x0 < right and box.x1 > left and box.y0 < top and box.y1 > bottom
                for left, bottom, right, top in taken
            ):
                taken.append((box.x0, box.y0, box.x1, box.y1))
                break
            text.remove()


if __name__ == "__main__":
    main()
