"""Collections that are pushed to a remote backend and pulled back."""

from pathlib import Path

import pytest

import samples
from postgres_server import PostgresServer
from resight.backends.manage import check, info, remove
from resight.backends.transfer import pull, push
from resight.collection import Collection
from resight.collection.writer import writing
from resight.errors import CollectionError, CollectionMismatchError
from resight.methods.model import Model
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
