"""From a feature map to a vector (section 4)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def modified_rmac(feature_map: Tensor, *, levels: int = 3, stride: float = 0.4) -> Tensor:
    """The paper's modified R-MAC: maxima over square regions, square sum-pooled at each scale.

    Level l has regions of side k = ceil(2 min(H, W) / (l + 1)), every floor(0.4 k) positions;
    its share of the vector is the root of the sum of the squared maxima, for each channel.

    Args:
        feature_map: (C, H, W), values >= 0.
        levels: scales L of the grid.
        stride: step between regions as a share of their side, 0.4 for 60 % overlap.

    Returns:
        (C,) of unit length; zero for a zero map.

    Source: Seddati et al. 2017, algorithm 1, OS_RMAC; after Tolias et al. 2015.
    """
    smaller_side = min(feature_map.shape[-2:])
    vector = feature_map.new_zeros(feature_map.shape[0])
    for level in range(1, levels + 1):
        side = max(1, math.ceil(2 * smaller_side / (level + 1)))
        step = max(1, math.floor(stride * side))
        maxima = F.max_pool2d(feature_map[None], kernel_size=side, stride=step)[0]
        vector += torch.linalg.vector_norm(maxima, dim=(1, 2))
    return l2_normalize(vector)


def l2_normalize(vector: Tensor) -> Tensor:
    """A vector (D,) divided by its Euclidean length; a zero vector stays zero."""
    length = torch.linalg.vector_norm(vector)
    return vector / length if length > 0 else vector
