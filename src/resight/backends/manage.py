"""Describe a collection, remove photos from it (on any backend), and check its integrity."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.backends import Location, open_remote, open_store
from resight.backends.local import LocalStore
from resight.collection import Collection, Photo
from resight.collection.ann_index import ApproximateIndex, read_ann_status, remove_damaged_files
from resight.collection.database import explained
from resight.collection.search_arrays import load_arrays, remove_damaged_arrays
from resight.collection.writer import Writer, writing
from resight.errors import UsageError
from resight.photos import PathLike, absolute, as_paths


@dataclass(frozen=True)
class Info:
    """Description of a collection: counts, configuration, model, fitted parts, failures, size.

    Attributes:
        precisions: arithmetic with which the descriptors were computed, where it was recorded.
        details: further properties of a remote collection, by a short title.
        bytes_on_disk: None where the backend does not report it.
    """

    photos: int
    failed: list[tuple[Path, str]]
    config: dict[str, Any]
    model: dict[str, Any] | None
    fingerprint: str | None
    precisions: list[str]
    selection: dict[str, Any] | None
    learned: dict[str, Any] | None
    approximate: ApproximateIndex | None
    details: dict[str, str]
    created: str
    bytes_on_disk: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        failed = [{"path": str(path), "reason": reason} for path, reason in self.failed]
        approximate = self.approximate and vars(self.approximate)
        return {**vars(self), "failed": failed, "approximate": approximate}


def info(collection: Location | Collection) -> Info:
    """Describe a collection in a folder or on a remote backend."""
    with open_store(collection) as store:
        provenance = store.provenance
        local = store.collection if isinstance(store, LocalStore) else None
        return Info(
            photos=store.count("ok"),
            failed=[(photo.path, str(photo.reason)) for photo in store.photos("failed")],
            config=provenance.config.to_dict(),
            model=provenance.meta("model"),
            fingerprint=provenance.meta("fingerprint"),
            precisions=provenance.meta("precisions") or [],
            selection=provenance.fit_info("selection"),
            learned=provenance.fit_info("learned"),
            approximate=None if local is None else read_ann_status(local),
            details=store.details(),
            created=str(provenance.meta("created")),
            bytes_on_disk=store.bytes_on_disk(),
        )


def remove(paths: PathLike | Sequence[PathLike], collection: Location) -> list[Path]:
    """Remove photos (or all below a folder) from a collection; the files are never touched.

    Returns:
        The paths removed.

    Raises:
        UsageError: a path names no photo of the collection; nothing is removed then.
    """
    remote = open_remote(collection)
    if remote is not None:
        with contextlib.closing(remote):
            photos = _photos_at(as_paths(paths), remote.photos_under, remote.name)
            remote.remove([photo.id for photo in photos])
    else:
        with writing(collection) as writer:
            opened = writer.collection
            photos = _photos_at(as_paths(paths), opened.photos_under, opened.name)
            writer.remove(photos)
    return [photo.path for photo in photos]


def _photos_at(
    paths: Sequence[Path], photos_under: Callable[[Path], list[Photo]], collection: str
) -> list[Photo]:
    """Return the photos at or below some paths, by ascending ID."""
    by_id: dict[int, Photo] = {}
    for path in paths:
        photos = photos_under(absolute(path))
        if not photos:
            raise UsageError(f"{path}: no photo of {collection} is there; nothing was removed")
        by_id |= {photo.id: photo for photo in photos}
    return [by_id[id_] for id_ in sorted(by_id)]


@dataclass(frozen=True)
class CheckReport:
    """Findings and repairs of `check`.

    Attributes:
        photos: number of searchable photos.
        problems: one line each; empty when the collection is intact.
        repaired: one line for each repair.
        to_describe: photos whose descriptors were lost; the next index run describes them again.
    """

    photos: int = 0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    to_describe: list[Path] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Return whether the check found no problems."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "photos": self.photos,
            "intact": self.intact,
            "problems": self.problems,
            "repaired": self.repaired,
            "to_describe": list(map(str, self.to_describe)),
        }


def check(collection: PathLike) -> CheckReport:
    """Read every row of the database and every byte of the arrays, and repair what is damaged.

    Damaged or missing descriptors are deleted, so that the next index run computes them again, as
    is damaged evidence, and those of varied copies, so that the next fit does; damaged arrays are
    rebuilt.

    Raises:
        CollectionError: there is no collection, or its database cannot be read at all.
    """
    problems, repaired = [], []
    with writing(collection) as writer, explained(Path(collection)):
        for (line,) in writer.collection.connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                problems.append(f"database: {'; '.join(line.splitlines())}")
        lost = _delete_damaged(writer)
        problems += [f"{path}: its descriptor was damaged or missing" for path in lost]
        damaged_copies = writer.collection.damaged_copies()
        if damaged_copies:
            writer.remove_copies(damaged_copies)
            problems.append(
                f"varied copies: descriptors were damaged (of {len(damaged_copies)} sampled photos)"
            )
            repaired.append("varied copies: removed; the next fit describes them again")
        damaged_evidence = writer.collection.damaged_evidence()
        if damaged_evidence:
            writer.remove_evidence(damaged_evidence)
            problems.append(f"evidence: damaged for {len(damaged_evidence)} photos")
            repaired.append("evidence: removed; the next index run makes it again")
        photos = writer.collection.count("ok")
        problem = remove_damaged_arrays(writer.collection)
        if problem:
            problems.append(f"search arrays: {problem}")
            repaired.append("search arrays: rebuilt from the database")
        if photos:
            load_arrays(writer.collection)
            problem = remove_damaged_files(writer.collection)
            if problem:
                problems.append(f"approximate index: {problem}")
                repaired.append("approximate index: removed; the next index run builds it")
    return CheckReport(photos, problems, repaired, lost)


def _delete_damaged(writer: Writer) -> list[Path]:
    """Delete descriptors with a wrong checksum or an unusual size; return photos without any."""
    collection = writer.collection
    contents_by_size: dict[int, list[str]] = {}
    damaged: list[str] = []
    for stored in collection.all_descriptors():
        if not stored.intact:
            damaged.append(stored.content)
        contents_by_size.setdefault(len(stored.global_), []).append(stored.content)
    common = max(contents_by_size, key=lambda size: len(contents_by_size[size]), default=0)
    for size, contents in contents_by_size.items():
        damaged += contents if size != common else []
    paths: dict[str, list[Path]] = {}
    for photo in collection.photos("ok"):
        paths.setdefault(str(photo.content), []).append(photo.path)
    stored_contents = set().union(*contents_by_size.values())
    missing = [content for content in paths if content not in stored_contents]
    lost = list(dict.fromkeys([*damaged, *missing]))
    for content in lost:
        writer.mark_damaged(content)
    return [path for content in lost for path in paths.get(content, [])]
