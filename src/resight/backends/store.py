"""What a search needs of a collection, wherever the collection is kept."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np

from resight.backends.identity import Identity
from resight.collection.provenance import Provenance
from resight.collection.reader import Photo, State
from resight.config import BackendConfig
from resight.descriptors.extractor import Description
from resight.errors import UsageError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query
from resight.reductions.reduction import Reduction


@dataclass(frozen=True)
class Filter:
    """Which photos a search is among.

    Attributes:
        under: a folder; only photos in it or below it.
        taken_from: only photos taken then or later, by their EXIF data, in the camera's time.
        taken_before: only photos taken earlier.
        min_side: only photos whose shorter side has at least so many pixels.
    """

    under: Path | None = None
    taken_from: datetime | None = None
    taken_before: datetime | None = None
    min_side: int | None = None


class Store(Protocol):
    """A collection that can be searched; close it when it is no longer needed.

    Descriptors are here as they are searched: after the selection or whitening.
    """

    @property
    def name(self) -> str:
        """The collection as messages name it, without any password."""

    @property
    def provenance(self) -> Provenance:
        """Configuration, weights, selection; the fingerprint."""

    def close(self) -> None:
        """Let go of files and connections."""

    def check(self, *, approximate: bool = False) -> None:
        """Refuse searches that cannot be, before there is work for them.

        Raises:
            CollectionError: there are no photos, or (`approximate`) no approximate index.
        """

    def reduction(self) -> Reduction | None:
        """What makes descriptors shorter before they are compared, if anything does."""

    def snapshot(self) -> "Store":
        """The collection, as far as that can be in its present state for many reads."""

    def stamp(self) -> str:
        """A token that changes with everything that changes the answers to a search."""

    def count(self, state: State) -> int:
        """How many photos are of a state."""

    def ids(self) -> np.ndarray:
        """The ids of all photos that can be searched, int64 (N,), ascending."""

    def photos(self, state: State) -> Iterator[Photo]:
        """The photos of a state by ascending id."""

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Those of some photos that are there and can be searched, by id."""

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos that can be searched, by ascending id."""

    def known(self, content: str) -> Query | None:
        """The descriptors of a photo's content (SHA-256), if they are there and whole."""

    def rows(self, ids: np.ndarray) -> Database:
        """The descriptors of photos, int64 (N,), in this order; those that are gone left out."""

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """The k nearest photos to each query, fewer where there are fewer; ties by ascending id.

        The queries have local descriptors all, or none of them. All photos are compared where k
        is all there are.

        Raises:
            UsageError: a query has another number of values than the collection's descriptors.
            CollectionError: see `check`, and where an engine cannot be reached.
        """

    def about(self) -> dict[str, str]:
        """What else there is to say of the collection, by a short title."""

    def bytes_on_disk(self) -> int | None:
        """What it takes; None where that cannot be known."""


SIDES = ("global", "local")
"""What the descriptors of a photo are called on engines."""


@dataclass(frozen=True)
class Record:
    """A photo on its way to an engine or back.

    Attributes:
        photo: its row; the id is the side's it comes from.
        taken: when it was taken, by its EXIF data.
        searched: its descriptors after the selection.
        whole: the same before the selection, or None where they do not travel along.
    """

    photo: Photo
    taken: datetime | None
    searched: Query
    whole: Description | None


@dataclass(frozen=True)
class Layout:
    """What an engine must know of descriptors to keep them.

    Attributes:
        dimensions: values of a descriptor after the selection.
        whole_dimensions: before it.
        local: whether there are local descriptors as well.
        distance: manhattan or cosine.
        keeps_whole: whether the descriptors before the selection are kept, too.
    """

    dimensions: int
    whole_dimensions: int
    local: bool
    distance: str
    keeps_whole: bool

    @property
    def sides(self) -> tuple[str, ...]:
        """The names of a photo's descriptors."""
        return SIDES[: 1 + self.local]


class Remote(Store, Protocol):
    """A collection on an engine, to which photos can be added by several programs at once."""

    @property
    def provenance(self) -> Identity:
        """What came with the collection when it was pushed."""

    def exists(self) -> bool:
        """Whether the collection is there."""

    def layout(self) -> Layout:
        """How it is kept."""

    def create(self, identity: Identity, layout: Layout, config: BackendConfig) -> None:
        """Make the collection, empty; nothing happens where it is there already.

        Raises:
            UsageError: the engine cannot keep so many values.
            CollectionError: see `resight.errors`.
        """

    def drop(self) -> None:
        """Remove the collection with all that is in it."""

    def present(self, photos: Sequence[Photo]) -> set[Path]:
        """The paths of those of some photos that are there with the same content."""

    def add(self, records: Sequence[Record]) -> None:
        """Add photos, or put them in the place of what was at their paths: all or none of them."""

    def photos_under(self, place: Path) -> list[Photo]:
        """The photo at an absolute path, or the photos below it, by ascending id."""

    def remove(self, ids: Sequence[int]) -> None:
        """Forget photos."""

    def finish(self, progress: Progress) -> None:
        """Make or complete the index by which searches are fast."""

    def records(self, after: int, count: int) -> list[Record]:
        """The next photos by ascending id, with all their descriptors."""


PAGE = 1000
"""Photos that are read at once."""


def paged(photos_after: Callable[[int, int], list[Photo]]) -> Iterator[Photo]:
    """All photos by ascending id, read a page at a time."""
    after = 0
    while page := photos_after(after, PAGE):
        yield from page
        after = page[-1].id


def check_queries(name: str, queries: Sequence[Query], dimensions: int) -> None:
    """Refuse queries that a collection's descriptors cannot be compared with.

    Raises:
        UsageError: another number of values, or values that are no numbers.
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
                raise UsageError(f"{name}: the query's descriptor holds values that are no numbers")
