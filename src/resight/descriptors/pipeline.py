"""From a photo's feature maps to its descriptors (docs/method.md, sections 3-5 and 7).

Read `describe_maps` first: fusion of the resolutions, pooling of each layer, concatenation, and the
same under the mask of the class activation map for the local descriptor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.cam import cam_mask, class_activation_map
from resight.descriptors.extractor import Description
from resight.descriptors.fusion import early_fusion, late_fusion, rescale
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.rmac import rmac
from resight.descriptors.retrieval_head import apply_head
from resight.networks.parameters import Classifier
from resight.networks.projection import NetVlad, Projection, RetrievalHead
from resight.vectors import l2_normalize

FeatureMaps = dict[str, np.ndarray]
"""Stage name to feature map, float32 (C, H, W), of one resolution."""


@dataclass(frozen=True)
class PoolingState:
    """Parameters of a pooling that are not in the configuration.

    Attributes:
        regions: stage name to the whitening of its regions' vectors, fitted on photos, for the
            pooling `rmac-whitened`.
        head: the retrieval head that the network was trained with, for the poolings that need one.
    """

    regions: Mapping[str, Projection] = field(default_factory=dict)
    head: RetrievalHead | NetVlad | None = None

    def dimensions(self, config: ExtractionConfig) -> int:
        """Return the length of a descriptor."""
        sizes = dict(zip(config.layers, config.nominal_sizes, strict=True))
        if config.required_head and self.head is not None:
            return self.head.dimensions(sizes[config.layers[0]], len(config.resolutions))
        sizes |= {layer: len(whitening.bias) for layer, whitening in self.regions.items()}
        return sum(sizes.values())


NO_STATE = PoolingState()


def describe_maps(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    classifier: Classifier | None = None,
    state: PoolingState = NO_STATE,
) -> Description:
    """Compute the global descriptor of a photo and, given a classifier, the local one.

    Args:
        resolutions: the feature maps of each resolution, in the order of the configuration.
        config: fusion, layers, pooling and masking.
        classifier: the network's, for class activation maps (early fusion only).
        state: parameters of the pooling.

    Returns:
        Each layer's part has unit length, in the order of `config.layers`. With `layer_weights` the
        whole has unit length, and the squared length of a part is its share of the weights.
    """
    if state.head is not None and config.required_head:
        maps = [resolution[config.layers[0]] for resolution in resolutions]
        return Description(apply_head(maps, state.head))
    if config.fusion == "late":
        parts = [
            late_fusion([_pool(maps[layer], layer, config, state) for maps in resolutions])
            for layer in config.layers
        ]
        return Description(_concatenate(parts, config))

    # The mask comes from the last stage, even where that is not part of the descriptor.
    cam_layer = config.spec.cam_layer if classifier else None
    layers = dict.fromkeys([*config.layers, *([cam_layer] if cam_layer else [])])
    fused = {layer: fuse(resolutions, layer, config) for layer in layers}
    global_ = _pool_layers(fused, config, state)
    if classifier is None or cam_layer is None:
        return Description(global_)
    mask = cam_mask(class_activation_map(fused[cam_layer], classifier), config.cam_threshold)
    masked = {
        layer: x * rescale(mask[None], x.shape[1:], config.mask_interpolation)
        for layer, x in fused.items()
    }
    return Description(global_, _pool_layers(masked, config, state))


def fuse(resolutions: Sequence[FeatureMaps], layer: str, config: ExtractionConfig) -> np.ndarray:
    """Add a layer's maps of all resolutions (section 3), also under late fusion: (C, H, W)."""
    return early_fusion(
        [maps[layer] for maps in resolutions],
        interpolation=config.fusion_interpolation,
        align_corners=config.fusion_align_corners,
    )


def _pool_layers(maps: FeatureMaps, config: ExtractionConfig, state: PoolingState) -> np.ndarray:
    parts = [_pool(maps[layer], layer, config, state) for layer in config.layers]
    return _concatenate(parts, config)


def _pool(x: np.ndarray, layer: str, config: ExtractionConfig, state: PoolingState) -> np.ndarray:
    if config.pooling == "rmac-whitened":
        return rmac(x, levels=config.levels, whitening=state.regions[layer])
    return POOLINGS[config.pooling](x, config)


def _concatenate(parts: list[np.ndarray], config: ExtractionConfig) -> np.ndarray:
    if config.layer_weights:
        shares = np.sqrt(np.array(config.layer_weights) / sum(config.layer_weights))
        parts = [part * np.float32(share) for part, share in zip(parts, shares, strict=True)]
    descriptor = np.concatenate(parts)
    return l2_normalize(descriptor) if config.normalize_concatenation else descriptor
