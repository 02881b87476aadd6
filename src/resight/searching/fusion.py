"""Fuse the rankings of several queries that show one thing into one ranking.

    rankings --best view of each photo--> probability, distance, rank --> one order

A photo counts by its best view: its probability is the largest, its distance the smallest (MQ-Max
of Arandjelovic and Zisserman, "Multiple queries for large scale specific object retrieval", BMVC
2012). Unlike noisy-or, the maximum assumes nothing about how views depend on each other, and a
query that is given twice changes nothing. The order is by verdict, and then by distance: low
probabilities of several views are noise, and the largest of them even more so.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resight.evidence import Kind
from resight.searching.hinted import spread_refusals
from resight.searching.nearest import Ranking
from resight.searching.query import PROBABLE, SAME, QueryPhoto

UNDECIDED = -1.0
"""Stands for the probability of photos that were not compared: behind all others."""


def fuse(rankings: Sequence[Ranking], *, by_rank: bool) -> Ranking:
    """Fuse the rankings of several views.

    If several views show a photo with about the same probability, a view whose copy it is counts as
    the best, and otherwise the first view. Rankings must be as deep as the fused one has to be.

    Args:
        rankings: one of each view.
        by_rank: order by the best rank, which re-ranking or spatial verification gave; otherwise
            by verdict and distance.
    """
    if len(rankings) == 1:
        return rankings[0]
    rankings = spread_refusals(rankings)
    ids = np.concatenate([ranking.ids for ranking in rankings])
    distances = np.concatenate([ranking.distances for ranking in rankings])
    ranks = np.concatenate([np.arange(len(ranking.ids)) for ranking in rankings])
    views = np.repeat(np.arange(len(rankings)), [len(ranking.ids) for ranking in rankings])
    probabilities = np.concatenate([_probabilities(ranking) for ranking in rankings])

    unique, start, inverse = np.unique(ids, return_index=True, return_inverse=True)
    inexact = np.concatenate([_inexact(ranking) for ranking in rankings])
    best = np.lexsort((views, inexact, -probabilities.round(2), ids))
    best = best[np.searchsorted(ids[best], unique)]
    nearest = np.full(len(unique), np.inf, distances.dtype)
    np.minimum.at(nearest, inverse, distances)
    first = ranks[start]
    np.minimum.at(first, inverse, ranks)

    if by_rank:
        order = np.lexsort((unique, nearest, first))
    else:
        verdicts = np.digitize(probabilities[best], (PROBABLE, SAME))
        order = np.lexsort((unique, nearest, -verdicts))
    view_of = dict(zip(unique.tolist(), views[best].tolist(), strict=True))
    copies = {id_: folded for r in rankings for id_, folded in r.copies.items()}
    known = [ranking.strangers for ranking in rankings if ranking.strangers]
    return Ranking(
        unique[order],
        nearest[order],
        matches={id_: m for id_, v in view_of.items() if (m := rankings[v].matches.get(id_))},
        unread=frozenset().union(*(ranking.unread for ranking in rankings)),
        within=_within(rankings, unique.size + sum(map(len, copies.values()))),
        strangers=min(known, key=lambda each: each.distance.item(), default=None),
        decided={id_: d for id_, v in view_of.items() if (d := rankings[v].decided.get(id_))},
        views=view_of,
        copies=copies,
    )


def _probabilities(ranking: Ranking) -> np.ndarray:
    """Return the probability of each photo, float64 (n,), `UNDECIDED` where there is none."""
    decided = (ranking.decided.get(id_) for id_ in ranking.ids.tolist())
    return np.array([UNDECIDED if d is None else d.probability for d in decided], np.float64)


def _inexact(ranking: Ranking) -> np.ndarray:
    """Return which photos are no copies of the query, however edited, bool (n,)."""
    decided = (ranking.decided.get(id_) for id_ in ranking.ids.tolist())
    return np.array([d is None or d.kind in (None, "view") for d in decided], bool)


def _within(rankings: Sequence[Ranking], count: int) -> int | None:
    """Return the number of photos within the maximum distance; None if not all are ranked."""
    for ranking in rankings:
        if ranking.within != len(ranking.ids) + sum(map(len, ranking.copies.values())):
            return None
    return count


def fuse_turned(
    rankings: Sequence[Ranking], turned: Sequence[QueryPhoto], *, by_rank: bool
) -> Ranking:
    """Fuse the rankings of a photo and, behind it, of its turned views into one of the photo.

    What only a turned view finds is named by how that was turned.
    """
    ranking = fuse(rankings, by_rank=by_rank)
    if not turned:
        return ranking
    decided = dict(ranking.decided)
    for id_, decision in decided.items():
        view = ranking.views[id_]
        if view > 0 and decision.kind is not None:
            kind: Kind = "mirrored" if turned[view - 1].mirrored else "rotated"
            decided[id_] = replace(decision, kind=kind)
    return replace(ranking, decided=decided, views={})
