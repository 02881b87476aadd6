"""State that the endpoints of one server share, and its metrics."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.requests import Request

from resight.backends import parse_address
from resight.backends.store import Store
from resight.collection import Photo
from resight.errors import ResightError
from resight.evaluation import group_store, store_lists
from resight.files import user_cache
from resight.memory import release_unused_memory
from resight.methods.model import ModelOptions
from resight.ranking.groups import Groups, NeighborLists
from resight.web import WebSettings
from resight.web.listing import Listing
from resight.web.new_collection import may_start_new
from resight.web.pictures import Thumbnails
from resight.web.problems import ProblemError, logger
from resight.web.queues import JobQueue, RequestQueue, UploadLimit
from resight.web.scratch import remove_abandoned
from resight.web.search_service import SearchService
from resight.web.uploads import Uploads

T = TypeVar("T")

MAX_LOOKUPS = 512
"""Maximum number of waiting requests that only read the database or a small file."""

PICTURE_LIMIT_S = 30.0
"""Time limit of reading a photo's file."""

METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by method, route and status, and gauges read when the metrics are; thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "resight_requests",
            "Requests; status 0: the client left before the response.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Counter(
            "resight_request_seconds",
            "Seconds spent on requests.",
            ("method", "route"),
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the address's pattern, status 0 a client that left."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).inc(seconds)

    def add_gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read whenever the metrics are."""
        gauge = Gauge(f"resight_{name}", documentation, registry=self._registry)
        gauge.set_function(read)

    def text(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self._registry)


class GroupCache:
    """The groups of a collection, recomputed only when it changes."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._neighbors: tuple[str, NeighborLists] | None = None
        self._groups: tuple[str, float | None, Groups] | None = None

    def get(self, store: Store, limit: float | None) -> Groups:
        """Return the groups up to a limit, or by default as `evaluation.group_store` does."""
        with self._lock:
            snapshot = store.snapshot()
            stamp = snapshot.stamp()
            if self._neighbors is None or self._neighbors[0] != stamp:
                lists = store_lists(snapshot, self._check_stop)
                self._neighbors = stamp, lists
            if self._groups is None or self._groups[:2] != (stamp, limit):
                groups = group_store(snapshot, self._neighbors[1], limit, self._check_job)
                self._groups = stamp, limit, groups
            return self._groups[2]

    def _check_job(self, name: str, done: int, total: int) -> None:
        self._check_stop(done, total)

    def _check_stop(self, done: int, total: int) -> None:
        self._jobs.check_running()


class AppState:
    """A server's collection, settings, shared services and queues.

    Searches that need the network wait in another queue than pictures to decode, and both in
    another one than lookups: the page still scrolls while many people search.
    """

    def __init__(self, place: Path | str, settings: WebSettings, model: ModelOptions) -> None:
        """Create the state for a collection in a folder or on a backend."""
        self.settings = settings
        self.model = model
        folder, address = Path(place), parse_address(str(place))
        self._starting = address is None and may_start_new(folder, settings)
        self.service = SearchService(place, model, new=self._starting)
        if address is None:
            self.name, self.location = folder.resolve().name, str(place)
        else:
            self.name, self.location = address.collection, address.shown
            digest = hashlib.sha256(address.shown.encode()).hexdigest()
            folder = user_cache() / "engines" / digest[:16]
        self._cleaning = threading.Lock()
        self._closed = False
        self.uploads = Uploads(settings)
        self.thumbnails = Thumbnails(folder, settings.thumbnail_bytes)
        self.jobs = JobQueue(self._after_job, with_paths=settings.local_only)
        self.groups = GroupCache(self.jobs)
        self.listing = Listing(self.jobs.check_running)
        self.active_uploads = UploadLimit(settings.max_uploads)
        self.search_queue = RequestQueue("search", 2, settings.max_waiting)
        self.picture_queue = RequestQueue("picture", 2, MAX_LOOKUPS, PICTURE_LIMIT_S)
        self.lookup_queue = RequestQueue("lookup", 4, MAX_LOOKUPS)
        self.fetch_queue = RequestQueue("fetch", 4, 16)
        self.group_queue = RequestQueue("group", 1, 16)
        self.list_queue = RequestQueue("list", 2, MAX_LOOKUPS)
        self.metrics = Metrics()
        gauge = self.metrics.add_gauge
        gauge("searches_waiting", "Waiting searches.", lambda: self.search_queue.waiting)
        gauge("pictures_waiting", "Waiting pictures.", lambda: self.picture_queue.waiting)
        gauge("lookups_waiting", "Waiting lookups.", lambda: self.lookup_queue.waiting)
        gauge("uploads_arriving", "Uploads in progress.", lambda: self.active_uploads.running)
        gauge("uploads_stored_bytes", "Stored query photos.", lambda: self.uploads.stored_bytes)
        gauge("thumbnails_bytes", "Cached thumbnails.", lambda: self.thumbnails.stored_bytes)
        gauge("job_running", "Whether a job is running.", lambda: self.jobs.running)

    @property
    def starting(self) -> bool:
        """Return whether the server was started without a collection, and has no photos yet.

        Once it had photos, it never is again, also if all of them are removed.
        """
        if self._starting and self.service.current_store().count("ok"):
            self._starting = False
        return self._starting

    async def lookup(self, request: Request, function: Callable[[Store], T]) -> T:
        """Run a function that reads the collection, in the queue of lookups."""
        return await self.lookup_queue.run(request, lambda: function(self.service.current_store()))

    def photo_entry(self, photo: Photo) -> dict[str, Any]:
        """Return a photo as a `PhotoEntry`; its path only for clients on the same machine.

        `version` changes with the content: an address with `?v=` and it never shows another photo.
        """
        entry = {
            "id": photo.id,
            "name": display_path(Path(photo.path.name)),
            "width": photo.width,
            "height": photo.height,
            "version": photo_version(photo),
        }
        if self.settings.local_only:
            entry["path"] = display_path(photo.path)
        return entry

    def folder_text(self, path: Path, name: str) -> str:
        """Return how a folder is named to clients: its path only on the same machine."""
        return display_path(path if self.settings.local_only else Path(name))

    def clean(self) -> None:
        """Delete expired uploads, those of killed servers, and thumbnails of removed photos."""
        with self._cleaning:
            if not self._closed:
                self._clean()
        release_unused_memory()  # which jobs and groups have left in pieces

    def _clean(self) -> None:
        self.uploads.expire()
        remove_abandoned()

        def is_known(contents: list[str]) -> set[str]:
            photos = self.service.current_store().photos_with(contents)
            return {str(photo.content) for photo in photos}

        try:
            self.thumbnails.forget(is_known)
        except ResightError as error:  # as when a database does not answer; the next time will do
            logger.warning("thumbnails of removed photos are not deleted yet: %s", error)

    def _after_job(self) -> None:
        self.service.refresh()
        with contextlib.suppress(ResightError):  # the collection is damaged: requests report it
            _ = self.starting  # before another job can remove the first photos
        self.clean()

    def stop(self) -> None:
        """Begin to stop: jobs end after the current photo, waiting requests are refused."""
        self.jobs.stop()
        for queue in self._queues:
            queue.stop()

    def close(self) -> None:
        """Wait for running requests and jobs; delete stored uploads."""
        self.jobs.close()
        with self._cleaning:
            self._closed = True
        for queue in self._queues:
            queue.close()
        self.service.close()
        self.uploads.close()

    @property
    def _queues(self) -> list[RequestQueue]:
        return [value for value in vars(self).values() if isinstance(value, RequestQueue)]


def photo_by_id(store: Store, id_: int) -> Photo:
    """Return a photo that can be searched."""
    photos = store.photos_by_id([id_])
    if id_ not in photos:
        raise ProblemError(404, f"There is no photo {id_} in this collection.")
    return photos[id_]


def photo_version(photo: Photo) -> str:
    """Return a short name of the content of a photo."""
    return str(photo.content)[:16]


def display_path(path: Path) -> str:
    """Return a path as text; invalid UTF-8 and control characters are replaced."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
