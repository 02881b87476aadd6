"""Geometric verification of results: local features of photos, and the order that they give.

Two photos are compared by `ranking.verification`; here is what is compared, SIFT or the columns of
one of the network's maps, read from files, and kept at hand as far as memory is for that.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import Geometry, LocalConfig, VerifiedBy
from resight.descriptors.extractor import Extractor
from resight.descriptors.local_features.rootsift import LocalFeatures, root_sift
from resight.errors import ImageError, UsageError
from resight.memory import available_bytes
from resight.methods.catalogue import method_name
from resight.networks.specs import BACKBONES
from resight.photos.images import image_size, load_image
from resight.photos.transforms import Box, resized_copies, scale_box
from resight.ranking.geometry import MIN_INLIERS, Verification, rerank, verify
from resight.views.heatmaps import (
    COLUMNS_SIDE,
    MATCH_ERROR,
    MATCH_RATIO,
    MIN_COLUMNS,
    place_features,
)

KEPT_BYTES = 256 << 20
"""Local features that may be asked for again: columns of some 35 photos, or SIFT of 250."""
KEPT_SHARE = 0.25
"""Of the memory at hand they may take this where it is more: who ranks for every photo of a
collection meets each of them twenty times."""

ColumnsMap = Callable[[Image.Image], np.ndarray]
"""From an upright image to the network's map whose columns are matched, (C, h, w)."""


@dataclass(frozen=True)
class VerifiedMatch:
    """What a result has in common with the query.

    Attributes:
        inliers: local features that agree on one geometry.
        query_region: the smallest box of the query that holds them all; None without any.
        region: likewise in the result.
    """

    inliers: int
    query_region: Box | None
    region: Box | None


class PhotoMatcher:
    """Compares photos by their local features."""

    def __init__(
        self, by: VerifiedBy, columns_map: ColumnsMap, geometry: Geometry = "homography"
    ) -> None:
        self._by, self._columns_map, self._geometry = by, columns_map, geometry
        self._kept: OrderedDict[Path, tuple[LocalFeatures, tuple[int, int]]] = OrderedDict()
        self._bytes = 0
        self._at_most = max(KEPT_BYTES, int(KEPT_SHARE * (available_bytes() or 0)))

    def features(self, image: Image.Image) -> LocalFeatures:
        """The local features of an upright image, in its pixels."""
        if self._by == "sift":
            return root_sift(image, LocalConfig(method="sift-vlad"))
        return place_features(self._columns_map(image), image.size)

    def of_file(self, path: Path) -> tuple[LocalFeatures, tuple[int, int]]:
        """A photo's local features, and the size of the image they were found in.

        Raises:
            ImageError: the photo cannot be read.
        """
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        image = load_image(path)
        features = self.features(image)
        self._kept[path] = features, image.size
        self._bytes += features.descriptors.nbytes
        while self._bytes > self._at_most and len(self._kept) > 1:
            _, (oldest, _) = self._kept.popitem(last=False)
            self._bytes -= oldest.descriptors.nbytes
        return features, image.size

    def check(self, query: LocalFeatures, path: Path) -> VerifiedMatch:
        """What a photo has in common with a query, regions in pixels of the images themselves.

        Raises:
            ImageError: the photo cannot be read.
        """
        other, decoded = self.of_file(path)
        found = self._compare(query, other)
        boxes = [
            _around(features.points[found.matches[:, side]])
            for side, features in enumerate((query, other))
        ]
        region = boxes[1] and scale_box(boxes[1], decoded, image_size(path))
        return VerifiedMatch(found.inliers, boxes[0], region)

    def order(
        self, query: LocalFeatures, paths: Sequence[Path]
    ) -> tuple[list[int], list[VerifiedMatch | None]]:
        """Results in a new order, and what each has in common with the query.

        Args:
            query: local features of the query.
            paths: results, nearest first.

        Returns:
            Places among `paths`: first those that agree with the query on one geometry, most
            inliers first, then the others as they were; and one finding for each path, None where
            the file cannot be read: such a photo keeps its place by distance.
        """
        found: list[VerifiedMatch | None] = []
        for path in paths:
            try:
                found.append(self.check(query, path))
            except ImageError:
                found.append(None)
        least = MIN_COLUMNS if self._by == "columns" else MIN_INLIERS
        inliers = [checked.inliers if checked else 0 for checked in found]
        return rerank(range(len(paths)), inliers, least), found

    def _compare(self, query: LocalFeatures, other: LocalFeatures) -> Verification:
        if self._by == "sift":
            return verify(query, other, geometry=self._geometry)
        return verify(
            query, other, ratio=MATCH_RATIO, max_error=MATCH_ERROR, geometry=self._geometry
        )


def columns_map(extractor: Extractor, image: Image.Image) -> np.ndarray:
    """The map (C, h, w) of an upright image whose columns are matched.

    Raises:
        UsageError: the method has no network.
    """
    config = extractor.config
    if not config.needs_network:
        raise UsageError(f"--verify-by columns: needs a network; {method_name(config)} has none")
    stage = BACKBONES[config.backbone].matching_layer
    return extractor.feature_maps(resized_copies(image, (COLUMNS_SIDE,)))[0][stage]


def _around(points: np.ndarray) -> Box | None:
    """The smallest box of whole pixels that holds the centers of some, (N, 2); None of none."""
    if not len(points):
        return None
    left, top = np.floor(points.min(axis=0) + 0.5).astype(int).tolist()
    right, bottom = np.floor(points.max(axis=0) + 0.5).astype(int).tolist()
    return left, top, right - left + 1, bottom - top + 1
