"""Searches from Python: kinds of queries, pages of results, plain values and HTML."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import samples
from resight.backends.store import Filter
from resight.collection import Collection
from resight.config import RerankConfig, SearchConfig
from resight.errors import QueryError, UsageError
from resight.photos.images import load_image
from resight.searching import Searcher
from resight.searching.query import open_query


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("searching")
    photos = samples.draw_many(folder / "photos", 6)
    samples.index(folder / "photos", folder / "c")
    return photos


def test_kinds_of_queries(photos: list[Path]) -> None:
    image = load_image(photos[0])
    with Collection.open(photos[0].parent.parent / "c") as collection:
        searcher = Searcher(collection)
        expected = searcher.search(photos[0], SearchConfig(k=4, verify=2))
        for query in (str(photos[0]), image, np.asarray(image)):
            results = searcher.search(query, SearchConfig(k=4, verify=2))
            assert [r.path for r in results] == [r.path for r in expected]
            assert [r.inliers for r in results] == [r.inliers for r in expected]
            assert results.results[0].distance < 1e-5
            assert (results.query is None) == (not isinstance(query, str))
        boxed = searcher.search(image, box=(0, 0, 100, 80))
        assert boxed.to_dict() | {"query": None} == boxed.to_dict()
        assert len(boxed) == boxed.total == 6


def test_pages_and_the_largest_distance(photos: list[Path]) -> None:
    with Collection.open(photos[0].parent.parent / "c") as collection:
        searcher = Searcher(collection)
        whole = searcher.search(photos[1], SearchConfig(k=6)).results
        page = searcher.search(photos[1], SearchConfig(k=2, offset=3))
        assert page.results == whole[3:5]
        limit = whole[2].distance
        near = searcher.search(photos[1], SearchConfig(max_distance=limit))
        assert near.results == whole[: near.total]
        assert near.total is not None
        assert near.total >= 3


def test_notebooks_show_escaped_thumbnails(photos: list[Path]) -> None:
    with Collection.open(photos[0].parent.parent / "c") as collection:
        results = Searcher(collection).search(photos[0], SearchConfig(k=2))
    shown = results._repr_html_()
    assert shown.count("data:image/jpeg;base64,") == 2
    assert "<script" not in shown


def test_queries_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(QueryError, match="image"):
        _ = open_query(tmp_path / "text.png").image
    with pytest.raises(UsageError, match="not inside"):
        open_query(Image.new("RGB", (10, 10)), (5, 5, 10, 10))


def test_reranking_where_no_photo_passes_the_filter(photos: list[Path]) -> None:
    collection = photos[0].parent.parent / "c"
    with Collection.open(collection) as opened:
        found = Searcher(opened).search(
            photos[0], SearchConfig(rerank=RerankConfig(method="aqe")), where=Filter(min_side=9999)
        )
    assert list(found) == []
