"""Expand a search from results that surely show the same thing.

    decisions --verified views, matched with near results--> decisions
    ranking with decisions --surest view--> averaged with the query --> order

Another view may show what the query does not. So a near result that matches a verified view also
shows the same thing, and the remaining results are ranked by their distance to the average of the
query and the most probable view. Only spatially verified results expand the search, because a wrong
one would add photos that resemble it.

Transitive closure and average query expansion after spatial verification: Chum, Philbin, Sivic,
Isard and Zisserman [7], "Total recall: automatic query expansion with a generative feature model
for object retrieval", ICCV 2007, section 3.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resight.backends.store import Searchable, as_query
from resight.collection import Photo
from resight.collection.hints import Hints
from resight.evidence import Evidence, Kind
from resight.ranking.exact import DISTANCES, Query, distances_to
from resight.ranking.rerank.query_expansion import average_query
from resight.ranking.rerank.rerank_set import is_averaged
from resight.ranking.strangers import Nearness, nearness
from resight.searching.nearest import EXPANDED, Ranking, strangers_among
from resight.searching.query import PROBABLE, SAME, Decided

VIEWS = 3
"""Maximum number of verified views that other results are matched with."""
TRIED = 6
"""Maximum number of such pairs, a third of the results that are decided on at first."""
NEAR = 0.1
"""Minimum closeness of a result to the query. With farther ones, which show another part of what a
view shows, the thing is often another one, too."""


def decide_by_views(
    decided: Sequence[Decided],
    evidence: Sequence[Evidence | None],
    near: Nearness,
    photos: Sequence[Photo | None],
    hints: Hints,
) -> list[Decided]:
    """Decide again on near results that were not found, through verified views of the thing.

    A result is the same thing with the probability that the view is, times that of both being the
    same, if that is higher. It gets no places, as none agree with the query.

    Args:
        decided: on the results of a search.
        evidence: of the results; None for those without any.
        near: how near the results are to the query, (n,).
        photos: the results; None where they were removed.
        hints: photos that a person called different are not matched.
    """
    views = [place for place, each in enumerate(decided) if is_verified_view(each)]
    expanded = list(decided)
    if not views:
        return expanded
    views = sorted(views, key=lambda place: -decided[place].probability)[:VIEWS]
    missed = [
        place
        for place, each in enumerate(decided)
        if each.agreement is not None
        and not each.hint
        and each.probability < PROBABLE
        and near.closeness[place] >= NEAR
    ]
    pairs = [
        (place, view)
        for place in missed
        for view in views
        if not _differ(hints, photos[place], photos[view])
    ]
    for place, view in pairs[:TRIED]:
        if expanded[place].probability >= PROBABLE:
            continue
        through = decided[view].probability * _probability_of_same(
            evidence[view], evidence[place], near.at([place])
        )
        if through > expanded[place].probability:
            kind: Kind | None = "view" if through >= PROBABLE else None
            expanded[place] = replace(expanded[place], probability=through, kind=kind)
    return expanded


def _differ(hints: Hints, first: Photo | None, second: Photo | None) -> bool:
    """Return whether a person decided that two photos show different things."""
    contents = [photo.content for photo in (first, second) if photo and photo.content]
    return len(contents) == 2 and hints.verdict(*contents) == "different"


def _probability_of_same(first: Evidence | None, second: Evidence | None, near: Nearness) -> float:
    """Return the probability that two results show the same thing; 0 without sure geometry."""
    from resight.evidence.decision import evident_probability, is_sure  # imports OpenCV
    from resight.evidence.matching import match

    if first is None or second is None:
        return 0.0
    agreement = match(first, second)
    if not is_sure(agreement.log10_nfa):
        return 0.0
    columns = None if first.columns is None or second.columns is None else np.inf
    features = min(len(first), len(second))
    return evident_probability(
        near.closeness.item(), near.log10_nfa.item(), agreement.log10_nfa, features, columns
    )


def expand(store: Searchable, descriptors: Query, ranking: Ranking) -> Ranking:
    """Order the results that were not found by the average of the query and the surest view.

    What was found, at least probably, stays in front, in its order. Nothing changes without a sure
    view, among too few photos, and for descriptors that cannot be averaged.

    Args:
        store: what is searched.
        descriptors: of the query, as the store compares them.
        ranking: the most probable results first.
    """
    if ranking.strangers is None or not is_averaged(DISTANCES[store.distance]):
        return ranking
    source = surest_view(ranking)
    if source is None:
        return ranking
    rows = store.rows(ranking.ids[:EXPANDED])  # omits concurrently removed photos
    place = np.flatnonzero(rows.ids == source)
    if not len(place):
        return ranking
    local = None if rows.local is None else rows.local[place[0]]
    view = as_query(Query(rows.global_[place[0]], local), store.reduction())
    average = average_query([descriptors, view])
    distances = distances_to(average, rows, DISTANCES[store.distance])
    near = nearness(distances, strangers_among(store, average, np.sort(distances)))
    agreement = ranking.decided[source].agreement
    columns = agreement is not None and agreement.columns is not None
    decided = [ranking.decided.get(id_) for id_ in rows.ids.tolist()]
    found = np.array([each is not None and each.probability >= PROBABLE for each in decided])
    likely = np.array([_likelihood(d, near.at([i]), columns) for i, d in enumerate(decided)])
    by_verdict = np.where(found, -2.0, -likely)
    order = np.lexsort((np.where(found, np.arange(len(found)), distances), by_verdict))
    places = np.flatnonzero(np.isin(ranking.ids[:EXPANDED], rows.ids))
    return ranking.reordered(places[order], EXPANDED)


def surest_view(ranking: Ranking) -> int | None:
    """Return the ID of the first result that is a verified view; None without any."""
    for id_ in ranking.ids[:EXPANDED].tolist():
        decided = ranking.decided.get(id_)
        if decided is not None and is_verified_view(decided):
            return int(id_)
    return None


def is_verified_view(decided: Decided) -> bool:
    """Return whether a result is another view whose SIFT features agree surely with the query.

    Those of the background do not count. Copies of the query, however edited, bring nothing new.
    """
    if decided.kind != "view" or decided.probability < SAME or decided.agreement is None:
        return False
    from resight.evidence.decision import is_sure  # imports OpenCV

    return is_sure(decided.agreement.log10_nfa)


def _likelihood(decided: Decided | None, near: Nearness, columns: bool) -> float:
    """Return the probability of a result with the nearness to the average in place of its own.

    Photos that were not decided on count as if nothing agreed; `columns` says whether that would be
    known of columns, too.
    """
    from resight.evidence.decision import MIN_FEATURES, evident_probability  # imports OpenCV

    if decided is not None and decided.hint:
        return decided.probability
    expected = near.log10_nfa.item()
    known = decided.agreement if decided is not None else None
    if known is None:  # without closeness, nothing contradicts
        return evident_probability(0.0, expected, np.inf, MIN_FEATURES, np.inf if columns else None)
    return evident_probability(
        near.closeness.item(), expected, known.log10_nfa, known.features, known.columns
    )
