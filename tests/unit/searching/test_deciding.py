"""Searches that decide: verdicts, places, filters, and what happens without evidence."""

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import ImageFilter

import resight
import samples
from resight.cli.search_output import SearchOutput
from resight.collection import Collection
from resight.config import ExtractionConfig, SearchConfig
from resight.demo.objects import vase
from resight.demo.scenes import photograph
from resight.descriptors.extractor import Description
from resight.errors import UsageError
from resight.evidence import Kind
from resight.photos.transforms import bounding_box
from resight.ranking.exact import Query
from resight.searching import Searcher
from resight.searching.nearest import strangers_among
from resight.searching.pipeline import search_store
from resight.searching.query import (
    SAME,
    QueryPhoto,
    Verdict,
    VerifiedMatch,
    open_query,
    verdict_of,
)
from resight.searching.sameness import KINDS, VERDICTS, Sameness
from views import texture, view


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views of one thing among strangers, indexed with evidence and without."""
    root = tmp_path_factory.mktemp("deciding")
    (root / "photos").mkdir()
    thing = texture(320, 240, seed=1)
    for number in range(3):
        save(root / "photos" / f"thing-{number}.png", view(thing, seed=number, strength=0.05))
    for number in range(9):
        save(root / "photos" / f"other-{number}.png", texture(320, 240, seed=20 + number))
    save(root / "query.png", view(thing, seed=10, strength=0.05))
    save(root / "stranger.png", texture(320, 240, seed=90))
    samples.index(root / "photos", root / "c")
    samples.index(root / "photos", root / "bare", evidence=False)
    return root


def save(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


def names(results: resight.SearchResults) -> list[str]:
    return [result.path.stem for result in results]


@pytest.mark.slow
def test_views_are_found_and_strangers_are_not(folder: Path) -> None:
    results = resight.search(folder / "query.png", folder / "c", k=12)
    assert results.found == 3
    assert sorted(names(results)[:3]) == ["thing-0", "thing-1", "thing-2"]
    for result in results.results[:3]:
        assert result.verdict == "same"
        assert result.kind == "view"
        assert result.inliers is not None
        assert result.inliers > 20
        assert result.region is not None
        assert result.region[2] > 140  # most of the photo agrees
    assert all(result.verdict == "different" for result in results.results[3:])
    entry = results.to_dict()
    assert entry["found"] == 3
    assert {"verdict", "probability", "kind", "inliers", "region"} <= entry["results"][0].keys()


def test_a_query_that_is_nowhere_finds_nothing(folder: Path) -> None:
    results = resight.search(folder / "stranger.png", folder / "c", k=12)
    assert results.found == 0
    assert len(results) == 12


def test_only_probable_results(folder: Path) -> None:
    sure = resight.search(folder / "query.png", folder / "c", k=12, min_probability=SAME)
    assert len(sure) == sure.total == 3
    nothing = resight.search(folder / "stranger.png", folder / "c", min_probability=0.5)
    assert len(nothing) == nothing.total == 0
    with pytest.raises(UsageError, match="min_probability"):
        SearchConfig(min_probability=0.5, decide=False)
    with pytest.raises(UsageError, match="min_probability"):
        SearchConfig(min_probability=1.5)


def test_ranking_only(folder: Path) -> None:
    results = resight.search(folder / "query.png", folder / "c", k=12, decide=False)
    assert results.found is None
    assert all(result.verdict is None for result in results)
    distances = [result.distance for result in results]
    assert distances == sorted(distances)
    assert "found" not in results.to_dict()


def test_without_evidence_the_descriptors_decide_and_the_order_stays(folder: Path) -> None:
    results = resight.search(folder / "query.png", folder / "bare", k=12)
    plain = resight.search(folder / "query.png", folder / "bare", k=12, decide=False)
    assert names(results) == names(plain)
    assert all(result.probability is not None for result in results)
    assert all(result.inliers is None for result in results)


def test_the_same_file_is_a_copy(folder: Path) -> None:
    first = resight.search(folder / "photos" / "other-3.png", folder / "c").results[0]
    assert (first.probability, first.kind, first.path.stem) == (1.0, "copy", "other-3")


def test_pages_join_to_the_whole(folder: Path) -> None:
    whole = resight.search(folder / "query.png", folder / "c", k=12).results
    pages = [
        resight.search(folder / "query.png", folder / "c", SearchConfig(k=5, offset=offset)).results
        for offset in (0, 5, 10)
    ]
    assert [result for page in pages for result in page] == whole


def test_a_box_is_decided_for_itself(folder: Path) -> None:
    save(folder / "both.png", np.hstack([texture(320, 240, seed=91), texture(320, 240, seed=1)]))
    right = resight.search(folder / "both.png", folder / "c", box=(320, 0, 320, 240))
    left = resight.search(folder / "both.png", folder / "c", box=(0, 0, 320, 240))
    assert right.found == 3
    assert left.found == 0
    region = right.results[0].query_region
    assert region is not None
    assert region[0] >= 320  # in pixels of the whole photo


def test_two_photos_alone(folder: Path) -> None:
    things = folder / "photos" / "thing-0.png", folder / "photos" / "thing-1.png"
    other = folder / "photos" / "other-0.png"
    alone = resight.same(*things)
    assert (alone.verdict, alone.kind, alone.distance) == ("same", "view", None)
    assert resight.same(things[0], other).verdict == "different"
    assert resight.same(things[0], things[0]).kind == "copy"
    within = resight.same(*things, collection=folder / "c")
    assert within.verdict == "same"
    results = resight.search(things[0], folder / "c", k=12, decide=False)
    assert within.distance == pytest.approx(
        next(result.distance for result in results if result.path == things[1]), rel=1e-5
    )
    assert resight.same(things[0], other, collection=folder / "c").verdict == "different"


@pytest.mark.slow
def test_pairs_are_decided_and_explained_as_in_searches(folder: Path) -> None:
    results = resight.search(folder / "query.png", folder / "c", k=12)
    assert [result.inliers > 20 for result in results] == [True] * 3 + [False] * 9
    assert {result.inliers for result in results.results[3:]} == {0}  # chance does not count
    for result in results:
        pair = folder / "query.png", result.path
        decided = resight.same(*pair, collection=folder / "c")
        assert decided == Sameness(
            result.probability, result.kind, result.match, pytest.approx(result.distance)
        )
    best = results.results[0]
    why = resight.explain(folder / "query.png", best.path, collection=folder / "c")
    assert (why.sameness.verdict, why.sameness.kind) == (best.verdict, best.kind)
    assert len(why.matches) == best.inliers
    assert bounding_box(why.matches[:, :2]) == best.query_region
    assert bounding_box(why.matches[:, 2:]) == best.region


def test_decisions_as_phrases() -> None:
    one = VerifiedMatch(1, (0, 0, 1, 1), (0, 0, 1, 1))
    assert str(Sameness(0.6, "view", one)) == (
        "probably the same thing (60 %), another view: 1 place agrees"
    )
    assert str(Sameness(0.031, None, None)) == "not the same thing (3 %): no places agree"
    assert KINDS.keys() == set(get_args(Kind))
    assert VERDICTS.keys() == set(get_args(Verdict))


def test_verdicts() -> None:
    assert [verdict_of(p) for p in (0, 0.49, 0.5, 0.84, 0.85, 1)] == [
        *("different", "different", "probable"),
        *("probable", "same", "same"),
    ]


@pytest.mark.slow
def test_a_new_query_is_described_once_and_compared_by_its_columns(tmp_path: Path) -> None:
    """Night and snow leave little of SIFT features; here the query is too blurred for them."""
    config = ExtractionConfig(
        backbone="efficientnet-lite0", resolutions=(320,), layers=("expand",), upscale=True
    )
    (tmp_path / "photos").mkdir()
    things = [
        photograph(np.random.default_rng(seed), vase(np.random.default_rng(seed)), 1.0)
        for seed in range(3)
    ]
    for number, thing in enumerate(things):
        thing.save(tmp_path / "photos" / f"{number}.png")
    samples.index(tmp_path / "photos", tmp_path / "c", config=config)
    width, height = things[2].size
    part = things[2].crop((width // 8, height // 8, width, height))
    query = open_query(part.filter(ImageFilter.GaussianBlur(9)))
    described = []

    with Collection.open(tmp_path / "c") as collection:
        searcher = Searcher(collection)

        def describe(photo: QueryPhoto) -> Description:
            described.append(photo)
            return searcher.describe(photo)

        page = search_store(
            searcher.store,
            [query],
            SearchConfig(k=3),
            describe=describe,
            columns_map=searcher.columns_map,
        )
    assert described == [query]
    assert page.results[0].path.stem == "2"
    assert page.results[0].inliers is not None
    assert page.results[0].inliers > 8
    assert all(not result.inliers for result in page.results[1:])


def test_the_fallback_to_descriptors_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("c", "bare"):
        SearchOutput().print_one(resight.search(folder / "query.png", folder / name, k=12))
        said = capsys.readouterr().err
        assert ("decided by descriptors alone" in said) == (name == "bare")


def test_a_blank_query_is_said_to_be_one(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((240, 320, 3), 255, np.uint8))
    results = resight.search(blank, folder / "c")
    assert results.blank
    assert results.found == 0
    assert results.to_dict()["blank"] is True
    SearchOutput().print_one(results)
    printed = capsys.readouterr().err
    assert printed.count("the query shows too few details to be compared") == 1
    results = resight.search([blank, folder / "query.png"], folder / "c")
    assert (results.blank, results.found) == (False, 3)
    results = resight.search(folder / "stranger.png", folder / "c")
    assert (results.blank, results.found) == (False, 0)
    assert "blank" not in results.to_dict()


def test_photos_that_are_removed_during_a_search_do_not_stop_it() -> None:
    class Shrinking:
        def count(self, state: str) -> int:
            return 50

    distances = np.linspace(0.1, 1.0, 62, dtype=np.float32)
    query = Query(np.ones(8, np.float32))
    found = strangers_among(Shrinking(), query, distances)  # type: ignore[arg-type]
    assert found is not None
    assert found.count == 62
