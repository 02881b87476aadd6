"""Searches of a server: one open collection, network and set of arrays for all requests.

The network has its own thread and describes one photo at a time: its libraries keep threads
and working memory for each thread that calls them.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from cachetools import LRUCache
from PIL import Image

from resight.backends import open_remote
from resight.backends.absent import AbsentStore
from resight.backends.local import LocalStore
from resight.backends.store import Filter, Store
from resight.collection import Collection
from resight.collection.search_arrays import SearchArrays, load_arrays
from resight.config import SearchConfig
from resight.descriptors.extractor import Description, Extractor
from resight.errors import QueryError, WeightsError
from resight.memory import release_unused_memory
from resight.methods.model import ModelOptions
from resight.photos.files import COLLECTION_MARK
from resight.photos.transforms import Box, turn
from resight.searching import Searcher
from resight.searching.pipeline import search_store
from resight.searching.query import QueryPhoto, ResultPage
from resight.searching.sameness import Sameness, compare_within
from resight.views.explain import Explanation, explain_photos
from resight.web.problems import ProblemError
from resight.web.uploads import QueryImage

T = TypeVar("T")
CacheKey = tuple[str, str, Box | None, bool, int]
"""Fingerprint of the collection's method, content of the photo, region, mirrored, turns."""

MAX_CACHED_QUERIES = 512
"""Queries whose descriptors are cached for their further pages."""

RETRY_S = 30.0
"""Seconds until a network that could not be loaded is tried again."""

REST_FACTOR = 4
"""Arrays that were outdated as soon as they were loaded are loaded again only after a pause of
this many times the loading time; until then searches use them."""


class _NotCachedError(Exception):
    """The descriptors of a query have to be computed."""


class SearchService(Searcher):
    """The searches of a server; thread-safe."""

    def __init__(self, place: Path | str, options: ModelOptions, *, new: bool = False) -> None:
        """Open the collection; raise a `CollectionError` if it cannot be read.

        With `new`, it need not exist yet.
        """
        self.place = place
        self.is_new = new
        self.remote = open_remote(place)
        self._load_lock = threading.Lock()
        self._arrays: SearchArrays | None = None
        self._rest_until = 0.0
        self._open_lock = threading.Lock()
        self._database_id = self._read_database_id()
        super().__init__(self.remote or self._open(), options)
        self._fingerprint: str | None = None
        self._failure: tuple[float, WeightsError] | None = None
        self._network = ThreadPoolExecutor(1, thread_name_prefix="resight-network")
        self._cache_lock = threading.Lock()
        self._cache: LRUCache[CacheKey, Description] = LRUCache(MAX_CACHED_QUERIES)

    def warm_up(self) -> None:
        """Load the network and the arrays before the first search needs them."""
        if self.store.count("ok"):
            self.store.check()
            self.extractor()

    def current_store(self) -> Store:
        """Return the collection, opened again if its database was replaced."""
        with self._open_lock:
            database_id = self._read_database_id()
            if database_id != self._database_id:
                self.store = self._open()
                self._database_id = database_id
            return self.store

    def close(self) -> None:
        """Wait for the network's thread, and close the collection."""
        self._network.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    def refresh(self) -> None:
        """Make the next search see the changes of a job."""
        self._rest_until = 0.0

    def search_photos(
        self,
        queries: Sequence[QueryImage],
        box: Box | None,
        config: SearchConfig,
        where: Filter | None = None,
        *,
        cached_only: bool = False,
    ) -> ResultPage | None:
        """Search by a photo, a region of it that was checked to be inside, or several views.

        With `cached_only`, return None rather than compute descriptors.
        """
        images = {query.path: query for query in queries}

        def describe(view: QueryPhoto) -> Description:
            assert view.path is not None
            return self._describe_cached(images[view.path], view, cached_only=cached_only)

        photos = [QueryPhoto(query.path, query.path, box, query.content) for query in queries]
        try:
            return self.search_views(photos, config, where, describe)
        except _NotCachedError:
            return None

    def search_views(
        self,
        views: Sequence[QueryPhoto],
        config: SearchConfig,
        where: Filter | None = None,
        describe: Callable[[QueryPhoto], Description] | None = None,
    ) -> ResultPage:
        """Search by several photos that show one thing; descriptors are stored or computed."""
        if config.verify and config.verify_by == "columns" and not self._has_network:
            raise ProblemError(422, "This collection's method has no network to verify with.")
        with _unreadable_as_problem():
            return search_store(
                self.current_store(),
                views,
                config,
                describe=describe or self.describe,
                columns_map=self.columns_map,
                where=where,
            )

    def compare(self, query: QueryImage, box: Box | None, other: QueryImage) -> Sameness:
        """Decide whether two photos show the same thing, as a search does."""
        first, second = _photos(query, box, other)

        def describe(photo: QueryPhoto) -> Description:
            image = query if photo is first else other
            return self._describe_cached(image, photo, cached_only=False)

        with _unreadable_as_problem():
            return compare_within(self.current_store(), describe, first, second)

    def explain(self, query: QueryImage, box: Box | None, result: QueryImage) -> Explanation:
        """Explain why two photos match; places are in pixels of the upright photos."""
        sameness = self.compare(query, box, result)

        def run() -> Explanation:
            return explain_photos(self, *_photos(query, box, result), sameness)

        with _unreadable_as_problem():
            # Local features need no network: it can serve other requests meanwhile.
            return self._on_network(run) if self._has_network else run()

    def describe(self, query: QueryPhoto) -> Description:
        """Compute the descriptors of a photo in the network's thread."""
        extractor = self.extractor()
        prepared = extractor.prepare(query.image)
        return self._on_network(lambda: extractor.describe(prepared, columns=True))

    def columns_map(self, image: Image.Image) -> np.ndarray:
        """Compute the map whose columns are matched, (C, h, w), in the network's thread."""
        return self._on_network(lambda: super(SearchService, self).columns_map(image))

    def extractor(self) -> Extractor:
        """Return the extractor of the collection's current method."""
        fingerprint = str(self.store.provenance.meta("fingerprint"))
        with self._loading:
            if self._extractor is not None and self._fingerprint == fingerprint:
                return self._extractor
            if self._failure is not None and time.monotonic() < self._failure[0]:
                raise self._failure[1]
            try:
                fitted = self.store.provenance.fitted_method(self._options)
                self._extractor = fitted.load_extractor(self._options)
            except WeightsError as error:
                # A failing download takes long, and would fail again for every request.
                self._failure = time.monotonic() + RETRY_S, error
                raise
            self._fingerprint = fingerprint
            return self._extractor

    @property
    def _has_network(self) -> bool:
        return self.store.provenance.config.needs_network

    def _describe_cached(
        self, query: QueryImage, view: QueryPhoto, *, cached_only: bool
    ) -> Description:
        fingerprint = str(self.store.provenance.meta("fingerprint"))
        key = fingerprint, query.content, view.box, view.mirrored, view.turns
        with self._cache_lock:
            description = self._cache.get(key)
        if description is None:
            if cached_only:
                raise _NotCachedError
            image = turn(query.load(view.box), mirrored=view.mirrored, turns=view.turns)
            description = self.describe(QueryPhoto(picture=image))
            with self._cache_lock:
                self._cache[key] = description
        return _without_decoded(description)

    def _on_network(self, function: Callable[[], T]) -> T:
        """Run a function in the network's thread when its turn comes."""

        def run() -> T:
            try:
                return function()
            finally:
                release_unused_memory()

        return self._network.submit(run).result()

    def _open(self) -> Store:
        if self.is_new and not Collection.exists(self.place):
            return AbsentStore(str(self.place))
        self.is_new = False
        return LocalStore(Collection.open(self.place), self._load_arrays)

    def _read_database_id(self) -> tuple[int, int] | None:
        """Return what identifies the database's file; None on a backend, or without a file."""
        try:
            status = Path(self.place, COLLECTION_MARK).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _load_arrays(self, collection: Collection) -> SearchArrays:
        """Return the arrays of the collection's current or, while it changes, a recent state."""
        stamp, arrays = collection.stamp, self._arrays
        if arrays is not None and (arrays.stamp == stamp or time.monotonic() < self._rest_until):
            return arrays
        with self._load_lock:
            if self._arrays is None or self._arrays.stamp != stamp:
                started = time.monotonic()
                self._arrays = load_arrays(collection)
                if collection.stamp != self._arrays.stamp:  # another program is writing
                    now = time.monotonic()
                    self._rest_until = now + REST_FACTOR * (now - started)
            return self._arrays


def _without_decoded(description: Description) -> Description:
    """Return a description whose decoded columns, ten times its size, end with the request."""
    columns = description.columns
    if columns is None:
        return description
    return dataclasses.replace(description, columns=dataclasses.replace(columns))


def _photos(query: QueryImage, box: Box | None, other: QueryImage) -> tuple[QueryPhoto, QueryPhoto]:
    first = QueryPhoto(query.path, query.path, box, query.content)
    return first, QueryPhoto(other.path, other.path, None, other.content)


@contextlib.contextmanager
def _unreadable_as_problem() -> Iterator[None]:
    """Answer an unreadable photo without its file's name, which clients must not see."""
    try:
        yield
    except QueryError:
        raise ProblemError(422, "One of the photos cannot be read any more.") from None
