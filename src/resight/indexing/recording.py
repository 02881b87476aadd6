"""Record extracted photos in a collection, and report what an index run did."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resight.collection import Photo
from resight.collection.writer import Writer
from resight.descriptors.extractor import Description
from resight.indexing.extraction import PhotoResult
from resight.indexing.plan import Plan
from resight.photos import is_remote
from resight.photos.files import PhotoFile
from resight.progress import Progress


@dataclass(frozen=True)
class IndexReport:
    """Counts and lists of an index run; paths are absolute.

    Attributes:
        new, changed: number of indexed photos (a copy of an indexed photo costs no extraction).
        copied: number of new photos that are such copies.
        moved: old and new path of photos that were recognized by their content.
        unchanged: number of photos left as they were.
        failed: path and reason.
        vanished: photos of the collection whose files are gone.
        pruned: number of vanished photos removed from the collection.
        ignored: number of files that are not photos, by suffix.
        evidence: number of photos described earlier whose evidence was made.
        interrupted: number of photos left to do when the run was stopped.
    """

    new: int = 0
    changed: int = 0
    copied: int = 0
    moved: list[tuple[Path, Path]] = field(default_factory=list)
    unchanged: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    vanished: list[Path] = field(default_factory=list)
    pruned: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    evidence: int = 0
    interrupted: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and lists as JSON values."""
        return {
            **asdict(self),
            "moved": [[str(source), str(target)] for source, target in self.moved],
            "failed": [{"path": str(path), "reason": reason} for path, reason in self.failed],
            "vanished": list(map(str, self.vanished)),
        }


def record_results(
    writer: Writer,
    plan: Plan,
    batches: Iterable[Sequence[PhotoResult[Description]]],
    progress: Progress,
) -> IndexReport:
    """Record the results of a plan; an interrupt (Ctrl-C) ends the run cleanly.

    Args:
        writer: of the plan's collection.
        plan: what there is to do.
        batches: the results in the order of the plan; each batch is one transaction.
        progress: called after each batch.
    """
    recorder = Recorder(writer, plan.vanished, find_moved=True)
    for path, reason in plan.scan.unreadable:
        recorder.record_failed(PhotoFile(path, 0, 0), None, reason)
    done, interrupted = 0, 0
    try:
        for batch in batches:
            with writer.transaction():
                for result in batch:
                    recorder.record(result, plan.indexed.get(result.file.path))
            done += len(batch)
            progress("indexing", done, len(plan.todo))
    except KeyboardInterrupt:
        interrupted = len(plan.todo) - done
    if not interrupted:
        # At the end: photos that swapped their names need each other's descriptors.
        writer.remove(plan.outdated)
        writer.record_file_states(plan.unknown)
    return recorder.report(plan, interrupted)


class Recorder:
    """Records extracted photos in a collection, and counts what became of them.

    Args:
        writer: of the collection.
        vanished: photos whose files are gone: a new photo may be one of them, moved.
        find_moved: also recognize new photos whose content the collection knows only from files
            elsewhere that are gone; for photos of this machine.
    """

    def __init__(
        self, writer: Writer, vanished: Sequence[Photo] = (), *, find_moved: bool = False
    ) -> None:
        self._writer = writer
        self._find_moved = find_moved
        self._arrived: set[int] = set()
        self._counts: Counter[str] = Counter()
        self._moved: list[tuple[Path, Path]] = []
        self._failed: list[tuple[Path, str]] = []
        self._vanished: dict[str, list[Photo]] = {}
        for photo in vanished:
            self._vanished.setdefault(str(photo.content), []).append(photo)

    def record(self, result: PhotoResult[Description], previous: Photo | None) -> None:
        """Record the result of a photo; `previous` is the collection's photo at the same path."""
        writer = self._writer
        file, content, description = result.file, result.content, result.description
        described = content is not None and writer.collection.is_described(content)
        reason = result.reason
        if reason is None and description is None and not described:
            reason = "is not described yet; index it again"
        if content is None or result.pixels is None or reason is not None:
            self.record_failed(file, content, reason or "cannot be read")
            return
        new = previous is None or previous.state == "failed"
        same_content = previous is not None and previous.content == content
        if description is not None and not described:
            writer.record_described(
                file,
                content,
                result.pixels,
                description.global_,
                description.local,
                description.evidence,
            )
        elif same_content and not new:
            writer.record_existing(file, content, result.pixels)  # only its time changed
            self.count_unchanged()
            return
        elif source := self._moved_from(file, content):
            writer.record_moved(file, source)
            self._arrived.add(source.id)
            self._moved.append((source.path, file.path))
            return
        else:
            writer.record_existing(file, content, result.pixels)
            self._counts["copied"] += new and not same_content
        self._counts["new" if new else "changed"] += 1

    def _moved_from(self, file: PhotoFile, content: str) -> Photo | None:
        """Return the photo of a content whose file has become this one, if there is one."""
        if self._vanished.get(content):
            return self._vanished[content].pop(0)
        if not self._find_moved:
            return None
        photos = self._writer.collection.photos_with([content])
        known = [p for p in photos if p.id not in self._arrived and p.path != file.path]
        if any(is_remote(photo.path) or os.path.lexists(photo.path) for photo in known):
            return None
        same_name = (photo for photo in known if photo.path.name == file.path.name)
        return next(same_name, next(iter(known), None))

    def record_failed(self, file: PhotoFile, content: str | None, reason: str) -> None:
        """Record a photo that cannot be extracted."""
        self._writer.record_failed(file, content, reason)
        self._failed.append((file.path, reason))

    def count_unchanged(self) -> None:
        """Count a photo that is left as it is."""
        self._counts["unchanged"] += 1

    def report(self, plan: Plan | None = None, interrupted: int = 0) -> IndexReport:
        """Return what was recorded, and what a plan left as it was."""
        moved_away = {source for source, _ in self._moved}
        vanished = plan.vanished if plan else []
        return IndexReport(
            new=self._counts["new"],
            changed=self._counts["changed"],
            copied=self._counts["copied"],
            moved=self._moved,
            unchanged=self._counts["unchanged"] + (plan.unchanged if plan else 0),
            failed=self._failed,
            vanished=[photo.path for photo in vanished if photo.path not in moved_away],
            ignored=dict(plan.scan.ignored) if plan else {},
            interrupted=interrupted,
        )
