"""Photo files on disk: which there are under the given places."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from resight.errors import UsageError
from resight.photos.images import PHOTO_SUFFIXES
from resight.photos.remote import is_remote, list_remote

COLLECTION_MARK = "resight.sqlite"
"""A folder that holds this file is a collection: nothing in it is a photo of the user's."""


@dataclass(frozen=True)
class PhotoFile:
    """A file as the file system describes it; the modification time in nanoseconds."""

    path: Path
    size: int
    mtime_ns: int


@dataclass
class ScanResult:
    """What was found under the given places.

    Attributes:
        photos: files to index, each once, in the order of the places, in folders by path.
        unreadable: path and reason of folders and files that could not be looked at.
        ignored: how many files were passed over, by suffix; hidden ones under ".hidden".
    """

    photos: list[PhotoFile] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def find_photos(places: Iterable[Path]) -> ScanResult:
    """Photos in folders (recursively, by suffix) and single files (whatever their suffix).

    A place may be a URL of an object store, too. Hidden files and folders are passed over, and so
    are collections. Symbolic links are followed; a folder is entered once, so that loops end.

    Raises:
        UsageError: a place does not exist, or a store cannot be listed.
    """
    walk = ScanResult()
    entered: set[tuple[int, int]] = set()
    found: dict[Path, PhotoFile] = {}
    for place in places:
        path = absolute(place)
        here: dict[Path, PhotoFile] = {}
        if is_remote(path):
            _list_store(path, walk, here)
        elif path.is_dir():
            _walk_folder(path, walk, entered, here)
        elif os.path.lexists(path):
            _add(path, walk, here)
        else:
            raise UsageError(f"{place}: no such file or folder")
        for photo in sorted(here):
            found.setdefault(photo, here[photo])
    walk.photos = list(found.values())
    return walk


def absolute(path: Path) -> Path:
    """The path made absolute and free of `..`, symbolic links left as the user named them."""
    if is_remote(path):
        return path
    return Path(os.path.abspath(os.path.expanduser(path)))


def is_under(path: Path, places: AbstractSet[Path]) -> bool:
    """Whether a path is one of the places or below one of them (all absolute)."""
    return path in places or any(parent in places for parent in path.parents)


def read_lists(places: Sequence[Path]) -> list[Path]:
    """The places, and in the stead of each `@FILE` those that its lines name.

    Raises:
        UsageError: a list cannot be read, or names something that does not exist.
    """
    found = []
    for place in places:
        if str(place).startswith("@") and not os.path.lexists(place):
            found += _listed(place)
        else:
            found.append(place)
    return found


def _listed(place: Path) -> list[Path]:
    try:
        text = Path(str(place)[1:]).read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{place}: the list cannot be read: {error.strerror}") from None
    lines = [Path(line.removesuffix("\r")) for line in text.split("\n") if line.strip()]
    missing = [
        path for path in lines if not is_remote(path) and not os.path.lexists(absolute(path))
    ]
    if missing:
        raise UsageError(
            f"{place}: {len(missing)} of its {len(lines)} lines name nothing that is there; "
            f"the first is {missing[0]}"
        )
    return lines


def _walk_folder(
    top: Path, walk: ScanResult, entered: set[tuple[int, int]], found: dict[Path, PhotoFile]
) -> None:
    def refuse(error: OSError) -> None:
        walk.unreadable.append((Path(error.filename), f"folder: {error.strerror}"))

    for folder, folders, names in os.walk(top, onerror=refuse, followlinks=True):
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in entered or COLLECTION_MARK in names:
            folders.clear()
            continue
        entered.add(identity)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if _is_photo(name, walk):
                _add(Path(folder, name), walk, found)


def _list_store(place: Path, walk: ScanResult, found: dict[Path, PhotoFile]) -> None:
    for path, size, mtime_ns in list_remote(place):
        below = path.relative_to(place).parts if path != place else ()
        if any(part.startswith(".") for part in below[:-1]):
            continue
        if not below or _is_photo(path.name, walk):
            found[path] = PhotoFile(path, size, mtime_ns)


def _is_photo(name: str, walk: ScanResult) -> bool:
    """Whether a file's name is that of a photo; the others are counted."""
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        walk.ignored[".hidden"] += 1
    elif suffix not in PHOTO_SUFFIXES:
        walk.ignored[suffix or "no suffix"] += 1
    else:
        return True
    return False


def _add(path: Path, walk: ScanResult, found: dict[Path, PhotoFile]) -> None:
    try:
        status = path.stat()
    except OSError as error:
        walk.unreadable.append((path, error.strerror or str(error)))
        return
    # Opening a pipe or a device would wait for ever.
    if not path.is_file():
        walk.unreadable.append((path, "not a regular file"))
        return
    found[path] = PhotoFile(path, status.st_size, status.st_mtime_ns)
