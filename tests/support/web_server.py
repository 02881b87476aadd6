"""A server on a free port of this machine, for the tests of the web interface."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from resight.collection import Collection
from resight.config import ExtractionConfig, LocalConfig
from resight.indexing import pipeline
from resight.methods.model import ModelOptions
from resight.web import WebSettings
from resight.web.app import create_app
from resight.web.app_state import AppState
from resight.web.server import create_server

V1 = "/api/v1"


@dataclass(frozen=True)
class Running:
    """A running server: its address, the state of its application, and a client."""

    url: str
    port: int
    state: AppState
    client: httpx.Client

    def search(self, status: int = 200, **query: Any) -> dict[str, Any]:
        """Search in JSON."""
        return checked(self.client.post(f"{V1}/search", json=query), status)

    def upload(self, photo: bytes | Path, status: int = 200, **fields: Any) -> dict[str, Any]:
        """Search with an upload."""
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        texts = {name: str(value) for name, value in fields.items()}
        files = {"file": ("photo.jpg", data, "image/jpeg")}
        return checked(self.client.post(f"{V1}/search", files=files, data=texts), status)

    def same(self, status: int = 200, **pair: Any) -> dict[str, Any]:
        """Decide on two photos."""
        return checked(self.client.post(f"{V1}/same", json=pair), status)

    def get(self, path: str, status: int = 200, **parameters: Any) -> dict[str, Any]:
        """Read JSON."""
        return checked(self.client.get(f"{V1}{path}", params=parameters), status)


@dataclass(frozen=True)
class OwnServer:
    """A server of a collection and photos that a test may change."""

    server: Running
    collection: Path
    photos: Path


def checked(response: httpx.Response, status: int) -> dict[str, Any]:
    """Return the JSON of a response of this status; an error must be a problem with a sentence."""
    assert response.status_code == status, response.text
    if status < 400:
        return response.json()
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    # A sentence, and no internals of the server.
    assert problem["detail"][0].isupper() or problem["detail"].split(":")[0].islower()
    assert " " in problem["detail"]
    assert problem["detail"].endswith((".", ")"))
    for internal in ("Traceback", "/tmp", "resight-uploads", ".py", "--"):
        assert internal not in problem["detail"]
    return problem


@contextlib.contextmanager
def running(
    collection: Path | str, model: ModelOptions | None = None, **settings: Any
) -> Iterator[Running]:
    """Run a server in a thread of this process until the block ends; without a token by default."""
    server_settings = WebSettings(**{"token": None, **settings})
    app = create_app(collection, server_settings, model)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = create_server(app, server_settings)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            assert client.get(f"{V1}/health").json() == {"status": "ok"}
            yield Running(url, port, app.state.shared, client)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def ids_of(collection: Path) -> dict[str, int]:
    """Return the ids of a collection's photos by their paths."""
    with Collection.open(collection) as opened:
        return {str(photo.path): photo.id for photo in opened.photos("ok")}


def make_photos(folder: Path, objects: int = 4) -> Path:
    """Draw a few of the demo's pictures: three views of each object, and three of clutter."""
    from resight.demo import draw_collection

    return draw_collection(folder, objects=objects, views=3, clutter=3).parent


def make_sift_collection(folder: Path, photos: Path, centers: int = 16) -> Path:
    """Index a small collection that needs no network."""
    pipeline.index(
        [photos], folder, config=LocalConfig(method="sift-vlad", centers=centers, longest_side=240)
    )
    return folder


def make_cnn_collection(folder: Path, photos: Path, weights: Path, **config: Any) -> Path:
    """Index a small collection with a network of random weights."""
    method = ExtractionConfig(resolutions=(128, 96), **config)
    pipeline.index([photos], folder, config=method, model=ModelOptions(weights, "cpu"))
    return folder
