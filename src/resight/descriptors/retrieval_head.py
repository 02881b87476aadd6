"""The descriptor of a network that was fine-tuned for retrieval, as its weights say (section 4).

Sources: Radenovic, Tolias and Chum, "Fine-tuning CNN image retrieval with no human annotation",
PAMI 2018, sections 3 and 5; Gordo, Almazan, Revaud and Larlus, "End-to-end learning of deep visual
representations for image retrieval", IJCV 2017, section 3; and their published code.
"""

from collections.abc import Sequence

import numpy as np

from resight.descriptors.pooling import generalized_mean, l2_normalize
from resight.networks.projection import RetrievalHead


def describe_fine_tuned(maps: Sequence[np.ndarray], head: RetrievalHead) -> np.ndarray:
    """Generalized means, projected, of all resolutions together, whitened: float32 (d,).

    Vectors of the resolutions are averaged; those that no layer projected, by the generalized mean
    of the same power.

    Args:
        maps: the last map of each resolution, float32 (C, H, W), values >= 0.
        head: of the weights.

    Returns:
        Unit length.
    """
    vectors = []
    for one in maps:
        vector = generalized_mean(one, head.power)
        vector = l2_normalize(vector) if head.unit else vector
        if head.projection is not None:
            vector = head.projection.apply(vector)
        vectors.append(l2_normalize(vector))
    power = head.power if head.projection is None and np.isfinite(head.power) else 1.0
    together = vectors[0] if len(vectors) == 1 else _mean(np.array(vectors), power)
    whitening = head.last(len(maps))
    return l2_normalize(together if whitening is None else whitening.apply(together))


def _mean(vectors: np.ndarray, power: float) -> np.ndarray:
    if power == 1:
        return l2_normalize(vectors.mean(axis=0))
    return l2_normalize(((vectors**power).mean(axis=0)) ** (1 / power))
