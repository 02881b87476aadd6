"""What the endpoints of one server share."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.responses import JSONResponse, Response

from resight.backends.addresses import parse_address
from resight.methods.factory import ModelOptions
from resight.networks.weights import user_cache
from resight.web.jobs import Jobs
from resight.web.limits import Counter, RequestQueue
from resight.web.metrics import Metrics
from resight.web.search_service import Engine
from resight.web.settings import WebSettings
from resight.web.thumbnails import Thumbnails
from resight.web.uploads import Uploads

MAX_LOOKUPS = 512
"""Requests that only read the database or a small file may wait in such numbers."""


@dataclass(frozen=True)
class Context:
    """A server's collection, settings, shared state and queues.

    Searches that need the network queue apart from pictures to decode, and both from look-ups:
    a page still scrolls while many search.
    """

    name: str
    place: str
    settings: WebSettings
    model: ModelOptions
    engine: Engine
    uploads: Uploads
    thumbnails: Thumbnails
    jobs: Jobs
    metrics: Metrics
    arriving: Counter
    searches: RequestQueue
    pictures: RequestQueue
    lookups: RequestQueue
    fetches: RequestQueue
    grouping: RequestQueue

    @classmethod
    def create(cls, place: Path | str, settings: WebSettings, model: ModelOptions) -> "Context":
        """All of it, for a collection in a folder or on an engine."""
        engine, address = Engine(place, model), parse_address(str(place))
        folder = Path(place)
        if address is not None:
            digest = hashlib.sha256(address.shown.encode()).hexdigest()
            folder = user_cache() / "engines" / digest[:16]
        return cls(
            name=folder.resolve().name if address is None else address.collection,
            place=str(place) if address is None else address.shown,
            settings=settings,
            model=model,
            engine=engine,
            uploads=Uploads(settings),
            thumbnails=Thumbnails(folder, settings.thumbnail_bytes),
            jobs=Jobs(engine.refresh, with_paths=settings.local_only),
            metrics=Metrics(),
            arriving=Counter(settings.max_uploads, "uploads"),
            searches=RequestQueue("search", 2, settings.max_waiting),
            pictures=RequestQueue("picture", 2, MAX_LOOKUPS),
            lookups=RequestQueue("lookup", 4, MAX_LOOKUPS),
            fetches=RequestQueue("fetch", 4, 16),
            grouping=RequestQueue("group", 1, 16),
        )

    def stop(self) -> None:
        """Begin to stop: jobs end after the photo they are at, what waits is refused."""
        self.jobs.stop()
        for gate in self._gates:
            gate.stop()

    def close(self) -> None:
        """Wait for what runs; remove what was kept for a while."""
        self.jobs.close()
        for gate in self._gates:
            gate.close()
        self.engine.close()
        self.uploads.close()

    @property
    def _gates(self) -> tuple[RequestQueue, ...]:
        return self.searches, self.pictures, self.lookups, self.fetches, self.grouping


def json_answer(content: dict[str, Any], status: int = 200) -> Response:
    """JSON as the command line prints it: numbers are written the same, digit by digit."""
    return JSONResponse(content, status)


def if_none_match(header: str | None, etag: str) -> bool:
    """Whether a client that sends this `If-None-Match` has the current version."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags
