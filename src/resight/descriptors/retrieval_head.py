"""Descriptors by the retrieval head that a network was trained with (section 4).

Sources: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
PAMI 2018, sections 3 and 5; Gordo, Almazan, Revaud and Larlus, "End-to-end learning of deep visual
representations for image retrieval", IJCV 2017, section 3; Arandjelovic et al., "NetVLAD", CVPR
2016, section 3; and their published code.
"""

from collections.abc import Sequence

import numpy as np

from resight.descriptors.aggregation.netvlad import netvlad
from resight.descriptors.fusion import late_fusion
from resight.descriptors.pooling.gem import generalized_mean
from resight.networks.projection import NetVlad, RetrievalHead
from resight.vectors import l2_normalize, l2_normalize_rows


def apply_head(maps: Sequence[np.ndarray], head: RetrievalHead | NetVlad) -> np.ndarray:
    """Compute a photo's descriptor from the last maps of its resolutions.

    Args:
        maps: of each resolution, float32 (C, H, W): values >= 0; for a NetVLAD layer the last
            convolution before its ReLU.
        head: from the network's weights.

    Returns:
        float32 (d,) of unit length.
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
