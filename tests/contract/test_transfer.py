"""Collections that are pushed to a remote backend and pulled back."""

import shutil
from pathlib import Path

import pytest

import samples
from postgres_server import PostgresServer
from resight.backends import Location, open_store
from resight.backends.hints import decide, hints, undo_hints
from resight.backends.manage import info, remove
from resight.backends.names import name, names
from resight.backends.transfer import pull, push
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.provenance import ProvenanceSnapshot
from resight.collection.writer import writing
from resight.config import SearchConfig
from resight.errors import CollectionError, CollectionMismatchError, UsageError
from resight.methods.model import Model
from resight.searching import Searcher
from store_samples import Sample, make


@pytest.fixture(params=["postgres", "qdrant"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a new collection on each backend in turn."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.address(server.new_database(), "name")
    return f"qdrant+file://{tmp_path}/qdrant/name"


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    return make(tmp_path / "c", 20, cam=True, dtype="float16")


def evidence(collection: Path) -> dict[str, bytes]:
    """Return the evidence in a folder by content."""
    with Collection.open(collection) as opened:
        intact = opened.evidence(opened.contents_with_evidence())
        assert intact.keys() == opened.contents_with_evidence()
        return intact


def decisions(location: Location) -> tuple[list[tuple[object, ...]], list[float | None]]:
    """Search for a crop; return what is decided on the results, and their probabilities."""
    query = samples.textured_picture(4).crop((0, 0, 300, 220))
    with open_store(location) as store:
        results = Searcher(store).search(query).results
    decided = [(r.path.name, r.verdict, r.kind, r.match and r.match.to_dict()) for r in results]
    return decided, [r.probability for r in results]


def assert_same_decisions(location: Location, other: Location) -> None:
    (found, probabilities), (expected, expected_probabilities) = map(decisions, (location, other))
    assert found == expected
    assert probabilities == pytest.approx(expected_probabilities, abs=1e-4)


def photos(collection: Path) -> dict[bytes, tuple[object, ...]]:
    """Return the photos' rows by path, without their IDs."""
    return {row[1]: row[2:] for row in samples.contents(collection)["photos"]}


@pytest.mark.parametrize("adapted", [False, True])
def test_pull_restores_the_collection(address: str, adapted: bool, tmp_path: Path) -> None:
    sample = make(tmp_path / "c", 20, cam=True, adapted=adapted, dtype="float16")
    assert push(sample.folder, address).sent == 20
    copy = tmp_path / "copy"
    for sent in (20, 0):
        transfer = pull(address, str(copy))
        assert (transfer.photos, transfer.sent, transfer.unchanged) == (20, sent, 20 - sent)
    before, after = samples.contents(sample.folder), samples.contents(copy)
    assert photos(copy) == photos(sample.folder)
    assert [after[part] for part in ("descriptors", "fitted")] == [
        before[part] for part in ("descriptors", "fitted")
    ]
    assert check(copy).problems == []


@pytest.mark.parametrize("compact", [False, True])
def test_a_remote_search_decides_as_a_local_one(
    address: str, textured: Path, compact: bool
) -> None:
    (first, second, *_), _ = decisions(textured)
    assert first[:3] == ("4.png", "same", "crop")
    assert second[1] == "different"
    assert push(textured, address, compact=compact).evidence == 12
    assert_same_decisions(address, textured)


def test_a_push_adds_the_evidence_of_photos_sent_before(
    address: str, textured: Path, tmp_path: Path
) -> None:
    shutil.copytree(textured, tmp_path / "c")
    with writing(tmp_path / "c") as writer:
        writer.remove_evidence(writer.collection.contents_with_evidence())
    assert push(tmp_path / "c", address).evidence == 0
    assert_same_decisions(address, tmp_path / "c")
    assert decisions(address)[0][0][3] is None  # it is decided by the descriptors
    transfer = push(textured, address)
    assert (transfer.sent, transfer.unchanged, transfer.evidence) == (0, 12, 12)
    assert_same_decisions(address, textured)
    assert push(textured, address).evidence == 0


def test_pull_brings_evidence_back(address: str, textured: Path, tmp_path: Path) -> None:
    push(textured, address)
    copy = tmp_path / "copy"
    assert pull(address, copy).evidence == 12
    assert evidence(copy) == evidence(textured)
    assert len(evidence(copy)) == 12
    some = sorted(evidence(copy))[:5]
    with writing(copy) as writer:
        writer.remove_evidence(some)
    transfer = pull(address, copy)
    assert (transfer.sent, transfer.unchanged, transfer.evidence) == (0, 12, 5)
    assert evidence(copy) == evidence(textured)
    with writing(copy) as writer:
        writer.remove_evidence(some)
        writer.keep_evidence(False)
    assert pull(address, copy).evidence == 0


def test_a_compact_collection_is_pulled_only_empty(
    address: str, sample: Sample, tmp_path: Path
) -> None:
    push(sample.folder, address, compact=True)
    assert info(address).details["can be pulled"] == "no"
    with pytest.raises(CollectionError, match="is compact"):
        pull(address, tmp_path / "copy")
    assert pull(address, tmp_path / "copy", empty=True).photos == 0
    with Collection.open(tmp_path / "copy") as copy, Collection.open(sample.folder) as source:
        assert copy.config == source.config
        assert copy.meta("fingerprint") == source.meta("fingerprint")
        assert copy.fitted_data("selection") == source.fitted_data("selection")


def test_push_prunes_and_replaces(address: str, sample: Sample, tmp_path: Path) -> None:
    push(sample.folder, address)
    remove(sample.paths[:3], sample.folder)
    assert push(sample.folder, address).photos == 20
    transfer = push(sample.folder, address, prune=True)
    assert (transfer.photos, transfer.removed) == (17, 3)
    other = make(tmp_path / "other", 5, model=Model("cd" * 32))
    with pytest.raises(CollectionMismatchError, match="another configuration"):
        push(other.folder, address)
    assert push(other.folder, address, replace=True).photos == 5


def test_damaged_descriptors_are_left_out(address: str, sample: Sample) -> None:
    with writing(sample.folder) as writer:
        writer.collection.connection.execute("UPDATE descriptors SET crc32 = 1 WHERE rowid = 7")
    transfer = push(sample.folder, address)
    assert (transfer.photos, len(transfer.failed)) == (19, 1)
    assert transfer.failed[0][1] == "its descriptor is damaged; run resight check"


def test_remote_photos_are_removed(address: str, sample: Sample) -> None:
    push(sample.folder, address)
    assert sorted(remove(["/photos/1"], address)) == sorted(sample.paths[10:])
    assert info(address).photos == 10


def test_hints_are_pushed_and_pulled(address: str, textured: Path, tmp_path: Path) -> None:
    shutil.copytree(textured, tmp_path / "c")
    folder, copy = tmp_path / "c", tmp_path / "copy"
    first, second, third = (textured.parent / "photos" / f"{n}.png" for n in range(3))
    decide("same", [first, second], folder)
    push(str(folder), address)
    assert hints(address) == hints(folder)
    stamp = stamp_of(address)
    push(str(folder), address)
    assert stamp_of(address) == stamp  # nothing new
    decide("different", [first, third], address)
    assert stamp_of(address) != stamp
    with pytest.raises(UsageError, match="contradict"):
        decide("same", [second, third], address)
    pull(address, str(copy))
    assert hints(copy) == hints(address)
    assert [hint.verdict for hint in hints(copy)] == ["same", "different"]
    undo_hints(address, "last")
    assert [hint.verdict for hint in hints(address)] == ["same"]
    decide("different", [first, second], folder)
    push(str(folder), address)
    assert [hint.verdict for hint in hints(address)] == ["different"]  # the newest
    with open_store(address) as store:
        found = Searcher(store).search(first, SearchConfig(k=12))
        results = {result.path: result for result in found}
    assert (results[second].verdict, results[second].hint) == ("different", True)
    with open_store(address) as store:
        store.provenance.check_same(ProvenanceSnapshot.of(store.provenance))


def test_names_are_pushed_and_pulled(address: str, textured: Path, tmp_path: Path) -> None:
    shutil.copytree(textured, tmp_path / "c")
    folder, copy = tmp_path / "c", tmp_path / "copy"
    first, second = (textured.parent / "photos" / f"{n}.png" for n in range(2))
    name("our boat", first, folder)
    push(str(folder), address)
    stamp = stamp_of(address)
    push(str(folder), address)
    assert stamp_of(address) == stamp  # nothing new
    name("Our Boat", second, address)
    pull(address, str(copy))
    assert [thing.photos for thing in names(copy)] == [(first, second)]
    assert names(copy) == names(address)
    name("our boat", first, address, remove=True)
    assert [(thing.name, thing.photos) for thing in names(address)] == [("Our Boat", (second,))]
    assert info(address).names == {"Our Boat": 1}
    with open_store(address) as store:
        assert Searcher(store).search_thing("our boat").results[0].path == second


def stamp_of(location: Location) -> str:
    with open_store(location) as store:
        return store.stamp()
