"""A collection in a folder, searched by its arrays."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from resight.backends.store import Filter, check_queries
from resight.collection.ann_index import open_ann_index, read_ann_status
from resight.collection.reader import Collection, Photo, State
from resight.collection.search_arrays import SearchArrays, load_arrays
from resight.errors import CollectionEmptyError, CollectionError
from resight.photos.files import is_under
from resight.photos.images import taken_at
from resight.ranking.exact import (
    DISTANCES,
    GONE,
    Database,
    Neighbors,
    Query,
    nearest_by_lists,
    nearest_to_each,
)
from resight.ranking.ivf import InvertedLists
from resight.reductions.reduction import Reduction

FILTERED_FIRST = 4
"""A search among some photos looks at so many times the neighbors wanted, then at ever more."""


class LocalStore:
    """An open collection and its arrays; notices by itself when the collection has changed."""

    def __init__(
        self, collection: Collection, load: Callable[[Collection], SearchArrays] = load_arrays
    ) -> None:
        """Make nothing yet.

        Args:
            collection: open, and closed with this.
            load: where its arrays come from.
        """
        self.collection = collection
        self._load = load
        self._arrays: SearchArrays | None = None
        self._lists: tuple[str, tuple[InvertedLists, ...]] | None = None
        self._places: tuple[str, np.ndarray] | None = None

    @property
    def name(self) -> str:
        """The folder."""
        return self.collection.name

    @property
    def provenance(self) -> Collection:
        """The collection."""
        return self.collection

    def close(self) -> None:
        """Close the collection."""
        self.collection.close()

    def arrays(self) -> SearchArrays:
        """The arrays of the collection as it is now.

        Raises:
            CollectionError: it holds no photos.
        """
        if self._arrays is None or self._arrays.stamp != self.collection.stamp:
            self._arrays = self._load(self.collection)
        if self._arrays.database.count == 0:
            raise CollectionEmptyError(f"{self.name}: holds no photos yet; index some")
        return self._arrays

    def lists(self) -> tuple[InvertedLists, ...]:
        """The approximate index of the collection as it is now.

        Raises:
            CollectionError: there is none.
        """
        arrays = self.arrays()
        if self._lists is None or self._lists[0] != arrays.stamp:
            cosine = self.collection.distance != "manhattan"
            made = read_ann_status(self.collection)
            if cosine or made is None:
                raise CollectionError(
                    f"{self.name}: has no approximate index; make one with: "
                    "resight index PHOTOS --approximate, or search without --approximate"
                )
            self._lists = arrays.stamp, open_ann_index(arrays, made)
        return self._lists[1]

    def check(self, *, approximate: bool = False) -> None:
        """Refuse searches in an empty collection, or by an index that is not there."""
        if approximate:
            self.lists()
        self.arrays()

    def reduction(self) -> Reduction | None:
        """The selection that the arrays were made with."""
        return self.arrays().reduction

    def snapshot(self) -> "LocalStore":
        """The collection with the arrays as they are now, whatever is written meanwhile."""
        arrays = self.arrays()
        return LocalStore(self.collection, lambda _: arrays)

    def stamp(self) -> str:
        """The stamp of the arrays."""
        return self.arrays().stamp

    def count(self, state: State) -> int:
        """How many photos are of a state."""
        return self.collection.count(state)

    def ids(self) -> np.ndarray:
        """The ids in the arrays, ascending."""
        ids = self.arrays().database.ids
        return np.sort(ids[ids != GONE])

    def photos(self, state: State) -> Iterator[Photo]:
        """The photos of a state by ascending id."""
        return self.collection.photos(state)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Those of some photos that can be searched, by id."""
        return self.collection.photos_by_id(ids)

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos by ascending id."""
        return self.collection.photos_after(after, count)

    def known(self, content: str) -> Query | None:
        """The descriptors of a content, if they are there and their check sum is right."""
        stored = self.collection.descriptors(content)
        if stored is None or not stored.intact:
            return None
        selection = self.reduction()
        sides = (stored.global_, stored.local)
        kept = [s if s is None or selection is None else selection.apply(s) for s in sides]
        return Query(np.asarray(kept[0]), kept[1])

    def rows(self, ids: np.ndarray) -> Database:
        """The descriptors of photos, in the order of the ids."""
        arrays = self.arrays()
        database = arrays.database
        if self._places is None or self._places[0] != arrays.stamp:
            self._places = arrays.stamp, np.argsort(database.ids, kind="stable")
        by_id = self._places[1]
        at = np.minimum(np.searchsorted(database.ids, ids, sorter=by_id), len(by_id) - 1)
        rows = by_id[at]
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
        """The k nearest photos to each query; exactly, but by inverted lists where asked for."""
        check_queries(self.name, queries, self.arrays().database.global_.shape[1])
        if where is not None and where != Filter():
            return [self._nearest_where(query, k, where, approximate) for query in queries]
        database = self.arrays().database
        if approximate:
            lists = self.lists()
            return [nearest_by_lists(query, database, lists, k) for query in queries]
        return nearest_to_each(queries, database, k, DISTANCES[self.collection.distance])

    def about(self) -> dict[str, str]:
        """Nothing more."""
        return {}

    def bytes_on_disk(self) -> int:
        """The sizes of all files in the folder."""
        folder = self.collection.folder
        return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def _nearest_where(self, query: Query, k: int, where: Filter, approximate: bool) -> Neighbors:
        """The nearest of the photos that pass: ever more neighbors are looked at until it is k."""
        wanted, count, passed = FILTERED_FIRST * k, self.count("ok"), dict[int, bool]()
        while True:
            found = self.nearest([query], min(wanted, count), approximate=approximate)[0]
            new = [id_ for id_ in found.ids.tolist() if id_ not in passed]
            photos = self.photos_by_id(new)
            passed |= {id_: id_ in photos and _passes(photos[id_], where) for id_ in new}
            kept = np.flatnonzero([passed[id_] for id_ in found.ids.tolist()])[:k]
            if len(kept) == k or wanted >= count:
                return Neighbors(found.ids[kept], found.distances[kept])
            wanted *= FILTERED_FIRST


def _passes(photo: Photo, where: Filter) -> bool:
    """Whether a search may find a photo; its file is read where it matters when it was taken."""
    if where.under is not None and not is_under(photo.path, {where.under}):
        return False
    if where.min_side is not None and min(photo.width or 0, photo.height or 0) < where.min_side:
        return False
    if where.taken_from is None and where.taken_before is None:
        return True
    taken = taken_at(photo.path)
    if taken is None:
        return False
    late_enough = where.taken_from is None or where.taken_from <= taken
    return late_enough and (where.taken_before is None or taken < where.taken_before)
