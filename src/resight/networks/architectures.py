"""What each network computes, from a normalized image to the maps of its stages (section 1).

A network is described once, over the few operations that every engine has; stages come in order,
and nothing is computed beyond the last one that is asked for.

Sources: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1; Simonyan and
Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, table 1,
column D; names and shapes are torchvision's.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from resight.config import STAGES

T = TypeVar("T")

CHANNELS: Mapping[str, int] = {
    name: channels for stages in STAGES.values() for name, channels in stages.items()
}
"""Channels of every stage; a name means the same number in all networks that have it."""


class Operations(Protocol, Generic[T]):
    """What an engine must be able to compute, on batches (B, C, H, W) of its own kind."""

    def convolve(self, x: T, name: str, stride: int = 1, padding: int | None = None) -> T:
        """The convolution of that name, bias included; padded by half of its side if not said."""

    def relu(self, x: T) -> T:
        """Negative values become 0; `x` may be overwritten."""

    def copy(self, x: T) -> T:
        """The same values, which nothing overwrites."""

    def add(self, x: T, y: T) -> T:
        """The sum; `x` may be overwritten."""

    def max_pool(self, x: T, side: int) -> T:
        """Maxima over side x side, every 2 positions, padded by (side - 1) // 2."""


@dataclass(frozen=True)
class Convolution:
    """A convolution's name, shape (outputs, inputs, side, side), and the batch norm behind it.

    Where there is none (VGG-16), the convolution has a bias of its own.
    """

    name: str
    shape: tuple[int, int, int, int]
    norm: str | None = None


@dataclass(frozen=True)
class Architecture:
    """A network.

    Attributes:
        convolutions: those that every weights file has.
        head: fully connected layers behind them, as convolutions, which a file may lack.
        classifier: name and inputs of the last fully connected layer, which a file may lack, too.
        run: gives the name and the maps of each of its `STAGES` in turn.
        columns: the stage whose positions are compared when the geometry is verified.
    """

    convolutions: tuple[Convolution, ...]
    head: tuple[Convolution, ...]
    classifier: tuple[str, int]
    run: Callable[[Operations[Any], Any], Iterator[tuple[str, Any]]]
    columns: str


def compute(
    backbone: str, operations: Operations[T], x: T, layers: Collection[str]
) -> dict[str, T]:
    """The maps of some stages, in their order in the network, on any engine.

    Args:
        backbone: a name of `ARCHITECTURES`.
        operations: the engine's.
        x: a normalized image.
        layers: names of stages that the backbone has.
    """
    found: dict[str, T] = {}
    for name, maps in ARCHITECTURES[backbone].run(operations, x):
        if name in layers:
            found[name] = maps
        if len(found) == len(set(layers)):
            break
    return found


def large_enough(pixels: np.ndarray, backbone: str, layers: Collection[str]) -> np.ndarray:
    """A picture, uint8 (H, W, 3), its border repeated where a stage would have no position.

    Only VGG-16 needs that, whose pooling rounds down: both sides have at least 32 pixels, and 224
    for its fully connected layers.
    """
    if backbone != "vgg16":
        return pixels
    least = 224 if not {"fc6", "fc7"}.isdisjoint(layers) else 32
    missing = [max(0, least - side) for side in pixels.shape[:2]]
    if not any(missing):
        return pixels
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")


def _resnet(blocks: tuple[int, ...], operations: Operations[T], x: T) -> Iterator[tuple[str, T]]:
    x = operations.relu(operations.convolve(x, "conv1", stride=2))
    yield "conv1", x
    x = operations.max_pool(x, 3)
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(operations, x, f"layer{stage}.{block}", stride, changes=block == 0)
        yield f"layer{stage}", x


def _bottleneck(operations: Operations[T], x: T, name: str, stride: int, changes: bool) -> T:
    """1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut (He et al., fig. 5)."""
    y = operations.relu(operations.convolve(x, f"{name}.conv1"))
    y = operations.relu(operations.convolve(y, f"{name}.conv2", stride))
    y = operations.convolve(y, f"{name}.conv3")
    shortcut = operations.convolve(x, f"{name}.downsample.0", stride) if changes else x
    return operations.relu(operations.add(y, shortcut))


def _resnet_convolutions(blocks: tuple[int, ...]) -> Iterator[Convolution]:
    yield Convolution("conv1", (64, 3, 7, 7), "bn1")
    inputs = 64
    for stage, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True), start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            yield Convolution(f"{name}.conv1", (width, inputs, 1, 1), f"{name}.bn1")
            yield Convolution(f"{name}.conv2", (width, width, 3, 3), f"{name}.bn2")
            yield Convolution(f"{name}.conv3", (4 * width, width, 1, 1), f"{name}.bn3")
            if block == 0:
                shape = (4 * width, inputs, 1, 1)
                yield Convolution(f"{name}.downsample.0", shape, f"{name}.downsample.1")
            inputs = 4 * width


VGG16_STAGES: tuple[tuple[int, tuple[int, ...]], ...] = (
    (64, (0, 2)),
    (128, (5, 7)),
    (256, (10, 12, 14)),
    (512, (17, 19, 21)),
    (512, (24, 26, 28)),
)
"""Channels of the five stages, and the places of their convolutions in torchvision's sequence."""


def _vgg16(operations: Operations[T], x: T) -> Iterator[tuple[str, T]]:
    for stage, (_, places) in enumerate(VGG16_STAGES, start=1):
        for place in places:
            x = operations.convolve(x, f"features.{place}")
            if place == VGG16_STAGES[-1][1][-1]:
                yield "conv5_3", operations.copy(x)
            x = operations.relu(x)
        yield f"conv{stage}", x
        x = operations.max_pool(x, 2)
    yield "pool5", x
    # Fully connected layers are convolutions: for a picture of 224 x 224 pixels of one position.
    x = operations.relu(operations.convolve(x, "classifier.0", padding=0))
    yield "fc6", x
    yield "fc7", operations.relu(operations.convolve(x, "classifier.3"))


def _vgg16_convolutions() -> Iterator[Convolution]:
    inputs = 3
    for channels, places in VGG16_STAGES:
        for place in places:
            yield Convolution(f"features.{place}", (channels, inputs, 3, 3))
            inputs = channels


def _resnet_architecture(*blocks: int) -> Architecture:
    return Architecture(
        convolutions=tuple(_resnet_convolutions(blocks)),
        head=(),
        classifier=("fc", CHANNELS["layer4"]),
        run=functools.partial(_resnet, blocks),
        columns="layer3",
    )


ARCHITECTURES: Mapping[str, Architecture] = {
    "resnet50": _resnet_architecture(3, 4, 6, 3),
    "resnet101": _resnet_architecture(3, 4, 23, 3),
    "vgg16": Architecture(
        convolutions=tuple(_vgg16_convolutions()),
        head=(
            Convolution("classifier.0", (4096, 512, 7, 7)),
            Convolution("classifier.3", (4096, 4096, 1, 1)),
        ),
        classifier=("classifier.6", CHANNELS["fc7"]),
        run=_vgg16,
        columns="conv5",
    ),
}
"""The networks by name."""
