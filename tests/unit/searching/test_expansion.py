"""Expansion: verified views add near results and rank the remaining ones."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import resight
import samples
from resight.backends.local import ArrayStore
from resight.collection import Photo
from resight.collection.hints import Hint, Hints
from resight.config import LocalConfig
from resight.evidence import Evidence
from resight.evidence.extraction import extract_evidence
from resight.ranking.exact import Database, Query
from resight.ranking.rerank.query_expansion import average_query
from resight.ranking.strangers import Strangers
from resight.searching import expansion, pipeline
from resight.searching.expansion import decide_by_views, expand, surest_view
from resight.searching.nearest import EXPANDED, Ranking
from resight.searching.query import SAME, Decided, MatchStrength, VerifiedMatch
from views import near, texture, view

MATCH = VerifiedMatch(40, None, None)
SURE, UNSURE = MatchStrength(-20.0, 400, None, 400), MatchStrength(-2.0, 400, None, 400)
VIEW = Decided(0.99, MATCH, "view", agreement=SURE)
STRANGER = Decided(0.05, MATCH, agreement=MatchStrength(np.inf, 20, None, 400))


def directions(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


QUERY = Query(directions(0)[0])
ROWS = directions(40, -45, -50, 70, -80)
"""A view of the thing, two strangers, another view on the side of the first, and a stranger."""


def searched(*decisions: Decided, count: int = 12) -> tuple[ArrayStore, Ranking]:
    """Return a store of `ROWS` and farther photos, and their ranking with decisions."""
    ids = np.arange(count)
    rows = np.concatenate([ROWS, directions(*np.linspace(130, 179, count - len(ROWS)))])
    store = ArrayStore(
        Database(ids, rows), [Path(f"{i}.jpg") for i in ids], LocalConfig(method="sift-vlad")
    )
    distances = np.linalg.norm(rows - QUERY.global_, axis=1)
    strangers = Strangers.of(distances[None], count, rows.shape[1])
    return store, Ranking(ids, distances, strangers=strangers, decided=dict(enumerate(decisions)))


def test_what_is_near_the_verified_view_comes_before_nearer_strangers() -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER)
    expanded = expand(store, QUERY, ranking)
    assert expanded.ids[:5].tolist() == [0, 3, 1, 2, 4]
    assert expanded.decided is ranking.decided  # verdicts stay those of the query
    at = dict(zip(ranking.ids.tolist(), ranking.distances.tolist(), strict=True))
    assert expanded.distances.tolist() == [at[id_] for id_ in expanded.ids.tolist()]


def test_what_was_found_stays_in_front_in_its_order() -> None:
    probable = replace(STRANGER, probability=0.6)
    store, ranking = searched(VIEW, replace(VIEW, probability=0.9), probable)
    assert expand(store, QUERY, ranking).ids[:5].tolist() == [0, 1, 2, 3, 4]


def test_what_a_person_called_different_stays_behind() -> None:
    different = Decided(0.0, MATCH, hint=True, agreement=SURE)
    store, ranking = searched(VIEW, STRANGER, STRANGER, different)
    assert expand(store, QUERY, ranking).ids.tolist() == [0, 1, 2, *range(4, 12), 3]


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


@pytest.mark.parametrize(("removed", "expected"), [(0, [0, 1, 2, 3, 4]), (2, [0, 3, 1, 4, 5])])
def test_photos_may_be_removed_meanwhile(
    removed: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, ranking = searched(VIEW, STRANGER, STRANGER)

    def rows(self: ArrayStore, ids: np.ndarray) -> Database:
        return Database(ids[ids != removed], self.database.global_[ids[ids != removed]])

    monkeypatch.setattr(ArrayStore, "rows", rows)
    assert expand(store, QUERY, ranking).ids[:5].tolist() == expected


def test_averages_are_as_long_as_their_parts() -> None:
    first, second = (
        Query(np.array(v, np.float32), np.array(v, np.float32)) for v in ([2, 0], [0, 4])
    )
    average = average_query([first, second])
    assert average.global_ == pytest.approx([3 / 5**0.5, 6 / 5**0.5])
    assert average.local == pytest.approx(average.global_)
    assert average_query([first, Query(second.global_)]).local is None


@pytest.fixture(scope="module")
def seen() -> list[Evidence]:
    """Return evidence of two views of one thing, and of another thing."""
    thing, other = texture(480, 360, seed=1), texture(480, 360, seed=2)
    pixels = [thing, view(thing, seed=3), other]
    return [extract_evidence(Image.fromarray(each)) for each in pixels]


PHOTOS = [Photo(n, Path(f"{n}.jpg"), 1, 1, f"{n:064x}", 480, 360, "ok", None) for n in range(3)]
NEAR = near(0.5, 0.2, 0.2)


def test_near_results_that_agree_with_a_verified_view_are_the_same_thing(
    seen: list[Evidence],
) -> None:
    found = decide_by_views([VIEW, STRANGER, STRANGER], seen, NEAR, PHOTOS, Hints())
    assert found[0] is VIEW
    assert found[2] is STRANGER
    assert SAME < found[1].probability < VIEW.probability
    assert (found[1].kind, found[1].agreement) == ("view", STRANGER.agreement)
    ranking = Ranking(np.arange(3), np.zeros(3), decided=dict(enumerate(found[1:])))
    assert surest_view(ranking) is None  # what was found so finds nothing itself


@pytest.mark.parametrize(
    ("first", "second", "closeness"),
    [
        (replace(VIEW, agreement=UNSURE), STRANGER, 0.2),
        (replace(VIEW, agreement=None), STRANGER, 0.2),
        (replace(VIEW, kind="copy"), STRANGER, 0.2),
        (VIEW, STRANGER, 0.09),  # it may show another part
        (VIEW, replace(STRANGER, probability=0.0, hint=True), 0.2),
        (VIEW, replace(STRANGER, probability=0.7), 0.2),
        (VIEW, replace(STRANGER, agreement=None), 0.2),
    ],
)
def test_nothing_else_is_decided_by_views(
    seen: list[Evidence], first: Decided, second: Decided, closeness: float
) -> None:
    decided = [first, second]
    assert decide_by_views(decided, seen[:2], near(0.5, closeness), PHOTOS[:2], Hints()) == decided


def test_views_that_a_person_called_different_decide_nothing(seen: list[Evidence]) -> None:
    contents = [str(photo.content) for photo in PHOTOS]
    apart = Hints([Hint("different", (contents[0], contents[1]), "2026-01-01T00:00:00Z")])
    decided = [VIEW, STRANGER]
    assert decide_by_views(decided, seen[:2], near(0.5, 0.2), PHOTOS[:2], apart) == decided


def test_few_pairs_are_tried(seen: list[Evidence], monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(expansion, "_probability_of_same", lambda *pair: tried.append(pair) or 0.0)
    decided = [VIEW] * 4 + [STRANGER] * 16
    evidence, photos = [seen[0]] * 20, [PHOTOS[0]] * 20
    decide_by_views(decided, evidence, near(*[0.2] * 20), photos, Hints())
    assert len(tried) == expansion.TRIED


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The query shows one side, an indexed photo both, and another one the other side."""
    root = tmp_path_factory.mktemp("sides")
    (root / "photos").mkdir()
    whole = texture(960, 360, seed=1)
    shown = {"both": whole[:, 120:840], "other-side": whole[:, 480:]}
    shown |= {f"stranger-{n:02}": texture(480, 360, seed=50 + n) for n in range(10)}
    for name, pixels in shown.items():
        cv2.imwrite(str(root / "photos" / f"{name}.png"), pixels[..., ::-1])
    cv2.imwrite(str(root / "query.png"), whole[:, :480][..., ::-1])
    samples.index(root / "photos", root / "c")
    return root


def search_sides(root: Path, **options: object) -> dict[str, resight.Result]:
    found = resight.search(root / "query.png", root / "c", k=12, **options)  # type: ignore[arg-type]
    return {result.path.stem: result for result in found}


@pytest.mark.parametrize(
    ("options", "moves"), [({}, True), ({"decide": False}, False), ({"verify": 2}, False)]
)
@pytest.mark.slow
def test_searches_that_decide_move_the_other_side_of_the_thing(
    sides: Path, options: dict[str, object], moves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expanded = list(search_sides(sides, **options))
    monkeypatch.setattr(pipeline, "expand", lambda store, descriptors, ranking: ranking)
    plain = list(search_sides(sides, **options))
    assert expanded[0] == plain[0] == "both"
    assert sorted(expanded) == sorted(plain)
    if moves:
        assert expanded.index("other-side") < plain.index("other-side")
    else:
        assert expanded == plain


def test_pairs_are_decided_by_views_as_in_searches(
    sides: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert search_sides(sides)["other-side"].verdict == "different"  # not near the query
    monkeypatch.setattr(expansion, "NEAR", -np.inf)
    found = search_sides(sides)
    assert list(found)[:2] == ["both", "other-side"]
    assert {result.verdict for result in list(found.values())[2:]} == {"different"}
    result = found["other-side"]
    assert (result.verdict, result.kind, result.inliers) == ("same", "view", 0)
    pair = resight.same(sides / "query.png", result.path, collection=sides / "c")
    assert (pair.probability, pair.kind) == (result.probability, "view")
