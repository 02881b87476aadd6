"""Speed of extraction and search, compared with alternatives: one command, one run.

    pip install 'resight[benchmarks]'
    python benchmarks/speed.py PHOTOS --weights resnet50.pth -o docs/speed

All contenders take turns in every round; the results are medians of the rounds. Writes OUT.json and
OUT.png and prints a Markdown table (`--table OUT.json` prints it again). Run it on an idle machine.
The network without Resight is the oracle of the tests, a plain PyTorch implementation of
docs/method.md.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from harness import (
    ROOT,
    VALUES,
    conditions,
    draw_adapted,
    draw_descriptors,
    machine,
    make_parser,
    save,
    spread,
)
from stages import PHOTOS, STAGES, describe, index_run

ROUNDS, WARM_UP = 9, 2
PAUSE_S = 0.005
"""Before each contender: threads of the previous one keep spinning for a while."""
QUERIES = 32
EQUALITY_QUERIES = 1000

Contenders = dict[str, Callable[[], Any]]


def main() -> None:
    parser = make_parser(__doc__, output="speed")
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of JPEGs")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--table", type=Path, help="print the table of an earlier run")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    result: dict[str, Any] = {"machine": machine(), "extraction": {}, "search": {}, "adapted": {}}
    if options.photos:
        result["extraction"] = isolated(measure_extraction, options.photos, options.weights)
    for rows in options.rows:
        result["search"][str(rows)] = isolated(measure_search, rows)
        result["adapted"][str(rows)] = isolated(measure_adapted, rows)
    save(result, options.output.with_suffix(".json"))
    plot(result, options.output.with_suffix(".png"))
    print(table(result))


def isolated(measure: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Run a measurement in a fresh process, which earlier ones have not affected."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()


def rounds(contenders: Contenders, before: Callable[[int], None] = lambda _: None) -> Any:
    """Measure the seconds of every contender in every round, without the warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS + WARM_UP):
        before(number)
        for name, run in contenders.items():
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: values[WARM_UP:] for name, values in seconds.items()}


# From a JPEG to its descriptor


def measure_extraction(folder: Path, weights: Path | None) -> dict[str, Any]:
    """Measure `paper` on every runtime: one photo at a time, and in an index run."""
    sys.path.insert(0, str(ROOT / "tests/support"))
    import torch

    import oracle
    from resight.config import ExtractionConfig
    from resight.indexing.method_setup import fit_quantized_network
    from resight.memory import keep_heap_small
    from resight.methods.model import FittedMethod, ModelOptions, find_model
    from resight.networks.parameters import load_parameters
    from resight.photos.files import find_photos
    from resight.progress import no_progress

    photos = find_photos([folder]).photos
    config = ExtractionConfig()
    model = find_model(config, ModelOptions(weights))
    assert model.path is not None
    load_parameters(config.backbone, model.path, model.sha256)
    int8 = ExtractionConfig(precision="int8")
    network, _ = fit_quantized_network(int8, model, photos, no_progress)
    extractors = {
        "OpenVINO": FittedMethod(config, model).load_extractor(ModelOptions(runtime="openvino")),
        "ONNX Runtime": FittedMethod(config, model).load_extractor(ModelOptions(runtime="onnx")),
        "PyTorch": FittedMethod(config, model).load_extractor(ModelOptions(runtime="torch")),
        "OpenVINO, int8": FittedMethod(int8, model, quantized=network).load_extractor(
            ModelOptions()
        ),
    }
    state = oracle.load_state(model.path)
    current: list[Path] = []
    stages: dict[str, list[dict[str, float]]] = {name: [] for name in extractors}

    def plain() -> None:
        with torch.inference_mode():
            oracle.describe(current[0], state)

    def ours(name: str) -> Callable[[], None]:
        return lambda: stages[name].append(describe(extractors[name], current[0]))

    def next_photo(number: int) -> None:
        current[:] = [chosen[number].path]

    chosen = spread(photos, ROUNDS + WARM_UP)

    seconds = rounds(
        {"plain PyTorch": plain} | {name: ours(name) for name in extractors}, next_photo
    )
    profile = {
        name: {stage: float(np.median([s[stage] for s in each[WARM_UP:]])) for stage in STAGES}
        for name, each in stages.items()
    }
    files = [photo.path for photo in spread(photos, PHOTOS + WARM_UP)]
    keep_heap_small()  # as the command does
    runs = {name: index_run(extractor, files) for name, extractor in extractors.items()}
    return {"seconds": seconds, "stages": profile, "index": runs}


# Search


def measure_search(count: int) -> dict[str, Any]:
    """Measure one query, and 32 at once, over `count` descriptors."""
    import faiss
    import scipy.spatial.distance
    import torch

    from resight.ranking.approximate import nearest_by_lists
    from resight.ranking.exact import Database, Query, nearest_to_each
    from resight.ranking.ivf import grow_lists, open_lists
    from resight.ranking.quantized import encode, fit_quantizer

    rng = np.random.default_rng(0)
    rows = draw_descriptors(count, rng)
    chosen = rows[rng.integers(0, count, EQUALITY_QUERIES)]
    vectors = (chosen * np.exp(rng.normal(0, 0.2, chosen.shape))).astype(np.float32)
    steps = fit_quantizer(rows)
    coded = encode(rows, steps)
    database = Database(np.arange(count), rows, coded=(coded,))
    flat = faiss.IndexFlat(VALUES, faiss.METRIC_L1)
    flat.add(rows)
    queries = [Query(values) for values in vectors]
    many = vectors[:QUERIES]
    current = [0]

    def next_query(number: int) -> None:
        current[0] = number  # repeating a query would hit the caches

    def query_rows() -> np.ndarray:
        return vectors[current[0] : current[0] + 1]

    one: Contenders = {
        "Resight": lambda: nearest_to_each([queries[current[0]]], database, 10),
        "FAISS flat": lambda: flat.search(query_rows(), 10),
        "torch.cdist": lambda: top(torch.cdist(*map(torch.from_numpy, (query_rows(), rows)), p=1)),
        "SciPy cdist": lambda: cityblock(scipy.spatial.distance.cdist, query_rows(), rows),
        "reading the codes once": lambda: read_all(coded.codes),
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "lists"
        started = time.perf_counter()
        grow_lists(path, rows)
        built = {"seconds": time.perf_counter() - started, "bytes": path.stat().st_size}
        lists = [open_lists(path, VALUES)]
        one["Resight, approximate"] = lambda: nearest_by_lists(
            queries[current[0]], database, lists, 10
        )
        seconds = {"one": rounds(one, next_query)}
        batch: Contenders = {
            "Resight": lambda: nearest_to_each(queries[:QUERIES], database, 10),
            "FAISS flat": lambda: flat.search(many, 10),
            "torch.cdist": lambda: top(torch.cdist(*map(torch.from_numpy, (many, rows)), p=1)),
        }
        seconds["together"] = rounds(batch)
        distances, true = flat.search(vectors, 10)
        exact = nearest_to_each(queries, database, 10)
        near = [nearest_by_lists(query, database, lists, 10) for query in queries]
    return {
        "seconds": seconds,
        "identical_lists": sum(
            same(neighbors, ids, far)
            for neighbors, ids, far in zip(exact, true, distances, strict=True)
        ),
        "queries_compared": EQUALITY_QUERIES,
        "scan_bytes_share": (coded.codes.nbytes + coded.outliers.nbytes) / rows.nbytes,
        "approximate_recall": float(
            np.mean([np.isin(n.ids, t).mean() for n, t in zip(near, true, strict=True)])
        ),
        "approximate_index": built,
    }


def measure_adapted(count: int) -> dict[str, Any]:
    """Measure one query, and several at once, over `count` adapted descriptors."""
    import faiss

    from resight.ranking.exact import Database, Query, euclidean, nearest_to_each
    from resight.ranking.quantized import encode, fit_quantizer
    from resight.reductions.wccn import SPREAD

    rng = np.random.default_rng(0)
    rows = draw_adapted(count, rng)
    vectors = rows[rng.integers(0, count, QUERIES)]
    vectors += 0.02 * rng.standard_normal(vectors.shape, np.float32)
    vectors[:, -SPREAD:] = 0
    coded = encode(rows, fit_quantizer(rows, "euclidean"))
    plain = Database(np.arange(count), rows)
    database = Database(plain.ids, rows, coded=(coded,))
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(rows)
    queries = [Query(values) for values in vectors]
    current = [0]

    def next_query(number: int) -> None:
        current[0] = number

    def search(searched: Database, given: list[Query]) -> Any:
        return nearest_to_each(given, searched, 10, euclidean)

    one: Contenders = {
        "Resight": lambda: search(database, [queries[current[0]]]),
        "Resight, float32": lambda: search(plain, [queries[current[0]]]),
        "FAISS flat": lambda: flat.search(vectors[current[0] : current[0] + 1], 10),
        "reading the codes once": lambda: read_all(coded.codes),
    }
    batch: Contenders = {
        "Resight": lambda: search(database, queries),
        "FAISS flat": lambda: flat.search(vectors, 10),
    }
    seconds = {"one": rounds(one, next_query), "together": rounds(batch)}
    pairs = [(search(database, [query])[0], search(plain, [query])[0]) for query in queries]
    identical = sum(
        np.array_equal(found.ids, true.ids) and np.array_equal(found.distances, true.distances)
        for found, true in pairs
    )
    return {"seconds": seconds, "identical_lists": identical, "values": rows.shape[1]}


def same(found: Any, ids: np.ndarray, distances: np.ndarray) -> bool:
    """Check that two lists of neighbors are equal up to the order of equal distances."""
    close = np.allclose(found.distances, distances, rtol=1e-5)
    differing = np.flatnonzero(found.ids != ids)
    return bool(
        close and all(np.isclose(found.distances[i], distances[i], rtol=1e-6) for i in differing)
    )


def top(distances: Any) -> Any:
    """Return the ten smallest of each row of a tensor."""
    return distances.topk(10, largest=False)


def cityblock(cdist: Any, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the ten nearest of each query, block by block: SciPy computes in float64."""
    blocks = [
        cdist(queries, rows[i : i + 20_000], "cityblock") for i in range(0, len(rows), 20_000)
    ]
    return np.argpartition(np.concatenate(blocks, axis=1), 10)[:, :10]


def read_all(values: np.ndarray) -> None:
    """Read an array from memory on all cores."""
    words = values.reshape(-1)[: values.size // 8 * 8].view(np.uint64)
    parts = np.array_split(words, os.cpu_count() or 1)
    with ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(np.bitwise_or.reduce, parts))


# Report


def table(result: dict[str, Any]) -> str:
    """Lay out the medians as Markdown tables."""
    lines = [f"{conditions(result['machine'])} Medians of {ROUNDS} rounds."]
    if result["extraction"]:
        seconds = medians(result["extraction"]["seconds"])
        head = ["from a JPEG to its descriptor", "s", "times plain PyTorch"]
        head += [f"{stage}, ms" for stage in STAGES] + ["network's share"]
        runs = result["extraction"].get("index", {})
        if runs:
            head += ["in an index run, s", "the network at work", "the network alone"]
        lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for name, value in seconds.items():
            cells = [name, f"{value:.3f}", f"{seconds['plain PyTorch'] / value:.2f}"]
            profile = result["extraction"]["stages"].get(name)
            if profile:
                cells += [f"{1e3 * profile[stage]:.1f}" for stage in STAGES]
                cells.append(f"{100 * profile['network'] / sum(profile.values()):.0f} %")
            run = runs.get(name)
            if run:
                cells.append(f"{run['seconds']:.3f}")
                cells += [f"{100 * run[share]:.0f} %" for share in ("busy", "alone")]
            lines.append(f"| {' | '.join(cells + [''] * (len(head) - len(cells)))} |")
    for rows, found in result["search"].items():
        lines += search_table(rows, VALUES, found["seconds"])
        lines += [
            "",
            f"Lists of ten that are those of the exact search: {found['identical_lists']} of "
            f"{found['queries_compared']}. The scan reads {found['scan_bytes_share']:.3f} of the "
            f"bytes of the float32 array. The approximate search finds "
            f"{100 * found['approximate_recall']:.1f} % of the nearest ten by an index of "
            f"{found['approximate_index']['bytes'] / 1e6:.1f} MB.",
        ]
    for rows, found in result.get("adapted", {}).items():
        lines += search_table(rows, found["values"], found["seconds"])
        lines += [
            "",
            f"Lists of ten that are those of the comparison in float32: {found['identical_lists']} "
            f"of {QUERIES}.",
        ]
    return "\n".join(lines)


def search_table(rows: str, values: int, seconds: dict[str, Any]) -> list[str]:
    """Format the median search times over `rows` vectors of length `values` as a table."""
    one, together = medians(seconds["one"]), medians(seconds["together"])
    lines = ["", f"| {int(rows):,} x {values} | one query, ms | {QUERIES} at once, ms |"]
    lines += ["|---|---|---|"]
    for name, value in one.items():
        many = f"{1e3 * together[name]:.1f}" if name in together else ""
        lines.append(f"| {name} | {1e3 * value:.2f} | {many} |")
    return lines


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of every contender."""
    return {name: float(np.median(values)) for name, values in seconds.items()}


def plot(result: dict[str, Any], path: Path) -> None:
    """Plot the medians as bars, all in one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    charts = []
    if result["extraction"]:
        charts.append(("s from a JPEG to its descriptor", medians(result["extraction"]["seconds"])))
    searches = [(rows, VALUES, found) for rows, found in result["search"].items()]
    searches += [(rows, found["values"], found) for rows, found in result["adapted"].items()]
    for rows, size, found in searches:
        for what, seconds in found["seconds"].items():
            queries = "one query" if what == "one" else f"{QUERIES} queries"
            values = {name: 1e3 * value for name, value in medians(seconds).items()}
            charts.append((f"ms for {queries}, {int(rows):,} x {size}", values))
    figure, axes = pyplot.subplots(len(charts), figsize=(8, 1.9 * len(charts)), squeeze=False)
    for axis, (title, values) in zip(axes[:, 0], charts, strict=True):
        colors = ["#1f6f54" if "Resight" in n or "OpenVINO" in n else "#b9b4a7" for n in values]
        bars = axis.barh(list(values), list(values.values()), color=colors)
        labels = [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values.values()]
        axis.bar_label(bars, labels, padding=3)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_title(title, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
