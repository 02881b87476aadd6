"""Which positions of a photo's feature maps supply the values of its descriptor.

Each value is a sum of maxima over regions (section 4), so it can be split, exactly, over the
positions where these maxima lie.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resight.backbones import CHANNELS
from resight.config import ExtractionConfig
from resight.descriptor import FeatureMaps
from resight.fusion import early_fusion, rescale
from resight.pooling import modified_rmac
from resight.selection import Selection


@dataclass(frozen=True)
class Supply:
    """One layer of a photo.

    Attributes:
        values: float32 (C, H, W), the part that each position supplies to each value of the
            descriptor: the sum over the positions is the layer's part of the descriptor.
        columns: float32 (C', H, W), what the network saw at each position.
    """

    values: Tensor
    columns: Tensor


def rmac_supply(feature_map: Tensor, *, levels: int = 3, stride: float = 0.4) -> Tensor:
    """The modified R-MAC vector, split over the positions that supply it.

    A level's share of value c, `n = sqrt(sum of the squared maxima m)`, is split over its regions
    as `m**2 / n`, and within a region over the positions that hold the maximum, equally.

    Args:
        feature_map: (C, H, W), values >= 0.
        levels: scales L of the grid.
        stride: step between regions as a share of their side.

    Returns:
        (C, H, W), values >= 0; the sum over the positions is `modified_rmac`.
    """
    height, width = feature_map.shape[-2:]
    supply = torch.zeros_like(feature_map)
    vector = feature_map.new_zeros(len(feature_map))
    for level in range(1, levels + 1):
        side = max(1, math.ceil(2 * min(height, width) / (level + 1)))
        step = max(1, math.floor(stride * side))
        maxima = F.max_pool2d(feature_map[None], kernel_size=side, stride=step)[0]
        norms = torch.linalg.vector_norm(maxima, dim=(1, 2))
        vector += norms
        shares = maxima**2 / norms.clamp_min(torch.finfo(norms.dtype).tiny)[:, None, None]
        for row in range(maxima.shape[1]):
            for column in range(maxima.shape[2]):
                y, x = row * step, column * step
                region = feature_map[:, y : y + side, x : x + side]
                holds = region == maxima[:, row, column, None, None]
                each = shares[:, row, column] / holds.sum(dim=(1, 2))
                supply[:, y : y + side, x : x + side] += holds * each[:, None, None]
    length = torch.linalg.vector_norm(vector)
    return supply / length if length > 0 else supply


def photo_supply(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    mask: Tensor | None = None,
    selection: Selection | None = None,
) -> dict[str, Supply]:
    """Which positions supply the values of a photo's descriptor, for each layer.

    Args:
        resolutions: the feature maps of each resolution.
        config: fusion, layers and pooling.
        mask: (H, W) of `layer4`, for the local descriptor.
        selection: only the values it keeps are returned.
    """
    supplies: dict[str, Supply] = {}
    for layer in config.layers:
        maps = [resolution[layer] for resolution in resolutions]
        fused = fuse(resolutions, layer, config)
        if mask is not None:
            fused = fused * rescale(mask[None], fused, config.mask_interpolation)
        if config.fusion == "late":
            values = _late_supply(maps, fused, config)
        else:
            values = rmac_supply(fused, levels=config.levels, stride=config.stride)
        supplies[layer] = Supply(values, fused)
    if config.normalize_concatenation:
        supplies = _unit_length(supplies)
    if selection is None:
        return supplies
    chosen: dict[str, Supply] = {}
    start = 0
    for layer in config.layers:
        values, columns = supplies[layer].values, supplies[layer].columns
        inside = selection.indices - start
        inside = inside[(inside >= 0) & (inside < CHANNELS[layer])]
        kept = torch.from_numpy(inside).to(values.device)
        chosen[layer] = Supply(values[kept], columns)
        start += CHANNELS[layer]
    return _unit_length(chosen) if selection.renormalize else chosen


def fuse(resolutions: Sequence[FeatureMaps], layer: str, config: ExtractionConfig) -> Tensor:
    """The sum of a layer's maps (section 3), whatever the fusion of the descriptor: (C, H, W)."""
    return early_fusion(
        [maps[layer] for maps in resolutions],
        interpolation=config.fusion_interpolation,
        align_corners=config.fusion_align_corners,
    )


def _late_supply(maps: Sequence[Tensor], like: Tensor, config: ExtractionConfig) -> Tensor:
    """Each resolution's supply on the grid of the first, of the same sum for each value."""
    total = torch.zeros_like(like)
    for feature_map in maps:
        supply = rmac_supply(feature_map, levels=config.levels, stride=config.stride)
        vector = modified_rmac(feature_map, levels=config.levels, stride=config.stride)
        spread = rescale(supply, like, "bilinear")
        sums = spread.sum(dim=(1, 2)).clamp_min(torch.finfo(spread.dtype).tiny)
        total += spread * (vector / sums)[:, None, None]
    length = torch.linalg.vector_norm(total.sum(dim=(1, 2)))
    return total / length if length > 0 else total


def _unit_length(supplies: dict[str, Supply]) -> dict[str, Supply]:
    vector = torch.cat([supply.values.sum(dim=(1, 2)) for supply in supplies.values()])
    length = torch.linalg.vector_norm(vector)
    if length == 0:
        return supplies
    return {layer: Supply(s.values / length, s.columns) for layer, s in supplies.items()}
