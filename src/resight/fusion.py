"""One representation from several resolutions of a photo (section 3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.pooling import l2_normalize


def early_fusion(
    feature_maps: Sequence[Tensor], *, interpolation: str = "bilinear", align_corners: bool = False
) -> Tensor:
    """The sum of feature maps, each rescaled to the size of the first.

    Args:
        feature_maps: (C, H_r, W_r) for each resolution r.
        interpolation: `nearest`, `bilinear` or `bicubic`.
        align_corners: torch's convention for the corners (not with `nearest`).

    Returns:
        (C, H_1, W_1), not divided by the number of maps: the descriptor is normalized later.

    Source: Seddati et al. 2017, section 3.4 and algorithm 1, "Scale + SUM".
    """
    fused = feature_maps[0].clone()
    for other in feature_maps[1:]:
        fused += rescale(other, fused, interpolation, align_corners)
    return fused


def late_fusion(vectors: Sequence[Tensor]) -> Tensor:
    """The normalized sum of the resolutions' vectors (D,), each normalized first.

    Source: Gordo et al. 2016, as the paper cites it (its rows "M-R").
    """
    return l2_normalize(torch.stack([l2_normalize(vector) for vector in vectors]).sum(dim=0))


def rescale(
    feature_map: Tensor, like: Tensor, interpolation: str, align_corners: bool = False
) -> Tensor:
    """A map (C, H, W) at the height and width of another."""
    size = (like.shape[-2], like.shape[-1])
    corners = None if interpolation == "nearest" else align_corners
    scaled = F.interpolate(feature_map[None], size, mode=interpolation, align_corners=corners)
    return scaled[0]
