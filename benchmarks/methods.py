"""Methods side by side: accuracy on several folders, photos per second, and a picture of all.

    python benchmarks/methods.py FOLDER ... --photos PHOTOS --weights resnet50.pth \
        -o docs/methods.json --picture docs/images/accuracy-time.png

Each FOLDER is as `resight benchmark run groups:FOLDER` accepts it; the demo's pictures are added.
PHOTOS are large JPEGs, to measure the time of one core from a file to its descriptor: all methods
of docs/benchmarks.md take turns. Writes OUT.json and the picture, and prints a Markdown table. With
`--cache FOLDER`, an interrupted run resumes.
"""

import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness import ROOT, machine, make_parser, markdown, save, spread
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
ROUNDS, WARM_UP = 3, 1
WITH_NS = ("ukbench-first500", "demo")
"""Folders whose groups have four photos, for which the N-S score is defined."""

OTHERS = "#8a8578"
"""Color of most methods in the picture."""

Measures = dict[str, float | None]
Box = tuple[float, float, float, float]


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
    taken = seconds_per_photo(timed_methods(), options.photos, options.weights)
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
    methods: Mapping[str, MethodSpec], folder: Path, weights: Path
) -> dict[str, float]:
    """Return the median seconds of one core from a file to its descriptor.

    These are CPU times of one thread, which other work on the machine hardly changes. Methods of
    one configuration, which differ in their reduction or re-ranking, share a figure.
    """
    keep_heap_small()  # as the command does
    model = ModelOptions(weights_files=(weights,), threads=1)
    files = find_photos([folder]).photos
    sample = spread(files, FITTED_ON)
    extractors = {
        config: fit_method(config, model, sample, no_progress).extractor
        for config in {spec.config: None for spec in methods.values()}
    }
    taken: dict[Any, list[float]] = {config: [] for config in extractors}
    others = [file for file in files if file not in sample]  # maps of a sampled photo are cached
    for file in spread(others, ROUNDS + WARM_UP):
        for config, extractor in extractors.items():
            started = time.process_time()
            image = load_image(file.path, extractor.decode_size)
            extractor.describe(extractor.prepare(image))
            taken[config].append(time.process_time() - started)
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
        size = " to ".join(map(str, dict.fromkeys([values[0], values[-1]])))
        cells += [size, f"{1 / taken:.3g}" if taken else ""]
        for folder, measured in figures.items():
            mean, score = measured[name]["mAP"], measured[name].get("N-S")
            cell = "–" if mean is None else f"{100 * mean:.2f}"
            cells.append(f"{cell} ({score:.3f})" if folder in WITH_NS and score else cell)
        rows.append(cells)
    return markdown(["method", "values", "photos/s, one core", *figures], rows, "---:")


def documented() -> dict[str, tuple[float, float]]:
    """Return the mAP on the buildings and the N-S score on UKBench of docs/benchmarks.md."""
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    row = r"^\| `([\w-]+)` \|[^|]*\|[^|]*\| ([\d.]+) \| [\d.–]+ \| ([\d.]+) \|"
    return {name: (float(m), float(n)) for name, m, n in re.findall(row, text, re.MULTILINE)}


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Plot the accuracy of methods over the time of a photo: a panel per measure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    taken = result["seconds"]
    accuracies = {name: values for name, values in documented().items() if name in taken}
    figure, axes = pyplot.subplots(2, figsize=(11, 15), dpi=80, sharex=True)
    figure.subplots_adjust(left=0.06, right=0.87, bottom=0.05, top=0.97, hspace=0.08)
    for number, (axis, title) in enumerate(
        zip(axes, ("mAP on 135 photos of buildings, %", "N-S score on 500 of UKBench"), strict=True)
    ):
        points = {name: (taken[name], values[number]) for name, values in accuracies.items()}
        axis.set_xscale("log")
        if number:
            axis.set_yscale("function", functions=(_crowded, _sparse))
            axis.set_yticks([3.4, 3.6, 3.7, 3.8, 3.9, 3.95, 3.98, 4.0])
        for name, point in points.items():
            axis.plot(
                *point, "o", color=color(name), markersize=5, zorder=2 + (color(name) != OTHERS)
            )
        axis.margins(0.08)
        axis.set_title(title, loc="left", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
        write_names(axis, points)
    axes[-1].set_xlabel("seconds of one core, from a file to its descriptor")
    figure.savefig(path)


def color(name: str) -> str:
    """Return the color of a method: of the adapted ones, of the paper's, and of the others."""
    if name in ("auto", "accurate"):
        return "#1f6f54"
    return "#a4422b" if name.startswith("paper") else OTHERS


def _crowded(score: Any) -> Any:
    """Stretch N-S scores near 4, where most methods are."""
    return -np.log(4.03 - np.minimum(score, 4.0))


def _sparse(height: Any) -> Any:
    """Invert `_crowded`."""
    return 4.03 - np.exp(-np.asarray(height))


def write_names(axis: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write a name beside each point, where it covers no other name and no point."""
    axis.figure.canvas.draw()
    places = dict(zip(points, axis.transData.transform(list(points.values())), strict=True))
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in places.values()]
    offsets = [
        (dx, dy) for dy in sorted(range(-120, 121, 4), key=abs) for dx in (7, -7, 35, -35, 70, -70)
    ]
    for name in sorted(points, key=lambda name: color(name) == OTHERS):
        x, y = places[name]
        label = axis.annotate(
            name,
            points[name],
            (0, 0),
            textcoords="offset pixels",
            va="center",
            fontsize=8,
            color=color(name),
            arrowprops={"arrowstyle": "-", "color": "#cccccc", "shrinkB": 3, "lw": 0.6},
        )
        width, height = 5.6 * len(name) * axis.figure.dpi / 80, 11 * axis.figure.dpi / 80
        for dx, dy in offsets:
            left = x + dx - (width if dx < 0 else 0)
            box = (left, y + dy - height / 2, left + width, y + dy + height / 2)
            if not any(overlap(box, other) for other in taken):
                break
        taken.append(box)
        label.set_position((dx, dy))
        label.set_ha("right" if dx < 0 else "left")


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes, (left, bottom, right, top), have a point in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


if __name__ == "__main__":
    main()
