"""Patches of the photo at several scales, each by the averaged map of a network.

Source: Gong, Wang, Guo and Lazebnik [9], "Multi-scale orderless pooling of deep convolutional
activation features", ECCV 2014, section 3.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.networks.runtimes import Network
from resight.vectors import l2_normalize_rows

STEPS = 8
"""Patches are an eighth of the photo apart (32 of 256 pixels in the paper)."""


def prepare(image: Image.Image, config: LocalConfig) -> list[list[np.ndarray]]:
    """Return the photo's patches at each scale, uint8 (side, side, 3)."""
    size = (config.patch_side, config.patch_side)
    return [
        [
            np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))
            for box in patch_boxes(image.size, scale)
        ]
        for scale in config.scales
    ]


def extract(
    prepared: Sequence[Sequence[np.ndarray]], config: LocalConfig, network: Network
) -> list[np.ndarray]:
    """Return the averaged map of each patch, of unit length, without zero ones."""
    scales = []
    for patches in prepared:
        maps = (network.feature_maps(patch)[config.layer] for patch in patches)
        means = np.stack([feature_map.mean(axis=(1, 2)) for feature_map in maps])
        scales.append(l2_normalize_rows(means[means.any(axis=1)]))
    return scales


def patch_boxes(size: tuple[int, int], scale: int) -> list[tuple[int, int, int, int]]:
    """Return the patches of a photo (width, height) as left, top, right and bottom, row by row.

    A patch has the photo's width and height divided by the scale; they start every eighth of those.
    """
    width, height = size
    return [
        (left, top, right, bottom)
        for top, bottom in _spans(height, scale)
        for left, right in _spans(width, scale)
    ]


def _spans(length: int, scale: int) -> list[tuple[int, int]]:
    """Return the start and end of the patches along a side, at least one pixel each."""
    spans = []
    for step in range(STEPS):
        start = step / STEPS
        if start + 1 / scale <= 1:
            first = min(round(start * length), length - 1)
            spans.append((first, max(first + 1, round((start + 1 / scale) * length))))
    return spans
