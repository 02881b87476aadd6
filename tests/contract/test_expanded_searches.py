"""Searches are expanded in the same way on all backends."""

from pathlib import Path

import numpy as np
import pytest

from resight.backends.store import as_query
from resight.ranking.exact import DISTANCES, Query, distances_to
from resight.ranking.rerank.query_expansion import average_query
from resight.ranking.strangers import Strangers
from resight.searching.expansion import expand
from resight.searching.nearest import Ranking
from resight.searching.query import Decided, MatchStrength
from store_samples import Stores, make, stores

__all__ = ["stores"]

VIEW = Decided(0.99, None, "view", agreement=MatchStrength(-20.0, 400, None, 400))


@pytest.mark.parametrize("kind", [{}, {"cam": True}, {"cam": True, "adapted": True}], ids=str)
def test_results_are_ordered_by_the_average_of_the_query_and_the_surest_view(
    stores: Stores, tmp_path: Path, kind: dict[str, bool]
) -> None:
    store = stores.of(make(tmp_path / "c", 30, **kind))  # type: ignore[arg-type]
    stored = store.stored_query(f"{7:064x}")
    assert stored is not None
    query = as_query(stored, store.reduction())
    (near,) = store.nearest([query], 30)
    surest = int(near.ids[3])
    ranking = Ranking(
        np.array([surest, *near.ids[near.ids != surest].tolist()]),
        np.array([near.distances[3], *near.distances[near.ids != surest].tolist()]),
        strangers=Strangers.of(near.distances[None], 30, 6),
        decided={surest: VIEW},
    )
    rows = store.rows(ranking.ids)
    local = None if rows.local is None else rows.local[0]
    view = as_query(Query(rows.global_[0], local), store.reduction())
    distances = distances_to(average_query([query, view]), rows, DISTANCES[store.distance])
    expanded = expand(store, query, ranking)
    others = np.argsort(distances[1:], kind="stable")
    assert expanded.ids.tolist() == [surest, *ranking.ids[1:][others].tolist()]
    assert expanded.ids.tolist() != ranking.ids.tolist()
