"""Move one file without ever overwriting another, so that a crash leaves it whole somewhere.

Within a file system the file gets its second name before it loses the first; to another one it is
copied, verified by its SHA-256 and on the disk before the first is removed.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

from resight.collection.moves.journal import Place, Step
from resight.files import file_sha256, sync_folder

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}
"""Errors of file systems that have no hard links, or of files that must not get one."""

CHUNK_BYTES = 1 << 20


class ChangedError(OSError):
    """The file is not the one that was indexed."""


def move_file(step: Step) -> None:
    """Move the file of a planned step.

    Raises:
        FileExistsError: a file is at the target; nothing has changed.
        ChangedError: the source has another content; nothing has changed.
        OSError: it cannot be moved, and the source is where it was; or the file is at the target,
            and the disk does not confirm that name.
    """
    source, target = Path(step.source), Path(step.target)
    if not os.path.lexists(source):
        raise ChangedError("is not there any more")
    if not has_content(source, step.content):
        raise ChangedError("has changed since it was indexed")
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy(source, target, step)
        elif error.errno in NO_LINKS:
            _rename(source, target)
        else:
            raise
    else:
        _sync_target(target)
        if not os.path.samestat(source.lstat(), target.lstat()):  # a new file was saved there
            os.unlink(target)
            raise ChangedError("was changed while it was moved")
        _remove_source(source, target)
    with contextlib.suppress(OSError):  # at worst, a loss of power brings the first name back, too
        sync_folder(source.parent)


def settle(step: Step) -> Place:
    """Complete or cancel a step that was interrupted; return where its file is now."""
    source, target = Path(step.source), Path(step.target)
    step.part.unlink(missing_ok=True)
    if has_content(target, step.content):
        if has_content(source, step.content):  # a second name, or a verified copy
            sync_folder(target.parent)
            os.unlink(source)
            sync_folder(source.parent)
        return "target"
    if _is_empty(target):  # the name was reserved
        target.unlink()
    return "source" if has_content(source, step.content) else "gone"


def has_content(path: Path, content: str) -> bool:
    """Return whether a regular file, and no link, has a content (SHA-256)."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and file_sha256(path) == content
    except OSError:
        return False


class FreeNames:
    """Paths in a folder at which nothing is, the plain name first."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._stem, self._suffix = os.path.splitext(name)
        self._number = 0

    def next(self) -> Path:
        """Return the next path at which nothing is now."""
        while True:
            self._number += 1
            addition = f" ({self._number})" if self._number > 1 else ""
            path = self._folder / f"{self._stem}{addition}{self._suffix}"
            if not os.path.lexists(path):
                return path


def _rename(source: Path, target: Path) -> None:
    """Rename a file to a name that is reserved first, where there are no hard links."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        os.replace(source, target)
    except OSError:
        if _is_empty(target):
            os.unlink(target)
        raise
    sync_folder(target.parent)


def _copy(source: Path, target: Path, step: Step) -> None:
    """Copy a file to another file system, verify the copy, and remove the source."""
    before, part = _state(source), step.part
    part.unlink(missing_ok=True)
    try:
        _copy_bytes(source, part, step.content)
        with contextlib.suppress(OSError):  # as where a file system has no such attributes
            shutil.copystat(source, part)
        if file_sha256(part) != step.content:
            raise OSError(errno.EIO, "its copy differs; is the disk damaged?")
        try:
            os.link(part, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _rename(part, target)
        _sync_target(target)
    finally:
        part.unlink(missing_ok=True)
    if _state(source) != before:
        os.unlink(target)  # the source has the newer content
        raise ChangedError("was changed while it was copied")
    _remove_source(source, target)


def _sync_target(target: Path) -> None:
    """Wait until the name of a file at the target is on the disk, or else remove it there."""
    try:
        sync_folder(target.parent)
    except OSError:
        os.unlink(target)
        raise


def _remove_source(source: Path, target: Path) -> None:
    """Remove the source of a file that is at the target, or else the target."""
    try:
        os.unlink(source)
    except OSError:
        os.unlink(target)
        raise


def _copy_bytes(source: Path, part: Path, content: str) -> None:
    """Copy bytes to a new file and onto the disk; they must have the content."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, part.open("xb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    if digest.hexdigest() != content:
        raise ChangedError("was changed while it was copied")


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_empty(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == 0
