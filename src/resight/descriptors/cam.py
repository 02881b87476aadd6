"""Localization of the object by class activation maps (section 7)."""

import numpy as np

from resight.networks.parameters import Classifier


def class_activation_map(feature_map: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the heat of the winning class at each position.

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
