"""The HTML page of results: complete in itself, without scripts, with everything escaped."""

import re
from pathlib import Path

import pytest

import samples
from resight.errors import UsageError
from resight.searching.query import Result, SearchResults
from resight.views.results_page import results_page, save_results_page


@pytest.fixture
def results(tmp_path: Path) -> SearchResults:
    query = samples.draw(tmp_path / "<script>alert(1)</script>" / "q & <b>.png", 0)
    same = samples.draw(tmp_path / '"onload="x.png', 1)
    copy = tmp_path / "<i>copy.png"
    return SearchResults(
        query,
        None,
        [
            Result(1, same, 0.1, None, 0.97, "crop", copies=(copy,)),
            Result(2, tmp_path / "gone.png", 0.5, None, 0.6, "view"),
            Result(3, samples.draw(tmp_path / "other.png", 2), 0.9, None, 0.02),
        ],
    )


def test_the_page_is_complete_and_escaped(results: SearchResults) -> None:
    page = results_page(results)
    assert "<script" not in page
    assert "<b>.png" not in page
    assert "<i>" not in page
    assert 'src=""onload' not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    for text in ("same thing, 97 %, crop", "probably, 60 %", "Similar, but not the same", "2 %"):
        assert text in page
    assert page.index("probably, 60 %") < page.index("Similar, but not the same")
    assert "copy: " in page
    assert "cannot be read" in page


def test_many_queries(results: SearchResults) -> None:
    nothing = SearchResults(Path("n.png"), None, results.results[2:])
    page = results_page([results, nothing])
    assert "1 of 2 queries found something" in page
    assert page.count("Nothing shows the same thing") == 1


def test_only_pages_are_written(results: SearchResults, tmp_path: Path) -> None:
    save_results_page(results, tmp_path / "page.HTML")
    assert (tmp_path / "page.HTML").read_text("utf-8").startswith("<!doctype html>")
    photo = results.results[0].path
    before = photo.read_bytes()
    with pytest.raises(UsageError, match=r"name it with \.html"):
        save_results_page(results, photo)
    assert photo.read_bytes() == before
    with pytest.raises(UsageError, match="cannot be written"):
        save_results_page(results, tmp_path / "nowhere" / "page.html")


def test_only_own_pages_are_overwritten(results: SearchResults, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    for _ in range(2):
        save_results_page(results, target)
    target.write_text("<!doctype html><title>Mine</title>")
    with pytest.raises(UsageError, match=r"page\.html: exists"):
        save_results_page(results, target)
    assert "Mine" in target.read_text()
