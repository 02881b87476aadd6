"""Metadata of the collections on a Qdrant server.

Next to each collection there is a small one, NAME.resight: one point holds the provenance, the
others the fitted data, in chunks.
"""

import base64
import secrets
from typing import Any

from qdrant_client import QdrantClient, models

from resight.backends.remote_base import RemoteState, state_from_json, state_to_json
from resight.backends.store import Layout
from resight.collection.provenance import ProvenanceSnapshot
from resight.config import BackendConfig

CHUNK_BYTES = 1 << 20
"""Size of the chunks of fitted data; the size of requests is limited."""
METADATA_ID = 1
FIRST_CHUNK_IDS: dict[str, int] = {
    "selection": 1_000,
    "learned": 2_000_000,
    "network": 3_000_000,
}


def metadata_name(collection: str) -> str:
    """Return the name of the small collection with a collection's metadata."""
    return f"{collection}.resight"


def read(client: QdrantClient, collection: str) -> dict[str, Any] | None:
    """Return the current metadata of a collection; None where there is no collection."""
    name = metadata_name(collection)
    if not client.collection_exists(name):
        return None
    points = client.retrieve(name, [METADATA_ID], with_payload=True)
    return points[0].payload if points else None


def read_state(client: QdrantClient, collection: str, shown: str) -> RemoteState[str] | None:
    """Return the metadata with the fitted data; `shown` names the collection in messages."""
    metadata = read(client, collection)
    if metadata is None:
        return None
    data = {
        name: _read_fitted(client, collection, name, chunks)
        for name, chunks in metadata["parts"].items()
    }
    return state_from_json(metadata["token"], shown, metadata, data)


def write(
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
