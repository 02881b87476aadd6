"""Answering queries: one open collection and its extractor, kept for many searches."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from resight.backends.local import LocalStore
from resight.backends.store import Filter, Store
from resight.collection.reader import Collection
from resight.config import Geometry, RerankConfig, SearchConfig, VerifiedBy
from resight.descriptors.extractor import Description, Extractor
from resight.errors import ImageError, UsageError
from resight.methods.model import ModelOptions
from resight.photos.images import image_size, load_image
from resight.photos.paths import absolute
from resight.photos.transforms import Box, check_box, crop_box, scale_box
from resight.ranking.exact import DISTANCES, Distance, Neighbors, Query
from resight.ranking.rerank.methods import reorder

if TYPE_CHECKING:
    from resight.searching.spatial_verification import PhotoMatcher


@dataclass(frozen=True)
class Result:
    """A photo found: rank from 1, distance (smaller is nearer).

    With re-ranking or verification the distance does not decide the rank.

    Where verification was asked for and the file could be read, `inliers` counts the local features
    that agree on one geometry with the query's; `region` is the smallest box of the result that
    holds them, `query_region` of the query, in pixels of the upright photos, None without any.
    """

    rank: int
    path: Path
    distance: float
    inliers: int | None = None
    region: Box | None = None
    query_region: Box | None = None


@dataclass(frozen=True)
class SearchResults:
    """The answer to one query: the photo as it was named, its box if any, nearest first."""

    query: Path
    box: Box | None
    results: list[Result]


class Searcher:
    """Searches a collection, open in a folder or on a backend."""

    def __init__(self, collection: Collection | Store, options: ModelOptions | None = None) -> None:
        self.store = LocalStore(collection) if isinstance(collection, Collection) else collection
        self._options = options or ModelOptions()
        self._extractor: Extractor | None = None

    def search(
        self,
        query: Path,
        config: SearchConfig,
        box: Box | None = None,
        where: Filter | None = None,
    ) -> SearchResults:
        """The photos nearest to a photo, or to the region `box` of it, among those of a filter.

        Raises:
            UsageError: the query is no image, or the box is not inside it.
            CollectionError: the collection is empty.
            WeightsError: the query must be described and there are no weights.
        """
        # What is missing is said before the network is loaded.
        self.store.check(approximate=config.approximate)
        asked, wanted = self._query(query, box), max(config.k, config.verify)
        reranking = config.rerank
        if reranking.method != "none":
            wanted = max(wanted, reranking.shortlist)
        found = self.neighbors(asked, wanted, where, approximate=config.approximate)
        if reranking.method != "none":
            found = self.reranked(asked, found, reranking)
        photos = self.store.photos_by_id(found.ids.tolist())
        pairs = zip(found.ids.tolist(), map(float, found.distances), strict=True)
        present = [(photos[id_].path, distance) for id_, distance in pairs if id_ in photos]
        results = [Result(rank, path, distance) for rank, (path, distance) in enumerate(present, 1)]
        if config.verify:
            how = config.verify_by, config.verify_geometry
            results = self.verify(query, box, results, config.verify, *how)
        return SearchResults(query, box, results[: config.k])

    def neighbors(
        self, query: Query, k: int, where: Filter | None = None, *, approximate: bool = False
    ) -> Neighbors:
        """The ids and distances of the photos nearest to a query."""
        return self.store.nearest([query], k, where, approximate=approximate)[0]

    def query(self, description: Description) -> Query:
        """Descriptors as they are searched: after the selection."""
        selection = self.store.reduction()
        keep = selection.apply if selection else lambda values: values
        local = None if description.local is None else keep(description.local)
        return Query(keep(description.global_), local)

    def reranked(self, query: Query, found: Neighbors, config: RerankConfig) -> Neighbors:
        """What was found for a query, in a better order."""
        database = self.store.rows(found.ids)
        order = np.arange(len(database.ids))
        sizes = self.fused_sizes(config, len(query.global_))
        better = reorder(query, database, order, self.distance, config, sizes=sizes)
        distance_of = dict(zip(found.ids.tolist(), found.distances, strict=True))
        ids = database.ids[better]
        return Neighbors(ids, np.array([distance_of[id_] for id_ in ids.tolist()], np.float32))

    @property
    def distance(self) -> Distance:
        """The distance that the collection's descriptors are compared by."""
        return DISTANCES[self.store.provenance.distance]

    def fused_sizes(self, config: RerankConfig, length: int) -> list[int]:
        """Values of each part of the descriptors, of so many in all; none where none is fused."""
        if config.method != "late-fusion":
            return []
        method, reduction = self.store.provenance.config, self.store.reduction()
        return reduction.part_sizes(method) if reduction else method.part_sizes(length)

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
            self._extractor = self.store.provenance.fitted_method(self._options).load_extractor(
                self._options
            )
        return self._extractor

    def _query(self, query: Path, box: Box | None) -> Query:
        # Anything but a file, such as a pipe, would be waited for if it were opened.
        if box is None and absolute(query).is_file():
            known = self.store.stored_query(_content(query))
            if known is not None:
                return known
        return self.query(self.describe(load_query(query, box)))

    def verify(
        self,
        query: Path,
        box: Box | None,
        results: list[Result],
        count: int,
        by: VerifiedBy = "sift",
        geometry: Geometry = "homography",
    ) -> list[Result]:
        """Results in a new order, by the geometry of the first of them.

        Args:
            query: the photo that was searched with.
            box: the region of it that was searched with, if any.
            results: nearest first.
            count: how many of them, from the first on, to check.
            by: `sift`, or `columns` of the network's feature maps, which stand more change of view
                and light, and take the network's time for each photo.
            geometry: what the matches are to agree on.

        Returns:
            All of them, ranked from 1, those checked with their inliers: first the ones that agree
            with the query on one geometry, most inliers first, then the others as they were.

        Raises:
            UsageError: the query is no image, the box is not inside it, or the method has no
                network whose columns could be compared.
        """
        matcher, image = self.matcher(by, geometry), load_query(query, box)
        whole = box or (0, 0, *image_size(absolute(query)))
        first = [result.path for result in results[:count]]
        order, found = matcher.order(matcher.features(image), first)
        checked = [
            replace(
                result,
                inliers=common.inliers,
                region=common.region,
                query_region=_placed(common.query_region, image.size, whole),
            )
            if common
            else result
            for result, common in zip(results, found, strict=False)
        ]
        in_order = [*(checked[i] for i in order), *results[len(first) :]]
        return [replace(result, rank=rank) for rank, result in enumerate(in_order, 1)]

    def matcher(self, by: VerifiedBy, geometry: Geometry) -> "PhotoMatcher":
        """What compares photos by their local features; the network is loaded when it must be."""
        from resight.searching.spatial_verification import PhotoMatcher

        return PhotoMatcher(by, self.columns_map, geometry)

    def columns_map(self, image: Image.Image) -> np.ndarray:
        """The network's map of an upright image whose columns are matched, (C, h, w).

        Raises:
            UsageError: the collection's method has no network.
        """
        from resight.searching.spatial_verification import columns_map

        return columns_map(self.extractor(), image)


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


def _placed(region: Box | None, part: tuple[int, int], whole: Box) -> Box | None:
    """A box of an image of size `part`, which shows the box `whole` of a photo, in the photo."""
    if region is None:
        return None
    x, y, w, h = scale_box(region, part, whole[2:])
    return x + whole[0], y + whole[1], w, h


def _content(query: Path) -> str:
    try:
        with absolute(query).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{query}: {error.strerror or error}") from None
