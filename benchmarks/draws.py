"""Comparison of two methods on many collections, small and large: sets drawn from photos.

    resight index PHOTOS... -c deep --config paper
    resight index PHOTOS... -c light --config auto
    python benchmarks/draws.py FOLDER/groups.json ... -c deep -c light -o docs/draws.json

Each method's network has a collection of all photos; photos in no group are distractors. Sets are
drawn by whole groups, with and without distractors, and by photos, from each folder and from all.
Both methods are fitted on each set, as `resight benchmark run` does. Photos, and varied copies of
them for a method that adapts, are described once. Writes OUT.json and prints a Markdown table.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness import machine, make_parser, markdown, save
from resight.backends.store import as_query
from resight.collection import Collection
from resight.collection.writer import writing
from resight.descriptors.extractor import Extractor
from resight.errors import UsageError
from resight.evaluation.benchmark.extraction import Descriptors
from resight.evaluation.benchmark.ranking import ComparableDescriptors, comparable_descriptors
from resight.evaluation.measures import evaluate_groups, read_groups
from resight.indexing.adaptation import describe_copies
from resight.methods import METHODS
from resight.methods.model import ModelOptions
from resight.progress import no_progress
from resight.ranking.exact import DISTANCES, Query, distances_to, ranking

SIZES = (24, 60, 120, 240, 400, 480, 779)
"""Sizes of the sets."""
SEEDS = range(90, 92)
"""Seeds of the draws; different from those on which the rules of the methods were chosen."""
LARGE = 400
"""Photos from which on a set is large; `combined` differs from `paper` from there on."""
EQUAL = 1e-9
"""Difference of two mAPs, in percent, that rounding can cause."""
LOSSES = (EQUAL, 0.3, 1.0)
"""Losses of mAP, in percent; sets that lose more are counted."""
CHUNK = 8
"""Sets that a process measures between two readings of the descriptors."""

Groups = dict[str, list[int]]
"""Name of a group to rows of the descriptors; a group of one is a distractor."""


@dataclass(frozen=True)
class Sample:
    """A set of photos: the folder, how it is drawn, its requested size, and the seed."""

    folder: str
    drawn: str
    size: int | None
    seed: int
    groups: Groups


@dataclass(frozen=True)
class Described:
    """Photos by the network of a method, before its reduction.

    Attributes:
        values: float32 (N, D), a row for each photo.
        contents: hash of each photo's file, by which a sample to adapt to is chosen.
        copies: by content, descriptors (V, D) of varied copies; empty unless the method adapts.
    """

    values: np.ndarray
    contents: list[str]
    copies: dict[str, np.ndarray]


def main() -> None:
    parser = make_parser(__doc__, output="draws.json")
    parser.add_argument("groups", type=Path, nargs="+")
    parser.add_argument("-c", "--collection", type=Path, action="append", required=True)
    parser.add_argument(
        *("--methods", "-m"), nargs=2, default=("paper", "auto"), metavar=("REFERENCE", "METHOD")
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--weights", type=Path, help="of the network, for varied copies")
    result = compare(parser.parse_args())
    print(table(result))


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Draw all sets, and measure both methods on each."""
    paths = photos_of_all(options.collection)
    model = ModelOptions(options.weights)
    described = {
        method: read(method, options.collection, paths, model) for method in options.methods
    }
    row_of = {path: row for row, path in enumerate(paths)}
    folders = {
        file.parent.name: {
            name: [row_of[path] for path in members] for name, members in read_groups(file).items()
        }
        for file in options.groups
    }
    measured = []
    drawn = samples(folders, len(paths), options.sizes, options.seeds)
    with ProcessPoolExecutor() as pool:  # each fits on one thread
        for entry in pool.map(partial(measure, described=described), drawn, chunksize=CHUNK):
            measured.append(entry)
            print(json.dumps(entry), flush=True)
    result = {"machine": machine(), "methods": list(options.methods), "sets": measured}
    save(result, options.output)
    return result


# Descriptors


def photos_of_all(collections: Sequence[Path]) -> list[Path]:
    """Return the photos that all collections hold, in the order of their paths."""
    held = []
    for folder in collections:
        with Collection.open(folder) as collection:
            held.append({photo.path for photo in collection.photos("ok")})
    return sorted(set.intersection(*held))


def read(
    method: str, collections: Sequence[Path], paths: Sequence[Path], model: ModelOptions
) -> Described:
    """Read the descriptors of photos, and of varied copies, from the collection of a method.

    Raises:
        UsageError: no collection has the method's network and settings.
    """
    spec = METHODS[method]
    for folder in collections:
        with Collection.open(folder) as collection:
            if collection.config.fingerprint("") == spec.config.fingerprint(""):
                break  # the same but for equivalent precisions
    else:
        raise UsageError(f"{method}: index the photos with --config {method}")
    with Collection.open(folder) as collection:
        content_of = {photo.path: str(photo.content) for photo in collection.photos("ok")}
        contents = [content_of[path] for path in paths]
        sample = dict(zip(contents, paths, strict=True)) if spec.reduction.copies else {}
    describe_missing_copies(folder, sample, spec.reduction.copies, model)
    with Collection.open(folder) as collection:
        stored = {descriptors.content: descriptors for descriptors in collection.all_descriptors()}
        values = np.stack([stored[content].global_ for content in contents])
        copies = {content: collection.copies(content) for content in sample}
    return Described(values, contents, {c: v for c, v in copies.items() if v is not None})


def describe_missing_copies(
    folder: Path, sample: Mapping[str, Path], copies: int, model: ModelOptions
) -> None:
    """Describe varied copies of the photos of a collection, unless they are described already."""
    if not sample:
        return
    with writing(folder) as writer:

        def load() -> Extractor:
            return writer.collection.fitted_method(model).load_extractor(model)

        describe_copies(writer, sample, copies, load, no_progress)


# Sets


def samples(
    folders: dict[str, Groups], photos: int, sizes: Sequence[int], seeds: Sequence[int]
) -> Iterator[Sample]:
    """Draw all sets: whole folders, then samples of them, then samples of everything."""
    grouped = {row for groups in folders.values() for rows in groups.values() for row in rows}
    others: Groups = {f"other {row}": [row] for row in range(photos) if row not in grouped}
    everything = {f"{f}/{g}": rows for f, groups in folders.items() for g, rows in groups.items()}
    everything |= others
    for name, groups in {**folders, "all": everything}.items():
        yield Sample(name, "whole", None, 0, groups)
    for seed in seeds:
        for size in sizes:
            for name, groups in {**folders, "all": everything}.items():
                if count(groups) > size:
                    by_group = draw_groups(groups, size, seed)
                    by_photo = draw_photos(groups, size, seed)
                    drawn = {"by group": by_group, "by photo": by_photo}
                    for how, sample in drawn.items():
                        if any(len(members) > 1 for members in sample.values()):
                            yield Sample(name, how, size, seed, sample)
                half = draw_groups(groups, size // 2, seed)
                distractors = draw_groups(others, max(0, size - count(half)), seed)
                enough = distractors and count(half) + count(distractors) >= size
                if name in folders and enough:
                    yield Sample(name, "with others", size, seed, half | distractors)


def count(groups: Groups) -> int:
    return sum(map(len, groups.values()))


def draw_groups(groups: Groups, size: int, seed: int) -> Groups:
    """Draw groups until they have `size` photos."""
    drawn: Groups = {}
    for name in np.random.default_rng([seed, size]).permutation(sorted(groups)):
        if count(drawn) < size:
            drawn[str(name)] = groups[str(name)]
    return drawn


def draw_photos(groups: Groups, size: int, seed: int) -> Groups:
    """Draw `size` photos, regardless of their groups."""
    rows = [row for members in groups.values() for row in members]
    chosen = set(np.random.default_rng([seed, size]).permutation(sorted(rows))[:size].tolist())
    cut = {name: [row for row in members if row in chosen] for name, members in groups.items()}
    return {name: members for name, members in cut.items() if members}


# Measures


def measure(sample: Sample, described: Mapping[str, Described]) -> dict[str, Any]:
    """Measure mAP (percent) and N-S score of both methods on a set.

    `error` is the standard error of the difference of the mAP over the queries.
    """
    rows = [row for members in sample.groups.values() for row in members]
    position = {row: i for i, row in enumerate(rows)}
    groups = {name: [position[row] for row in members] for name, members in sample.groups.items()}
    entry: dict[str, Any] = {"folder": sample.folder, "drawn": sample.drawn}
    entry |= {"size": sample.size, "seed": sample.seed, "photos": len(rows)}
    precisions = []
    for method, photos in described.items():
        report = evaluate_groups(groups, ranked_by(fitted(method, photos, rows)))
        precisions.append(np.array([query.average_precision for query in report.queries]))
        entry[method] = {"mAP": 100 * report.mean_average_precision, "N-S": report.ns_score}
    change = 100 * (precisions[1] - precisions[0])
    return {**entry, "queries": len(change), "error": float(change.std() / len(change) ** 0.5)}


def fitted(method: str, photos: Described, rows: Sequence[int]) -> ComparableDescriptors:
    """Fit a method on a set, and return the set's descriptors as they are compared.

    The photos to adapt to are the first by content, as in an index run.
    """
    spec = METHODS[method]
    part = Descriptors(photos.values[rows], None, {Path(str(row)): i for i, row in enumerate(rows)})
    by_content = {photos.contents[row]: photos.values[row] for row in rows}
    sample = sorted(by_content)[: spec.reduction.sample]
    variations = [(by_content[content], photos.copies[content]) for content in sample]
    return comparable_descriptors(spec, "groups", spec.config, part, None, variations=variations)


def ranked_by(compared: ComparableDescriptors) -> Callable[[int], list[int]]:
    """Return a function from a photo's row to all rows, nearest first."""
    store = compared.photos
    database, distance = store.database, DISTANCES[store.distance]

    def ranked(row: int) -> list[int]:
        local = None if database.local is None else database.local[row]
        query = as_query(Query(database.global_[row], local), store.fitted)
        return ranking(distances_to(query, database, distance), database.ids).tolist()

    return ranked


# Report


def table(result: dict[str, Any]) -> str:
    """Lay out one line per folder, for small and for large sets, and one for all sets."""
    reference, method = result["methods"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in result["sets"]:
        by_kind.setdefault(entry["folder"], []).append(entry)
    lines = []
    for folder, entries in by_kind.items():
        small = [entry for entry in entries if entry["photos"] < LARGE]
        large = [entry for entry in entries if entry["photos"] >= LARGE]
        name = "all folders" if folder == "all" else folder
        lines += [row(name, part, reference, method) for part in (small, large) if part]
    lines.append(row("all sets", result["sets"], reference, method))
    head = ["sets of", "photos", "sets", f"`{reference}`", f"`{method}`", "difference", "lowest"]
    head += ["worse", *(f"by more than {loss}" for loss in LOSSES[1:])]
    return markdown(head, lines, align="---:")


def row(name: str, entries: Sequence[dict[str, Any]], reference: str, method: str) -> list[str]:
    """Return the cells of a line: means of the mAP, and how many sets lose."""
    before, after = (np.array([e[name]["mAP"] for e in entries]) for name in (reference, method))
    change = after - before
    means = [f"{before.mean():.2f}", f"{after.mean():.2f}", f"{change.mean():+.2f}"]
    losses = [str((change < -loss).sum()) for loss in LOSSES]
    return [name, span(entries), str(len(entries)), *means, f"{change.min():+.2f}", *losses]


def span(entries: Sequence[dict[str, Any]]) -> str:
    values = sorted({entry["photos"] for entry in entries})
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


if __name__ == "__main__":
    main()
