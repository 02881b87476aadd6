"""Evidence in index runs: made once, made later, left out, damaged, removed with its photo."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import samples
from resight.backends.manage import remove
from resight.collection import Collection
from resight.collection.integrity import check
from resight.config import ExtractionConfig
from resight.descriptors.extractor import Description
from resight.evidence.encoding import VERSION, from_bytes
from resight.indexing.cluster.segments import Segment, decode, encode
from resight.indexing.extraction import PhotoResult
from resight.photos.files import PhotoFile
from resight.searching import Searcher
from resight.searching.query import open_query


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples.draw_many(tmp_path / "photos", 6)
    return tmp_path / "photos"


def stored(collection: Path) -> dict[str, bytes]:
    """Return the evidence by file name."""
    with Collection.open(collection) as opened:
        photos = {photo.path.name: str(photo.content) for photo in opened.photos("ok")}
        evidence = opened.evidence(photos.values())
    return {name: evidence[content] for name, content in photos.items() if content in evidence}


def test_a_run_keeps_evidence_of_every_photo(folder: Path, tmp_path: Path) -> None:
    samples.index(folder, tmp_path / "c")
    kept = stored(tmp_path / "c")
    assert sorted(kept) == sorted(path.name for path in folder.iterdir())
    for data in kept.values():
        evidence = from_bytes(data)
        assert evidence is not None
        assert evidence.size == (120, 90)
        assert len(evidence) > 20


def test_columns_are_those_of_the_network_and_the_same_when_made_later(
    folder: Path, tmp_path: Path
) -> None:
    config = ExtractionConfig(
        backbone="efficientnet-lite0", resolutions=(160,), layers=("expand",), upscale=True
    )
    samples.index(folder, tmp_path / "c", config=config)
    samples.index(folder, tmp_path / "late", config=config, evidence=False)
    samples.index(folder, tmp_path / "late", config=config, evidence=True)
    assert stored(tmp_path / "late") == stored(tmp_path / "c")
    with Collection.open(tmp_path / "c") as collection:
        searcher = Searcher(collection)
        for name, data in stored(tmp_path / "c").items():
            evidence = from_bytes(data)
            expected = searcher.describe(open_query(folder / name)).columns
            assert evidence is not None
            assert evidence.columns is not None
            assert expected is not None
            assert len(expected) > 20
            np.testing.assert_array_equal(evidence.columns.codes, expected.codes)
            np.testing.assert_array_equal(evidence.columns.places, expected.places)


def test_evidence_changes_no_descriptor(folder: Path, tmp_path: Path) -> None:
    samples.index(folder, tmp_path / "with")
    samples.index(folder, tmp_path / "without", evidence=False)
    ours, theirs = samples.contents(tmp_path / "with"), samples.contents(tmp_path / "without")
    assert ours["descriptors"] == theirs["descriptors"]


def test_a_run_without_evidence_is_remembered_and_completed_later(
    folder: Path, tmp_path: Path
) -> None:
    collection = tmp_path / "c"
    samples.index(folder, collection, evidence=False)
    samples.draw(folder / "new.png", 50)
    samples.index(folder, collection)
    assert stored(collection) == {}
    stages: list[str] = []
    samples.index(
        folder, collection, evidence=True, progress=lambda name, done, total: stages.append(name)
    )
    kept = stored(collection)
    assert len(kept) == 7
    assert stages.count("evidence") == 7
    samples.index(folder, tmp_path / "at once")
    assert kept == stored(tmp_path / "at once")
    samples.index(folder, collection)  # nothing is left to do
    assert stored(collection) == kept


def test_a_photo_that_is_gone_gets_no_evidence_later(folder: Path, tmp_path: Path) -> None:
    samples.index(folder, tmp_path / "c", evidence=False)
    (folder / "000.png").unlink()
    samples.draw(folder / "001.png", 99)
    samples.index(folder, tmp_path / "c", evidence=True)
    assert sorted(stored(tmp_path / "c")) == [f"{n:03}.png" for n in range(1, 6)]


def test_damaged_evidence_is_found_removed_and_made_again(folder: Path, tmp_path: Path) -> None:
    collection = tmp_path / "c"
    samples.index(folder, collection)
    before = stored(collection)
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database, database:
        (data,) = database.execute("SELECT data FROM evidence ORDER BY content").fetchone()
        damaged = data[:100] + bytes([data[100] ^ 1]) + data[101:]
        database.execute(
            "UPDATE evidence SET data = ? WHERE content = (SELECT min(content) FROM evidence)",
            (damaged,),
        )
    assert len(stored(collection)) == 5  # never served
    report = check(collection)
    assert report.problems == ["evidence: damaged for 1 photos"]
    assert check(collection).intact
    samples.index(folder, collection)
    assert stored(collection) == before


@pytest.mark.parametrize("fault", ["damaged", "another version"])
def test_a_run_makes_bad_evidence_again(folder: Path, tmp_path: Path, fault: str) -> None:
    collection = tmp_path / "c"
    samples.index(folder, collection)
    before = stored(collection)
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database, database:
        content, data, crc32 = database.execute("SELECT * FROM evidence").fetchone()
        if fault == "damaged":
            data = data[:-1] + bytes([data[-1] ^ 1])
        else:
            data = bytes([VERSION + 1]) + data[1:]
            crc32 = zlib.crc32(data)
        values = data, crc32, content
        database.execute("UPDATE evidence SET data = ?, crc32 = ? WHERE content = ?", values)
    stages: list[str] = []
    run = samples.index(folder, collection, progress=lambda name, *_: stages.append(name))
    assert stored(collection) == before
    assert run.report.evidence == 1
    assert stages.count("evidence") == 1


def test_evidence_leaves_with_the_last_photo_of_its_content(folder: Path, tmp_path: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "000.png").read_bytes())
    samples.index(folder, tmp_path / "c")
    remove(folder / "copy.png", tmp_path / "c")
    assert "000.png" in stored(tmp_path / "c")
    remove(folder / "000.png", tmp_path / "c")
    with closing(sqlite3.connect(tmp_path / "c" / "resight.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM evidence").fetchone() == (5,)


def test_segments_carry_evidence() -> None:
    def result(number: int, evidence: bytes | None) -> PhotoResult[Description]:
        values = np.full(3, number, np.float32)
        file = PhotoFile(Path(f"/{number}.jpg"), number, number)
        return PhotoResult(file, f"{number:064}", (4, 3), Description(values, evidence=evidence))

    failed: PhotoResult[Description] = PhotoResult(PhotoFile(Path("/f.jpg"), 1, 1), reason="no")
    results = (result(1, b"one"), failed, result(2, None), result(3, b"three"))
    read = decode(encode(Segment("f", results)), "segment").results
    found = [each.description.evidence if each.description else None for each in read]
    assert found == [b"one", None, None, b"three"]
    for each, original in zip(read, results, strict=True):
        assert each.file == original.file
