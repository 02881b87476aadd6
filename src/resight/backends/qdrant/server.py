"""Clients of a Qdrant server, and its errors in plain words."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from resight.backends.remote_base import damaged, disk_full, unreachable
from resight.errors import CollectionError, CollectionLockedError

OLDEST = (1, 12)
"""The first with all that is used here."""
TIMEOUT_S = 60
KEY = "QDRANT_API_KEY"


def open_client(address: str, shown: str) -> QdrantClient:
    """A client of a server, or (`file://`) one that does without a server.

    Raises:
        CollectionError: there is none, it is too old, or it wants another key.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        with explained(shown), _opened(shown):
            return QdrantClient(path=unquote(parts.path))
    key = unquote(parts.password or "") or os.environ.get(KEY) or None
    host = parts.netloc.rpartition("@")[2]
    client = QdrantClient(
        url=urlunsplit((parts.scheme, host, parts.path, "", "")),
        port=parts.port or (443 if parts.scheme == "https" else 6333),
        api_key=key,
        timeout=TIMEOUT_S,
        check_compatibility=False,
    )
    with explained(shown):
        version = client.info().version
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise CollectionError(f"{shown}: Qdrant {version} is too old; {needed} or newer is needed")
    return client


@contextlib.contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn errors of the server and of the way to it into one line that says what to do."""
    try:
        yield
    except ResponseHandlingException as error:
        raise _unreachable(shown, error.source) from error
    except httpx.HTTPError as error:
        raise _unreachable(shown, error) from error
    except UnexpectedResponse as error:
        raise _refusal(shown, error) from error
    except sqlite3.Error as error:  # of a client without a server
        if "full" in str(error):
            raise disk_full(shown, str(error)) from error
        raise damaged(shown, str(error)) from error


@contextlib.contextmanager
def _opened(shown: str) -> Iterator[None]:
    """Likewise of a folder that is opened without a server."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise damaged(shown, str(error)) from error
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise CollectionLockedError(
            f"{shown}: another process has this folder open; a server takes many at once"
        ) from error


def _unreachable(shown: str, error: Exception) -> CollectionError:
    if isinstance(error, ValidationError):
        return CollectionError(f"{shown}: what answers there is no Qdrant server")
    return unreachable(shown, "Qdrant", str(error) or type(error).__name__)


def _refusal(shown: str, error: UnexpectedResponse) -> CollectionError:
    """What a server's answer means."""
    said = error.content.decode("utf-8", "replace")
    if error.status_code in (401, 403):
        return CollectionError(f"{shown}: wrong or missing key; put it into {KEY}")
    if "space" in said.lower() or "disk" in said.lower():
        return disk_full(shown, said)
    return CollectionError(f"{shown}: Qdrant refused: {error.status_code} {said}")
