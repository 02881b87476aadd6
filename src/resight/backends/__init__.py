"""Storage backends of collections: a folder, PostgreSQL or Qdrant, opened by their addresses.

::

    my-collection                                   a folder
    postgresql://USER:PASSWORD@HOST:PORT/DATABASE/NAME    PostgreSQL, with libpq's options
    qdrant+http://HOST:6333/NAME                    Qdrant; qdrant+https with QDRANT_API_KEY
    qdrant+file:///FOLDER/NAME                      Qdrant's client without a server, for trials

An address may contain a password; messages show it without.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from resight.backends.local import LocalStore
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.collection import Collection
from resight.errors import MissingExtraError, UsageError
from resight.photos import PathLike

Location = PathLike
"""A collection's folder, or its address on a remote backend (a `str`)."""

SCHEMES: dict[str, Literal["postgres", "qdrant"]] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "qdrant+http": "qdrant",
    "qdrant+https": "qdrant",
    "qdrant+file": "qdrant",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Valid names of collections on remote backends."""
SECRETS = ("password", "sslpassword")
"""Parameters of an address that are never shown."""


@dataclass(frozen=True)
class Address:
    """A collection on a remote backend.

    Attributes:
        backend: the kind of backend, also the name of the extra that it needs.
        server: the server's address for its client, with all secrets.
        collection: the collection's name there.
        shown: the whole address without secrets.
    """

    backend: Literal["postgres", "qdrant"]
    server: str
    collection: str
    shown: str


@contextlib.contextmanager
def open_store(location: Location | Collection) -> Iterator[Store]:
    """Open a collection for searching; one that is open already stays open.

    Raises:
        CollectionError: there is none, or its backend cannot be reached.
        UsageError: an invalid address.
        MissingExtraError: the backend's client is not installed.
    """
    if isinstance(location, Collection):
        yield LocalStore(location)
        return
    remote = open_remote(location)
    with contextlib.closing(remote or LocalStore(Collection.open(location))) as store:
        yield store


def open_remote(location: Location) -> Remote | None:
    """Open a remote collection, whether or not it exists yet; return None for a folder.

    Raises:
        CollectionError: the backend cannot be reached.
        UsageError: an invalid address.
        MissingExtraError: the backend's client is not installed.
    """
    address = parse_address(location)
    if address is None:
        return None
    try:
        if address.backend == "postgres":
            from resight.backends.postgres import PostgresStore

            return PostgresStore(address.server, address.collection, address.shown)
        from resight.backends.qdrant import QdrantStore

        return QdrantStore.connect(address.server, address.collection, address.shown)
    except ImportError as error:
        if (error.name or "").startswith("resight"):
            raise
        raise MissingExtraError(f"a collection on {address.backend}", address.backend) from None


def parse_address(location: Location) -> Address | None:
    """Return the address of a remote collection; None for a folder.

    Raises:
        UsageError: an address without a database or a name, or of an unknown kind.
    """
    if not isinstance(location, str):
        return None
    scheme, separator, _ = location.partition("://")
    if not separator or "/" in scheme:
        return None
    if scheme not in SCHEMES:
        schemes = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"{_shown(location)}: no such kind of address; there are {schemes}")
    backend, parts = SCHEMES[scheme], urlsplit(location)
    parent, _, name = parts.path.rpartition("/")
    has_folder = backend == "postgres" or scheme == "qdrant+file"
    valid_parent = len(parent) > 1 if has_folder else not parent
    if not valid_parent or not NAME.fullmatch(unquote(name)):
        form = f"{scheme}://HOST/NAME"
        if backend == "postgres":
            form = "postgresql://HOST/DATABASE/NAME"
        raise UsageError(
            f"{_shown(location)}: expected {form}, where NAME is of letters, digits, _ and -"
        )
    server = _joined(parts._replace(scheme=scheme.removeprefix("qdrant+"), path=parent))
    return Address(backend, server, unquote(name), _shown(location))


def check_folder(location: Location) -> Path:
    """Return the folder of a collection, for operations on local collections only.

    Raises:
        UsageError: an address on a remote backend.
    """
    address = parse_address(location)
    if address is not None:
        raise UsageError(
            f"{address.shown}: is on a remote backend; run this on the collection's folder, and "
            "then: resight push -c FOLDER ADDRESS"
        )
    return Path(location)


def _shown(address: str) -> str:
    """Return an address without its secrets."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k not in SECRETS], safe="/")
    netloc = f"{name}{at}{host}" if name else host
    return _joined(parts._replace(netloc=netloc, query=query))


def _joined(parts: SplitResult) -> str:
    """Return the text of an address; `urlunsplit` would drop an empty host."""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
