"""Rank photos by their distance, and tell how far strangers are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from resight.backends.store import Filter, Searchable
from resight.config import SearchConfig
from resight.ranking.exact import Query
from resight.ranking.strangers import (
    MIN_PHOTOS,
    RANKS,
    Strangers,
    chance_closeness,
    strangers_distance,
)
from resight.searching.query import Decided, VerifiedMatch

MAX_COUNTED = 100_000
"""Largest number of photos that are counted within a maximum distance."""
DECIDABLE = 200
"""Maximum number of results that are decided on by evidence."""


@dataclass(frozen=True)
class Ranking:
    """Photos in the order of a search.

    Attributes:
        ids: int64 (n,), best first.
        distances: float32 (n,); after re-ranking or verification not ascending.
        matches: by id, the outcome of spatial verification where the photo could be read.
        within: number of photos within the maximum distance; None without one.
        strangers: of the query; None without decisions, and among too few photos.
        decided: by id, whether it shows the same thing.
    """

    ids: np.ndarray
    distances: np.ndarray
    matches: Mapping[int, VerifiedMatch] = field(default_factory=dict)
    within: int | None = None
    strangers: Strangers | None = None
    decided: Mapping[int, Decided] = field(default_factory=dict)

    def reordered(self, first: np.ndarray, count: int) -> "Ranking":
        """Replace the first `count` places by the places `first`, int (m,)."""
        order = np.concatenate([first, np.arange(min(count, len(self.ids)), len(self.ids))])
        order = order.astype(np.intp)
        return replace(self, ids=self.ids[order], distances=self.distances[order])


def rank_by_distance(
    store: Searchable, descriptors: Query, plan: SearchConfig, where: Filter | None
) -> Ranking:
    """Rank by distance, up to the maximum distance if there is one."""
    count = max(plan.offset + plan.k, plan.verify)
    if plan.rerank.method != "none":
        count = max(count, plan.rerank.shortlist)
    if plan.decide:
        count = max(count, DECIDABLE)
    limit = plan.max_distance
    scanned = count if limit is None else min(store.count("ok"), MAX_COUNTED)
    (nearest,) = store.nearest([descriptors], scanned, where, approximate=plan.approximate)
    strangers = _strangers(store, descriptors, nearest.distances) if plan.decide else None
    within = None
    if limit is not None:
        within = int(np.count_nonzero(nearest.distances <= limit))
        count = min(count, within)
    return Ranking(
        nearest.ids[:count], nearest.distances[:count], within=within, strangers=strangers
    )


def strangers_of(store: Searchable, descriptors: Query) -> Strangers | None:
    """Return the strangers of a query; None among too few photos."""
    (nearest,) = store.nearest([descriptors], RANKS + 1)
    return _strangers(store, descriptors, nearest.distances)


def _strangers(store: Searchable, descriptors: Query, distances: np.ndarray) -> Strangers | None:
    """Return the strangers of a query from its nearest; None among too few photos."""
    count = store.count("ok") if len(distances) >= RANKS else len(distances)
    if count < MIN_PHOTOS:
        return None
    dimensions = len(descriptors.global_)
    mean = float(strangers_distance(distances[None, :], count)[0])
    return Strangers(mean, chance_closeness(count, dimensions))
