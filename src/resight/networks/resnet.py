"""ResNet-50 and ResNet-101; names and shapes are torchvision's.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
"""

import functools
from collections.abc import Iterator

from resight.networks.backbone import BackboneSpec, Convolution, Layer, Operations, T, WeightsSpec

PAPER = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"

LAYERS = (
    Layer("conv1", 64, 2),
    Layer("layer1", 256, 4),
    Layer("layer2", 512, 8),
    Layer("layer3", 1024, 16),
    Layer("layer4", 2048, 32),
)
WIDTHS = (64, 128, 256, 512)
"""Inner channels of the blocks of `layer1` to `layer4`."""


def _forward(blocks: tuple[int, ...], operations: Operations[T], x: T) -> Iterator[tuple[str, T]]:
    x = operations.allow_bfloat16(x)
    x = operations.relu(operations.convolve(x, "conv1", stride=2))
    yield "conv1", x
    x = operations.max_pool(x, 3)
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(operations, x, f"layer{stage}.{block}", stride, project=block == 0)
        yield f"layer{stage}", x


def _bottleneck(operations: Operations[T], x: T, name: str, stride: int, project: bool) -> T:
    """Apply 1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut (fig. 5)."""
    y = operations.relu(operations.convolve(x, f"{name}.conv1"))
    y = operations.relu(operations.convolve(y, f"{name}.conv2", stride))
    y = operations.convolve(y, f"{name}.conv3")
    shortcut = operations.convolve(x, f"{name}.downsample.0", stride) if project else x
    return operations.relu(operations.add(y, shortcut))


def _convolutions(blocks: tuple[int, ...]) -> Iterator[Convolution]:
    yield Convolution("conv1", (64, 3, 7, 7), "bn1")
    inputs = 64
    for stage, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True), start=1):
        outputs = 4 * width
        for block in range(count):
            name = f"layer{stage}.{block}"
            yield Convolution(f"{name}.conv1", (width, inputs, 1, 1), f"{name}.bn1")
            yield Convolution(f"{name}.conv2", (width, width, 3, 3), f"{name}.bn2")
            yield Convolution(f"{name}.conv3", (outputs, width, 1, 1), f"{name}.bn3")
            if block == 0:
                shape = (outputs, inputs, 1, 1)
                yield Convolution(f"{name}.downsample.0", shape, f"{name}.downsample.1")
            inputs = outputs


def _resnet(depth: int, blocks: tuple[int, ...], url: str, sha256: str) -> BackboneSpec:
    return BackboneSpec(
        name=f"resnet{depth}",
        title=f"ResNet-{depth}",
        layers=LAYERS,
        pyramid=tuple(layer.name for layer in LAYERS),
        forward=functools.partial(_forward, blocks),
        convolutions=tuple(_convolutions(blocks)),
        classifier=("fc", 2048),
        matching_layer="layer3",
        cam_layer="layer4",
        weights=WeightsSpec(sha256, PAPER, url),
        bytes_per_pixel=260,  # measured on images of 1050 x 1050 pixels: 210 to 250
        children=("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    )


RESNET50 = _resnet(
    50,
    (3, 4, 6, 3),
    "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
)
RESNET101 = _resnet(
    101,
    (3, 4, 23, 3),
    "https://download.pytorch.org/models/resnet101-63fe2227.pth",
    "63fe2227b86e8f1f2063f43a75c84d195911b6a0eace650907dd3dc62dd49a0a",
)
