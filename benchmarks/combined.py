"""Comparison of `combined` with `paper` on many collections, small and large: samples of photos.

    resight index PHOTOS... -c described --config mr-lj-lj1
    python benchmarks/combined.py FOLDER/groups.json ... -c described -o docs/combined.json

Photos of the collection that belong to no group are distractors. Sets are drawn by whole groups,
with and without distractors, and by photos, from each folder and from all; both methods are fitted
on each set, as `resight benchmark run` does. Descriptors are read from the collections, so this
takes minutes. Writes OUT.json and prints a Markdown table.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness import machine, make_parser, save
from resight.collection import Collection
from resight.config import ExtractionConfig, SelectionConfig, WhiteningConfig
from resight.evaluation.benchmark.extraction import Descriptors, columns_of
from resight.evaluation.benchmark.ranking import ComparableDescriptors, comparable_descriptors
from resight.evaluation.measures import evaluate_groups, read_groups
from resight.methods import METHODS
from resight.ranking.exact import DISTANCES, Query, distances_to, ranking

METHODS = {name: METHODS[name] for name in ("paper", "combined")}
OTHER_SEEDS = {
    f"paper, seed {seed}": replace(METHODS["paper"], reduction=SelectionConfig(seed=seed))
    for seed in (1, 2)
}
"""Other seeds of the k-means in the paper's selection show how much of a difference is chance."""
BOTH = METHODS["combined"].config
SIZES = (30, 120, 240, 400, 430, 460, 490)
"""Sizes of the sets."""
assert isinstance(METHODS["combined"].reduction, WhiteningConfig)
MIN_PHOTOS = METHODS["combined"].reduction.min_photos
"""On fewer photos the two methods are the same."""
SEEDS = range(90, 92)
"""Seeds of the draws; different from those on which the rule of `combined` was chosen."""

EQUAL = 1e-9
"""Difference of two mAPs, in percent, that rounding can cause."""

Groups = dict[str, list[int]]
"""Name of a group to rows of the descriptors; a group of one is a distractor."""


@dataclass(frozen=True)
class Sample:
    """A set of photos: its kind, requested size, and the seed of the draw."""

    kind: str
    size: int | None
    seed: int
    groups: Groups


def main() -> None:
    parser = make_parser(__doc__, output="combined.json")
    parser.add_argument("groups", type=Path, nargs="+")
    parser.add_argument("-c", "--collection", type=Path, action="append", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    options = parser.parse_args()
    paths, descriptors = read_descriptors(options.collection)
    row_of = {path: row for row, path in enumerate(paths)}
    folders = {
        file.parent.name: {
            name: [row_of[path] for path in members] for name, members in read_groups(file).items()
        }
        for file in options.groups
    }
    measured = []
    drawn = samples(folders, len(paths), options.seeds)
    with ProcessPoolExecutor() as pool:  # each fits on one thread
        for entry in pool.map(partial(measure, descriptors=descriptors), drawn):
            measured.append(entry)
            print(json.dumps(entry), flush=True)
    result = {"machine": machine(), "sets": measured}
    save(result, options.output)
    print(table(result))


def read_descriptors(collections: Sequence[Path]) -> tuple[list[Path], np.ndarray]:
    """Return photos and their descriptors of both stages, (N, 3072)."""
    paths, rows = [], []
    for folder in collections:
        with Collection.open(folder) as collection:
            config = collection.config
            assert isinstance(config, ExtractionConfig)
            assert isinstance(BOTH, ExtractionConfig)
            keep = columns_of(BOTH, config)
            path_of = {photo.id: photo.path for photo in collection.photos("ok")}
            for id_, global_, _ in collection.photo_descriptors():
                paths.append(path_of[id_])
                rows.append(global_[keep])
    return paths, np.stack(rows)


def samples(folders: dict[str, Groups], photos: int, seeds: Sequence[int]) -> Iterator[Sample]:
    """Draw all sets: whole folders, then samples of them, then samples of everything."""
    grouped = {row for groups in folders.values() for rows in groups.values() for row in rows}
    others: Groups = {f"other {row}": [row] for row in range(photos) if row not in grouped}
    everything = {f"{f}/{g}": rows for f, groups in folders.items() for g, rows in groups.items()}
    everything |= others
    for name, groups in {**folders, "all": everything}.items():
        yield Sample(name, None, 0, groups)
    for seed in seeds:
        for size in SIZES:
            for name, groups in {**folders, "all": everything}.items():
                if count(groups) > size:
                    by_group = draw_groups(groups, size, seed)
                    by_photo = draw_photos(groups, size, seed)
                    yield Sample(f"{name}, by group", size, seed, by_group)
                    yield Sample(f"{name}, by photo", size, seed, by_photo)
                half = draw_groups(groups, size // 2, seed)
                distractors = draw_groups(others, size - count(half), seed)
                if name in folders and count(half) + count(distractors) >= size:
                    yield Sample(f"{name}, others", size, seed, half | distractors)


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


def measure(sample: Sample, descriptors: np.ndarray) -> dict[str, Any]:
    """Measure mAP (percent) and N-S score of both methods and the paper's other seeds on a set.

    `error` is the standard error of the difference of the mAP over the queries.
    """
    rows = [row for members in sample.groups.values() for row in members]
    position = {row: i for i, row in enumerate(rows)}
    groups = {name: [position[row] for row in members] for name, members in sample.groups.items()}
    part = Descriptors(descriptors[rows], None, {Path(str(row)): position[row] for row in rows})
    result: dict[str, Any] = {"kind": sample.kind, "size": sample.size, "seed": sample.seed}
    result["photos"] = len(rows)
    precisions = []
    for method, spec in {**METHODS, **OTHER_SEEDS}.items():
        assert isinstance(BOTH, ExtractionConfig)
        ranked = ranked_by(comparable_descriptors(spec, "groups", BOTH, part, None))
        report = evaluate_groups(groups, ranked)
        precisions.append(np.array([query.average_precision for query in report.queries]))
        result[method] = {"mAP": 100 * report.mean_average_precision, "N-S": report.ns_score}
    change = 100 * (precisions[1] - precisions[0])
    return {**result, "queries": len(change), "error": float(change.std() / len(change) ** 0.5)}


def ranked_by(compared: ComparableDescriptors) -> Callable[[int], list[int]]:
    """Return a function from a photo's row to all rows, nearest first."""
    database, distance = compared.database, DISTANCES[compared.distance]

    def ranked(row: int) -> list[int]:
        local = None if database.local is None else database.local[row]
        query = Query(database.global_[row], local)
        return ranking(distances_to(query, database, distance), database.ids).tolist()

    return ranked


def table(result: dict[str, Any]) -> str:
    """Lay out one line per kind of set: means over sizes and draws, and the worst single set."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in result["sets"]:
        small = entry["size"] is not None and entry["photos"] < MIN_PHOTOS
        kind = f"all kinds, fewer than {MIN_PHOTOS} photos" if small else entry["kind"]
        by_kind.setdefault(kind, []).append(entry)
    lines = [
        "| what | photos | queries | sets | `paper` | `combined` | difference "
        "| below | worst | below all seeds | N-S |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, entries in by_kind.items():
        paper, combined = (np.array([e[method]["mAP"] for e in entries]) for method in METHODS)
        scores = [(e["combined"]["N-S"], e["paper"]["N-S"]) for e in entries]
        gains = [ours - paper for ours, paper in scores if ours is not None]
        seeds = [[entry[name]["mAP"] for name in ("paper", *OTHER_SEEDS)] for entry in entries]
        change, least = combined - paper, np.min(seeds, axis=1)
        lines.append(
            f"| {kind} | {span(entries, 'photos')} | {span(entries, 'queries')} | {len(entries)} "
            f"| {paper.mean():.2f} | {combined.mean():.2f} "
            f"| {change.mean():+.2f} | {(change < -EQUAL).sum()} | {change.min():+.2f} "
            f"| {(combined < least - EQUAL).sum()} "
            f"| {f'{np.mean(gains):+.3f}' if gains else ''} |"
        )
    return "\n".join(lines)


def span(entries: Sequence[dict[str, Any]], field: str) -> str:
    values = sorted({entry[field] for entry in entries})
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


if __name__ == "__main__":
    main()
