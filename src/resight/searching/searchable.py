"""Stores that can be searched: the interface that ranking needs, and one in memory.

Collections, in a folder or on a backend, are the other implementations (`backends.store`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from resight.backends.store import Filter
from resight.collection.reader import Photo, State
from resight.config import MethodConfig
from resight.ranking.exact import DISTANCES, Database, Neighbors, Query, nearest_to_each
from resight.reductions import Reduction


class DescriptorInfo(Protocol):
    """How descriptors were computed and are compared."""

    @property
    def config(self) -> MethodConfig:
        """The method's configuration."""

    @property
    def distance(self) -> str:
        """Name of the distance between descriptors."""


class Searchable(Protocol):
    """The part of `Store` that ranking needs."""

    @property
    def provenance(self) -> DescriptorInfo:
        """The method and the distance."""

    def reduction(self) -> Reduction | None:
        """Return the fitted selection or whitening."""

    def count(self, state: State) -> int:
        """Return the number of photos in a state."""

    def ids(self) -> np.ndarray:
        """Return all ids, int64 (N,), ascending."""

    def rows(self, ids: np.ndarray) -> Database:
        """Return the descriptors of photos in this order, without removed ones."""

    def photos_by_id(self, ids: Iterable[int]) -> Mapping[int, Photo]:
        """Return photos by id, without removed ones."""

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """Return the k nearest photos to each query, ties by ascending id."""


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
    def provenance(self) -> "ArrayStore":
        """The store itself, which has a method and a distance."""
        return self

    @property
    def distance(self) -> str:
        """Name of the distance that compares the descriptors."""
        reduced = self.fitted.distance if self.fitted else None
        return reduced or self.config.descriptor_distance

    def reduction(self) -> Reduction | None:
        """Return the fitted selection or whitening."""
        return self.fitted

    def count(self, state: State) -> int:
        """Return the number of photos; all of them are `ok`."""
        return len(self.paths) if state == "ok" else 0

    def ids(self) -> np.ndarray:
        """Return all ids, int64 (N,)."""
        return self.database.ids

    def rows(self, ids: np.ndarray) -> Database:
        """Return the descriptors of photos, in this order."""
        local = self.database.local
        return Database(ids, self.database.global_[ids], None if local is None else local[ids])

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Return photos by id."""
        return {i: Photo(i, self.paths[i], 0, 0, None, None, None, "ok", None) for i in ids}

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """Return the k nearest photos to each query."""
        return nearest_to_each(queries, self.database, k, DISTANCES[self.distance])
