"""Convolutional networks as sources of feature maps (section 1).

Weights come in torchvision's layout and are checked strictly. The networks here are for inference
alone: batch norm is folded into the convolutions as the weights are read. What computes a network
is an engine (`engines.py`); this module says what there is to compute.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from resight.errors import WeightsError
from resight.networks.weights import read_state_dict, user_cache

T = TypeVar("T")

BLOCKS: dict[str, tuple[int, int, int, int]] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
"""Bottleneck blocks in each of the four stages (He et al., table 1)."""

BATCH_NORM_EPSILON = 1e-5
"""As in torchvision's networks."""

CHANNELS = {"layer3": 1024, "layer4": 2048}
"""The stages whose feature maps are described, and their channels."""


@dataclass(frozen=True)
class Classifier:
    """The network's fully connected layer: weight (classes, 2048), bias (classes,); float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Parameters:
    """What a network has learned.

    Attributes:
        convolutions: name to weight, float32 (outputs, inputs, side, side), and bias, float32
            (outputs,), with the batch norm folded in.
        classifier: None where the weights came without it.
    """

    convolutions: dict[str, tuple[np.ndarray, np.ndarray]]
    classifier: Classifier | None


class Network(Protocol):
    """A network on an engine, ready for inference."""

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Feature maps of a picture.

        Args:
            pixels: uint8 (H, W, 3), RGB.

        Returns:
            `layer3`, float32 (1024, H / 16, W / 16), and `layer4`, float32
            (2048, H / 32, W / 32), sizes rounded up, after the last ReLU of the stage.
        """


class Operations(Protocol, Generic[T]):
    """What an engine must be able to compute, on batches (B, C, H, W) of its own kind."""

    def convolve(self, x: T, name: str, stride: int = 1) -> T:
        """The convolution of that name, padded by half of its side; bias included."""

    def relu(self, x: T) -> T:
        """Negative values become 0; `x` may be overwritten."""

    def add(self, x: T, y: T) -> T:
        """The sum; `x` may be overwritten."""

    def max_pool(self, x: T) -> T:
        """Maxima over 3 x 3, every 2 positions, padded by 1."""


def resnet(backbone: str, operations: Operations[T], x: T) -> dict[str, T]:
    """ResNet without its pooling and classifier, on any engine: a normalized image to its maps."""
    x = operations.max_pool(operations.relu(operations.convolve(x, "conv1", stride=2)))
    maps = {}
    for stage, count in enumerate(BLOCKS[backbone], start=1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(operations, x, f"layer{stage}.{block}", stride, changes=block == 0)
        maps[f"layer{stage}"] = x
    return {layer: maps[layer] for layer in CHANNELS}


def _bottleneck(operations: Operations[T], x: T, name: str, stride: int, changes: bool) -> T:
    """1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut (He et al., fig. 5)."""
    y = operations.relu(operations.convolve(x, f"{name}.conv1"))
    y = operations.relu(operations.convolve(y, f"{name}.conv2", stride))
    y = operations.convolve(y, f"{name}.conv3")
    shortcut = operations.convolve(x, f"{name}.downsample.0", stride) if changes else x
    return operations.relu(operations.add(y, shortcut))


def load_parameters(backbone: str, path: Path, sha256: str | None = None) -> Parameters:
    """The parameters of a backbone from a weights file.

    What was read is kept, folded, in the user's cache, where the next process finds it without
    importing torch. A file without the classifier (`fc.*`) is accepted.

    Args:
        backbone: a name of `BLOCKS`.
        path: a `.pth` or `.safetensors` file in torchvision's layout.
        sha256: of the file's content; without it nothing is kept.

    Raises:
        WeightsError: the file's names, shapes or kind of numbers are not exactly the network's.
    """
    kept = None if sha256 is None else user_cache() / f"{backbone}-{sha256}.npy"
    values = None if kept is None else _read_kept(kept, backbone)
    if values is None:
        values = _fold_batch_norm(_checked_state(backbone, path), backbone)
        if kept is not None:
            _keep(values, kept)
    return _split(values, backbone)


def _convolutions(backbone: str) -> Iterator[tuple[str, str, tuple[int, int, int, int]]]:
    """Name, name of the batch norm behind it, and shape of each convolution (torchvision's)."""
    yield "conv1", "bn1", (64, 3, 7, 7)
    inputs = 64
    for stage, (width, count) in enumerate(
        zip((64, 128, 256, 512), BLOCKS[backbone], strict=True), start=1
    ):
        for block in range(count):
            name = f"layer{stage}.{block}"
            yield f"{name}.conv1", f"{name}.bn1", (width, inputs, 1, 1)
            yield f"{name}.conv2", f"{name}.bn2", (width, width, 3, 3)
            yield f"{name}.conv3", f"{name}.bn3", (4 * width, width, 1, 1)
            if block == 0:
                yield f"{name}.downsample.0", f"{name}.downsample.1", (4 * width, inputs, 1, 1)
            inputs = 4 * width


def _checked_state(backbone: str, path: Path) -> dict[str, np.ndarray]:
    state = read_state_dict(path)
    # Counters of training steps: no number of ours depends on them, and old files lack them.
    state = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    expected: dict[str, tuple[int, ...]] = {}
    for name, norm, shape in _convolutions(backbone):
        expected[f"{name}.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{part}"] = shape[:1]
    if "fc.bias" in state:
        classes = state["fc.bias"].size
        expected["fc.weight"], expected["fc.bias"] = (classes, 2048), (classes,)
    problems = [f"{n} is missing" for n in expected if n not in state]
    problems += [f"{n} is unexpected" for n in state if n not in expected]
    problems += [
        f"{n} has shape {state[n].shape}, not {shape}"
        for n, shape in expected.items()
        if n in state and state[n].shape != shape
    ]
    problems += [f"{n} is of type {v.dtype}" for n, v in state.items() if v.dtype != np.float32]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        listed = ", ".join(problems[:3])
        raise WeightsError(f"{path}: are not weights of {backbone}: {listed}{more}")
    return state


def _fold_batch_norm(state: dict[str, np.ndarray], backbone: str) -> np.ndarray:
    """Weights and biases of convolutions that do what convolution and batch norm did.

    Returns:
        float32 (V,): those of each convolution in turn, then the classifier's if there is one.
    """
    parts = []
    for name, norm, _ in _convolutions(backbone):
        mean, variance, gain, bias = (
            state[f"{norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
        parts += [state[f"{name}.weight"] * scale[:, None, None, None], bias - mean * scale]
    if "fc.weight" in state:
        parts += [state["fc.weight"], state["fc.bias"]]
    return np.concatenate([part.ravel().astype(np.float32) for part in parts])


def _split(values: np.ndarray, backbone: str) -> Parameters:
    """The parameters that `_fold_batch_norm` laid one after the other."""
    convolutions, start = {}, 0
    for name, _, shape in _convolutions(backbone):
        weight = values[start : start + math.prod(shape)].reshape(shape)
        start += weight.size
        convolutions[name] = (weight, values[start : start + shape[0]])
        start += shape[0]
    classes = (values.size - start) // (CHANNELS["layer4"] + 1)
    if classes == 0:
        return Parameters(convolutions, None)
    weight, bias = values[start:-classes], values[-classes:]
    return Parameters(convolutions, Classifier(weight.reshape(classes, -1), bias))


def _read_kept(path: Path, backbone: str) -> np.ndarray | None:
    """Kept values, mapped rather than read; None where there are none that are whole."""
    try:
        values = np.lib.format.open_memmap(path, mode="c")
    except (OSError, ValueError, EOFError):
        return None
    classifier = values.size - sum(
        math.prod(shape) + shape[0] for _, _, shape in _convolutions(backbone)
    )
    whole = classifier >= 0 and classifier % (CHANNELS["layer4"] + 1) == 0
    return values if values.ndim == 1 and values.dtype == np.float32 and whole else None


def _keep(values: np.ndarray, path: Path) -> None:
    """Write values to the cache; where that cannot be done, the next process reads again."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.save(file, values)
        partial.replace(path)
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)
