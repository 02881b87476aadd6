"""The base of collections on remote backends, and the metadata that they store."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from resight.backends.store import Filter, Store, check_queries
from resight.collection import Photo, State
from resight.collection.hints import Hints
from resight.collection.names import Names
from resight.collection.provenance import ProvenanceSnapshot
from resight.config import BackendConfig
from resight.descriptors.extractor import Description
from resight.errors import CollectionEmptyError, CollectionError, UsageError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query
from resight.reductions import Reduction

SIDES = ("global", "local")
"""Names of a photo's descriptors on remote backends."""


@dataclass(frozen=True)
class Record:
    """A photo in transfer to or from a remote backend.

    Attributes:
        photo: its row, with its ID at the source.
        taken: when it was taken, by its EXIF data.
        reduced: its descriptors after the reduction.
        whole: its descriptors before the reduction, or None where they are not transferred.
    """

    photo: Photo
    taken: datetime | None
    reduced: Query
    whole: Description | None


@dataclass(frozen=True)
class Layout:
    """Shape of the descriptors on a remote backend; its fields are stored there.

    Attributes:
        dimensions: length of a descriptor after the reduction.
        whole_dimensions: length before it.
        local: whether there are local descriptors as well.
        distance: manhattan or cosine.
        keeps_whole: whether the descriptors before the reduction are stored, too.
    """

    dimensions: int
    whole_dimensions: int
    local: bool
    distance: str
    keeps_whole: bool

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of a photo's descriptors."""
        return SIDES if self.local else SIDES[:1]


PAGE = 1000
"""Photos read at once."""


def paged(photos_after: Callable[[int, int], list[Photo]]) -> Iterator[Photo]:
    """Yield all photos by ascending ID, read a page at a time."""
    after = 0
    while page := photos_after(after, PAGE):
        yield from page
        after = page[-1].id


def database_from(ids: np.ndarray, queries: Mapping[int, Query], layout: Layout) -> Database:
    """Return the descriptors of photos, float32 (N, D), in the order of IDs; others are missing."""
    present = [id_ for id_ in ids.tolist() if id_ in queries]
    shape = len(present), layout.dimensions
    global_ = np.array([queries[id_].global_ for id_ in present], np.float32).reshape(shape)
    local = None
    if layout.local:
        local = np.array([queries[id_].local for id_ in present], np.float32).reshape(shape)
    return Database(np.array(present, np.int64), global_, local)


METADATA_FORMAT = 1
"""Format of the metadata on remote backends."""


@dataclass(frozen=True)
class RemoteState:
    """State of an existing collection; `key` differs from that of one that replaces it."""

    key: str
    provenance: ProvenanceSnapshot
    layout: Layout
    config: BackendConfig
    reduction: Reduction | None


def state_to_json(
    provenance: ProvenanceSnapshot, layout: Layout, config: BackendConfig
) -> dict[str, dict[str, Any]]:
    """Return the metadata to store, without the fitted data."""
    identity = {
        "format": METADATA_FORMAT,
        "values": dict(provenance.values),
        "how": dict(provenance.infos),
    }
    return {"identity": identity, "layout": asdict(layout), "config": config.to_dict()}


def state_from_json(
    key: str, shown: str, metadata: Mapping[str, dict[str, Any]], data: Mapping[str, bytes]
) -> RemoteState:
    """Return the state from the metadata of `state_to_json` and the fitted data.

    Raises:
        CollectionError: it is of a newer Resight, or damaged.
    """
    try:
        identity = metadata["identity"]
        version = identity.get("format", METADATA_FORMAT + 1)
        if version > METADATA_FORMAT:
            raise CollectionError(
                f"{shown}: was pushed by a newer Resight (format {version}, this one reads "
                f"{METADATA_FORMAT}); update it: pip install -U resight"
            )
        provenance = ProvenanceSnapshot(shown, identity["values"], identity["how"], data)
        layout = Layout(**metadata["layout"])
        config = BackendConfig.from_dict(metadata["config"])
        return RemoteState(key, provenance, layout, config, provenance.reduction())
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise damaged(shown, str(error)) from error


class Remote(Store, Protocol):
    """A collection on a remote backend, to which several programs can add photos at once.

    Its state is read once.
    """

    _cached_state: RemoteState | None = None

    @property
    def provenance(self) -> ProvenanceSnapshot:
        """Provenance that was pushed with the collection."""
        return self._state().provenance

    def exists(self) -> bool:
        """Return whether the collection exists."""
        return self._read_state() is not None

    def layout(self) -> Layout:
        """Return the shape of its descriptors."""
        return self._state().layout

    def reduction(self) -> Reduction | None:
        """Return the reduction that was pushed with the collection."""
        return self._state().reduction

    def snapshot(self) -> Self:
        """Return the collection itself."""
        return self

    def check(self, *, approximate: bool = False) -> None:
        """Refuse searches in an empty collection; the backend has its own index."""
        if not self.photos_after(0, 1):
            raise CollectionEmptyError(f"{self.name}: holds no photos yet; push some")

    def photos_under(self, place: Path) -> list[Photo]:
        """Return the photo at an absolute path, or the photos below it, by ascending ID."""
        return self.photos_where(Filter(under=place))

    def photos(self, state: State) -> Iterator[Photo]:
        """Yield the photos by ascending ID; failed ones are not pushed."""
        return paged(self.photos_after) if state == "ok" else iter(())

    def count(self, state: State) -> int:
        """Return the number of photos in a state; failed ones are not pushed."""
        return self._count() if state == "ok" else 0

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """Return the k nearest photos to each query, by the backend's index if there is one."""
        state = self._state()
        check_queries(self.name, queries, state.layout.dimensions)
        return self._nearest(state, queries, k, where)

    def create(self, provenance: ProvenanceSnapshot, layout: Layout, config: BackendConfig) -> None:
        """Create the collection, empty; a no-op if it exists.

        Raises:
            UsageError: the descriptors are too long for the backend.
            CollectionError: see `resight.errors`.
        """

    def drop(self) -> None:
        """Remove the collection with everything in it."""

    def existing_paths(self, photos: Sequence[Photo]) -> set[Path]:
        """Return the paths of the photos that are stored with the same content."""

    def upsert(self, records: Sequence[Record]) -> None:
        """Add photos, replacing those at the same paths: all or none of them."""

    def without_evidence(self, contents: Collection[str]) -> set[str]:
        """Return those of some contents (SHA-256) that have no evidence."""

    def add_evidence(self, evidence: Mapping[str, bytes]) -> None:
        """Add evidence by the content of photos, which is removed with the last of them."""

    def store_hints(self, hints: Hints) -> None:
        """Store these hints in place of the present ones."""

    def store_names(self, names: Names) -> None:
        """Store these names in place of the present ones."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove photos."""

    def build_index(self, progress: Progress) -> None:
        """Build or complete the index for fast searches."""

    def records(self, after: int, count: int) -> list[Record]:
        """Return the next photos by ascending ID, with all their descriptors."""

    def _count(self) -> int:
        """Return the number of photos."""

    def _nearest(
        self, state: RemoteState, queries: Sequence[Query], k: int, where: Filter | None
    ) -> list[Neighbors]:
        """Return the k nearest photos to each query."""

    def _read_state(self) -> RemoteState | None:
        """Read the current state from the backend; return None if there is no collection."""

    def _state(self) -> RemoteState:
        state = self._cached_state or self._read_state()
        if state is None:
            raise no_collection(self.name)
        self._cached_state = state
        return state


def no_collection(shown: str) -> CollectionError:
    """Return the error for a collection that does not exist, or was removed."""
    return CollectionError(
        f"{shown}: no collection there; make one with: resight push -c COLLECTION {shown}"
    )


def unreachable(shown: str, backend: str, reason: str) -> CollectionError:
    """Return the error for a backend that does not answer."""
    return CollectionError(
        f"{shown}: cannot be reached ({reason}); is {backend} running there? The next run resumes"
    )


def damaged(shown: str, reason: str) -> CollectionError:
    """Return the error for a collection that another program has changed."""
    return CollectionError(
        f"{shown}: the collection there is damaged ({reason}); remove it there, and push again"
    )


def disk_full(shown: str, reason: str) -> CollectionError:
    """Return the error for a backend without space."""
    return CollectionError(
        f"{shown}: the backend's disk is full ({reason}); free some space there and run again to "
        "resume"
    )
