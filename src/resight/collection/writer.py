"""Writing to a collection: one process at a time, every change one transaction."""

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np

from resight.collection import fitted_params as fitted_params_io
from resight.collection.database import create_database, explained, transaction
from resight.collection.provenance import FittedName, Model, Provenance
from resight.collection.reader import Collection, Photo, blob_crc32
from resight.config import ConfigPair, MethodConfig, NoReduction, ReductionConfig
from resight.descriptors.extractor import Description, FittedParams
from resight.errors import CollectionError, CollectionLockedError
from resight.photos.files import COLLECTION_MARK, PhotoFile
from resight.reductions.reduction import Reduction, to_bytes

LOCK_NAME = "writer.lock"


@contextlib.contextmanager
def writing(folder: Path, new: ConfigPair | None = None) -> Iterator["Writer"]:
    """Open a collection for writing; with `new`, make it where there is none.

    The lock is the operating system's: it ends with the process, however that ends.

    Raises:
        CollectionLockedError: another process is writing.
        CollectionError: no collection (and not `new`), damaged, or no permission.
    """
    import filelock  # takes a while, and readers need none

    if new is None:
        Collection.open(folder).close()
    else:
        check_place(folder)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise CollectionLockedError(
                f"{folder}: another process is writing to this collection; "
                "wait until it is done, or stop it"
            ) from None
    try:
        with explained(folder):
            if new is not None and not Collection.exists(folder):
                create_database(folder / COLLECTION_MARK, _first_meta(*new))
            with Collection.open(folder) as collection:
                yield Writer(collection)
    finally:
        lock.release()


class Writer:
    """The changes a collection knows; get one from `writing`."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._db = collection.database

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All changes meanwhile as one transaction, all or none of them."""
        with transaction(self._db):
            yield

    def _change(self) -> contextlib.AbstractContextManager[None]:
        """A transaction, or a part of that of `together`."""
        return contextlib.nullcontext() if self._db.in_transaction else transaction(self._db)

    def bind_model(self, model: Model) -> None:
        """Remember the model on first use and insist on it afterwards.

        Raises:
            CollectionMismatchError: it is another than the one the collection was made with.
        """
        self.collection.check_model(model)
        path = str(model.path) if model.path else None
        with transaction(self._db):
            self._set_meta("model", {"sha256": model.sha256, "path": path})
            self._set_meta("fingerprint", self.collection.fingerprint(model))

    def adopt(self, other: Provenance) -> None:
        """Make a collection in which nothing was described yet one of the same kind as another."""
        with transaction(self._db):
            for key in ("config", "selection_config", "model", "fingerprint"):
                self._set_meta(key, other.meta(key))
            for name in get_args(FittedName):
                how, data = other.how_fitted(name), other.fitted_data(name)
                if how is not None and data is not None:
                    self._insert_fitted(name, how, data)
            self._new_stamp()

    def record_described(
        self,
        file: PhotoFile,
        content: str,
        pixels: tuple[int, int],
        global_: np.ndarray,
        local: np.ndarray | None,
    ) -> None:
        """A photo and its descriptors, float (D,); `pixels` are width and height, upright."""
        encode = self.collection.encode
        blobs = encode(global_), None if local is None else encode(local)
        with self._change():
            self._db.execute(
                "INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?)",
                (content, *blobs, blob_crc32(*blobs)),
            )
            self._record(file, content, pixels, None)

    def record_all(self, photos: Iterable[tuple[Photo, Description]]) -> None:
        """Photos of another collection with their descriptors; all or none of them."""
        encode = self.collection.encode
        with transaction(self._db):
            for photo, found in photos:
                blobs = encode(found.global_), None if found.local is None else encode(found.local)
                self._db.execute(
                    "INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?)",
                    (photo.content, *blobs, blob_crc32(*blobs)),
                )
                file = PhotoFile(photo.path, photo.size, photo.mtime_ns)
                self._record(file, photo.content, (photo.width, photo.height), None)

    def record_known(self, file: PhotoFile, content: str, pixels: tuple[int, int]) -> None:
        """A photo whose content was described before: a copy, or only touched."""
        with self._change():
            self._record(file, content, pixels, None)

    def record_moved(self, file: PhotoFile, source: Photo) -> None:
        """A photo that was at `source` and is now at the file's path; it keeps its id."""
        path = os.fsencode(file.path)
        with self._change():
            self._db.execute("DELETE FROM photos WHERE path = ?", (path,))
            self._db.execute("UPDATE photos SET path = ? WHERE id = ?", (path, source.id))
            self._record(file, str(source.content), (source.width, source.height), None)

    def record_failed(self, file: PhotoFile, content: str | None, reason: str) -> None:
        """A file that could not be indexed.

        One that could not even be read (`content` None) keeps the descriptors it had: it may
        come back as it was.
        """
        with self._change():
            self._record(file, content, (None, None), reason)

    def mark_damaged(self, content: str) -> None:
        """Drop a content's descriptors; the next index run describes its photos again."""
        with transaction(self._db):
            self._db.execute("DELETE FROM descriptors WHERE content = ?", (content,))
            self._db.execute(
                "UPDATE photos SET state = 'failed', reason = 'its descriptor was damaged; "
                "index again' WHERE content = ?",
                (content,),
            )

    def remove(self, photos: list[Photo]) -> None:
        """Forget photos (or none); all descriptors that no photo needs any more go too."""
        with transaction(self._db):
            for photo in photos:
                self._db.execute("DELETE FROM photos WHERE id = ?", (photo.id,))
            self._db.execute(
                "DELETE FROM descriptors WHERE content IN (SELECT former FROM changes "
                "WHERE number > ?) AND NOT EXISTS "
                "(SELECT 1 FROM photos WHERE photos.content = descriptors.content)",
                (self.collection.meta("cleaned") or 0,),
            )
            (last,) = self._db.execute("SELECT max(number) FROM changes").fetchone()
            self._set_meta("cleaned", last)

    def store_selection(
        self, selection: Reduction, config: ReductionConfig, how: dict[str, Any]
    ) -> None:
        """Put a fitted selection or whitening in place of the one before.

        Args:
            selection: what was fitted.
            config: how.
            how: on what.
        """
        how = {**how, "config": dataclasses.asdict(config), "fitted_at": _now()}
        self._store_fitted("selection", how, to_bytes(selection))

    def forget_selection(self) -> None:
        """Compare all values of the descriptors from now on, whatever is indexed later."""
        with transaction(self._db):
            self._set_meta("selection_config", NoReduction().to_dict())
            self._db.execute("DELETE FROM fitted WHERE name = 'selection'")
            self._new_stamp()

    def store_learned(self, learned: FittedParams, how: dict[str, Any]) -> None:
        """Store what a new collection's method learned."""
        how = {**how, "sha256": fitted_params_io.sha256(learned), "fitted_at": _now()}
        self._store_fitted("learned", how, fitted_params_io.to_bytes(learned))

    def store_quantized_network(self, network: bytes, how: dict[str, Any]) -> None:
        """Store the network of a new collection of the precision int8."""
        how = {**how, "sha256": hashlib.sha256(network).hexdigest(), "fitted_at": _now()}
        self._store_fitted("network", how, network)

    def _store_fitted(self, name: str, how: dict[str, Any], data: bytes) -> None:
        with transaction(self._db):
            self._insert_fitted(name, how, data)
            self._new_stamp()

    def _insert_fitted(self, name: str, how: dict[str, Any], data: bytes) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO fitted VALUES (?, ?, ?)", (name, json.dumps(how), data)
        )

    def _record(
        self,
        file: PhotoFile,
        content: str | None,
        pixels: tuple[int | None, int | None],
        reason: str | None,
    ) -> None:
        """Insert or update a photo's row; the id of a path never changes."""
        path, state = os.fsencode(file.path), "ok" if reason is None else "failed"
        self._db.execute(
            "INSERT INTO photos (path, size, mtime_ns, content, width, height, state, reason, "
            "indexed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, "
            "content = coalesce(excluded.content, content), "
            "width = excluded.width, height = excluded.height, state = excluded.state, "
            "reason = excluded.reason, indexed_at = excluded.indexed_at",
            (path, file.size, file.mtime_ns, content, *pixels, state, reason, _now()),
        )

    def _new_stamp(self) -> None:
        self._set_meta("stamp", _random_stamp())

    def _set_meta(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))


def _first_meta(config: MethodConfig, selection: ReductionConfig) -> dict[str, Any]:
    return {
        "config": config.to_dict(),
        "selection_config": selection.to_dict(),
        "created": _now(),
        "stamp": _random_stamp(),
    }


def _random_stamp() -> str:
    return secrets.token_hex(8)


def check_place(folder: Path) -> None:
    """Refuse a place where no collection can be made, before there is work for it.

    Raises:
        CollectionError: a folder with other things in it, or no permission.
    """
    if Collection.exists(folder):
        return
    with explained(folder):
        above = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not os.access(above, os.W_OK):
            raise CollectionError(f"{folder}: no permission to write there")
        names = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    if any(name != LOCK_NAME and not name.startswith(COLLECTION_MARK) for name in names):
        raise CollectionError(
            f"{folder}: is no collection and not empty; name a new folder for the collection"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
