"""The approximate index: recall, updates, and errors without one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_quantized import coded, descriptors

import samples
from array_samples import KEPT, describe, make
from resight.backends.manage import info
from resight.collection import Collection, ann_index
from resight.collection.ann_index import build_ann_index, open_ann_index, read_ann_status
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.collection.writer import writing
from resight.config import SearchConfig
from resight.errors import CollectionError, UsageError
from resight.indexing import pipeline
from resight.progress import no_progress
from resight.ranking import ivf as inverted
from resight.ranking.approximate import nearest_by_lists
from resight.ranking.exact import Database, Query, nearest
from resight.ranking.ivf import InvertedLists, grow_lists, open_lists
from resight.searching import Searcher, search


def lists_of(database: Database, folder: Path) -> tuple[InvertedLists, ...]:
    sides = [rows for rows in (database.global_, database.local) if rows is not None]
    for i, rows in enumerate(sides):
        grow_lists(folder / f"{i}.lists", rows)
    return tuple(open_lists(folder / f"{i}.lists", rows.shape[1]) for i, rows in enumerate(sides))


@pytest.mark.parametrize("local", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_lists_find_nearly_all_of_the_nearest(tmp_path: Path, local: bool) -> None:
    sides = [descriptors(3000, 24, seed) for seed in range(2 if local else 1)]
    database = Database(7 + np.arange(3000), *sides)
    lists = lists_of(database, tmp_path)
    shares, firsts = [], []
    for row in range(0, 3000, 60):
        query = Query(database.global_[row], database.local[row + 1] if local else None)
        true = nearest(query, database, 10)
        actual = nearest_by_lists(query, database, lists, 10)
        shares.append(len(np.intersect1d(true.ids, actual.ids)) / 10)
        assert np.all(np.diff(actual.distances) >= 0)
        exact_distances = dict(zip(true.ids.tolist(), true.distances.tolist(), strict=True))
        for id_, distance in zip(actual.ids.tolist(), actual.distances.tolist(), strict=True):
            assert distance == exact_distances.get(id_, distance)
        firsts.append(actual.distances[0] == true.distances[0])
    assert np.mean(shares) >= 0.98
    assert np.mean(firsts) >= 0.98, "of the first places"


@pytest.mark.parametrize("with_codes", [False, True])
def test_rows_that_are_not_in_the_lists_are_found_too(tmp_path: Path, with_codes: bool) -> None:
    rows = descriptors(2000, 24, 1)
    lists = lists_of(Database(np.arange(1500), rows[:1500]), tmp_path)
    ids = np.arange(2000)
    ids[[3, 1600]] = -1  # gone
    database = Database(ids, rows, coded=(coded(rows),) if with_codes else ())
    for row in (3, 10, 1499, 1500, 1600, 1999):
        actual = nearest_by_lists(Query(rows[row]), database, lists, 5)
        assert len(actual.ids) == 5
        assert (actual.ids[0] == row) == (row not in (3, 1600))
        assert -1 not in actual.ids


def test_lists_grow_and_are_rebuilt_when_there_are_too_few(tmp_path: Path) -> None:
    rows, path, reports = descriptors(9000, 16, 1), tmp_path / "g.lists", []
    assert grow_lists(path, rows[:4000]) == 4000
    assert open_lists(path, 16).lists == 31
    assert grow_lists(path, rows[:5000], lambda done, total: reports.append((done, total))) == 1000
    assert open_lists(path, 16).count == 5000
    assert reports[-1] == (5000, 5000)
    assert grow_lists(path, rows[:5000]) == 0
    database = Database(np.arange(5000), rows[:5000])
    for row in (0, 4999):
        actual = nearest_by_lists(Query(rows[row]), database, [open_lists(path, 16)], 1)
        assert actual.ids.tolist() == [row]
    assert grow_lists(path, np.tile(rows, (3, 1))) == 27_000
    assert open_lists(path, 16).lists == 82


def update_index(folder: Path) -> ann_index.ApproximateIndex:
    with Collection.open(folder) as collection:
        return build_ann_index(collection, no_progress)


@pytest.mark.parametrize("cam", [False, True])
def test_the_index_of_a_collection_is_measured_and_stored(tmp_path: Path, cam: bool) -> None:
    folder = make(tmp_path / "c", cam=cam, count=300)
    actual = update_index(folder)
    assert actual.recall > 0.95
    assert (actual.rows, actual.queries) == (298, 100)
    assert set(actual.sha256) == ({"global", "local"} if cam else {"global"})
    assert info(folder).approximate == actual
    before = sorted((folder / "arrays").rglob("*.lists"))[0].stat().st_mtime_ns
    with writing(folder) as writer:
        describe(writer, 1000, cam=cam)
    assert update_index(folder) == actual  # few new photos are not added yet, but searched
    assert sorted((folder / "arrays").rglob("*.lists"))[0].stat().st_mtime_ns == before
    with Collection.open(folder) as collection:
        arrays = load_arrays(collection)
        database = arrays.database
        local = None if database.local is None else database.local[-1]
        lists = open_ann_index(arrays, actual)
        near = nearest_by_lists(Query(database.global_[-1], local), database, lists, 1)
        assert near.ids[0] == database.ids[-1]
    with writing(folder) as writer:
        for seed in range(2000, 2030):
            describe(writer, seed, cam=cam)
    assert update_index(folder).rows == 329
    with writing(folder) as writer:
        writer.store_reduction(KEPT, writer.collection.reduction_config, {})
    assert info(folder).approximate is None
    assert update_index(folder).rows == 329


def test_as_many_lists_are_read_as_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inverted, "MIN_PROBES", 1)
    folder = make(tmp_path / "c", cam=False, count=300)
    actual = update_index(folder)
    assert actual.probes > 1
    assert actual.recall >= 0.98
    with Collection.open(folder) as collection:
        (lists,) = open_ann_index(load_arrays(collection), actual)
        assert actual.probes == lists.probes <= lists.lists
    monkeypatch.setattr(ann_index, "TARGET_RECALL", 0.1)
    with Collection.open(folder) as collection:
        recall, _, probes = ann_index.measure_recall(load_arrays(collection))
    assert (recall < 0.98, probes) == (True, 1)


def damage(folder: Path) -> None:
    (path,) = (folder / "arrays").rglob("*.lists")
    with path.open("r+b") as file:
        file.seek(-5, 2)
        file.write(b"\x99")


def keep(folder: Path) -> ann_index.ApproximateIndex | None:
    """Index without an option for the approximate index."""
    with Collection.open(folder) as collection:
        ann_index.update_ann_index(collection, None, no_progress)
        return read_ann_status(collection)


def test_damage_is_detected_and_the_index_rebuilt(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", cam=False, count=50)
    update_index(folder)
    damage(folder)
    report = check(folder)
    assert report.problems == ["approximate index: global.lists was damaged"]
    assert info(folder).approximate is None
    again = keep(folder)
    assert again is not None
    assert again.rows == 48
    assert check(folder).problems == []


def test_nothing_is_added_to_a_damaged_index(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", cam=False, count=50)
    update_index(folder)
    damage(folder)
    with writing(folder) as writer:
        for seed in range(1000, 1010):
            describe(writer, seed, cam=False)
    assert update_index(folder).rows == 58
    assert check(folder).problems == []


def test_a_truncated_index_is_a_one_line_error(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", cam=False, count=50)
    exact_distances = update_index(folder)
    (path,) = (folder / "arrays").rglob("*.lists")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with (
        Collection.open(folder) as collection,
        pytest.raises(CollectionError, match=r"approximate index is damaged .* run resight check"),
    ):
        open_ann_index(load_arrays(collection), exact_distances)


def test_lists_of_descriptors_of_another_length_is_refused(tmp_path: Path) -> None:
    rows = descriptors(100, 24, 1)
    lists_of(Database(np.arange(100), rows), tmp_path)
    with pytest.raises(ValueError, match=r"0.lists is of 24 values, not 16"):
        open_lists(tmp_path / "0.lists", 16)


def test_an_index_of_earlier_versions_is_rebuilt(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", cam=False, count=50)
    with Collection.open(folder) as collection:
        arrays = load_arrays(collection).folder
    (arrays / "global.faiss").write_bytes(b"IHNf")
    status = {"rows": 48, "recall": 1.0, "queries": 48, "sha256": {"global": "0" * 64}}
    (arrays / "lists.json").write_text(json.dumps(status), "utf-8")
    assert info(folder).approximate is None
    assert check(folder).problems == []
    with (
        Collection.open(folder) as collection,
        pytest.raises(CollectionError, match="has no approximate index"),
    ):
        Searcher(collection).store.check(approximate=True)
    again = keep(folder)
    assert again is not None
    assert again.rows == 48
    assert not (arrays / "global.faiss").exists()


def test_an_empty_collection_has_none(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", count=0)
    with pytest.raises(CollectionError, match="holds no photos yet"):
        update_index(folder)


def test_too_little_disk_space_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "c", count=50)
    info(folder)
    with Collection.open(folder) as collection:
        load_arrays(collection)
        usage = shutil._ntuple_diskusage(1000, 990, 10)  # type: ignore[attr-defined]
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(CollectionError, match=r"the disk is full.*approximate index needs"):
            build_ann_index(collection, no_progress)
        monkeypatch.setattr(ann_index, "available_bytes", lambda: 1000)
        with pytest.raises(CollectionError, match="too little memory"):
            build_ann_index(collection, no_progress)


def test_only_manhattan_distance_has_one(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 3)
    with pytest.raises(UsageError, match="not for cosine"):
        samples.index(tmp_path / "photos", tmp_path / "c", approximate=True)


def test_a_search_without_an_index_explains_how_to_build_one(tmp_path: Path) -> None:
    photos = samples.draw_many(tmp_path / "photos", 3)
    samples.index(tmp_path / "photos", tmp_path / "c")
    with pytest.raises(CollectionError, match="has no approximate index"):
        search(photos[0], tmp_path / "c", SearchConfig(approximate=True))


@pytest.mark.slow
def test_the_photos_of_a_search_are_those_of_the_exact_one(
    tmp_path: Path, small_weights: Path
) -> None:
    from resight.config import ExtractionConfig
    from resight.methods.model import ModelOptions

    photos = samples.draw_many(tmp_path / "photos", 12)
    config, model = (
        ExtractionConfig(resolutions=(64,), layers=("layer4",)),
        ModelOptions(small_weights),
    )
    pipeline.index(
        [tmp_path / "photos"], tmp_path / "c", config=config, model=model, approximate=True
    )
    assert info(tmp_path / "c").approximate.recall == 1.0  # type: ignore[union-attr]
    answers = [
        search(photos[4], tmp_path / "c", SearchConfig(k=12, approximate=kind)).results
        for kind in (False, True)
    ]
    assert answers[0] == answers[1]


def test_without_its_packages_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.draw_many(tmp_path / "photos", 1)
    monkeypatch.setattr(inverted, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'resight\[approximate\]'"):
        pipeline.index([tmp_path / "photos"], tmp_path / "c", approximate=True)


def test_large_collections_get_an_index_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "c", cam=False, count=30)
    with Collection.open(folder) as collection:
        ann_index.update_ann_index(collection, None, no_progress)
        assert read_ann_status(collection) is None
        monkeypatch.setattr(ann_index, "AUTO_BUILD_PHOTOS", 20)
        ann_index.update_ann_index(collection, False, no_progress)
        assert read_ann_status(collection) is None
        ann_index.update_ann_index(collection, None, no_progress)
        status = read_ann_status(collection)
    assert status is not None
    assert json.loads(next((folder / "arrays").rglob("lists.json")).read_text())["rows"] == 28
