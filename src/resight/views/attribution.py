"""Which positions of a photo's feature maps supply the values of its descriptor.

Each value is a sum of maxima over regions (section 4), so it can be split, exactly, over the
positions where these maxima lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.fusion import rescale
from resight.descriptors.pipeline import FeatureMaps, fuse
from resight.descriptors.pooling.modified_rmac import modified_rmac, region_maxima, rmac_grid
from resight.networks.specs import BACKBONES
from resight.reductions.pfa import Selection

TINY = np.finfo(np.float32).tiny
"""Divides in place of zero."""


@dataclass(frozen=True)
class Attribution:
    """One layer of a photo.

    Attributes:
        values: float32 (C, H, W), the part that each position supplies to each value of the
            descriptor: the sum over the positions is the layer's part of the descriptor.
        columns: float32 (C', H, W), what the network saw at each position.
    """

    values: np.ndarray
    columns: np.ndarray


def rmac_supply(feature_map: np.ndarray, *, levels: int = 3, stride: float = 0.4) -> np.ndarray:
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
    channels, height, width = feature_map.shape
    places = feature_map.transpose(1, 2, 0)
    supply = np.zeros((height, width, channels), np.float32)
    vector = np.zeros(channels, np.float32)
    for side, step in rmac_grid((height, width), levels=levels, stride=stride):
        maxima = region_maxima(feature_map, side, step)
        norms = np.sqrt(np.square(maxima).sum(axis=(1, 2)))
        vector += norms
        shares = maxima**2 / np.maximum(norms, TINY)[:, None, None]
        for row, column in np.ndindex(maxima.shape[1:]):
            y, x = row * step, column * step
            part = slice(y, y + side), slice(x, x + side)
            _split(shares[:, row, column], places[part], maxima[:, row, column], supply[part])
    length = np.linalg.norm(vector)
    return (supply / length if length > 0 else supply).transpose(2, 0, 1)


def photo_supply(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    mask: np.ndarray | None = None,
    selection: Selection | None = None,
) -> dict[str, Attribution]:
    """Which positions supply the values of a photo's descriptor, for each layer.

    Args:
        resolutions: the feature maps of each resolution.
        config: fusion, layers and pooling.
        mask: (H, W) of `layer4`, for the local descriptor.
        selection: only the values it keeps are returned.
    """
    supplies: dict[str, Attribution] = {}
    for layer in config.layers:
        maps = [resolution[layer] for resolution in resolutions]
        fused = fuse(resolutions, layer, config)
        if mask is not None:
            fused = fused * rescale(mask[None], fused.shape[1:], config.mask_interpolation)
        if config.fusion == "late":
            values = _late_supply(maps, fused, config)
        else:
            values = rmac_supply(fused, levels=config.levels, stride=config.stride)
        supplies[layer] = Attribution(values, fused)
    if config.normalize_concatenation:
        supplies = _unit_length(supplies)
    if selection is None:
        return supplies
    channels = BACKBONES[config.backbone].channels
    chosen: dict[str, Attribution] = {}
    start = 0
    for layer in config.layers:
        values, columns = supplies[layer].values, supplies[layer].columns
        inside = selection.indices - start
        inside = inside[(inside >= 0) & (inside < channels[layer])]
        kept = np.take(values.transpose(1, 2, 0), inside, axis=2)
        chosen[layer] = Attribution(kept.transpose(2, 0, 1), columns)
        start += channels[layer]
    return _unit_length(chosen) if selection.renormalize else chosen


def _split(shares: np.ndarray, region: np.ndarray, maxima: np.ndarray, supply: np.ndarray) -> None:
    """Add the shares (C,) to the supply, where the region (side, side, C) holds its maxima."""
    # Few places do, so they are found and visited; where the maximum is zero there is no share.
    holds = region == np.where(maxima > 0, maxima, np.nan)
    found = np.unravel_index(np.flatnonzero(holds), region.shape)
    holders = np.bincount(found[2], minlength=len(shares)).clip(min=1)
    supply[found] += (shares / holders).astype(np.float32)[found[2]]


def _late_supply(
    maps: Sequence[np.ndarray], like: np.ndarray, config: ExtractionConfig
) -> np.ndarray:
    """Each resolution's supply on the grid of the first, of the same sum for each value."""
    total = np.zeros_like(like)
    for feature_map in maps:
        supply = rmac_supply(feature_map, levels=config.levels, stride=config.stride)
        vector = modified_rmac(feature_map, levels=config.levels, stride=config.stride)
        spread = rescale(supply, like.shape[1:])
        spread *= (vector / np.maximum(spread.sum(axis=(1, 2)), TINY))[:, None, None]
        total += spread
    length = np.linalg.norm(total.sum(axis=(1, 2)))
    return total / length if length > 0 else total


def _unit_length(supplies: dict[str, Attribution]) -> dict[str, Attribution]:
    vector = np.concatenate([supply.values.sum(axis=(1, 2)) for supply in supplies.values()])
    length = np.linalg.norm(vector)
    if length == 0:
        return supplies
    return {layer: Attribution(s.values / length, s.columns) for layer, s in supplies.items()}
