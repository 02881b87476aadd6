"""The local features of a photo: keypoints, or parts of it as a network sees them.

Columns of a feature map: Ng, Yang and Davis [44], "Exploiting local features from deep networks for
image retrieval", CVPR workshops 2015, section 3. Cells, the maxima of a grid over the map: Razavian
et al. [33], "Visual instance retrieval with deep convolutional networks", 2016, section 3. Patches
at several scales: Gong, Wang, Guo and Lazebnik [9], "Multi-scale orderless pooling of deep
convolutional activation features", ECCV 2014, section 3.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.descriptors.local_features.sift import LocalFeatures, root_sift
from resight.networks.runtimes.network import Network
from resight.photos.images import resized_copies

STEP = 8
"""Patches are as far apart as an eighth of the photo (32 of 256 pixels in the paper)."""


def unit_length(rows: np.ndarray) -> np.ndarray:
    """Rows (..., C) divided by their lengths, float32; zero stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def columns(feature_map: np.ndarray) -> np.ndarray:
    """The columns of a map (C, H, W), (n, C), each of unit length, without those that are zero."""
    return _unit(np.ascontiguousarray(feature_map.reshape(len(feature_map), -1).T))


def cells(feature_map: np.ndarray, parts: int) -> np.ndarray:
    """The maxima of each channel in the cells of a grid over a map (C, H, W), row by row.

    Returns:
        (parts * parts, C), each of unit length; a cell without a place, or zero, stays zero.
    """
    channels, height, width = feature_map.shape
    found = np.zeros((parts * parts, channels), np.float32)
    for i, (y, x) in enumerate(np.ndindex(parts, parts)):
        top, bottom = y * height // parts, (y + 1) * height // parts
        left, right = x * width // parts, (x + 1) * width // parts
        if bottom > top and right > left:
            found[i] = feature_map[:, top:bottom, left:right].max(axis=(1, 2))
    return unit_length(found)


def patch_boxes(size: tuple[int, int], scale: int) -> list[tuple[int, int, int, int]]:
    """The patches of a photo of a width and height, left, top, right and bottom, row by row.

    A patch is the photo's width and height divided by the scale; one begins every eighth of them.
    """
    across, down = (_spans(length, scale) for length in size)
    return [(left, top, right, bottom) for top, bottom in down for left, right in across]


def _spans(length: int, scale: int) -> list[tuple[int, int]]:
    """Begin and end of the patches along a side, each one pixel or more."""
    starts = [start / STEP for start in range(STEP) if start / STEP + 1 / scale <= 1]
    begins = [min(round(start * length), length - 1) for start in starts]
    ends = [round((start + 1 / scale) * length) for start in starts]
    return [(begin, max(begin + 1, end)) for begin, end in zip(begins, ends, strict=True)]


def _prepare_copy(image: Image.Image, config: LocalConfig) -> np.ndarray:
    """The photo's copy that the network sees, uint8 (h, w, 3)."""
    return resized_copies(image, (config.longest_side,))[0]


def _prepare_patches(image: Image.Image, config: LocalConfig) -> list[list[np.ndarray]]:
    """Its patches at each scale, uint8 (side, side, 3)."""
    size = (config.patch_side, config.patch_side)
    return [
        [
            np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box))
            for box in patch_boxes(image.size, scale)
        ]
        for scale in config.scales
    ]


def _of_map(cut: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., list[np.ndarray]]:
    def features(copy: np.ndarray, config: LocalConfig, network: Network) -> list[np.ndarray]:
        feature_map = network.feature_maps(copy)[config.layer]
        return [cut(feature_map, scale) for scale in config.scales]

    return features


def _of_patches(
    patches: Sequence[Sequence[np.ndarray]], config: LocalConfig, network: Network
) -> list[np.ndarray]:
    """Each patch's map, averaged, of unit length: (n, C) for each scale."""
    return [
        _unit(np.stack([network.feature_maps(p)[config.layer].mean(axis=(1, 2)) for p in scale]))
        for scale in patches
    ]


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows (n, C) of unit length, without those that are zero."""
    return unit_length(rows[rows.any(axis=1)])


PREPARE: Mapping[str, Callable[[Image.Image, Any], Any]] = {
    "rootsift": root_sift,
    "columns": _prepare_copy,
    "cells": _prepare_copy,
    "patches": _prepare_patches,
}
"""Kind of features to what is made of an image without the network, in any thread."""

DESCRIBE: Mapping[str, Callable[..., list[np.ndarray]]] = {
    "rootsift": lambda features, config, network: [features.descriptors],
    "columns": _of_map(lambda feature_map, scale: columns(feature_map)),
    "cells": _of_map(cells),
    "patches": _of_patches,
}
"""Kind of features to what makes of that, configuration and network descriptors (n, D) by scale."""


def frames_of(prepared: Any) -> np.ndarray | None:
    """Angles and sizes (n, 2) of keypoints; None of what has none."""
    return prepared.frames if isinstance(prepared, LocalFeatures) else None
