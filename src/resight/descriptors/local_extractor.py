"""The methods of local features as an extractor: image, features, vector (sections 11 and 14)."""

import hashlib
import threading
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from resight.config import LocalConfig
from resight.descriptors.aggregation.table import AGGREGATIONS
from resight.descriptors.extractor import Description, Features, FittedParams
from resight.descriptors.local_features.features import DESCRIBE, PREPARE, frames_of, unit_length
from resight.errors import FitError
from resight.networks.runtimes.network import Network
from resight.reductions.pfa import principal_components

BLOCK = 4096
"""Features whose components are computed at once."""

SAMPLED_BYTES = 256 << 20
"""Features of a network that are kept of photos that were learned from: all 300 of patches."""

MEAN, COMPONENTS = "pca.mean", "pca.components"


class LocalExtractor:
    """Local features, perhaps projected on their principal components, and aggregated.

    The features of each scale are projected and aggregated by themselves, and the vectors stand
    side by side. A scale that has but one feature, the whole photo, is that feature.
    """

    def __init__(
        self,
        config: LocalConfig,
        network: Network | None = None,
        learned: FittedParams | None = None,
        sampled: dict[bytes, Features] | None = None,
    ) -> None:
        """Take the network, if it needs one, and what was learned, without which it but learns.

        `sampled` are features of photos that were learned from, and will soon be described.
        """
        self.config = config
        self.network = network
        self.learned = learned or {}
        self._sampled = {} if sampled is None else sampled
        self._photos = threading.BoundedSemaphore(self.concurrency)

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        if self.config.aggregation == "triangulation":
            return int(self.learned["projection"].shape[1])
        return sum(self.config.nominal_sizes)

    @property
    def decode_size(self) -> int | None:
        """Twice the side at which keypoints are found."""
        return 2 * self.config.longest_side if self.config.features == "rootsift" else None

    @property
    def concurrency(self) -> int:
        """Photos that the network works on at the same time."""
        return 1

    def prepare(self, image: Image.Image) -> Any:
        """Keypoints, or what the network is to see."""
        return PREPARE[self.config.features](image, self.config)

    def describe(self, prepared: Any) -> Description:
        """The descriptor of a photo from that."""
        kinds, frames = self._known(prepared) or self._features(prepared), frames_of(prepared)
        parts = []
        for number, kind in enumerate(kinds):
            learned = _of_kind(self.learned, number, len(kinds))
            features = _project(kind, learned)
            if self._is_whole(number):
                parts.append(unit_length(features.sum(axis=0)))
            else:
                aggregation = AGGREGATIONS[self.config.aggregation]
                parts.append(aggregation.apply(features, frames, learned, self.config))
        return Description(np.concatenate(parts).astype(np.float32))

    def feature_maps(self, copies: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """The network's maps of each copy, as `Extractor` says."""
        if self.network is None:
            raise ValueError("a method without a network has no maps")
        with self._photos:
            return [self.network.feature_maps(copy) for copy in copies]

    def _features(self, prepared: Any) -> Features:
        with self._photos:
            return DESCRIBE[self.config.features](prepared, self.config, self.network)

    def _known(self, prepared: Any) -> Features | None:
        """The features of a photo that was learned from; they are asked for but once."""
        return self._sampled.pop(_key(prepared), None) if self._sampled else None

    def _is_whole(self, number: int) -> bool:
        patches = self.config.features in ("cells", "patches")
        return patches and self.config.scales[number] == 1

    # As a `Fittable`

    @property
    def max_samples(self) -> int:
        """Features of each scale that are fitted on, at most."""
        return self.config.sample

    @property
    def seed(self) -> int:
        """Of their choice, and of the k-means."""
        return self.config.seed

    def sample(self, image: Image.Image) -> Features:
        """The image's features."""
        prepared = self.prepare(image)
        features = self._features(prepared)
        size = sum(kind.nbytes for kind in features)
        if self.network is not None and (len(self._sampled) + 1) * size <= SAMPLED_BYTES:
            self._sampled[_key(prepared)] = features
        return features

    def fit(self, photos: Sequence[Features]) -> FittedParams:
        """Principal components, and what the aggregation learns, for each scale."""
        found: dict[str, np.ndarray] = {}
        kinds = len(photos[0])
        for number in range(kinds):
            features = [photo[number] for photo in photos]
            learned: dict[str, np.ndarray] = {}
            # Of the whole photo there is one feature, and photos may be fewer than components.
            if self.config.values is not None and not self._is_whole(number):
                learned |= _fit_components(features, self.config.values)
                features = [_project(photo, learned) for photo in features]
            if not self._is_whole(number):
                learned |= AGGREGATIONS[self.config.aggregation].learn(features, self.config)
            found |= {_prefix(number, kinds) + name: values for name, values in learned.items()}
        return found

    def with_params(self, learned: FittedParams) -> "LocalExtractor":
        """The extractor that knows that."""
        return LocalExtractor(self.config, self.network, learned, self._sampled)


def _key(prepared: Any) -> bytes:
    """What the network is to see of a photo, by its content."""
    digest = hashlib.blake2b(digest_size=16)
    copies = [prepared] if isinstance(prepared, np.ndarray) else chain(*prepared)
    for copy in copies:
        digest.update(str(copy.shape).encode())
        digest.update(np.ascontiguousarray(copy).data)
    return digest.digest()


def _prefix(number: int, kinds: int) -> str:
    return f"{number}." if kinds > 1 else ""


def _of_kind(learned: FittedParams, number: int, kinds: int) -> FittedParams:
    prefix = _prefix(number, kinds)
    return {n.removeprefix(prefix): v for n, v in learned.items() if n.startswith(prefix)}


def _fit_components(photos: Sequence[np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Mean (D,) and leading principal components (D, count) of features."""
    rows = np.concatenate(photos)
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    with threadpool_limits(limits=1):  # the same numbers whatever the number of threads
        spectrum = principal_components(blocks)
    kept = int(np.count_nonzero(spectrum.variances > spectrum.variances[0] * 1e-10))
    if kept < count:
        raise FitError(
            f"the local features vary in {kept} directions, and {count} are to be kept: index "
            "more photos with texture, or keep fewer values"
        )
    vectors = spectrum.vectors[:, :count]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(count)]
    vectors = vectors * np.sign(largest)  # the signs of a decomposition are arbitrary
    return {
        MEAN: rows.mean(axis=0, dtype=np.float64).astype(np.float32),
        # Laid out as they will be read again: the order of a sum is part of its rounding.
        COMPONENTS: np.ascontiguousarray(vectors, np.float32),
    }


def _project(features: np.ndarray, learned: FittedParams) -> np.ndarray:
    """Features (n, D) on their principal components (n, d), or as they are where none are known."""
    if MEAN not in learned:
        return features
    return np.asarray((features - learned[MEAN]) @ learned[COMPONENTS])
