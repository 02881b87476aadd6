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
"""The oldest supported version."""
TIMEOUT_S = 60
KEY = "QDRANT_API_KEY"


def open_client(address: str, shown: str) -> QdrantClient:
    """Return a client of a server, or (`file://`) one that needs no server.

    Raises:
        CollectionError: there is no server, it is too old, or the key is wrong.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        with explained(shown), _folder_explained(shown):
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
    """Turn errors of the server and the network into a `CollectionError` of one line."""
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
def _folder_explained(shown: str) -> Iterator[None]:
    """Turn errors of opening a folder without a server into a `CollectionError`."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise damaged(shown, str(error)) from error
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise CollectionLockedError(
            f"{shown}: another process has this folder open; only a server serves several"
        ) from error


def _unreachable(shown: str, error: Exception) -> CollectionError:
    if isinstance(error, ValidationError):
        return CollectionError(f"{shown}: the server there is not Qdrant")
    return unreachable(shown, "Qdrant", str(error) or type(error).__name__)


def _refusal(shown: str, error: UnexpectedResponse) -> CollectionError:
    """Return the error for a server's refusal."""
    answer = error.content.decode("utf-8", "replace")
    if error.status_code in (401, 403):
        return CollectionError(f"{shown}: wrong or missing key; put it into {KEY}")
    if "space" in answer.lower() or "disk" in answer.lower():
        return disk_full(shown, answer)
    return CollectionError(f"{shown}: Qdrant refused: {error.status_code} {answer}")
