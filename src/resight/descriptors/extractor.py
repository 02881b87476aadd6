"""Interfaces of the extractors, which turn an image into its descriptors.

Extraction has two steps, so that preparing the next photos (decoding, resizing, keypoints) runs in
threads while the network computes the current one. The second step may run in several threads, so
that the maps of one photo are pooled while the network computes the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from resight.config import ExtractionConfig, LocalConfig, MethodConfig
from resight.config.extraction import HEADS
from resight.descriptors.columns import Columns
from resight.errors import ImageError, UsageError

FittedParams = Mapping[str, np.ndarray]
"""Parameters fitted on photos before extraction: float32 arrays by name."""

Features = Sequence[np.ndarray]
"""Local features of a photo, float32 (n, D) for each group (scale or layer) that is fitted
separately."""


@dataclass(frozen=True)
class Description:
    """The descriptors and evidence of a photo.

    Attributes:
        global_: its descriptor, float32 (D,).
        local: the same under the class activation map, only with class activation maps.
        columns: of the network's map, to be matched; None if not asked for, or without a network.
        evidence: see `evidence.encoding.to_bytes`; None where none is kept.
    """

    global_: np.ndarray
    local: np.ndarray | None = None
    columns: Columns | None = None
    evidence: bytes | None = None


def check_finite(description: Description) -> Description:
    """Return a description whose values are finite.

    Raises:
        ImageError: they are not, as with damaged weights or after an overflow.
    """
    for values in (description.global_, description.local):
        if values is not None and not np.isfinite(values).all():
            raise ImageError("its descriptor is not finite; are the weights damaged?")
    return description


class Extractor(Protocol):
    """Computes the descriptors of an upright RGB image."""

    @property
    def config(self) -> MethodConfig:
        """The method's configuration."""

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""

    @property
    def decode_size(self) -> int | None:
        """Longest side, in pixels, to which JPEG decoding may reduce a photo; None: full size."""

    @property
    def concurrency(self) -> int:
        """Number of photos that the slowest part of `describe` computes at the same time.

        One more thread that calls `describe` keeps that part busy.
        """

    @property
    def precision(self) -> str:
        """The arithmetic of the network on this machine: float32, bfloat16, float16 or int8."""

    def prepare(self, image: Image.Image) -> Any:
        """Prepare an image for `describe`; may run in any thread."""

    def describe(self, prepared: Any, *, columns: bool = False) -> Description:
        """Compute the descriptors of a prepared image; may run in several threads.

        Args:
            prepared: by `prepare`.
            columns: also code the columns of the network's first map, if the method has one.
        """

    def feature_maps(self, copies: list[np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """Return the network's maps of each copy, uint8 (H, W, 3), at the stages it was loaded for.

        They include the stage whose columns are matched in spatial verification.

        Raises:
            ValueError: the method has no network.
        """


class Fittable(Protocol):
    """An extractor with parameters, such as a vocabulary, that are fitted on photos first."""

    @property
    def max_samples(self) -> int:
        """Maximum number of features of each group to fit on."""

    @property
    def seed(self) -> int:
        """Seed of their random choice."""

    @property
    def decode_size(self) -> int | None:
        """As in `Extractor`."""

    def sample(self, image: Image.Image) -> Features:
        """Return the features of an image to fit on."""

    def fit(self, photos: Sequence[Features]) -> FittedParams:
        """Fit the parameters on each photo's features, or on a random part of them.

        Raises:
            FitError: too few features.
        """

    def with_params(self, params: FittedParams) -> Extractor:
        """Return an extractor with these parameters that shares the network with this one."""


def check_names(config: MethodConfig) -> None:
    """Check that a configuration's pooling, or its local features and aggregation, exist.

    Configurations accept any name: the tables lie in the layer above them.

    Raises:
        UsageError: names the field and the valid values.
    """
    if isinstance(config, ExtractionConfig):
        from resight.descriptors.pooling import POOLINGS

        _check("pooling", config.pooling, [*POOLINGS, "rmac-whitened", *HEADS])
    if isinstance(config, LocalConfig):
        from resight.descriptors.aggregation import AGGREGATIONS
        from resight.descriptors.local_features import LOCAL_FEATURES  # imports OpenCV

        _check("features", config.features, LOCAL_FEATURES)
        _check("aggregation", config.aggregation, AGGREGATIONS)


def _check(field: str, name: str, valid: Iterable[str]) -> None:
    names = list(valid)
    if name not in names:
        raise UsageError(f"{field}: expected one of {', '.join(names)}, not {name!r}")
