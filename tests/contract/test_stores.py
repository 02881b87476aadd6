"""The contract of all backends: a folder, PostgreSQL and Qdrant return the same results."""

import itertools
import os
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resight.backends.store import Filter, as_query
from resight.backends.transfer import prepare, upload
from resight.collection import Collection
from resight.collection.provenance import ProvenanceSnapshot
from resight.collection.writer import writing
from resight.config import BackendConfig, ExtractionConfig
from resight.errors import (
    CollectionEmptyError,
    CollectionError,
    CollectionMismatchError,
    UsageError,
)
from resight.methods.model import Model
from resight.photos.files import PhotoFile
from resight.ranking.exact import DISTANCES, Database, Query, euclidean, nearest
from resight.reductions.wccn import SPREAD
from store_samples import SELECTED, Sample, Stores, make, record, stores

__all__ = ["stores"]

KINDS_OF_COLLECTIONS = [{}, {"cam": True}, {"cam": True, "whitened": True}]
KINDS_OF_COLLECTIONS += [{"adapted": True}, {"cam": True, "adapted": True}]


def reduced(sample: Sample) -> tuple[Database, str]:
    """Return a sample's reduced descriptors and the distance, computed the slow way."""
    with Collection.open(sample.folder) as opened:
        selection, distance = opened.reduction(), opened.distance
    assert selection is not None
    sides = [s if s is None else selection.apply(s) for s in (sample.global_, sample.local)]
    return Database(np.arange(len(sides[0])), sides[0], sides[1]), distance


def query_of(database: Database, row: int) -> Query:
    local = None if database.local is None else database.local[row]
    return Query(database.global_[row], local)


def rows_of(store, sample: Sample, ids: np.ndarray) -> list[int]:
    """Return the rows of the sample that some IDs belong to."""
    photos = store.photos_by_id(ids.tolist())
    return [sample.paths.index(photos[id_].path) for id_ in ids.tolist()]


# Searching


@pytest.mark.parametrize("kind", KINDS_OF_COLLECTIONS, ids=str)
def test_nearest_equals_an_exhaustive_scan(stores: Stores, tmp_path, kind):
    sample = make(tmp_path / "c", **kind)
    store, (database, distance) = stores.of(sample), reduced(sample)
    rng = np.random.default_rng(1)
    strange = Query(
        *(
            None if s is None else rng.random(s.shape[1]).astype(np.float32)
            for s in (database.global_, database.local)
        )
    )
    queries = [strange, *(query_of(database, row) for row in (0, 7, 39))]
    assert store.provenance.distance == distance
    for query, found in zip(queries, store.nearest(queries, 7), strict=True):
        expected = nearest(query, database, 7, DISTANCES[distance])
        np.testing.assert_allclose(found.distances, expected.distances, atol=1e-5)
        assert found.distances.dtype == np.float32
        # Copies are at the same distance; an engine numbers them in its own order.
        assert {str(database.global_[r]) for r in rows_of(store, sample, found.ids)} == {
            str(database.global_[r]) for r in expected.ids
        }
    if kind.get("cam"):  # without the local descriptor, only the global one counts
        query = Query(queries[0].global_)
        found = store.nearest([query], 5)[0]
        expected = nearest(query, database, 5, DISTANCES[distance])
        np.testing.assert_allclose(found.distances, expected.distances, atol=1e-5)


def test_queries_of_adapted_collections_have_no_correction(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", cam=True, adapted=True)
    store, (database, _) = stores.of(sample), reduced(sample)
    reduction = store.reduction()
    stored = store.stored_query(f"{7:064x}")
    np.testing.assert_allclose(stored.global_, database.global_[7], atol=1e-4)
    query = as_query(stored, reduction)
    for side in (query.global_, query.local):
        assert not side[-SPREAD:].any()
        assert side[:-SPREAD].any()
    (found,) = store.nearest([query], 40)
    expected = nearest(query, database, 40, euclidean)
    np.testing.assert_allclose(found.distances, expected.distances, atol=1e-4)


def test_more_neighbors_than_photos(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", 12)
    store, (database, _) = stores.of(sample), reduced(sample)
    for k in (12, 13, 5000):
        found = store.nearest([query_of(database, 3)], k)[0]
        assert sorted(rows_of(store, sample, found.ids)) == list(range(12))
        assert (np.diff(found.distances) >= 0).all()


def test_ties_are_sorted_by_id(stores: Stores, tmp_path):
    sample = Sample(tmp_path / "c", np.full((30, 12), 0.25, np.float32), None)
    sample.global_[:15] = np.float32(0.75)
    make_of(sample)
    store = stores.of(sample)
    query = Query(np.full(6, 0.75, np.float32))
    for k in (1, 4, 15, 20, 30):
        found = store.nearest([query], k)[0]
        assert found.distances.tolist() == [0.0] * min(k, 15) + [3.0] * (k - 15)
        assert len(set(found.ids.tolist())) == k
        for distance in set(found.distances.tolist()):
            ids = found.ids[found.distances == distance].tolist()
            assert ids == sorted(ids)
    if not stores.kind.startswith("qdrant"):  # there, a number is a hash of the path
        assert rows_of(store, sample, store.nearest([query], 4)[0].ids) == [0, 1, 2, 3]


def make_of(sample: Sample) -> None:
    """Create the collection of a sample with given descriptors."""
    whole = make(sample.folder, 0)
    whole.global_, whole.local = sample.global_, sample.local
    with writing(sample.folder) as writer:
        record(writer, sample, *range(len(sample.global_)))


def test_filter_by_folder(stores: Stores, tmp_path):
    sample = make(tmp_path / "c")
    store, (database, _) = stores.of(sample), reduced(sample)
    query = query_of(database, 25)
    for folder, rows in {
        "/photos": range(40),
        "/photos/2": range(20, 30),
        "/photos/2/25.jpg": [25],
        "/photos/": range(40),
        "/photo": [],
        "/photos/20": [],
    }.items():
        found = store.nearest([query], 6, Filter(under=Path(folder)))[0]
        among = Database(*(part[list(rows)] for part in (database.ids, database.global_)))
        expected = nearest(query, among, 6)
        np.testing.assert_allclose(found.distances, expected.distances, atol=1e-5)
        assert set(rows_of(store, sample, found.ids)) <= set(rows)


def test_filter_by_date_and_size(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", 0)
    sample.global_ = np.random.default_rng(0).random((6, 12)).astype(np.float32)
    times = [
        None,
        "2019:12:31 23:59:59",
        "2020:01:01 00:00:00",
        "2020:06:01 12:00:00",
        "0000:00:00 00:00:00",
    ]
    with writing(sample.folder) as writer:
        for row, taken in enumerate([*times, "2021:05:05 05:05:05"]):
            path = tmp_path / "photos" / f"{row}.jpg"
            path.parent.mkdir(exist_ok=True)
            exif = Image.Exif()
            if taken is not None:
                exif.get_ifd(0x8769)[0x9003] = taken
            Image.new("RGB", (20, 10), (row, row, row)).save(path, exif=exif)
            sample.paths.append(path)
            status = path.stat()
            file = PhotoFile(path, status.st_size, status.st_mtime_ns)
            size = (20, 10 + row)
            writer.record_described(file, f"{row:064x}", size, sample.global_[row], None)
    store = stores.of(sample)
    query = Query(sample.global_[1][SELECTED])

    def found(*times: str | None, min_side: int | None = None) -> list[int]:
        limits = [None if t is None else datetime.fromisoformat(t) for t in times]
        where = Filter(tmp_path, *limits, min_side)
        return sorted(rows_of(store, sample, store.nearest([query], 6, where)[0].ids))

    assert found(None, None) == [0, 1, 2, 3, 4, 5]
    assert found("2020-01-01", None) == [2, 3, 5]
    assert found("2020-01-01", "2021-01-01") == [2, 3]
    assert found(None, "2020-01-01") == [1]
    assert found("2022-01-01", None) == []
    assert found(None, None, min_side=13) == [3, 4, 5]
    assert found("2020-01-01", None, min_side=15) == [5]
    assert found(None, None, min_side=21) == []
    photos = list(store.photos("ok"))
    taken = {sample.paths.index(p.path): store.taken_times(photos).get(p.id) for p in photos}
    assert [taken[row] is None for row in range(6)] == [True, False, False, False, True, False]
    assert taken[3] == datetime(2020, 6, 1, 12)


def test_filter_by_name(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", 3)
    names = ["2021/Café.JPG", "cafe\u0301/2021-b_1.jpg", "x/a%b(1).jpg", "y/cafe\u0301 2.jpg"]
    with writing(sample.folder) as writer:
        for number, name in enumerate([*map(os.fsencode, names), b"z/CAF\xe9.jpg"]):
            sample.paths.append(Path(os.fsdecode(b"/photos/" + name)))
            file = PhotoFile(sample.paths[-1], 1, 2)
            writer.record_described(file, f"{60 + number:064x}", (9, 9), sample.global_[0], None)
    store = stores.of(sample)
    query = Query(sample.global_[0][SELECTED])

    def found(name: str, under: str | None = None) -> list[int]:
        where = Filter(Path(under) if under else None, file_name=name)
        (neighbors,) = store.nearest([query], 9, where)
        rows = sorted(rows_of(store, sample, neighbors.ids))
        listed = sorted(sample.paths.index(photo.path) for photo in store.photos_where(where))
        assert rows == listed
        return rows

    assert found("CAFÉ") == [3, 6]  # composed or not, and not in names of folders
    assert found("caf") == [3, 6, 7]
    assert found("2021") == [4]
    assert found("A%B(") == [5]
    assert found("_1") == [4]
    assert found("g", "/photos/x") == [5]
    assert found("caf.") == []
    assert len(found(".jpg")) == 8
    assert [len(store.photos_where(Filter(min_side=side))) for side in (9, 10)] == [8, 3]


def test_stored_descriptors_of_a_content(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", cam=True)
    store, (database, _) = stores.of(sample), reduced(sample)
    stored = store.stored_query(f"{7:064x}")
    np.testing.assert_allclose(stored.global_, database.global_[7], atol=1e-6)
    np.testing.assert_allclose(stored.local, database.local[7], atol=1e-6)
    assert store.stored_query("ff" * 32) is None


def test_rows_are_in_the_order_of_the_ids(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", cam=True)
    store, (database, _) = stores.of(sample), reduced(sample)
    ids = store.ids()
    assert len(ids) == 40
    assert (np.diff(ids) > 0).all()
    some_ids = ids[[5, 0, 39, 12]]
    found = store.rows(some_ids)
    np.testing.assert_array_equal(found.ids, some_ids)
    rows = rows_of(store, sample, some_ids)
    np.testing.assert_allclose(found.global_, database.global_[rows], atol=1e-6)
    np.testing.assert_allclose(found.local, database.local[rows], atol=1e-6)
    gone = np.array([2**40, some_ids[0]])
    np.testing.assert_array_equal(store.rows(gone).ids, some_ids[:1])
    assert store.rows(gone[:1]).global_.shape == (0, 6)


def keep_evidence(sample: Sample, *rows: int) -> dict[str, bytes]:
    """Record evidence of some photos; return it by content."""
    rng = np.random.default_rng(2)
    kept = {f"{row:064x}": rng.bytes(1000 + row) for row in rows}
    with writing(sample.folder) as writer:
        for content, data in kept.items():
            writer.record_evidence(content, data)
    return kept


def test_evidence_is_served_by_content(stores: Stores, tmp_path):
    sample = make(tmp_path / "c")
    kept = keep_evidence(sample, *range(0, 40, 2))
    store = stores.of(sample)
    assert store.evidence([f"{row:064x}" for row in range(60)]) == kept
    assert store.evidence(content for content in list(kept)[3:5]) == dict(list(kept.items())[3:5])
    assert store.evidence([]) == {}


def test_photos_are_found_by_content(stores: Stores, tmp_path):
    store = stores.of(make(tmp_path / "c", 40))
    wanted = [f"{row:064x}" for row in (7, 3, 99)]
    found = store.photos_with(wanted)
    assert {photo.content for photo in found} == set(wanted[:2])
    assert [photo.id for photo in found] == sorted(photo.id for photo in found)
    assert store.photos_with([]) == []


def test_collections_without_evidence_serve_none(stores: Stores, tmp_path):
    store = stores.of(make(tmp_path / "c", 5))
    assert store.evidence([f"{3:064x}"]) == {}


def test_pages_of_photos(stores: Stores, tmp_path):
    sample = make(tmp_path / "c")
    store = stores.of(sample)
    photos = list(store.photos("ok"))
    assert sorted(p.path for p in photos) == sorted(sample.paths)
    assert [p.id for p in photos] == store.ids().tolist()
    row = sample.paths.index(photos[3].path)
    assert (photos[3].size, photos[3].mtime_ns) == (100 + row, 1000 + row)
    assert (photos[3].width, photos[3].height, photos[3].content) == (640, 480, f"{row:064x}")
    pages, after = [], 0
    while page := store.photos_after(after, 7):
        pages, after = [*pages, page], page[-1].id
    assert list(itertools.chain(*pages)) == photos
    assert store.count("ok") == 40
    assert store.count("failed") == 0
    assert list(store.photos("failed")) == []
    assert store.photos_by_id([photos[3].id, 2**40]) == {photos[3].id: photos[3]}


def test_unusual_file_names(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", 3)
    names = [b"caf\xe9.jpg", "ü 'x' \"%00\\.jpg".encode(), b"new\nline.jpg"]
    paths = [Path(os.fsdecode(b"/photos/0/" + name)) for name in names]
    with writing(sample.folder) as writer:
        for path in paths:
            file = PhotoFile(path, 1, 2)
            writer.record_described(file, "ee" * 32, (1, 1), sample.global_[0], None)
    store = stores.of(sample)
    assert set(paths) <= {photo.path for photo in store.photos("ok")}
    for path in paths:
        found = store.nearest([Query(sample.global_[0][SELECTED])], 9, Filter(under=path))[0]
        assert [p.path for p in store.photos_by_id(found.ids.tolist()).values()] == [path]


# Refusals


def test_empty_collection(stores: Stores, tmp_path):
    sample = make(tmp_path / "c", 1)
    if stores.is_local:
        with writing(sample.folder) as writer:
            writer.remove(list(writer.collection.photos()))
        store = stores.of(sample)
    else:
        store = stores.of(sample)
        store.remove(store.ids().tolist())
    assert store.count("ok") == 0
    with pytest.raises(CollectionEmptyError, match=r"holds no photos yet"):
        store.check()


def test_invalid_queries_are_refused(stores: Stores, tmp_path):
    store, good = stores.of(make(tmp_path / "c", 5, cam=True)), np.ones(6, np.float32)
    for shape in (5, 7, 0, (1, 6)):
        with pytest.raises(UsageError, match=r"the query has .* values, the database \(6,\)"):
            store.nearest([Query(np.ones(shape, np.float32))], 1)
    for value in (np.nan, np.inf, -np.inf):
        bad = np.full(6, value, np.float32)
        for query in (Query(bad, good), Query(good, bad)):
            with pytest.raises(UsageError, match=r"not finite"):
                store.nearest([query], 1)


# Remote backends: several programs add and remove photos


@pytest.fixture
def remotes(stores: Stores) -> Stores:
    if stores.is_local:
        pytest.skip("remote backends only")
    return stores


def test_unchanged_photos_are_not_sent_again(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c")
    remote = remotes.of(sample)
    ids, stamp = remote.ids(), remote.stamp()
    done = remotes.send(sample, remote)
    assert (done.sent, done.unchanged, done.failed) == (0, 40, [])
    np.testing.assert_array_equal(remote.ids(), ids)
    assert remote.stamp() == stamp


def test_a_changed_photo_replaces_the_old_one(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c")
    remote = remotes.of(sample)
    stamp = remote.stamp()
    sample.global_[3] = sample.global_[30]
    with writing(sample.folder) as writer:
        record(writer, sample, 3, content="aa" * 32)
    done = remotes.send(sample, remote)
    assert (done.sent, done.unchanged) == (1, 39)
    assert remote.count("ok") == 40
    assert remote.stamp() != stamp
    found = remote.nearest([Query(sample.global_[30][SELECTED])], 2)[0]
    assert sorted(rows_of(remote, sample, found.ids)) == [3, 30]
    assert remote.stored_query(f"{3:064x}") is None


def test_photos_are_removed(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 20)
    remote, (database, _) = remotes.of(sample), reduced(sample)
    for place, expected in {
        "/photos/1": range(10, 20),
        "/photos/1/12.jpg": [12],
        "/ph": [],
    }.items():
        photos = remote.photos_under(Path(place))
        assert [photo.id for photo in photos] == sorted(photo.id for photo in photos)
        assert sorted(photo.path for photo in photos) == sorted(sample.paths[r] for r in expected)
    gone = remote.ids()[[2, 11]]
    rows, stamp = rows_of(remote, sample, gone), remote.stamp()
    remote.remove(gone.tolist())
    remote.remove([2**40])
    assert remote.count("ok") == 18
    assert remote.photos_by_id(gone.tolist()) == {}
    assert remote.stamp() != stamp
    found = remote.nearest([query_of(database, rows[0])], 20)[0]
    assert sorted(rows_of(remote, sample, found.ids)) == sorted(set(range(20)) - set(rows))
    done = remotes.send(sample, remote)
    assert (done.sent, done.unchanged) == (2, 18)


def test_damaged_evidence_is_not_sent(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)
    kept = keep_evidence(sample, 1, 2, 3)
    with writing(sample.folder) as writer:
        writer.collection.connection.execute(
            "UPDATE evidence SET data = x'00' WHERE content = ?", (f"{2:064x}",)
        )
    remote = remotes.remote()
    assert remotes.send(sample, remote).evidence == 2
    del kept[f"{2:064x}"]
    assert remote.evidence([f"{row:064x}" for row in range(10)]) == kept


def test_evidence_follows_later(remotes: Stores, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.backends.transfer.BATCH", 7)
    sample = make(tmp_path / "c", 20)
    remote = remotes.of(sample)
    remotes.forget_evidence(remote)  # as versions without evidence create collections
    contents = [f"{row:064x}" for row in range(20)]
    assert remote.evidence(contents) == {}
    remote.remove(remote.ids()[:1].tolist())
    kept = keep_evidence(sample, *range(12))
    stamp = remote.stamp()
    done = remotes.send(sample, remote)
    assert (done.sent, done.unchanged, done.evidence) == (1, 19, 12)
    assert remote.evidence(contents) == kept
    assert remote.stamp() != stamp
    kept |= keep_evidence(sample, 15)
    done, stamp = remotes.send(sample, remote), remote.stamp()
    assert (done.sent, done.evidence) == (0, 1)
    assert remote.evidence(contents) == kept
    assert remotes.send(sample, remote).evidence == 0
    assert remote.stamp() == stamp


def test_evidence_is_removed_with_its_last_photo(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 20)
    kept, twice = keep_evidence(sample, *range(20)), f"{3:064x}"
    with writing(sample.folder) as writer:
        record(writer, sample, 12, content=twice)
    remote = remotes.of(sample)
    del kept[f"{12:064x}"]
    assert remote.evidence(f"{row:064x}" for row in range(20)) == kept
    ids = {photo.path: photo.id for photo in remote.photos("ok")}
    remote.remove([ids[sample.paths[row]] for row in (3, 5)])
    assert remote.without_evidence(kept) == {f"{5:064x}"}
    remote.remove([ids[sample.paths[12]]])
    assert remote.without_evidence(kept) == {f"{5:064x}", twice}


def test_evidence_of_a_replaced_content_is_removed(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)
    kept = keep_evidence(sample, 3, 4)
    remote = remotes.of(sample)
    with writing(sample.folder) as writer:
        record(writer, sample, 3, content="aa" * 32)
        writer.record_evidence("aa" * 32, b"new")
    remotes.send(sample, remote)
    del kept[f"{3:064x}"]
    assert remote.evidence([f"{3:064x}", f"{4:064x}", "aa" * 32]) == kept | {"aa" * 32: b"new"}


def test_evidence_is_dropped_with_the_collection(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)
    kept = keep_evidence(sample, 3)
    remote = remotes.of(sample)
    assert remote.evidence(kept) == kept
    remote.drop()
    remotes.send(make(tmp_path / "d", 10), remote)
    assert remote.evidence(kept) == {}


def test_other_provenance_is_refused(remotes: Stores, tmp_path):
    remote = remotes.of(make(tmp_path / "c", 10))
    others = [
        ({"seed": 1, "model": Model("cd" * 32)}, r"was indexed with other weights"),
        ({"stride": 0.5}, r"another configuration \(stride is 0.4, not 0.5\)"),
        ({"keep": SELECTED - 1}, r"has another selection"),
        ({"whitened": True}, r"has another selection"),
    ]
    for number, (other, message) in enumerate(others):
        strange = make(tmp_path / str(number), 10, **other)
        with (
            Collection.open(strange.folder) as opened,
            pytest.raises(CollectionMismatchError, match=message) as refused,
        ):
            prepare(opened, remote, BackendConfig())
        assert "\n" not in str(refused.value)
    assert remote.count("ok") == 10


@pytest.mark.parametrize("kind", ["whitened", "adapted"])
def test_provenance_is_transferred(remotes: Stores, tmp_path, kind):
    sample = make(tmp_path / "c", 10, dtype="float16", **{kind: True})
    remote = remotes.of(sample)
    with Collection.open(sample.folder) as opened:
        ours, theirs = ProvenanceSnapshot.of(opened), remote.provenance
        assert theirs.config == opened.config == ExtractionConfig(dtype="float16")
        assert theirs.model == Model("ab" * 32)
        assert (theirs.values, theirs.infos, theirs.data) == (ours.values, ours.infos, ours.data)
        theirs.check_model(Model("ab" * 32, Path("/elsewhere")))
        with pytest.raises(CollectionMismatchError, match=r"other weights"):
            theirs.check_model(Model("cd" * 32))


def test_descriptors_that_are_not_finite_are_left_out(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)
    sample.global_[4, 7] = np.nan
    with writing(sample.folder) as writer:
        record(writer, sample, 4, content="aa" * 32)
    remote = remotes.remote()
    done = remotes.send(sample, remote)
    assert done.failed == [(sample.paths[4], "its descriptor has values that are not finite")]
    assert (done.sent, remote.count("ok")) == (9, 9)


def test_an_interrupted_upload_resumes(remotes: Stores, tmp_path, monkeypatch):
    monkeypatch.setattr("resight.backends.transfer.BATCH", 7)
    sample, remote = make(tmp_path / "c"), remotes.remote()

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 21:
            raise KeyboardInterrupt

    with Collection.open(sample.folder) as opened:
        prepare(opened, remote, BackendConfig())
        with pytest.raises(KeyboardInterrupt):
            upload(opened, remote, interrupt)
        assert remote.count("ok") == 21
        done = upload(opened, remote)
    assert (done.sent, done.unchanged) == (19, 21)
    assert sorted(p.path for p in remote.photos("ok")) == sorted(sample.paths)


def test_concurrent_writers(remotes: Stores, tmp_path, monkeypatch):
    if remotes.kind == "qdrant-client":
        pytest.skip("a client without a server is of one program")
    monkeypatch.setattr("resight.backends.transfer.BATCH", 5)
    sample = make(tmp_path / "c", 40)
    parts = [make(tmp_path / f"part{i}", 0) for i in range(3)]
    for part, rows in zip(parts, (range(20), range(10, 30), range(20, 40)), strict=True):
        part.global_ = sample.global_
        with writing(part.folder) as writer:
            record(writer, part, *rows)
            for row in rows:
                writer.record_evidence(f"{row:064x}", bytes([row]))
    remote, failures = remotes.remote(), []

    def send(part: Sample) -> None:
        try:
            with Collection.open(part.folder) as opened:
                prepare(opened, remote, BackendConfig())
                upload(opened, remote)
        except Exception as error:  # noqa: BLE001 - reported by the test's thread
            failures.append(error)

    with Collection.open(sample.folder) as opened:
        prepare(opened, remote, BackendConfig())
    if remotes.kind == "postgres":
        remotes.forget_evidence(remote)
    threads = [threading.Thread(target=send, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(p.path for p in remote.photos("ok")) == sorted(sample.paths)
    kept = {f"{row:064x}": bytes([row]) for row in range(40)}
    assert remote.evidence(kept) == kept


def test_a_collection_replaced_during_use(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)
    remote, query = remotes.of(sample), Query(sample.global_[0][SELECTED])
    other = remotes.remote(remote.name.rpartition("/")[2])
    assert len(other.nearest([query], 3)[0].ids) == 3
    remote.drop()
    assert not remote.exists()
    again = make(tmp_path / "d", 12, keep=SELECTED - 1)
    remotes.send(again, remote)
    with pytest.raises(CollectionError, match=r"no collection there|was replaced or removed"):
        other.nearest([query], 3)
    assert len(other.nearest([query], 30)[0].ids) == 12  # it reads the state again
    np.testing.assert_array_equal(other.reduction().indices, SELECTED - 1)
    remote.drop()
    with pytest.raises(CollectionError, match=r"no collection there"):
        remote.count("ok")


def test_details_of_a_remote_collection(remotes: Stores, tmp_path):
    remote = remotes.of(make(tmp_path / "c", 10))
    about = remote.details()
    assert about["backend"].split()[0] in ("PostgreSQL", "Qdrant")
    assert about["can be pulled"] == "yes"
    size = remote.bytes_on_disk()
    assert size is None or size > 10 * 12 * 4


def test_local_descriptors_are_ignored_by_collections_without_any(remotes: Stores, tmp_path):
    sample = make(tmp_path / "c", 10)  # without local descriptors
    remote = remotes.of(sample)
    plain = Query(sample.global_[0][SELECTED])
    both = replace(plain, local=np.ones(6, np.float32))
    found, expected = (remote.nearest([query], 4)[0] for query in (both, plain))
    np.testing.assert_array_equal(found.ids, expected.ids)
