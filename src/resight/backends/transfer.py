"""Transfers collections from a folder to a remote backend (`push`) and back (`pull`)."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from resight.backends import open_remote
from resight.backends.hints import add_hints
from resight.backends.names import add_names
from resight.backends.remote import Layout, Record, Remote, paged
from resight.backends.store import reduced_query
from resight.collection import Collection, Photo, StoredDescriptors
from resight.collection.folders import remember_imported
from resight.collection.provenance import ProvenanceSnapshot
from resight.collection.writer import Writer, writing
from resight.config import SETS, BackendConfig
from resight.descriptors.extractor import Description
from resight.errors import CollectionError, UsageError
from resight.photos import PathLike
from resight.photos.files import file_state
from resight.photos.images import taken_at
from resight.progress import Progress, no_progress
from resight.reductions import Reduction

BATCH = 1000
"""Photos transferred in one transaction."""


@dataclass(frozen=True)
class Transfer:
    """Result of a transfer.

    Attributes:
        target: the target, as messages name it.
        photos: number of photos at the target now.
        sent: number of photos transferred.
        unchanged: number of photos that were at the target already.
        removed: number of photos removed from the target, which the source lacks.
        evidence: number of contents whose evidence was transferred, also of unchanged photos.
        failed: path and reason of the photos left out.
    """

    target: str
    photos: int = 0
    sent: int = 0
    unchanged: int = 0
    removed: int = 0
    evidence: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and failures as JSON values."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        return {**dataclasses.asdict(self), "failed": failed}


def push(
    collection: PathLike,
    address: str,
    config: BackendConfig | None = None,
    *,
    compact: bool = False,
    prune: bool = False,
    replace: bool = False,
    progress: Progress = no_progress,
) -> Transfer:
    """Update a collection on a remote backend from a folder; an interrupted run can be resumed.

    Photos that are stored with the same content are not sent again, and neither is evidence of
    their content. Hints and names are added to those there; of contradictory hints the newest
    win. A new collection gets the folder's provenance; that of an existing one must be the same.
    The folders that were indexed stay behind: photos of several machines may be in one database.

    Args:
        collection: the folder.
        address: address of the remote collection, which is created if it does not exist.
        config: index and search parameters of a new collection.
        compact: leave out the descriptors before the reduction; a compact collection cannot be
            pulled.
        prune: remove photos that are not in the folder.
        replace: remove an existing collection first.
        progress: called after each batch.

    Raises:
        UsageError: not an address, or descriptors that are too long for the backend.
        CollectionMismatchError: the remote collection has another provenance.
        CollectionError: the folder holds no photos, or the backend fails.
    """
    with _opened(address) as remote, Collection.open(collection) as source, source.snapshot():
        if replace:
            remote.drop()
        prepare(source, remote, config or BackendConfig(), keeps_whole=not compact)
        transfer = upload(source, remote, progress)
        add_hints(remote.hints(), list(source.hints()), remote.store_hints)
        add_names(remote.names(), list(source.names()), remote.store_names)
        removed = _prune(source, remote) if prune else 0
        remote.build_index(progress)
        return dataclasses.replace(transfer, photos=remote.count("ok"), removed=removed)


def prepare(
    source: Collection, remote: Remote, config: BackendConfig, *, keeps_whole: bool = True
) -> None:
    """Create a remote collection, or check that an existing one has the same provenance."""
    provenance = ProvenanceSnapshot.of(source)
    if not remote.exists():
        remote.create(provenance, _layout(source, keeps_whole=keeps_whole), config)
    remote.provenance.check_same(provenance)


def upload(source: Collection, remote: Remote, progress: Progress = no_progress) -> Transfer:
    """Send the photos and the evidence that a remote collection does not have yet."""
    sent, skipped, evidence, failed = 0, 0, 0, []
    reduction, layout = source.reduction(), remote.layout()
    photos, total = paged(source.photos_after), source.count("ok")
    while batch := list(itertools.islice(photos, BATCH)):
        unchanged = remote.existing_paths(batch)
        records: list[Record] = []
        for photo in batch:
            if photo.path in unchanged:
                continue
            record = _record(source, photo, reduction, layout)
            if isinstance(record, Record):
                records.append(record)
            else:
                failed.append((photo.path, record))
        if records:
            remote.upsert(records)
        present = unchanged | {record.photo.path for record in records}
        evidence += _send_evidence(source, remote, [p for p in batch if p.path in present])
        sent += len(records)
        skipped += len(unchanged)
        progress("uploading", sent + skipped + len(failed), total)
    return Transfer(remote.name, sent=sent, unchanged=skipped, evidence=evidence, failed=failed)


def _record(
    source: Collection, photo: Photo, reduction: Reduction | None, layout: Layout
) -> Record | str:
    """Return a photo with its descriptors, or the reason why it is left out."""
    stored = source.descriptors(str(photo.content))
    if stored is None or not stored.intact:
        return "its descriptor is damaged; run resight check"
    if not _is_finite(stored):
        return "its descriptor has values that are not finite"
    whole = Description(stored.global_, stored.local) if layout.keeps_whole else None
    return Record(photo, _taken(photo), reduced_query(stored, reduction), whole)


def _send_evidence(source: Collection, remote: Remote, photos: Sequence[Photo]) -> int:
    """Send what a remote collection lacks of its photos' evidence; return for how many contents.

    What is lacking is one request for all the photos; damaged evidence is left out.
    """
    if not source.has_evidence():
        return 0
    lacking = remote.without_evidence({str(photo.content) for photo in photos})
    evidence = source.evidence(lacking)
    if evidence:
        remote.add_evidence(evidence)
    return len(evidence)


def pull(
    address: str, collection: PathLike, *, empty: bool = False, progress: Progress = no_progress
) -> Transfer:
    """Update a folder from a collection on a remote backend; an interrupted run can be resumed.

    Args:
        address: address of the remote collection.
        collection: the folder, which is created if it does not exist.
        empty: transfer only the provenance, to index more photos with the same configuration.
        progress: called after each batch.

    Raises:
        UsageError: not an address.
        CollectionMismatchError: the folder's collection has another provenance.
        CollectionError: there is no such remote collection, or it is compact.
    """
    with _opened(address) as remote:
        provenance = remote.provenance
        if not empty and not remote.layout().keeps_whole:
            raise CollectionError(
                f"{remote.name}: is compact, so it lacks the full descriptors that a folder needs; "
                "push it again in full, or pull it empty"
            )
        with writing(collection, (provenance.config, provenance.reduction_config)) as writer:
            if writer.collection.meta("fingerprint") is None:
                writer.copy_provenance(provenance)
            ProvenanceSnapshot.of(writer.collection).check_same(provenance)
            transfer = Transfer(str(collection))
            if not empty:
                transfer = download(remote, writer, progress)
                add_hints(writer.collection.hints(), list(remote.hints()), writer.store_hints)
                add_names(writer.collection.names(), list(remote.names()), writer.store_names)
            return dataclasses.replace(transfer, photos=writer.collection.count("ok"))


def download(remote: Remote, writer: Writer, progress: Progress = no_progress) -> Transfer:
    """Fetch the photos and the evidence of a remote collection that a folder does not have yet."""
    sent, unchanged, fetched, total = 0, 0, 0, remote.count("ok")
    present = writer.collection.contents_with_evidence()
    keeps_evidence = writer.collection.meta("evidence") is not False
    last_id = 0
    while batch := remote.records(last_id, BATCH):
        last_id = batch[-1].photo.id
        new = [record for record in batch if not _is_current(writer.collection, record.photo)]
        contents = {str(record.photo.content) for record in batch} - present
        evidence = remote.evidence(contents) if keeps_evidence else {}
        with writer.transaction():
            remember_imported(writer, [record.photo.path for record in new])
            writer.import_photos((r.photo, r.whole) for r in new if r.whole is not None)
            for content, data in evidence.items():
                writer.record_evidence(content, data)
        present |= evidence.keys()
        fetched += len(evidence)
        sent += len(new)
        unchanged += len(batch) - len(new)
        progress("downloading", min(sent + unchanged, total), total)
    return Transfer(writer.collection.name, sent=sent, unchanged=unchanged, evidence=fetched)


@contextlib.contextmanager
def _opened(address: str) -> Iterator[Remote]:
    remote = open_remote(address)
    if remote is None:
        raise UsageError(
            f"{address}: is no address of a remote backend, such as "
            "postgresql://HOST/DATABASE/NAME or qdrant+http://HOST:6333/NAME"
        )
    with contextlib.closing(remote):
        yield remote


def _layout(source: Collection, *, keeps_whole: bool) -> Layout:
    if source.distance in SETS:
        raise UsageError(
            f"{source.name}: {source.distance} compares photos by sets of codes, which no remote "
            "backend supports; search them in the folder"
        )
    reduction = source.reduction()
    first = next(source.photo_descriptors(), None)
    if first is None:
        raise CollectionError(f"{source.name}: holds no photos yet; run resight index first")
    _, global_, local = first
    reduced = global_ if reduction is None else reduction.apply(global_)
    return Layout(len(reduced), len(global_), local is not None, source.distance, keeps_whole)


def _is_finite(stored: StoredDescriptors) -> bool:
    return all(v is None or bool(np.isfinite(v).all()) for v in (stored.global_, stored.local))


def _taken(photo: Photo) -> datetime | None:
    """Return when a photo was taken, if its file is still the one that was indexed."""
    try:
        file = file_state(photo.path, photo.path.stat())
    except OSError:
        return None
    same = (file.size, file.mtime_ns) == (photo.size, photo.mtime_ns)
    return taken_at(photo.path) if same else None


def _prune(source: Collection, remote: Remote) -> int:
    """Remove the remote photos that a folder does not have; return their number."""
    paths = {photo.path for photo in source.photos("ok")}
    removed = [photo.id for photo in remote.photos("ok") if photo.path not in paths]
    for start in range(0, len(removed), BATCH):
        remote.remove(removed[start : start + BATCH])
    return len(removed)


def _is_current(collection: Collection, photo: Photo) -> bool:
    existing = collection.photo_at(photo.path)
    return existing is not None and existing.state == "ok" and existing.content == photo.content
