"""Attribution: the values of a descriptor, split over the positions of the feature maps.

Every pooling's vector is a sum over positions. A maximum belongs to the positions that hold it; a
(generalized) mean to all positions by their shares of it; regions are summed; a whitening or a
trained projection is linear, so that it is applied to the parts of the positions (its bias is
spread evenly), and so is a reduction. The sum over the positions is the descriptor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.fusion import rescale
from resight.descriptors.pipeline import NO_STATE, FeatureMaps, PoolingState, fuse
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.crow import crow_weights
from resight.descriptors.pooling.gem import generalized_mean
from resight.descriptors.pooling.modified_rmac import region_maxima, rmac_grid
from resight.descriptors.pooling.rmac import ALPHA, region_grid, region_vectors
from resight.descriptors.pooling.spoc import center_prior
from resight.errors import UsageError
from resight.networks.checkpoints import RetrievalHead
from resight.reductions import Reduction
from resight.reductions.combined import SelectionPlusWhitening
from resight.reductions.pfa import Selection
from resight.reductions.wccn import Wccn
from resight.reductions.whitening import Whitening
from resight.vectors import Projection, signed_power

TINY = np.finfo(np.float32).tiny
"""Smallest divisor."""
MIN_VALUE = 1e-6
"""Values of a descriptor nearer to 0 have no positions of their own."""


@dataclass(frozen=True)
class Attribution:
    """One layer of a photo.

    Attributes:
        values: float32 (D, H, W), the part of each position in each value of the descriptor; the
            sum over the positions is the layer's part of the descriptor.
        columns: float32 (C, H, W), the feature map.
    """

    values: np.ndarray
    columns: np.ndarray


def attribute_photo(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    mask: np.ndarray | None = None,
    reduction: Reduction | None = None,
    state: PoolingState = NO_STATE,
) -> dict[str, Attribution]:
    """Split a photo's descriptor over the positions of each layer.

    A mask (H, W) of the last stage yields the local descriptor, a reduction the reduced one without
    the correction of an adaptation, which belongs to no place; of a selection with a whitening, the
    selected values.

    Raises:
        UsageError: the pooling is NetVLAD.
    """
    if config.pooling == "netvlad":
        raise UsageError("explain: NetVLAD's values cannot be attributed to places of the photo")
    parts: dict[str, Attribution] = {}
    for layer in config.layers:
        maps = [resolution[layer] for resolution in resolutions]
        fused = fuse(resolutions, layer, config)
        if mask is not None:
            fused = fused * rescale(mask[None], fused.shape[1:], config.mask_interpolation)
        if isinstance(state.head, RetrievalHead) and config.required_head:
            values = _attribute_head(maps, state.head, fused.shape[1:])
        else:
            pooled = maps if config.fusion == "late" else [fused]
            whitening = state.regions.get(layer)
            values = _attribute_layer(pooled, config, whitening, fused.shape[1:])
        parts[layer] = Attribution(values, fused)
    if config.layer_weights:
        total = sum(config.layer_weights)
        for layer, weight in zip(config.layers, config.layer_weights, strict=True):
            share = np.float32(np.sqrt(weight / total))
            parts[layer] = Attribution(parts[layer].values * share, parts[layer].columns)
    if config.normalize_concatenation:
        parts = _unit_length(parts)
    match reduction:
        case None:
            return parts
        case Whitening():
            return _whiten(parts, reduction)
        case Wccn():
            return _whiten(parts, reduction.projection)
        case SelectionPlusWhitening():
            return _select(parts, reduction.selection)
    return _select(parts, reduction)


# Positions of a pooling: non-negative parts (C, H, W), before any projection


def attribute_modified_rmac(
    feature_map: np.ndarray, *, levels: int = 3, stride: float = 0.4
) -> np.ndarray:
    """Split the modified R-MAC vector over positions.

    A level's part of value c, `n = sqrt(sum of the squared maxima m)`, is split over its regions
    as `m**2 / n`, and within a region over the positions that hold the maximum, equally. Values
    (C, H, W) are >= 0; the sum over the positions of the result is `modified_rmac`.
    """
    columns, parts = _channels_last(feature_map)
    for side, step in rmac_grid(feature_map.shape[1:], levels=levels, stride=stride):
        maxima = np.maximum(region_maxima(feature_map, side, step), 0)
        norms = np.sqrt(np.square(maxima).sum(axis=(1, 2)))
        shares = maxima**2 / np.maximum(norms, TINY)[:, None, None]
        for row, column in np.ndindex(maxima.shape[1:]):
            y, x = row * step, column * step
            region = slice(y, y + side), slice(x, x + side)
            _add_to_maxima(shares[:, row, column], columns[region], parts[region])
    return _unit(parts.transpose(2, 0, 1))


def _attribute_rmac(
    feature_map: np.ndarray, config: ExtractionConfig, whitening: Projection | None = None
) -> np.ndarray:
    """Split the sum of the regions' vectors, each divided by its length after the whitening."""
    integral = config.pooling == "rmac-integral"
    vectors = region_vectors(feature_map, levels=config.levels, integral=integral)
    if whitening is not None:
        projected = vectors @ whitening.weight.T + whitening.bias
        vectors = vectors / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), TINY)
    columns, parts = _channels_last(feature_map)
    height, width = feature_map.shape[1:]
    regions = [(slice(None), slice(None))]
    for y, x, side in region_grid(height, width, config.levels):
        regions.append((slice(y, y + side), slice(x, x + side)))
    for number, (region, vector) in enumerate(zip(regions, vectors, strict=True)):
        if integral and number > 0:  # the whole map has exact maxima
            parts[region] += _power_shares(columns[region], ALPHA) * vector
        else:
            _add_to_maxima(vector, columns[region], parts[region])
    return parts.transpose(2, 0, 1)


def _attribute_mac(feature_map: np.ndarray) -> np.ndarray:
    columns, parts = _channels_last(feature_map)
    _add_to_maxima(feature_map.max(axis=(1, 2)), columns, parts)
    return parts.transpose(2, 0, 1)


def _attribute_gem(feature_map: np.ndarray, power: float) -> np.ndarray:
    """Split the generalized means, not normalized."""
    if np.isinf(power):
        return _attribute_mac(feature_map)
    columns, _ = _channels_last(feature_map)
    parts = _power_shares(columns, power) * generalized_mean(feature_map, power)
    return np.asarray(parts.transpose(2, 0, 1), np.float32)


def _attribute_crow(feature_map: np.ndarray) -> np.ndarray:
    positions, channels = crow_weights(feature_map)
    return np.asarray(feature_map * positions * channels[:, None, None], np.float32)


ATTRIBUTIONS: Mapping[str, Callable[[np.ndarray, ExtractionConfig], np.ndarray]] = {
    "modified-rmac": lambda x, config: attribute_modified_rmac(
        x, levels=config.levels, stride=config.stride
    ),
    "rmac": _attribute_rmac,
    "rmac-integral": _attribute_rmac,
    "mac": lambda x, config: _attribute_mac(x),
    "spoc": lambda x, config: x,
    "spoc-center": lambda x, config: x * center_prior(x.shape[1:]),
    "crow": lambda x, config: _attribute_crow(x),
    "gem": lambda x, config: _attribute_gem(x, config.gem_power),
}
"""From a feature map to the parts of its positions, up to a common factor, by pooling.

A pooling without an entry is attributed by `_attribute_in_proportion`."""


def _attribute_in_proportion(feature_map: np.ndarray, config: ExtractionConfig) -> np.ndarray:
    """Split each value of the pooled vector in proportion to its channel of the feature map."""
    sums = np.maximum(feature_map.sum(axis=(1, 2)), TINY)
    factors = POOLINGS[config.pooling](feature_map, config) / sums
    return np.asarray(feature_map * factors[:, None, None], np.float32)


def _attribute_layer(
    maps: Sequence[np.ndarray],
    config: ExtractionConfig,
    whitening: Projection | None,
    size: tuple[int, ...],
) -> np.ndarray:
    """Split a layer's vector, the normalized sum of its maps' vectors, on a grid of `size`."""
    parts_of_maps = []
    for feature_map in maps:
        if whitening is None:
            attribute = ATTRIBUTIONS.get(config.pooling, _attribute_in_proportion)
            parts = _unit(attribute(feature_map, config))
            parts_of_maps.append(resample(parts, size))
        else:
            parts = resample(_attribute_rmac(feature_map, config, whitening), size)
            vectors = region_vectors(feature_map, levels=config.levels)
            projected = vectors @ whitening.weight.T + whitening.bias
            lengths = np.maximum(np.linalg.norm(projected, axis=1), TINY)
            parts = _project(parts, whitening, float((1 / lengths).sum()))
            parts_of_maps.append(_unit(parts))
    if len(maps) == 1:
        return parts_of_maps[0]
    return _unit(np.asarray(np.sum(parts_of_maps, axis=0)))


def _attribute_head(
    maps: Sequence[np.ndarray], head: RetrievalHead, size: tuple[int, ...]
) -> np.ndarray:
    """Split the descriptor of a trained head (`retrieval_head.apply_gem`) on a grid of `size`."""
    parts = []
    for feature_map in maps:
        part = resample(_attribute_gem(feature_map, head.power), size)
        part = _unit(part) if head.unit else part
        parts.append(_unit(part if head.projection is None else _project(part, head.projection)))
    power = head.power if head.projection is None and np.isfinite(head.power) else 1.0
    vectors = np.stack([part.sum(axis=(1, 2)) for part in parts])
    means = (vectors**power).mean(axis=0) ** (1 / power) if power != 1 else vectors.mean(axis=0)
    # The generalized mean over the resolutions belongs to each by its share of the sum of powers.
    if power != 1:
        factors = means * vectors ** (power - 1) / np.maximum((vectors**power).sum(axis=0), TINY)
        parts = [part * factor[:, None, None] for part, factor in zip(parts, factors, strict=True)]
    values = _unit(np.sum(parts, axis=0))
    whitening = head.whitening_for(len(maps))
    return values if whitening is None else _unit(_project(values, whitening))


# Helpers


def _channels_last(feature_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a map as (H, W, C), and zeros of the same shape."""
    columns = feature_map.transpose(1, 2, 0)
    return columns, np.zeros(columns.shape, np.float32)


def _add_to_maxima(values: np.ndarray, region: np.ndarray, parts: np.ndarray) -> None:
    """Add values (C,) to the parts (h, w, C) of the positions that hold the region's maxima."""
    maxima = region.max(axis=(0, 1))
    # Few positions do; where the value is zero there is nothing to add.
    holds = region == np.where(values != 0, maxima, np.nan)
    places = np.unravel_index(np.flatnonzero(holds), region.shape)
    holders = np.bincount(places[2], minlength=len(values)).clip(min=1)
    parts[places] += (values / holders).astype(np.float32)[places[2]]


def _power_shares(columns: np.ndarray, power: float) -> np.ndarray:
    """Return each position's share of the sum of powers, for each channel: (h, w, C)."""
    powered = (columns / np.maximum(columns.max(axis=(0, 1)), TINY)).astype(np.float64) ** power
    return powered / np.maximum(powered.sum(axis=(0, 1)), TINY)


def resample(parts: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Rescale parts to a grid of `size`, each value's sum unchanged."""
    if parts.shape[1:] == size:
        return parts
    if parts.min() < 0:  # a sum near zero must not scale large parts of both signs
        return resample(np.maximum(parts, 0), size) - resample(np.maximum(-parts, 0), size)
    sums = parts.sum(axis=(1, 2))
    resampled = rescale(parts, size)
    return resampled * (sums / np.maximum(resampled.sum(axis=(1, 2)), TINY))[:, None, None]


def _project(parts: np.ndarray, projection: Projection, bias_factor: float = 1.0) -> np.ndarray:
    """Apply a projection to the parts of the positions; spread its bias evenly."""
    _, height, width = parts.shape
    bias = bias_factor * projection.bias / (height * width)
    return np.tensordot(projection.weight, parts, axes=1) + bias[:, None, None]


def _unit(parts: np.ndarray) -> np.ndarray:
    """Scale parts so that their sum has unit length; zeros stay zeros."""
    length = np.linalg.norm(parts.sum(axis=(1, 2)))
    return parts / length if length > 0 else parts


def _unit_length(parts: dict[str, Attribution]) -> dict[str, Attribution]:
    vector = np.concatenate([part.values.sum(axis=(1, 2)) for part in parts.values()])
    length = np.linalg.norm(vector)
    if length == 0:
        return parts
    return {layer: Attribution(p.values / length, p.columns) for layer, p in parts.items()}


def _select(parts: dict[str, Attribution], selection: Selection) -> dict[str, Attribution]:
    """Restrict the descriptor to the values that a selection keeps."""
    selected: dict[str, Attribution] = {}
    start = 0
    for layer, part in parts.items():
        size = len(part.values)
        inside = selection.indices - start
        inside = inside[(inside >= 0) & (inside < size)]
        values = np.take(part.values.transpose(1, 2, 0), inside, axis=2)
        selected[layer] = Attribution(values.transpose(2, 0, 1), part.columns)
        start += size
    return _unit_length(selected) if selection.renormalize else selected


def _whiten(parts: dict[str, Attribution], whitening: Whitening) -> dict[str, Attribution]:
    """Split whitened descriptors: the projection of a layer is linear, and is applied to its parts.

    The power law and the mean, which is subtracted, scale each value, whose positions keep their
    shares of it. Spreading the mean evenly would warm places that two photos merely both lack.
    """
    whitened: dict[str, Attribution] = {}
    start = 0
    for (layer, part), projection in zip(parts.items(), whitening.parts, strict=True):
        size = len(part.values)
        values = part.values.sum(axis=(1, 2))
        centered = signed_power(values, whitening.power) - whitening.means[start : start + size]
        present = np.abs(values) > MIN_VALUE
        factors = np.where(present, centered / np.where(present, values, 1), 0)
        absent = np.where(present, 0, centered) / part.values[0].size  # belongs to no position
        scaled = part.values * factors[:, None, None] + absent[:, None, None]
        scaled = np.tensordot(projection.T, scaled.astype(np.float32), axes=1)
        whitened[layer] = Attribution(_unit(scaled), part.columns)
        start += size
    return _unit_length(whitened)
