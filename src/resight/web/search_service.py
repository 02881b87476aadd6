"""One network and one set of arrays for all requests, and the searches on them.

Connections to the database belong to one thread: each search opens its own. What is costly, the
network and the arrays, is shared. The network has a thread of its own and describes one photo at
a time: its libraries keep threads and working memory for each thread that calls them.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from cachetools import LRUCache
from PIL import Image

from resight.backends.local import LocalStore
from resight.backends.open import open_remote
from resight.backends.store import Filter, Remote, Store
from resight.collection.provenance import Provenance
from resight.collection.reader import Collection
from resight.collection.search_arrays import SearchArrays, load_arrays
from resight.config import SearchConfig
from resight.descriptors.extractor import Description, Extractor
from resight.errors import QueryError, WeightsError
from resight.memory import release_unused_memory
from resight.methods.model import ModelOptions
from resight.photos.transforms import Box, scale_box
from resight.searching.pipeline import search_store
from resight.searching.query import QueryPhoto
from resight.searching.results import ResultPage
from resight.searching.searcher import Searcher
from resight.searching.spatial_verification import columns_map
from resight.views.explain import Explanation, explain_images
from resight.web.problems import ProblemError
from resight.web.queries import QueryImage

T = TypeVar("T")
CacheKey = tuple[str, str, Box | None]
"""Fingerprint of the collection's method, content of the photo, region."""

MAX_CACHED_QUERIES = 512
"""Descriptors of queries kept for their further pages."""

FAILURE_S = 30.0
"""For so long a network that could not be loaded is not tried again."""

REST = 4
"""Arrays of a collection that changed again while they were built are built anew only after a rest
so many times as long: until then searches answer from them."""


class SearchService:
    """What all searches of a server share; thread-safe."""

    def __init__(self, place: Path | str, options: ModelOptions) -> None:
        self.place = place
        self._remote = open_remote(place)
        self._network = ThreadPoolExecutor(1, thread_name_prefix="resight-network")
        self._options = options
        self._extractor: tuple[str, Extractor] | None = None
        self._loading = threading.Lock()
        self._failure: tuple[float, WeightsError] | None = None
        self._building = threading.Lock()
        self._arrays: SearchArrays | None = None
        self._rest_until = 0.0
        self._cache_lock = threading.Lock()
        self._cache: LRUCache[CacheKey, Description] = LRUCache(MAX_CACHED_QUERIES)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """The collection, for the present thread."""
        if self._remote is not None:  # which takes all threads
            yield self._remote
        else:
            with Collection.open(Path(self.place)) as collection:
                yield LocalStore(collection, self.arrays)

    @property
    def remote(self) -> Remote | None:
        """The collection, where it is on an engine of another program."""
        return self._remote

    @contextlib.contextmanager
    def searching(self) -> Iterator["ServiceSearcher"]:
        """A searcher for the present thread."""
        with self.store() as store:
            yield ServiceSearcher(store, self)

    def warm_up(self) -> None:
        """Load the network and the arrays before the first search needs them.

        Raises:
            WeightsError: there are no weights, or they do not fit.
            CollectionError: the collection cannot be used.
        """
        with self.searching() as searcher:
            if searcher.store.count("ok"):
                searcher.store.check()
                self.extractor(searcher.store.provenance)

    def on_network(self, function: Callable[[], T]) -> T:
        """Run a function in the network's thread, when its turn comes."""

        def run() -> T:
            try:
                return function()
            finally:
                release_unused_memory()

        return self._network.submit(run).result()

    def close(self) -> None:
        """Wait for what runs, end the network's thread and the connections."""
        self._network.shutdown(wait=True, cancel_futures=True)
        if self._remote is not None:
            self._remote.close()

    def extractor(self, provenance: Provenance) -> Extractor:
        """The network (or vocabulary) of the collection, loaded once.

        Raises:
            WeightsError: there are no weights, or they do not fit.
        """
        fingerprint = str(provenance.meta("fingerprint"))
        with self._loading:
            if self._extractor is not None and self._extractor[0] == fingerprint:
                return self._extractor[1]
            if self._failure is not None and time.monotonic() < self._failure[0]:
                raise self._failure[1]
            try:
                extractor = provenance.fitted_method(self._options).load_extractor(self._options)
            except WeightsError as error:
                # A download that fails takes long, and would fail for every request anew.
                self._failure = time.monotonic() + FAILURE_S, error
                raise
            self._extractor = fingerprint, extractor
            return extractor

    def arrays(self, collection: Collection) -> SearchArrays:
        """The arrays of the collection as it is now, or was a moment ago while it changes."""
        stamp, known = collection.stamp, self._arrays
        if known is not None and (known.stamp == stamp or time.monotonic() < self._rest_until):
            return known
        with self._building:
            if self._arrays is None or self._arrays.stamp != stamp:
                started = time.monotonic()
                self._arrays = load_arrays(collection)
                if collection.stamp != self._arrays.stamp:  # someone is writing just now
                    now = time.monotonic()
                    self._rest_until = now + REST * (now - started)
            return self._arrays

    def refresh(self) -> None:
        """Let the next search see the collection as it is, for a job has changed it."""
        self._rest_until = 0.0

    def is_cached(self, store: Store, query_image: QueryImage, box: Box | None) -> bool:
        """Return whether a query needs no network: it is stored, or was described recently."""
        if box is None and store.stored_query(query_image.content) is not None:
            return True
        return self.cached_description(store, query_image, box) is not None

    def cached_description(
        self, store: Store, query_image: QueryImage, box: Box | None
    ) -> Description | None:
        """Return the descriptors of a query that was described recently."""
        key = self._key(store, query_image, box)
        with self._cache_lock:
            return self._cache.get(key)

    def cache_query(
        self, store: Store, query_image: QueryImage, box: Box | None, described: Description
    ) -> None:
        """Keep the descriptors of a query for its further pages."""
        key = self._key(store, query_image, box)
        with self._cache_lock:
            self._cache[key] = described

    def clear_cache(self) -> None:
        """Forget the descriptors of recent queries."""
        with self._cache_lock:
            self._cache.clear()

    def _key(
        self, store: Store, query_image: QueryImage, box: Box | None
    ) -> tuple[str, str, Box | None]:
        return str(store.provenance.meta("fingerprint")), query_image.content, box


class ServiceSearcher(Searcher):
    """A searcher of one thread, on the network and the arrays of all."""

    def __init__(self, store: Store, service: SearchService) -> None:
        super().__init__(store)
        self._service = service

    def extractor(self) -> Extractor:
        """The shared network; what it does is to be done `SearchService.on_network`."""
        return self._service.extractor(self.store.provenance)

    def describe(self, query: QueryPhoto) -> Description:
        """Compute the descriptors of a photo; the network serves one at a time."""
        extractor = self.extractor()
        prepared = extractor.prepare(query.image)
        return self._service.on_network(lambda: extractor.describe(prepared))

    def result_page(
        self,
        query_image: QueryImage,
        box: Box | None,
        config: SearchConfig,
        where: Filter | None = None,
    ) -> ResultPage:
        """Search the collection by a photo, or by a region of it that was checked to be inside."""
        has_network = self.store.provenance.config.needs_network
        if config.verify and config.verify_by == "columns" and not has_network:
            raise ProblemError(
                422, "This collection's method has no network, so no columns to match."
            )

        def describe(_: QueryPhoto) -> Description:
            cached = self._service.cached_description(self.store, query_image, box)
            if cached is not None:
                return cached
            description = self.describe(QueryPhoto(picture=query_image.load(box)))
            self._service.cache_query(self.store, query_image, box, description)
            return description

        path, content = query_image.path, query_image.content
        try:
            return search_store(
                self.store,
                QueryPhoto(path, path, box, content),
                config,
                describe=describe,
                columns_map=self.columns_map,
                where=where,
            )
        except QueryError:  # its text names the file, which is not for the client
            raise ProblemError(422, "The photo to verify with cannot be read any more.") from None

    def columns_map(self, image: Image.Image) -> np.ndarray:
        """The network's map whose columns are matched; the network serves one at a time."""
        extractor = self.extractor()  # reads the database, which is this thread's
        return self._service.on_network(lambda: columns_map(extractor, image))

    def explain(self, query_image: QueryImage, box: Box | None, other: QueryImage) -> Explanation:
        """Why two photos match; matches in pixels of the upright photos."""
        images = query_image.load(None), other.load(None)
        if box is not None:
            box = scale_box(box, query_image.size, images[0].size)

        def run() -> Explanation:
            with self._service.searching() as searcher:
                return explain_images(searcher, *images, box=box)

        # Local features need no network: others may search meanwhile.
        network = self.store.provenance.config.needs_network
        found = self._service.on_network(run) if network else run()
        scales = [
            share / decoded
            for side, image in zip((query_image, other), images, strict=True)
            for share, decoded in zip(side.size, image.size, strict=True)
        ]
        return dataclasses.replace(found, matches=found.matches * np.array(scales))
