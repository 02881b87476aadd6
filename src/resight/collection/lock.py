"""The lock of a collection's writer, and what a writer that was killed left behind."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from resight.collection.database import explained
from resight.errors import CollectionError, CollectionLockedError
from resight.files import create_folder
from resight.photos.files import COLLECTION_MARK

LOCK_NAME = "writer.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for writing, and create it; the lock ends with the process.

    Raises:
        CollectionLockedError: another process holds the lock.
        CollectionError: no permission, or the disk is full.
    """
    import filelock  # slow to import, and readers do not need it

    with explained(folder):
        create_folder(folder)
        lock = filelock.FileLock(folder / LOCK_NAME)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise CollectionLockedError(
                f"{folder}: another process is writing to this collection; "
                "wait until it is done, or stop it"
            ) from None
    try:
        remove_unfinished(folder)
        yield
    finally:
        lock.release()


class DatabasePlace:
    """The file of a database that is being written, which must stay where it is.

    If its folder is unmounted or replaced, the open file remains, but SQLite would write its log
    into another folder, and lose acknowledged changes.

    Raises:
        CollectionError: the file is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = self._identify()

    def check(self) -> None:
        """Refuse to go on unless the same file is still there.

        Raises:
            CollectionError: it is not.
        """
        if self._identify() != self._file:
            raise CollectionError(f"{self._folder}: was replaced in the meantime; run again")

    def _identify(self) -> tuple[int, int]:
        try:
            status = (self._folder / COLLECTION_MARK).stat()
        except FileNotFoundError:
            raise CollectionError(
                f"{self._folder}: is gone; connect its disk, and run again"
            ) from None
        return status.st_dev, status.st_ino


def remove_unfinished(folder: Path) -> None:
    """Remove databases that a process did not finish to create, and their journals."""
    for path in folder.glob(f"{COLLECTION_MARK}.*.new*"):
        path.unlink(missing_ok=True)
