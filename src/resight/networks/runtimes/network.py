"""The interface of a network that is ready for inference on a runtime."""

from collections.abc import Collection
from typing import Protocol

import numpy as np

from resight.networks.backbone import BackboneSpec


class Network(Protocol):
    """A network on a runtime, ready for inference."""

    @property
    def concurrency(self) -> int:
        """Images that are computed at the same time when that many threads call."""

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the feature maps of an image.

        Args:
            pixels: uint8 (H, W, 3), RGB.

        Returns:
            Each layer that the network was loaded for, float32 (C, h, w): for a ResNet `layer3`,
            (1024, H / 16, W / 16), and `layer4`, (2048, H / 32, W / 32), sizes rounded up.
        """


def pad_to_min_side(pixels: np.ndarray, spec: BackboneSpec, layers: Collection[str]) -> np.ndarray:
    """Repeat the border of an image, uint8 (H, W, 3), until every layer has a position."""
    min_side = spec.min_side(layers)
    below, right = (max(0, min_side - side) for side in pixels.shape[:2])
    if not below and not right:
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
