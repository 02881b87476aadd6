"""Small collections with given descriptors, and stores on every backend."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from edge_client import EdgeClient
from postgres_server import PostgresServer
from resight.backends.local import LocalStore
from resight.backends.postgres import PostgresStore
from resight.backends.qdrant import QdrantStore
from resight.backends.remote import Remote
from resight.backends.store import Store
from resight.backends.transfer import prepare, upload
from resight.collection import Collection, Photo
from resight.collection.writer import Writer, writing
from resight.config import (
    BackendConfig,
    ExtractionConfig,
    SelectionConfig,
    WccnConfig,
    WhiteningConfig,
)
from resight.descriptors.extractor import Description
from resight.methods.model import Model
from resight.reductions import Reduction
from resight.reductions.pfa import Selection
from resight.reductions.wccn import Correction, Wccn
from resight.reductions.whitening import Whitening

SELECTED = np.arange(1, 12, 2)
"""The values that the samples' selection keeps of twelve."""
MODEL = Model("ab" * 32)
MEMORY = Path("/dev/shm")
NUMBERS = itertools.count(1)
KINDS = ["local", "postgres", "qdrant-client", "qdrant-engine", "qdrant-server"]


@dataclass
class Sample:
    """A collection of nonexistent photos, with random descriptors of twelve values."""

    folder: Path
    global_: np.ndarray
    local: np.ndarray | None
    paths: list[Path] = field(default_factory=list)


def make(
    folder: Path,
    count: int = 40,
    *,
    cam: bool = False,
    whitened: bool = False,
    adapted: bool = False,
    seed: int = 0,
    model: Model = MODEL,
    keep: np.ndarray = SELECTED,
    **config: Any,
) -> Sample:
    """Create a collection; every tenth photo is a copy of the previous one."""
    rng = np.random.default_rng(seed)
    global_ = rng.random((count, 12)).astype(np.float32)
    global_[5::10] = global_[4::10][: len(global_[5::10])]
    local = rng.random((count, 12)).astype(np.float32) if cam else None
    if local is not None:
        local[5::10] = local[4::10][: len(local[5::10])]
    sample = Sample(folder, global_, local)
    reduction: Reduction = Selection(keep)
    reduction_config: Any = SelectionConfig(features=len(keep))
    if whitened:
        parts = rng.normal(size=(12, 6)).astype(np.float32)
        reduction = Whitening(global_.mean(axis=0), (parts,))
        reduction_config = WhiteningConfig(features=6)
    if adapted:
        projection = Whitening(global_.mean(axis=0), (rng.normal(size=(12, 6)).astype(np.float32),))
        references = projection.apply(rng.random((30, 12)))
        reduction = Wccn(projection, Correction(references, 4, 0.5, 0.4))
        reduction_config = WccnConfig(features=6, neighbors=4)
    values = reduction.dimensions
    with writing(folder, (ExtractionConfig(cam=cam, **config), reduction_config)) as writer:
        writer.bind_model(model)
        writer.store_reduction(reduction, reduction_config, {"photos": count, "values": values})
        record(writer, sample, *range(count))
    return sample


def record(writer: Writer, sample: Sample, *rows: int, content: str | None = None) -> None:
    """Record photos of a sample in its collection, ten in each folder."""
    photos = []
    for row in rows:
        path = Path(f"/photos/{row // 10}/{row}.jpg")
        if row not in range(len(sample.paths)):
            sample.paths.append(path)
        local = None if sample.local is None else sample.local[row]
        sha256 = content or f"{row:064x}"
        photo = Photo(0, path, 100 + row, 1000 + row, sha256, 640, 480, "ok", None)
        photos.append((photo, Description(sample.global_[row], local)))
    writer.import_photos(photos)


class Stores:
    """Opens stores on one backend, and closes them."""

    def __init__(self, kind: str, postgres: Callable[[], PostgresServer]) -> None:
        self.kind = kind
        self._postgres = postgres
        self._stack = ExitStack()

    @property
    def is_local(self) -> bool:
        return self.kind == "local"

    def of(self, sample: Sample) -> Store:
        """Return a store with everything in a collection."""
        if self.is_local:
            collection = self._stack.enter_context(Collection.open(sample.folder))
            return LocalStore(collection)
        remote = self.remote()
        self.send(sample, remote)
        return remote

    def send(self, sample: Sample, remote: Remote) -> Any:
        """Upload a collection."""
        with Collection.open(sample.folder) as opened:
            prepare(opened, remote, BackendConfig())
            done = upload(opened, remote)
        remote.build_index(lambda what, done, total: None)
        return done

    def remote(self, name: str | None = None) -> Remote:
        """Return a new remote collection, or the one of a name."""
        store = self._open(name or f"sample-{os.getpid()}-{next(NUMBERS)}")
        self._stack.callback(store.close)
        if self.kind == "qdrant-server":
            self._stack.callback(store.drop)
        return store

    def forget_evidence(self, remote: Remote) -> None:
        """Remove where a remote collection keeps evidence."""
        if isinstance(remote, PostgresStore):
            ((key,),) = self._postgres().execute(
                "SELECT id FROM resight.collections WHERE name = "
                f"'{remote.name.rpartition('/')[2]}'"
            )
            self._postgres().execute(f"DROP TABLE resight.evidence_{key}")
        elif isinstance(remote, QdrantStore):
            remote._client.delete_collection(f"{remote._collection}.evidence")

    def indexed(self, remote: Remote) -> int:
        """Return the number of descriptors in the index of Qdrant's engine."""
        return self._edge().indexed_vectors(remote.name.rpartition("/")[2])

    def _open(self, name: str) -> Remote:
        if self.kind == "postgres":
            address = f"postgresql://postgres@/postgres?host={self._postgres().socket}"
            return PostgresStore(address, name, f"postgresql:///postgres/{name}")
        if self.kind == "qdrant-client":
            return QdrantStore(self._client(), name, f"memory/{name}", indexed=False)
        if self.kind == "qdrant-engine":
            return QdrantStore(self._edge(), name, f"engine/{name}")
        url = os.environ["QDRANT_URL"]
        return QdrantStore.connect(url, name, f"qdrant+{url}/{name}")

    def _client(self) -> QdrantClient:
        if not hasattr(self, "_memory"):
            self._memory = QdrantClient(":memory:")
        return self._memory

    def _edge(self) -> Any:
        if not hasattr(self, "_engine"):
            # In memory: syncing many small files to a disk is slow.
            folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
            self._engine = EdgeClient(Path(self._stack.enter_context(folder)))
            self._stack.callback(self._engine.close)
        return self._engine

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Return stores on every backend in turn."""
    kind = request.param
    if kind == "qdrant-server" and "QDRANT_URL" not in os.environ:
        pytest.skip("no Qdrant server: set QDRANT_URL")
    found = Stores(kind, lambda: request.getfixturevalue("postgres"))
    yield found
    found.close()
