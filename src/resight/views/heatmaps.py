"""Why two photos are close: which places supply the values in which their descriptors agree.

For values >= 0 the Manhattan distance is `sum(a) + sum(b) - 2 sum(min(a, b))`: two photos are as
close as the minima of their values are large. Each value is a sum of maxima over regions (section
4), so it can be split, exactly, over the positions where these maxima lie: the position's *supply*
of that value. Splitting `min(a_c, b_c)` over the supply in both photos gives, summed over the
values, what each *pair* of places adds to the closeness.

Much of that comes from pairs that have nothing to do with one another: any two textured photos
agree in many values. So a pair of places counts as much as the columns of the feature maps at both
places look alike, beyond what two places of the photos do on average. The heat of a place is the
sum over its pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.cam import cam_mask, class_activation_map
from resight.descriptors.fusion import rescale
from resight.descriptors.pipeline import (
    NO_STATE,
    FeatureMaps,
    PoolingState,
    describe_maps,
    fuse,
)
from resight.networks.parameters import Classifier
from resight.networks.specs import BACKBONES
from resight.ranking import columns
from resight.ranking.columns import border, column_features, positions, unit_columns
from resight.ranking.exact import DISTANCES
from resight.ranking.geometry import verify
from resight.reductions.combined import SelectionPlusWhitening
from resight.reductions.pfa import Selection
from resight.reductions.reduction import Reduction
from resight.views.attribution import TINY, Attribution, photo_supply

LIKENESS_POWER = 3
"""Of the cosine above the average: how much more a pair that looks alike counts."""
SUPPLY_BLUR = 1.5
"""Standard deviation in positions: a maximum may lie a little beside what caused it."""
HEAT_BLUR = 1.0
MAX_PLACES = 4900
"""Larger maps are made coarser first; 70 x 70 is a square photo at 1120 pixels."""
BLOCK = 512
"""Places of one photo that are compared at once with all of the other."""


@dataclass(frozen=True)
class MapExplanation:
    """Why two photos are close, on the grid of the finest layer of each.

    Attributes:
        heats: float32 (h, w) of the query and of the other photo, 0 to 1; zeros where they have
            nothing in common.
        masks: bool (h, w) of both, where class activation maps decided the distance; else None.
        distance: as a search gives it.
        agreement: share of the descriptors in which they agree, 0 to 1.
    """

    heats: tuple[np.ndarray, np.ndarray]
    masks: tuple[np.ndarray, np.ndarray] | None
    distance: float
    agreement: float


def explain_maps(
    query: Sequence[FeatureMaps],
    other: Sequence[FeatureMaps],
    config: ExtractionConfig,
    *,
    classifier: Classifier | None = None,
    selection: Reduction | None = None,
    state: PoolingState = NO_STATE,
) -> MapExplanation:
    """Why two photos are close, from the feature maps of their resolutions.

    Args:
        query: the feature maps of each resolution, as `describe_maps` takes them.
        other: those of the other photo.
        config: the configuration of both.
        classifier: given one, the local descriptors are explained where they are the closer ones.
        selection: only the values it keeps count. Whitened values belong to no places: with
            whitening the heat is that of the values they are made from, the distance whitening's.
        state: as `describe_maps` takes it.
    """
    photos = (query, other)
    pooled = [describe_maps(maps, config, classifier, state) for maps in photos]
    by = config.descriptor_distance if selection is None else selection.distance
    a, b = (_kept(p.global_, selection) for p in pooled)
    distance, masks = _distance(a, b, by), None
    if classifier is not None:
        local_a, local_b = (_kept(p.local, selection) for p in pooled if p.local is not None)
        if _distance(local_a, local_b, by) < distance:
            a, b, distance = local_a, local_b, _distance(local_a, local_b, by)
            masks = [_mask(maps, config, classifier) for maps in photos]
    chosen = selection.selection if isinstance(selection, SelectionPlusWhitening) else selection
    if not isinstance(chosen, Selection):
        chosen = None
    supplies = [
        photo_supply(maps, config, mask=masks[i] if masks else None, selection=chosen)
        for i, maps in enumerate(photos)
    ]
    heats = _add_layers(*supplies)
    # The share of the sum that is common; for whitened vectors of unit length the cosine.
    both = float(np.abs(a).sum() + np.abs(b).sum()) if by == "manhattan" else 1.0
    return MapExplanation(
        heats=(_contrast(heats[0]), _contrast(heats[1])),
        masks=(_on_grid(masks[0], heats[0]), _on_grid(masks[1], heats[1])) if masks else None,
        distance=distance,
        agreement=min(1.0, max(0.0, 1 - distance / both)) if both > 0 else 0.0,
    )


def shared_heat(query: Attribution, other: Attribution) -> tuple[np.ndarray, np.ndarray]:
    """What each place adds to the closeness of two photos by looking like places of the other.

    Each pair of places adds `sum over c of min(a_c, b_c) * p_c * q_c`, where p and q are the
    places' shares of the supply (blurred a little) and a and b the descriptors, times the third
    power of how much the cosine of the two columns is above that of two average places. Pairs of
    places that are both at the frame do not count: there the network sees its own zero padding,
    which is the same in all photos.

    Args:
        query: one layer of the query.
        other: the same layer of the other photo.

    Returns:
        float32 (H, W) and (H', W'), values >= 0, of about equal sums.
    """
    shape, other_shape = query.columns.shape[1:], other.columns.shape[1:]
    query, other = _coarser(query), _coarser(other)
    a, b = query.values.sum(axis=(1, 2)), other.values.sum(axis=(1, 2))
    left, right = (positions(_blur(one.values, SUPPLY_BLUR)) for one in (query, other))
    left *= (np.minimum(a, b) > 0) / np.maximum(np.maximum(a, b), TINY)  # min(a, b) / (a * b)
    columns, others = unit_columns(query.columns), unit_columns(other.columns)
    average = _mean_column(columns) @ _mean_column(others)
    frame, other_frame = border(query.columns), border(other.columns)
    heat, other_heat = np.zeros(len(left), np.float32), np.zeros(len(right), np.float32)
    for start in range(0, len(left), BLOCK):
        block = slice(start, start + BLOCK)
        pairs = left[block] @ right.T
        likeness = columns[block] @ others.T
        likeness -= average
        np.maximum(likeness, 0, out=likeness)
        for _ in range(LIKENESS_POWER):
            pairs *= likeness
        pairs[np.ix_(frame[block], other_frame)] = 0
        heat[block] = pairs.sum(axis=1)
        other_heat += pairs.sum(axis=0)
    first, second = (
        _blur(summed.reshape(1, *one.columns.shape[1:]), HEAT_BLUR)
        for summed, one in ((heat, query), (other_heat, other))
    )
    return rescale(first, shape)[0], rescale(second, other_shape)[0]


def column_matches(
    query: np.ndarray,
    other: np.ndarray,
    query_size: tuple[int, int],
    other_size: tuple[int, int],
) -> np.ndarray:
    """Places that match: columns of two feature maps that are each other's nearest, one geometry.

    Args:
        query: (C, H, W), `layer3`.
        other: (C, H', W'), the same layer of the other photo.
        query_size: width and height of the photo, in pixels.
        other_size: those of the other.

    Returns:
        float32 (M, 4), x and y in pixels of the query, x and y in pixels of the other, for the
        matches that agree on one homography; none when there is no such.
    """
    features = column_features(query, query_size), column_features(other, other_size)
    found = verify(*features, ratio=columns.RATIO, max_error=columns.MAX_ERROR)
    points = [f.points[found.matches[:, side]] for side, f in enumerate(features)]
    return np.concatenate(points, axis=1).astype(np.float32)


def _add_layers(
    query: dict[str, Attribution], other: dict[str, Attribution]
) -> tuple[np.ndarray, np.ndarray]:
    """The heat of all layers on the grid of the finest one."""
    heats = [shared_heat(query[layer], other[layer]) for layer in query]
    finest = max(heats, key=lambda pair: pair[0].size)
    first, second = (
        np.sum([_spread(pair[side], finest[side].shape) for pair in heats], axis=0)
        for side in range(2)
    )
    return first, second


def _on_grid(mask: np.ndarray, heat: np.ndarray) -> np.ndarray:
    return rescale(mask[None], heat.shape, "nearest")[0] > 0


def _mask(
    resolutions: Sequence[FeatureMaps], config: ExtractionConfig, classifier: Classifier
) -> np.ndarray:
    cam_layer = BACKBONES[config.backbone].cam_layer
    assert cam_layer is not None  # the configuration checks it
    heat = class_activation_map(fuse(resolutions, cam_layer, config), classifier)
    return cam_mask(heat, config.cam_threshold)


def _kept(vector: np.ndarray, selection: Reduction | None) -> np.ndarray:
    return vector if selection is None else selection.apply(vector)


def _distance(a: np.ndarray, b: np.ndarray, by: str) -> float:
    return float(DISTANCES[by](a, b[None])[0])


def _coarser(supply: Attribution) -> Attribution:
    """Halved until it has few enough places; each place is then several of the map's."""
    while supply.columns[0].size > MAX_PLACES:
        held = _sum_fours(np.ones((1, *supply.columns.shape[1:]), np.float32))  # less at the edges
        supply = Attribution(_sum_fours(supply.values), _sum_fours(supply.columns) / held)
    return supply


def _sum_fours(maps: np.ndarray) -> np.ndarray:
    """Sums over squares of 2 x 2, which at the right and lower edge may be cut off."""
    channels, height, width = maps.shape
    rows, columns = -(-height // 2), -(-width // 2)
    beyond = ((0, 2 * rows - height), (0, 2 * columns - width), (0, 0))
    places = np.pad(maps.transpose(1, 2, 0), beyond)
    return places.reshape(rows, 2, columns, 2, channels).sum(axis=(1, 3)).transpose(2, 0, 1)


def _blur(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (C, H, W) that keeps the sum of each map."""
    channels, height, width = maps.shape
    down, across = _gaussian(height, sigma), _gaussian(width, sigma)
    rows = (down @ positions(maps).reshape(height, -1)).reshape(height, width, channels)
    return (across @ rows).transpose(2, 0, 1)


def _gaussian(size: int, sigma: float) -> np.ndarray:
    steps = np.arange(size, dtype=np.float32)
    weights = np.exp(-((steps[:, None] - steps) ** 2) / np.float32(2 * sigma**2))
    return weights / weights.sum(axis=0)


def _mean_column(columns: np.ndarray) -> np.ndarray:
    seen = columns.any(axis=1).astype(np.float32)
    return seen @ columns / max(1, seen.sum())


def _spread(heat: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A heat map on a finer grid (H, W), of the same sum."""
    finer = rescale(heat[None], size)[0]
    return finer * (heat.sum() / finer.sum()) if finer.sum() > 0 else finer


def _contrast(heat: np.ndarray) -> np.ndarray:
    """What is above the median, from 0 to 1: half of a photo is not what two have in common."""
    above = np.maximum(heat - np.quantile(heat, 0.5, method="lower"), 0)
    highest = above.max()
    return above / highest if highest > 0 else above
