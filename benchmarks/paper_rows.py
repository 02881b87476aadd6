"""The rows of the paper's tables on a folder with ground truth, from one pass over its photos.

    python benchmarks/paper_rows.py PHOTOS/groups.json --weights resnet50.pth

The feature maps of a photo are computed once and pooled in every way, so that all rows together
cost what the last one costs alone. Prints a Markdown table.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from resight.cnn import CnnExtractor
from resight.config import ExtractionConfig, SelectionConfig
from resight.descriptor import describe_maps
from resight.evaluation import Groups, Report, evaluate_groups, read_groups
from resight.images import load_image
from resight.methods import ModelOptions, cnn_model
from resight.neighbors import Database, Query, distances_to, ranking
from resight.progress import progress_on
from resight.selection import fit_selection

PAPER = ExtractionConfig(cam=True)
SEEDS = (0, 1, 2)
LAYER4 = slice(0, 2048)
LAYER3 = slice(2048, 3072)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", type=Path, help="groups.json beside its photos")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--features", type=int, default=SelectionConfig.features)
    arguments = parser.parse_args()
    groups = read_groups(arguments.groups)
    with progress_on(Console(stderr=True)) as progress:
        rows = describe_all(groups, arguments.weights, progress)
    ids = {path: number for number, path in enumerate(all_photos(groups))}
    known = {group: [ids[path] for path in photos] for group, photos in groups.items()}
    print("| row | D | mAP | N-S |\n|---|---|---|---|")
    for name, global_, local in named_rows(rows, arguments.features):
        report = evaluate(known, global_, local)
        score = "" if report.ns_score is None else f"{report.ns_score:.3f}"
        print(
            f"| {name} | {global_.shape[1]} | {100 * report.mean_average_precision:.2f} | {score} |"
        )


def describe_all(
    groups: Groups, weights: Path | None, progress: Callable[[str, int, int], None]
) -> dict[str, np.ndarray]:
    """Descriptors (N, D) of every photo: `baseline`, `late`, `early` and `local`."""
    model = cnn_model(PAPER, ModelOptions(weights))
    assert model.path is not None
    extractor = CnnExtractor(PAPER, model.path)
    late = dataclasses.replace(PAPER, fusion="late", layers=("layer4",), cam=False)
    found: dict[str, list[np.ndarray]] = {"baseline": [], "late": [], "early": [], "local": []}
    photos = all_photos(groups)
    for done, photo in enumerate(photos, 1):
        maps = extractor.feature_maps(extractor.prepare(load_image(photo)))
        both = describe_maps(maps, PAPER, extractor.classifier)
        assert both.local is not None
        found["baseline"].append(describe_maps(maps[1:2], late).global_)
        found["late"].append(describe_maps(maps, late).global_)
        found["early"].append(both.global_)
        found["local"].append(both.local)
        progress("describing", done, len(photos))
    return {name: np.stack(rows) for name, rows in found.items()}


def named_rows(
    rows: dict[str, np.ndarray], features: int
) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """The rows of the paper's Table 1: name, global and local descriptors."""
    early, local = rows["early"], rows["local"]
    table: list[tuple[str, np.ndarray, np.ndarray | None]] = [
        ("baseline (800)", rows["baseline"], None),
        ("M-R (late fusion)", rows["late"], None),
        ("M-R l_j", early[:, LAYER4], None),
        ("M-R l_j-1", early[:, LAYER3], None),
        ("M-R l_j&j-1", early, None),
    ]
    for seed in SEEDS:
        kept = fit_selection([early], SelectionConfig(features=features, seed=seed))
        table.append((f"M-R l_j&j-1 + FS, seed {seed}", kept.apply(early), None))
        table.append((f"M-R l_j&j-1 + FS + CAM, seed {seed}", kept.apply(early), kept.apply(local)))
    return table


def evaluate(groups: dict[str, list[int]], global_: np.ndarray, local: np.ndarray | None) -> Report:
    """mAP and N-S score by Manhattan distance."""
    database = Database(np.arange(len(global_)), global_, local)

    def rank(photo: int) -> list[int]:
        query = Query(global_[photo], None if local is None else local[photo])
        order = ranking(distances_to(query, database), database.ids)
        return [int(id_) for id_ in database.ids[order]]

    return evaluate_groups(groups, rank)


def all_photos(groups: Groups) -> list[Path]:
    """Every photo of the ground truth, in its order."""
    return [photo for photos in groups.values() for photo in photos]


if __name__ == "__main__":
    main()
