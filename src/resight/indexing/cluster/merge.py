"""Merge segments into a collection."""

from collections.abc import Sequence
from pathlib import Path

from resight.collection import Photo
from resight.collection.folders import remember_imported
from resight.collection.writer import Writer, writing
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing.cluster.segments import Segment, find_segments, read_segment
from resight.indexing.pipeline import IndexRun, finish_run
from resight.indexing.recording import Recorder
from resight.methods.model import ModelOptions
from resight.photos import PathLike, as_paths
from resight.photos.files import PhotoFile
from resight.progress import Progress, no_progress


def merge(
    segments: PathLike | Sequence[PathLike],
    collection: PathLike,
    *,
    progress: Progress = no_progress,
) -> IndexRun:
    """Merge cluster segments into a collection (idempotent).

    Args:
        segments: files, and folders of them, as `index` on a cluster keeps them.
        collection: the folder of a collection of the same configuration and weights.
        progress: called after each segment.

    Raises:
        SegmentError: one is damaged; those before it are merged.
        CollectionMismatchError: one has another configuration or other weights; those before it
            are merged.
        UsageError: there are none.
    """
    paths = _segment_paths(as_paths(segments))
    with writing(Path(collection)) as writer:
        recorder = Recorder(writer)
        for done, path in enumerate(paths, 1):
            _merge_segment(writer, read_segment(path), path, recorder)
            progress("merging", done, len(paths))
        return finish_run(writer, recorder.report(), None, ModelOptions(), progress)


def _segment_paths(paths: Sequence[Path]) -> list[Path]:
    """Return single segments and those in folders, each once, in this order."""
    segments: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such segment or folder")
        in_path = find_segments(path) if path.is_dir() else [path]
        if not in_path:
            raise UsageError(f"{path}: no segments there")
        segments.update(dict.fromkeys(in_path))
    return list(segments)


def _merge_segment(writer: Writer, segment: Segment, path: Path, recorder: Recorder) -> None:
    """Record a segment's photos in one transaction, except where the collection's are newer."""
    if segment.fingerprint != writer.collection.meta("fingerprint"):
        raise CollectionMismatchError(
            f"{path}: has another configuration or other weights than {writer.collection.folder}"
        )
    with writer.transaction():
        # A segment does not know from which folders its photos were indexed.
        remember_imported(writer, [result.file.path for result in segment.results])
        for result in segment.results:
            indexed = writer.collection.photo_at(result.file.path)
            if indexed is not None and _is_up_to_date(indexed, result.file):
                recorder.count_unchanged()
            else:
                recorder.record(result, indexed)


def _is_up_to_date(indexed: Photo, file: PhotoFile) -> bool:
    same = (indexed.size, indexed.mtime_ns) == (file.size, file.mtime_ns)
    return indexed.state == "ok" and (same or indexed.mtime_ns > file.mtime_ns)
