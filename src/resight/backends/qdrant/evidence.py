"""The evidence of a collection's photos in Qdrant: a collection of its own, NAME.evidence.

It has no vectors, and a point for each content, so copies share one. Apart from the photos' points,
it is neither read nor moved when those are. Collections that an older version pushed have it only
once evidence is added.
"""

import base64
import itertools
import uuid
from collections.abc import Collection, Iterator, Mapping

from qdrant_client import QdrantClient, models

from resight.config import BackendConfig

REQUEST_POINTS = 250
"""Points in a request, some 8 MB."""


def evidence_name(collection: str) -> str:
    """Return the name of the collection with a collection's evidence."""
    return f"{collection}.evidence"


def create(client: QdrantClient, collection: str, config: BackendConfig) -> None:
    """Create the collection of the evidence, unless it exists."""
    name = evidence_name(collection)
    if not client.collection_exists(name):
        client.create_collection(
            name,
            vectors_config={},
            shard_number=config.shards,
            replication_factor=config.replicas,
            on_disk_payload=True,
        )


def read(client: QdrantClient, collection: str, contents: Collection[str]) -> dict[str, bytes]:
    """Return the stored evidence by content; contents without evidence are omitted."""
    return {
        content: base64.b64decode((point.payload or {})["data"])
        for content, point in _stored(client, collection, contents, payload=True)
    }


def without(client: QdrantClient, collection: str, contents: Collection[str]) -> set[str]:
    """Return those of some contents that have no evidence."""
    stored = _stored(client, collection, contents, payload=False)
    return set(contents) - {content for content, _ in stored}


def add(client: QdrantClient, collection: str, evidence: Mapping[str, bytes]) -> None:
    """Add evidence by content."""
    for batch in _batches(evidence):
        points = [
            models.PointStruct(
                id=_point_id(content),
                vector={},
                payload={"data": base64.b64encode(evidence[content]).decode()},
            )
            for content in batch
        ]
        client.upsert(evidence_name(collection), points, wait=True)


def remove(client: QdrantClient, collection: str, contents: Collection[str]) -> None:
    """Remove the evidence of some contents."""
    name = evidence_name(collection)
    if contents and client.collection_exists(name):
        client.delete(name, models.PointIdsList(points=list(map(_point_id, contents))), wait=True)


def _stored(
    client: QdrantClient, collection: str, contents: Collection[str], *, payload: bool
) -> Iterator[tuple[str, models.Record]]:
    """Yield the contents that have evidence, and its points."""
    name = evidence_name(collection)
    if not contents or not client.collection_exists(name):
        return
    for batch in _batches(contents):
        by_id = {_point_id(content): content for content in batch}
        for point in client.retrieve(name, list(by_id), with_payload=payload):
            yield by_id[str(point.id)], point


def _point_id(content: str) -> str:
    """Return the ID of a content's point: half of its SHA-256, as a UUID."""
    return str(uuid.UUID(content[-32:]))


def _batches(contents: Collection[str]) -> Iterator[list[str]]:
    remaining = iter(contents)
    while batch := list(itertools.islice(remaining, REQUEST_POINTS)):
        yield batch
