"""Where the thing is: class activation maps (section 7)."""

from torch import Tensor

from resight.backbones import Classifier


def class_activation_map(feature_map: Tensor, classifier: Classifier) -> Tensor:
    """The heat of the winning class at each position.

    The class scores are those of the fully connected layer on the averaged map (the same as the
    average of the layer applied at each position); no softmax.

    Args:
        feature_map: (C, H, W), the fused map of the last stage.
        classifier: the network's fully connected layer over C channels.

    Returns:
        (H, W), heat = sum over c of weight[winner, c] * feature_map[c].

    Source: Zhou et al. 2016 [51]; Seddati et al. 2017, section 3.4.
    """
    scores = classifier.weight @ feature_map.mean(dim=(1, 2)) + classifier.bias
    weight = classifier.weight[scores.argmax()]
    return (weight[:, None, None] * feature_map).sum(dim=0)


def cam_mask(heat: Tensor, threshold: float = 0.9) -> Tensor:
    """1.0 where the heat (H, W) is above `threshold` times its mean, else 0.0."""
    return (heat > threshold * heat.mean()).to(heat.dtype)
