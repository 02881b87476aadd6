"""A collection compared with itself: how well it finds known groups, and which groups it holds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resight.config import RerankConfig, SearchConfig
from resight.errors import DatasetError, ImageError, UsageError
from resight.evaluation.measures import Report, evaluate_groups, read_groups
from resight.methods import ModelOptions
from resight.photos.files import absolute
from resight.progress import Progress, no_progress
from resight.ranking.groups import Groups, find_groups
from resight.ranking.neighbors import GONE, Query, distances_to, ranking
from resight.ranking.reranking import make_items, reorder
from resight.searching.searcher import Searcher
from resight.storage.collection import Collection

if TYPE_CHECKING:
    from resight.descriptors.sift import LocalFeatures
    from resight.searching.geometry import PhotoMatcher


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
    config: SearchConfig | None = None,
    *,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Mean average precision and N-S score over a folder's groups (section 9).

    Every photo of a group of two or more is a query in turn; the rankings are over the whole
    collection, re-ranked and verified as a search's are.

    Args:
        groups: a `groups.json`.
        collection: the collection's folder.
        config: re-ranking and verification; `k` and `approximate` play no part.
        model: weights and device, needed only to verify by the network's columns.
        progress: called after each query.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
        UsageError: the method has no network whose columns could be compared.
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
        total, done = sum(len(photos) for photos in known.values() if len(photos) > 1), 0
        searcher = Searcher(opened, model)
        rank_one = _ranker(searcher, config or SearchConfig())

        def rank(photo: int) -> list[int]:
            nonlocal done
            order, done = rank_one(photo), done + 1
            progress("evaluating", done, total)
            return order

        report = evaluate_groups(known, rank)
        return Evaluation(report, searcher.arrays().database.count, missing)


def _ranker(searcher: Searcher, config: SearchConfig) -> Callable[[int], list[int]]:
    """From the id of a photo to those of all photos, in the order that a search gives them."""
    database, distance = searcher.arrays().database, searcher.distance
    rows = {int(id_): row for row, id_ in enumerate(database.ids) if id_ != GONE}
    reranking = RerankConfig(method=config.rerank)
    small = len(database.ids) == database.count <= reranking.shortlist
    whole = make_items(database, distance) if config.rerank != "none" and small else None
    matcher = searcher.matcher(config.verify_by) if config.verify else None

    def rank(photo: int) -> list[int]:
        row = rows[photo]
        local = None if database.local is None else database.local[row]
        query = Query(database.global_[row], local)
        order = ranking(distances_to(query, database, distance), database.ids)
        order = reorder(query, database, order, distance, reranking, whole)
        if matcher is not None:
            first = searcher.collection.paths(database.ids[order[: config.verify]])
            (own,) = searcher.collection.paths(np.array([photo]))
            better, _ = matcher.order(_local_features(matcher, own), first)
            order = np.concatenate([order[better], order[len(better) :]])
        return [int(id_) for id_ in database.ids[order]]

    return rank


def _local_features(matcher: "PhotoMatcher", path: Path) -> "LocalFeatures":
    try:
        return matcher.of_file(path)[0]
    except ImageError as error:
        raise UsageError(f"{path}: {error}; the geometry of a photo needs its file") from None


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
