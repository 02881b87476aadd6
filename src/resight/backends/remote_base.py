"""What collections on engines have in common, whichever engine it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Self, TypeVar

from resight.backends.identity import Identity, identity_from_json
from resight.backends.store import Layout, paged
from resight.collection.reader import Photo, State
from resight.config import BackendConfig
from resight.errors import CollectionEmptyError, CollectionError, UsageError
from resight.reductions.reduction import Reduction

K = TypeVar("K", int, str)


@dataclass(frozen=True)
class RemoteState(Generic[K]):
    """What is known of a collection that is there.

    Attributes:
        key: of this collection and of none that takes its place: a number or a token.
        identity: what it was made with.
        layout: how its descriptors are kept.
        config: how they are indexed and searched.
        selection: what made them shorter.
    """

    key: K
    identity: Identity
    layout: Layout
    config: BackendConfig
    selection: Reduction | None


def to_said(identity: Identity, layout: Layout, config: BackendConfig) -> dict[str, dict[str, Any]]:
    """All of it as JSON takes it, but the fitted numbers."""
    return {
        "identity": identity.to_json(),
        "layout": asdict(layout),
        "config": config.to_dict(),
    }


def from_said(
    key: K, shown: str, said: Mapping[str, dict[str, Any]], data: Mapping[str, bytes]
) -> RemoteState[K]:
    """What `to_said` said of a collection, and its fitted numbers.

    Raises:
        CollectionError: a newer Resight wrote it, or it is damaged.
    """
    try:
        identity = identity_from_json(shown, said["identity"], data)
        config = BackendConfig.from_dict(said["config"])
        return RemoteState(key, identity, Layout(**said["layout"]), config, identity.reduction())
    except (AttributeError, KeyError, TypeError, ValueError, UsageError) as error:
        raise damaged(shown, str(error)) from error


class RemoteBase(ABC, Generic[K]):
    """A collection on an engine: what was pushed with it is read once."""

    _known: RemoteState[K] | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The address, without any password."""

    @abstractmethod
    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos by ascending id."""

    @abstractmethod
    def _look(self) -> RemoteState[K] | None:
        """What the engine says of the collection now; None where it is not there."""

    @property
    def provenance(self) -> Identity:
        """What was pushed with the collection."""
        return self._kept().identity

    def exists(self) -> bool:
        """Whether the collection is there."""
        return self._look() is not None

    def layout(self) -> Layout:
        """How it is kept."""
        return self._kept().layout

    def reduction(self) -> Reduction | None:
        """What was fitted on the collection that was pushed."""
        return self._kept().selection

    def snapshot(self) -> Self:
        """The collection itself."""
        return self

    def check(self, *, approximate: bool = False) -> None:
        """Refuse searches among no photos; an engine makes its index by itself."""
        if not self.photos_after(0, 1):
            raise CollectionEmptyError(f"{self.name}: holds no photos yet; push some")

    def photos(self, state: State) -> Iterator[Photo]:
        """The photos by ascending id; failed ones are not pushed."""
        return paged(self.photos_after) if state == "ok" else iter(())

    def _kept(self) -> RemoteState[K]:
        kept = self._known or self._look()
        if kept is None:
            raise not_there(self.name)
        self._known = kept
        return kept


# What goes wrong with all of them


def not_there(shown: str) -> CollectionError:
    """A collection that was not made yet, or was removed."""
    return CollectionError(
        f"{shown}: no collection there; make one with: resight push -c COLLECTION {shown}"
    )


def unreachable(shown: str, engine: str, reason: str) -> CollectionError:
    """An engine that does not answer."""
    return CollectionError(
        f"{shown}: cannot be reached ({reason}); is {engine} running there? The next run goes on"
    )


def damaged(shown: str, reason: str) -> CollectionError:
    """A collection that somebody else has written to."""
    return CollectionError(
        f"{shown}: what is kept there is damaged ({reason}); remove it there, and push again"
    )


def disk_full(shown: str, reason: str) -> CollectionError:
    """An engine without room for more."""
    return CollectionError(
        f"{shown}: the engine's disk is full ({reason}); free some space there and run again: it "
        "goes on where it stopped"
    )
