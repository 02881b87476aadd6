"""From the feature maps of a photo's resolutions to its descriptors (sections 3-5 and 7)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from resight.config import BROUGHT, ExtractionConfig, MethodConfig
from resight.descriptors.aggregation.netvlad import describe_netvlad
from resight.descriptors.cam import cam_mask, class_activation_map
from resight.descriptors.fusion import early_fusion, late_fusion, rescale
from resight.descriptors.pooling import crow, gem, l2_normalize, mac, modified_rmac, spoc
from resight.descriptors.regions import rmac
from resight.descriptors.retrieval_head import describe_fine_tuned
from resight.methods.catalogue import local_values
from resight.networks.parameters import Classifier
from resight.networks.projection import NetVlad, Projection, RetrievalHead
from resight.networks.specs import BACKBONES
from resight.reductions.combined import SelectionPlusWhitening
from resight.reductions.pfa import Selection
from resight.reductions.reduction import Reduction
from resight.reductions.whitening import Whitening

FeatureMaps = dict[str, np.ndarray]
"""Stage name to feature map, float32 (C, H, W), of one resolution."""


POOLINGS: Mapping[str, Callable[[np.ndarray, ExtractionConfig], np.ndarray]] = {
    "modified-rmac": lambda fm, c: modified_rmac(fm, levels=c.levels, stride=c.stride),
    "rmac": lambda fm, c: rmac(fm, levels=c.levels),
    "rmac-integral": lambda fm, c: rmac(fm, levels=c.levels, integral=True),
    "mac": lambda fm, c: mac(fm),
    "spoc": lambda fm, c: spoc(fm),
    "spoc-center": lambda fm, c: spoc(fm, center=True),
    "crow": lambda fm, c: crow(fm),
    "gem": lambda fm, c: gem(fm, c.gem_power),
}
"""Name of a pooling to what makes a vector (C,) of unit length of a feature map (C, H, W); but for
`rmac-whitened` and those that come with the weights, which need more than the map."""


@dataclass(frozen=True)
class PoolingState:
    """What a method knows besides its configuration.

    Attributes:
        regions: stage name to the whitening of its regions' vectors, learned from photos, for the
            pooling `rmac-whitened`.
        head: what weights do with the last maps, for the poolings that come with them.
    """

    regions: Mapping[str, Projection] = field(default_factory=dict)
    head: RetrievalHead | NetVlad | None = None


NO_STATE = PoolingState()


@dataclass(frozen=True)
class PooledMaps:
    """Descriptors of one photo, float32 (D,); `local` only with class activation maps."""

    global_: np.ndarray
    local: np.ndarray | None


def describe_maps(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    classifier: Classifier | None = None,
    known: PoolingState = NO_STATE,
) -> PooledMaps:
    """The global and, given a classifier, the local descriptor of a photo.

    Args:
        resolutions: the feature maps of each resolution, in the order of the configuration.
        config: fusion, layers, pooling and masking.
        classifier: the network's, for class activation maps (early fusion only).
        known: what the pooling needs besides.

    Returns:
        Each layer's part has unit length, in the order of `config.layers`; with `layer_weights`
        the whole has, and the square of a part's length is its share of the weights.
    """
    if known.head is not None and config.pooling in BROUGHT:
        maps = [resolution[config.layers[0]] for resolution in resolutions]
        if isinstance(known.head, NetVlad):
            return PooledMaps(describe_netvlad(maps, known.head), None)
        return PooledMaps(describe_fine_tuned(maps, known.head), None)
    if config.fusion == "late":
        return PooledMaps(_describe_late(resolutions, config, known), None)
    # The mask is made on the last stage, also where that is no part of the descriptor.
    cam_layer = BACKBONES[config.backbone].cam_layer if classifier else None
    needed = dict.fromkeys([*config.layers, *([cam_layer] if cam_layer else [])])
    fused = {layer: fuse(resolutions, layer, config) for layer in needed}
    global_ = _pool(fused, config, known)
    if classifier is None or cam_layer is None:
        return PooledMaps(global_, None)
    mask = cam_mask(class_activation_map(fused[cam_layer], classifier), config.cam_threshold)
    masked = {
        layer: fm * rescale(mask[None], fm.shape[1:], config.mask_interpolation)
        for layer, fm in fused.items()
    }
    return PooledMaps(global_, _pool(masked, config, known))


def layer_sizes(config: ExtractionConfig, known: PoolingState = NO_STATE) -> list[int]:
    """Length of each layer's part of the descriptor: 2048 for `layer4`, 1024 for `layer3`."""
    channels = BACKBONES[config.backbone].channels
    if config.pooling in BROUGHT and known.head is not None:
        return [known.head.dimensions(channels[config.layers[0]], len(config.resolutions))]
    regions = known.regions
    return [
        len(regions[layer].bias) if layer in regions else channels[layer] for layer in config.layers
    ]


def part_sizes(config: MethodConfig, length: int) -> list[int]:
    """Lengths of the parts of a descriptor that are whitened by themselves.

    They are the layers, or the scales; the whole, where its length is another one that was learned.
    """
    sizes = layer_sizes(config) if isinstance(config, ExtractionConfig) else local_values(config)
    return sizes if sum(sizes) == length else [length]


def compared_sizes(config: MethodConfig, reduction: Reduction | None, length: int) -> list[int]:
    """Lengths of the same parts in a descriptor as it is compared, of so many values in all."""
    if isinstance(reduction, SelectionPlusWhitening):
        both = reduction.selection, reduction.whitening
        return [size for part in both for size in compared_sizes(config, part, part.dimensions)]
    if isinstance(reduction, Whitening):
        return [part.shape[1] for part in reduction.parts]
    if not isinstance(reduction, Selection):
        return part_sizes(config, length)
    if isinstance(config, ExtractionConfig) and config.pooling in ("rmac-whitened", "fine-tuned"):
        return [length]  # what the layers' lengths were is not known here
    sizes = layer_sizes(config) if isinstance(config, ExtractionConfig) else local_values(config)
    starts = np.searchsorted(reduction.indices, np.cumsum([0, *sizes]))
    return [kept for kept in np.diff(starts).tolist() if kept]


def network_layers(configs: Iterable[ExtractionConfig]) -> tuple[str, ...]:
    """The stages of one network that configurations need, in its order.

    Among them are the one that class activation maps are made on, and the one whose columns are
    compared when the geometry of a result is verified.
    """
    needed: set[str] = set()
    for config in configs:
        spec = BACKBONES[config.backbone]
        needed |= {*config.layers, spec.matching_layer}
        if config.cam and spec.cam_layer is not None:
            needed.add(spec.cam_layer)
    return tuple(layer for layer in spec.channels if layer in needed)


def fuse(resolutions: Sequence[FeatureMaps], layer: str, config: ExtractionConfig) -> np.ndarray:
    """The sum of a layer's maps (section 3), whatever the fusion of the descriptor: (C, H, W)."""
    return early_fusion(
        [maps[layer] for maps in resolutions],
        interpolation=config.fusion_interpolation,
        align_corners=config.fusion_align_corners,
    )


def _pool_layer(
    feature_map: np.ndarray, layer: str, config: ExtractionConfig, known: PoolingState
) -> np.ndarray:
    if config.pooling == "rmac-whitened":
        return rmac(feature_map, levels=config.levels, whitening=known.regions[layer])
    return POOLINGS[config.pooling](feature_map, config)


def _pool(maps: FeatureMaps, config: ExtractionConfig, known: PoolingState) -> np.ndarray:
    parts = [_pool_layer(maps[layer], layer, config, known) for layer in config.layers]
    return _concatenate(parts, config)


def _describe_late(
    resolutions: Sequence[FeatureMaps], config: ExtractionConfig, known: PoolingState
) -> np.ndarray:
    parts = [
        late_fusion([_pool_layer(maps[layer], layer, config, known) for maps in resolutions])
        for layer in config.layers
    ]
    return _concatenate(parts, config)


def _concatenate(parts: list[np.ndarray], config: ExtractionConfig) -> np.ndarray:
    if config.layer_weights:
        shares = np.sqrt(np.array(config.layer_weights) / sum(config.layer_weights))
        parts = [part * np.float32(share) for part, share in zip(parts, shares, strict=True)]
    descriptor = np.concatenate(parts)
    return l2_normalize(descriptor) if config.normalize_concatenation else descriptor
