"""What the collections on a Qdrant server were made with.

Beside a collection stands a small one, NAME.resight, that says it: one point has the identity, the
others what was fitted, in parts.
"""

import base64
import secrets
from typing import Any

from qdrant_client import QdrantClient, models

from resight.backends.identity import Identity
from resight.backends.qdrant import points
from resight.backends.remote_base import RemoteState, from_said, to_said
from resight.backends.store import Layout
from resight.config import BackendConfig

PART_BYTES = 1 << 20
"""What was fitted is kept in parts of this size: a request has its limits."""
IDENTITY_ID = 1
FITTED_IDS: dict[str, int] = {
    "selection": 1_000,
    "learned": 2_000_000,
    "network": 3_000_000,
}
"""The numbers of the first parts."""


def beside(collection: str) -> str:
    """The name of the small collection beside one."""
    return f"{collection}.resight"


def said(client: QdrantClient, collection: str) -> dict[str, Any] | None:
    """What is said of a collection now; None where it is not there."""
    if not client.collection_exists(beside(collection)):
        return None
    found = client.retrieve(beside(collection), [IDENTITY_ID], with_payload=True)
    return found[0].payload if found else None


def look(client: QdrantClient, collection: str, shown: str) -> RemoteState[str] | None:
    """The same with what was fitted; `shown` names the collection in messages."""
    found = said(client, collection)
    if found is None:
        return None
    data = {name: _fitted(client, collection, name, n) for name, n in found["parts"].items()}
    return from_said(found["token"], shown, found, data)


def create(
    client: QdrantClient,
    collection: str,
    identity: Identity,
    layout: Layout,
    config: BackendConfig,
    *,
    indexed: bool,
) -> None:
    """Make a collection, empty, and the one beside it; the identity comes last."""
    for name, settings in (
        (collection, points.settings(layout, config)),
        (beside(collection), points.settings_beside(config)),
    ):
        if not client.collection_exists(name):
            client.create_collection(name, **settings)
    for field, kind in (points.PAYLOAD_INDEXES if indexed else {}).items():
        client.create_payload_index(collection, field, kind)
    parts: dict[str, int] = {}
    for name, data in identity.data.items():
        parts[name] = _keep(client, collection, name, data)
    payload = {
        **to_said(identity, layout, config),
        "token": secrets.token_hex(8),
        "change": secrets.token_hex(8),
        "parts": parts,
    }
    point = models.PointStruct(id=IDENTITY_ID, vector={}, payload=payload)
    client.upsert(beside(collection), [point], wait=True)


def drop(client: QdrantClient, collection: str) -> None:
    """Remove a collection; what it was made with goes first."""
    for name in (beside(collection), collection):
        if client.collection_exists(name):
            client.delete_collection(name)


def note_change(client: QdrantClient, collection: str) -> None:
    """Let others see that photos came or went."""
    change = {"change": secrets.token_hex(8)}
    client.set_payload(beside(collection), change, points=[IDENTITY_ID], wait=True)


def _keep(client: QdrantClient, collection: str, name: str, data: bytes) -> int:
    """Keep what was fitted; in how many parts."""
    starts = range(0, len(data), PART_BYTES)
    for number, start in enumerate(starts, FITTED_IDS[name]):
        text = base64.b64encode(data[start : start + PART_BYTES]).decode()
        point = models.PointStruct(id=number, vector={}, payload={"data": text})
        client.upsert(beside(collection), [point], wait=True)
    return len(starts)


def _fitted(client: QdrantClient, collection: str, name: str, parts: int) -> bytes:
    numbers = list(range(FITTED_IDS[name], FITTED_IDS[name] + parts))
    found = client.retrieve(beside(collection), numbers, with_payload=True)
    texts = {int(point.id): (point.payload or {})["data"] for point in found}
    return b"".join(base64.b64decode(texts[number]) for number in numbers)
