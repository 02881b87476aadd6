"""Several views of one thing: one ranking, in which each photo counts by its best view."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resight.collection import Collection
from resight.config import RerankConfig, SearchConfig
from resight.errors import UsageError
from resight.evidence import Kind
from resight.searching import Searcher
from resight.searching.fusion import fuse, fuse_turned
from resight.searching.nearest import Ranking
from resight.searching.query import Decided, QueryPhoto, VerifiedMatch

MATCH = VerifiedMatch(9, None, None)


def ranked(ids: list[int], distances: list[float], **probabilities: float) -> Ranking:
    """Return a ranking whose photos `i7=0.9` were decided on."""
    decided = {int(name[1:]): Decided(p, MATCH) for name, p in probabilities.items()}
    return Ranking(np.array(ids), np.array(distances, np.float32), decided=decided)


FIRST = ranked([1, 2, 3, 4], [0.1, 0.5, 0.6, 0.9], i1=1.0, i2=0.1)
SECOND = ranked([3, 5, 1, 2], [0.2, 0.4, 0.7, 0.8], i3=0.97, i5=0.3)


def test_a_photo_counts_by_its_best_view() -> None:
    fused = fuse([FIRST, SECOND], by_rank=False)
    probability = {id_: decision.probability for id_, decision in fused.decided.items()}
    assert probability == {1: 1.0, 2: 0.1, 3: 0.97, 5: 0.3}
    assert {id_: fused.views[id_] for id_ in (1, 2, 3, 5)} == {1: 0, 2: 0, 3: 1, 5: 1}
    distances = dict(zip(fused.ids.tolist(), fused.distances.tolist(), strict=True))
    assert distances == pytest.approx({1: 0.1, 2: 0.5, 3: 0.2, 4: 0.9, 5: 0.4})
    assert fused.ids.tolist() == [1, 3, 5, 2, 4]  # the same things, and the others by distance


def test_re_ranked_photos_keep_their_best_rank() -> None:
    swapped = replace(FIRST, ids=np.array([4, 2, 3, 1]))  # 4 was moved to the front
    assert fuse([swapped, SECOND], by_rank=True).ids.tolist() == [4, 3, 5, 2, 1]


def test_one_view_is_not_changed() -> None:
    assert fuse([FIRST], by_rank=False) is FIRST


def test_photos_within_the_maximum_distance_are_counted_if_all_are_ranked() -> None:
    first, second = replace(FIRST, within=4), replace(SECOND, within=4)
    assert fuse([first, second], by_rank=False).within == 5
    assert fuse([first, replace(second, within=9)], by_rank=False).within is None


def test_views_find_what_each_finds(textured: Path) -> None:
    first, second = (textured.parent / "photos" / f"{n}.png" for n in (3, 7))
    with Collection.open(textured) as opened:
        searcher = Searcher(opened)
        fused = searcher.search([first, second])
        assert {result.path for result in fused if result.verdict == "same"} == {first, second}
        assert {(r.path, r.view) for r in fused.results[:2]} == {(first, 0), (second, 1)}
        assert (fused.query, fused.queries) == (first, (first, second))
        values = fused.to_dict()
        assert values["queries"] == [str(first), str(second)]
        assert [entry["view"] for entry in values["results"]] == [r.view for r in fused]
        twice, once = searcher.search([first, first]), searcher.search(first)
        assert twice.results == once.results
        assert "queries" not in once.to_dict()


@pytest.mark.parametrize("rerank", ["none", "aqe"])
def test_pages_of_several_views_are_parts_of_one_ranking(textured: Path, rerank: str) -> None:
    queries = [textured.parent / "photos" / f"{n}.png" for n in (3, 7)]
    config = SearchConfig(k=12, rerank=RerankConfig(method=rerank))  # type: ignore[arg-type]
    with Collection.open(textured) as opened:
        searcher = Searcher(opened)
        whole = searcher.search(queries, config).results
        pages = [searcher.search(queries, replace(config, k=4, offset=at)) for at in (0, 4, 8)]
    assert [result for page in pages for result in page] == whole
    assert len({result.path for result in whole}) == 12


def test_a_box_needs_a_single_query(textured: Path) -> None:
    queries = [textured.parent / "photos" / f"{n}.png" for n in (3, 7)]
    with Collection.open(textured) as opened:
        with pytest.raises(UsageError, match="single query"):
            Searcher(opened).search(queries, box=(0, 0, 50, 50))
        with pytest.raises(UsageError, match="query"):
            Searcher(opened).search([])


def test_a_copy_names_the_view_it_is_a_copy_of() -> None:
    def view(kind: Kind, distance: float, probability: float = 1.0) -> Ranking:
        decided = {1: Decided(probability, MATCH, kind)}
        return Ranking(np.array([1]), np.array([distance], np.float32), decided=decided)

    turned = [QueryPhoto(mirrored=True)]
    for original, mirrored, expected in (
        (view("view", 0.4), view("resized", 0.0), "mirrored"),
        (view("view", 0.4), view("view", 0.3), "view"),  # it is as it was, to all appearances
        (view("mirrored", 0.4), view("resized", 0.3), "mirrored"),
        (view("copy", 0.0), view("mirrored", 0.3), "copy"),
        (view("view", 0.4, 0.6), view("view", 0.3), "mirrored"),
    ):
        fused = fuse_turned([original, mirrored], turned, by_rank=False)
        assert fused.decided[1].kind == expected
