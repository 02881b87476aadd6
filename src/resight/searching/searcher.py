"""Answering queries: one open collection, its arrays and its extractor, kept for many searches."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from resight.config import RerankConfig, SearchConfig, SiftVladConfig, VerifiedBy
from resight.descriptors.extractor import Description, Extractor
from resight.errors import CollectionError, ImageError, UsageError
from resight.methods import ModelOptions, collection_extractor
from resight.networks.architectures import ARCHITECTURES
from resight.photos.files import absolute
from resight.photos.images import (
    Box,
    check_box,
    crop_box,
    image_size,
    load_image,
    resized_copies,
    scale_box,
)
from resight.ranking.graph import Graph
from resight.ranking.neighbors import (
    DISTANCES,
    Distance,
    Neighbors,
    Query,
    manhattan,
    nearest,
    nearest_by_graph,
)
from resight.ranking.reranking import reorder
from resight.storage.approximating import approximate_status, open_graphs
from resight.storage.arrays import SearchArrays, load_arrays
from resight.storage.collection import Collection

if TYPE_CHECKING:
    from resight.descriptors.sift import LocalFeatures


@dataclass(frozen=True)
class Result:
    """A photo found: rank from 1, distance (smaller is nearer).

    With re-ranking or verification the distance does not decide the rank.

    `inliers` counts the local features that agree on one geometry with the query's, where that
    was asked for and the file could be read.
    """

    rank: int
    path: Path
    distance: float
    inliers: int | None = None


@dataclass(frozen=True)
class SearchResults:
    """The answer to one query: the photo as it was named, its box if any, nearest first."""

    query: Path
    box: Box | None
    results: list[Result]


class Searcher:
    """Searches a collection; notices by itself when the collection has changed."""

    def __init__(self, collection: Collection, options: ModelOptions | None = None) -> None:
        self.collection = collection
        self._options = options or ModelOptions()
        self._extractor: Extractor | None = None
        self._arrays: SearchArrays | None = None
        self._graphs: tuple[str, tuple[Graph, ...]] | None = None

    def search(self, query: Path, config: SearchConfig, box: Box | None = None) -> SearchResults:
        """The photos nearest to a photo, or to the region `box` of it.

        Raises:
            UsageError: the query is no image, or the box is not inside it.
            CollectionError: the collection is empty.
            WeightsError: the query must be described and there are no weights.
        """
        find = self.approximate_neighbors if config.approximate else self.neighbors
        if config.approximate:
            self.graphs()  # one that is missing is said before the network is loaded
        description, wanted = self._describe(query, box), max(config.k, config.verify)
        if config.rerank == "none":
            found = find(description, wanted)
        else:
            reranking = RerankConfig(method=config.rerank)
            found = find(description, max(wanted, reranking.shortlist))
            found = self._rerank(self._query(description), found, reranking)
        paths = self.collection.paths(found.ids)
        pairs = list(zip(paths, map(float, found.distances), strict=True))
        results = [Result(rank, path, distance) for rank, (path, distance) in enumerate(pairs, 1)]
        if config.verify:
            results = self.verify(query, box, results, config.verify, config.verify_by)
        return SearchResults(query, box, results[: config.k])

    def neighbors(self, description: Description, k: int) -> Neighbors:
        """The ids and distances of the photos nearest to a descriptor (before selection)."""
        return nearest(self._query(description), self.arrays().database, k, self.distance)

    def approximate_neighbors(self, description: Description, k: int) -> Neighbors:
        """Likewise, but by the approximate index.

        Raises:
            CollectionError: there is none.
        """
        return nearest_by_graph(self._query(description), self.arrays().database, self.graphs(), k)

    def graphs(self) -> tuple[Graph, ...]:
        """The approximate index of the collection as it is now.

        Raises:
            CollectionError: there is none.
        """
        arrays = self.arrays()
        if self._graphs is None or self._graphs[0] != arrays.stamp:
            made = approximate_status(self.collection)
            if self.distance is not manhattan or made is None:
                raise CollectionError(
                    f"{self.collection.folder}: has no approximate index; make one with: "
                    "resight index PHOTOS --approximate, or search without --approximate"
                )
            self._graphs = arrays.stamp, open_graphs(arrays, made)
        return self._graphs[1]

    def _rerank(self, query: Query, found: Neighbors, config: RerankConfig) -> Neighbors:
        database = self.arrays().database
        by_id = np.argsort(database.ids, kind="stable")
        rows = by_id[np.searchsorted(database.ids, found.ids, sorter=by_id)]
        better = reorder(query, database, rows, self.distance, config)
        place = {row: i for i, row in enumerate(rows.tolist())}
        order = [place[row] for row in better.tolist()]
        return Neighbors(found.ids[order], found.distances[order])

    def _query(self, description: Description) -> Query:
        selection = self.arrays().selection
        keep = selection.apply if selection else lambda values: values
        local = None if description.local is None else keep(description.local)
        return Query(keep(description.global_), local)

    def arrays(self) -> SearchArrays:
        """The arrays of the collection as it is now.

        Raises:
            CollectionError: it holds no photos.
        """
        if self._arrays is None or self._arrays.stamp != self.collection.stamp:
            self._arrays = load_arrays(self.collection)
        if self._arrays.database.count == 0:
            raise CollectionError(f"{self.collection.folder}: holds no photos yet; index some")
        return self._arrays

    @property
    def distance(self) -> Distance:
        """The distance that the collection's descriptors are compared by."""
        return DISTANCES[self.collection.distance]

    def describe(self, image: Image.Image) -> Description:
        """The descriptors of an upright image by the collection's method."""
        extractor = self.extractor()
        return extractor.describe(extractor.prepare(image))

    def extractor(self) -> Extractor:
        """The extractor of the collection's method, loaded on first use.

        Raises:
            WeightsError: no weights are found, or they do not fit.
            CollectionError: the weights are not those of the collection, or it was never indexed.
        """
        if self._extractor is None:
            self._extractor = collection_extractor(self.collection, self._options)
        return self._extractor

    def _describe(self, query: Path, box: Box | None) -> Description:
        self.arrays()  # an empty collection is said before the network is loaded
        # Anything but a file, such as a pipe, would be waited for if it were opened.
        if box is None and absolute(query).is_file():
            stored = self.collection.descriptors(_content(query))
            if stored is not None and stored.intact:
                return Description(stored.global_, stored.local)
        return self.describe(load_query(query, box))

    def verify(
        self,
        query: Path,
        box: Box | None,
        results: list[Result],
        count: int,
        by: VerifiedBy = "sift",
    ) -> list[Result]:
        """Results in a new order, by the geometry of the first of them.

        Args:
            query: the photo that was searched with.
            box: the region of it that was searched with, if any.
            results: nearest first.
            count: how many of them, from the first on, to check.
            by: `sift`, or `columns` of the network's feature maps, which stand more change of view
                and light, and take the network's time for each photo.

        Returns:
            All of them, ranked from 1, those checked with their inliers: first the ones that agree
            with the query on one geometry, most inliers first, then the others as they were.

        Raises:
            UsageError: the query is no image, the box is not inside it, or the method has no
                network whose columns could be compared.
        """
        from resight.explaining.explain import MATCH_ERROR, MATCH_RATIO, MIN_COLUMNS
        from resight.ranking.verification import MIN_INLIERS, rerank, verify

        compare = verify
        if by == "columns":
            compare = partial(verify, ratio=MATCH_RATIO, max_error=MATCH_ERROR)
        features = self._local_features(load_query(query, box), by)
        inliers: list[int | None] = []
        for result in results[:count]:
            try:
                other = self._local_features(load_image(result.path), by)
                inliers.append(compare(features, other).inliers)
            except ImageError:
                inliers.append(None)  # shown as unknown; it keeps its place by distance
        least = MIN_COLUMNS if by == "columns" else MIN_INLIERS
        order = rerank(range(len(inliers)), [n or 0 for n in inliers], least)
        order = [*order, *range(len(inliers), len(results))]
        return [
            Result(rank, results[i].path, results[i].distance, dict(enumerate(inliers)).get(i))
            for rank, i in enumerate(order, 1)
        ]

    def _local_features(self, image: Image.Image, by: VerifiedBy) -> "LocalFeatures":
        if by == "sift":
            from resight.descriptors.sift import root_sift

            return root_sift(image, SiftVladConfig())
        from resight.descriptors.cnn import CnnExtractor
        from resight.explaining.explain import COLUMNS_SIDE, place_features

        extractor = self.extractor()
        if not isinstance(extractor, CnnExtractor):
            raise UsageError("--verify-by columns: needs a network; sift-vlad has none")
        copies = resized_copies(image, (COLUMNS_SIDE,))
        columns = ARCHITECTURES[extractor.config.backbone].columns
        return place_features(extractor.feature_maps(copies)[0][columns], image.size)


def load_query(query: Path, box: Box | None) -> Image.Image:
    """A query photo, upright, cut to its box if there is one.

    Raises:
        UsageError: it is no image, or the box is not inside it.
    """
    try:
        image = load_image(absolute(query))
        size = image.size if box is None else image_size(absolute(query))
    except ImageError as error:
        raise UsageError(f"{query}: {error}") from None
    if box is None:
        return image
    check_box(box, size)
    return crop_box(image, scale_box(box, size, image.size))


def _content(query: Path) -> str:
    try:
        with absolute(query).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{query}: {error.strerror or error}") from None
