"""Where a collection is kept, as the user writes it: a folder, or an address on an engine.

::

    my-collection                                   a folder
    postgresql://USER:PASSWORD@HOST:PORT/DATABASE/NAME    PostgreSQL, with libpq's options
    qdrant+http://HOST:6333/NAME                    Qdrant; qdrant+https with QDRANT_API_KEY
    qdrant+file:///FOLDER/NAME                      Qdrant's client alone, to try it out

A password may stand in the address; where one is named in a message, it is left out.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from resight.errors import UsageError

SCHEMES: dict[str, Literal["postgres", "qdrant"]] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "qdrant+http": "qdrant",
    "qdrant+https": "qdrant",
    "qdrant+file": "qdrant",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""What a collection may be called on an engine."""
SECRETS = ("password", "sslpassword")
"""Parameters of an address that are never shown."""


@dataclass(frozen=True)
class Address:
    """A collection on an engine.

    Attributes:
        engine: which one.
        server: the server's address, as its client takes it, with everything secret.
        collection: the collection's name there.
        shown: the whole address as it may be printed.
    """

    engine: Literal["postgres", "qdrant"]
    server: str
    collection: str
    shown: str


def parse_address(text: str) -> Address | None:
    """An address on an engine; None for a folder.

    Raises:
        UsageError: an address without a database or a name, or of an unknown kind.
    """
    scheme, mark, _ = text.partition("://")
    if not mark or "/" in scheme:
        return None
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UsageError(f"{_shown(text)}: no such kind of address; there are {known}")
    engine, parts = SCHEMES[scheme], urlsplit(text)
    above, _, name = parts.path.rpartition("/")
    whole = len(above) > 1 if scheme in ("postgresql", "postgres", "qdrant+file") else not above
    if not whole or not NAME.fullmatch(unquote(name)):
        form = (
            "postgresql://HOST/DATABASE/NAME" if engine == "postgres" else f"{scheme}://HOST/NAME"
        )
        raise UsageError(
            f"{_shown(text)}: expected {form}, where NAME is of letters, digits, _ and -"
        )
    server = _joined(parts._replace(scheme=scheme.removeprefix("qdrant+"), path=above))
    return Address(engine, server, unquote(name), _shown(text))


def check_folder(text: str) -> Path:
    """A folder, for what can only be done there.

    Raises:
        UsageError: an address on an engine.
    """
    address = parse_address(text)
    if address is not None:
        raise UsageError(
            f"{address.shown}: is on an engine; this is done in the collection's folder, and "
            "then: resight push -c FOLDER ADDRESS"
        )
    return Path(text)


def _shown(text: str) -> str:
    """An address without what is secret in it."""
    parts = urlsplit(text)
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k not in SECRETS], safe="/")
    netloc = f"{name}{at if name else ''}{host}"
    return _joined(parts._replace(netloc=netloc, query=query))


def _joined(parts: SplitResult) -> str:
    """The text of an address; `urlunsplit` would leave out an empty host."""
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
