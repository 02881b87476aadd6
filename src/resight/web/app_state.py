"""State that the endpoints of one server share."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from resight.backends.open import parse_address
from resight.backends.store import Store
from resight.files import user_cache
from resight.methods.model import ModelOptions
from resight.web.metrics import Metrics
from resight.web.pictures import Thumbnails
from resight.web.queues import ConcurrencyLimit, JobQueue, RequestQueue
from resight.web.search_service import SearchService
from resight.web.settings import WebSettings
from resight.web.uploads import Uploads

T = TypeVar("T")

MAX_LOOKUPS = 512
"""How many requests may wait that only read the database or a small file."""


@dataclass(frozen=True)
class AppState:
    """A server's collection, settings, shared services and queues.

    Searches that need the network wait in another queue than pictures to decode, and both in
    another one than lookups: the page still scrolls while many people search.
    """

    name: str
    location: str
    settings: WebSettings
    model: ModelOptions
    service: SearchService
    uploads: Uploads
    thumbnails: Thumbnails
    jobs: JobQueue
    metrics: Metrics
    active_uploads: ConcurrencyLimit
    search_queue: RequestQueue
    picture_queue: RequestQueue
    lookup_queue: RequestQueue
    fetch_queue: RequestQueue
    group_queue: RequestQueue

    @classmethod
    def create(cls, place: Path | str, settings: WebSettings, model: ModelOptions) -> "AppState":
        """Create the state for a collection in a folder or on a backend."""
        service, address = SearchService(place, model), parse_address(str(place))
        folder = Path(place)
        if address is not None:
            digest = hashlib.sha256(address.shown.encode()).hexdigest()
            folder = user_cache() / "engines" / digest[:16]
        state = cls(
            name=folder.resolve().name if address is None else address.collection,
            location=str(place) if address is None else address.shown,
            settings=settings,
            model=model,
            service=service,
            uploads=Uploads(settings),
            thumbnails=Thumbnails(folder, settings.thumbnail_bytes),
            jobs=JobQueue(service.refresh, with_paths=settings.local_only),
            metrics=Metrics(),
            active_uploads=ConcurrencyLimit(settings.max_uploads, "uploads"),
            search_queue=RequestQueue("search", 2, settings.max_waiting),
            picture_queue=RequestQueue("picture", 2, MAX_LOOKUPS),
            lookup_queue=RequestQueue("lookup", 4, MAX_LOOKUPS),
            fetch_queue=RequestQueue("fetch", 4, 16),
            group_queue=RequestQueue("group", 1, 16),
        )
        state._add_gauges()
        return state

    async def lookup(self, request: Request, function: Callable[[Store], T]) -> T:
        """Run a function that reads the collection, in the queue of lookups."""
        return await self.lookup_queue.run(request, lambda: function(self.service.current_store()))

    def stop(self) -> None:
        """Begin to stop: jobs end after the current photo, waiting requests are refused."""
        self.jobs.stop()
        for queue in self._queues:
            queue.stop()

    def close(self) -> None:
        """Wait for running requests and jobs; delete stored uploads."""
        self.jobs.close()
        for queue in self._queues:
            queue.close()
        self.service.close()
        self.uploads.close()

    @property
    def _queues(self) -> list[RequestQueue]:
        return [value for value in vars(self).values() if isinstance(value, RequestQueue)]

    def _add_gauges(self) -> None:
        gauge = self.metrics.add_gauge
        gauge("searches_waiting", "Waiting searches.", lambda: self.search_queue.waiting)
        gauge("pictures_waiting", "Waiting pictures.", lambda: self.picture_queue.waiting)
        gauge("lookups_waiting", "Waiting lookups.", lambda: self.lookup_queue.waiting)
        gauge("uploads_arriving", "Uploads in progress.", lambda: self.active_uploads.running)
        gauge("uploads_kept_bytes", "Stored query photos.", lambda: self.uploads.stored_bytes)
        gauge("thumbnails_bytes", "Cached thumbnails.", lambda: self.thumbnails.stored_bytes)
        gauge("job_running", "Whether a job is running.", lambda: self.jobs.running)


def json_response(content: dict[str, Any], status: int = 200) -> Response:
    """Return JSON with numbers written exactly as the command line prints them."""
    return JSONResponse(content, status)


def etag_matches(header: str | None, etag: str) -> bool:
    """Return whether a client that sends this `If-None-Match` has the current version."""
    if header is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags
