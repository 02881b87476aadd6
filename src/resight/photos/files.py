"""Photo files on disk: which there are under the given places."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from resight.errors import UsageError
from resight.photos.images import PHOTO_SUFFIXES

COLLECTION_MARK = "resight.sqlite"
"""A folder that holds this file is a collection: nothing in it is a photo of the user's."""


@dataclass(frozen=True)
class PhotoFile:
    """A file as the file system describes it; the modification time in nanoseconds."""

    path: Path
    size: int
    mtime_ns: int


@dataclass
class Walk:
    """What was found under the given places.

    Attributes:
        photos: files to index, each once, in the order of the places, in folders by path.
        unreadable: path and reason of folders and files that could not be looked at.
        ignored: how many files were passed over, by suffix; hidden ones under ".hidden".
    """

    photos: list[PhotoFile] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def find_photos(places: Iterable[Path]) -> Walk:
    """Photos in folders (recursively, by suffix) and single files (whatever their suffix).

    Hidden files and folders are passed over, and so are collections. Symbolic links are
    followed; a folder is entered once, so that loops end.

    Raises:
        UsageError: a place does not exist.
    """
    walk = Walk()
    entered: set[tuple[int, int]] = set()
    found: dict[Path, PhotoFile] = {}
    for place in places:
        path = absolute(place)
        here: dict[Path, PhotoFile] = {}
        if path.is_dir():
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
    return Path(os.path.abspath(os.path.expanduser(path)))


def is_under(path: Path, places: Iterable[Path]) -> bool:
    """Whether a path is one of the places or below one of them (all absolute)."""
    return any(path == place or place in path.parents for place in places)


def _walk_folder(
    top: Path, walk: Walk, entered: set[tuple[int, int]], found: dict[Path, PhotoFile]
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
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                walk.ignored[".hidden"] += 1
            elif suffix in PHOTO_SUFFIXES:
                _add(Path(folder, name), walk, found)
            else:
                walk.ignored[suffix or "no suffix"] += 1


def _add(path: Path, walk: Walk, found: dict[Path, PhotoFile]) -> None:
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
