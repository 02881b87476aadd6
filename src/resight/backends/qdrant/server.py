"""Clients of a Qdrant server, readable messages for its errors, and the collections' metadata.

Next to each collection there is a small one, NAME.resight: one point holds the provenance, the
others the fitted data, in chunks.
"""

import base64
import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx
from pydantic import ValidationError
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from resight.backends.remote import (
    Layout,
    RemoteState,
    damaged,
    disk_full,
    state_from_json,
    state_to_json,
    unreachable,
)
from resight.collection.provenance import ProvenanceSnapshot
from resight.config import BackendConfig
from resight.errors import CollectionError, CollectionLockedError

OLDEST = (1, 12)
"""The oldest supported version."""
TIMEOUT_S = 60
KEY = "QDRANT_API_KEY"
CHUNK_BYTES = 1 << 20
"""Size of the chunks of fitted data; the size of requests is limited."""
METADATA_ID = 1
FIRST_CHUNK_IDS: dict[str, int] = {"selection": 1_000, "learned": 2_000_000, "network": 3_000_000}


def open_client(address: str, shown: str) -> QdrantClient:
    """Return a client of a server, or (`file://`) one that needs no server.

    Raises:
        CollectionError: there is no server, it is too old, or the key is wrong.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        with explained(shown):
            return _open_folder(unquote(parts.path), shown)
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


def _open_folder(path: str, shown: str) -> QdrantClient:
    """Return a client that needs no server."""
    try:
        return QdrantClient(path=path)
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


def metadata_name(collection: str) -> str:
    """Return the name of the small collection with a collection's metadata."""
    return f"{collection}.resight"


def read_metadata(client: QdrantClient, collection: str) -> dict[str, Any] | None:
    """Return the current metadata of a collection; None where there is no collection."""
    name = metadata_name(collection)
    if not client.collection_exists(name):
        return None
    points = client.retrieve(name, [METADATA_ID], with_payload=True)
    return points[0].payload if points else None


def read_state(client: QdrantClient, collection: str, shown: str) -> RemoteState | None:
    """Return the metadata with the fitted data; `shown` names the collection in messages."""
    metadata = read_metadata(client, collection)
    if metadata is None:
        return None
    data = {
        name: _read_fitted(client, collection, name, chunks)
        for name, chunks in metadata["parts"].items()
    }
    return state_from_json(metadata["token"], shown, metadata, data)


def write_metadata(
    client: QdrantClient,
    collection: str,
    provenance: ProvenanceSnapshot,
    layout: Layout,
    config: BackendConfig,
) -> None:
    """Create and fill the metadata of a collection; the provenance comes last."""
    name = metadata_name(collection)
    if not client.collection_exists(name):
        client.create_collection(
            name, vectors_config={}, shard_number=1, replication_factor=config.replicas
        )
    chunks = {
        part: _write_fitted(client, collection, part, data)
        for part, data in provenance.data.items()
    }
    payload = {
        **state_to_json(provenance, layout, config),
        "token": secrets.token_hex(8),
        "change": secrets.token_hex(8),
        "parts": chunks,
    }
    point = models.PointStruct(id=METADATA_ID, vector={}, payload=payload)
    client.upsert(name, [point], wait=True)


def note_change(client: QdrantClient, collection: str) -> None:
    """Change the stamp, because photos were added or removed."""
    change = {"change": secrets.token_hex(8)}
    client.set_payload(metadata_name(collection), change, points=[METADATA_ID], wait=True)


def write_values(client: QdrantClient, collection: str, values: dict[str, Any]) -> None:
    """Store values with the metadata, such as hints."""
    client.set_payload(metadata_name(collection), values, points=[METADATA_ID], wait=True)


def _write_fitted(client: QdrantClient, collection: str, name: str, data: bytes) -> int:
    """Write fitted data in chunks; return their number."""
    starts = range(0, len(data), CHUNK_BYTES)
    for id_, start in enumerate(starts, FIRST_CHUNK_IDS[name]):
        text = base64.b64encode(data[start : start + CHUNK_BYTES]).decode()
        point = models.PointStruct(id=id_, vector={}, payload={"data": text})
        client.upsert(metadata_name(collection), [point], wait=True)
    return len(starts)


def _read_fitted(client: QdrantClient, collection: str, name: str, chunks: int) -> bytes:
    ids = list(range(FIRST_CHUNK_IDS[name], FIRST_CHUNK_IDS[name] + chunks))
    points = client.retrieve(metadata_name(collection), ids, with_payload=True)
    texts = {int(point.id): (point.payload or {})["data"] for point in points}
    return b"".join(base64.b64decode(texts[id_]) for id_ in ids)
