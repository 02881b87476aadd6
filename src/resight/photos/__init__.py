"""Paths of photos, on disk and in object stores such as S3, which fsspec lists and reads.

A photo in an object store has a `Path` like any other, whose first part is the scheme of its URL:
`Path` merges the two slashes of `s3://bucket/photo.jpg` to `s3:/bucket/photo.jpg`, and no absolute
path looks like that.
"""

import datetime
import errno
import io
import os
import stat
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from resight.errors import UsageError

PathLike = str | os.PathLike[str]

MODIFIED_KEYS = ("LastModified", "mtime", "updated", "last_modified", "created")
"""The stores' names of the modification time."""


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
    """Return one path or several as a list.

    Raises:
        UsageError: one is empty, which `Path` would take for the current folder.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    if "" in several:
        raise UsageError("a path is empty")
    return [Path(path) for path in several]


def absolute(path: Path) -> Path:
    """Make a path absolute and free of `..`; symbolic links stay as the user named them.

    Raises:
        UsageError: it holds a NUL, which no system allows.
    """
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r} holds a NUL, so it is no path")
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


def list_remote(path: Path) -> list[tuple[Path, int, int]]:
    """List path, size in bytes and modification time in nanoseconds of all files under a URL.

    Raises:
        UsageError: it cannot be listed, is empty, or the store needs a package.
    """
    try:
        store, place = _store(path)
        store.invalidate_cache()  # a long process must see what is new
        entries = store.find(place, detail=True)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - every store raises errors of its own
        raise UsageError(f"{to_url(path)}: cannot be listed: {_reason(error)}") from None
    if not entries:
        raise UsageError(f"{to_url(path)}: no such bucket or folder, or it is empty")
    scheme = path.parts[0]
    return [
        (_path_of(scheme, name), int(entry.get("size") or 0), _time_ns(entry))
        for name, entry in entries.items()
    ]


def open_photo(path: Path) -> io.BufferedReader | io.BytesIO:
    """Open a photo's file on disk, or fetch it whole from a store.

    Raises:
        OSError: the file cannot be read, or is none, such as a pipe or a folder.
    """
    if not is_remote(path):
        return _open_regular(path)
    try:
        store, place = _store(path)
        return io.BytesIO(store.cat_file(place))
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    except OSError:
        raise
    except Exception as error:  # every store raises errors of its own
        raise OSError(_reason(error)) from error


def _open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file; of anything else, such as a pipe, opening or reading might wait."""
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _store(path: Path) -> tuple[Any, str]:
    """Return the file system of a path (fsspec keeps one a scheme), and the path within it."""
    import fsspec  # slow to import

    try:
        store, place = fsspec.url_to_fs(to_url(path))
    except ImportError as error:
        extra = "pip install 'resight[s3]'" if path.parts[0] == "s3:" else _reason(error)
        raise UsageError(f"{to_url(path)}: this store needs a package: {extra}") from None
    except ValueError as error:
        raise UsageError(f"{to_url(path)}: {_reason(error)}") from None
    return store, place


def _path_of(scheme: str, name: str) -> Path:
    """Return the path of a file as its store names it: without the scheme, or by its URL."""
    return Path(name) if "://" in name else Path(scheme, name.lstrip("/"))


def _time_ns(entry: dict[str, Any]) -> int:
    time = next((entry[name] for name in MODIFIED_KEYS if entry.get(name) is not None), 0)
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime.datetime) else time
    return round(seconds * 10**6) * 1000


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
