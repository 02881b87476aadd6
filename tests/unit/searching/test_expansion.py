"""Expansion: results that were not found are ordered by the surest view, too."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import resight
import samples
from resight.backends.local import ArrayStore
from resight.config import LocalConfig
from resight.ranking.exact import Database, Query
from resight.ranking.rerank.query_expansion import average_query
from resight.ranking.strangers import Strangers
from resight.searching import pipeline
from resight.searching.expansion import expand, surest_view
from resight.searching.nearest import EXPANDED, Ranking
from resight.searching.query import Agreement, Decided, VerifiedMatch
from views import texture

MATCH = VerifiedMatch(40, None, None)
SURE, UNSURE = Agreement(-20.0, 400, None), Agreement(-2.0, 400, None)
VIEW = Decided(0.99, MATCH, "view", agreement=SURE)
STRANGER = Decided(0.05, MATCH, agreement=Agreement(np.inf, 400, None))


def directions(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


QUERY = Query(directions(0)[0])
ROWS = directions(40, -45, -50, 70, -80)
"""A view of the thing, two strangers, another view on the side of the first, and a stranger."""


def searched(*decisions: Decided, count: int = 5) -> tuple[ArrayStore, Ranking]:
    """Return a store of `ROWS` and their ranking by distance with decisions on the first."""
    ids = np.arange(count)
    rows = np.concatenate([ROWS, directions(*np.linspace(90, 270, count - len(ROWS)))])
    store = ArrayStore(
        Database(ids, rows), [Path(f"{i}.jpg") for i in ids], LocalConfig(method="sift-vlad")
    )
    distances = np.linalg.norm(rows - QUERY.global_, axis=1)
    decided = dict(enumerate(decisions))
    return store, Ranking(ids, distances, strangers=Strangers(1.5), decided=decided)


def test_what_is_near_the_verified_view_comes_before_nearer_strangers() -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER)
    expanded = expand(store, QUERY, ranking)
    assert expanded.ids.tolist() == [0, 3, 1, 2, 4]
    assert expanded.decided is ranking.decided  # verdicts stay those of the query
    at = dict(zip(ranking.ids.tolist(), ranking.distances.tolist(), strict=True))
    assert expanded.distances.tolist() == [at[id_] for id_ in expanded.ids.tolist()]


def test_what_was_found_stays_in_front_in_its_order() -> None:
    probable = replace(STRANGER, probability=0.6)
    store, ranking = searched(VIEW, replace(VIEW, probability=0.9), probable)
    assert expand(store, QUERY, ranking).ids.tolist() == [0, 1, 2, 3, 4]


def test_what_a_person_called_different_stays_behind() -> None:
    different = Decided(0.0, MATCH, hint=True, agreement=SURE)
    store, ranking = searched(VIEW, STRANGER, STRANGER, different)
    assert expand(store, QUERY, ranking).ids.tolist() == [0, 1, 2, 4, 3]


@pytest.mark.parametrize(
    "decided",
    [
        Decided(0.99, None),  # by descriptors only
        replace(VIEW, agreement=None),
        replace(VIEW, agreement=UNSURE),  # the same thing by closeness, or by columns
        replace(VIEW, probability=0.84),
        replace(VIEW, kind="resized"),  # brings nothing new
        Decided(0.0, MATCH, hint=True, agreement=SURE),
    ],
)
def test_only_surely_verified_views_expand(decided: Decided) -> None:
    store, ranking = searched(decided, STRANGER, STRANGER)
    assert surest_view(ranking) is None
    assert expand(store, QUERY, ranking) is ranking
    assert surest_view(replace(ranking, decided={**ranking.decided, 2: VIEW})) == 2


def test_only_the_first_results_are_put_into_a_new_order() -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER, count=EXPANDED + 50)
    expanded = expand(store, QUERY, ranking).ids
    assert sorted(expanded.tolist()) == ranking.ids.tolist()
    assert expanded[EXPANDED:].tolist() == ranking.ids[EXPANDED:].tolist()


def test_nothing_is_expanded_among_too_few_photos_or_where_nothing_can_be_averaged() -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER)
    few = replace(ranking, strangers=None)
    assert expand(store, QUERY, few) is few
    sets = replace(store, config=LocalConfig(method="local", aggregation="hamming"))
    assert sets.distance.startswith("hamming")
    assert expand(sets, QUERY, ranking) is ranking


@pytest.mark.parametrize(("removed", "expected"), [(0, [0, 1, 2, 3, 4]), (2, [0, 3, 1, 4])])
def test_photos_may_be_removed_meanwhile(
    removed: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER)

    def rows(self: ArrayStore, ids: np.ndarray) -> Database:
        return Database(ids[ids != removed], self.database.global_[ids[ids != removed]])

    monkeypatch.setattr(ArrayStore, "rows", rows)
    assert expand(store, QUERY, ranking).ids.tolist() == expected


def test_averages_are_as_long_as_their_parts() -> None:
    first, second = (
        Query(np.array(v, np.float32), np.array(v, np.float32)) for v in ([2, 0], [0, 4])
    )
    average = average_query([first, second])
    assert average.global_ == pytest.approx([3 / 5**0.5, 6 / 5**0.5])
    assert average.local == pytest.approx(average.global_)
    assert average_query([first, Query(second.global_)]).local is None


def test_a_search_finds_the_other_side_of_the_thing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query shows one side, another photo both, and a third one the other side."""
    (tmp_path / "photos").mkdir()
    whole = texture(960, 360, seed=1)
    shown = {"both": whole[:, 120:840], "other-side": whole[:, 480:]}
    shown |= {f"stranger-{n:02}": texture(480, 360, seed=50 + n) for n in range(10)}
    for name, pixels in shown.items():
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.png"), pixels[..., ::-1])
    cv2.imwrite(str(tmp_path / "query.png"), whole[:, :480][..., ::-1])
    samples.index(tmp_path / "photos", tmp_path / "c")

    def ranks(**options: object) -> list[str]:
        found = resight.search(tmp_path / "query.png", tmp_path / "c", k=12, **options)  # type: ignore[arg-type]
        return [result.path.stem for result in found]

    expanded, nearest, reranked = ranks(), ranks(decide=False), ranks(rerank="k-reciprocal")
    monkeypatch.setattr(pipeline, "expand", lambda store, descriptors, ranking: ranking)
    plain = ranks()
    assert expanded[0] == plain[0] == "both"
    assert expanded.index("other-side") < plain.index("other-side")
    assert sorted(expanded) == sorted(plain)
    assert ranks(decide=False) == nearest
    assert ranks(rerank="k-reciprocal") == reranked
