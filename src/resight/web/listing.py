"""Lists of a collection's photos: its folders, and the photos that match a filter in an order."""

import itertools
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cachetools import LRUCache

from resight.backends.store import Filter, Store
from resight.collection import Photo
from resight.photos import path_text
from resight.web.photo_schemas import Sort

MAX_ORDERS = 8
"""Lists that are remembered."""

MAX_FOLDERS = 2000
"""Folders that are listed; deeper ones beyond are omitted."""

TIMES_AT_ONCE = 500
"""Photos whose times are read between two checks whether the server stops."""


@dataclass(frozen=True)
class Folder:
    """A folder, its name below the common folder of all photos, and its number of photos."""

    path: Path
    name: str
    photos: int


class Listing:
    """Folders and orders of a collection's photos, computed again only when it changes."""

    def __init__(self, check_stop: Callable[[], None]) -> None:
        """Let `check_stop`, called now and then during long work, end it by an error."""
        self._check_stop = check_stop
        self._folders_lock, self._orders_lock = threading.Lock(), threading.Lock()
        self._folders: tuple[str, list[Folder]] | None = None
        self._orders: LRUCache[tuple[str, Filter, Sort], list[int]] = LRUCache(MAX_ORDERS)

    def folders(self, store: Store) -> list[Folder]:
        """Return the folders of the photos and those above them, by name."""
        if not store.count("ok"):
            return []
        stamp = store.stamp()
        with self._folders_lock:
            if self._folders is None or self._folders[0] != stamp:
                self._folders = stamp, folders_of(photo.path for photo in store.photos("ok"))
            return self._folders[1]

    def folder_name(self, store: Store, path: Path) -> str:
        """Return the name of a folder below the common folder."""
        return next((f.name for f in self.folders(store) if f.path == path), path.name)

    def page(
        self, store: Store, where: Filter, sort: Sort, after: int, limit: int
    ) -> tuple[list[Photo], int | None, int]:
        """Return a page of photos, where the next one starts, and the number of all photos."""
        if where == Filter() and sort == "id":
            photos = store.photos_after(after, limit + 1)
            next_ = photos[limit - 1].id if len(photos) > limit else None
            return photos[:limit], next_, store.count("ok")
        ids = self._order(store, where, sort)
        end = after + limit
        present = store.photos_by_id(ids[after:end])
        photos = [present[id_] for id_ in ids[after:end] if id_ in present]
        return photos, end if len(ids) > end else None, len(ids)

    def _order(self, store: Store, where: Filter, sort: Sort) -> list[int]:
        if not store.count("ok"):
            return []
        key = store.stamp(), where, sort
        with self._orders_lock:
            if key not in self._orders:
                self._orders[key] = self._sorted(store, store.photos_where(where), sort)
            return self._orders[key]

    def _sorted(self, store: Store, photos: list[Photo], sort: Sort) -> list[int]:
        if sort == "name":
            photos = sorted(photos, key=lambda photo: (_natural(photo.path.name), photo.id))
        if sort != "date":
            ids = [photo.id for photo in photos]
            return ids[::-1] if sort == "added" else ids
        times: dict[int, datetime] = {}
        for start in range(0, len(photos), TIMES_AT_ONCE):
            self._check_stop()
            times |= store.taken_times(photos[start : start + TIMES_AT_ONCE])
        dated = sorted(times, key=lambda id_: (times[id_], -id_), reverse=True)
        return dated + [photo.id for photo in photos if photo.id not in times]


def folders_of(paths: Iterable[Path]) -> list[Folder]:
    """Return the folders of photos, and those above them up to their common folder, by name."""
    direct = Counter(path.parent for path in paths)
    by_anchor: dict[str, list[Path]] = {}
    for folder in direct:
        by_anchor.setdefault(folder.parts[0], []).append(folder)
    folders: list[Folder] = []
    for anchor, places in by_anchor.items():
        root = _common_folder(places)
        counts: Counter[Path] = Counter()
        for folder in places:
            for place in (folder, *folder.parents):
                counts[place] += direct[folder]
                if place == root:
                    break
        # Where some photos are in an object store, its scheme tells their folders from others.
        store = anchor.rstrip(":") if len(by_anchor) > 1 and anchor.endswith(":") else ""
        for place, count in counts.items():
            name = path_text(Path(store) / place.relative_to(root))
            folders.append(Folder(place, name, count))
    return sorted(folders, key=lambda folder: [_natural(part) for part in folder.name.split("/")])


def shallowest(folders: list[Folder], count: int) -> list[Folder]:
    """Return the folders that are least deep, at most a number, in their order."""
    if len(folders) <= count:
        return folders
    depths = [len(Path(folder.name).parts) for folder in folders]
    chosen = sorted(range(len(folders)), key=depths.__getitem__)[:count]
    return [folders[i] for i in sorted(chosen)]


def _common_folder(folders: list[Path]) -> Path:
    columns = zip(*(folder.parts for folder in folders), strict=False)
    same = itertools.takewhile(lambda parts: len(set(parts)) == 1, columns)
    return Path(*(parts[0] for parts in same))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which 2.jpg comes before 10.jpg, in any case of letters."""
    text = os.fsencode(name).decode("utf-8", "replace").casefold()
    parts = re.split(r"([0-9]+)", text)
    return [(int(part or 0), "") if i % 2 else (0, part) for i, part in enumerate(parts)]
