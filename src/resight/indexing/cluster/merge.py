"""Segments into a collection: one transaction each, and merging one again changes nothing."""

from collections.abc import Sequence
from pathlib import Path

from resight.collection.reader import Photo
from resight.collection.writer import Writer
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing.cluster.segments import Segment, find_segments
from resight.indexing.extraction import PhotoResult
from resight.indexing.plan import IndexReport, record


def named_segments(paths: Sequence[Path]) -> list[Path]:
    """Segments by their own names and those in folders, each once, in that order.

    Raises:
        UsageError: one does not exist, or a folder holds none.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such segment or folder")
        here = find_segments(path) if path.is_dir() else [path]
        if not here:
            raise UsageError(f"{path}: no segments there")
        found.update(dict.fromkeys(here))
    return list(found)


def merge_segment(writer: Writer, segment: Segment, path: Path, report: IndexReport) -> None:
    """Record a segment's photos in one transaction.

    What the collection knows of a photo stays where it is as new, or newer.

    Raises:
        CollectionMismatchError: the segment was made with another configuration or other weights.
    """
    if segment.fingerprint != writer.collection.meta("fingerprint"):
        raise CollectionMismatchError(
            f"{path}: has another configuration or other weights than {writer.collection.folder}"
        )
    with writer.together():
        for outcome in segment.outcomes:
            before = writer.collection.photo_at(outcome.file.path)
            if before is not None and _is_known(outcome, before):
                report.unchanged += 1
            else:
                record(writer, outcome, before, {}, report)


def _is_known(outcome: PhotoResult, before: Photo) -> bool:
    file = outcome.file
    same = (before.size, before.mtime_ns) == (file.size, file.mtime_ns)
    return before.state == "ok" and (same or before.mtime_ns > file.mtime_ns)
