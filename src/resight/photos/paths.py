"""Paths of photos, on disk and in object stores, and their text.

A photo in an object store has a `Path` like any other, whose first part is the scheme of its URL:
`Path` merges the two slashes of `s3://bucket/photo.jpg` to `s3:/bucket/photo.jpg`, and no absolute
path looks like that.
"""

import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

PathLike = str | os.PathLike[str]


def is_remote(path: Path) -> bool:
    """Return whether a path is a URL; a drive letter of Windows is shorter than any scheme.

    >>> is_remote(Path("s3://bucket/a.jpg")), is_remote(Path("/s3:/a.jpg")), is_remote(Path("a"))
    (True, False, False)
    """
    first = path.parts[0] if path.parts else ""
    return len(first) > 2 and first[-1] == ":" and first[:-1].isalnum()


def to_url(path: Path) -> str:
    """Return the URL of a remote path.

    >>> to_url(Path("s3://bucket/folder/a.jpg"))
    's3://bucket/folder/a.jpg'
    """
    scheme, _, rest = str(path).partition(":/")
    return f"{scheme}://{rest}"


def as_paths(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return one path or several as a list."""
    return [Path(p) for p in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def absolute(path: Path) -> Path:
    """Make a path absolute and free of `..`; symbolic links stay as the user named them."""
    if is_remote(path):
        return path
    return Path(os.path.abspath(os.path.expanduser(path)))


def is_under(path: Path, places: AbstractSet[Path]) -> bool:
    """Return whether a path is one of the places or below one of them (all absolute)."""
    return path in places or any(parent in places for parent in path.parents)


def path_text(path: Path) -> str:
    """Return a path as its user writes it: a URL with both slashes."""
    return to_url(path) if is_remote(path) else str(path)


def escape_undecodable(text: str | Path) -> str:
    r"""Return file names as valid Unicode, with bytes that are not UTF-8 escaped as `\xff`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
