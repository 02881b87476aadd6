"""Obey hints in a search: what a person decided about the query's file and photos found."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resight.backends.store import Searchable
from resight.collection import Photo
from resight.collection.hints import Hints
from resight.ranking.exact import DISTANCES, Query, distances_to
from resight.searching.nearest import Ranking
from resight.searching.query import Decided, QueryPhoto


def with_hinted(
    store: Searchable,
    hints: Hints,
    photo: QueryPhoto,
    descriptors: Query,
    ranking: Ranking,
    *,
    fold: bool,
) -> Ranking:
    """Put photos that hints call the same as the query behind the nearest, the query itself.

    With `fold`, copies are folded under that of the lowest ID, as in the ranking.
    """
    if photo.box is not None or photo.content is None:
        return ranking
    found = store.photos_with(hints.same_as(photo.content))
    copies: dict[int, tuple[Photo, ...]] = {each.id: () for each in found}
    if fold:
        by_content: dict[str | None, list[Photo]] = {}
        for each in found:
            by_content.setdefault(each.content, []).append(each)
        copies = {first.id: tuple(others) for first, *others in by_content.values()}
    if not copies:
        return ranking
    rows = store.rows(np.array(list(copies), np.int64))
    distances = distances_to(descriptors, rows, DISTANCES[store.distance])
    order = np.argsort(distances, kind="stable")
    moved = [*copies, *(copy.id for others in copies.values() for copy in others)]
    rest = ~np.isin(ranking.ids, moved)
    place = min(1, int(rest.sum()))
    return replace(
        ranking,
        ids=np.insert(ranking.ids[rest], place, rows.ids[order]),
        distances=np.insert(ranking.distances[rest], place, distances[order]),
        copies={**ranking.copies, **{id_: others for id_, others in copies.items() if others}},
    )


def spread_refusals(rankings: Sequence[Ranking]) -> list[Ranking]:
    """Let what a person decided to be different from one of several queries be so for all."""
    refused = {
        id_: replace(decision, match=None)
        for ranking in rankings
        for id_, decision in ranking.decided.items()
        if decision.hint and not decision.probability
    }
    return [replace(ranking, decided={**ranking.decided, **refused}) for ranking in rankings]


def obey_hints(
    hints: Hints, photo: QueryPhoto, others: Sequence[Photo | None], decided: Sequence[Decided]
) -> list[Decided]:
    """Return decisions on photos with those of hints in their place.

    Hints are about whole photos, not about a region of the query.
    """
    content = photo.content if photo.box is None else None
    return [
        decision if other is None else obey(hints, content, other.content, decision)
        for decision, other in zip(decided, others, strict=True)
    ]


def obey(hints: Hints, content: str | None, other: str | None, decision: Decided) -> Decided:
    """Return what hints say about two contents, or else the decision; `None` has no hints."""
    verdict = None if content is None or other is None else hints.verdict(content, other)
    if verdict is None or content == other:
        return decision
    if verdict == "same":
        return replace(decision, probability=1.0, hint=True)
    return replace(decision, probability=0.0, kind=None, hint=True)
