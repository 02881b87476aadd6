"""A collection compared with itself: how well it finds known groups, and which groups it holds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.config import RerankConfig, Reranking
from resight.errors import DatasetError
from resight.evaluation.measures import Report, evaluate_groups, read_groups
from resight.photos.files import absolute
from resight.progress import Progress, no_progress
from resight.ranking.groups import Groups, find_groups
from resight.ranking.neighbors import GONE, Query, distances_to, ranking
from resight.ranking.reranking import make_items, reorder
from resight.searching.searcher import Searcher
from resight.storage.collection import Collection


@dataclass(frozen=True)
class Evaluation:
    """How well a collection finds the groups of a `groups.json`.

    Attributes:
        report: mean average precision and N-S score, per query and per group.
        photos: how many photos the rankings are over.
        missing: photos of the ground truth that the collection lacks; they count neither as
            queries nor as positives.
    """

    report: Report
    photos: int
    missing: list[Path]


def evaluate(
    groups: Path,
    collection: Path,
    *,
    rerank: Reranking = "none",
    progress: Progress = no_progress,
) -> Evaluation:
    """Mean average precision and N-S score over a folder's groups (section 9), re-ranked or not.

    Every photo of a group of two or more is a query in turn; the rankings are over the whole
    collection.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
    """
    truth = read_groups(groups)
    with Collection.open(collection) as opened:
        ids = {photo.path: photo.id for photo in opened.photos("ok")}
        missing = [p for photos in truth.values() for p in photos if absolute(p) not in ids]
        known = {
            group: [ids[absolute(path)] for path in photos if absolute(path) in ids]
            for group, photos in truth.items()
        }
        if not any(known.values()):
            raise DatasetError(f"{groups}: none of its photos is in {collection}; index them first")
        searcher = Searcher(opened)
        database = searcher.arrays().database
        rows = {int(id_): row for row, id_ in enumerate(database.ids) if id_ != GONE}
        distance, config = searcher.distance, RerankConfig(method=rerank)
        small = rerank != "none" and len(database.ids) == database.count <= config.shortlist
        whole = make_items(database, distance) if small else None
        total, done = sum(len(photos) for photos in known.values() if len(photos) > 1), 0

        def rank(photo: int) -> list[int]:
            nonlocal done
            row = rows[photo]
            local = None if database.local is None else database.local[row]
            query = Query(database.global_[row], local)
            order = ranking(distances_to(query, database, distance), database.ids)
            order = reorder(query, database, order, distance, config, whole)
            done += 1
            progress("evaluating", done, total)
            return [int(id_) for id_ in database.ids[order]]

        return Evaluation(evaluate_groups(known, rank), database.count, missing)


def groups(
    collection: Path, *, limit: float | None = None, progress: Progress = no_progress
) -> tuple[Groups, dict[int, Path]]:
    """A collection's groups of photos of the same thing, and the paths of their photos by id.

    Args:
        collection: the collection's folder.
        limit: largest distance between photos that are joined; None is estimated.
        progress: called after each photo.
    """
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        database = searcher.arrays().database
        found = find_groups(
            database,
            searcher.distance,
            limit,
            progress=lambda done, total: progress("comparing", done, total),
        )
        ids = np.array([id_ for group in found.groups for id_ in group.ids], np.int64)
        return found, dict(zip(ids.tolist(), opened.paths(ids), strict=True))
