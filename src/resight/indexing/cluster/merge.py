"""Segments into a collection: one transaction each, and merging one again changes nothing."""

from collections.abc import Sequence
from pathlib import Path

from resight.collection.reader import Photo
from resight.collection.writer import Writer, writing
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing.cluster.segments import Segment, find_segments, read_segment
from resight.indexing.extraction import PhotoResult
from resight.indexing.pipeline import IndexRun, complete
from resight.indexing.plan import IndexReport, record
from resight.progress import Progress, no_progress


def merge(
    segments: Sequence[Path], collection: Path, *, progress: Progress = no_progress
) -> IndexRun:
    """Bring the photos of segments into a collection; to do it again changes nothing.

    Args:
        segments: files, and folders of them, as `index` on a cluster leaves them.
        collection: of the same configuration and weights.
        progress: called after each segment.

    Raises:
        SegmentError: one is damaged; those before it are merged.
        CollectionMismatchError: one is of another configuration or other weights; likewise.
        UsageError: there are none.
    """
    paths = named_segments(segments)
    report = IndexReport()
    with writing(collection) as writer:
        for done, path in enumerate(paths, 1):
            merge_segment(writer, read_segment(path), path, report)
            progress("merging", done, len(paths))
        return complete(writer, report, None, progress)


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
    with writer.transaction():
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
