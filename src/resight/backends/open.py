"""Opening a collection where it is kept: in a folder, or on an engine."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from resight.backends.addresses import Address, parse_address
from resight.backends.local import LocalStore
from resight.backends.store import Remote, Store
from resight.collection.reader import Collection
from resight.errors import MissingExtraError


@contextlib.contextmanager
def open_store(place: Path | str) -> Iterator[Store]:
    """A collection, to search in it.

    Raises:
        CollectionError: there is none, or its engine cannot be reached.
        UsageError: an address that cannot be.
        MissingExtraError: the engine's client is not installed.
    """
    remote = open_remote(place)
    if remote is None:
        with Collection.open(Path(place)) as collection:
            yield LocalStore(collection)
    else:
        with contextlib.closing(remote):
            yield remote


def open_remote(place: Path | str) -> Remote | None:
    """A collection on an engine, that is there or is to be made; None for a folder.

    Raises:
        CollectionError: the engine cannot be reached.
        UsageError: an address that cannot be.
        MissingExtraError: the engine's client is not installed.
    """
    address = parse_address(place) if isinstance(place, str) else None
    if address is None:
        return None
    return _OPENERS[address.engine](address)


def _open_postgres(address: Address) -> Remote:
    try:
        from resight.backends.postgres.store import PostgresStore
    except ImportError as error:
        raise _missing(error, "postgres") from None
    return PostgresStore.connect(address.server, address.collection, address.shown)


def _open_qdrant(address: Address) -> Remote:
    try:
        from resight.backends.qdrant.store import QdrantStore
    except ImportError as error:
        raise _missing(error, "qdrant") from None
    return QdrantStore.connect(address.server, address.collection, address.shown)


_OPENERS: dict[str, Callable[[Address], Remote]] = {
    "postgres": _open_postgres,
    "qdrant": _open_qdrant,
}


def _missing(error: ImportError, extra: str) -> Exception:
    """What to raise where an engine's client cannot be imported."""
    if (error.name or "").startswith("resight"):
        return error
    return MissingExtraError(f"a collection on {extra}", extra)
