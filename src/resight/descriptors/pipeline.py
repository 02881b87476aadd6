"""From a photo's feature maps to its descriptors (docs/method.md, sections 3-5 and 7).

Read `describe_maps` first: fusion of the resolutions, pooling of each layer, concatenation, and the
same under the mask of the class activation map for the local descriptor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.aggregation.netvlad import netvlad
from resight.descriptors.extractor import Description
from resight.descriptors.fusion import early_fusion, late_fusion, rescale
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.gem import generalized_mean
from resight.descriptors.pooling.rmac import rmac
from resight.networks.checkpoints import NetVlad, RetrievalHead
from resight.networks.parameters import Classifier
from resight.vectors import Projection, l2_normalize, l2_normalize_rows

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


def apply_head(maps: Sequence[np.ndarray], head: RetrievalHead | NetVlad) -> np.ndarray:
    """Compute a photo's descriptor by the head that the network was trained with (section 4).

    Args:
        maps: of each resolution, float32 (C, H, W): values >= 0; for a NetVLAD layer the last
            convolution before its ReLU.
        head: from the network's weights.

    Returns:
        float32 (d,) of unit length.

    Sources: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
    PAMI 2018, sections 3 and 5; Gordo, Almazan, Revaud and Larlus, "End-to-end learning of deep
    visual representations for image retrieval", IJCV 2017, section 3; Arandjelovic et al.,
    "NetVLAD", CVPR 2016, section 3; and their published code.
    """
    return apply_netvlad(maps, head) if isinstance(head, NetVlad) else apply_gem(maps, head)


def apply_gem(maps: Sequence[np.ndarray], head: RetrievalHead) -> np.ndarray:
    """Compute generalized means, project each, average the resolutions and whiten the result.

    Vectors that no layer projected are averaged by the generalized mean of the same power.
    """
    vectors = []
    for feature_map in maps:
        vector = generalized_mean(feature_map, head.power)
        vector = l2_normalize(vector) if head.unit else vector
        if head.projection is not None:
            vector = head.projection.apply(vector)
        vectors.append(l2_normalize(vector))
    power = head.power if head.projection is None and np.isfinite(head.power) else 1.0
    average = vectors[0] if len(vectors) == 1 else _mean(np.array(vectors), power)
    whitening = head.whitening_for(len(maps))
    return l2_normalize(average if whitening is None else whitening.apply(average))


def apply_netvlad(maps: Sequence[np.ndarray], head: NetVlad) -> np.ndarray:
    """Aggregate the columns of each map by the NetVLAD layer, whiten, and add the resolutions."""
    vectors = []
    for feature_map in maps:
        columns = l2_normalize_rows(feature_map.reshape(len(feature_map), -1).T)
        vector = netvlad(columns, head.layer)
        vectors.append(vector if head.whitening is None else head.whitening.apply(vector))
    return late_fusion(vectors)


def _mean(vectors: np.ndarray, power: float) -> np.ndarray:
    if power == 1:
        return l2_normalize(vectors.mean(axis=0))
    return l2_normalize(((vectors**power).mean(axis=0)) ** (1 / power))


def class_activation_map(feature_map: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the heat of the winning class at each position (section 7).

    Class scores are those of the fully connected layer on the averaged map, without softmax; this
    equals the average of the layer applied at each position.

    Args:
        feature_map: float32 (C, H, W), the fused map of the last stage.
        classifier: the network's fully connected layer over C channels.

    Returns:
        float32 (H, W), heat = sum over c of weight[winner, c] * feature_map[c].

    Source: Zhou et al. 2016 [51]; Seddati et al. 2017, section 3.4.
    """
    means = feature_map.mean(axis=(1, 2), dtype=np.float64)
    winner = (classifier.weight @ means + classifier.bias).argmax()
    return np.tensordot(classifier.weight[winner], feature_map, axes=1)


def cam_mask(heat: np.ndarray, threshold: float = 0.9) -> np.ndarray:
    """Return 1.0 where the heat (H, W) exceeds `threshold` times its mean, else 0.0; float32."""
    return (heat > threshold * heat.mean(dtype=np.float64)).astype(np.float32)
