"""The query path: locate descriptors, find nearest photos, re-rank, verify, load results.

The command line, Python, the web page, evaluation and benchmarks all search through `rank_photos`.

    photo --locate_descriptors--> descriptors --nearest--> ids, distances
          --rerank--> ids --verify--> ids, matches --load_page--> results
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resight.backends.store import Filter, Searchable, Store, as_query, reduced_query
from resight.config import RerankConfig, SearchConfig
from resight.descriptors.extractor import Description
from resight.ranking.exact import DISTANCES, Query
from resight.ranking.rerank import reorder
from resight.ranking.rerank.rerank_set import RerankSet, make_rerank_set
from resight.searching.query import QueryPhoto, Result, ResultPage, VerifiedMatch

if TYPE_CHECKING:
    from resight.searching.spatial_verification import ColumnsMap, PhotoMatcher

MAX_COUNTED = 100_000
"""Largest number of photos that are counted within a maximum distance."""


@dataclass(frozen=True)
class Ranking:
    """Photos in the order of a search.

    Attributes:
        ids: int64 (n,), best first.
        distances: float32 (n,); after re-ranking or verification not ascending.
        matches: by id, the outcome of spatial verification where the photo could be read.
        within: number of photos within the maximum distance; None without one.
    """

    ids: np.ndarray
    distances: np.ndarray
    matches: Mapping[int, VerifiedMatch] = field(default_factory=dict)
    within: int | None = None

    def reordered(self, first: np.ndarray, count: int) -> "Ranking":
        """Replace the first `count` places by the places `first`, int (m,)."""
        order = np.concatenate([first, np.arange(min(count, len(self.ids)), len(self.ids))])
        order = order.astype(np.intp)
        return replace(self, ids=self.ids[order], distances=self.distances[order])


def search_store(
    store: Store,
    query: QueryPhoto,
    plan: SearchConfig,
    *,
    describe: Callable[[QueryPhoto], Description],
    columns_map: "ColumnsMap",
    where: Filter | None = None,
) -> ResultPage:
    """Search a collection by a photo, or by a region of it.

    Args:
        store: the collection.
        query: the photo.
        plan: number of results, re-ranking and verification.
        describe: computes the descriptors of a photo that the collection does not hold.
        columns_map: computes the network's map for verification by columns.
        where: restricts the search to some photos.

    Raises:
        UsageError: the query is no image, or the plan does not fit the collection's method.
        CollectionError: the collection is empty, or has no approximate index.
        WeightsError: the query must be described and there are no weights.
    """
    store.check(approximate=plan.approximate)  # before the network is loaded
    descriptors = locate_descriptors(store, query, describe)
    matcher = make_matcher(plan, columns_map)
    ranking = rank_photos(store, descriptors, plan, photo=query, matcher=matcher, where=where)
    return load_page(store, ranking, plan, where)


def locate_descriptors(
    store: Store, query: QueryPhoto, describe: Callable[[QueryPhoto], Description]
) -> Query:
    """Return a photo's descriptors from the collection if it holds the same file, else compute."""
    if query.box is None and query.content is not None:
        stored = store.stored_query(query.content)
        if stored is not None:
            return as_query(stored, store.reduction())
    reduction = store.reduction()
    return as_query(reduced_query(describe(query), reduction), reduction)


def rank_photos(
    store: Searchable,
    descriptors: Query,
    plan: SearchConfig,
    *,
    photo: QueryPhoto | None = None,
    matcher: "PhotoMatcher | None" = None,
    rerank_set: RerankSet | None = None,
    where: Filter | None = None,
) -> Ranking:
    """Rank photos: nearest neighbors, re-ranked and verified according to the plan.

    Args:
        store: what is searched.
        descriptors: of the query, as the store compares them.
        plan: `offset + k` photos are ranked at least, more where re-ranking or verification
            looks at more.
        photo: the query's file or image, for verification.
        matcher: verifies; None skips verification.
        rerank_set: all photos of the store (see `make_ranker`), to re-rank many queries.
        where: restricts the search to some photos.
    """
    ranking = _nearest(store, descriptors, plan, where)
    if plan.rerank.method != "none":
        ranking = _rerank(store, descriptors, ranking, plan.rerank, rerank_set)
    if matcher is not None and photo is not None:
        ranking = _verify(store, photo, ranking, plan.verify, matcher)
    return ranking


def _nearest(
    store: Searchable, descriptors: Query, plan: SearchConfig, where: Filter | None
) -> Ranking:
    """Rank by distance, up to the maximum distance if there is one."""
    count = max(plan.offset + plan.k, plan.verify)
    if plan.rerank.method != "none":
        count = max(count, plan.rerank.shortlist)
    limit = plan.max_distance
    scanned = count if limit is None else min(store.count("ok"), MAX_COUNTED)
    (nearest,) = store.nearest([descriptors], scanned, where, approximate=plan.approximate)
    if limit is None:
        return Ranking(nearest.ids, nearest.distances)
    within = int(np.count_nonzero(nearest.distances <= limit))
    count = min(count, within)
    return Ranking(nearest.ids[:count], nearest.distances[:count], within=within)


def _rerank(
    store: Searchable,
    descriptors: Query,
    ranking: Ranking,
    config: RerankConfig,
    rerank_set: RerankSet | None,
) -> Ranking:
    """Put the short list into a better order."""
    shortlist = ranking.ids[: config.shortlist]
    if rerank_set is None:
        rerank_set = _load_rerank_set(store, shortlist, config)
    places = np.flatnonzero(np.isin(shortlist, rerank_set.ids))  # others were removed just now
    better = places[reorder(descriptors, rerank_set, shortlist[places], config)]
    return ranking.reordered(better, config.shortlist)


def _verify(
    store: Searchable, photo: QueryPhoto, ranking: Ranking, count: int, matcher: "PhotoMatcher"
) -> Ranking:
    """Move photos that agree with the query on one geometry to the front, most inliers first."""
    ids = ranking.ids[:count].tolist()
    photos = store.photos_by_id(ids)
    paths = [photos[id_].path if id_ in photos else None for id_ in ids]
    order, matches = matcher.verify(photo, paths)
    by_id = {id_: match for id_, match in zip(ids, matches, strict=True) if match is not None}
    return replace(ranking.reordered(np.array(order, np.intp), count), matches=by_id)


def load_page(
    store: Store, ranking: Ranking, plan: SearchConfig, where: Filter | None = None
) -> ResultPage:
    """Load the photos at ranks `offset + 1` to `offset + k`."""
    page = slice(plan.offset, plan.offset + plan.k)
    ids = ranking.ids[page].tolist()
    photos = store.photos_by_id(ids)  # omits concurrently removed photos
    present = [
        (photos[id_], float(distance))
        for id_, distance in zip(ids, ranking.distances[page], strict=True)
        if id_ in photos
    ]
    results = [
        Result(rank, photo.path, distance, ranking.matches.get(photo.id))
        for rank, (photo, distance) in enumerate(present, plan.offset + 1)
    ]
    total = ranking.within
    if total is None and where in (None, Filter()):
        total = store.count("ok")
    return ResultPage(results, [photo for photo, _ in present], total)


def make_ranker(
    store: Searchable, config: SearchConfig, columns_map: "ColumnsMap"
) -> Callable[[Query, Path], Ranking]:
    """Return a function from the descriptors and file of a query to a ranking of all photos.

    If the short list holds all photos, they are loaded for re-ranking once for all queries.
    """
    ids = store.ids()
    plan = replace(config, k=len(ids), offset=0, max_distance=None, approximate=False)
    matcher = make_matcher(plan, columns_map)
    rerank_set = None
    if plan.rerank.method != "none" and len(ids) <= plan.rerank.shortlist:
        rerank_set = _load_rerank_set(store, ids, plan.rerank)

    def rank(descriptors: Query, file: Path) -> Ranking:
        photo = QueryPhoto(file, file)
        return rank_photos(
            store, descriptors, plan, photo=photo, matcher=matcher, rerank_set=rerank_set
        )

    return rank


def make_matcher(plan: SearchConfig, columns_map: "ColumnsMap") -> "PhotoMatcher | None":
    """Return what verifies photos as the plan says; None without verification."""
    if not plan.verify:
        return None
    from resight.searching.spatial_verification import PhotoMatcher

    return PhotoMatcher(plan.verify_by, columns_map, plan.verify_geometry)


def _load_rerank_set(store: Searchable, ids: np.ndarray, config: RerankConfig) -> RerankSet:
    database, reduction = store.rows(ids), store.reduction()
    method, distance = store.config, DISTANCES[store.distance]
    part_sizes: list[int] = []
    if config.method == "late-fusion":
        length = database.global_.shape[1]
        part_sizes = reduction.part_sizes(method) if reduction else method.part_sizes(length)
    return make_rerank_set(database, distance, config, part_sizes)
