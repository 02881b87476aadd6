"""Evaluation of a collection against ground truth, and its groups of related photos."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends import open_store
from resight.backends.store import Store, as_query
from resight.config import Geometry, RerankConfig, Reranking, SearchConfig, VerifiedBy
from resight.errors import CollectionError, DatasetError
from resight.evaluation.measures import Report, evaluate_groups, read_groups
from resight.methods.model import ModelOptions
from resight.photos import PathLike, absolute
from resight.progress import Progress, no_progress
from resight.ranking.exact import Neighbors, Query
from resight.ranking.groups import (
    Groups,
    NeighborLists,
    estimate_limit,
    group_pairs,
    group_photos,
    neighbor_lists_of,
)
from resight.searching import Searcher, override
from resight.searching.pipeline import make_ranker
from resight.searching.query import QueryPhoto


@dataclass(frozen=True)
class Evaluation:
    """Retrieval quality of a collection for the groups of a `groups.json`.

    Attributes:
        report: mean average precision and N-S score, per query and per group.
        photos: number of ranked photos.
        missing: photos of the ground truth that are not indexed; they count neither as queries
            nor as positives.
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
    rerank: Reranking | RerankConfig | None = None,
    verify: int | None = None,
    verify_by: VerifiedBy | None = None,
    verify_geometry: Geometry | None = None,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Mean average precision and N-S score over a folder's groups (section 9).

    Every photo of a group of two or more is a query in turn; the rankings are over the whole
    collection, re-ranked and verified as a search's are.

    Args:
        groups: a `groups.json`.
        collection: the collection's folder, or its address on a backend.
        config: re-ranking and verification; `k` and `approximate` have no effect.
        rerank: overrides the field of the configuration, like the following; see `search`.
        verify: number of top results to verify spatially.
        verify_by: local features of the verification.
        verify_geometry: geometric model of the verification.
        model: weights and device, needed only to verify by the network's columns.
        progress: called after each query.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
        UsageError: the method has no network whose columns could be compared.
    """
    config = override(
        config, rerank=rerank, verify=verify, verify_by=verify_by, verify_geometry=verify_geometry
    )
    truth = read_groups(Path(groups))
    with open_store(collection) as opened:
        store = opened.snapshot()
        indexed = {photo.path: photo for photo in store.photos("ok")}
        missing = [p for paths in truth.values() for p in paths if absolute(p) not in indexed]
        photos_of = {
            group: [indexed[absolute(path)] for path in paths if absolute(path) in indexed]
            for group, paths in truth.items()
        }
        if not any(photos_of.values()):
            raise DatasetError(f"{groups}: none of its photos is in {store.name}; index them first")
        photo_of = {photo.id: photo for photos in photos_of.values() for photo in photos}
        total = sum(len(photos) for photos in photos_of.values() if len(photos) > 1)
        done = itertools.count(1)
        store.check()
        rank_photo = make_ranker(store, config, Searcher(store, model).columns_map)

        def rank(id_: int) -> np.ndarray:
            (descriptors,) = _queries(store, np.array([id_]))
            photo = photo_of[id_]
            query = QueryPhoto(photo.path, photo.path, content=photo.content)
            ids = rank_photo(descriptors, query).ids
            progress("evaluating", next(done), total)
            return ids

        ids_of = {group: [photo.id for photo in photos] for group, photos in photos_of.items()}
        report = evaluate_groups(ids_of, rank)
        return Evaluation(report, store.count("ok"), missing)


def groups(
    collection: PathLike, *, limit: float | None = None, progress: Progress = no_progress
) -> Groups:
    """Find the groups of photos of the same thing, and near-duplicates.

    Args:
        collection: the collection's folder, or its address on a backend.
        limit: group by descriptors alone, with this largest distance between linked photos; None
            groups by evidence, or up to the estimated limit in a collection without any.
        progress: called after each photo.
    """
    with open_store(collection) as opened:
        store = opened.snapshot()
        lists = store_lists(store, lambda done, total: progress("comparing", done, total))
        found = group_store(store, lists, limit, progress)
        photos = store.photos_by_id([id_ for group in found for id_ in group.ids])
        named = [
            replace(group, paths=tuple(photos[id_].path for id_ in group.ids)) for group in found
        ]
        return replace(found, groups=named)


def group_store(
    store: Store, lists: NeighborLists, limit: float | None, progress: Progress
) -> Groups:
    """Group the photos of a collection; the groups have no paths yet."""
    from resight.evaluation.grouping import (  # imports OpenCV
        EvidenceReader,
        candidate_pairs,
        decide_pairs,
    )

    estimated = estimate_limit(lists)
    reader = EvidenceReader(store, lists.ids)
    if limit is not None or not reader.any():
        applied = estimated if limit is None else limit
        return Groups(applied, estimated, group_photos(lists, applied))
    pairs = candidate_pairs(lists, store.rows(lists.ids[:1]).global_.shape[1])
    probabilities, copies = decide_pairs(reader, pairs, progress)
    return Groups(None, estimated, group_pairs(lists.ids, pairs.rows, probabilities, copies))


def store_lists(store: Store, progress: Callable[[int, int], None]) -> NeighborLists:
    """Find the nearest others of each photo of a collection.

    Raises:
        CollectionError: it is empty, or is changed at the same time.
    """
    store.check()
    ids = store.ids()

    def find(queries: Sequence[Query], k: int) -> list[Neighbors]:
        neighbors = store.nearest(queries, k)
        if not all(len(near.ids) == k and np.isin(near.ids, ids).all() for near in neighbors):
            raise _changed(store)
        return neighbors

    return neighbor_lists_of(ids, lambda part: _queries(store, part), find, progress)


def _queries(store: Store, ids: np.ndarray) -> list[Query]:
    """Return the descriptors of photos as queries."""
    database = store.rows(ids)
    if len(database.ids) < len(ids):
        raise _changed(store)
    locals_ = [None] * len(ids) if database.local is None else list(database.local)
    reduction = store.reduction()
    rows = zip(database.global_, locals_, strict=True)
    return [as_query(Query(*row), reduction) for row in rows]


def _changed(store: Store) -> CollectionError:
    return CollectionError(f"{store.name}: was changed by another process; run again")
