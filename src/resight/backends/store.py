"""The interface of a searchable collection, whatever backend stores it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from resight.collection import Photo, State, StoredDescriptors
from resight.collection.hints import Hints
from resight.collection.names import Names
from resight.collection.provenance import Provenance
from resight.config import MethodConfig
from resight.descriptors.extractor import Description
from resight.errors import UsageError
from resight.photos import absolute
from resight.ranking.exact import Database, Neighbors, Query
from resight.reductions import Reduction, to_query


@dataclass(frozen=True)
class Filter:
    """Photos that a search may return.

    Attributes:
        under: only photos in this folder or below it.
        taken_from: only photos taken on or after this date (EXIF), in the camera's time.
        taken_before: only photos taken before this date.
        min_side: minimum shorter side, in pixels.
        file_name: part of the file name, in any case.
    """

    under: Path | None = None
    taken_from: datetime | None = None
    taken_before: datetime | None = None
    min_side: int | None = None
    file_name: str | None = None

    def __post_init__(self) -> None:
        """Take a folder that is text or relative, too; refuse what no photo can match.

        Raises:
            UsageError: `taken_before` is not later than `taken_from`, or `file_name` is empty or no
                part of a file name.
        """
        if self.taken_from and self.taken_before and self.taken_before <= self.taken_from:
            raise UsageError("must be later than taken_from", parameter="taken_before")
        if self.under is not None:
            object.__setattr__(self, "under", absolute(Path(self.under)))
        if self.file_name is not None:
            _check_name(self.file_name)


def _check_name(name: str) -> None:
    if not name:
        raise UsageError("is empty; give a part of the file name", parameter="file_name")
    if "/" in name:
        raise UsageError("holds a slash, so it is no part of a file name", parameter="file_name")
    try:
        if "\0" in os.fsdecode(os.fsencode(name)):
            raise UsageError("holds a NUL, so it is no part of a file name", parameter="file_name")
    except UnicodeEncodeError:
        raise UsageError("is no part of a file name", parameter="file_name") from None


class Searchable(Protocol):
    """Descriptors that can be ranked: a collection, or arrays in memory.

    They are those after the reduction, which are compared.
    """

    @property
    def config(self) -> MethodConfig:
        """Configuration of the method."""

    @property
    def distance(self) -> str:
        """Name of the distance that compares the descriptors."""

    def reduction(self) -> Reduction | None:
        """Return the reduction of the descriptors, if there is one."""

    def count(self, state: State) -> int:
        """Return the number of photos in a state."""

    def ids(self) -> np.ndarray:
        """Return the IDs of all searchable photos, int64 (N,), ascending."""

    def rows(self, ids: np.ndarray) -> Database:
        """Return the descriptors of photos, int64 (N,), in this order, without removed ones."""

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Return the searchable photos with these IDs, by ID."""

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        """Return the intact evidence by content (SHA-256); contents without any are omitted."""
        return {}

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        """Return the searchable photos with one of some contents (SHA-256), by ascending ID."""
        return []

    def hints(self) -> Hints:
        """Return what a person decided about photos."""
        return Hints()

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """Return the k nearest photos (fewer if there are fewer) to each query; ties by ID.

        Either all queries or none have local descriptors. All photos are compared if k is at least
        their number.

        Raises:
            UsageError: a query's descriptor has another length than the collection's.
            CollectionError: see `Store.check`, and where a remote backend cannot be reached.
        """


class Store(Searchable, Protocol):
    """A searchable collection, usable from several threads; close it after use."""

    name: str
    """Name of the collection in messages, without any password."""

    @property
    def provenance(self) -> Provenance:
        """Configuration, weights, fitted parameters, fingerprint."""

    @property
    def config(self) -> MethodConfig:
        """Configuration of the method."""
        return self.provenance.config

    @property
    def distance(self) -> str:
        """Name of the distance that compares the descriptors."""
        return self.provenance.distance

    def close(self) -> None:
        """Close files and connections."""

    def check(self, *, approximate: bool = False) -> None:
        """Refuse a search that cannot succeed, before any work for it.

        Raises:
            CollectionError: there are no photos, or (`approximate`) no approximate index.
        """

    def snapshot(self) -> "Store":
        """Return the collection for many reads, in its current state if the backend can."""

    def stamp(self) -> str:
        """Return a token that changes with everything that changes search results."""

    def photos(self, state: State) -> Iterator[Photo]:
        """Yield the photos in a state by ascending ID."""

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """Return the next searchable photos by ascending ID."""

    def photos_under(self, place: Path) -> list[Photo]:
        """Return the photo at an absolute path, or the photos below it, by ascending ID."""

    def photos_where(self, where: Filter) -> list[Photo]:
        """Return the searchable photos that match a filter, by ascending ID."""

    def taken_times(self, photos: Sequence[Photo]) -> dict[int, datetime]:
        """Return when photos were taken (EXIF), by ID; photos without a known time are omitted."""

    def names(self) -> Names:
        """Return what a person called the things in photos."""
        return Names()

    def stored_query(self, content: str) -> Query | None:
        """Return the descriptors of a photo's content (SHA-256), if they are stored and intact."""

    def details(self) -> dict[str, str]:
        """Return further properties of the collection, by a short title."""
        return {}

    def bytes_on_disk(self) -> int | None:
        """Return the size on disk; None where it is unknown."""
        return None


def reduced_query(
    descriptors: Description | StoredDescriptors, reduction: Reduction | None
) -> Query:
    """Return descriptors after the reduction, ready for comparison."""
    global_, local = descriptors.global_, descriptors.local
    if reduction is None:
        return Query(global_, local)
    return Query(reduction.apply(global_), None if local is None else reduction.apply(local))


def as_query(descriptors: Query, reduction: Reduction | None) -> Query:
    """Return a photo's descriptors, as they are compared, as those of a query."""
    local = None if descriptors.local is None else to_query(reduction, descriptors.local)
    return Query(to_query(reduction, descriptors.global_), local)


def check_queries(name: str, queries: Sequence[Query], dimensions: int) -> None:
    """Refuse queries that are not comparable with a collection's descriptors.

    Raises:
        UsageError: another length, or values that are not finite.
    """
    for query in queries:
        for side in (query.global_, query.local):
            if side is None:
                continue
            if side.shape != (dimensions,):
                raise UsageError(
                    f"{name}: the query has {side.shape} values, the database {(dimensions,)}"
                )
            if not np.isfinite(side).all():
                raise UsageError(f"{name}: the query's descriptor has values that are not finite")
