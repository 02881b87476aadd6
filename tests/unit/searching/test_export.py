"""Copies of and links to what was found, and results as CSV."""

import csv
import io
import os
import shutil
from pathlib import Path

import pytest

import samples
from resight.errors import UsageError
from resight.searching.export import COLUMNS, export_found, results_csv
from resight.searching.query import Result, SearchResults


def found(*paths: Path, probability: float = 0.9, query: str = "q.jpg") -> SearchResults:
    results = [Result(n, path, 0.5, None, probability) for n, path in enumerate(paths, 1)]
    return SearchResults(Path(query), None, results)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Return two photos of the same name and another, all a day old."""
    paths = [samples.draw(tmp_path / name, n) for n, name in enumerate(("a/x.png", "b/x.png"))]
    paths.append(samples.draw(tmp_path / "a" / "y.png", 2))
    for path in paths:
        os.utime(path, (10**9, 10**9))
    return paths


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_copies_get_numbered_names_and_keep_their_times(photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "out"
    export = export_found([found(*photos), found(photos[1])], folder)
    expected = {"x.png": 0, "x-2.png": 1, "y.png": 2}
    assert content(folder) == {name: photos[n].read_bytes() for name, n in expected.items()}
    assert {path.name for path in export.written} == set(expected)
    assert all(path.stat().st_mtime == 10**9 for path in folder.iterdir())
    again = export_found(found(*photos), folder)
    assert (again.written, len(again.present)) == ([], 3)
    assert len(content(folder)) == 3


def test_nothing_is_overwritten(photos: list[Path], tmp_path: Path) -> None:
    before = content(tmp_path / "b")
    export = export_found(found(photos[0], photos[2]), tmp_path / "b")
    assert [path.name for path in export.written] == ["x-2.png", "y.png"]
    assert content(tmp_path / "b").items() >= before.items()
    assert (
        export_found(found(photos[0]), tmp_path / "a").present == photos[:1]
    )  # where it lies itself
    assert len(content(tmp_path / "a")) == 2


def test_a_copy_that_fails_leaves_no_half_photo(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(source: io.BufferedReader, target: io.BufferedWriter) -> None:
        target.write(source.read(9))
        target.flush()
        seen.extend(path.name for path in (tmp_path / "out").iterdir())
        raise OSError("the disk is full")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    export = export_found(found(photos[0]), tmp_path / "out")
    assert export.failed == [(photos[0], "the disk is full")]
    assert len(seen) == 1
    assert not seen[0].endswith(".png")  # so a killed run leaves nothing like a photo
    assert content(tmp_path / "out") == {}


def test_a_dangling_link_is_not_written_through(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.png").symlink_to(tmp_path / "target.png")
    (copied,) = export_found(found(photos[0]), tmp_path / "out").written
    assert copied.name == "x-2.png"
    assert not (tmp_path / "target.png").exists()


def test_links(photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "links"
    export_found(found(*photos), folder, link=True)
    links = {path.name: path.readlink() for path in folder.iterdir()}
    assert links == {"x.png": photos[0], "x-2.png": photos[1], "y.png": photos[2]}
    assert export_found(found(*photos), folder, link=True).present == photos
    assert export_found(found(photos[0]), tmp_path / "a", link=True).present == photos[:1]
    (failed,) = export_found(found(Path("s3:/bucket/a.jpg")), folder, link=True).failed
    assert "object store" in failed[1]


def test_only_what_was_found_is_copied(photos: list[Path], tmp_path: Path) -> None:
    export = export_found(found(*photos, probability=0.4), tmp_path / "out")
    assert export.written == []
    assert content(tmp_path / "out") == {}


def test_photos_that_are_gone_are_listed(photos: list[Path], tmp_path: Path) -> None:
    photos[0].unlink()
    export = export_found(found(*photos), tmp_path / "out")
    assert [path for path, _ in export.failed] == [photos[0]]
    assert len(export.written) == 2


def test_a_file_is_no_folder(photos: list[Path]) -> None:
    before = photos[0].read_bytes()
    with pytest.raises(UsageError, match="cannot be written"):
        export_found(found(photos[2]), photos[0])
    assert photos[0].read_bytes() == before


def test_nothing_is_copied_into_a_collection(photos: list[Path], tmp_path: Path) -> None:
    collection = tmp_path / "c"
    collection.mkdir()
    (collection / "resight.sqlite").touch()
    with pytest.raises(UsageError, match="is a collection"):
        export_found(found(photos[0]), collection / "found")
    assert content(collection) == {"resight.sqlite": b""}


def test_csv(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b'/p/a "b",\n\xff.jpg'))
    text = results_csv([found(odd), found(Path("/p/c.jpg"), query="r.jpg")])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [
        list(COLUMNS),
        ["q.jpg", "1", '/p/a "b",\n\\xff.jpg', "0.5", "same", "0.9", "", ""],
        ["r.jpg", "1", "/p/c.jpg", "0.5", "same", "0.9", "", ""],
    ]
