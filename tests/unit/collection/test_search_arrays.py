"""Search arrays: equal to the database, updated when stale, rebuilt when damaged."""

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samples
from array_samples import KEPT, describe, make
from resight.collection import Collection, appendable_npy
from resight.collection import search_arrays as arrays
from resight.collection.integrity import check
from resight.collection.search_arrays import SearchArrays, load_arrays
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SearchConfig, SelectionConfig
from resight.errors import CollectionError
from resight.photos.files import PhotoFile
from resight.ranking import exact as neighbors
from resight.reductions.pfa import Selection
from resight.searching import Searcher, search


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    return make(tmp_path / "c")


def load(folder: Path) -> SearchArrays:
    with Collection.open(folder) as opened:
        return load_arrays(opened)


def stored(folder: Path, selection: Selection | None) -> tuple[np.ndarray, ...]:
    """Return IDs, global and local descriptors straight from the database."""
    with Collection.open(folder) as opened:
        rows = list(opened.photo_descriptors())
    columns = slice(None) if selection is None else selection.indices
    return (
        np.array([id_ for id_, _, _ in rows]),
        np.array([global_ for _, global_, _ in rows])[:, columns],
        np.array([local for _, _, local in rows])[:, columns],
    )


def assert_equal(found: SearchArrays, folder: Path, selection: Selection | None = None) -> None:
    ids, global_, local = stored(folder, selection)
    assert found.database.ids.dtype == np.int64
    assert found.database.global_.dtype == np.float32
    assert found.database.local is not None
    order = np.argsort(found.database.ids)[len(found.database.ids) - found.database.count :]
    np.testing.assert_array_equal(found.database.ids[order], ids)
    np.testing.assert_array_equal(found.database.global_[order], global_)
    np.testing.assert_array_equal(found.database.local[order], local)


def files(folder: Path) -> Path:
    """Return the only folder of arrays."""
    (found,) = (folder / "arrays").iterdir()
    return found


# Equal to the database


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_arrays_have_the_rows_of_the_database(tmp_path: Path, dtype: str) -> None:
    folder = make(tmp_path / "c", dtype=dtype)
    found = load(folder)
    assert len(found.database.ids) == 18
    assert found.reduction is None
    assert found.stamp == samples.stamp(folder)
    assert_equal(found, folder)
    assert_equal(load(folder), folder)  # as read, not as built


@pytest.mark.parametrize("renormalize", [False, True])
def test_a_selection_keeps_its_columns(collection: Path, renormalize: bool) -> None:
    before = load(collection)
    with writing(collection) as writer:
        chosen = Selection(KEPT.indices, renormalize)
        writer.store_reduction(chosen, SelectionConfig(features=4, renormalize=renormalize), {})
    found = load(collection)
    assert found.stamp != before.stamp
    assert found.reduction is not None
    np.testing.assert_array_equal(found.reduction.indices, KEPT.indices)
    if not renormalize:
        assert_equal(found, collection, KEPT)
        return
    _, global_, local = stored(collection, KEPT)
    for rows, values in ((found.database.global_, global_), (found.database.local, local)):
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        np.testing.assert_allclose(rows, values / lengths, rtol=1e-6)


def test_no_local_array_without_class_activation_maps(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", cam=False)
    assert load(folder).database.local is None
    assert sorted(path.name for path in files(folder).iterdir()) == [
        "global.npy",
        "header.json",
        "ids.npy",
    ]


def test_empty_collection(tmp_path: Path) -> None:
    with writing(tmp_path / "c", (ExtractionConfig(), SelectionConfig())):
        pass
    assert load(tmp_path / "c").database.ids.shape == (0,)
    assert check(tmp_path / "c").problems == []


# Updates


def test_arrays_are_built_once_and_mapped(collection: Path) -> None:
    load(collection)
    before = {path: path.stat().st_mtime_ns for path in files(collection).iterdir()}
    found = load(collection)
    assert isinstance(found.database.global_, np.memmap)
    assert not found.database.global_.flags.writeable
    assert {path: path.stat().st_mtime_ns for path in files(collection).iterdir()} == before


def built(folder: Path) -> Path:
    """Update the arrays and return their folder."""
    load(folder)
    return files(folder)


def test_another_selection_rebuilds_everything(collection: Path) -> None:
    first = built(collection)
    with writing(collection) as writer:
        writer.store_reduction(KEPT, SelectionConfig(features=4), {})
    second = built(collection)
    assert first != second
    assert not first.exists()


def test_changed_photos_change_only_their_rows(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(collection)
    first, size = files(collection), (files(collection) / "global.npy").stat().st_size
    copied = (before.database.global_[:].copy(), before.database.ids.copy())
    monkeypatch.setattr(arrays, "_write_all", None)  # nothing is rebuilt
    with writing(collection) as writer:
        describe(writer, 99, cam=True)
        writer.remove([p for p in writer.collection.photos("ok") if p.id in (5, 6)])
    after = load(collection)
    assert files(collection) == first
    assert (first / "global.npy").stat().st_size == size + 8 * 4
    assert after.stamp == samples.stamp(collection) != before.stamp
    assert (len(after.database.ids), after.database.count) == (19, 17)
    assert_equal(after, collection)
    # Readers of the old arrays keep them.
    np.testing.assert_array_equal(before.database.global_, copied[0])
    np.testing.assert_array_equal(before.database.ids, copied[1])
    assert check(collection).problems == []


def test_moved_photos_change_no_row(collection: Path) -> None:
    before = load(collection)
    with writing(collection) as writer:
        photo = next(writer.collection.photos("ok"))
        writer.record_moved(PhotoFile(Path("/photos/moved.jpg"), 10, 2), photo)
    after = load(collection)
    assert after.stamp != before.stamp
    np.testing.assert_array_equal(after.database.ids, before.database.ids)


def test_many_removed_photos_rebuild_everything(collection: Path) -> None:
    first = built(collection)
    with writing(collection) as writer:
        writer.remove(list(writer.collection.photos("ok"))[:6])
    assert len(load(collection).database.ids) == 12
    assert files(collection) != first
    with writing(collection) as writer:
        writer.remove(list(writer.collection.photos()))
    assert load(collection).database.count == 0
    with writing(collection) as writer:
        describe(writer, 50, cam=True)
    assert_equal(load(collection), collection)


@pytest.mark.parametrize(("seed", "coded_from"), [(0, 1000), (1, 12), (2, 12), (3, 1000)])
def test_arrays_equal_the_database_after_random_changes(
    tmp_path: Path, seed: int, coded_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MIN_QUANTIZED_PHOTOS", coded_from)
    monkeypatch.setattr(arrays, "BLOCK_ROWS", 3)
    monkeypatch.setattr(appendable_npy, "CHUNK_ROWS", 5)
    rng = np.random.default_rng(seed)
    folder = make(tmp_path / "c", count=10)
    for step in range(20):
        with writing(folder) as writer:
            photos = list(writer.collection.photos("ok"))
            action = rng.integers(5)
            if action < 2 or not photos:
                for extra in range(rng.integers(1, 5)):
                    describe(writer, 1000 + 10 * step + extra, cam=True)
            elif action == 2:
                writer.remove([photos[i] for i in rng.permutation(len(photos))[:2]])
            elif action == 3:  # another content at the same path
                values = rng.random((2, 8), np.float32)
                file = PhotoFile(photos[0].path, 11, step)
                writer.record_described(file, f"new {step}", (4, 3), *values)
            else:
                writer.record_failed(PhotoFile(photos[-1].path, 1, step), None, "truncated")
        if rng.random() < 0.2:  # a process that died while appending
            with (built(folder) / "global.npy").open("ab") as file:
                file.write(bytes(50))
        assert_equal(load(folder), folder)
        if rng.random() < 0.3:
            assert check(folder).problems == []
    database = load(folder).database
    assert len(database.coded) == (2 if database.count >= coded_from else 0)
    query = neighbors.Query(rng.random(8, np.float32), rng.random(8, np.float32))
    plain = dataclasses.replace(database, coded=())
    found, expected = (neighbors.nearest(query, d, 3) for d in (database, plain))
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_codes_that_do_not_fit_new_photos_are_rebuilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MIN_QUANTIZED_PHOTOS", 10)
    folder = make(tmp_path / "c", cam=False)
    first = built(folder)
    with writing(folder) as writer:
        for seed in range(5):
            file = PhotoFile(Path(f"/photos/large-{seed}.jpg"), 10, 1)
            values = np.full(8, 1000.0 + seed, np.float32)
            writer.record_described(file, f"large {seed}", (4, 3), values, None)
    (coded,) = load(folder).database.coded
    assert files(folder) != first
    assert coded.quantizer.step > 1


def test_disk_space_is_checked_first(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(1000, 990, 10)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(CollectionError, match=r"the disk is full; .* needs 0.0 MiB"):
        load(collection)
    assert list((collection / "arrays").iterdir()) == []


def test_an_open_searcher_sees_changes(collection: Path) -> None:
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        assert len(searcher.store.arrays().database.ids) == 18
        with writing(collection) as writer:
            describe(writer, 99, cam=True)
        assert len(searcher.store.arrays().database.ids) == 19


def test_old_leftovers_of_killed_readers_are_removed(collection: Path) -> None:
    old, fresh = (collection / "arrays" / f".unfinished-{name}" for name in ("old", "fresh"))
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "global.npy").touch()
    os.utime(old, (0, 0))
    load(collection)
    assert not old.exists()
    assert fresh.exists()


# Damage


def write_header(content: str | bytes) -> Callable[[Path], Any]:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / "header.json").write_bytes(data)


def truncate(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        os.truncate(folder / name, int(share * (folder / name).stat().st_size))

    return damage


def overwrite(name: str, offset: int, data: bytes) -> Callable[[Path], None]:
    """Overwrite some bytes, at an offset from the start or (negative) from the end."""

    def damage(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            file.write(data)

    return damage


VISIBLE = {
    "no header": lambda folder: (folder / "header.json").unlink(),
    "empty header": write_header(""),
    "truncated header": truncate("header.json", 0.5),
    "other JSON": write_header("[1, 2]"),
    "null": write_header("null"),
    "missing fields": write_header(json.dumps({"sums": {}, "selection": None})),
    "binary header": write_header(os.urandom(200) + b"\xff"),
    "no array": lambda folder: (folder / "global.npy").unlink(),
    "truncated array": truncate("global.npy", 0.5),
    "empty array": truncate("local.npy", 0),
    "scrambled array": overwrite("ids.npy", 0, b"\x80\x04pickled"),
}
"""Damage that readers notice, by its name."""
ALL = {**VISIBLE, "another value": overwrite("global.npy", -3, b"\x12")}


@pytest.mark.parametrize("damage", VISIBLE.values(), ids=VISIBLE)
def test_readers_rebuild_unreadable_arrays(collection: Path, damage: Any) -> None:
    folder = built(collection)
    damage(folder)
    assert_equal(load(collection), collection)
    assert check(collection).problems == []  # the files are intact again
    assert_equal(load(collection), collection)


@pytest.mark.parametrize("damage", ALL.values(), ids=ALL)
def test_check_finds_damage_and_repairs_it(collection: Path, damage: Any) -> None:
    damage(built(collection))
    report = check(collection)
    assert len(report.problems) == len(report.repaired) == 1
    assert report.problems[0].startswith("search arrays: ")
    assert "\n" not in report.problems[0]
    assert report.to_describe == []
    assert_equal(load(collection), collection)
    assert check(collection).problems == []


def test_a_missing_folder_is_not_damage(collection: Path) -> None:
    load(collection)
    shutil.rmtree(collection / "arrays")
    assert check(collection).problems == []
    assert_equal(load(collection), collection)


def test_a_stray_file_is_not_damage(collection: Path) -> None:
    load(collection)
    (collection / "arrays" / "notes.txt").write_text("no arrays")
    assert check(collection).problems == []
    assert_equal(load(collection), collection)


def test_check_builds_missing_arrays(collection: Path) -> None:
    assert check(collection).photos == 18
    assert files(collection).is_dir()


def test_check_finds_damaged_and_missing_descriptors(collection: Path) -> None:
    with writing(collection) as writer:
        database = writer.collection.connection
        database.execute("UPDATE descriptors SET global = zeroblob(32) WHERE rowid = 5")
        database.execute("DELETE FROM descriptors WHERE content = 'content 9'")
        database.execute(
            "UPDATE descriptors SET global = x'0000803f', crc32 = ?1, local = NULL "
            "WHERE content = 'content 12'",
            [zlib.crc32(b"\x00\x00\x80\x3f")],
        )
    report = check(collection)
    assert sorted(path.name for path in report.to_describe) == ["12.jpg", "4.jpg", "9.jpg"]
    assert len(report.problems) == 3
    assert report.photos == 15
    assert check(collection).problems == []
    samples.assert_whole(collection)
    assert_equal(load(collection), collection)


# Concurrent readers, read-only folders, full disks

LOAD = """
import sys
from pathlib import Path
from resight.collection.search_arrays import load_arrays
from resight.collection import Collection
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with Collection.open(Path(sys.argv[1])) as opened:
        found = load_arrays(opened)
        print(found.stamp, float(found.database.global_.sum()), len(found.database.ids), flush=True)
"""


def test_concurrent_readers_build_the_same_arrays(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", count=300)
    expected = stored(folder, None)
    command = [sys.executable, "-c", LOAD, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    readers = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    for reader in readers:
        reader.stdin.write("go\n")
        reader.stdin.flush()
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert errors == ""
        lines = set(output.splitlines())
        assert len(lines) == 1
        stamp, total, count = lines.pop().split()
        assert (stamp, int(count)) == (samples.stamp(folder), len(expected[0]))
        assert float(total) == pytest.approx(float(expected[1].sum()), rel=1e-5)
    assert files(folder).is_dir()  # one folder
    assert check(folder).problems == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_arrays_in_memory_for_a_read_only_folder(
    number: int, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = Path.mkdir

    def guarded(path: Path, *arguments: Any, **options: Any) -> None:  # root may write anywhere
        if path == collection / "arrays":
            raise OSError(number, os.strerror(number), os.fspath(path))
        mkdir(path, *arguments, **options)

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(Path, "mkdir", guarded)
    monkeypatch.setattr(arrays.tempfile, "tempdir", str(temporary))
    assert_equal(load(collection), collection)
    assert not (collection / "arrays").exists()
    assert list(temporary.iterdir()) == []


def test_full_disk_while_building(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    make(tmp_path / "c", count=200, dtype="float16")
    shutil.rmtree(tmp_path / "c" / "arrays", ignore_errors=True)
    small = samples.on_small_disk(folder, 400)
    # Fill the disk except for some kilobytes, load, and check the database.
    script = f"""
import shutil, sys
from pathlib import Path
import samples
from resight.collection.search_arrays import load_arrays
from resight.collection import Collection
from resight.errors import CollectionError
folder = Path(sys.argv[1]) / "c"
shutil.copytree({str(tmp_path / "c")!r}, folder)
with Collection.open(folder) as opened:
    opened.count("ok")
    with (folder.parent / "filler").open("wb", 0) as filler:
        while shutil.disk_usage(folder).free > 4096:
            filler.write(bytes(4096))
    try:
        load_arrays(opened)
    except CollectionError as error:
        print("refused:", error)
samples.assert_whole(folder)
(folder.parent / "filler").unlink()
with Collection.open(folder) as opened:
    print(len(load_arrays(opened).database.ids), "photos")
"""
    command = [*small, sys.executable, "-c", script, str(folder)]
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done
    refused, photos = done.stdout.splitlines()
    assert refused.startswith(f"refused: {folder / 'c'}: the disk is full; free some space")
    assert photos == "198 photos"


# Searches


def test_searches_do_not_depend_on_existing_arrays(tmp_path: Path) -> None:
    photos = samples.draw_many(tmp_path / "photos", 12)
    samples.index(tmp_path / "photos", tmp_path / "c")

    def answers() -> list[Any]:
        config = SearchConfig(k=12)
        return [search(query, tmp_path / "c", config).results for query in photos[:4]]

    first = answers()
    assert all(results[0].path == query for results, query in zip(first, photos, strict=False))
    assert answers() == first
    shutil.rmtree(tmp_path / "c" / "arrays")
    assert answers() == first
    VISIBLE["truncated array"](files(tmp_path / "c"))
    assert answers() == first
