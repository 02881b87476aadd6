"""Evaluation of a collection against ground truth, and its groups of related photos."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends import open_store
from resight.backends.store import Store, as_query
from resight.collection import Photo
from resight.config import Geometry, RerankConfig, Reranking, SearchConfig, VerifiedBy
from resight.errors import CollectionError, DatasetError, UsageError
from resight.evaluation.best import with_best
from resight.evaluation.decisions import (
    Decisions,
    QueryDecisions,
    judge_decisions,
    measure_decisions,
    measure_groups,
)
from resight.evaluation.evidence_reader import EvidenceReader
from resight.evaluation.measures import (
    Judgement,
    Report,
    TiedRanking,
    evaluate_groups,
    read_groups,
)
from resight.methods.model import ModelOptions
from resight.photos import PathLike, absolute, path_text
from resight.progress import Progress, no_progress
from resight.ranking.exact import Neighbors, Query
from resight.ranking.groups import (
    Groups,
    NeighborLists,
    estimate_limit,
    group_pairs,
    group_photos,
    neighbor_lists_of,
    with_copies,
)
from resight.searching import Searcher, override
from resight.searching.pipeline import make_ranker
from resight.searching.query import QueryPhoto

MAX_UNMATCHED = 1000
"""Photos without a match that are queries, spread over the collection."""


@dataclass(frozen=True)
class Evaluation:
    """Retrieval quality of a collection for the groups of a `groups.json`.

    Attributes:
        report: mean average precision and N-S score, per query and per group.
        photos: number of ranked photos.
        missing: photos of the ground truth that are not indexed; they count neither as queries
            nor as positives.
        decisions: how good the verdicts and the groups are; None if photos were only ranked.
        incomplete_fours: number of groups of four that lack photos; they do not count for the N-S
            score.
    """

    report: Report
    photos: int
    missing: list[Path]
    decisions: Decisions | None = None
    incomplete_fours: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values; mAP in percent, those of decisions in 0..1."""
        report = self.report
        return {
            "mAP": 100 * report.mean_average_precision,
            "ns_score": report.ns_score,
            "incomplete_fours": self.incomplete_fours,
            "queries": len(report.queries),
            "photos": self.photos,
            "missing": [str(path) for path in self.missing],
            "groups": {group: 100 * value for group, value in report.by_group().items()},
            "decisions": None if self.decisions is None else self.decisions.to_dict(),
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
    decide: bool | None = None,
    strict: bool = False,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure rankings and decisions by a folder's groups (section 9).

    Every photo of a group of two or more is a query in turn; the rankings are over the whole
    collection, re-ranked and verified as a search's are. The decisions are also measured on photos
    without a match: those of groups of one, and of no group, up to `MAX_UNMATCHED`.

    Args:
        groups: a `groups.json`.
        collection: the collection's folder, or its address on a backend.
        config: re-ranking and verification; `k` and `approximate` have no effect.
        rerank: overrides the field of the configuration, like the following; see `search`.
        verify: number of top results to verify spatially.
        verify_by: local features of the verification.
        verify_geometry: geometric model of the verification.
        decide: decide which results show the same thing, and measure that; False only ranks.
        strict: refuse ground truth with photos that are not in the collection.
        model: weights and device, needed only to verify by the network's columns.
        progress: called after each query.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
        UsageError: the method has no network whose columns could be compared.
    """
    config = override(
        config,
        rerank=rerank,
        verify=verify,
        verify_by=verify_by,
        verify_geometry=verify_geometry,
        decide=decide,
    )
    truth = read_groups(Path(groups))
    with open_store(collection) as opened:
        store = opened.snapshot()
        indexed = {photo.path: photo for photo in store.photos("ok")}
        missing = [p for paths in truth.values() for p in paths if absolute(p) not in indexed]
        ids_of = {
            group: [indexed[absolute(path)].id for path in paths if absolute(path) in indexed]
            for group, paths in truth.items()
        }
        if not any(ids_of.values()):
            raise DatasetError(f"{groups}: none of its photos is in {store.name}; index them first")
        if strict and missing:
            raise DatasetError(
                f"{groups}: {len(missing)} of its photos are not in {store.name}, such as "
                f"{path_text(missing[0])}"
            )
        store.check()
        photos = {photo.id: photo for photo in indexed.values()}
        queries = _JudgedRankings(store, config, Searcher(store, model), photos, ids_of, progress)
        incomplete = {group for group, ids in ids_of.items() if len(ids) < len(truth[group])}
        report = evaluate_groups(ids_of, queries.rank, incomplete)
        decisions = queries.measure_decisions() if config.decide else None
        fours = sum(len(paths) == 4 for paths in truth.values())
        return Evaluation(report, store.count("ok"), missing, decisions, fours - report.ns_groups)


class _JudgedRankings:
    """Ranks photos of a collection as queries, and compares the decisions with the groups."""

    def __init__(
        self,
        store: Store,
        config: SearchConfig,
        searcher: Searcher,
        photos: Mapping[int, Photo],
        groups: Mapping[str, Sequence[int]],
        progress: Progress,
    ) -> None:
        """Prepare to rank the `photos`, by id; the ids of `groups` are the ground truth."""
        self._store, self._photos, self._groups = store, photos, groups
        self._rank = make_ranker(store, config, searcher.columns_map)
        self._progress = progress
        self._members = {id_: frozenset(ids) for ids in groups.values() for id_ in ids}
        unmatched = [id_ for id_ in photos if len(self._members.get(id_, ())) < 2]
        self._matched = len(photos) - len(unmatched)
        count = min(len(unmatched), MAX_UNMATCHED) if config.decide else 0
        self._unmatched = [unmatched[i * len(unmatched) // count] for i in range(count)]
        self._judged: list[QueryDecisions] = []
        self._evidence = False

    def rank(self, id_: int) -> TiedRanking:
        """Return the ids of all photos as a search with one of them ranks them.

        Photos at equal distances that were decided alike are tied.
        """
        (descriptors,) = _queries(self._store, np.array([id_]))
        photo = self._photos[id_]
        ranking = self._rank(descriptors, QueryPhoto(photo.path, photo.path, content=photo.content))
        probabilities = {key: decided.probability for key, decided in ranking.decided.items()}
        members = self._members.get(id_, frozenset())
        self._judged.append(judge_decisions(probabilities, Judgement(members, frozenset([id_]))))
        self._evidence |= any(decided.match is not None for decided in ranking.decided.values())
        total = self._matched + len(self._unmatched)
        self._progress("evaluating", len(self._judged), total)
        likely = np.array([probabilities.get(key, -1.0) for key in ranking.ids.tolist()])
        same = (np.diff(ranking.distances) == 0) & (np.diff(likely) == 0)
        return TiedRanking(ranking.ids, np.cumsum(np.concatenate([[0], ~same]))[: len(ranking.ids)])

    def measure_decisions(self) -> Decisions:
        """Measure the decisions on all photos that were ranked, those without a match, and groups.

        Call it after the others were ranked.
        """
        for id_ in self._unmatched:
            self.rank(id_)
        lists = store_lists(self._store, lambda *count: self._progress("comparing", *count))
        found = group_store(self._store, lists, None, self._progress)
        pairs = measure_groups([group.ids for group in found], self._groups.values())
        return measure_decisions(self._judged, evidence=self._evidence, groups=pairs)


def groups(
    collection: PathLike,
    *,
    limit: float | None = None,
    gap: float | None = None,
    progress: Progress = no_progress,
) -> Groups:
    """Find the groups of photos of the same thing, and near-duplicates; hints are obeyed.

    Args:
        collection: the collection's folder, or its address on a backend.
        limit: group by descriptors alone, with this largest distance between linked photos; None
            groups by evidence, or up to the estimated limit in a collection without any.
        gap: seconds within which two photos were taken (EXIF) that are joined although they are
            only probably the same, as frames of a burst are; None ignores the time.
        progress: called after each photo.

    Raises:
        UsageError: `gap` is not positive, `limit` is negative, or there is no evidence to find
            probable pairs by.
    """
    check_limit(limit)
    check_gap(gap, limit)
    with open_store(collection) as opened:
        store = opened.snapshot()
        lists = store_lists(store, lambda done, total: progress("comparing", done, total))
        found = group_store(store, lists, limit, progress, gap=gap)
        photos = store.photos_by_id([id_ for group in found for id_ in group.ids])
        named = [
            replace(group, paths=tuple(photos[id_].path for id_ in group.ids)) for group in found
        ]
        return replace(found, groups=named)


def check_limit(limit: float | None) -> None:
    """Refuse a limit that is no distance."""
    if limit is not None and not limit >= 0:  # not a number is refused, too
        raise UsageError(f"expected a distance, 0 or more, not {limit}", parameter="limit")


def check_gap(gap: float | None, limit: float | None) -> None:
    """Refuse a gap that is no time, or that is not used."""
    if gap is None:
        return
    if not 0 < gap < np.inf:
        raise UsageError(f"expected seconds, more than 0, not {gap}", parameter="gap")
    if limit is not None:
        raise UsageError("only by evidence, not with a limit", parameter="gap")


def group_store(
    store: Store,
    lists: NeighborLists,
    limit: float | None,
    progress: Progress,
    *,
    gap: float | None = None,
) -> Groups:
    """Group the photos of a collection; the groups have no paths yet."""
    from resight.evaluation.grouping import candidate_pairs, constraints_of, link_pairs
    from resight.evaluation.pair_decisions import decide_pairs  # imports OpenCV

    estimated, hints = estimate_limit(lists), store.hints()
    reader = EvidenceReader(store, lists.ids)
    constraints = constraints_of(hints, reader.contents)
    if limit is not None or not reader.any():
        if gap is not None:
            raise UsageError(
                "the collection keeps no evidence; index it with evidence", parameter="gap"
            )
        applied = estimated if limit is None else limit
        found = group_photos(lists, applied, constraints=constraints)
        found = with_copies(found, lists.copies)
        return Groups(applied, estimated, with_best(found, store, reader, hints))
    pairs = candidate_pairs(lists, store.rows(lists.ids[:1]).global_.shape[1])
    probabilities, copies = decide_pairs(reader, pairs, progress)
    linked = link_pairs(reader, pairs, probabilities, gap)
    found = group_pairs(
        lists.ids, pairs.rows, probabilities, copies, linked=linked, constraints=constraints
    )
    found = with_copies(found, lists.copies)
    return Groups(None, estimated, with_best(found, store, reader, hints))


def store_lists(store: Store, progress: Callable[[int, int], None]) -> NeighborLists:
    """Find the nearest others of each photo of a collection; each content counts once.

    Raises:
        CollectionError: it is empty, or is changed at the same time.
    """
    store.check()
    all_ids = store.ids()
    copies = _copies_of(store, all_ids)
    ids = np.setdiff1d(all_ids, [id_ for others in copies.values() for id_ in others])

    def find(queries: Sequence[Query], k: int) -> list[Neighbors]:
        wanted = k
        while True:
            neighbors = store.nearest(queries, wanted)
            if not all(
                len(near.ids) == wanted and np.isin(near.ids, all_ids).all() for near in neighbors
            ):
                raise _changed(store)
            distinct = [near.among(ids, k) for near in neighbors]
            if all(len(near.ids) == k for near in distinct):
                return distinct
            wanted = min(2 * wanted, len(all_ids))  # copies were in the way

    lists = neighbor_lists_of(ids, lambda part: _queries(store, part), find, progress)
    return replace(lists, copies=copies)


def _copies_of(store: Store, ids: np.ndarray) -> dict[int, tuple[int, ...]]:
    """Return the photos of identical content by the first of them."""
    by_content: dict[str, list[int]] = {}
    for id_, photo in sorted(store.photos_by_id(ids.tolist()).items()):
        by_content.setdefault(str(photo.content), []).append(id_)
    return {first: tuple(others) for first, *others in by_content.values() if others}


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
