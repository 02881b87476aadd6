"""Rank photos by their distance, and tell how far strangers are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from resight.backends.store import Filter, Searchable
from resight.collection import Photo
from resight.config import SearchConfig
from resight.ranking.exact import Neighbors, Query
from resight.ranking.strangers import (
    MIN_PHOTOS,
    RANKS,
    Strangers,
)
from resight.searching.query import Decided, VerifiedMatch

MAX_COUNTED = 100_000
"""Largest number of photos that are counted within a maximum distance."""
CHUNK = 20
"""Results that are decided on at first, and again as long as one of the last half is the same."""
DECIDABLE = 200
"""Maximum number of results that are decided on by evidence."""
EXPANDED = 100
"""First results that an expansion puts into a new order."""
FOLDED = 10_000
"""Number of first ranks among which copies are folded."""


@dataclass(frozen=True)
class Ranking:
    """Photos in the order of a search.

    Attributes:
        ids: int64 (n,), best first.
        distances: float32 (n,); after re-ranking or verification not ascending.
        matches: by id, the outcome of spatial verification where the photo could be read.
        unread: ids of photos whose files could not be read for spatial verification.
        within: number of photos within the maximum distance; None without one.
        strangers: of the query; None without decisions, and among too few photos.
        decided: by id, whether it shows the same thing.
        views: by id, the place of the query that shows it most probably, where there are several.
        copies: by id, photos of identical content, which are not ranked themselves.
    """

    ids: np.ndarray
    distances: np.ndarray
    matches: Mapping[int, VerifiedMatch] = field(default_factory=dict)
    unread: frozenset[int] = frozenset()
    within: int | None = None
    strangers: Strangers | None = None
    decided: Mapping[int, Decided] = field(default_factory=dict)
    views: Mapping[int, int] = field(default_factory=dict)
    copies: Mapping[int, tuple[Photo, ...]] = field(default_factory=dict)

    def reordered(self, first: np.ndarray, count: int) -> "Ranking":
        """Replace the first `count` places by the places `first`, int (m,)."""
        order = np.concatenate([first, np.arange(min(count, len(self.ids)), len(self.ids))])
        order = order.astype(np.intp)
        return replace(self, ids=self.ids[order], distances=self.distances[order])


def rank_by_distance(
    store: Searchable, descriptors: Query, plan: SearchConfig, where: Filter | None
) -> Ranking:
    """Rank by distance, up to the maximum distance if there is one, with copies folded."""
    shown = plan.offset + plan.k
    needed = max(shown, EXPANDED) if plan.decide else shown
    count = max(shown, plan.verify)
    if plan.rerank.method != "none":
        count = max(count, plan.rerank.shortlist)
    if plan.decide:
        count = max(count, DECIDABLE)
    nearest, within = _scan(store, descriptors, count, plan, where)
    strangers = strangers_among(store, descriptors, nearest.distances) if plan.decide else None
    while True:
        places = slice(count if within is None else min(count, within))
        ranking = Ranking(
            nearest.ids[places], nearest.distances[places], within=within, strangers=strangers
        )
        exhausted = len(ranking.ids) < count
        if plan.fold:
            ranking = fold_copies(store, ranking)
        if not plan.fold or exhausted or len(ranking.ids) > needed:
            return ranking
        count *= 4  # the page is not full, or copies of its last photo may follow
        nearest, within = _scan(store, descriptors, count, plan, where)


def _scan(
    store: Searchable, descriptors: Query, count: int, plan: SearchConfig, where: Filter | None
) -> tuple[Neighbors, int | None]:
    """Return the nearest photos, and how many are within the maximum distance if there is one."""
    limit = plan.max_distance
    if limit is not None:
        count = min(store.count("ok"), MAX_COUNTED)
    (nearest,) = store.nearest([descriptors], count, where, approximate=plan.approximate)
    within = None if limit is None else int(np.count_nonzero(nearest.distances <= limit))
    return nearest, within


def fold_copies(store: Searchable, ranking: Ranking) -> Ranking:
    """Fold photos of identical content, among the first `FOLDED`, under that of the lowest ID.

    As this comes before a page is cut out of the ranking, pages neither overlap nor omit a photo.
    """
    ids = ranking.ids[:FOLDED].tolist()
    photos = store.photos_by_id(ids)
    places: dict[str, list[int]] = {}
    for place, id_ in enumerate(ids):
        content = photos[id_].content if id_ in photos else None
        if content is not None:
            places.setdefault(content, []).append(place)
    kept, folded = np.ones(len(ranking.ids), bool), ranking.ids.copy()
    copies = {}
    for same in places.values():
        if len(same) > 1:
            first, *others = sorted(ids[place] for place in same)
            folded[same[0]] = first
            kept[same[1:]] = False
            copies[first] = tuple(photos[id_] for id_ in others)
    return replace(ranking, ids=folded[kept], distances=ranking.distances[kept], copies=copies)


def strangers_of(store: Searchable, descriptors: Query) -> Strangers | None:
    """Return the strangers of a query; None among too few photos."""
    (nearest,) = store.nearest([descriptors], RANKS + 1)
    return strangers_among(store, descriptors, nearest.distances)


def strangers_among(
    store: Searchable, descriptors: Query, distances: np.ndarray
) -> Strangers | None:
    """Return the strangers of a query; None among too few photos.

    `distances` are those to its nearest, ascending, `RANKS` or more where there are as many.
    """
    count = len(distances)
    if count >= RANKS:
        # The distances may be of a moment ago, before photos were removed.
        count = max(count, store.count("ok"))
    if count < MIN_PHOTOS:
        return None
    dimensions = len(descriptors.global_)
    return Strangers.of(distances[None, :], count, dimensions)
