"""A collection in Qdrant: 8-bit codes return candidates, which the server compares exactly.

A photo is a point: its descriptors are named vectors, its payload describes the file. Evidence is
in a collection of its own.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from cachetools import LRUCache
from qdrant_client import QdrantClient, models

from resight.backends.file_names import has_name
from resight.backends.qdrant import evidence as kept_evidence
from resight.backends.qdrant import points, server
from resight.backends.remote import PAGE, SIDES, Layout, Record, Remote, RemoteState, database_from
from resight.backends.store import Filter
from resight.collection import Photo
from resight.collection.hints import Hint, Hints
from resight.collection.names import Names, Naming
from resight.collection.provenance import ProvenanceSnapshot
from resight.config import BackendConfig
from resight.errors import CollectionError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query, ranking

P = ParamSpec("P")
T = TypeVar("T")
Fields = bool | list[str]
"""All, none, or some fields of a payload or vectors of a point."""

UPSERT_POINTS = 250
"""Points in a request."""
POLL_S = 0.5
"""Seconds between requests for the progress of the index."""
MAX_INDEX_NEIGHBORS = 1000
"""Maximum number of neighbors from the index; for more, all photos are compared."""
MAX_NAMED = 8
"""Filters by name whose photos are remembered."""
TIES = 16
"""Points requested beyond the k nearest, because ties are sorted by ID."""


class QdrantStore(Remote):
    """A collection on a server; thread-safe."""

    def __init__(
        self, client: QdrantClient, collection: str, shown: str, *, indexed: bool = True
    ) -> None:
        self._client = client
        self._indexed = indexed  # a client without a server has no indexes
        self._collection = collection
        self.name = shown
        self._named: LRUCache[tuple[str, Filter], list[int]] = LRUCache(MAX_NAMED)
        self._named_lock = threading.Lock()

    @classmethod
    def connect(cls, address: str, collection: str, shown: str) -> "QdrantStore":
        """Return a collection, whether or not it exists."""
        indexed = not address.startswith("file:")
        return cls(server.open_client(address, shown), collection, shown, indexed=indexed)

    def close(self) -> None:
        self._client.close()

    # State

    def stamp(self) -> str:
        stored = self._call(server.read_metadata, self._client, self._collection)
        return "none" if stored is None else f"{stored['token']}-{stored['change']}"

    def _count(self) -> int:
        self._state()
        return self._call(self._client.count, self._collection).count

    def ids(self) -> np.ndarray:
        ids: list[int] = []
        while page := self._scroll(10_000, ids[-1] if ids else 0):
            ids += [int(point.id) for point in page]
        return np.array(ids, np.int64)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        stored = self._retrieve([int(id_) for id_ in ids], points.PHOTO)
        return {int(point.id): points.photo_of(point) for point in stored}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        return [points.photo_of(p) for p in self._scroll(count, after, points.PHOTO)]

    def photos_with(self, contents: Iterable[str]) -> list[Photo]:
        wanted = list(contents)
        where = models.Filter(should=[points.equals("content", content) for content in wanted])
        return self._scroll_photos(where) if wanted else []

    def details(self) -> dict[str, str]:
        config = self._state().config
        return {
            "backend": f"Qdrant {self._call(self._client.info).version}",
            "index": f"HNSW, {config.links} links, 8-bit codes, compared exactly",
            "shards": f"{config.shards}, {config.replicas} of each",
            "can be pulled": "yes" if self.layout().keeps_whole else "no",
        }

    def evidence(self, contents: Iterable[str]) -> dict[str, bytes]:
        return self._call(kept_evidence.read, self._client, self._collection, list(contents))

    def hints(self) -> Hints:
        stored = self._call(server.read_metadata, self._client, self._collection) or {}
        return Hints(map(Hint.from_dict, stored.get("hints", ())))

    def names(self) -> Names:
        stored = self._call(server.read_metadata, self._client, self._collection) or {}
        return Names(map(Naming.from_dict, stored.get("names", ())))

    # Searching

    def stored_query(self, content: str) -> Query | None:
        where = models.Filter(must=[points.equals("content", content)])
        stored = self._scroll(1, 0, vectors=list(self.layout().sides), where=where)
        return points.query_of(stored[0]) if stored else None

    def rows(self, ids: np.ndarray) -> Database:
        stored = self._retrieve(ids.tolist(), vectors=list(self.layout().sides))
        queries = {int(point.id): points.query_of(point) for point in stored}
        return database_from(ids, queries, self.layout())

    def _nearest(
        self, state: RemoteState, queries: Sequence[Query], k: int, where: Filter | None
    ) -> list[Neighbors]:
        self._check_unreplaced(state)
        params = None
        if self._indexed:
            params = points.search_params(state.config, exact=k > MAX_INDEX_NEIGHBORS)
        condition = self._condition(where)
        requests = [
            models.QueryRequest(
                query=np.asarray(values, np.float32).tolist(),
                using=side,
                limit=k + TIES,
                filter=condition,
                params=params,
            )
            for query in queries
            for side, values in zip(SIDES, (query.global_, query.local), strict=True)
            if values is not None and side in state.layout.sides
        ]
        answers = self._call(self._client.query_batch_points, self._collection, requests)
        sides = [answer.points for answer in answers]
        per_query = len(sides) // max(1, len(queries))
        cosine = state.layout.distance == "cosine"
        return [
            _merge_sides(sides[start : start + per_query], k, cosine=cosine)
            for start in range(0, len(sides), per_query or 1)
        ]

    # Writing

    def create(self, provenance: ProvenanceSnapshot, layout: Layout, config: BackendConfig) -> None:
        with server.explained(self.name):
            if not self._client.collection_exists(self._collection):
                settings = points.settings(layout, config)
                self._client.create_collection(self._collection, **settings)
            for field, kind in (points.PAYLOAD_INDEXES if self._indexed else {}).items():
                self._client.create_payload_index(self._collection, field, kind)
            kept_evidence.create(self._client, self._collection, config)
            server.write_metadata(self._client, self._collection, provenance, layout, config)
        self._cached_state = None

    def drop(self) -> None:
        """Remove the metadata, then the collection and its evidence."""
        collection = self._collection
        others = collection, kept_evidence.evidence_name(collection)
        with server.explained(self.name):
            for name in (server.metadata_name(collection), *others):
                if self._client.collection_exists(name):
                    self._client.delete_collection(name)
        self._cached_state = None

    def existing_paths(self, photos: Sequence[Photo]) -> set[Path]:
        located = self._locate(photos).items()
        return {photo.path for photo, (_, content) in located if content == photo.content}

    def upsert(self, records: Sequence[Record]) -> None:
        state = self._state()
        self._check_unreplaced(state)
        located = self._locate([record.photo for record in records])
        new = [points.point_of(located[r.photo][0], r, state.layout) for r in records]
        for start in range(0, len(new), UPSERT_POINTS):
            batch = new[start : start + UPSERT_POINTS]
            self._call(self._client.upsert, self._collection, batch, wait=True)
        self._remove_unused_evidence({c for p, (_, c) in located.items() if c != p.content})
        self._note_change()

    def without_evidence(self, contents: Collection[str]) -> set[str]:
        return self._call(kept_evidence.without, self._client, self._collection, contents)

    def add_evidence(self, evidence: Mapping[str, bytes]) -> None:
        config = self._state().config
        self._call(kept_evidence.create, self._client, self._collection, config)
        self._call(kept_evidence.add, self._client, self._collection, evidence)
        self._note_change()

    def store_hints(self, hints: Hints) -> None:
        self._store_with_metadata("hints", [hint.to_dict() for hint in hints])

    def store_names(self, names: Names) -> None:
        self._store_with_metadata("names", [naming.to_dict() for naming in names])

    def _store_with_metadata(self, key: str, values: list[dict[str, Any]]) -> None:
        self._state()
        self._call(server.write_values, self._client, self._collection, {key: values})
        self._note_change()

    def photos_where(self, where: Filter) -> list[Photo]:
        photos = self._scroll_photos(points.condition(where))
        return [p for p in photos if where.file_name is None or has_name(p.path, where.file_name)]

    def taken_times(self, photos: Sequence[Photo]) -> dict[int, datetime]:
        times: dict[int, datetime | None] = {}
        for start in range(0, len(photos), PAGE):
            ids = [photo.id for photo in photos[start : start + PAGE]]
            stored = self._retrieve(ids, ["taken"])
            times |= {int(point.id): points.taken_of(point) for point in stored}
        return {id_: time for id_, time in times.items() if time is not None}

    def remove(self, ids: Sequence[int]) -> None:
        contents = {(p.payload or {})["content"] for p in self._retrieve(list(ids), ["content"])}
        points_selector = models.PointIdsList(points=list(ids))
        self._call(self._client.delete, self._collection, points_selector, wait=True)
        self._remove_unused_evidence(contents)
        self._note_change()

    def build_index(self, progress: Progress) -> None:
        """Wait until the server has indexed all photos."""
        count, layout = self.count("ok"), self.layout()
        vectors = len(layout.sides) * (1 + layout.keeps_whole)
        while True:
            info = self._call(self._client.get_collection, self._collection)
            if info.status != models.CollectionStatus.YELLOW:
                return
            indexed = (info.indexed_vectors_count or 0) // vectors
            progress("building the index", min(indexed, count), count)
            time.sleep(POLL_S)

    def records(self, after: int, count: int) -> list[Record]:
        stored = self._scroll(count, after, True, vectors=True)
        return [points.record_of(point, self.layout()) for point in stored]

    # Requests

    def _read_state(self) -> RemoteState | None:
        return self._call(server.read_state, self._client, self._collection, self.name)

    def _check_unreplaced(self, state: RemoteState) -> None:
        """Refuse a collection that was replaced: its reduction may differ."""
        stored = self._call(server.read_metadata, self._client, self._collection)
        if stored is None or stored["token"] != state.key:
            self._cached_state = None
            raise CollectionError(f"{self.name}: was replaced or removed meanwhile; run again")

    def _remove_unused_evidence(self, contents: Collection[str | None]) -> None:
        """Remove the evidence of those of some contents that no photo has any more."""
        former = {content for content in contents if content is not None}
        if not former:
            return
        where = models.Filter(should=[points.equals("content", content) for content in former])
        used: set[str] = set()
        last_id = 0
        while page := self._scroll(PAGE, last_id, ["content"], where=where):
            used |= {(point.payload or {})["content"] for point in page}
            last_id = int(page[-1].id)
        self._call(kept_evidence.remove, self._client, self._collection, former - used)

    def _condition(self, where: Filter | None) -> models.Filter | None:
        """Return a filter in Qdrant's form; those by name list the IDs of all photos they match."""
        if where is None or where.file_name is None:
            return points.condition(where)
        key = self.stamp(), where
        with self._named_lock:
            ids = self._named.get(key)
        if ids is None:
            ids = [photo.id for photo in self.photos_where(where)]
            with self._named_lock:
                self._named[key] = ids
        return points.condition(None, ids)

    def _scroll_photos(self, where: models.Filter | None) -> list[Photo]:
        """Return the photos that match a filter, by ascending ID."""
        photos: list[Photo] = []
        while page := self._scroll(PAGE, photos[-1].id if photos else 0, points.PHOTO, where=where):
            photos += map(points.photo_of, page)
        return photos

    def _locate(self, photos: Sequence[Photo]) -> dict[Photo, tuple[int, str | None]]:
        """Return the ID of each photo's point, and the content that is stored there, if any."""
        return points.locate(photos, lambda ids: self._retrieve(ids, points.PHOTO))

    def _retrieve(
        self, ids: list[int], payload: Fields = False, *, vectors: Fields = False
    ) -> list[models.Record]:
        self._state()
        return self._call(
            self._client.retrieve, self._collection, ids, with_payload=payload, with_vectors=vectors
        )

    def _scroll(
        self,
        count: int,
        after: int,
        payload: Fields = False,
        *,
        vectors: Fields = False,
        where: models.Filter | None = None,
    ) -> list[models.Record]:
        """Return the next points by ascending ID."""
        self._state()
        page, _ = self._call(
            self._client.scroll,
            self._collection,
            where,
            limit=count,
            offset=after + 1,
            with_payload=payload,
            with_vectors=vectors,
        )
        return page

    def _note_change(self) -> None:
        self._call(server.note_change, self._client, self._collection)

    def _call(self, request: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a request; its errors become a `CollectionError`."""
        with server.explained(self.name):
            return request(*args, **kwargs)


def _merge_sides(
    sides: Sequence[Sequence[models.ScoredPoint]], k: int, *, cosine: bool
) -> Neighbors:
    """Return the nearest photos by the smaller of their global and local distances.

    A photo on only one list is farther by the other descriptor than everything on that other list.
    """
    smallest: dict[int, float] = {}
    for side in sides:
        for point in side:
            distance = min(2.0, max(0.0, 1 - point.score)) if cosine else point.score
            smallest[int(point.id)] = min(distance, smallest.get(int(point.id), np.inf))
    ids = np.array(list(smallest), np.int64)
    distances = np.array(list(smallest.values()), np.float32)
    order = ranking(distances, ids, k)
    return Neighbors(ids[order], distances[order])
