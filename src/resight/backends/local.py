"""Searches in arrays: those of a collection in a folder, or arrays in memory."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from cachetools import LRUCache

from resight.backends.file_names import has_name
from resight.backends.store import Filter, Store, check_queries, reduced_query
from resight.collection import Collection, Photo, State
from resight.collection.ann_index import ANN_DISTANCES, open_ann_index, read_ann_status
from resight.collection.hints import Hints
from resight.collection.names import Names
from resight.collection.search_arrays import SearchArrays, load_arrays
from resight.config import MethodConfig
from resight.errors import CollectionEmptyError, CollectionError
from resight.photos import is_under
from resight.photos.images import taken_at
from resight.ranking.approximate import nearest_by_lists
from resight.ranking.exact import (
    DISTANCES,
    REMOVED_ID,
    Database,
    Neighbors,
    Query,
    nearest_to_each,
)
from resight.ranking.ivf import InvertedLists
from resight.reductions import Reduction

MAX_TIMES = 1_000_000
"""Photos whose times are remembered, in 300 MB at most."""

FILTER_FACTOR = 4
"""Neighbors that a filtered search looks at, for each one requested; multiplied until enough."""


class LocalStore(Store):
    """An open collection with its search arrays, reloaded whenever the collection has changed.

    Thread-safe: only threads that find the arrays stale wait for their update.
    """

    def __init__(
        self, collection: Collection, load: Callable[[Collection], SearchArrays] = load_arrays
    ) -> None:
        """Wrap an open collection, which `close` closes; `load` provides its arrays."""
        self.collection = collection
        self.name = collection.name
        self._load = load
        self._loading = threading.RLock()
        self._arrays: SearchArrays | None = None
        self._lists: tuple[str, tuple[InvertedLists, ...]] | None = None
        self._times = TakenTimes()

    @property
    def provenance(self) -> Collection:
        return self.collection

    def close(self) -> None:
        self.collection.close()

    def arrays(self) -> SearchArrays:
        """Return the arrays of the collection's current state.

        Raises:
            CollectionEmptyError: it holds no photos.
        """
        arrays = self._arrays
        if arrays is None or arrays.stamp != self.collection.stamp:
            with self._loading:
                arrays = self._arrays
                if arrays is None or arrays.stamp != self.collection.stamp:
                    arrays = self._load(self.collection)
                    self._arrays = arrays
        if arrays.database.count == 0:
            raise CollectionEmptyError(f"{self.name}: holds no photos yet; index some")
        return arrays

    def lists(self) -> tuple[InvertedLists, ...]:
        """Return the approximate index of the collection's current state.

        Raises:
            CollectionError: there is none.
        """
        arrays = self.arrays()
        with self._loading:
            if self._lists is None or self._lists[0] != arrays.stamp:
                status = read_ann_status(self.collection)
                if self.collection.distance not in ANN_DISTANCES or status is None:
                    raise CollectionError(
                        f"{self.name} has no approximate index; index with this option first, or "
                        "search without",
                        parameter="approximate",
                    )
                self._lists = arrays.stamp, open_ann_index(arrays, status)
            return self._lists[1]

    def check(self, *, approximate: bool = False) -> None:
        if approximate:
            self.lists()
        self.arrays()

    def reduction(self) -> Reduction | None:
        return self.arrays().reduction

    def snapshot(self) -> "LocalStore":
        """Return the collection with its current arrays, unaffected by later changes."""
        arrays = self.arrays()
        snapshot = LocalStore(self.collection, lambda _: arrays)
        snapshot._times = self._times
        return snapshot

    def stamp(self) -> str:
        return self.arrays().stamp

    def count(self, state: State) -> int:
        return self.collection.count(state)

    def ids(self) -> np.ndarray:
        ids = self.arrays().database.ids
        return np.sort(ids[ids != REMOVED_ID])

    def photos(self, state: State) -> Iterator[Photo]:
        return self.collection.photos(state)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        return self.collection.photos_by_id(ids)

    def photos_after(self, after: int, count: int) -> list[Photo]:
        return self.collection.photos_after(after, count)

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        return self.collection.evidence(contents)

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        return self.collection.photos_with(contents)

    def hints(self) -> Hints:
        return self.collection.hints()

    def names(self) -> Names:
        return self.collection.names()

    def photos_under(self, place: Path) -> list[Photo]:
        return self.collection.photos_under(place)

    def photos_where(self, where: Filter) -> list[Photo]:
        under = where.under
        photos = self.photos("ok") if under is None else self.photos_under(under)
        return [photo for photo in photos if photo.state == "ok" and self._matches(photo, where)]

    def taken_times(self, photos: Sequence[Photo]) -> dict[int, datetime]:
        times = {photo.id: self._times.read(photo) for photo in photos}
        return {id_: time for id_, time in times.items() if time is not None}

    def stored_query(self, content: str) -> Query | None:
        stored = self.collection.descriptors(content)
        if stored is None or not stored.intact:
            return None
        return reduced_query(stored, self.reduction())

    def rows(self, ids: np.ndarray) -> Database:
        arrays = self.arrays()
        database, by_id = arrays.database, arrays.rows_by_id
        positions = np.searchsorted(database.ids, ids, sorter=by_id)
        rows = by_id[np.minimum(positions, len(by_id) - 1)]
        rows = rows[database.ids[rows] == ids]
        local = None if database.local is None else database.local[rows]
        return Database(database.ids[rows], database.global_[rows], local)

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        database, distance = self.arrays().database, DISTANCES[self.collection.distance]
        check_queries(self.name, queries, database.global_.shape[1])
        if where is not None and where != Filter():
            return [self._nearest_where(query, k, where, approximate) for query in queries]
        if approximate:
            lists = self.lists()
            return [nearest_by_lists(query, database, lists, k, distance) for query in queries]
        return nearest_to_each(queries, database, k, distance)

    def bytes_on_disk(self) -> int:
        """Return the size of all files in the folder."""
        folder = self.collection.folder
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def _nearest_where(self, query: Query, k: int, where: Filter, approximate: bool) -> Neighbors:
        """Return the nearest photos that match a filter, among ever more neighbors."""
        candidates, count, matches = FILTER_FACTOR * k, self.count("ok"), dict[int, bool]()
        while True:
            neighbors = self.nearest([query], min(candidates, count), approximate=approximate)[0]
            ids = neighbors.ids.tolist()
            new = [id_ for id_ in ids if id_ not in matches]
            photos = self.photos_by_id(new)
            matches |= {id_: id_ in photos and self._matches(photos[id_], where) for id_ in new}
            selected = np.flatnonzero([matches[id_] for id_ in ids])[:k]
            if len(selected) == k or candidates >= count:
                return Neighbors(neighbors.ids[selected], neighbors.distances[selected])
            candidates *= FILTER_FACTOR

    def _matches(self, photo: Photo, where: Filter) -> bool:
        """Return whether a photo matches a filter; its file is read only for dates."""
        if where.under is not None and not is_under(photo.path, {where.under}):
            return False
        if where.file_name is not None and not has_name(photo.path, where.file_name):
            return False
        if where.min_side is not None and min(photo.width or 0, photo.height or 0) < where.min_side:
            return False
        if where.taken_from is None and where.taken_before is None:
            return True
        taken = self._times.read(photo)
        if taken is None:
            return False
        late_enough = where.taken_from is None or where.taken_from <= taken
        return late_enough and (where.taken_before is None or taken < where.taken_before)


class TakenTimes:
    """When photos were taken; the files of unchanged photos are read once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[Path, int, int], datetime | None] = LRUCache(MAX_TIMES)

    def read(self, photo: Photo) -> datetime | None:
        """Return when a photo was taken by its EXIF data; None if unknown."""
        try:
            status = photo.path.stat()
        except OSError:  # such as of an object store, where only reading shows a change
            return taken_at(photo.path)
        key = photo.path, status.st_size, status.st_mtime_ns
        with self._lock:
            if key in self._known:
                return self._known[key]
        taken = taken_at(photo.path)
        with self._lock:
            self._known[key] = taken
        return taken


@dataclass(frozen=True)
class ArrayStore:
    """Descriptors in memory; benchmarks rank with them.

    Attributes:
        database: descriptors after the reduction; its ids are the indices of `paths`.
        paths: of the photos.
        config: the method that computed them.
        fitted: the reduction.
    """

    database: Database
    paths: Sequence[Path]
    config: MethodConfig
    fitted: Reduction | None = None

    @property
    def distance(self) -> str:
        reduced = self.fitted.distance if self.fitted else None
        return reduced or self.config.descriptor_distance

    def reduction(self) -> Reduction | None:
        return self.fitted

    def count(self, state: State) -> int:
        return len(self.paths) if state == "ok" else 0

    def ids(self) -> np.ndarray:
        return self.database.ids

    def rows(self, ids: np.ndarray) -> Database:
        local = self.database.local
        return Database(ids, self.database.global_[ids], None if local is None else local[ids])

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        return {}

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        return []

    def hints(self) -> Hints:
        return Hints()

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        return {i: Photo(i, self.paths[i], 0, 0, None, None, None, "ok", None) for i in ids}

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        return nearest_to_each(queries, self.database, k, DISTANCES[self.distance])
