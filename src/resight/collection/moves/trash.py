"""The system's trash by the specification of freedesktop.org, version 1.0 (Linux, BSD).

https://specifications.freedesktop.org/trash-spec/1.0/
"""

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote_from_bytes

from resight.files import create_folder, sync_folder


@dataclass(frozen=True)
class Trash:
    """A trash: `top` is the folder that paths in it are relative to, None in the home's."""

    folder: Path
    top: Path | None = None

    @property
    def files(self) -> Path:
        """Return the folder of the files."""
        return self.folder / "files"

    def info_of(self, file: Path) -> Path:
        """Return the path of the description of a file in the trash."""
        return self.folder / "info" / f"{file.name}.trashinfo"

    def describe(self, info: Path, original: Path) -> None:
        """Write the description of a file that will be in the trash, durably.

        Raises:
            FileExistsError: there is one of that name.
        """
        real = original.parent.resolve() / original.name
        path = real if self.top is None else real.relative_to(self.top)
        text = (
            f"[Trash Info]\nPath={quote_from_bytes(os.fsencode(path), safe='/')}\n"
            f"DeletionDate={datetime.now().isoformat(timespec='seconds')}\n"
        )
        with info.open("x", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(info.parent)


def has_trash() -> bool:
    """Return whether this system keeps its trash as the specification says."""
    return os.name == "posix" and sys.platform != "darwin"


def trash_for(path: Path) -> Trash:
    """Return the trash for a file, on its own file system if there can be one; it exists then.

    Raises:
        OSError: the trash cannot be created.
    """
    home = Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "Trash"
    folder = path.parent.resolve()
    if _device(home) != folder.stat().st_dev:
        with contextlib.suppress(OSError):
            return _created(_trash_at(_mount_point(folder)))
    return _created(Trash(home))


def _trash_at(top: Path) -> Trash:
    """Return the trash of a mounted file system."""
    user, shared = os.getuid(), top / ".Trash"
    with contextlib.suppress(OSError):
        mode = shared.lstat().st_mode
        if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
            return Trash(shared / str(user), top)
    return Trash(top / f".Trash-{user}", top)


def _created(trash: Trash) -> Trash:
    """Create a trash, for its user only.

    Raises:
        OSError: it cannot be created, or is a link, or another user's.
    """
    if not trash.folder.exists():
        create_folder(trash.folder.parent)
        trash.folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(trash.folder.parent)
    status = trash.folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{trash.folder}: is not this user's")
    for folder in (trash.files, trash.folder / "info"):
        create_folder(folder)
    return trash


def _mount_point(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if os.path.ismount(place))


def _device(path: Path) -> int:
    """Return the file system of a path, which need not exist."""
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    return existing.stat().st_dev
