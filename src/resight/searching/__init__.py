"""Search a collection by photos.

`search` searches once, `search_each` by each of many photos with one extractor, and a `Searcher`
stays open.
"""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resight.backends import Location, open_store
from resight.backends.local import LocalStore
from resight.backends.store import Filter, Store
from resight.collection import Collection
from resight.config import Geometry, RerankConfig, Reranking, SearchConfig, VerifiedBy
from resight.descriptors.extractor import Description, Extractor
from resight.errors import ImageError, QueryError, UsageError
from resight.methods.model import ModelOptions
from resight.photos import PathLike
from resight.photos.transforms import Box
from resight.searching.named import photos_of_thing
from resight.searching.pipeline import search_store
from resight.searching.query import QueryPhoto, QuerySource, SearchResults, open_query


def search(
    query: QuerySource | Sequence[QuerySource],
    collection: Location,
    config: SearchConfig | None = None,
    *,
    k: int | None = None,
    rerank: Reranking | RerankConfig | None = None,
    verify: int | None = None,
    verify_by: VerifiedBy | None = None,
    verify_geometry: Geometry | None = None,
    min_probability: float | None = None,
    decide: bool | None = None,
    fold: bool | None = None,
    mirrored: bool | None = None,
    rotated: bool | None = None,
    approximate: bool | None = None,
    box: Box | None = None,
    under: PathLike | None = None,
    taken_from: datetime | None = None,
    taken_before: datetime | None = None,
    min_side: int | None = None,
    file_name: str | None = None,
    model: ModelOptions | None = None,
) -> SearchResults:
    """Open a collection and search it once; `Searcher` keeps it open for many searches.

    Args:
        query: a file, or an upright image: PIL, or uint8 (H, W, 3); or a list of several views of
            one thing, which get one answer.
        collection: the collection's folder, or its address on a backend.
        config: number of results, re-ranking and verification.
        k: number of results; like the following, it overrides the field of the configuration.
        rerank: how the top results are re-ranked: a method's name or its configuration.
        verify: number of top results to verify spatially with RANSAC.
        verify_by: local features of the verification.
        verify_geometry: geometric model of the verification.
        min_probability: least probability of a result to show the same thing.
        decide: decide which results show the same thing; False ranks only.
        fold: fold photos of identical content under one; False lists each.
        mirrored: also search with the mirror image of the query.
        rotated: also search with the query turned by 90, 180 and 270 degrees.
        approximate: search with the approximate index.
        box: the region of the query, x, y, width and height in pixels; only of a single one.
        under: search only the photos in or below this folder.
        taken_from: search only photos taken at or after this time (EXIF).
        taken_before: search only photos taken before this time.
        min_side: search only photos whose shorter side has at least this many pixels.
        file_name: search only photos whose file name contains this text, in any case.
        model: weights, runtime and device.

    Raises:
        UsageError: a query is no image, the box is not inside it, or the configuration is
            invalid or does not fit the collection's method.
        CollectionError: the collection is empty.
        WeightsError: a query must be described and there are no weights.
    """
    config = override(
        config,
        k=k,
        rerank=rerank,
        verify=verify,
        verify_by=verify_by,
        verify_geometry=verify_geometry,
        min_probability=min_probability,
        decide=decide,
        fold=fold,
        mirrored=mirrored,
        rotated=rotated,
        approximate=approximate,
    )
    where = make_filter(under, taken_from, taken_before, min_side, file_name)
    with open_store(collection) as store:
        return Searcher(store, model).search(query, config, box, where)


def search_each(
    queries: Iterable[QuerySource],
    collection: Location,
    config: SearchConfig | None = None,
    *,
    where: Filter | None = None,
    model: ModelOptions | None = None,
    skipped: Callable[[QuerySource, QueryError], None] | None = None,
) -> Iterator[SearchResults]:
    """Open a collection and yield the results of each of many queries, in their order.

    The arguments are those of `Searcher.search_each`.
    """
    with open_store(collection) as store:
        yield from Searcher(store, model).search_each(queries, config, where, skipped=skipped)


def make_filter(
    under: PathLike | None,
    taken_from: datetime | None,
    taken_before: datetime | None,
    min_side: int | None,
    file_name: str | None,
) -> Filter:
    """Return a filter of photos, with its folder absolute."""
    folder = None if under is None else Path(under)
    return Filter(folder, taken_from, taken_before, min_side, file_name)


def override(config: SearchConfig | None, **fields: Any) -> SearchConfig:
    """Return a configuration with the fields that are not None replaced."""
    if isinstance(fields.get("rerank"), str):
        fields["rerank"] = RerankConfig(method=fields["rerank"])
    changes = {name: value for name, value in fields.items() if value is not None}
    return dataclasses.replace(config or SearchConfig(), **changes)


class Searcher:
    """Searches a collection, in a folder or on a backend; several threads may share it."""

    def __init__(self, collection: Collection | Store, options: ModelOptions | None = None) -> None:
        self.store = LocalStore(collection) if isinstance(collection, Collection) else collection
        self._options = options or ModelOptions()
        self._extractor: Extractor | None = None
        self._loading = threading.Lock()

    def search(
        self,
        query: QuerySource | Sequence[QuerySource],
        config: SearchConfig | None = None,
        box: Box | None = None,
        where: Filter | None = None,
    ) -> SearchResults:
        """Find the photos nearest to a photo, to a region of it, or to several views of one thing.

        Args:
            query: a file, or an upright image: PIL, or uint8 (H, W, 3); or a list of views.
            config: number of results, re-ranking and verification.
            box: the region, x, y, width and height in pixels; only of a single photo.
            where: restricts the search to some photos.

        Raises:
            UsageError: a query is no image, the box is not inside it, or the configuration does
                not fit the collection's method.
            CollectionError: the collection is empty.
            WeightsError: a query must be described and there are no weights.
        """
        if isinstance(query, str | os.PathLike | Image.Image | np.ndarray):
            query = [query]
        photos = [open_query(each, box) for each in query]
        if not photos:
            raise UsageError("query: there is none")
        if box is not None and len(photos) > 1:
            raise UsageError("only with a single query", parameter="box")
        return self._search_views(photos, box, config, where)

    def search_thing(
        self, name: str, config: SearchConfig | None = None, where: Filter | None = None
    ) -> SearchResults:
        """Find photos of a named thing, including the photos that carry its name.

        Args:
            name: the name.
            config: number of results, re-ranking and verification.
            where: restricts the search to some photos.

        Raises:
            UsageError: nothing in the collection carries the name; see also `search`.
            CollectionError: see `search`.
            WeightsError: see `search`.
        """
        return self._search_views(photos_of_thing(self.store, name), None, config, where)

    def _search_views(
        self,
        views: Sequence[QueryPhoto],
        box: Box | None,
        config: SearchConfig | None,
        where: Filter | None,
    ) -> SearchResults:
        """Search by one photo or a region of it, or by several views of one thing."""
        page = search_store(
            self.store,
            views,
            config or SearchConfig(),
            describe=self.describe,
            columns_map=self.columns_map,
            where=where,
        )
        names = tuple(view.name for view in views)
        several = names if len(names) > 1 else ()
        return SearchResults(names[0], box, page.results, page.total, several, page.blank)

    def search_each(
        self,
        queries: Iterable[QuerySource],
        config: SearchConfig | None = None,
        where: Filter | None = None,
        *,
        skipped: Callable[[QuerySource, QueryError], None] | None = None,
    ) -> Iterator[SearchResults]:
        """Yield the results of each of many queries, in their order.

        Args:
            queries: files, or upright images: PIL, or uint8 (H, W, 3).
            config: number of results, re-ranking and verification.
            where: restricts the searches to some photos.
            skipped: called for each query that cannot be read, which has no results; by default
                it ends the search.

        Raises:
            QueryError: a query cannot be read, and `skipped` is not given.
            UsageError: see `search`.
            CollectionError: see `search`.
            WeightsError: see `search`.
        """
        for query in queries:
            try:
                results = self.search(query, config, where=where)
            except QueryError as error:
                if skipped is None:
                    raise
                skipped(query, error)
            else:
                yield results

    def describe(self, query: QueryPhoto) -> Description:
        """Compute the descriptors of a photo by the collection's method, before the reduction."""
        extractor = self.extractor()
        try:
            return extractor.describe(extractor.prepare(query.image), columns=True)
        except ImageError as error:
            raise QueryError(f"{query.name or query.path or 'the query'}: {error}") from None

    def columns_map(self, image: Image.Image) -> np.ndarray:
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
