"""Writing to a collection: one process at a time, every change one transaction."""

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import Collection, Photo, blob_crc32
from resight.collection.database import (
    COPIES,
    EVIDENCE,
    FILE_STATES,
    create_database,
    explained,
    transaction,
)
from resight.collection.decided import write_hints, write_names
from resight.collection.hints import Hints
from resight.collection.lock import LOCK_NAME, DatabasePlace, locked, remove_unfinished
from resight.collection.names import Names
from resight.collection.provenance import ProvenanceSnapshot
from resight.collection.removal import delete_contents, delete_unused
from resight.collection.row_sums import add_sums, is_sealed, seal
from resight.collection.thumbnails import FOLDER_NAME, delete_thumbnails
from resight.config import ConfigPair, NoReduction, ReductionConfig
from resight.descriptors.extractor import Description, FittedParams
from resight.errors import CollectionError
from resight.methods.model import Model, params_sha256, params_to_bytes
from resight.photos import PathLike
from resight.photos.files import COLLECTION_MARK, PhotoFile
from resight.reductions import Reduction, to_bytes


@contextlib.contextmanager
def writing(collection: PathLike | Collection, new: ConfigPair | None = None) -> Iterator["Writer"]:
    """Lock a collection for writing; with `new`, create it where there is none.

    The lock is the operating system's: it ends with the process, even if the process is killed.

    Args:
        collection: a folder, or an open collection, which stays open.
        new: the method and reduction of a new collection.

    Raises:
        CollectionLockedError: another process is writing.
        CollectionError: no collection (and not `new`), damaged, or no permission.
    """
    if isinstance(collection, Collection):
        with locked(collection.folder), explained(collection.folder):
            yield Writer(collection)
        return
    folder = Path(collection)
    if new is None or Collection.exists(folder):
        # Opened before the lock, so that nothing is written into a folder of something else.
        with Collection.open(folder) as opened, writing(opened) as writer:
            yield writer
        return
    check_creatable(folder)
    with locked(folder), explained(folder):
        if not Collection.exists(folder):
            method, reduction = new
            meta = {
                "config": method.to_dict(),
                "selection_config": reduction.to_dict(),
                "created": _now(),
                "stamp": _random_stamp(),
            }
            try:
                create_database(folder / COLLECTION_MARK, meta)
            finally:
                remove_unfinished(folder)
        with Collection.open(folder) as opened:
            yield Writer(opened)


class Writer:
    """Changes to a collection, for the thread that called `writing`."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._connection = collection.connection
        self.place = DatabasePlace(collection.folder)
        if not is_sealed(self._connection):  # an earlier version wrote it
            with transaction(self._connection):
                add_sums(self._connection)
                seal(self._connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all changes in the block atomic; part of the outer transaction if there is one."""
        if self._connection.in_transaction:
            yield
        else:
            with transaction(self._connection):
                yield
                seal(self._connection)
                self.place.check()

    # Provenance

    def bind_model(self, model: Model) -> None:
        """Store the model on first use, and refuse another one afterwards.

        Raises:
            CollectionMismatchError: the collection has another model.
        """
        self.collection.check_model(model)
        path = str(model.path) if model.path else None
        with self.transaction():
            self._set_meta("model", {"sha256": model.sha256, "path": path})
            self._set_meta("fingerprint", self.collection.fingerprint(model))

    def record_precision(self, precision: str) -> None:
        """Record with which arithmetic descriptors have been computed."""
        recorded = self.collection.meta("precisions") or []
        if precision not in recorded:
            with self.transaction():
                self._set_meta("precisions", sorted([*recorded, precision]))

    def copy_provenance(self, source: ProvenanceSnapshot) -> None:
        """Give a collection without descriptors the provenance of another one."""
        with self.transaction():
            for key in ("config", "selection_config", "model", "fingerprint", "precisions"):
                self._set_meta(key, source.meta(key))
            for name, data in source.data.items():
                self._store_fitted(name, source.infos[name], data)
            self._set_meta("stamp", _random_stamp())

    def store_reduction(
        self, reduction: Reduction, config: ReductionConfig, info: dict[str, Any]
    ) -> None:
        """Store a fitted reduction; `info` says what `config` was fitted on."""
        info = {**info, "config": dataclasses.asdict(config), "fitted_at": _now()}
        self._store_fitted("selection", info, to_bytes(reduction))

    def disable_reduction(self) -> None:
        """Compare all values of the descriptors, also of photos indexed later."""
        with self.transaction():
            self._set_meta("selection_config", NoReduction().to_dict())
            self._connection.execute("DELETE FROM fitted WHERE name = 'selection'")
            self._set_meta("stamp", _random_stamp())

    def store_fitted_params(self, params: FittedParams, info: dict[str, Any]) -> None:
        """Store the parameters that a new collection's method fitted."""
        info = {**info, "sha256": params_sha256(params), "fitted_at": _now()}
        self._store_fitted("learned", info, params_to_bytes(params))

    def store_quantized_network(self, network: bytes, info: dict[str, Any]) -> None:
        """Store the network of a new collection of the precision int8."""
        info = {**info, "sha256": hashlib.sha256(network).hexdigest(), "fitted_at": _now()}
        self._store_fitted("network", info, network)

    def _store_fitted(self, name: str, info: dict[str, Any], data: bytes) -> None:
        with self.transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO fitted VALUES (?, ?, ?)", (name, json.dumps(info), data)
            )
            self._set_meta("stamp", _random_stamp())

    def store_folders(self, folders: Iterable[Path]) -> None:
        """Store the folders that the photos were indexed from."""
        with self.transaction():
            self._set_meta("folders", [str(folder) for folder in folders])

    def store_check_position(self, position: float) -> None:
        """Store where the next partial check starts, in 0..1."""
        with self.transaction():
            self._set_meta("checked", position)

    # Photos

    def record_described(
        self,
        file: PhotoFile,
        content: str,
        pixels: tuple[int | None, int | None],
        global_: np.ndarray,
        local: np.ndarray | None,
        evidence: bytes | None = None,
    ) -> None:
        """Record a photo with its descriptors, float (D,), and evidence.

        `pixels` are its upright width and height.
        """
        encode = self.collection.encode
        blobs = encode(global_), None if local is None else encode(local)
        with self.transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?, ?)",
                (content, *blobs, blob_crc32(*blobs)),
            )
            if evidence is not None:
                self.record_evidence(content, evidence)
            self._record(file, content, pixels, None)

    def keep_evidence(self, keep: bool) -> None:
        """Store whether index runs keep evidence."""
        with self.transaction():
            self._set_meta("evidence", keep)

    def record_evidence(self, content: str, data: bytes) -> None:
        """Record the evidence of a content."""
        with self.transaction():
            self._connection.execute(EVIDENCE)
            self._connection.execute(
                "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?)",
                (content, data, zlib.crc32(data)),
            )

    def remove_evidence(self, contents: Iterable[str]) -> None:
        """Remove the evidence of some contents; the next index run makes it again."""
        with self.transaction():
            self._connection.executemany(
                "DELETE FROM evidence WHERE content = ?", [(content,) for content in contents]
            )

    def store_hints(self, hints: Hints) -> None:
        """Store these hints in place of the present ones; searches see the change."""
        with self.transaction():
            write_hints(self._connection, hints)

    def store_names(self, names: Names) -> None:
        """Store these names in place of the present ones."""
        with self.transaction():
            write_names(self._connection, names)

    def record_copies(self, content: str, descriptors: np.ndarray) -> None:
        """Record the descriptors of varied copies of a content, (V, D)."""
        data = descriptors.astype("<f2").tobytes()
        with self.transaction():
            self._connection.execute(COPIES)
            self._connection.execute(
                "INSERT OR REPLACE INTO copies VALUES (?, ?, ?)", (content, data, zlib.crc32(data))
            )

    def remove_copies(self, contents: Iterable[str]) -> None:
        """Remove the descriptors of varied copies of some contents; the next fit needs them."""
        with self.transaction():
            self._connection.executemany(
                "DELETE FROM copies WHERE content = ?", [(content,) for content in contents]
            )

    def import_photos(self, photos: Iterable[tuple[Photo, Description]]) -> None:
        """Record photos of another collection with their descriptors, in one transaction."""
        with self.transaction():
            for photo, description in photos:
                self.record_described(
                    PhotoFile(photo.path, photo.size, photo.mtime_ns),
                    str(photo.content),
                    (photo.width, photo.height),
                    description.global_,
                    description.local,
                    description.evidence,
                )

    def record_existing(self, file: PhotoFile, content: str, pixels: tuple[int, int]) -> None:
        """Record a photo whose content has descriptors: a copy, or an unchanged file."""
        self._record(file, content, pixels, None)

    def record_moved(self, file: PhotoFile, source: Photo) -> None:
        """Record that a photo moved from `source` to the file's path; it keeps its ID."""
        path = os.fsencode(file.path)
        with self.transaction():
            self._connection.execute("DELETE FROM photos WHERE path = ?", (path,))
            self._connection.execute("UPDATE photos SET path = ? WHERE id = ?", (path, source.id))
            self._record(file, str(source.content), (source.width, source.height), None)

    def move(self, paths: Mapping[int, Path]) -> None:
        """Change the paths of photos, by ID, in one transaction; no photo may have them."""
        with self.transaction():
            self._connection.executemany(
                "UPDATE photos SET path = ? WHERE id = ?",
                [(os.fsencode(path), id_) for id_, path in paths.items()],
            )

    def record_file_states(self, files: Iterable[PhotoFile]) -> None:
        """Record the change times and inodes of files of photos, where they are known."""
        rows = [(f.ctime_ns, f.inode, os.fsencode(f.path)) for f in files if f.ctime_ns or f.inode]
        with self.transaction():
            self._connection.execute(FILE_STATES)
            self._connection.executemany(
                "INSERT OR REPLACE INTO file_states SELECT id, ?, ? FROM photos WHERE path = ?",
                rows,
            )

    def record_failed(self, file: PhotoFile, content: str | None, reason: str) -> None:
        """Record a file that could not be indexed.

        An unreadable file (`content` None) keeps its previous descriptors: it may become readable
        again without having changed.
        """
        self._record(file, content, (None, None), reason)

    def mark_damaged(self, content: str) -> None:
        """Delete a content's descriptors; the next index run describes its photos again."""
        with self.transaction():
            self._connection.execute("DELETE FROM descriptors WHERE content = ?", (content,))
            self._connection.execute(
                "UPDATE photos SET state = 'failed', reason = 'its descriptor was damaged; "
                "index again' WHERE content = ?",
                (content,),
            )

    def mark_entry_damaged(self, photo: int) -> None:
        """Record that a photo's row is damaged; the next index run reads its file again."""
        with self.transaction():
            self._connection.execute(
                "UPDATE photos SET state = 'failed', size = -1, content = NULL, "
                "reason = 'its entry was damaged; index again' WHERE id = ?",
                (photo,),
            )

    def remove(self, photos: list[Photo], *, keep: bool = False) -> None:
        """Remove photos (or none), and descriptors and thumbnails that no photo needs any more.

        With `keep`, the descriptors of these photos stay until `forget_moved`.
        """
        with self.transaction():
            kept = set(self.collection.meta("moved") or ())
            if keep:
                kept |= {str(photo.content) for photo in photos}
                self._set_meta("moved", sorted(kept))
            for photo in photos:
                self._connection.execute("DELETE FROM photos WHERE id = ?", (photo.id,))
            delete_unused(self._connection, self.collection.meta("cleaned") or 0, kept)
            (last,) = self._connection.execute("SELECT max(number) FROM changes").fetchone()
            self._set_meta("cleaned", last)
        contents = {photo.content for photo in photos if photo.content is not None}
        left = {photo.content for photo in self.collection.photos_with(contents)}
        delete_thumbnails(self.collection.folder / FOLDER_NAME, contents - left)

    def forget_moved(self) -> None:
        """Delete the descriptors that `remove` has kept, of contents that have no photo."""
        with self.transaction():
            delete_contents(self._connection, self.collection.meta("moved") or ())
            self._set_meta("moved", [])

    def _record(
        self,
        file: PhotoFile,
        content: str | None,
        pixels: tuple[int | None, int | None],
        reason: str | None,
    ) -> None:
        """Insert or update a photo's row; the ID of a path never changes."""
        photo = os.fsencode(file.path), file.size, file.mtime_ns
        state = "ok" if reason is None else "failed"
        with self.transaction():
            self._connection.execute(
                "INSERT INTO photos (path, size, mtime_ns, content, width, height, state, reason, "
                "indexed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
                "size = excluded.size, mtime_ns = excluded.mtime_ns, "
                "content = coalesce(excluded.content, content), "
                "width = excluded.width, height = excluded.height, state = excluded.state, "
                "reason = excluded.reason, indexed_at = excluded.indexed_at",
                (*photo, content, *pixels, state, reason, _now()),
            )
            self.record_file_states([file])

    def _set_meta(self, key: str, value: Any) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value))
        )


def check_creatable(folder: Path) -> None:
    """Refuse a folder where no collection can be created; one that exists is fine.

    Raises:
        CollectionError: a folder with other things in it, or no permission.
    """
    if Collection.exists(folder):
        return
    with explained(folder):
        parent = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not os.access(parent, os.W_OK):
            raise CollectionError(f"{folder}: no permission to write there")
        names = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    if any(name != LOCK_NAME and not name.startswith(COLLECTION_MARK) for name in names):
        raise CollectionError(
            f"{folder}: is no collection and not empty; name a new folder for the collection"
        )


def _random_stamp() -> str:
    return secrets.token_hex(8)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
