"""Watch the folders of a collection, and index photos that are new there.

Each look lists the folders as an index run does. What counts is files that were not there before,
or have another size or time: photos that are gone, as with a disk that is not connected, start
nothing.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resight.collection import Collection
from resight.collection.folders import known_folders
from resight.errors import ResightError
from resight.photos import is_remote
from resight.photos.files import PhotoFile, ScanResult, find_photos
from resight.progress import Progress
from resight.web.problems import ProblemError, logger
from resight.web.queues import Job, JobQueue, Task

MAX_SHARE = 0.1
"""Looks take at most this share of the time, unless there are new files: large collections are
looked at less often."""


@dataclass(frozen=True)
class Look:
    """A look: when (UTC, ISO 8601), and how many folders there were and were not."""

    at: str
    folders: int
    missing: int


class NewFiles:
    """Files that have come since the last index run, and whether more are still coming.

    Files are compared by their paths, sizes and times, as hashes, since there may be millions.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._new: set[int] = set()

    @property
    def are_coming(self) -> bool:
        """Return whether the last scan has found new files."""
        return bool(self._new)

    def have_settled(self, scan: ScanResult, collection: Collection) -> bool:
        """Return whether there are new files, the same as in the scan before."""
        if not self._known:
            self._know_indexed(collection)
        former, found = self._new, {hash(file) for file in scan.photos}
        self._new = found - self._known
        if not self._new or self._new != former:
            return False
        self._know_indexed(collection)  # another run may have been faster
        self._new -= self._known
        return bool(self._new)

    def accept(self) -> None:
        """Count the new files as known, since they are being indexed."""
        self._known |= self._new
        self._new = set()

    def _know_indexed(self, collection: Collection) -> None:
        photos = collection.photos()
        self._known.update(hash(PhotoFile(p.path, p.size, p.mtime_ns)) for p in photos)


class Watcher:
    """Looks for new photos every few seconds, in a thread of its own; thread-safe.

    New photos are indexed once a look finds the same ones as the look before, so that files that
    are still being copied are not. A job that fails is tried again only after another change.
    """

    def __init__(
        self, collection: Path, jobs: JobQueue, index_task: Callable[[], Task], every_s: float
    ) -> None:
        """Watch nothing yet; `index_task` returns the task that indexes the folders."""
        self._collection = collection
        self._jobs = jobs
        self._index_task = index_task
        self._lock = threading.Lock()
        self._stopped: threading.Event | None = None
        self.every_s = every_s
        self.last: Look | None = None
        self.job: Job | None = None
        self.added = 0

    @property
    def watching(self) -> bool:
        """Return whether it is watching."""
        return self._stopped is not None

    def start(self) -> None:
        """Start to watch; a no-op if it does already."""
        with self._lock:
            if self._stopped is None:
                self.last, self._stopped = None, threading.Event()
                # A disk that does not answer must not keep the process from its end.
                threading.Thread(
                    target=self._run, args=(self._stopped,), name="resight-watch", daemon=True
                ).start()

    def stop(self) -> None:
        """Stop watching; a job that runs goes on."""
        with self._lock:
            if self._stopped is not None:
                self._stopped.set()
                self._stopped = None

    def look(self, files: NewFiles) -> bool:
        """Look once; return whether there are new photos to index."""
        with Collection.open(self._collection) as opened:
            folders = [each for each in known_folders(opened) if not is_remote(each)]
            present = [folder for folder in folders if folder.is_dir()]
            settled = files.have_settled(find_photos(present), opened)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.last = Look(now, len(present), len(folders) - len(present))
        return settled

    def index(self, files: NewFiles) -> None:
        """Start the job that indexes new photos, unless another one runs: the next look will."""
        with contextlib.suppress(ProblemError):
            self.job = self._jobs.start("index", self._counted(self._index_task()))
            files.accept()

    def _counted(self, task: Task) -> Task:
        def counted(progress: Progress) -> dict[str, Any]:
            result = task(progress)
            self.added += result["new"]
            return result

        return counted

    def _run(self, stopped: threading.Event) -> None:
        files, pause = NewFiles(), 0.0
        while not stopped.wait(pause):
            started = time.monotonic()
            try:
                if self.look(files) and not stopped.is_set():
                    self.index(files)
            except (OSError, ResightError) as error:  # such as a folder that vanishes meanwhile
                logger.info("the folders could not be looked at: %s", error)
            except Exception:  # noqa: BLE001 - logged; a bug must not end the thread
                logger.exception("the folders could not be looked at")
            share = 1.0 if files.are_coming else MAX_SHARE
            pause = max(self.every_s, (time.monotonic() - started) / share)


def may_watch(collection: Path | str) -> bool:
    """Return whether a collection can be changed: not in a read-only folder."""
    return not os.path.exists(collection) or os.access(collection, os.W_OK)
