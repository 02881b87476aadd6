"""Spatial verification of results: local features of photos, matched under one geometry.

`ranking.geometry` matches two sets of local features. This module has the kinds of features, one
entry of `LOCAL_FEATURES` each, and caches them by file. Besides SIFT these are columns of a
network's feature map: the column at a position of the map (C, H, W) describes the place in the
photo that the position sees, and tolerates more change of view and light than SIFT.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cachetools
import numpy as np
from PIL import Image

from resight.config import Geometry, LocalConfig, VerifiedBy
from resight.descriptors.extractor import Extractor
from resight.descriptors.local_features.rootsift import LocalFeatures, root_sift
from resight.errors import ImageError, QueryError, UsageError
from resight.memory import available_bytes
from resight.methods import method_name
from resight.photos.images import image_size, load_image
from resight.photos.transforms import bounding_box, resized_copies, scale_box
from resight.ranking.geometry import (
    MAX_ERROR,
    MIN_INLIERS,
    RATIO,
    order_by_inliers,
    verify,
)
from resight.searching.query import QueryPhoto, VerifiedMatch

COLUMNS_SIDE = 800
"""Longest side, in pixels, of the copy whose columns are matched."""
MIN_SIDE_WITH_BORDER = 5
"""Shortest side of a map whose border is left out; smaller ones are almost nothing but border."""
EPSILON = 1e-12
"""A column shorter than this counts as zero."""
CACHE_BYTES = 256 << 20
"""Local features that are cached: columns of some 35 photos, or SIFT of 250."""
CACHE_SHARE = 0.25
"""Share of the available memory for the cache if that is more: evaluating all queries reuses each
photo about 20 times."""

ColumnsMap = Callable[[Image.Image], np.ndarray]
"""From an upright image to the network's map whose columns are matched, (C, h, w)."""
Size = tuple[int, int]


@dataclass(frozen=True)
class FeatureKind:
    """A kind of local features.

    `extract` computes them from an upright image, perhaps by the network's map. For the ratio of
    the ratio test and `max_error` see `ranking.geometry.verify`; from `min_inliers` on two photos
    show the same thing.
    """

    extract: Callable[[Image.Image, ColumnsMap], LocalFeatures]
    ratio: float
    max_error: float
    min_inliers: int


LOCAL_FEATURES: dict[VerifiedBy, FeatureKind] = {
    "sift": FeatureKind(
        lambda image, columns_map: root_sift(image, LocalConfig(method="sift-vlad")),
        RATIO,
        MAX_ERROR,
        MIN_INLIERS,
    ),
    # Neighboring columns see almost the same, so that the ratio test must be mild; the error is in
    # positions of the map.
    "columns": FeatureKind(
        lambda image, columns_map: column_features(columns_map(image), image.size),
        ratio=0.98,
        max_error=1.0,
        min_inliers=25,
    ),
}
"""Kinds of local features by name; a new kind is one line."""


class PhotoMatcher:
    """Verifies photos against a query by local features, which it caches by file."""

    def __init__(
        self, by: VerifiedBy, columns_map: ColumnsMap, geometry: Geometry = "homography"
    ) -> None:
        self._kind, self._geometry = LOCAL_FEATURES[by], geometry
        self._columns_map = columns_map
        self._cache: cachetools.LRUCache[Path, tuple[LocalFeatures, Size]] = cachetools.LRUCache(
            max(CACHE_BYTES, int(CACHE_SHARE * (available_bytes() or 0))),
            getsizeof=lambda entry: entry[0].descriptors.nbytes,
        )

    def features(self, image: Image.Image) -> LocalFeatures:
        """Return the local features of an upright image, in its pixels."""
        return self._kind.extract(image, self._columns_map)

    def verify(
        self, query: QueryPhoto, paths: Sequence[Path | None]
    ) -> tuple[list[int], list[VerifiedMatch | None]]:
        """Verify results against a query.

        Args:
            query: the photo that was searched with.
            paths: of the results, nearest first; None for a removed photo.

        Returns:
            The new order, as indices of `paths`: first the photos that agree with the query on one
            geometry, most inliers first, then the others as they were; and each path's match,
            None where the file cannot be read: such a photo keeps its place.

        Raises:
            QueryError: the query cannot be read.
            UsageError: the method has no network for columns.
        """
        features, size = self._query_features(query)
        matches = [self._match(query, features, size, path) for path in paths]
        inliers = [match.inliers if match else None for match in matches]
        return order_by_inliers(inliers, self._kind.min_inliers), matches

    def _query_features(self, query: QueryPhoto) -> tuple[LocalFeatures, Size]:
        if query.path is None or query.box is not None or query.turned:
            return self.features(query.image), query.image.size
        try:
            return self._file_features(query.path)
        except ImageError as error:
            raise QueryError(
                f"{query.name or query.path}: {error}; spatial verification needs the file"
            ) from None

    def _file_features(self, path: Path) -> tuple[LocalFeatures, Size]:
        """Return a photo's local features, and the size of the image they were extracted from.

        Raises:
            ImageError: the photo cannot be read.
        """
        if path not in self._cache:
            image = load_image(path)
            self._cache[path] = self.features(image), image.size
        return self._cache[path]

    def _match(
        self, query: QueryPhoto, features: LocalFeatures, size: Size, path: Path | None
    ) -> VerifiedMatch | None:
        """Match a photo with the query, whose features were extracted from an image of `size`."""
        if path is None:
            return None
        try:
            other, decoded = self._file_features(path)
            verified = verify(
                features,
                other,
                ratio=self._kind.ratio,
                max_error=self._kind.max_error,
                geometry=self._geometry,
            )
            region = bounding_box(other.points[verified.matches[:, 1]])
            if region is not None:
                region = scale_box(region, decoded, image_size(path))
        except ImageError:
            return None
        query_region = bounding_box(features.points[verified.matches[:, 0]])
        if query_region is not None:
            query_region = query.in_photo(scale_box(query_region, size, query.image_size))
        return VerifiedMatch(verified.inliers, query_region, region)


def columns_map(extractor: Extractor, image: Image.Image) -> np.ndarray:
    """Compute the map (C, h, w) of an upright image whose columns are matched.

    Raises:
        UsageError: the method has no network.
    """
    config = extractor.config
    if not config.needs_network:
        raise UsageError(
            f"'columns' needs a network; {method_name(config)} has none", parameter="verify_by"
        )
    stage = config.spec.matching_layer
    return extractor.feature_maps(resized_copies(image, (COLUMNS_SIDE,)))[0][stage]


def column_features(feature_map: np.ndarray, size: tuple[int, int]) -> LocalFeatures:
    """Return the columns of a map (C, H, W) inside its border as local features.

    Points are in pixels of the photo, whose width and height are `size`.
    """
    height, width = feature_map.shape[1:]
    inside = ~border(feature_map)
    y, x = (axis.ravel()[inside] for axis in np.mgrid[:height, :width])
    step = np.array([size[0] / width, size[1] / height])
    points = (np.stack([x, y], axis=1) + 0.5) * step - 0.5
    columns = unit_columns(feature_map)[inside]
    return LocalFeatures(points.astype(np.float32), columns, float(step.max()))


def positions(maps: np.ndarray) -> np.ndarray:
    """Return a map (C, H, W) as one row for each position, (H * W, C).

    It is a view where channels come last in memory.
    """
    return maps.transpose(1, 2, 0).reshape(-1, len(maps))


def unit_columns(feature_map: np.ndarray) -> np.ndarray:
    """Return the columns (H * W, C) normalized to unit length; zero columns stay zero."""
    columns = positions(feature_map)
    lengths = np.sqrt(np.einsum("pc,pc->p", columns, columns))
    return columns / np.maximum(lengths, EPSILON)[:, None]


def border(feature_map: np.ndarray) -> np.ndarray:
    """Return which positions lie at the border of a map, bool (H * W,); none of a tiny map.

    There the network sees its own zero padding, which is the same in all photos.
    """
    height, width = feature_map.shape[1:]
    if min(height, width) < MIN_SIDE_WITH_BORDER:
        return np.zeros(height * width, bool)
    at_border = np.ones((height, width), bool)
    at_border[1:-1, 1:-1] = False
    return at_border.ravel()
