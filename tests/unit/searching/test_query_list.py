"""Queries that come from folders, lists and standard input."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

import samples
from resight.errors import UsageError
from resight.photos.files import split_paths
from resight.searching.query_list import list_queries


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder `photos` of three photos and a text file, in the current folder."""
    samples.draw_many(tmp_path / "photos" / "deep", 2)
    samples.draw(tmp_path / "photos" / "x.png", 9)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_photos_show_one_thing_and_are_named_as_given(folder: Path) -> None:
    queries = list_queries(["photos/x.png", "nowhere.jpg", "photos/x.png"])
    assert queries.paths == [Path("photos/x.png"), Path("nowhere.jpg")]
    assert not queries.listed


def test_a_folder_is_searched_as_index_does(folder: Path) -> None:
    queries = list_queries(["photos"])
    expected = [folder / "deep" / "000.png", folder / "deep" / "001.png", folder / "x.png"]
    assert queries.paths == expected
    assert queries.listed
    (folder / "gone.png").symlink_to("nowhere")
    (failed,) = list_queries([folder]).failed
    assert failed[0] == folder / "gone.png"


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_lists_and_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, separator: bytes
) -> None:
    lines = separator.join([b"photos/x.png", b"photos/deep", b"nowhere.jpg", b""])
    expected = [Path("photos/x.png"), folder / "deep" / "000.png", folder / "deep" / "001.png"]
    expected.append(Path("nowhere.jpg"))
    Path("list").write_bytes(lines)
    assert list_queries(["@list"]).paths == expected
    feed(monkeypatch, lines)
    queries = list_queries(["-"])
    assert (queries.paths, queries.listed) == (expected, True)


def test_names_with_line_ends_and_bytes_of_any_kind() -> None:
    assert split_paths(b"a\nb.jpg\0c.jpg\0") == [Path("a\nb.jpg"), Path("c.jpg")]
    assert split_paths(b"\xff.jpg\n") == [Path(os.fsdecode(b"\xff.jpg"))]


def test_nothing_to_search_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"\n\n")
    with pytest.raises(UsageError, match="no photos"):
        list_queries(["-"])
    with pytest.raises(UsageError, match="@missing: the list cannot be read"):
        list_queries(["@missing"])


def test_an_empty_query_is_not_the_current_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="a query is empty"):
        list_queries(["photos/x.png", ""])
