"""Discovery of photo files in folders, lists of files and object stores."""

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resight.errors import UsageError
from resight.photos import absolute, is_remote, list_remote
from resight.photos.images import PHOTO_SUFFIXES

COLLECTION_MARK = "resight.sqlite"
"""A folder with this file is a collection; none of its files is one of the user's photos."""


MAX_INTEGER = 2**63 - 1
"""Largest integer that a database stores."""


@dataclass(frozen=True)
class PhotoFile:
    """A file with its state on the disk, by which a change is noticed.

    Attributes:
        path: absolute.
        size: in bytes.
        mtime_ns: modification time in nanoseconds, within 64 bits.
        ctime_ns: time of the last change of its status, within 64 bits; 0 if unknown.
        inode: its number in the file system, within 63 bits; 0 if unknown.
        device: number of the file system.

    The last three do not count when files are compared: segments of a cluster lack them.
    """

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int = field(default=0, compare=False)
    inode: int = field(default=0, compare=False)
    device: int = field(default=0, compare=False)


def file_state(path: Path, status: os.stat_result) -> PhotoFile:
    """Return a file on disk with its state; times out of range are clamped to 64 bits."""
    changed, status_changed = (
        max(-MAX_INTEGER - 1, min(time, MAX_INTEGER))
        for time in (status.st_mtime_ns, status.st_ctime_ns)
    )
    inode = status.st_ino & MAX_INTEGER
    return PhotoFile(path, status.st_size, changed, status_changed, inode, status.st_dev)


@dataclass
class ScanResult:
    """Photos under the given places.

    Attributes:
        photos: files to index, each once, in the order of the places, in folders by path.
        unreadable: path and reason of inaccessible folders and files.
        ignored: number of skipped files by suffix; hidden ones under ".hidden".
        aliases: further paths of a photo's file, by links, each with the photo's path.
    """

    photos: list[PhotoFile] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    aliases: dict[Path, Path] = field(default_factory=dict)


def find_photos(places: Iterable[Path]) -> ScanResult:
    """Find photos in folders (recursively, by suffix) and single files (with any suffix).

    A place may also be a URL of an object store. Hidden files and folders and collections are
    skipped. Symbolic links are followed; each folder is entered once, so that loops end, and a file
    with several names is one photo, at the first path that is no symbolic link.

    Raises:
        UsageError: a place does not exist, or a store cannot be listed.
    """
    scan = ScanResult()
    entered: set[tuple[int, int]] = set()
    photos: dict[Path, PhotoFile] = {}
    for place in places:
        path = absolute(place)
        files: dict[Path, PhotoFile] = {}
        if is_remote(path):
            _list_store(path, scan, files)
        elif path.is_dir():
            _walk_folder(path, scan, entered, files)
        elif os.path.lexists(path):
            _add(path, scan, files)
        else:
            raise UsageError(f"{place}: no such file or folder")
        for photo in sorted(files):
            photos.setdefault(photo, files[photo])
    scan.aliases = _find_aliases(photos)
    scan.photos = [file for path, file in photos.items() if path not in scan.aliases]
    return scan


def _find_aliases(photos: Mapping[Path, PhotoFile]) -> dict[Path, Path]:
    """Return the paths of files that have another one, with that."""
    names: dict[tuple[int, int], list[Path]] = {}
    for path, file in photos.items():
        if file.inode:
            names.setdefault((file.device, file.inode), []).append(path)
    aliases: dict[Path, Path] = {}
    for paths in (paths for paths in names.values() if len(paths) > 1):
        first = next((path for path in paths if not path.is_symlink()), paths[0])
        aliases |= {path: first for path in paths if path != first}
    return aliases


def read_lists(places: Sequence[Path]) -> list[Path]:
    """Replace each `@FILE` among the places by the places that its lines name.

    Raises:
        UsageError: a list cannot be read, or names something that does not exist.
    """
    expanded = []
    for place in places:
        if str(place).startswith("@") and not os.path.lexists(place):
            expanded += _read_existing(place)
        else:
            expanded.append(place)
    return expanded


def read_list(place: Path) -> list[Path]:
    """Return the paths in the file that `@FILE` names.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return split_paths(Path(str(place)[1:]).read_bytes())
    except OSError as error:
        raise UsageError(f"{place}: the list cannot be read: {error.strerror}") from None


def split_paths(data: bytes) -> list[Path]:
    r"""Return the paths in a list: one a line, or separated by NUL if there is a NUL.

    Some editors put a mark (BOM) before the text.

    >>> [path.name for path in split_paths(b"\xef\xbb\xbfa.jpg\r\n\nb c.jpg")]
    ['a.jpg', 'b c.jpg']
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        return [Path(os.fsdecode(item)) for item in data.split(b"\0") if item]
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def _read_existing(place: Path) -> list[Path]:
    lines = read_list(place)
    missing = [
        path for path in lines if not is_remote(path) and not os.path.lexists(absolute(path))
    ]
    if missing:
        raise UsageError(
            f"{place}: {len(missing)} of its {len(lines)} lines name no existing file or folder; "
            f"the first is {missing[0]}"
        )
    return lines


def _walk_folder(
    top: Path, scan: ScanResult, entered: set[tuple[int, int]], files: dict[Path, PhotoFile]
) -> None:
    def refuse(error: OSError) -> None:
        scan.unreadable.append((Path(error.filename), f"folder: {error.strerror}"))

    for folder, folders, names in os.walk(top, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in entered or COLLECTION_MARK in names:
            folders.clear()
            continue
        entered.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if _is_photo(name, scan):
                _add(Path(folder, name), scan, files)


def _list_store(place: Path, scan: ScanResult, files: dict[Path, PhotoFile]) -> None:
    for path, size, mtime_ns in list_remote(place):
        below = path.relative_to(place).parts if path != place else ()
        if any(part.startswith(".") for part in below[:-1]):
            continue
        if not below or _is_photo(path.name, scan):
            files[path] = PhotoFile(path, size, mtime_ns)


def _is_photo(name: str, scan: ScanResult) -> bool:
    """Return whether a file's suffix is that of a photo; count the others as ignored."""
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        scan.ignored[".hidden"] += 1
    elif suffix not in PHOTO_SUFFIXES:
        scan.ignored[suffix or "no suffix"] += 1
    else:
        return True
    return False


def _add(path: Path, scan: ScanResult, files: dict[Path, PhotoFile]) -> None:
    try:
        status = path.stat()
    except OSError as error:
        scan.unreadable.append((path, error.strerror or str(error)))
        return
    if not path.is_file():  # opening a pipe or a device would block
        scan.unreadable.append((path, "not a regular file"))
        return
    files[path] = file_state(path, status)
