"""Base of collections on remote backends: their cached state, and the errors that they share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from resight.backends.store import Layout, paged
from resight.collection.provenance import ProvenanceSnapshot
from resight.collection.reader import Photo, State
from resight.config import BackendConfig
from resight.errors import CollectionEmptyError, CollectionError, UsageError
from resight.reductions import Reduction

FORMAT = 1
"""Format of the metadata on remote backends."""


@dataclass(frozen=True)
class RemoteState:
    """State of an existing collection.

    Attributes:
        key: identifies this collection, but not one that replaces it.
        provenance: how its descriptors were made.
        layout: their shape.
        config: how they are indexed and searched.
        reduction: the selection or whitening behind them.
    """

    key: str
    provenance: ProvenanceSnapshot
    layout: Layout
    config: BackendConfig
    reduction: Reduction | None


def state_to_json(
    provenance: ProvenanceSnapshot, layout: Layout, config: BackendConfig
) -> dict[str, dict[str, Any]]:
    """Return the metadata to store, without the fitted data."""
    identity = {"format": FORMAT, "values": dict(provenance.values), "how": dict(provenance.infos)}
    return {"identity": identity, "layout": asdict(layout), "config": config.to_dict()}


def state_from_json(
    key: str, shown: str, metadata: Mapping[str, dict[str, Any]], data: Mapping[str, bytes]
) -> RemoteState:
    """Return the state behind the metadata of `state_to_json` and the fitted data.

    Raises:
        CollectionError: it is of a newer Resight, or damaged.
    """
    try:
        identity = metadata["identity"]
        version = identity.get("format", FORMAT + 1)
        if version > FORMAT:
            raise CollectionError(
                f"{shown}: was pushed by a newer Resight (format {version}, this one reads "
                f"{FORMAT}); update it: pip install -U resight"
            )
        provenance = ProvenanceSnapshot(shown, identity["values"], identity["how"], data)
        layout = Layout(**metadata["layout"])
        config = BackendConfig.from_dict(metadata["config"])
        return RemoteState(key, provenance, layout, config, provenance.reduction())
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise damaged(shown, str(error)) from error


class RemoteBase(ABC):
    """A collection on a remote backend, whose state is read once."""

    _cached_state: RemoteState | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The address, without any password."""

    @abstractmethod
    def photos_after(self, after: int, count: int) -> list[Photo]:
        """Return the next photos by ascending ID."""

    @abstractmethod
    def _read_state(self) -> RemoteState | None:
        """Read the current state from the backend; return None if there is no collection."""

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
        """Return the selection or whitening that was pushed with the collection."""
        return self._state().reduction

    def snapshot(self) -> Self:
        """Return the collection itself."""
        return self

    def check(self, *, approximate: bool = False) -> None:
        """Refuse searches in an empty collection; the backend has an index of its own."""
        if not self.photos_after(0, 1):
            raise CollectionEmptyError(f"{self.name}: holds no photos yet; push some")

    def photos(self, state: State) -> Iterator[Photo]:
        """Yield the photos by ascending ID; failed ones are not pushed."""
        return paged(self.photos_after) if state == "ok" else iter(())

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
