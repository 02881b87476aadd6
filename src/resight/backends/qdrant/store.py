"""A collection in Qdrant.

A photo is a point: its descriptors are named vectors, its payload says where the file lies.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models

from resight.backends.identity import Identity
from resight.backends.qdrant import catalog, points
from resight.backends.qdrant import search as searching
from resight.backends.qdrant.server import explained, open_client
from resight.backends.remote_base import RemoteBase, RemoteState
from resight.backends.store import PAGE, Filter, Layout, Record, check_queries
from resight.collection.reader import Photo, State
from resight.config import BackendConfig
from resight.errors import CollectionError
from resight.progress import Progress
from resight.ranking.exact import Database, Neighbors, Query

UPLOADED = 250
"""Points in a request."""
GREEN_S = 0.5
"""How often a server is asked whether it has linked all photos."""


class QdrantStore(RemoteBase[str]):
    """A collection by its name on a server; thread-safe."""

    def __init__(
        self, client: QdrantClient, collection: str, shown: str, *, indexed: bool = True
    ) -> None:
        """Connect to nothing yet.

        Args:
            client: of a server, or a local one.
            collection: its name.
            shown: how messages name it.
            indexed: whether there are indexes; a client without a server has none.
        """
        self._client = client
        self._indexed = indexed
        self._collection = collection
        self._shown = shown

    @classmethod
    def connect(cls, address: str, collection: str, shown: str) -> "QdrantStore":
        """A collection that is there or not."""
        indexed = not address.startswith("file:")
        return cls(open_client(address, shown), collection, shown, indexed=indexed)

    @property
    def name(self) -> str:
        """The address, without any key."""
        return self._shown

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # What it is

    def stamp(self) -> str:
        """Changes with every push and removal."""
        with explained(self.name):
            said = catalog.said(self._client, self._collection)
        return "none" if said is None else f"{said['token']}-{said['change']}"

    def count(self, state: State) -> int:
        """How many photos there are; failed ones are not pushed."""
        self._kept()
        with explained(self.name):
            return 0 if state == "failed" else self._client.count(self._collection).count

    def ids(self) -> np.ndarray:
        """The ids of all photos, ascending."""
        found: list[int] = []
        while page := self._scroll(10_000, found[-1] if found else 0):
            found += [int(point.id) for point in page]
        return np.array(found, np.int64)

    def photos_by_id(self, ids: Iterable[int]) -> dict[int, Photo]:
        """Those of some photos that are there, by id."""
        found = self._retrieve([int(id_) for id_ in ids], points.PHOTO)
        return {int(point.id): points.photo_of(point) for point in found}

    def photos_after(self, after: int, count: int) -> list[Photo]:
        """The next photos by ascending id."""
        return [points.photo_of(p) for p in self._scroll(count, after, points.PHOTO)]

    def about(self) -> dict[str, str]:
        """The server's version, and how the collection is spread over it."""
        kept = self._kept()
        with explained(self.name):
            version = self._client.info().version
        config = kept.config
        return {
            "engine": f"Qdrant {version}",
            "index": f"HNSW, {config.links} links, 8-bit codes, compared exactly",
            "shards": f"{config.shards}, {config.replicas} of each",
            "can be pulled": "yes" if kept.layout.keeps_whole else "no",
        }

    def bytes_on_disk(self) -> None:
        """Qdrant does not say."""

    # Searching

    def known(self, content: str) -> Query | None:
        """The descriptors of a content."""
        where = models.Filter(must=[points.is_content(content)])
        found = self._scroll(1, 0, vectors=self._sides(), where=where)
        return points.query_of(found[0]) if found else None

    def rows(self, ids: np.ndarray) -> Database:
        """The descriptors of photos, in the order of the ids."""
        found = self._retrieve(ids.tolist(), vectors=True)
        return points.database_of(found, ids, self.layout())

    def nearest(
        self,
        queries: Sequence[Query],
        k: int,
        where: Filter | None = None,
        *,
        approximate: bool = False,
    ) -> list[Neighbors]:
        """The k nearest photos to each query; codes find candidates, which are compared exactly."""
        kept = self._kept()
        check_queries(self.name, queries, kept.layout.dimensions)
        self._check_unreplaced(kept)
        with explained(self.name):
            return searching.nearest(
                self._client, self._collection, kept, queries, k, where, indexed=self._indexed
            )

    # Writing

    def create(self, identity: Identity, layout: Layout, config: BackendConfig) -> None:
        """Make the collection and the one beside it."""
        with explained(self.name):
            catalog.create(
                self._client, self._collection, identity, layout, config, indexed=self._indexed
            )
        self._known = None

    def drop(self) -> None:
        """Remove the collection and the one beside it."""
        with explained(self.name):
            catalog.drop(self._client, self._collection)
        self._known = None

    def present(self, photos: Sequence[Photo]) -> set[Path]:
        """The paths of those that are there with the same content."""
        return {photo.path for photo, (_, same) in self._places(photos).items() if same}

    def add(self, records: Sequence[Record]) -> None:
        """Add or replace photos."""
        kept = self._kept()
        self._check_unreplaced(kept)
        places = self._places([record.photo for record in records])
        found = [points.point_of(places[r.photo][0], r, kept.layout) for r in records]
        with explained(self.name):
            for start in range(0, len(found), UPLOADED):
                self._client.upsert(self._collection, found[start : start + UPLOADED], wait=True)
        self._changed()

    def photos_under(self, place: Path) -> list[Photo]:
        """The photos at or below a path, by ascending id."""
        where, found = points.condition(Filter(under=place)), list[Photo]()
        while page := self._scroll(PAGE, found[-1].id if found else 0, points.PHOTO, where=where):
            found += map(points.photo_of, page)
        return found

    def remove(self, ids: Sequence[int]) -> None:
        """Forget photos."""
        self._kept()
        with explained(self.name):
            self._client.delete(self._collection, models.PointIdsList(points=list(ids)), wait=True)
        self._changed()

    def finish(self, progress: Progress) -> None:
        """Wait until the server has linked all photos."""
        count, layout = self.count("ok"), self.layout()
        vectors = len(layout.sides) * (1 + layout.keeps_whole)
        while True:
            with explained(self.name):
                found = self._client.get_collection(self._collection)
            if found.status != models.CollectionStatus.YELLOW:
                return
            linked = (found.indexed_vectors_count or 0) // vectors
            progress("linking neighbours", min(linked, count), count)
            time.sleep(GREEN_S)

    def records(self, after: int, count: int) -> list[Record]:
        """The next photos by ascending id, with all their descriptors."""
        found = self._scroll(count, after, True, vectors=True)
        return [points.record_of(point, self.layout()) for point in found]

    # How it is done

    def _look(self) -> RemoteState[str] | None:
        with explained(self.name):
            return catalog.look(self._client, self._collection, self.name)

    def _check_unreplaced(self, kept: RemoteState[str]) -> None:
        """Refuse to go on with what was replaced meanwhile: its selection may be another."""
        with explained(self.name):
            said = catalog.said(self._client, self._collection)
        if said is None or said["token"] != kept.key:
            self._known = None
            raise CollectionError(f"{self.name}: was replaced or removed meanwhile; run again")

    def _places(self, photos: Sequence[Photo]) -> dict[Photo, tuple[int, bool]]:
        """The point of each photo, and whether it is there with the same content."""
        return points.places(photos, lambda ids: self._retrieve(ids, points.PHOTO))

    def _sides(self) -> list[str]:
        return list(self.layout().sides)

    def _retrieve(
        self, ids: list[int], payload: bool | list[str] = False, *, vectors: bool = False
    ) -> list[models.Record]:
        self._kept()
        sides = self._sides() if vectors else False
        with explained(self.name):
            return self._client.retrieve(
                self._collection, ids, with_payload=payload, with_vectors=sides
            )

    def _scroll(
        self,
        count: int,
        after: int,
        payload: bool | list[str] = False,
        *,
        vectors: bool | list[str] = False,
        where: models.Filter | None = None,
    ) -> list[models.Record]:
        """The next points by ascending number."""
        self._kept()
        with explained(self.name):
            found, _ = self._client.scroll(
                self._collection,
                where,
                limit=count,
                offset=after + 1,
                with_payload=payload,
                with_vectors=vectors,
            )
        return found

    def _changed(self) -> None:
        with explained(self.name):
            catalog.note_change(self._client, self._collection)
