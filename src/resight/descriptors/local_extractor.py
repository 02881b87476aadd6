"""Extractor of local features, aggregated into one descriptor (sections 11 and 15)."""

import copy
import hashlib
import threading
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from resight.config import LocalConfig
from resight.descriptors.aggregation import AGGREGATIONS
from resight.descriptors.extractor import (
    Description,
    Features,
    FittedParams,
    check_finite,
    check_names,
)
from resight.descriptors.local_features import LOCAL_FEATURES
from resight.descriptors.local_features.rootsift import LocalFeatures
from resight.errors import FitError
from resight.networks.runtimes import Network
from resight.vectors import l2_normalize_rows, principal_components, with_positive_peaks

BLOCK = 4096
"""Features per block while principal components are fitted."""

MAX_CACHED_BYTES = 256 << 20
"""Limit of the cache of a network's features of sampled photos: holds all 300 of patches."""

MEAN, COMPONENTS = "pca.mean", "pca.components"


class LocalExtractor:
    """Local features, optionally projected on principal components, and their aggregation.

    The features of each scale are projected and aggregated separately, and the vectors are
    concatenated. A scale with a single feature, the whole photo, is that feature.
    """

    def __init__(self, config: LocalConfig, network: Network | None = None) -> None:
        """Create an extractor, which can describe photos after `with_params`.

        Raises:
            UsageError: no such kind of features or aggregation.
        """
        check_names(config)
        self.config = config
        self.network = network
        self.params: FittedParams = {}
        self.concurrency = 1
        self.precision = "float32"
        self._slot = threading.Lock()  # of the network
        self._sampled: dict[bytes, Features] = {}

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        if self.config.aggregation == "triangulation":
            return int(self.params["projection"].shape[1])
        return sum(self.config.nominal_sizes)

    @property
    def decode_size(self) -> int | None:
        """Twice the side at which keypoints are detected."""
        return 2 * self.config.longest_side if self.config.features == "rootsift" else None

    def prepare(self, image: Image.Image) -> Any:
        """Return the keypoints, or the input of the network."""
        return LOCAL_FEATURES[self.config.features].prepare(image, self.config)

    def feature_maps(self, copies: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Return the network's maps of each copy, uint8 (H, W, 3)."""
        if self.network is None:
            raise ValueError("a method without a network has no maps")
        with self._slot:
            return [self.network.feature_maps(pixels) for pixels in copies]

    def describe(self, prepared: Any, *, columns: bool = False) -> Description:
        """Compute the descriptor of a photo; it has no columns."""
        # A sampled photo is described only once, so that its features can leave the cache.
        cached = self._sampled.pop(_key(prepared), None) if self._sampled else None
        scales = cached or self._extract(prepared)
        frames = prepared.frames if isinstance(prepared, LocalFeatures) else None
        parts = [self._aggregate(features, frames, i) for i, features in enumerate(scales)]
        return check_finite(Description(np.concatenate(parts).astype(np.float32)))

    @property
    def max_samples(self) -> int:
        """Maximum number of features of each scale to fit on."""
        return self.config.sample

    @property
    def seed(self) -> int:
        """Seed of their choice and of the k-means."""
        return self.config.seed

    def sample(self, image: Image.Image) -> Features:
        """Return the image's features, and keep a network's for `describe`."""
        prepared = self.prepare(image)
        scales = self._extract(prepared)
        size = sum(features.nbytes for features in scales)
        if self.network is not None and (len(self._sampled) + 1) * size <= MAX_CACHED_BYTES:
            self._sampled[_key(prepared)] = scales
        return scales

    def fit(self, photos: Sequence[Features]) -> FittedParams:
        """Fit principal components and the parameters of the aggregation, for each scale."""
        params: dict[str, np.ndarray] = {}
        for i in range(len(self.config.scales)):
            # The whole photo is one feature per photo, and photos may be fewer than components.
            if self._is_whole_photo(i):
                continue
            features = [photo[i] for photo in photos]
            fitted: dict[str, np.ndarray] = {}
            if self.config.values is not None:
                fitted |= _fit_components(features, self.config.values)
                features = [_project(photo, fitted) for photo in features]
            fitted |= AGGREGATIONS[self.config.aggregation].fit(features, self.config)
            params |= {self._prefix(i) + name: values for name, values in fitted.items()}
        return params

    def with_params(self, params: FittedParams) -> "LocalExtractor":
        """Return an extractor with fitted parameters that shares the network with this one."""
        fitted = copy.copy(self)
        fitted.params = params
        return fitted

    def _extract(self, prepared: Any) -> Features:
        with self._slot:
            return LOCAL_FEATURES[self.config.features].extract(prepared, self.config, self.network)

    def _aggregate(self, features: np.ndarray, frames: np.ndarray | None, i: int) -> np.ndarray:
        if self._is_whole_photo(i):
            return l2_normalize_rows(features.sum(axis=0))
        prefix = self._prefix(i)
        params = {
            name.removeprefix(prefix): values
            for name, values in self.params.items()
            if name.startswith(prefix)
        }
        aggregation = AGGREGATIONS[self.config.aggregation]
        return aggregation.apply(_project(features, params), frames, params, self.config)

    def _is_whole_photo(self, i: int) -> bool:
        return self.config.features in ("cells", "patches") and self.config.scales[i] == 1

    def _prefix(self, i: int) -> str:
        """Return the prefix of a scale's parameters in the names of all."""
        return f"{i}." if len(self.config.scales) > 1 else ""


def _key(prepared: Any) -> bytes:
    """Return a hash of the input of the network."""
    digest = hashlib.blake2b(digest_size=16)
    copies = [prepared] if isinstance(prepared, np.ndarray) else chain(*prepared)
    for pixels in copies:
        digest.update(str(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _fit_components(photos: Sequence[np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Fit the mean (D,) and leading principal components (D, count) of features."""
    rows = np.concatenate(photos)
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    with threadpool_limits(limits=1):  # the same numbers for any number of threads
        spectrum = principal_components(blocks)
    rank = int(np.count_nonzero(spectrum.variances > spectrum.variances[0] * 1e-10))
    if rank < count:
        raise FitError(
            f"the local features vary in {rank} directions, fewer than the {count} values to keep: "
            "index more photos with texture, or keep fewer values"
        )
    vectors = with_positive_peaks(spectrum.vectors[:, :count])
    return {
        MEAN: rows.mean(axis=0, dtype=np.float64).astype(np.float32),
        # In the memory layout of the stored array: the order of a sum decides its rounding.
        COMPONENTS: np.ascontiguousarray(vectors, np.float32),
    }


def _project(features: np.ndarray, params: FittedParams) -> np.ndarray:
    """Project features (n, D) on principal components, if any were fitted: (n, d)."""
    if MEAN not in params:
        return features
    return np.asarray((features - params[MEAN]) @ params[COMPONENTS])
