"""Collections on their way from a folder to an engine (`push`) and back (`pull`)."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from resight.backends.identity import Identity
from resight.backends.open import open_remote
from resight.backends.store import Layout, Record, Remote, paged
from resight.collection.reader import Collection, Photo
from resight.collection.writer import Writer, writing
from resight.config import SETS, BackendConfig
from resight.descriptors.extractor import Description
from resight.errors import CollectionError, UsageError
from resight.photos.images import taken_at
from resight.progress import Progress, no_progress
from resight.ranking.exact import Query
from resight.reductions.reduction import Reduction

BATCH = 1000
"""Photos that travel together: all of them arrive, or none."""


@dataclass
class Transfer:
    """What was brought from one place to the other.

    Attributes:
        place: the target, as messages name it.
        photos: how many are there now.
        sent: how many were brought there.
        known: how many were there already.
        removed: how many were forgotten there, being gone from the source.
        failed: path and reason of those that were left out.
    """

    place: str
    photos: int = 0
    sent: int = 0
    known: int = 0
    removed: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)


def push(
    collection: Path,
    address: str,
    config: BackendConfig | None = None,
    *,
    compact: bool = False,
    prune: bool = False,
    replace: bool = False,
    progress: Progress = no_progress,
) -> Transfer:
    """Bring an engine up to date with the photos of a collection; may be interrupted and run again.

    Photos that are there with the same content are not sent again. Configuration, selection and
    fingerprint are sent first, and compared where they are there.

    Args:
        collection: the folder.
        address: of the collection on the engine, made where it is not there.
        config: how the engine is to keep a new collection.
        compact: leave out the descriptors before selection; such a collection cannot be pulled.
        prune: forget photos there that the folder does not hold.
        replace: begin anew, whatever is there.
        progress: called after each batch.

    Raises:
        UsageError: no address, or more values than the engine can take.
        CollectionMismatchError: what is there was made with something else.
        CollectionError: the folder holds nothing, or the engine cannot do it.
    """
    with _remote(address) as remote, Collection.open(collection) as opened, opened.snapshot():
        if replace:
            remote.drop()
        prepare(opened, remote, config or BackendConfig(), keeps_whole=not compact)
        done = upload(opened, remote, progress)
        if prune:
            done.removed = _prune(opened, remote)
        remote.finish(progress)
        done.photos = remote.count("ok")
    return done


def prepare(
    opened: Collection, remote: Remote, config: BackendConfig, *, keeps_whole: bool = True
) -> None:
    """Make a collection on an engine, or see to it that what is there was made with the same."""
    identity = Identity.of(opened)
    if not remote.exists():
        remote.create(identity, _layout(opened, keeps_whole=keeps_whole), config)
    remote.provenance.check_same(identity)


def upload(opened: Collection, remote: Remote, progress: Progress = no_progress) -> Transfer:
    """Send the photos that an engine does not have yet."""
    done, selection, layout = Transfer(remote.name), opened.reduction(), remote.layout()
    photos, total = paged(opened.photos_after), opened.count("ok")
    while batch := list(itertools.islice(photos, BATCH)):
        present = remote.present(batch)
        new = [photo for photo in batch if photo.path not in present]
        records = list(_records(opened, selection, new, done, layout))
        if records:
            remote.add(records)
        done.sent += len(records)
        done.known += len(batch) - len(new)
        progress("uploading", done.sent + done.known + len(done.failed), total)
    return done


def pull(
    address: str, collection: Path, *, empty: bool = False, progress: Progress = no_progress
) -> Transfer:
    """Bring a folder up to date with a collection on an engine; may be interrupted and run again.

    Args:
        address: of the collection on the engine.
        collection: the folder, made where it is not there.
        empty: bring only what the collection was made with, to index more photos likewise.
        progress: called after each batch.

    Raises:
        UsageError: no address.
        CollectionMismatchError: the folder's collection was made with something else.
        CollectionError: the engine has no such collection, or not the whole descriptors.
    """
    with _remote(address) as remote:
        identity = remote.provenance
        if not empty and not remote.layout().keeps_whole:
            raise CollectionError(
                f"{remote.name}: was pushed with --compact, so it has not all that a folder needs; "
                "push it anew without, or pull with --empty"
            )
        with writing(collection, (identity.config, identity.reduction_config)) as writer:
            if writer.collection.meta("fingerprint") is None:
                writer.copy_provenance(identity)
            Identity.of(writer.collection).check_same(identity)
            done = Transfer(str(collection)) if empty else download(remote, writer, progress)
            done.photos = writer.collection.count("ok")
    return done


def download(remote: Remote, writer: Writer, progress: Progress = no_progress) -> Transfer:
    """Bring the photos of an engine that a folder does not have yet."""
    done, after, total = Transfer(writer.collection.name), 0, remote.count("ok")
    while batch := remote.records(after, BATCH):
        after = batch[-1].photo.id
        new = [r for r in batch if not _is_there(writer.collection, r.photo)]
        writer.import_photos((r.photo, r.whole) for r in new if r.whole is not None)
        done.sent += len(new)
        done.known += len(batch) - len(new)
        progress("downloading", min(done.sent + done.known, total), total)
    return done


@contextlib.contextmanager
def _remote(text: str) -> Iterator[Remote]:
    remote = open_remote(text)
    if remote is None:
        raise UsageError(
            f"{text}: is no address of an engine, such as postgresql://HOST/DATABASE/NAME or "
            "qdrant+http://HOST:6333/NAME"
        )
    with contextlib.closing(remote):
        yield remote


def _layout(opened: Collection, *, keeps_whole: bool) -> Layout:
    if opened.distance in SETS:
        raise UsageError(
            f"{opened.name}: {opened.distance} compares photos by sets of codes, which no engine "
            "does; search them in the folder"
        )
    selection = opened.reduction()
    first = next(opened.photo_descriptors(), None)
    if first is None:
        raise CollectionError(f"{opened.name}: holds no photos yet; run resight index first")
    _, global_, local = first
    kept = global_ if selection is None else selection.apply(global_)
    return Layout(len(kept), len(global_), local is not None, opened.distance, keeps_whole)


def _records(
    opened: Collection,
    selection: Reduction | None,
    photos: Sequence[Photo],
    done: Transfer,
    layout: Layout,
) -> Iterator[Record]:
    """Photos with their descriptors; those that cannot be sent are listed."""
    for photo in photos:
        stored = opened.descriptors(str(photo.content))
        sides = () if stored is None else (stored.global_, stored.local)
        if stored is None or not stored.intact:
            done.failed.append((photo.path, "its descriptor is damaged; run resight check"))
            continue
        if not all(side is None or np.isfinite(side).all() for side in sides):
            done.failed.append((photo.path, "its descriptor holds values that are no numbers"))
            continue
        kept = [s if s is None or selection is None else selection.apply(s) for s in sides]
        whole = Description(stored.global_, stored.local) if layout.keeps_whole else None
        yield Record(photo, _taken(photo), Query(np.asarray(kept[0]), kept[1]), whole)


def _taken(photo: Photo) -> datetime | None:
    """When a photo was taken, where its file is still the one that was indexed."""
    try:
        status = photo.path.stat()
    except OSError:
        return None
    same = (status.st_size, status.st_mtime_ns) == (photo.size, photo.mtime_ns)
    return taken_at(photo.path) if same else None


def _prune(opened: Collection, remote: Remote) -> int:
    """Forget the photos on an engine that a folder does not hold; how many."""
    paths = {photo.path for photo in opened.photos("ok")}
    gone = [photo.id for photo in remote.photos("ok") if photo.path not in paths]
    for start in range(0, len(gone), BATCH):
        remote.remove(gone[start : start + BATCH])
    return len(gone)


def _is_there(collection: Collection, photo: Photo) -> bool:
    known = collection.photo_at(photo.path)
    return known is not None and known.state == "ok" and known.content == photo.content
