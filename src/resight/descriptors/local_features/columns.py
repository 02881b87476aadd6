"""Columns of a feature map: one feature for each position.

Source: Ng, Yang and Davis [44], "Exploiting local features from deep networks for image retrieval",
CVPR workshops 2015, section 3.
"""

import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.networks.runtimes import Network
from resight.photos.transforms import resized_copies
from resight.vectors import l2_normalize_rows


def prepare(image: Image.Image, config: LocalConfig) -> np.ndarray:
    """Return the copy of the photo for the network, uint8 (h, w, 3)."""
    return resized_copies(image, (config.longest_side,))[0]


def extract(prepared: np.ndarray, config: LocalConfig, network: Network) -> list[np.ndarray]:
    """Return the columns of the configured layer."""
    return [columns(network.feature_maps(prepared)[config.layer])]


def columns(feature_map: np.ndarray) -> np.ndarray:
    """Return the nonzero columns of a map (C, H, W), float32 (n, C), each of unit length."""
    rows = np.ascontiguousarray(feature_map.reshape(len(feature_map), -1).T)
    return l2_normalize_rows(rows[rows.any(axis=1)])
