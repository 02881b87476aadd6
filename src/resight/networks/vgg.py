"""VGG-16, fully connected layers included; names and shapes are torchvision's.

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
recognition", ICLR 2015, table 1, column D.
"""

from collections.abc import Iterator

from resight.networks.backbone import BackboneSpec, Convolution, Layer, Operations, T, WeightsSpec

BLOCKS: tuple[tuple[int, tuple[int, ...]], ...] = (
    (64, (0, 2)),
    (128, (5, 7)),
    (256, (10, 12, 14)),
    (512, (17, 19, 21)),
    (512, (24, 26, 28)),
)
"""Channels of the five blocks, and the indices of their convolutions in torchvision's sequence."""
LAST_CONVOLUTION = 28


def _forward(operations: Operations[T], x: T) -> Iterator[tuple[str, T]]:
    x = operations.allow_bfloat16(x)
    for block, (_, indices) in enumerate(BLOCKS, start=1):
        for index in indices:
            x = operations.convolve(x, f"features.{index}")
            if index == LAST_CONVOLUTION:
                yield "conv5_3", operations.copy(x)
            x = operations.relu(x)
        yield f"conv{block}", x
        x = operations.max_pool(x, 2)
    yield "pool5", x
    # Fully connected layers are convolutions: an image of 224 x 224 pixels has one position.
    x = operations.relu(operations.convolve(x, "classifier.0", padding=(0, 0)))
    yield "fc6", x
    yield "fc7", operations.relu(operations.convolve(x, "classifier.3"))


def _convolutions() -> Iterator[Convolution]:
    inputs = 3
    for channels, indices in BLOCKS:
        for index in indices:
            yield Convolution(f"features.{index}", (channels, inputs, 3, 3))
            inputs = channels


VGG16 = BackboneSpec(
    name="vgg16",
    title="VGG-16",
    layers=(
        Layer("conv1", 64, 1, min_side=32),
        Layer("conv2", 128, 2, min_side=32),
        Layer("conv3", 256, 4, min_side=32),
        Layer("conv4", 512, 8, min_side=32),
        Layer("conv5_3", 512, 16, min_side=32, signed=True),  # `conv5` before its last ReLU
        Layer("conv5", 512, 16, min_side=32),
        Layer("pool5", 512, 32, min_side=32),
        Layer("fc6", 4096, 32, min_side=224),
        Layer("fc7", 4096, 32, min_side=224),
    ),
    pyramid=("conv1", "conv2", "conv3", "conv4", "conv5"),
    forward=_forward,
    convolutions=tuple(_convolutions()),
    head=(
        Convolution("classifier.0", (4096, 512, 7, 7)),
        Convolution("classifier.3", (4096, 4096, 1, 1)),
    ),
    classifier=("classifier.6", 4096),
    matching_layer="conv5",
    weights=WeightsSpec(
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        paper="Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015",
    ),
    bytes_per_pixel=650,  # measured on images of 1050 x 1050 pixels: 515 to 655
)
