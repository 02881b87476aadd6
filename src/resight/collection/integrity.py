"""The check of a collection: what is damaged, what was repaired, and which photos have rotted.

All contents (SHA-256 of photos) form one ring, which a partial check walks piece by piece; its
position is stored, so that successive runs reach everything.
"""

import hashlib
import os
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resight.collection import Collection, Photo, blob_crc32
from resight.collection.ann_index import remove_damaged_files
from resight.collection.database import explained
from resight.collection.row_sums import damaged_photos, damaged_tables, has_sums
from resight.collection.search_arrays import load_arrays, remove_arrays, remove_damaged_arrays
from resight.collection.writer import Writer, writing
from resight.errors import UsageError
from resight.photos import PathLike, is_remote, list_remote, open_photo
from resight.ranking.exact import REMOVED_ID

PIECES = 1000
"""Pieces of the ring between which a check with a time limit looks at the clock."""
SMALL_TABLES = ("meta", "photos", "fitted", "hints", "names", "changes")
DAMAGED_TABLES = {
    "meta": "the configuration was damaged; restore the collection from a backup",
    "fitted": "fitted parameters were damaged; restore the collection from a backup",
    "hints": "decisions were damaged; restore the collection from a backup",
    "names": "names were damaged; restore the collection from a backup",
    "table_sums": "checksums were damaged; restore the collection from a backup",
    "schema": "the structure was damaged; restore the collection from a backup",
}
"""Tables whose structure is read by partial checks; rows of the others have checksums."""


@dataclass(frozen=True)
class CheckReport:
    """Findings and repairs of `check`.

    Attributes:
        photos: number of searchable photos.
        share: fraction of the collection that was checked.
        problems: one line each; empty when the collection is intact.
        repaired: one line for each repair.
        to_describe: photos whose descriptors were lost; the next index run describes them again.
        read: number of photo files that were read, all of them with `read_photos`.
        rotted: path and reason of photos whose file differs from the one that was indexed although
            its time does not, or that cannot be read.
        changed: photos that were modified since they were indexed.
        missing: photos whose file is gone.
    """

    photos: int = 0
    share: float = 1.0
    problems: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    to_describe: list[Path] = field(default_factory=list)
    read: int = 0
    rotted: list[tuple[Path, str]] = field(default_factory=list)
    changed: list[Path] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Return whether the check found no problems of the collection itself."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "photos": self.photos,
            "share": self.share,
            "intact": self.intact,
            "problems": self.problems,
            "repaired": self.repaired,
            "to_describe": list(map(str, self.to_describe)),
            "read": self.read,
            "rotted": [{"path": str(path), "reason": reason} for path, reason in self.rotted],
            "changed": list(map(str, self.changed)),
            "missing": list(map(str, self.missing)),
        }


@dataclass(frozen=True)
class Piece:
    """A piece of the ring of contents: from `start` to before `end`, in 0..1."""

    start: float = 0.0
    end: float = 1.0

    @property
    def bounds(self) -> tuple[str, str]:
        """Least content in the piece, and the least one after it."""
        low = "" if self.start <= 0 else _content_at(self.start)
        return low, "\U0010ffff" if self.end >= 1 else _content_at(self.end)


def check(
    collection: PathLike,
    *,
    sample: float = 1.0,
    seconds: float | None = None,
    read_photos: bool = False,
) -> CheckReport:
    """Verify a collection, and repair what is damaged.

    Damaged descriptors and evidence are deleted, so that the next index run computes them again,
    and so are damaged descriptors of varied copies, which the next fit computes. Damaged arrays are
    rebuilt.

    Args:
        collection: the collection's folder.
        sample: fraction of the collection to check. Each run goes on where the last partial one
            ended, so that thirty runs with 1/30 check everything.
        seconds: stop after this time, and go on there in the next partial run.
        read_photos: read the photos too, and compare their SHA-256 with that of the index run.

    Raises:
        UsageError: `sample` or `seconds` is out of range.
        CollectionError: there is no collection, or its database cannot be read at all.
    """
    if not 0 < sample <= 1:
        raise UsageError("needs a fraction above 0, up to 1", parameter="sample")
    if seconds is not None and not seconds > 0:
        raise UsageError("needs a time above 0", parameter="seconds")
    with writing(collection) as writer, explained(Path(collection)):
        checked = _Check(writer, read_photos=read_photos)
        if sample == 1 and seconds is None:
            checked.structure(partial=False)
            checked.piece(Piece())
            share = 1.0
        else:
            checked.structure(partial=True)
            share = _walk(checked, writer, sample, seconds)
        checked.derived()
        photos = writer.collection.count("ok")
        return replace(checked.report, photos=photos, share=share, read=checked.files_read)


def _walk(checked: "_Check", writer: Writer, sample: float, seconds: float | None) -> float:
    """Check pieces from the stored position on; return the fraction that was checked."""
    started, done = time.monotonic(), 0.0
    stored = started
    step = sample if seconds is None else 1 / PIECES
    position = float(writer.collection.meta("checked") or 0.0)
    while sample - done > 1e-9 and (
        seconds is None or done == 0 or time.monotonic() - started < seconds
    ):
        end = min(position + min(step, sample - done), 1.0)
        checked.piece(Piece(position, end))
        done += end - position
        position = 0.0 if end > 1 - 1e-9 else end
        if time.monotonic() - stored > 1:  # a check that is stopped loses a second
            writer.store_check_position(position)
            stored = time.monotonic()
    writer.store_check_position(position)
    return done


class _Check:
    """One check in progress."""

    def __init__(self, writer: Writer, *, read_photos: bool) -> None:
        self.report = CheckReport()
        self.files_read = 0
        self._writer = writer
        self._collection = writer.collection
        self._read_photos = read_photos
        self._size = _common_size(writer.collection)

    def structure(self, *, partial: bool) -> None:
        """Verify the structure of the database, of its small tables only if `partial`."""
        connection = self._collection.connection
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        checks = [f"({name})" for name in SMALL_TABLES if name in tables] if partial else [""]
        for each in checks:
            for (line,) in connection.execute(f"PRAGMA integrity_check{each}"):
                if line != "ok":
                    self.report.problems.append(f"database: {'; '.join(line.splitlines())}")

        if has_sums(connection):
            problems = [f"{name}: {DAMAGED_TABLES[name]}" for name in damaged_tables(connection)]
            self.report.problems.extend(problems)

    def piece(self, piece: Piece) -> None:
        """Verify the entries, descriptors, copies, evidence, array rows and photos of a piece."""
        self._mark_damaged_entries(piece)
        lost = self._delete_damaged(piece)
        self.report.to_describe.extend(lost)
        self.report.problems.extend(
            f"{path}: its descriptor was damaged or missing" for path in lost
        )
        self._delete_damaged_rows(piece)
        problem = remove_damaged_arrays(self._collection, piece.start, piece.end)
        if problem:
            self.report.problems.append(f"search arrays: {problem}")
            self.report.repaired.append("search arrays: rebuilt from the database")
        for photo in self._photos(piece) if self._read_photos else ():
            self._read(photo)

    def derived(self) -> None:
        """Rebuild arrays that were removed, and verify the approximate index."""
        if not self._collection.count("ok"):
            return
        ids = load_arrays(self._collection).database.ids
        present = {photo.id for photo in self._collection.photos("ok")}
        if set(ids[ids != REMOVED_ID].tolist()) != present:
            remove_arrays(self._collection)
            load_arrays(self._collection)
            self.report.problems.append("search arrays: they did not hold the photos")
            self.report.repaired.append("search arrays: rebuilt from the database")
        problem = remove_damaged_files(self._collection)
        if problem:
            self.report.problems.append(f"approximate index: {problem}")
            self.report.repaired.append("approximate index: removed; the next index run builds it")

    def _mark_damaged_entries(self, piece: Piece) -> None:
        """Have photos read again whose row has changed."""
        for id_ in damaged_photos(self._collection.connection, piece.bounds):
            self._writer.mark_entry_damaged(id_)
            self.report.problems.append(f"photo {id_}: its entry was damaged")
            self.report.repaired.append(f"photo {id_}: the next index run reads it again")

    def _delete_damaged(self, piece: Piece) -> list[Path]:
        """Delete descriptors that are damaged; return the photos that now have none."""
        connection = self._collection.connection
        rows = connection.execute(
            "SELECT content, global, local, crc32 FROM descriptors "
            "WHERE content >= ? AND content < ?",
            piece.bounds,
        )
        damaged = [
            content
            for content, global_, local, crc32 in rows
            if blob_crc32(global_ or b"", local) != crc32 or len(global_ or b"") != self._size
        ]
        missing = connection.execute(
            "SELECT DISTINCT content FROM photos WHERE state = 'ok' AND content >= ? AND content "
            "< ? AND content NOT IN (SELECT content FROM descriptors)",
            piece.bounds,
        )
        lost = list(dict.fromkeys([*damaged, *(content for (content,) in missing)]))
        paths = [photo.path for photo in self._collection.photos_with(lost)]
        for content in lost:
            self._writer.mark_damaged(content)
        return paths

    def _delete_damaged_rows(self, piece: Piece) -> None:
        """Delete copies and evidence with a wrong checksum."""
        damaged = self._damaged("copies", "descriptors", piece)
        if damaged:
            self._writer.remove_copies(damaged)
            self.report.problems.append(
                f"varied copies: descriptors were damaged (of {len(damaged)} sampled photos)"
            )
            self.report.repaired.append("varied copies: removed; the next fit describes them again")
        damaged = self._damaged("evidence", "data", piece)
        if damaged:
            self._writer.remove_evidence(damaged)
            self.report.problems.append(f"evidence: damaged for {len(damaged)} photos")
            self.report.repaired.append("evidence: removed; the next index run makes it again")

    def _damaged(self, table: str, column: str, piece: Piece) -> list[str]:
        """Return the contents whose blob in a table has a wrong checksum."""
        exists = {"copies": self._collection.has_copies, "evidence": self._collection.has_evidence}
        if not exists[table]():
            return []
        rows = self._collection.connection.execute(
            f"SELECT content, {column}, crc32 FROM {table} WHERE content >= ? AND content < ?",
            piece.bounds,
        )
        return [content for content, data, crc32 in rows if zlib.crc32(data or b"") != crc32]

    def _photos(self, piece: Piece) -> Iterator[Photo]:
        paths = self._collection.connection.execute(
            "SELECT path FROM photos WHERE content >= ? AND content < ? ORDER BY id", piece.bounds
        ).fetchall()
        for (path,) in paths:
            photo = self._collection.photo_at(Path(os.fsdecode(path)))
            if photo is not None:
                yield photo

    def _read(self, photo: Photo) -> None:
        """Compare a photo's file with the one that was indexed."""
        self.files_read += 1
        try:
            with open_photo(photo.path) as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            if content == photo.content:
                return
            size, mtime_ns = _size_and_time(photo.path)
        except FileNotFoundError:
            self.report.missing.append(photo.path)
            return
        except (OSError, UsageError) as error:
            self.report.rotted.append((photo.path, getattr(error, "strerror", None) or str(error)))
            return
        if mtime_ns != photo.mtime_ns:
            self.report.changed.append(photo.path)
        elif size != photo.size:
            reason = f"has {size} bytes instead of {photo.size}, but the same time"
            self.report.rotted.append((photo.path, reason))
        else:
            reason = "its bytes have changed, but neither its size nor its time"
            self.report.rotted.append((photo.path, reason))


def _common_size(collection: Collection) -> int:
    """Return the size in bytes that most descriptors have."""
    row = collection.connection.execute(
        "SELECT length(global) FROM descriptors GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()
    return 0 if row is None else int(row[0] or 0)


def _size_and_time(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the modification time in nanoseconds of a photo's file."""
    if is_remote(path):
        ((_, size, mtime_ns),) = list_remote(path)
        return size, mtime_ns
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _content_at(position: float) -> str:
    """Return the start of the contents at a position of the ring.

    >>> _content_at(0.5)
    '80000000'
    """
    return f"{int(position * 2**32):08x}"
