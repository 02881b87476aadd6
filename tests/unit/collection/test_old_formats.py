"""Collections of formats 1 and 2 open, search and update; see the scripts in tests/fixtures."""

import json
import os
import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import samples
from environment import ROOT
from resight.backends.manage import info, remove
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.collection.writer import writing
from resight.config import ExtractionConfig, LocalConfig, SearchConfig, SelectionConfig
from resight.evaluation import evaluate
from resight.indexing.fitting import fit
from resight.indexing.pipeline import index
from resight.methods.model import Model
from resight.searching import search

FIXTURES = ROOT / "tests" / "fixtures"
EXPECTED_V2 = json.loads((FIXTURES / "expected_v2.json").read_text("utf-8"))


# Format 1


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "collection-v1", tmp_path / "v1"))


def test_format_1_is_read(first_format: Path) -> None:
    with Collection.open(first_format) as opened:
        assert opened.config == ExtractionConfig(cam=True, dtype="float16")
        assert opened.reduction_config == SelectionConfig(features=3)
        assert opened.model == Model("ab" * 32)
        photos = list(opened.photos())
        assert [os.fsencode(photo.path) for photo in photos] == [
            b"/photos/one.jpg",
            b"/photos/two.jpg",
            b"/photos/three \xe2\x98\x83 \xff.jpg",
            b"/photos/copy of one.jpg",
            b"/photos/broken.jpg",
        ]
        assert [photo.state for photo in photos] == ["ok"] * 4 + ["failed"]
        assert [photo.content == photos[0].content for photo in photos] == [1, 0, 0, 1, 0]
        assert (photos[1].width, photos[1].height, photos[1].size) == (480, 640, 9)
        assert photos[0].mtime_ns == 1_700_000_000_123_456_789
        assert photos[4].reason == "not an image, or damaged beyond recognition"
        stored = opened.descriptors(str(photos[1].content))
        assert stored is not None
        assert stored.intact
        np.testing.assert_array_equal(stored.global_, [1.5, 1.0, 0.25, 1.0, 0.5, 2.0])
        np.testing.assert_array_equal(stored.local, [1.0, 1.0, 0.0, 0.0, 0.0, 3.5])


def test_format_1_is_searched(first_format: Path, tmp_path: Path) -> None:
    # Its descriptor is stored by the content of the file, so that no weights are needed. Compared
    # are the columns 0, 2 and 5; each distance is the lesser of the global and the local one:
    # two min(1, 0.5); three min(3.5 + 0.25 + 2, 0.5 + 0.125 + 1).
    query = tmp_path / "query.jpg"
    query.write_bytes(b"photo one")
    found = search(query, first_format, SearchConfig(k=9, fold=False))
    assert [(os.fsencode(r.path), r.distance) for r in found.results] == [
        (b"/photos/one.jpg", 0.0),
        (b"/photos/copy of one.jpg", 0.0),
        (b"/photos/two.jpg", 0.5),
        (b"/photos/three \xe2\x98\x83 \xff.jpg", 1.625),
    ]


def test_format_1_is_evaluated_checked_and_shown(first_format: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"ones": ["/photos/one.jpg", "/photos/copy of one.jpg"]}))
    assert evaluate(groups, first_format).report.mean_average_precision == 1.0
    assert check(first_format).problems == []
    status = info(first_format)
    assert status.photos == 4
    assert status.selection is not None
    assert status.selection["photos"] == 4
    assert status.failed == [
        (Path("/photos/broken.jpg"), "not an image, or damaged beyond recognition")
    ]


def test_format_1_is_upgraded(first_format: Path) -> None:
    with writing(first_format) as writer:
        before = load_arrays(writer.collection).database
        photo = next(writer.collection.photos("ok"))
        writer.remove([photo])
        after = load_arrays(writer.collection).database
        assert set(before.ids) - set(after.ids) == {photo.id}
    with closing(sqlite3.connect(first_format / "resight.sqlite")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
    assert check(first_format).problems == []


def test_format_1_is_written(first_format: Path) -> None:
    (removed,) = remove([Path("/photos/one.jpg")], first_format)
    assert removed == Path("/photos/one.jpg")
    assert info(first_format).photos == 3
    samples.assert_whole(first_format)


def test_format_1_of_sift_vlad_is_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FIXTURES / "collection-v1-sift-vlad", tmp_path / "v1"))
    with Collection.open(folder) as opened:
        assert opened.config == LocalConfig(method="sift-vlad", centers=2)
        learned = opened.fitted_params()
        assert learned is not None
        np.testing.assert_array_equal(learned["words"].ravel(), np.arange(256) / 256)
    query = tmp_path / "query.jpg"
    query.write_bytes(b"photo one")
    found = search(query, folder, SearchConfig(k=2))
    assert [(r.path.name, r.distance) for r in found.results] == [("one.jpg", 0), ("two.jpg", 1)]
    assert check(folder).problems == []


def test_the_files_of_format_1_are_those_of_their_script() -> None:
    # The script and the files cannot drift apart: it makes the same rows once more.
    module = runpy.run_path(str(FIXTURES / "make_collections_v1.py"))
    assert module["SCHEMA"].count("CREATE TABLE") == 4
    for name, rows in (
        ("collection-v1", module["CNN_ROWS"]),
        ("collection-v1-sift-vlad", module["SIFT_ROWS"]),
    ):
        path = FIXTURES / name / "resight.sqlite"
        assert path.stat().st_size < 16_384
        uri = f"{path.as_uri()}?immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            (count,) = database.execute("SELECT count(*) FROM descriptors").fetchone()
            assert count == len(rows)
            assert database.execute("PRAGMA user_version").fetchone() == (1,)


# Format 2, before fields of configurations were renamed


@pytest.fixture(params=sorted(EXPECTED_V2))
def second_format(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return a copy of a collection, and the results of the version that created it."""
    folder = Path(shutil.copytree(FIXTURES / request.param, tmp_path / "c"))
    return folder, EXPECTED_V2[request.param]


def test_format_2_gives_the_same_answers(
    second_format: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, expected = second_format
    query = tmp_path / "query.jpg"
    query.write_bytes(expected["query"].encode())
    results = search(query, folder, SearchConfig(k=6)).results
    paths, distances = zip(*expected["results"], strict=True)
    assert tuple(str(r.path) for r in results) == paths
    # Distances of hundreds, in float32: processors round differently.
    assert [r.distance for r in results] == pytest.approx(distances, rel=1e-6, abs=1e-4)
    with Collection.open(folder) as opened:
        assert opened.meta("fingerprint") == expected["fingerprint"]
        assert opened.model is not None
        assert opened.fingerprint(opened.model) == expected["fingerprint"]
        assert opened.distance == expected["distance"]
        reduction, reduced = opened.reduction(), expected["first_compared"]
        if reduced is not None:
            assert reduction is not None
            values = reduction.apply(next(opened.photo_descriptors())[1]).tolist()
            assert len(values) == reduction.dimensions == reduced["values"]
            assert (values[:4], values[-4:]) == (reduced["first"], reduced["last"])
    assert info(folder).photos == expected["photos"]
    assert len(info(folder).failed) == expected["failed"]
    assert check(folder).problems == []


def test_format_2_is_refitted_and_written(second_format: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = second_format
    with Collection.open(folder) as opened:
        stored = opened.reduction_config
        paths = [photo.path for photo in opened.photos("ok")]
    if expected["first_compared"] is not None:
        assert fit(folder).features == expected["first_compared"]["values"]
    assert remove(paths[:1], folder) == paths[:1]
    assert info(folder).photos == expected["photos"] - 1
    with Collection.open(folder) as opened:
        assert opened.reduction_config == stored
    samples.assert_whole(folder)


def test_format_2_of_sift_vlad_is_updated(tmp_path: Path) -> None:
    """A picture that is described again gets the stored descriptor, and new ones are added."""
    folder = Path(shutil.copytree(FIXTURES / "collection-v2-sift-vlad", tmp_path / "c"))
    query = tmp_path / "photos" / "query.png"
    query.parent.mkdir()
    blocks = np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8)
    picture = np.kron(blocks, np.ones((10, 10, 1), np.uint8))  # as in make_collections_v2.py
    Image.fromarray(picture).save(query)
    config = SearchConfig(k=6)
    described = EXPECTED_V2["collection-v2-sift-vlad"]["described_anew"]
    results = search(query, folder, config).results
    assert [[str(r.path), r.distance] for r in results] == described
    assert index([query.parent], folder).photos == 7
    first, second = search(query, folder, config).results[:2]
    assert {first.path, second.path} == {query, Path("/photos/001.png")}
    assert first.distance == second.distance == 0
