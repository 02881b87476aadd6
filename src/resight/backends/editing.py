"""Change what a person decided about photos of a collection on any backend."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resight.backends import Location, open_remote
from resight.backends.local import LocalStore
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.collection import Collection
from resight.collection.writer import Writer, writing
from resight.errors import UsageError
from resight.files import file_sha256
from resight.photos import absolute


@contextlib.contextmanager
def editing(
    collection: Location | Collection | Remote,
) -> Iterator[tuple[Store, Writer | Remote]]:
    """Open a collection to read it, and to store hints and names; a folder is locked."""
    if isinstance(collection, str | os.PathLike):
        remote = open_remote(collection)
        if remote is not None:
            with contextlib.closing(remote):
                yield remote, remote
            return
    elif not isinstance(collection, Collection):
        yield collection, collection
        return
    with writing(collection) as writer:
        yield LocalStore(writer.collection), writer


def content_at(store: Store, path: Path) -> str:
    """Return the content of a photo of the collection, or of a copy of it elsewhere.

    Raises:
        UsageError: the collection does not hold it.
    """
    place = absolute(path)
    for photo in store.photos_under(place):
        if photo.path == place and photo.state == "ok":
            return str(photo.content)
    if path.is_file():
        content = file_sha256(path)
        if store.photos_with([content]):
            return content
    raise UsageError(f"{path}: no photo of {store.name}; index it first")


def read_json(file: Path, key: str) -> list[Any]:
    """Return the list under a key of a JSON file.

    Raises:
        UsageError: the file cannot be read, or has something else in it.
    """
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):  # recursion: lists in lists, thousands deep
        raise UsageError(f"{file}: is no JSON") from None
    entries = value.get(key) if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise UsageError(f'{file}: expected {{"{key}": [...]}}')
    return entries
