"""Convolutional networks as sources of feature maps (section 1): their parameters.

Weights come in torchvision's layout and are checked strictly. The networks here are for inference
alone: batch norm is folded into the convolutions as the weights are read. What a network computes
is in `architectures.py`, what computes it is a runtime (`runtimes.py`).
"""

import contextlib
import dataclasses
import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.errors import WeightsError
from resight.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, Convolution
from resight.networks.checkpoints import read_weights
from resight.networks.projection import NetVlad, RetrievalHead
from resight.networks.specs import BACKBONES
from resight.networks.weights import WeightsFile, user_cache
from resight.output_files import write_atomically

BATCH_NORM_EPSILON = 1e-5
"""As in torchvision's networks."""


@dataclass(frozen=True)
class Classifier:
    """The network's last fully connected layer: weight (classes, D), bias (classes,); float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Parameters:
    """What a network has learned.

    Attributes:
        convolutions: name to weight, float32 (outputs, inputs, side, side), and bias, float32
            (outputs,), with the batch norm folded in; fully connected layers of VGG-16 among them.
        classifier: None where the weights came without fully connected layers.
        mean: of red, green and blue in 0..1, subtracted from a picture.
        std: by which that is divided.
        head: of networks that were fine-tuned for retrieval, or trained with NetVLAD.
    """

    convolutions: dict[str, tuple[np.ndarray, np.ndarray]]
    classifier: Classifier | None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    head: RetrievalHead | NetVlad | None = None


def load_parameters(backbone: str, path: Path, sha256: str | None = None) -> Parameters:
    """The parameters of a backbone from a weights file.

    What was read is kept, folded, in the user's cache, where the next process finds it without
    importing torch; but for fine-tuned networks, of which there is more to know. A file without the
    fully connected layers is accepted.

    Args:
        backbone: a name of `BACKBONES`.
        path: a `.pth` or `.safetensors` file in torchvision's layout, or one of `layouts`.
        sha256: of the file's content; without it nothing is kept.

    Raises:
        WeightsError: the file's names, shapes or kind of numbers are not exactly the network's.
    """
    kept = None if sha256 is None else _kept(backbone, sha256)
    values = None if kept is None else _read_kept(kept, backbone)
    if values is not None:
        return _split(values, backbone)
    weights = read_weights(path)
    found = weights.backbone or backbone_of(weights.state, path)
    if found not in (None, backbone):
        raise WeightsError(
            f"{path}: are weights of {found}, not of {backbone}: take a method on that network, "
            f"such as --config paper@{found}"
        )
    check_state(backbone, weights.state, path)
    values = _fold_batch_norm(weights.state, backbone)
    if kept is not None and weights.head is None:
        _keep(values, kept)
    parameters = dataclasses.replace(_split(values, backbone), head=weights.head)
    if weights.normalization is None:
        return parameters
    mean, std = weights.normalization
    return dataclasses.replace(parameters, mean=mean, std=std)


@functools.cache
def recognize(file: WeightsFile) -> tuple[str, str]:
    """Which network a file's weights are of, and the pooling that they bring, or nothing.

    Raises:
        WeightsError: the file cannot be read, or they are of none.
    """
    for backbone in BACKBONES:
        if _read_kept(_kept(backbone, file.sha256), backbone) is not None:
            return backbone, ""
    weights = read_weights(file.path)
    found = weights.backbone or backbone_of(weights.state, file.path)
    if found is None:
        raise WeightsError(f"{file.path}: are weights of none of {', '.join(BACKBONES)}")
    return found, "" if weights.head is None else weights.head.pooling


def backbone_of(state: dict[str, np.ndarray], path: Path) -> str | None:
    """The network whose state dict it is; None where it is none's."""
    for backbone in BACKBONES:
        with contextlib.suppress(WeightsError):
            check_state(backbone, state, path)
            return backbone
    return None


def check_state(backbone: str, state: dict[str, np.ndarray], path: Path) -> None:
    """Refuse a state dict that is not exactly a backbone's, with or without its head.

    Raises:
        WeightsError: names, shapes or kinds of numbers differ.
    """
    network = BACKBONES[backbone]
    classifier, inputs = network.classifier
    expected = _expected(network.convolutions)
    if f"{classifier}.bias" in state:
        classes = state[f"{classifier}.bias"].size
        expected |= {f"{classifier}.weight": (classes, inputs), f"{classifier}.bias": (classes,)}
        for layer in network.head:
            outputs = layer.shape[0]
            expected |= {f"{layer.name}.weight": (outputs, math.prod(layer.shape[1:]))}
            expected |= {f"{layer.name}.bias": (outputs,)}
    # Counters of training steps: no number of ours depends on them, and old files lack them.
    found = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    problems = [f"{n} is missing" for n in expected if n not in found]
    problems += [f"{n} is unexpected" for n in found if n not in expected]
    problems += [
        f"{n} has shape {found[n].shape}, not {shape}"
        for n, shape in expected.items()
        if n in found and found[n].shape != shape
    ]
    problems += [f"{n} is of type {v.dtype}" for n, v in found.items() if v.dtype != np.float32]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        listed = ", ".join(problems[:3])
        raise WeightsError(f"{path}: are not weights of {backbone}: {listed}{more}")


def _expected(convolutions: tuple[Convolution, ...]) -> dict[str, tuple[int, ...]]:
    """Name to shape of what a state dict holds for convolutions and their batch norms."""
    expected: dict[str, tuple[int, ...]] = {}
    for layer in convolutions:
        expected[f"{layer.name}.weight"] = layer.shape
        if layer.norm is None:
            expected[f"{layer.name}.bias"] = layer.shape[:1]
        else:
            for part in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{layer.norm}.{part}"] = layer.shape[:1]
    return expected


def _fold_batch_norm(state: dict[str, np.ndarray], backbone: str) -> np.ndarray:
    """Weights and biases of convolutions that do what convolution and batch norm did.

    Returns:
        float32 (V,): those of each convolution in turn, then the head's and the classifier's if
        they are there.
    """
    network, parts = BACKBONES[backbone], []
    for layer in network.convolutions:
        if layer.norm is None:
            parts += [state[f"{layer.name}.weight"], state[f"{layer.name}.bias"]]
            continue
        mean, variance, gain, bias = (
            state[f"{layer.norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
        parts += [state[f"{layer.name}.weight"] * scale[:, None, None, None], bias - mean * scale]
    if f"{network.classifier[0]}.weight" in state:
        for name in [*(layer.name for layer in network.head), network.classifier[0]]:
            parts += [state[f"{name}.weight"], state[f"{name}.bias"]]
    return np.concatenate([part.ravel().astype(np.float32) for part in parts])


def _split(values: np.ndarray, backbone: str) -> Parameters:
    """The parameters that `_fold_batch_norm` laid one after the other."""
    network = BACKBONES[backbone]
    whole = values.size > _count(network.convolutions)
    layers = network.convolutions + (network.head if whole else ())
    convolutions, start = {}, 0
    for layer in layers:
        weight = values[start : start + math.prod(layer.shape)].reshape(layer.shape)
        start += weight.size
        convolutions[layer.name] = (weight, values[start : start + layer.shape[0]])
        start += layer.shape[0]
    if not whole:
        return Parameters(convolutions, None, network.mean, network.std)
    classes = (values.size - start) // (network.classifier[1] + 1)
    weight, bias = values[start:-classes], values[-classes:]
    classifier = Classifier(weight.reshape(classes, -1), bias)
    return Parameters(convolutions, classifier, network.mean, network.std)


def _count(layers: tuple[Convolution, ...]) -> int:
    return sum(math.prod(layer.shape) + layer.shape[0] for layer in layers)


def _kept(backbone: str, sha256: str) -> Path:
    return user_cache() / f"{backbone}-{sha256}.npy"


def _read_kept(path: Path, backbone: str) -> np.ndarray | None:
    """Kept values, mapped rather than read; None where there are none that are whole."""
    try:
        values = np.lib.format.open_memmap(path, mode="c")
    except (OSError, ValueError, EOFError):
        return None
    network = BACKBONES[backbone]
    left = values.size - _count(network.convolutions)
    classifier = left - _count(network.head)
    whole = left == 0 or (classifier > 0 and classifier % (network.classifier[1] + 1) == 0)
    return values if values.ndim == 1 and values.dtype == np.float32 and whole else None


def _keep(values: np.ndarray, path: Path) -> None:
    """Write values to the cache; where that cannot be done, the next process reads again."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, values)
