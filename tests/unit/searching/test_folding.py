"""Photos of identical content are one result, with the others as its copies."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import samples
from resight.collection import Collection
from resight.config import SearchConfig
from resight.searching import Searcher
from resight.searching import nearest as module


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return eight photos, of which 000 has three copies and 005 one, indexed in `c`."""
    folder = tmp_path_factory.mktemp("folding")
    photos = samples.draw_many(folder / "photos", 8)
    for name in ("a", "b", "c"):
        shutil.copy(photos[0], folder / "photos" / f"{name}.png")
    shutil.copy(photos[5], folder / "photos" / "z.png")
    samples.index(folder / "photos", folder / "c")
    return photos


@pytest.fixture
def searcher(photos: list[Path]) -> Iterator[Searcher]:
    with Collection.open(photos[0].parent.parent / "c") as collection:
        yield Searcher(collection)


def test_copies_are_folded(searcher: Searcher, photos: list[Path]) -> None:
    results = searcher.search(photos[0], SearchConfig(k=20))
    assert len(results) == 8
    assert results.total == 12
    first = results.results[0]
    assert first.path == photos[0]
    assert first.copies == tuple(photos[0].with_name(f"{name}.png") for name in "abc")
    assert first.to_dict()["copies"] == [str(path) for path in first.copies]
    assert sum(len(result.copies) for result in results) == 4
    assert [result.rank for result in results] == list(range(1, 9))
    listed = searcher.search(photos[0], SearchConfig(k=20, fold=False))
    assert len(listed) == 12
    assert not any(result.copies for result in listed)
    assert "copies" not in listed.results[0].to_dict()


def test_pages_neither_overlap_nor_omit(searcher: Searcher, photos: list[Path]) -> None:
    whole = searcher.search(photos[0], SearchConfig(k=20)).results
    for size in (1, 3):
        pages = [
            searcher.search(photos[0], SearchConfig(k=size, offset=offset)).results
            for offset in range(0, 9, size)
        ]
        assert [result for page in pages for result in page] == whole


def test_many_copies_leave_the_page_full(
    searcher: Searcher, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DECIDABLE", 2)
    results = searcher.search(photos[0], SearchConfig(k=3))
    assert len(results) == 3
    assert len(results.results[0].copies) == 3


def test_pages_beyond_the_folded_ranks_are_full(
    searcher: Searcher, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DECIDABLE", 2)
    monkeypatch.setattr(module, "FOLDED", 4)  # the photo and its three copies
    whole = searcher.search(photos[0], SearchConfig(k=20)).results
    assert len(whole) == 9
    pages = [searcher.search(photos[0], SearchConfig(k=2, offset=at)) for at in range(0, 10, 2)]
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1]
    assert [result.path for page in pages for result in page] == [r.path for r in whole]


def test_a_maximum_distance_counts_the_copies(searcher: Searcher, photos: list[Path]) -> None:
    near = searcher.search(photos[0], SearchConfig(max_distance=1e-4))
    assert (len(near), near.total) == (1, 4)
    sure = searcher.search(photos[0], SearchConfig(min_probability=0.9))
    assert sure.total == len(sure) + sum(len(result.copies) for result in sure)
