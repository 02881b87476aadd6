"""Lists of queries: photos, folders, files that list paths, and paths from standard input."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.errors import UsageError
from resight.photos import PathLike, absolute, is_remote
from resight.photos.files import find_photos, read_list, split_paths

STDIN = "-"


@dataclass(frozen=True)
class QueryList:
    """Queries that a user named.

    Attributes:
        paths: of the photos, each once.
        failed: path and reason of folders and files in them that cannot be read.
        listed: some come from a folder or a list, so they need not show the same thing.
    """

    paths: list[Path]
    failed: list[tuple[Path, str]]
    listed: bool


def list_queries(places: Sequence[PathLike]) -> QueryList:
    """Replace folders by the photos in them, and lists by the photos and folders that they name.

    Args:
        places: photos; folders, which are searched as `index` does; `@FILE`, a list with a path a
            line; and `-`, such a list from standard input. Paths in a list may be separated by NUL
            instead.

    Raises:
        UsageError: a list cannot be read, a place is empty, or there is no photo.
    """
    paths: dict[Path, None] = {}
    failed: list[tuple[Path, str]] = []
    listed = False
    if "" in places:  # an unset variable; as a path it would be the current folder
        raise UsageError("a query is empty; name a photo")
    for place in map(Path, places):
        named = _read_list(place)
        for path in [place] if named is None else named:
            if is_remote(path) or not absolute(path).is_dir():
                paths[path] = None
                continue
            listed = True
            scan = find_photos([path])
            failed += scan.unreadable
            paths |= dict.fromkeys(photo.path for photo in scan.photos)
        listed = listed or named is not None
    if not paths and not failed:
        raise UsageError(f"{' '.join(map(str, places))}: no photos there to search with")
    return QueryList(list(paths), failed, listed)


def _read_list(place: Path) -> list[Path] | None:
    """Return the paths that a list names; None if the place is no list."""
    if str(place) == STDIN:
        return split_paths(sys.stdin.buffer.read())
    if str(place).startswith("@") and not absolute(place).exists():
        return read_list(place)
    return None
