"""An index run: compare the photos on disk with the collection, describe what is new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resight.collection.reader import Collection, Photo
from resight.collection.writer import Writer
from resight.indexing.extraction import PhotoResult
from resight.photos.files import PhotoFile, ScanResult
from resight.photos.paths import is_under
from resight.progress import Progress


@dataclass
class IndexReport:
    """What an index run found and did; paths are absolute.

    Attributes:
        new, changed, copied: photos described (a copy of a known photo costs no extraction).
        moved: from where to where, not described again.
        unchanged: photos left as they were.
        failed: path and reason.
        vanished: photos of the collection that are no longer there.
        pruned: how many of those were removed from the collection.
        ignored: files passed over, by suffix.
        interrupted: how many photos were still to do when the run was stopped.
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


@dataclass(frozen=True)
class Plan:
    """The difference between the disk and the collection.

    Attributes:
        walk: what is on the disk.
        todo: files that are new, changed, touched, or failed before.
        unchanged: how many are as they were.
        vanished: photos of the collection that are gone from the disk.
        outdated: failures of files that are gone, or of folders that can be read by now.
        before: the collection's photos by path.
    """

    walk: ScanResult
    todo: list[PhotoFile]
    unchanged: int
    vanished: list[Photo]
    outdated: list[Photo]
    before: dict[Path, Photo]


def plan_run(collection: Collection, places: Sequence[Path], walk: ScanResult) -> Plan:
    """Compare the photos found under the given (absolute) places with the collection's.

    A photo whose size and modification time are those of its row is taken for unchanged; one
    that failed is always tried again.
    """
    before = {photo.path: photo for photo in collection.photos()}
    todo = [file for file in walk.photos if not _is_unchanged(file, before.get(file.path))]
    present = {file.path for file in walk.photos}
    under, unreadable = set(places), {path for path, _ in walk.unreadable}
    missing = [
        photo
        for path, photo in before.items()
        if path not in present and is_under(path, under) and not is_under(path, unreadable)
    ]
    vanished = [photo for photo in missing if photo.state == "ok" and not photo.path.exists()]
    outdated = [photo for photo in missing if photo.state == "failed"]
    return Plan(walk, todo, len(walk.photos) - len(todo), vanished, outdated, before)


def run_plan(
    writer: Writer,
    plan: Plan,
    outcomes: Iterable[Sequence[PhotoResult]],
    progress: Progress,
) -> IndexReport:
    """Record what became of the photos of a plan; an interrupt ends the run cleanly.

    Args:
        writer: of the collection the plan was made for.
        plan: what is to do.
        outcomes: of its photos, in order; what comes together is one transaction.
        progress: called after each of those.
    """
    report = IndexReport(unchanged=plan.unchanged, ignored=dict(plan.walk.ignored))
    for path, reason in plan.walk.unreadable:
        writer.record_failed(PhotoFile(path, 0, 0), None, reason)
        report.failed.append((path, reason))
    gone: dict[str, list[Photo]] = {}
    for photo in plan.vanished:
        gone.setdefault(str(photo.content), []).append(photo)
    done = 0
    try:
        for together in outcomes:
            with writer.transaction():
                for outcome in together:
                    record(writer, outcome, plan.before.get(outcome.file.path), gone, report)
            done += len(together)
            progress("indexing", done, len(plan.todo))
    except KeyboardInterrupt:
        report.interrupted = len(plan.todo) - done
    if not report.interrupted:
        # Only now: where photos swapped their names, one needs what the other had.
        writer.remove(plan.outdated)
    moved_away = {source for source, _ in report.moved}
    report.vanished = [p.path for p in plan.vanished if p.path not in moved_away]
    return report


def _is_unchanged(file: PhotoFile, photo: Photo | None) -> bool:
    return (
        photo is not None
        and photo.state == "ok"
        and (photo.size, photo.mtime_ns) == (file.size, file.mtime_ns)
    )


def record(
    writer: Writer,
    outcome: PhotoResult,
    before: Photo | None,
    gone: dict[str, list[Photo]],
    report: IndexReport,
) -> None:
    """Record what became of a photo, and count it.

    Args:
        writer: of the collection.
        outcome: what became of it.
        before: the photo that the collection knew at its path.
        gone: photos of which the files are gone, by content: the photo may be one of them, moved.
        report: where it is counted.
    """
    file, content, described = outcome.file, outcome.content, outcome.description
    reason, known = outcome.reason, content and writer.collection.is_described(content)
    if reason is None and described is None and not known:
        reason = "is not described yet; index it again"
    if content is None or outcome.pixels is None or reason is not None:
        reason = reason or "cannot be read"
        writer.record_failed(file, content, reason)
        report.failed.append((file.path, reason))
        return
    fresh = before is None or before.state == "failed"
    if described is not None and not known:
        writer.record_described(file, content, outcome.pixels, described.global_, described.local)
    elif before is not None and before.content == content and before.state == "ok":
        writer.record_existing(file, content, outcome.pixels)  # touched, but the same
        report.unchanged += 1
        return
    elif gone.get(content):
        source = gone[content].pop(0)
        writer.record_moved(file, source)
        report.moved.append((source.path, file.path))
        return
    else:
        writer.record_existing(file, content, outcome.pixels)
        report.copied += fresh and (before is None or before.content != content)
    if fresh:
        report.new += 1
    else:
        report.changed += 1
