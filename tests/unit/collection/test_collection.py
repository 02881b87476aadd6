"""Collections: what they store, one writer and many readers, damage, full disks."""

import itertools
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samples
from environment import ROOT
from resight.backends.local import LocalStore
from resight.backends.manage import info, remove
from resight.collection import Collection, Photo, blob_crc32
from resight.collection.database import FORMAT_VERSION
from resight.collection.integrity import check
from resight.collection.writer import LOCK_NAME, Writer, writing
from resight.config import ExtractionConfig, LocalConfig, SelectionConfig
from resight.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionMismatchError,
    ResightError,
)
from resight.indexing import pipeline
from resight.indexing.fitting import fit
from resight.methods.model import Model, params_sha256
from resight.photos import is_under
from resight.photos.files import PhotoFile
from resight.ranking.exact import Query
from resight.reductions.pfa import Selection
from resight.searching import search

FIXTURES = ROOT / "tests" / "fixtures"
CNN = ExtractionConfig(), SelectionConfig(features=2)
VALUES = np.array([0.5, -1.25, 3.0, 0.1], np.float32)


@contextmanager
def new(folder: Path, config: Any = CNN[0]) -> Iterator[Writer]:
    with writing(folder, (config, CNN[1])) as writer:
        yield writer


def file(name: str, size: int = 10, mtime_ns: int = 1) -> PhotoFile:
    return PhotoFile(Path("/photos") / name, size, mtime_ns)


def describe(writer: Writer, name: str, content: str, values: np.ndarray = VALUES) -> None:
    writer.record_described(file(name), content, (640, 480), values, None)


def ids(writer: Writer) -> dict[str, int]:
    return {photo.path.name: photo.id for photo in writer.collection.photos()}


# Creating and opening


def test_a_new_collection_stores_its_configuration(tmp_path: Path) -> None:
    config = LocalConfig(method="sift-vlad", centers=7, dtype="float16")
    with writing(tmp_path / "deep" / "c", (config, SelectionConfig(seed=3))) as writer:
        assert writer.collection.folder == tmp_path / "deep" / "c"
    with Collection.open(tmp_path / "deep" / "c") as opened:
        assert opened.config == config
        assert opened.reduction_config == SelectionConfig(seed=3)
        assert opened.model is None
        assert opened.reduction() is None
        assert opened.fitted_params() is None
        assert opened.fit_info("selection") is None
        assert opened.meta("no such thing") is None
        assert list(opened.photos()) == []
        assert opened.count("ok") == opened.count("failed") == 0


def test_every_field_of_a_configuration_is_stored(tmp_path: Path) -> None:
    config = ExtractionConfig(resolutions=(64, 96), layers=("layer3",), cam=True, stride=1)
    with new(tmp_path / "c", config):
        pass
    with Collection.open(tmp_path / "c") as opened:
        assert opened.config == config


def test_writing_again_keeps_the_configuration(tmp_path: Path) -> None:
    with new(tmp_path / "c"):
        pass
    before = samples.contents(tmp_path / "c")
    with writing(tmp_path / "c", (LocalConfig(method="sift-vlad"), SelectionConfig())) as writer:
        assert writer.collection.config == CNN[0]
    assert samples.contents(tmp_path / "c") == before


def test_an_empty_folder_may_become_a_collection(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with new(tmp_path / "c"):
        pass
    assert Collection.exists(tmp_path / "c")


def test_leftovers_of_a_killed_first_run(tmp_path: Path) -> None:
    (tmp_path / "writer.lock").touch()
    name = f"resight.sqlite.{os.getpid()}-{threading.get_ident()}.new"
    (tmp_path / name).write_bytes(b"half a database")
    assert not Collection.exists(tmp_path)
    with new(tmp_path) as writer:
        describe(writer, "a.jpg", "A")
    samples.assert_whole(tmp_path)


def test_missing_collection(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CollectionError, match=r"no collection here; make one with"):
            Collection.open(folder)
        with pytest.raises(CollectionError, match=r"no collection here"), writing(folder):
            pass
    assert list(tmp_path.iterdir()) == []


# Photos


def test_fields_of_a_described_photo(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        writer.record_described(file("a.jpg", 12, 34), "A", (640, 480), VALUES, 2 * VALUES)
        path = Path("/photos/a.jpg")
        expected = Photo(1, path, 12, 34, "A", 640, 480, "ok", None)
        assert list(writer.collection.photos()) == [expected]
        assert writer.collection.is_described("A")
        assert not writer.collection.is_described("B")
        stored = writer.collection.descriptors("A")
        assert stored is not None
        assert stored.local is not None
        assert stored.intact
        np.testing.assert_array_equal(stored.global_, VALUES)
        np.testing.assert_array_equal(stored.local, 2 * VALUES)
        assert writer.collection.descriptors("B") is None


def test_fields_of_a_failed_photo(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        writer.record_failed(file("a.jpg", 12, 34), "A", "truncated")
        (photo,) = writer.collection.photos("failed")
        assert photo == Photo(
            1, Path("/photos/a.jpg"), 12, 34, "A", None, None, "failed", "truncated"
        )
        assert list(writer.collection.photos("ok")) == []
        assert list(writer.collection.photo_descriptors()) == []
        assert writer.collection.described_contents() == set()


@pytest.mark.parametrize("name", ["北京.jpg", "new\nline.jpg", "q'uote\".jpg", "caf\udce9.jpg"])
def test_paths_are_stored_byte_for_byte(tmp_path: Path, name: str) -> None:
    with new(tmp_path / "c") as writer:
        describe(writer, name, "A")
    with Collection.open(tmp_path / "c") as opened:
        (photo,) = opened.photos()
        assert photo.path == Path("/photos") / name
        assert opened.photos_by_id([photo.id]) == {photo.id: photo}


def test_photos_by_id_and_by_page(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        for name in ("a", "b", "c"):
            describe(writer, name, name)
        writer.record_failed(file("b"), "b", "damaged")
        collection = writer.collection
        names = {id_: photo.path.name for id_, photo in collection.photos_by_id([3, 2, 1]).items()}
        assert names == {1: "a", 3: "c"}
        pages = [collection.photos_after(after, 1) for after in (0, 1, 3)]
        assert [[photo.path.name for photo in page] for page in pages] == [["a"], ["c"], []]


def test_photos_under_a_folder(tmp_path: Path) -> None:
    # The names have the characters around the slash, and bytes that are not UTF-8.
    names = ["a", "a.", "a0", "a-b", "A", "é", "\udcff", "\udcff\udcff"]
    indexed_paths = [
        Path("/", *parts) for n in (1, 2, 3) for parts in itertools.product(names, repeat=n)
    ]
    indexed_paths = indexed_paths[::5]
    places = {place for path in indexed_paths for place in (path, *path.parents)} | {Path("/a/b")}
    with new(tmp_path / "c") as writer:
        for path in indexed_paths:
            writer.record_failed(PhotoFile(path, 1, 1), None, "no photo")
        photos = list(writer.collection.photos())
        for place in places:
            expected = [photo for photo in photos if is_under(photo.path, [place])]
            assert writer.collection.photos_under(place) == expected


def test_an_unreadable_photo_keeps_its_descriptor(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        describe(writer, "a.jpg", "A")
        writer.record_failed(file("a.jpg"), None, "Permission denied")
        (photo,) = writer.collection.photos()
        assert (photo.content, photo.state) == ("A", "failed")
        assert writer.collection.described_contents() == {"A"}
        assert list(writer.collection.photo_descriptors()) == []


# Descriptors by content


def test_copies_share_one_descriptor(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        describe(writer, "a.jpg", "A")
        writer.record_existing(file("copy.jpg"), "A", (640, 480))
        assert writer.collection.described_contents() == {"A"}
        assert [id_ for id_, _, _ in writer.collection.photo_descriptors()] == [1, 2]
        first, second = writer.collection.photos()
        assert (second.width, second.height) == (first.width, first.height) == (640, 480)

        writer.remove([first])
        assert writer.collection.described_contents() == {"A"}
        assert [id_ for id_, _, _ in writer.collection.photo_descriptors()] == [2]
        writer.remove([second])
        assert writer.collection.described_contents() == set()


def test_old_descriptors_stay_until_the_next_removal(tmp_path: Path) -> None:
    # The next photo of a run may need it, if it was renamed over another one.
    with new(tmp_path / "c") as writer:
        describe(writer, "a.jpg", "A")
        describe(writer, "a.jpg", "B", -VALUES)
        assert writer.collection.described_contents() == {"A", "B"}
        writer.remove([])
        assert writer.collection.described_contents() == {"B"}
        writer.record_failed(file("a.jpg"), "C", "truncated")
        writer.remove([])
        assert writer.collection.described_contents() == set()


def test_a_move_replaces_the_photo_there(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        describe(writer, "a.jpg", "A")
        describe(writer, "b.jpg", "B")
        first = next(writer.collection.photos())
        writer.record_moved(file("b.jpg"), first)
        (photo,) = writer.collection.photos()
        assert (photo.id, photo.path.name, photo.content) == (1, "b.jpg", "A")
        writer.remove([])
        assert writer.collection.described_contents() == {"A"}


def test_ids_never_change_and_are_never_reused(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        for name in ("a", "b", "c"):
            describe(writer, name, name)
        assert ids(writer) == {"a": 1, "b": 2, "c": 3}
        describe(writer, "a", "other content")
        writer.record_failed(file("b"), "b", "truncated")
        describe(writer, "b", "b")
        moved = {p.path.name: p for p in writer.collection.photos()}["c"]
        writer.record_moved(file("d"), moved)
        assert ids(writer) == {"a": 1, "b": 2, "d": 3}
        writer.remove(list(writer.collection.photos()))
    with writing(tmp_path / "c") as writer:
        describe(writer, "a", "a")
        assert ids(writer)["a"] > 3


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_descriptors_are_stored_in_the_configured_dtype(tmp_path: Path, dtype: Any) -> None:
    values = np.array([1 / 3, -1e-3, 60000.0, 0.0], np.float32)
    with new(tmp_path / "c", ExtractionConfig(dtype=dtype)) as writer:
        writer.record_described(file("a.jpg"), "A", (1, 1), values, None)
        ((_, global_, local),) = writer.collection.photo_descriptors()
        assert global_.dtype == np.float32
        np.testing.assert_array_equal(global_, values.astype(dtype).astype(np.float32))
        assert local is None
        ((blob,),) = writer.collection.connection.execute("SELECT global FROM descriptors")
        assert blob == values.astype("<f2" if dtype == "float16" else "<f4").tobytes()


def test_the_checksum_covers_both_descriptors(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        for column in ("global", "local"):
            writer.record_described(file("a.jpg"), "A", (1, 1), VALUES, VALUES)
            writer.collection.connection.execute(
                f"UPDATE descriptors SET {column} = zeroblob(length({column}))"
            )
            stored = writer.collection.descriptors("A")
            assert stored is not None
            assert not stored.intact
    assert blob_crc32(b"12", b"34") == blob_crc32(b"1234", None) != blob_crc32(b"34", b"12")


# Fitted parts


def test_a_selection_is_stored(tmp_path: Path) -> None:
    config = SelectionConfig(features=3, renormalize=True)
    with new(tmp_path / "c") as writer:
        chosen = Selection(np.array([0, 5, 3071]), True)
        writer.store_reduction(chosen, config, {"photos": 200})
    with Collection.open(tmp_path / "c") as opened:
        selection = opened.reduction()
        assert selection is not None
        assert selection.renormalize
        assert selection.indices.dtype == np.int64
        np.testing.assert_array_equal(selection.indices, [0, 5, 3071])
        how = opened.fit_info("selection")
        assert how is not None
        assert how["photos"] == 200
        assert how["config"]["features"] == 3


def test_fitted_params_are_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    learned = {"words": rng.random((4, 128), np.float32), "idf": rng.random(4, np.float32)}
    with new(tmp_path / "c", samples.QUICK) as writer:
        writer.store_fitted_params(learned, {"photos": 9})
    with Collection.open(tmp_path / "c") as opened:
        stored = opened.fitted_params()
        assert stored is not None
        assert stored.keys() == learned.keys()
        for name, values in learned.items():
            assert stored[name].dtype == np.float32
            np.testing.assert_array_equal(stored[name], values)
        how = opened.fit_info("learned")
        assert how is not None
        assert (how["photos"], how["sha256"]) == (9, params_sha256(learned))


def test_the_fingerprint_covers_fitted_params(tmp_path: Path) -> None:
    model = Model("ab" * 32, Path("/weights.pth"))
    found = set()
    for value in (None, 0.0, 1.0):
        with new(tmp_path / str(value), ExtractionConfig()) as writer:
            if value is not None:
                writer.store_fitted_params({"mean": np.full(3, value)}, {})
            writer.bind_model(model)
            found.add(writer.collection.meta("fingerprint"))
    assert len(found) == 3


def test_damaged_fitted_params(tmp_path: Path) -> None:
    with new(tmp_path / "c", samples.QUICK) as writer:
        writer.store_fitted_params({"words": np.zeros((4, 128))}, {})
        writer.collection.connection.execute("UPDATE fitted SET data = substr(data, 1, 99)")
    with Collection.open(tmp_path / "c") as opened, pytest.raises(CollectionError, match="damaged"):
        opened.fitted_params()


# The stamp


def test_the_stamp_changes_only_with_search_results(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        before = writer.collection.stamp

        def changed() -> bool:
            nonlocal before
            before, last = writer.collection.stamp, before
            return before != last

        def photo(name: str) -> Photo:
            return {p.path.name: p for p in writer.collection.photos()}[name]

        describe(writer, "a", "A")
        assert changed()
        writer.record_existing(file("a", mtime_ns=2), "A", (640, 480))  # touched
        assert not changed()
        writer.record_existing(file("copy"), "A", (640, 480))
        assert changed()
        writer.record_failed(file("broken"), "X", "truncated")
        assert not changed()
        writer.record_failed(file("broken"), "Y", "truncated")
        assert not changed()
        writer.remove([photo("broken")])
        assert not changed()
        writer.remove([])
        assert not changed()
        writer.bind_model(Model("ab" * 32))
        assert not changed()
        describe(writer, "a", "B")
        assert changed()
        writer.record_moved(file("d"), photo("a"))
        assert changed()
        writer.record_failed(file("d"), None, "Permission denied")
        assert changed()
        describe(writer, "d", "B")
        assert changed()
        writer.store_reduction(Selection(np.array([0, 1])), SelectionConfig(features=2), {})
        assert changed()
        writer.mark_damaged("B")
        assert changed()
        writer.remove([photo("copy")])
        assert changed()
        writer.store_fitted_params({"words": np.zeros((2, 128), np.float32)}, {})
        assert changed()


def test_reading_does_not_change_the_stamp(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        describe(writer, "a", "A")
    first = samples.stamp(tmp_path / "c")
    info(tmp_path / "c")
    check(tmp_path / "c")
    with writing(tmp_path / "c"):
        pass
    assert samples.stamp(tmp_path / "c") == first


# The model


def test_another_model_is_refused(tmp_path: Path) -> None:
    with new(tmp_path / "c") as writer:
        collection = writer.collection
        collection.check_model(Model("aa" * 32))  # no model is bound yet
        writer.bind_model(Model("aa" * 32, Path("/weights.pth")))
        assert collection.model == Model("aa" * 32, Path("/weights.pth"))
        collection.check_model(Model("aa" * 32))
        with pytest.raises(
            CollectionMismatchError, match=r"indexed with other weights .*aaaaaaaaaaaa"
        ):
            writer.bind_model(Model("bb" * 32))
        assert collection.model == Model("aa" * 32, Path("/weights.pth"))
        writer.bind_model(Model("aa" * 32, Path("/elsewhere.pth")))
        assert collection.model == Model("aa" * 32, Path("/elsewhere.pth"))


def test_another_version_of_the_method_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new(tmp_path / "c") as writer:
        writer.bind_model(Model("aa" * 32))
        monkeypatch.setattr("resight.config.method.ALGORITHM_VERSION", 10**6)
        with pytest.raises(CollectionMismatchError, match=r"another version of the method"):
            writer.bind_model(Model("aa" * 32))


# One writer, many readers

HOLD = """
import sys
from pathlib import Path
from resight.collection.writer import writing
with writing(Path(sys.argv[1])) as writer:
    if len(sys.argv) > 2:
        writer.collection.connection.execute("BEGIN IMMEDIATE")
        writer.collection.connection.execute("DELETE FROM photos")
    print("holding", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(folder: Path, *, amid: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Start a process that writes to the collection; with `amid`, within a transaction."""
    command = [sys.executable, "-c", HOLD, str(folder), *(["amid"] if amid else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    with new(tmp_path / "c") as writer:
        describe(writer, "a", "A")
        describe(writer, "b", "B", -VALUES)
    return tmp_path / "c"


def test_a_second_writer_is_refused(collection: Path, tmp_path: Path) -> None:
    before = samples.contents(collection)
    with another_writer(collection):
        with pytest.raises(CollectionLockedError, match=r"another process is writing"):
            writing(collection).__enter__()
        for change in (
            lambda: fit(collection),
            lambda: remove([Path("/photos/a")], collection),
            lambda: check(collection),
            lambda: pipeline.index([tmp_path], collection),
        ):
            with pytest.raises(CollectionLockedError):
                change()
    assert samples.contents(collection) == before


def test_a_second_writer_in_the_same_process_is_refused(collection: Path) -> None:
    with writing(collection), pytest.raises(CollectionLockedError), writing(collection):
        pass
    with writing(collection):
        pass


def test_the_lock_ends_with_a_killed_process(collection: Path) -> None:
    with another_writer(collection, amid=True) as process:
        with pytest.raises(CollectionLockedError):
            writing(collection).__enter__()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with writing(collection) as writer:
            assert ids(writer) == {"a": 1, "b": 2}  # its transaction was rolled back
    samples.assert_whole(collection)


def test_readers_work_during_a_transaction(collection: Path) -> None:
    with another_writer(collection, amid=True):
        assert info(collection).photos == 2
        with Collection.open(collection) as opened:
            assert [photo.path.name for photo in opened.photos()] == ["a", "b"]
            assert len(list(opened.photo_descriptors())) == 2


def test_a_snapshot_ignores_later_writes(collection: Path) -> None:
    with Collection.open(collection) as opened:
        with opened.snapshot():
            assert opened.count("ok") == 2
            with writing(collection) as writer:
                describe(writer, "c", "C")
            assert opened.count("ok") == 2
        assert opened.count("ok") == 3


# Threads


def test_threads_read_at_the_same_time(collection: Path) -> None:
    """Each thread has a connection; those of ended threads are closed with the next one."""
    with Collection.open(collection) as opened:
        meet = threading.Barrier(4)

        def read(_: int) -> tuple[int, list[str]]:
            meet.wait()
            with opened.snapshot():
                meet.wait()  # all threads are in a transaction of their own
                names = [photo.path.name for photo in opened.photos()]
                return id(opened.connection), names

        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(read, range(4)))
        assert len({connection for connection, _ in results}) == 4
        assert all(names == ["a", "b"] for _, names in results)
        with ThreadPoolExecutor(1) as threads:
            connection = threads.submit(lambda: opened.connection).result()
        assert len(opened._connections._by_thread) == 2
    for closed in (connection, opened.connection):
        with pytest.raises(sqlite3.ProgrammingError):
            closed.execute("SELECT 1")


def test_threads_search_while_another_one_writes(collection: Path) -> None:
    with Collection.open(collection) as opened, ThreadPoolExecutor(3) as threads:
        store, done = LocalStore(opened), threading.Event()

        def search_until_done() -> set[int]:
            counts = set()
            while not done.is_set():
                (neighbors,) = store.nearest([Query(VALUES)], 1000)
                assert neighbors.distances[0] == 0
                counts.add(len(neighbors.ids))
            return counts | {len(store.nearest([Query(VALUES)], 1000)[0].ids)}

        searches = [threads.submit(search_until_done) for _ in range(3)]
        try:
            with writing(collection) as writer:
                for number in range(30):
                    describe(writer, f"{number}.jpg", str(number), VALUES * (1 + number))
        finally:
            done.set()
        assert all(32 in search.result() and min(search.result()) >= 2 for search in searches)


# Files that are not collections


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refuse_everything(folder: Path, photos: Path, message: str) -> None:
    for attempt in (
        lambda: Collection.open(folder),
        lambda: info(folder),
        lambda: check(folder),
        lambda: fit(folder),
        lambda: search(next(photos.iterdir()), folder),
        lambda: pipeline.index([photos], folder, config=samples.QUICK),
    ):
        with pytest.raises(CollectionError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    samples.draw_many(tmp_path / "photos", 3)
    return tmp_path / "photos"


def test_a_newer_format_is_refused(collection: Path, photos: Path) -> None:
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        database.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
        database.execute("DROP TABLE fitted")  # anything may change in the future
    before = bytes_of(collection)
    newer = f"has format {FORMAT_VERSION + 1}, newer than the {FORMAT_VERSION} of this Resight"
    refuse_everything(collection, photos, newer)
    assert bytes_of(collection) == before


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "resight.sqlite").write_bytes(b"not a database, by any means\n" * 100)
    before = bytes_of(tmp_path / "c")
    refuse_everything(tmp_path / "c", photos, r"damaged")
    assert bytes_of(tmp_path / "c") == before


def test_names_in_the_schema_that_are_damaged_are_refused(collection: Path, photos: Path) -> None:
    path = collection / "resight.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = path.read_bytes()
    assert b"tablefitted" in data
    path.write_bytes(data.replace(b"tablefitted", b"table\xff\xfetted"))
    refuse_everything(collection, photos, "the database is damaged")


def test_json_that_is_damaged_is_refused(collection: Path) -> None:
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database, database:
        database.execute("UPDATE meta SET value = substr(value, 2)")
    with pytest.raises(CollectionError, match="the database is damaged"):
        info(collection)


@pytest.mark.parametrize("version", [0, 1])
def test_the_database_of_another_program_is_refused(
    tmp_path: Path, photos: Path, version: int
) -> None:
    (tmp_path / "c").mkdir()
    with closing(sqlite3.connect(tmp_path / "c" / "resight.sqlite")) as database:
        database.execute("CREATE TABLE diary (day TEXT, secret TEXT)")
        database.execute(f"PRAGMA user_version = {version}")
    before = bytes_of(tmp_path / "c")
    refuse_everything(tmp_path / "c", photos, r"is a database, but not one of Resight's")
    assert bytes_of(tmp_path / "c") == before


def test_an_empty_file_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "resight.sqlite").touch()
    refuse_everything(tmp_path / "c", photos, r"not one of Resight's")


def check_result(folder: Path) -> str:
    try:
        problems = check(folder).problems
    except CollectionError as error:
        return str(error)
    return f"{folder}: damaged: {problems[0]}" if problems else "whole"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_database(tmp_path: Path, photos: Path, share: float) -> None:
    folder = tmp_path / "c"
    samples.draw_many(photos, 30)
    samples.index(photos, folder)
    path = folder / "resight.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, int(share * path.stat().st_size))
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert re.fullmatch(f"{copy}.*(damaged|not one of Resight's).*", check_result(copy))
    for attempt in (
        lambda: search(photos / "000.png", folder),
        lambda: samples.index(photos, folder),
        lambda: info(folder),
        lambda: remove([photos / "000.png"], folder),
    ):
        # It may work if it needs no lost page.
        with suppress(ResightError):
            attempt()


def test_a_folder_with_other_files_is_refused(tmp_path: Path, photos: Path) -> None:
    before = bytes_of(photos)
    with pytest.raises(CollectionError, match=r"is no collection and not empty"):
        samples.index(photos, photos)
    assert bytes_of(photos) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CollectionError, match=r"file: "):
        samples.index(photos, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# Disks and permissions


def test_a_full_disk_leaves_the_collection_unchanged(collection: Path) -> None:
    def write_on_full_disk() -> None:
        with writing(collection) as writer:
            database = writer.collection.connection
            (pages,) = database.execute("PRAGMA page_count").fetchone()
            database.execute(f"PRAGMA max_page_count = {pages}")
            describe(writer, "large", "L", np.zeros(100_000, np.float32))

    before = samples.contents(collection)
    with pytest.raises(CollectionError, match=r"the disk is full; free some space"):
        write_on_full_disk()
    assert samples.contents(collection) == before
    samples.assert_whole(collection)
    with writing(collection) as writer:
        describe(writer, "large", "L", np.zeros(100_000, np.float32))
        assert ids(writer) == {"a": 1, "b": 2, "large": 3}


def test_an_error_rolls_back_the_change(collection: Path) -> None:
    def write_nonsense() -> None:
        with writing(collection) as writer:
            sizeless = PhotoFile(Path("/photos/a"), None, 1)  # type: ignore[arg-type]
            # The descriptor is written before the row is refused.
            writer.record_described(sizeless, "C", (1, 1), VALUES, None)

    before = samples.contents(collection)
    with pytest.raises(CollectionError, match=r"NOT NULL"):
        write_nonsense()
    assert samples.contents(collection) == before
    samples.assert_whole(collection)


TOUCH = """
import sys
from pathlib import Path
from resight.errors import CollectionError
from resight.collection import Collection
from resight.config import SelectionConfig, LocalConfig
from resight.collection.writer import writing
try:
    with writing(Path(sys.argv[1]), (LocalConfig(method="sift-vlad"), SelectionConfig())):
        print("written")
except CollectionError as error:
    print("refused:", error)
"""


def test_no_permission_to_write(collection: Path, tmp_path: Path) -> None:
    user = samples.as_ordinary_user()
    shut = tmp_path / "shut"
    shut.mkdir()
    shut.chmod(0o555)
    (collection / LOCK_NAME).unlink(missing_ok=True)  # else only the lock would be opened
    collection.chmod(0o555)
    before = bytes_of(collection)
    try:
        for folder in (collection, shut / "new"):
            command = [*user, sys.executable, "-c", TOUCH, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout.startswith(f"refused: {folder}"), done
            assert "ermission" in done.stdout
            assert len(done.stdout.splitlines()) == 1
    finally:
        collection.chmod(0o755)
        shut.chmod(0o755)
    assert bytes_of(collection) == before
