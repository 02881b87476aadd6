"""One open collection and its extractor for many searches."""

import threading
from typing import TYPE_CHECKING

import numpy as np

from resight.backends.local import LocalStore
from resight.backends.store import Filter, Store
from resight.collection.reader import Collection
from resight.config import SearchConfig
from resight.descriptors.extractor import Description, Extractor
from resight.methods.model import ModelOptions
from resight.photos.transforms import Box
from resight.searching.pipeline import search_store
from resight.searching.query import QueryPhoto, QuerySource, open_query
from resight.searching.results import SearchResults

if TYPE_CHECKING:
    from PIL import Image


class Searcher:
    """Searches a collection, in a folder or on a backend; several threads may share it."""

    def __init__(self, collection: Collection | Store, options: ModelOptions | None = None) -> None:
        self.store = LocalStore(collection) if isinstance(collection, Collection) else collection
        self._options = options or ModelOptions()
        self._extractor: Extractor | None = None
        self._loading = threading.Lock()

    def search(
        self,
        query: QuerySource,
        config: SearchConfig | None = None,
        box: Box | None = None,
        where: Filter | None = None,
    ) -> SearchResults:
        """Find the photos nearest to a photo, or to a region of it.

        Args:
            query: a file, or an upright image: PIL, or uint8 (H, W, 3).
            config: number of results, re-ranking and verification.
            box: the region, x, y, width and height in pixels.
            where: restricts the search to some photos.

        Raises:
            UsageError: the query is no image, the box is not inside it, or the configuration does
                not fit the collection's method.
            CollectionError: the collection is empty.
            WeightsError: the query must be described and there are no weights.
        """
        photo = open_query(query, box)
        page = search_store(
            self.store,
            photo,
            config or SearchConfig(),
            describe=self.describe,
            columns_map=self.columns_map,
            where=where,
        )
        return SearchResults(photo.name, box, page.results, page.total)

    def describe(self, query: QueryPhoto) -> Description:
        """Compute the descriptors of a photo by the collection's method, before the reduction."""
        extractor = self.extractor()
        return extractor.describe(extractor.prepare(query.image))

    def columns_map(self, image: "Image.Image") -> np.ndarray:
        """Compute the network's map of an upright image whose columns are matched, (C, h, w).

        Raises:
            UsageError: the collection's method has no network.
        """
        from resight.searching.spatial_verification import columns_map

        return columns_map(self.extractor(), image)

    def extractor(self) -> Extractor:
        """Return the extractor of the collection's method, loaded on first use.

        Raises:
            WeightsError: no weights are found, or they do not fit.
            CollectionError: the weights are not those of the collection, or it was never indexed.
        """
        with self._loading:
            if self._extractor is None:
                fitted = self.store.provenance.fitted_method(self._options)
                self._extractor = fitted.load_extractor(self._options)
            return self._extractor
