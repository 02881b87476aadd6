"""The folders of a collection: remembered by index runs, and followed when they move or go."""

import os
import shutil
from pathlib import Path

import fsspec
import pytest

import samples
from resight.backends.manage import info, move, remove
from resight.collection import Collection
from resight.collection.folders import (
    indexed_folders,
    known_folders,
    remember_imported,
    single_photos,
)
from resight.collection.writer import writing


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Draw two photos in each of two folders."""
    samples.draw_many(tmp_path / "photos" / "a", 2)
    samples.draw_many(tmp_path / "photos" / "b", 2, first=2)
    return tmp_path / "photos"


def known(collection: Path) -> list[Path]:
    with Collection.open(collection) as opened:
        return known_folders(opened)


def forget_key(collection: Path) -> None:
    """Make a collection one of an earlier version, which remembers no folders."""
    with writing(collection) as writer, writer.transaction():
        writer.collection.connection.execute("DELETE FROM meta WHERE key = 'folders'")


def test_folders_are_remembered_and_inner_ones_belong_to_outer_ones(photos, tmp_path):
    (single,) = samples.draw_many(tmp_path / "elsewhere", 1, first=5)
    samples.draw_many(photos / ".hidden", 1, first=6)
    collection = tmp_path / "c"
    samples.index(photos / "a", collection)
    assert known(collection) == [photos / "a"]
    (tmp_path / "empty").mkdir()
    samples.index(tmp_path / "empty", collection)
    samples.index(single, collection)
    assert known(collection) == [tmp_path / "empty", photos / "a"]
    with Collection.open(collection) as opened:
        assert single_photos(opened) == [single]
        fingerprint = opened.meta("fingerprint")
    samples.index(photos, collection)
    samples.index(photos / ".hidden", collection)  # a search of `photos` skips it
    assert known(collection) == [tmp_path / "empty", photos, photos / ".hidden"]
    described = info(collection)
    assert described.fingerprint == fingerprint
    assert described.to_dict()["folders"] == list(map(str, known(collection)))


def test_a_collection_of_an_earlier_version_has_the_folders_of_its_photos(photos, tmp_path):
    collection = tmp_path / "c"
    samples.index(photos, collection)
    forget_key(collection)
    assert known(collection) == [photos / "a", photos / "b"]
    samples.index(photos / "a" / "000.png", collection)
    with Collection.open(collection) as opened:
        assert opened.meta("folders") is None
    shutil.rmtree(photos / "b")  # as when a disk is not connected
    samples.index(photos / "a", collection)
    assert known(collection) == [photos / "a", photos / "b"]
    with Collection.open(collection) as opened:
        assert indexed_folders(opened) == [photos / "a"]
    (photos / "b").mkdir()
    samples.index(photos, collection)
    assert known(collection) == [photos]


def test_folders_follow_moves(photos, tmp_path):
    collection = tmp_path / "c"
    samples.index(photos, collection)
    (photos / "b").rename(tmp_path / "away")
    move(photos / "b", tmp_path / "away", collection)  # part of a folder becomes another one
    assert known(collection) == [tmp_path / "away", photos]
    photos.rename(tmp_path / "renamed")
    move(photos, tmp_path / "renamed", collection)
    assert known(collection) == [tmp_path / "away", tmp_path / "renamed"]
    source = tmp_path / "renamed" / "a" / "000.png"
    source.rename(tmp_path / "000.png")
    move(source, tmp_path / "000.png", collection)  # one photo is no folder
    assert known(collection) == [tmp_path / "away", tmp_path / "renamed"]


def test_folders_are_forgotten_only_without_photos_and_when_gone_or_removed(photos, tmp_path):
    collection = tmp_path / "c"
    samples.index(photos / "a", collection)
    samples.index(photos / "b", collection)
    shutil.rmtree(photos / "b")
    samples.index(photos / "a", collection, prune=True)
    assert known(collection) == [photos / "a", photos / "b"]  # its photos are still listed
    samples.index(photos / "b", collection, prune_most=True)
    assert known(collection) == [photos / "a"]
    remove([photos / "a" / "000.png", photos / "a" / "001.png"], collection, everything=True)
    assert known(collection) == [photos / "a"]  # new photos may come
    samples.index(photos / "a", collection)
    remove(photos / "a", collection, everything=True)
    assert known(collection) == []


def test_photos_of_other_collections_bring_their_folders(photos, tmp_path):
    collection, other = tmp_path / "c", Path("/other/b/1.jpg")
    samples.index(photos, collection)
    with writing(collection) as writer:
        remember_imported(writer, [photos / "a" / "9.jpg", other, Path("s3:/bucket/1.jpg")])
    assert known(collection) == [other.parent, photos]
    name = os.fsdecode(b"caf\xe9")
    samples.draw_many(tmp_path / name, 1, first=7)
    samples.index(tmp_path / name, collection)
    assert tmp_path / name in known(collection)


def test_folders_of_object_stores_are_remembered_if_they_were_indexed(photos, tmp_path):
    store, collection = fsspec.filesystem("memory"), tmp_path / "c"
    for name in ("sea/a.png", "b.png"):
        store.pipe(f"/bucket/{name}", (photos / "a" / "000.png").read_bytes() + name.encode())
    samples.index(photos / "a", collection)
    samples.index(Path("memory://bucket/b.png"), collection)  # one photo
    assert known(collection) == [photos / "a"]
    samples.index(Path("memory://bucket/sea"), collection)
    assert info(collection).to_dict()["folders"] == [str(photos / "a"), "memory://bucket/sea"]
    with Collection.open(collection) as opened:
        assert indexed_folders(opened) == [photos / "a"]
        assert single_photos(opened) == []
