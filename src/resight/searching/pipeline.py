"""The query path: locate descriptors, find nearest photos, re-rank, verify, decide, load results.

The command line, Python, the web page, evaluation and benchmarks all search through `rank_photos`.

    photo --locate_descriptors--> descriptors --nearest--> ids, distances
          --rerank--> ids --verify--> ids, matches --decide--> ids, probabilities
          --expand (from a sure result)--> ids
          --fuse (several photos of one thing)--> ids --load_page--> results
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from resight.backends.store import Filter, Searchable, Store, as_query, reduced_query
from resight.collection.hints import Hints
from resight.config import RerankConfig, SearchConfig
from resight.descriptors.columns import Columns
from resight.descriptors.extractor import Description
from resight.errors import UsageError
from resight.evidence.probability import by_descriptor
from resight.ranking.exact import DISTANCES, Query
from resight.ranking.rerank import reorder
from resight.ranking.rerank.rerank_set import RerankSet, make_rerank_set
from resight.ranking.strangers import nearness
from resight.searching.expansion import expand
from resight.searching.fusion import fuse, fuse_turned
from resight.searching.hinted import with_hinted
from resight.searching.nearest import Ranking, rank_by_distance
from resight.searching.query import QueryPhoto, Result, ResultPage

if TYPE_CHECKING:
    from resight.searching.deciding import Decider
    from resight.searching.spatial_verification import ColumnsMap, PhotoMatcher


def search_store(
    store: Store,
    photos: Sequence[QueryPhoto],
    plan: SearchConfig,
    *,
    describe: Callable[[QueryPhoto], Description],
    columns_map: "ColumnsMap",
    where: Filter | None = None,
) -> ResultPage:
    """Search a collection by a photo, a region of it, or several views of one thing.

    Args:
        store: the collection.
        photos: the photo, or the views.
        plan: number of results, re-ranking and verification.
        describe: computes the descriptors of a photo that the collection does not hold.
        columns_map: computes the network's map for verification by columns.
        where: restricts the search to some photos.

    Raises:
        UsageError: a query is no image, the plan does not fit the collection's method, or the
            collection has no photos in the folder that `where` names.
        CollectionError: the collection is empty, or has no approximate index.
        WeightsError: a query must be described and there are no weights.
    """
    store.check(approximate=plan.approximate)  # before the network is loaded
    described = Described(describe)
    matcher = make_matcher(plan, columns_map)
    decider = make_decider(plan, store, described.columns)

    def rank(photo: QueryPhoto) -> Ranking:
        descriptors = locate_descriptors(store, photo, described)
        return rank_photos(
            store, descriptors, plan, photo=photo, matcher=matcher, decider=decider, where=where
        )

    by_rank, rankings = _reordered(plan), []
    for photo in photos:
        turned = photo.turned_views(mirrored=plan.mirrored, rotated=plan.rotated)
        views = [rank(view) for view in (photo, *turned)]
        rankings.append(fuse_turned(views, turned, by_rank=by_rank))
    ranking = _cut(fuse(rankings, by_rank=by_rank), plan.min_probability)
    if not len(ranking.ids):
        _check_folder(store, where)
    return load_page(store, ranking, plan, where)


def _check_folder(store: Store, where: Filter | None) -> None:
    """Refuse a search in a folder that has no photos of the collection."""
    if where is not None and where.under is not None and not store.photos_under(where.under):
        raise UsageError("the collection has no photos in this folder", parameter="under")


class Described:
    """Computes the descriptors of photos, and remembers their columns for decisions."""

    def __init__(self, describe: Callable[[QueryPhoto], Description]) -> None:
        self._describe = describe
        self._known: list[tuple[QueryPhoto, Columns | None]] = []

    def __call__(self, photo: QueryPhoto) -> Description:
        """Compute the descriptors of a photo."""
        description = self._describe(photo)
        self._known.append((photo, description.columns))
        return description

    def columns(self, photo: QueryPhoto) -> Columns | None:
        """Return the columns of a photo that was described; None of others."""
        return next((columns for known, columns in self._known if known is photo), None)


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
    decider: "Decider | None" = None,
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
        decider: decides; None skips decisions.
        rerank_set: all photos of the store (see `make_ranker`), to re-rank many queries.
        where: restricts the search to some photos.
    """
    ranking = rank_by_distance(store, descriptors, plan, where)
    if plan.rerank.method != "none":
        ranking = _rerank(store, descriptors, ranking, plan.rerank, rerank_set)
    if matcher is not None and photo is not None:
        ranking = _verify(store, photo, ranking, plan.verify, matcher)
    if decider is not None and photo is not None:
        hints = store.hints()
        if where in (None, Filter()) and plan.max_distance is None:
            ranking = with_hinted(store, hints, photo, descriptors, ranking, fold=plan.fold)
        ranking = _decide(photo, ranking, plan, decider, hints)
        if not _reordered(plan):
            ranking = expand(store, descriptors, ranking)
    return ranking


def _rerank(
    store: Searchable,
    descriptors: Query,
    ranking: Ranking,
    config: RerankConfig,
    rerank_set: RerankSet | None,
) -> Ranking:
    """Put the short list into a better order."""
    shortlist = ranking.ids[: config.shortlist]
    if not len(shortlist):  # no photo passes the filter
        return ranking
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
    unread = frozenset(id_ for id_ in ids if id_ in photos and id_ not in by_id)
    ordered = ranking.reordered(np.array(order, np.intp), count)
    return replace(ordered, matches=by_id, unread=unread)


def _decide(
    photo: QueryPhoto, ranking: Ranking, plan: SearchConfig, decider: "Decider", hints: Hints
) -> Ranking:
    """Decide on the first results, and put the most probable first.

    The order stays after re-ranking and spatial verification, and without evidence.
    """
    decisions = decider.decide(photo, ranking.ids, ranking.distances, ranking.strangers, hints)
    order = np.arange(len(decisions))
    compared = any(decision.match is not None for decision in decisions)
    if compared and not _reordered(plan):
        order = np.argsort([-decision.probability for decision in decisions], kind="stable")
    decided = dict(zip(ranking.ids[: len(decisions)].tolist(), decisions, strict=True))
    return replace(ranking.reordered(order, len(decisions)), decided=decided)


def _reordered(plan: SearchConfig) -> bool:
    """Return whether re-ranking or spatial verification gives the order."""
    return plan.verify > 0 or plan.rerank.method != "none"


def _cut(ranking: Ranking, min_probability: float) -> Ranking:
    """Keep the photos that show the same thing with a minimum probability."""
    if min_probability == 0:
        return ranking
    decided = (ranking.decided.get(id_) for id_ in ranking.ids.tolist())
    kept = np.array([d is not None and d.probability >= min_probability for d in decided], bool)
    ids, distances = ranking.ids[kept], ranking.distances[kept]
    copies = sum(len(ranking.copies.get(id_, ())) for id_ in ids.tolist())
    return replace(ranking, ids=ids, distances=distances, within=len(ids) + copies)


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
    results = []
    for rank, (photo, distance) in enumerate(present, plan.offset + 1):
        decided = ranking.decided.get(photo.id)
        match = ranking.matches.get(photo.id) or (decided.match if decided else None)
        probability = decided.probability if decided else None
        if ranking.decided and decided is None:  # behind those that were compared
            near = nearness(np.array([distance]), ranking.strangers)
            probability = float(by_descriptor(near.log10_nfa)[0])
        kind = decided.kind if decided else None
        results.append(
            Result(
                rank,
                photo.path,
                distance,
                match,
                probability,
                kind,
                copies=tuple(copy.path for copy in ranking.copies.get(photo.id, ())),
                view=ranking.views.get(photo.id, 0),
                hint=decided is not None and decided.hint,
                unread=photo.id in ranking.unread,
            )
        )
    total = ranking.within
    if total is None and where in (None, Filter()):
        total = store.count("ok")
    loaded = [photo for photo, _ in present]
    copies = [ranking.copies.get(photo.id, ()) for photo in loaded]
    return ResultPage(results, loaded, copies, total, _is_blank(ranking))


def _is_blank(ranking: Ranking) -> bool:
    """Return whether the query has too few features to be compared with any photo."""
    agreements = [decided.agreement for decided in ranking.decided.values() if decided.agreement]
    if not agreements:
        return False
    from resight.evidence.decision import MIN_FEATURES  # imports OpenCV

    return all(each.query_features < MIN_FEATURES for each in agreements)


def make_ranker(
    store: Searchable, config: SearchConfig, columns_map: "ColumnsMap"
) -> Callable[[Query, QueryPhoto], Ranking]:
    """Return what ranks all photos for the descriptors and file of a query.

    If the short list holds all photos, they are loaded for re-ranking once for all queries.
    """
    ids = store.ids()
    plan = replace(config, k=len(ids), offset=0, max_distance=None, approximate=False, fold=False)
    matcher, decider = make_matcher(plan, columns_map), make_decider(plan, store)
    rerank_set = None
    if plan.rerank.method != "none" and len(ids) <= plan.rerank.shortlist:
        rerank_set = _load_rerank_set(store, ids, plan.rerank)

    def rank(descriptors: Query, photo: QueryPhoto) -> Ranking:
        return rank_photos(
            store,
            descriptors,
            plan,
            photo=photo,
            matcher=matcher,
            decider=decider,
            rerank_set=rerank_set,
        )

    return rank


def make_matcher(plan: SearchConfig, columns_map: "ColumnsMap") -> "PhotoMatcher | None":
    """Return what verifies photos as the plan says; None without verification."""
    if not plan.verify:
        return None
    from resight.searching.spatial_verification import PhotoMatcher

    return PhotoMatcher(plan.verify_by, columns_map, plan.verify_geometry)


def make_decider(
    plan: SearchConfig,
    store: Searchable,
    columns_of: Callable[[QueryPhoto], Columns | None] | None = None,
) -> "Decider | None":
    """Return what decides on results as the plan says; None without decisions."""
    if not plan.decide:
        return None
    from resight.searching.deciding import Decider

    return Decider(store, columns_of) if columns_of else Decider(store)


def _load_rerank_set(store: Searchable, ids: np.ndarray, config: RerankConfig) -> RerankSet:
    database, reduction = store.rows(ids), store.reduction()
    method, distance = store.config, DISTANCES[store.distance]
    part_sizes: list[int] = []
    if config.method == "late-fusion":
        length = database.global_.shape[1]
        part_sizes = reduction.part_sizes(method) if reduction else method.part_sizes(length)
    return make_rerank_set(database, distance, config, part_sizes)
