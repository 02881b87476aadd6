"""The private temporary folder of a server, which the next start removes after a kill."""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import filelock

PREFIX = "resight-uploads-"
LOCK_NAME = "lock"
UNLOCKED_S = 3600.0
"""Age from which a folder without a lock is of no server that is starting."""


class Scratch:
    """A folder that only its owner can read, created on first use; thread-safe.

    Its lock is released when the process ends, so that other servers can remove the folder.
    """

    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._held: filelock.FileLock | None = None
        self._path: Path | None = None

    def path(self) -> Path:
        """Return the folder."""
        with self._creating:
            if self._path is None:
                path = Path(tempfile.mkdtemp(prefix=PREFIX))
                self._held = filelock.FileLock(path / LOCK_NAME, thread_local=False)
                self._held.acquire(timeout=0)
                self._path = path
            return self._path

    def close(self) -> None:
        """Remove the folder."""
        with self._creating:
            if self._held is not None:
                self._held.release()
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
            self._path = self._held = None


def remove_abandoned() -> None:
    """Remove the folders of servers of the same user that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, filelock.Timeout):
            status = path.lstat()
            if path.is_symlink() or (os.name == "posix" and status.st_uid != os.getuid()):
                continue
            if not (path / LOCK_NAME).exists() and time.time() - status.st_mtime < UNLOCKED_S:
                continue
            with filelock.FileLock(path / LOCK_NAME, timeout=0):
                shutil.rmtree(path, ignore_errors=True)
