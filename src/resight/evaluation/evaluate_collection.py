"""A collection compared with itself: how well it finds known groups, and which groups it holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resight.backends.open import open_store
from resight.backends.store import Store
from resight.config import SearchConfig
from resight.errors import CollectionError, DatasetError, ImageError, UsageError
from resight.evaluation.measures import Report, evaluate_groups, read_groups
from resight.methods.model import ModelOptions
from resight.photos.paths import PathLike, absolute
from resight.progress import Progress, no_progress
from resight.ranking.exact import Neighbors, Query
from resight.ranking.groups import (
    Groups,
    NeighborLists,
    estimate_limit,
    group_photos,
    neighbor_lists_of,
)
from resight.ranking.rerank.methods import make_rerank_set, reorder
from resight.searching.searcher import Searcher

if TYPE_CHECKING:
    from resight.descriptors.local_features.rootsift import LocalFeatures
    from resight.searching.spatial_verification import PhotoMatcher


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

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values; mAP in percent."""
        report = self.report
        return {
            "mAP": 100 * report.mean_average_precision,
            "ns_score": report.ns_score,
            "queries": len(report.queries),
            "photos": self.photos,
            "missing": [str(path) for path in self.missing],
            "groups": {group: 100 * value for group, value in report.by_group().items()},
        }


def evaluate(
    groups: PathLike,
    collection: PathLike,
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
        collection: the collection's folder, or its address on a backend.
        config: re-ranking and verification; `k` and `approximate` play no part.
        model: weights and device, needed only to verify by the network's columns.
        progress: called after each query.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
        UsageError: the method has no network whose columns could be compared.
    """
    truth = read_groups(Path(groups))
    with open_store(collection) as opened:
        store = opened.snapshot()
        ids = {photo.path: photo.id for photo in store.photos("ok")}
        missing = [p for photos in truth.values() for p in photos if absolute(p) not in ids]
        known = {
            group: [ids[absolute(path)] for path in photos if absolute(path) in ids]
            for group, photos in truth.items()
        }
        if not any(known.values()):
            raise DatasetError(f"{groups}: none of its photos is in {store.name}; index them first")
        total, done = sum(len(photos) for photos in known.values() if len(photos) > 1), 0
        rank = _ranking(Searcher(store, model), config or SearchConfig())

        def report(photo: int) -> list[int]:
            nonlocal done
            ranked, done = rank(photo), done + 1
            progress("evaluating", done, total)
            return ranked

        return Evaluation(evaluate_groups(known, report), store.count("ok"), missing)


def groups(
    collection: PathLike, *, limit: float | None = None, progress: Progress = no_progress
) -> tuple[Groups, dict[int, Path]]:
    """A collection's groups of photos of the same thing, and the paths of their photos by id.

    Args:
        collection: the collection's folder, or its address on a backend.
        limit: largest distance between photos that are joined; None is estimated.
        progress: called after each photo.
    """
    with open_store(collection) as opened:
        store = opened.snapshot()
        lists = store_lists(store, lambda done, total: progress("comparing", done, total))
        estimated = estimate_limit(lists)
        used = estimated if limit is None else limit
        found = Groups(used, estimated, group_photos(lists, used))
        ids = [id_ for group in found.groups for id_ in group.ids]
        return found, {id_: photo.path for id_, photo in store.photos_by_id(ids).items()}


def store_lists(store: Store, progress: Callable[[int, int], None]) -> NeighborLists:
    """The nearest others of each photo of a collection.

    Raises:
        CollectionError: it is empty, or changed meanwhile.
    """
    store.check()
    ids = store.ids()

    def find(queries: Sequence[Query], k: int) -> list[Neighbors]:
        found = store.nearest(queries, k)
        if not all(len(near.ids) == k and np.isin(near.ids, ids).all() for near in found):
            raise _changed(store)
        return found

    return neighbor_lists_of(ids, lambda part: _queries(store, part), find, progress)


def _ranking(searcher: Searcher, config: SearchConfig) -> Callable[[int], list[int]]:
    """From the id of a photo to those of all photos, in the order that a search gives them."""
    store, distance = searcher.store, searcher.distance
    store.check()
    ids, reranking = store.ids(), config.rerank
    # A collection that is no larger than the short list is made into items once.
    small = reranking.method != "none" and len(ids) <= reranking.shortlist
    database = store.rows(ids) if small else None
    sizes: list[int] = []
    if reranking.method != "none":
        sizes = searcher.fused_sizes(reranking, len(_queries(store, ids[:1])[0].global_))
    whole = make_rerank_set(database, distance, sizes) if database else None
    how = config.verify_by, config.verify_geometry
    matcher = searcher.matcher(*how) if config.verify else None

    def rank(photo: int) -> list[int]:
        query = _queries(store, np.array([photo]))[0]
        ranked = store.nearest([query], len(ids))[0].ids
        if database is not None:
            order = np.searchsorted(database.ids, ranked)
            ranked = database.ids[
                reorder(query, database, order, distance, reranking, whole, sizes)
            ]
        elif reranking.method != "none":
            first = store.rows(ranked[: reranking.shortlist])
            order = np.arange(len(first.ids))
            order = reorder(query, first, order, distance, reranking, sizes=sizes)
            ranked = np.concatenate([first.ids[order], ranked[reranking.shortlist :]])
        if matcher is not None:
            ranked = _verified(store, matcher, photo, ranked, config.verify)
        return [int(id_) for id_ in ranked]

    return rank


def _verified(
    store: Store, matcher: "PhotoMatcher", photo: int, ranked: np.ndarray, count: int
) -> np.ndarray:
    """A ranking with its first photos in the order that their geometry gives."""
    first = ranked[:count].tolist()
    photos = store.photos_by_id([photo, *first])
    if not photos.keys() >= {photo, *first}:
        raise _changed(store)
    features = _local_features(matcher, photos[photo].path)
    better, _ = matcher.order(features, [photos[id_].path for id_ in first])
    return np.concatenate([ranked[better], ranked[len(better) :]])


def _local_features(matcher: "PhotoMatcher", path: Path) -> "LocalFeatures":
    try:
        return matcher.of_file(path)[0]
    except ImageError as error:
        raise UsageError(f"{path}: {error}; the geometry of a photo needs its file") from None


def _queries(store: Store, ids: np.ndarray) -> list[Query]:
    """The descriptors of photos as queries."""
    database = store.rows(ids)
    if len(database.ids) < len(ids):
        raise _changed(store)
    locals_ = [None] * len(ids) if database.local is None else list(database.local)
    return [Query(*sides) for sides in zip(database.global_, locals_, strict=True)]


def _changed(store: Store) -> CollectionError:
    return CollectionError(f"{store.name}: was changed meanwhile; run again")
