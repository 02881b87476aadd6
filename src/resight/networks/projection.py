"""Affine maps of vectors to unit length, and what fine-tuned weights bring of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from resight.vectors import l2_normalize_rows


@dataclass(frozen=True)
class Projection:
    """PCA-whitening, or a layer that was learned: float32 weight (d, D) and bias (d,)."""

    weight: np.ndarray
    bias: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (..., D) as weight x + bias, of unit length, float32 (..., d); zeros stay so."""
        return l2_normalize_rows(vectors @ self.weight.T + self.bias)


@dataclass(frozen=True)
class RetrievalHead:
    """What weights that were fine-tuned for retrieval do behind the network's last map.

    Attributes:
        power: of the generalized mean of the map; infinity is the maximum.
        unit: whether that has unit length before it is projected.
        projection: of each resolution's vector, trained with the network.
        whitening: of the whole descriptor, fitted afterwards, on descriptors of one resolution.
        whitening_of_several: the same, of more than one.
    """

    pooling: ClassVar[str] = "fine-tuned"

    power: float
    unit: bool = True
    projection: Projection | None = None
    whitening: Projection | None = None
    whitening_of_several: Projection | None = None

    def last(self, resolutions: int) -> Projection | None:
        """The whitening for descriptors of so many resolutions."""
        return self.whitening if resolutions == 1 else self.whitening_of_several

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Length of the descriptor, from maps of so many channels."""
        for projection in (self.last(resolutions), self.projection):
            if projection is not None:
                return len(projection.bias)
        return channels


@dataclass(frozen=True)
class NetVlad:
    """What weights that were trained with a NetVLAD layer do behind the last convolution.

    Attributes:
        layer: its `words`, `weights` and `biases`, as `descriptors.netvlad` takes them.
        whitening: of the layer's vector; None where the weights bring none.
    """

    pooling: ClassVar[str] = "netvlad"

    layer: Mapping[str, np.ndarray]
    whitening: Projection | None = None

    def dimensions(self, channels: int, resolutions: int) -> int:
        """Length of the descriptor, as that of a `RetrievalHead`."""
        if self.whitening is not None:
            return len(self.whitening.bias)
        return channels * len(self.layer["words"])
