"""Photos in object stores such as S3, by URLs like `s3://bucket/folder/photo.jpg`, through fsspec.

Such a photo has a `Path` like any other, with the scheme as its first part: `Path` merges the two
slashes of a URL, so that it reads `s3:/bucket/folder/photo.jpg`, which no absolute path does.
"""

import datetime
import errno
import io
import os
from pathlib import Path
from typing import Any

from resight.errors import UsageError

_TIMES = ("LastModified", "mtime", "updated", "last_modified", "created")
"""What the stores call the time at which a file was written."""


def is_remote(path: Path) -> bool:
    """Whether a path is that of a URL; a drive of Windows has one letter only.

    >>> is_remote(Path("s3://bucket/a.jpg")), is_remote(Path("/s3:/a.jpg")), is_remote(Path("a"))
    (True, False, False)
    """
    first = path.parts[0] if path.parts else ""
    return len(first) > 2 and first[-1] == ":" and first[:-1].isalnum()


def url(path: Path) -> str:
    """The URL behind the path of one.

    >>> url(Path("s3://bucket/folder/a.jpg"))
    's3://bucket/folder/a.jpg'
    """
    scheme, _, rest = str(path).partition(":/")
    return f"{scheme}://{rest}"


def as_text(path: Path) -> str:
    """A path as its user writes it: with both slashes of a URL."""
    return url(path) if is_remote(path) else str(path)


def list_remote(path: Path) -> list[tuple[Path, int, int]]:
    """Path, size in bytes and modification time in nanoseconds of all files at or below a URL.

    Raises:
        UsageError: it cannot be listed, there are none, or the store needs a package.
    """
    try:
        store, place = _store(path)
        found = store.find(place, detail=True)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - every store raises errors of its own
        raise UsageError(f"{url(path)}: cannot be listed: {_reason(error)}") from None
    if not found:
        raise UsageError(f"{url(path)}: no such bucket or folder, or nothing is in it")
    scheme = path.parts[0]
    return [
        (Path(scheme, name.lstrip("/")), int(entry.get("size") or 0), _time_ns(entry))
        for name, entry in found.items()
    ]


def open_photo(path: Path) -> io.BufferedReader | io.BytesIO:
    """A photo's file, on the disk or in a store; the latter is fetched whole.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(path):
        return path.open("rb")
    try:
        store, place = _store(path)
        return io.BytesIO(store.cat_file(place))
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    except OSError:
        raise
    except Exception as error:  # every store raises errors of its own
        raise OSError(_reason(error)) from error


def _store(path: Path) -> tuple[Any, str]:
    """The store of a path (fsspec keeps one of each kind), and the path within it."""
    import fsspec  # takes a while

    try:
        store, place = fsspec.url_to_fs(url(path))
    except ImportError as error:
        extra = "pip install 'resight[s3]'" if path.parts[0] == "s3:" else _reason(error)
        raise UsageError(f"{url(path)}: this store needs a package: {extra}") from None
    except ValueError as error:
        raise UsageError(f"{url(path)}: {_reason(error)}") from None
    return store, place


def _time_ns(entry: dict[str, Any]) -> int:
    time = next((entry[name] for name in _TIMES if entry.get(name) is not None), 0)
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime.datetime) else time
    return round(seconds * 10**6) * 1000


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
