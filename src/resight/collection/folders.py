"""The folders that a collection was indexed from: later runs look there for new photos.

Index runs remember them. For a collection of an earlier version, and for photos that came from
elsewhere, they are the folders that hold the photos.
"""

import os
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from resight.collection import Collection
from resight.collection.database import explained
from resight.collection.writer import Writer
from resight.photos import is_remote, is_under
from resight.photos.files import ScanResult


def known_folders(collection: Collection) -> list[Path]:
    """Return the folders of a collection, absolute and by name, whether or not they exist."""
    remembered = _remembered(collection)
    return _folders_of(_paths(collection)) if remembered is None else remembered


def indexed_folders(collection: Collection) -> list[Path]:
    """Return the folders of a collection on this machine that exist."""
    return [place for place in known_folders(collection) if not is_remote(place) and place.is_dir()]


def single_photos(collection: Collection) -> list[Path]:
    """Return the paths of photos that are in none of the folders: they were indexed one by one."""
    folders = set(known_folders(collection))
    paths = (path for path in _paths(collection) if not is_remote(path))
    return [path for path in paths if not is_searched(path, folders)]


def places_of(scan: ScanResult, places: Iterable[Path]) -> list[Path]:
    """Return the places of a search for photos that are folders, local or in an object store."""
    files = {photo.path for photo in scan.photos}
    return [
        place for place in places if (place not in files if is_remote(place) else place.is_dir())
    ]


def remember(writer: Writer, folders: Iterable[Path]) -> None:
    """Remember that photos were indexed from some absolute folders; single photos have none."""
    new, remembered = list(folders), _remembered(writer.collection)
    if remembered is None:
        former = _paths(writer.collection)
        if former and not new:
            return  # an earlier version's collection, whose folders are still not known
        remembered = _folders_of(former)
    _store(writer, [*remembered, *new])


def remember_imported(writer: Writer, photos: Iterable[Path]) -> None:
    """Remember the folders of photos that came with another collection, which lacks its own."""
    remembered = _remembered(writer.collection)
    if remembered is not None:
        folders = set(remembered)
        outside = [path for path in photos if not is_searched(path, folders)]
        _store(writer, [*remembered, *_folders_of(outside)])


def follow_move(writer: Writer, source: Path, target: Path) -> None:
    """Follow a folder that was moved or renamed, also one below a folder of the collection."""
    remembered = _remembered(writer.collection)
    if remembered is None:
        return
    moved = [
        target / each.relative_to(source) if is_under(each, {source}) else each
        for each in remembered
    ]
    if target.is_dir() and is_under(source, set(remembered)):
        moved.append(target)
    _store(writer, moved)


def forget(writer: Writer, removed: AbstractSet[Path] = frozenset()) -> None:
    """Forget folders without photos that were removed themselves or that no longer exist."""
    remembered = _remembered(writer.collection)
    if remembered is not None:
        _store(writer, (each for each in remembered if not _is_over(writer, each, removed)))


def is_searched(path: Path, folders: AbstractSet[Path]) -> bool:
    """Return whether a search of some folders finds a photo or folder: hidden ones are skipped.

    >>> [is_searched(Path(path), {Path("/a")}) for path in ("/a/b/c.jpg", "/a/.b/c.jpg", "/b")]
    [True, False, False]
    """
    inner = [path.relative_to(each).parts for each in (path, *path.parents) if each in folders]
    return any(not any(part.startswith(".") for part in parts) for parts in inner)


def outermost(folders: Iterable[Path]) -> list[Path]:
    """Return folders by name, without the ones that a search of another one finds.

    >>> [str(path) for path in outermost([Path("/a/b"), Path("/a"), Path("/a/.c"), Path("/b")])]
    ['/a', '/a/.c', '/b']
    """
    kept: list[Path] = []
    covering: set[Path] = set()
    for folder in sorted(set(folders)):  # a folder comes before the ones in it
        if not is_searched(folder, covering):
            kept.append(folder)
            covering.add(folder)
    return kept


def _remembered(collection: Collection) -> list[Path] | None:
    stored = collection.meta("folders")
    return None if stored is None else [Path(text) for text in stored]


def _store(writer: Writer, folders: Iterable[Path]) -> None:
    new = outermost(folders)
    if new != _remembered(writer.collection):
        writer.store_folders(new)


def _is_over(writer: Writer, folder: Path, removed: AbstractSet[Path]) -> bool:
    """Return whether a folder is no longer one of a collection's."""
    gone = not is_remote(folder) and not os.path.lexists(folder)
    if not gone and not is_under(folder, removed):
        return False
    return not writer.collection.photos_under(folder)


def _paths(collection: Collection) -> list[Path]:
    with explained(collection.folder):
        rows = collection.connection.execute("SELECT path FROM photos").fetchall()
    return [Path(os.fsdecode(path)) for (path,) in rows]


def _folders_of(photos: Iterable[Path]) -> list[Path]:
    """Return the topmost folders of photos on this machine."""
    return outermost({path.parent for path in photos if not is_remote(path)})
