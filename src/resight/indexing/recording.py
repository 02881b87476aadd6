"""Record extracted photos in a collection, and report what an index run did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resight.collection.reader import Photo
from resight.collection.writer import Writer
from resight.descriptors.extractor import Description
from resight.indexing.extraction import PhotoResult
from resight.indexing.plan import Plan
from resight.photos.files import PhotoFile
from resight.progress import Progress


@dataclass
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
    interrupted: int = 0


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
    report = IndexReport(unchanged=plan.unchanged, ignored=dict(plan.scan.ignored))
    for path, reason in plan.scan.unreadable:
        writer.record_failed(PhotoFile(path, 0, 0), None, reason)
        report.failed.append((path, reason))
    vanished: dict[str, list[Photo]] = {}
    for photo in plan.vanished:
        vanished.setdefault(str(photo.content), []).append(photo)
    done = 0
    try:
        for batch in batches:
            with writer.transaction():
                for result in batch:
                    previous = plan.indexed.get(result.file.path)
                    record_photo(writer, result, previous, vanished, report)
            done += len(batch)
            progress("indexing", done, len(plan.todo))
    except KeyboardInterrupt:
        report.interrupted = len(plan.todo) - done
    if not report.interrupted:
        # At the end: photos that swapped their names need each other's descriptors.
        writer.remove(plan.outdated)
    moved_away = {source for source, _ in report.moved}
    report.vanished = [p.path for p in plan.vanished if p.path not in moved_away]
    return report


def record_photo(
    writer: Writer,
    result: PhotoResult[Description],
    previous: Photo | None,
    vanished: dict[str, list[Photo]],
    report: IndexReport,
) -> None:
    """Record the result of a photo, and count it in the report.

    Args:
        writer: of the collection.
        result: the extracted photo.
        previous: the collection's photo at the same path.
        vanished: photos whose files are gone, by content: the photo may be one of them, moved.
        report: receives the counts.
    """
    file, content, description = result.file, result.content, result.description
    described = content is not None and writer.collection.is_described(content)
    reason = result.reason
    if reason is None and description is None and not described:
        reason = "is not described yet; index it again"
    if content is None or result.pixels is None or reason is not None:
        reason = reason or "cannot be read"
        writer.record_failed(file, content, reason)
        report.failed.append((file.path, reason))
        return
    new = previous is None or previous.state == "failed"
    same_content = previous is not None and previous.content == content
    if description is not None and not described:
        writer.record_described(
            file, content, result.pixels, description.global_, description.local
        )
    elif same_content and not new:
        writer.record_existing(file, content, result.pixels)  # only its time changed
        report.unchanged += 1
        return
    elif vanished.get(content):
        source = vanished[content].pop(0)
        writer.record_moved(file, source)
        report.moved.append((source.path, file.path))
        return
    else:
        writer.record_existing(file, content, result.pixels)
        if new and not same_content:
            report.copied += 1
    if new:
        report.new += 1
    else:
        report.changed += 1
