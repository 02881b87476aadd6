"""An index run: compare the photos on disk with the collection, describe what is new."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resight.ahead import ahead
from resight.descriptors.extractor import Description, Extractor
from resight.errors import ImageError
from resight.memory import release_unused_memory
from resight.photos.files import PhotoFile, Walk, is_under
from resight.photos.images import MAX_FILE_BYTES, image_size, load_image
from resight.progress import Progress
from resight.storage.collection import Collection, Photo
from resight.storage.writer import Writer

LARGE_PIXELS = 16_000_000
"""Photos with more pixels are decoded one at a time, which bounds the memory of many workers."""

RELEASE_EVERY = 8
"""Photos after which freed memory is given back."""


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
class _Loaded:
    """What a worker made of a file: `prepared` or a `reason`, neither where it is known.

    Then comes the `description` in place of what was prepared.
    """

    file: PhotoFile
    content: str | None = None
    pixels: tuple[int, int] = (0, 0)
    prepared: Any = None
    reason: str | None = None
    description: Description | None = None


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

    walk: Walk
    todo: list[PhotoFile]
    unchanged: int
    vanished: list[Photo]
    outdated: list[Photo]
    before: dict[Path, Photo]


def plan_run(collection: Collection, places: Sequence[Path], walk: Walk) -> Plan:
    """Compare the photos found under the given (absolute) places with the collection's.

    A photo whose size and modification time are those of its row is taken for unchanged; one
    that failed is always tried again.
    """
    before = {photo.path: photo for photo in collection.photos()}
    todo = [file for file in walk.photos if not _is_unchanged(file, before.get(file.path))]
    present = {file.path for file in walk.photos}
    unreadable = [path for path, _ in walk.unreadable]
    missing = [
        photo
        for path, photo in before.items()
        if path not in present and is_under(path, places) and not is_under(path, unreadable)
    ]
    vanished = [photo for photo in missing if photo.state == "ok" and not photo.path.exists()]
    outdated = [photo for photo in missing if photo.state == "failed"]
    return Plan(walk, todo, len(walk.photos) - len(todo), vanished, outdated, before)


def run_plan(
    writer: Writer,
    plan: Plan,
    extractor: Extractor | None,
    *,
    workers: int,
    progress: Progress,
) -> IndexReport:
    """Describe what the plan says, one transaction a photo; an interrupt ends the run cleanly.

    Args:
        writer: of the collection the plan was made for.
        plan: what to do.
        extractor: may be None where nothing is to do.
        workers: threads that read, decode and prepare photos while the network works.
        progress: called after every photo.
    """
    report = IndexReport(unchanged=plan.unchanged, ignored=dict(plan.walk.ignored))
    for path, reason in plan.walk.unreadable:
        writer.record_failed(PhotoFile(path, 0, 0), None, reason)
        report.failed.append((path, reason))
    gone: dict[str, list[Photo]] = {}
    for photo in plan.vanished:
        gone.setdefault(str(photo.content), []).append(photo)
    done = 0
    if extractor is not None:
        try:
            for described in _describe_ahead(plan.todo, writer.collection, extractor, workers):
                _record(writer, described, plan, gone, report)
                done += 1
                if done % RELEASE_EVERY == 0:
                    release_unused_memory()
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


def _record(
    writer: Writer,
    loaded: _Loaded,
    plan: Plan,
    gone: dict[str, list[Photo]],
    report: IndexReport,
) -> None:
    file, content = loaded.file, loaded.content
    before = plan.before.get(file.path)
    if content is None or loaded.reason is not None:
        reason = loaded.reason or "cannot be read"
        writer.record_failed(file, content, reason)
        report.failed.append((file.path, reason))
        return
    fresh = before is None or before.state == "failed"
    if loaded.description is not None:
        found = loaded.description
        writer.record_described(file, content, loaded.pixels, found.global_, found.local)
    elif before is not None and before.content == content and before.state == "ok":
        writer.record_known(file, content, loaded.pixels)  # touched, but the same
        report.unchanged += 1
        return
    elif gone.get(content):
        source = gone[content].pop(0)
        writer.record_moved(file, source)
        report.moved.append((source.path, file.path))
        return
    else:
        writer.record_known(file, content, loaded.pixels)
        report.copied += fresh and (before is None or before.content != content)
    if fresh:
        report.new += 1
    else:
        report.changed += 1


def _describe_ahead(
    files: Sequence[PhotoFile], collection: Collection, extractor: Extractor, workers: int
) -> Iterator[_Loaded]:
    """Load and describe files in order, ahead of the consumer.

    While the network works on one photo, the next ones are loaded and the one before is pooled.
    """
    known, large = collection.described(), threading.Lock()

    def load(file: PhotoFile) -> _Loaded:
        return _load(file, known, extractor, large)

    def describe(loaded: _Loaded) -> _Loaded:
        if loaded.prepared is None:
            return loaded
        return replace(loaded, prepared=None, description=extractor.describe(loaded.prepared))

    loaded = ahead(load, files, workers, "photos")
    return ahead(describe, _each_content_once(loaded, set(known)), extractor.at_once + 1, "maps")


def _each_content_once(photos: Iterable[_Loaded], known: set[str]) -> Iterator[_Loaded]:
    """The photos, prepared only where their content is not known and did not come before."""
    for loaded in photos:
        if loaded.content in known:
            yield replace(loaded, prepared=None)
        else:
            if loaded.prepared is not None:
                known.add(str(loaded.content))
            yield loaded


def _load(file: PhotoFile, known: set[str], extractor: Extractor, large: threading.Lock) -> _Loaded:
    content = None
    if file.size > MAX_FILE_BYTES:
        return _Loaded(file, reason=f"larger than the limit of {MAX_FILE_BYTES >> 20} MiB")
    try:
        with file.path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
            opened.seek(0)
            width, height = image_size(opened)
            if content in known:
                return _Loaded(file, content, (width, height))
            opened.seek(0)
            if width * height <= LARGE_PIXELS:
                image = load_image(opened, extractor.decode_at)
                return _Loaded(file, content, (width, height), extractor.prepare(image))
            with large:
                image = load_image(opened, extractor.decode_at)
                return _Loaded(file, content, (width, height), extractor.prepare(image))
    except ImageError as error:
        return _Loaded(file, content, reason=str(error))
    except OSError as error:
        return _Loaded(file, content, reason=error.strerror or str(error))
