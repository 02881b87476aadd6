"""Parameters of a network for inference: checked, with batch norm folded in, and cached.

Names and shapes of weights must be exactly those of the network's spec.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.errors import WeightsError
from resight.files import user_cache, write_atomically
from resight.networks import BACKBONES, find_backbone
from resight.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, TIMM, Convolution
from resight.networks.checkpoints import NetVlad, RetrievalHead, read_checkpoint
from resight.networks.weights import WeightsFile


@dataclass(frozen=True)
class Classifier:
    """The network's last fully connected layer: weight (classes, D), bias (classes,); float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Parameters:
    """Parameters of a network, ready for a runtime.

    Attributes:
        convolutions: name to weight, float32 (outputs, inputs of a group, side, side), and bias,
            float32 (outputs,), with batch norm folded in; includes VGG-16's fully connected layers.
        classifier: None if the weights lack the fully connected layers.
        mean, std: as in `BackboneSpec`.
        head: of networks that were fine-tuned for retrieval, or trained with NetVLAD.
        build: for a network of timm, returns torch's module for the names of layers.
    """

    convolutions: dict[str, tuple[np.ndarray, np.ndarray]]
    classifier: Classifier | None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    head: RetrievalHead | NetVlad | None = None
    build: Callable[[Sequence[str]], Any] | None = None


def load_parameters(backbone: str, path: Path, sha256: str | None = None) -> Parameters:
    """Load the parameters of a network from a weights file, or from the user's cache.

    Folded parameters are cached, so that the next process need not fold them; except those of
    fine-tuned networks, whose head is not cached. A file may lack the fully connected layers.

    Args:
        backbone: a name that `find_backbone` knows.
        path: a `.pth` or `.safetensors` file in torchvision's layout, or one of `checkpoints`.
        sha256: of the file's content; without it nothing is cached.

    Raises:
        WeightsError: names, shapes or types are not exactly the network's.
    """
    if backbone.startswith(TIMM):
        return _load_timm_parameters(backbone, path)
    cache = None if sha256 is None else _cache_file(backbone, sha256)
    values = None if cache is None else _read_cache(cache, backbone)
    if values is not None:
        return _split(values, backbone)
    checkpoint = read_checkpoint(path)
    actual = checkpoint.backbone or backbone_of(checkpoint.state, path)
    if actual not in (None, backbone):
        method = "paper" if actual == "resnet50" else f"paper@{actual}"
        raise WeightsError(
            f"{path}: are weights of {actual}, not of {backbone}: name a method on that network, "
            f"such as --config {method}"
        )
    check_state(backbone, checkpoint.state, path)
    values = _fold_batch_norm(checkpoint.state, backbone, path)
    if cache is not None and checkpoint.head is None:
        _write_cache(values, cache)
    parameters = dataclasses.replace(_split(values, backbone), head=checkpoint.head)
    if checkpoint.normalization is None:
        return parameters
    mean, std = checkpoint.normalization
    return dataclasses.replace(parameters, mean=mean, std=std)


def _load_timm_parameters(name: str, path: Path) -> Parameters:
    """Load a network of timm; nothing is cached, as torch is needed anyway."""
    from resight.networks.timm_models import load_timm, timm_spec

    build, linear = load_timm(name, path)
    classifier = None if linear is None else Classifier(linear[0].numpy(), linear[1].numpy())
    spec = timm_spec(name)
    return Parameters({}, classifier, spec.mean, spec.std, build=build)


@functools.cache
def fits_timm(file: WeightsFile, name: str) -> bool:
    """Return whether a weights file is of a network of timm."""
    try:
        _load_timm_parameters(name, file.path)
    except WeightsError:
        return False
    return True


@functools.cache
def recognize(file: WeightsFile) -> tuple[str, str]:
    """Return the network of a weights file, and the pooling of its head ("" without a head).

    Raises:
        WeightsError: the file cannot be read, or fits no network.
    """
    for backbone in BACKBONES:
        if _read_cache(_cache_file(backbone, file.sha256), backbone) is not None:
            return backbone, ""
    checkpoint = read_checkpoint(file.path)
    backbone_name = checkpoint.backbone or backbone_of(checkpoint.state, file.path)
    if backbone_name is None:
        raise WeightsError(f"{file.path}: are weights of none of {', '.join(BACKBONES)}")
    if checkpoint.head is not None:
        return backbone_name, checkpoint.head.pooling
    if checkpoint.backbone is None:  # checked above
        _write_cache(
            _fold_batch_norm(checkpoint.state, backbone_name, file.path),
            _cache_file(backbone_name, file.sha256),
        )
    return backbone_name, ""


def backbone_of(state: dict[str, np.ndarray], path: Path) -> str | None:
    """Return the network whose state dict it is; None if it is no network's."""
    for backbone in BACKBONES:
        with contextlib.suppress(WeightsError):
            check_state(backbone, state, path)
            return backbone
    return None


def check_state(backbone: str, state: dict[str, np.ndarray], path: Path) -> None:
    """Check that a state dict is exactly a network's, with or without fully connected layers.

    Raises:
        WeightsError: names, shapes or types differ.
    """
    spec = find_backbone(backbone)
    classifier, inputs = spec.classifier
    expected = _expected_shapes(spec.convolutions)
    if f"{classifier}.bias" in state:
        classes = state[f"{classifier}.bias"].size
        expected |= {f"{classifier}.weight": (classes, inputs), f"{classifier}.bias": (classes,)}
        for layer in spec.head:
            outputs = layer.shape[0]
            expected[f"{layer.name}.weight"] = (outputs, math.prod(layer.shape[1:]))
            expected[f"{layer.name}.bias"] = (outputs,)
    # Counters of training steps do not matter, and old files lack them.
    actual = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    problems = [f"{n} is missing" for n in expected if n not in actual]
    problems += [f"{n} is unexpected" for n in actual if n not in expected]
    problems += [
        f"{n} has shape {actual[n].shape}, not {shape}"
        for n, shape in expected.items()
        if n in actual and actual[n].shape != shape
    ]
    problems += [f"{n} is of type {v.dtype}" for n, v in actual.items() if v.dtype != np.float32]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        listed = ", ".join(problems[:3])
        raise WeightsError(f"{path}: are not weights of {backbone}: {listed}{more}")


def _expected_shapes(convolutions: tuple[Convolution, ...]) -> dict[str, tuple[int, ...]]:
    """Return name to shape of the state dict of convolutions and their batch norms."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in convolutions:
        shapes[f"{layer.name}.weight"] = layer.shape
        if layer.norm is None:
            shapes[f"{layer.name}.bias"] = layer.shape[:1]
        else:
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{layer.norm}.{part}"] = layer.shape[:1]
    return shapes


def _fold_batch_norm(state: dict[str, np.ndarray], backbone: str, path: Path) -> np.ndarray:
    """Return folded weights and biases, float32 (V,): convolutions, then head and classifier.

    Raises:
        WeightsError: they are not finite, as with a negative variance.
    """
    spec = find_backbone(backbone)
    parts = []
    for layer in spec.convolutions:
        weight = state[f"{layer.name}.weight"]
        if layer.norm is None:
            parts += [weight, state[f"{layer.name}.bias"]]
            continue
        mean, variance, gain, bias = (
            state[f"{layer.norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        with np.errstate(invalid="ignore", divide="ignore"):  # refused below
            scale = gain / np.sqrt(variance + spec.batch_norm_epsilon)
        parts += [weight * scale[:, None, None, None], bias - mean * scale]
    if f"{spec.classifier[0]}.weight" in state:
        for name in [*(layer.name for layer in spec.head), spec.classifier[0]]:
            parts += [state[f"{name}.weight"], state[f"{name}.bias"]]
    with np.errstate(over="ignore"):
        values = np.concatenate([part.ravel().astype(np.float32) for part in parts])
    if not np.isfinite(values).all():
        raise WeightsError(f"{path}: its weights are not finite after batch normalization")
    return values


def _split(values: np.ndarray, backbone: str) -> Parameters:
    """Split the values of `_fold_batch_norm` into parameters."""
    spec = find_backbone(backbone)
    complete = values.size > _count(spec.convolutions)
    convolutions = {}
    start = 0
    for layer in spec.convolutions + (spec.head if complete else ()):
        size, outputs = math.prod(layer.shape), layer.shape[0]
        weight = values[start : start + size].reshape(layer.shape)
        convolutions[layer.name] = (weight, values[start + size : start + size + outputs])
        start += size + outputs
    classifier = None
    if complete:
        classes = (values.size - start) // (spec.classifier[1] + 1)
        classifier = Classifier(values[start:-classes].reshape(classes, -1), values[-classes:])
    return Parameters(convolutions, classifier, spec.mean, spec.std)


def _count(layers: tuple[Convolution, ...]) -> int:
    return sum(math.prod(layer.shape) + layer.shape[0] for layer in layers)


def _cache_file(backbone: str, sha256: str) -> Path:
    return user_cache() / f"{backbone}-{sha256}.npy"


def _read_cache(path: Path, backbone: str) -> np.ndarray | None:
    """Map cached values into memory; None if there is no intact file."""
    try:
        values = np.lib.format.open_memmap(path, mode="c")
    except (OSError, ValueError, EOFError):
        return None
    spec = find_backbone(backbone)
    rest = values.size - _count(spec.convolutions)
    classifier = rest - _count(spec.head)
    complete = rest == 0 or (classifier > 0 and classifier % (spec.classifier[1] + 1) == 0)
    return values if values.ndim == 1 and values.dtype == np.float32 and complete else None


def _write_cache(values: np.ndarray, path: Path) -> None:
    """Cache values, unless the folder cannot be written."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, values)
