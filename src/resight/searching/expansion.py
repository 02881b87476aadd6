"""Expand a search from a result that surely shows the same thing.

    ranking with decisions --surest_view--> a result whose places agree
                           --average--> closeness to the query and to it --> order

A photo that is far from the query may be near to another view of the thing: at night, from the
other side. So the query is averaged with the surest view, and the results that were not found are
ordered by their distance from that. Only sure geometry expands, as a wrong result would bring what
is similar to it. Probabilities, and so verdicts, stay those of the query itself.

Average query expansion after spatial verification: Chum, Philbin, Sivic, Isard and Zisserman [7],
"Total recall: automatic query expansion with a generative feature model for object retrieval", ICCV
2007, section 3.
"""

import numpy as np

from resight.backends.store import Searchable, as_query
from resight.ranking.exact import DISTANCES, Query, distances_to
from resight.ranking.rerank.query_expansion import average_query
from resight.ranking.rerank.rerank_set import is_averaged
from resight.ranking.strangers import closeness
from resight.searching.nearest import EXPANDED, Ranking
from resight.searching.query import PROBABLE, SAME, Decided


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
    distances = distances_to(average_query([descriptors, view]), rows, DISTANCES[store.distance])
    near = closeness(distances, ranking.strangers)
    decided = [ranking.decided.get(id_) for id_ in rows.ids.tolist()]
    agreement = ranking.decided[source].agreement
    columns = agreement is not None and agreement.columns is not None
    keys = [_key(each, float(n), columns) for each, n in zip(decided, near, strict=True)]
    places = np.flatnonzero(np.isin(ranking.ids[:EXPANDED], rows.ids))
    return ranking.reordered(places[np.argsort(keys, kind="stable")], EXPANDED)


def surest_view(ranking: Ranking) -> int | None:
    """Return the ID of the first result that is surely verified; None without any.

    It is another view that shows the same thing and whose SIFT features agree surely, not on the
    background. Copies of the query, however edited, would bring nothing new.
    """
    from resight.evidence.decision import is_sure  # imports OpenCV

    for id_ in ranking.ids[:EXPANDED].tolist():
        found = ranking.decided.get(id_)
        if (
            found is not None
            and found.kind == "view"
            and found.probability >= SAME
            and found.agreement is not None
            and is_sure(found.agreement.log10_nfa)
        ):
            return int(id_)
    return None


def _key(decided: Decided | None, near: float, columns: bool) -> float:
    """Return the sort key of a result: what was found first, and then what is likely."""
    if decided is not None and decided.probability >= PROBABLE:
        return -1 - decided.probability
    return -_likelihood(decided, near, columns)


def _likelihood(decided: Decided | None, near: float, columns: bool) -> float:
    """Return the probability of a result with the closeness to the average in place of its own.

    Photos that were not decided on count as if nothing agreed; `columns` says whether that would be
    known of columns, too.
    """
    from resight.evidence.decision import MIN_FEATURES, evident_probability  # imports OpenCV

    if decided is not None and decided.hint:
        return decided.probability
    if decided is not None and decided.agreement is not None:
        agreement = decided.agreement
        return evident_probability(near, agreement.log10_nfa, agreement.features, agreement.columns)
    return evident_probability(near, np.inf, MIN_FEATURES, np.inf if columns else None)
