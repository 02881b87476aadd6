"""From the feature maps of a photo's resolutions to its descriptors (sections 3-5 and 7)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import STAGES, ExtractionConfig
from resight.descriptors.fusion import early_fusion, late_fusion, rescale
from resight.descriptors.localization import cam_mask, class_activation_map
from resight.descriptors.pooling import crow, gem, l2_normalize, mac, modified_rmac, spoc
from resight.descriptors.regions import rmac
from resight.networks.architectures import ARCHITECTURES, CHANNELS
from resight.networks.backbones import Classifier

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
"""Name of a pooling to what makes a vector (C,) of unit length of a feature map (C, H, W)."""


@dataclass(frozen=True)
class PooledMaps:
    """Descriptors of one photo, float32 (D,); `local` only with class activation maps."""

    global_: np.ndarray
    local: np.ndarray | None


def describe_maps(
    resolutions: Sequence[FeatureMaps],
    config: ExtractionConfig,
    classifier: Classifier | None = None,
) -> PooledMaps:
    """The global and, given a classifier, the local descriptor of a photo.

    Args:
        resolutions: the feature maps of each resolution, in the order of the configuration.
        config: fusion, layers, pooling and masking.
        classifier: the network's, for class activation maps (early fusion only).

    Returns:
        Each layer's part has unit length, in the order of `config.layers`.
    """
    if config.fusion == "late":
        return PooledMaps(_describe_late(resolutions, config), None)
    # The mask is made on the last stage, also where that is no part of the descriptor.
    needed = dict.fromkeys([*config.layers, *(["layer4"] if classifier else [])])
    fused = {layer: _fuse(resolutions, layer, config) for layer in needed}
    global_ = _pool(fused, config)
    if classifier is None:
        return PooledMaps(global_, None)
    mask = cam_mask(class_activation_map(fused["layer4"], classifier), config.cam_threshold)
    masked = {
        layer: fm * rescale(mask[None], fm.shape[1:], config.mask_interpolation)
        for layer, fm in fused.items()
    }
    return PooledMaps(global_, _pool(masked, config))


def dimensions(config: ExtractionConfig) -> int:
    """Length of the descriptor: the channels of all its layers, 3072 for the paper's two."""
    return sum(CHANNELS[layer] for layer in config.layers)


def network_layers(configs: Iterable[ExtractionConfig]) -> tuple[str, ...]:
    """The stages of one network that configurations need, in its order.

    Among them are the one that class activation maps are made on, and the one whose columns are
    compared when the geometry of a result is verified.
    """
    needed: set[str] = set()
    for config in configs:
        needed |= {*config.layers, ARCHITECTURES[config.backbone].columns}
        needed |= {"layer4"} if config.cam else set()
    stages = list(STAGES[config.backbone])
    return tuple(sorted(needed, key=stages.index))


def _fuse(resolutions: Sequence[FeatureMaps], layer: str, config: ExtractionConfig) -> np.ndarray:
    return early_fusion(
        [maps[layer] for maps in resolutions],
        interpolation=config.fusion_interpolation,
        align_corners=config.fusion_align_corners,
    )


def _pool(maps: FeatureMaps, config: ExtractionConfig) -> np.ndarray:
    pool = POOLINGS[config.pooling]
    return _concatenate([pool(maps[layer], config) for layer in config.layers], config)


def _describe_late(resolutions: Sequence[FeatureMaps], config: ExtractionConfig) -> np.ndarray:
    pool = POOLINGS[config.pooling]
    parts = [
        late_fusion([pool(maps[layer], config) for maps in resolutions]) for layer in config.layers
    ]
    return _concatenate(parts, config)


def _concatenate(parts: list[np.ndarray], config: ExtractionConfig) -> np.ndarray:
    descriptor = np.concatenate(parts)
    return l2_normalize(descriptor) if config.normalize_concatenation else descriptor
