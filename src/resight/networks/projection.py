"""Affine projections to unit length, and the retrieval heads of fine-tuned weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from resight.vectors import l2_normalize_rows


@dataclass(frozen=True)
class Projection:
    """PCA-whitening or a learned layer: weight, float32 (d, D), and bias, float32 (d,)."""

    weight: np.ndarray
    bias: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Compute weight x + bias of vectors (..., D) at unit length, float32 (..., d)."""
        return l2_normalize_rows(vectors @ self.weight.T + self.bias)


@dataclass(frozen=True)
class RetrievalHead:
    """The head of weights that were fine-tuned for retrieval, on the network's last map.

    Attributes:
        power: of the generalized mean of the map; infinity is the maximum.
        unit: whether the mean has unit length before it is projected.
        projection: of each resolution's vector, trained with the network.
        whitening: of the descriptor of one resolution, fitted afterwards.
        multi_scale_whitening: of the descriptor of several resolutions.
    """

    pooling: ClassVar[str] = "fine-tuned"

    power: float
    unit: bool = True
    projection: Projection | None = None
    whitening: Projection | None = None
    multi_scale_whitening: Projection | None = None

    def whitening_for(self, resolutions: int) -> Projection | None:
        """Return the whitening for descriptors of a number of resolutions."""
        return self.whitening if resolutions == 1 else self.multi_scale_whitening

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Return the length of the descriptor of a map with a number of channels."""
        for projection in (self.whitening_for(resolutions), self.projection):
            if projection is not None:
                return len(projection.bias)
        return channels


@dataclass(frozen=True)
class NetVlad:
    """The head of weights that were trained with a NetVLAD layer, on the last convolution.

    Attributes:
        layer: its `words`, `weights` and `biases`, as `descriptors.aggregation.netvlad` takes them.
        whitening: of the layer's vector; None if the weights have none.
    """

    pooling: ClassVar[str] = "netvlad"

    layer: Mapping[str, np.ndarray]
    whitening: Projection | None = None

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Return the length of the descriptor, see `RetrievalHead`."""
        if self.whitening is not None:
            return len(self.whitening.bias)
        return channels * len(self.layer["words"])
