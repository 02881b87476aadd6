"""The paper's descriptor, and the poolings on the same maps (sections 1-5 and 7 of the method)."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from msgspec import Meta

from resight.config.base import NonNegative, PositiveInt, Share, option, require
from resight.config.method import WITHIN_TOLERANCE, MethodConfig, check_layer

HEADS = ("fine-tuned", "netvlad")
"""Poolings whose parameters come with a network's weights."""

SIGNED_POOLINGS = (
    "modified-rmac",
    "rmac",
    "rmac-whitened",
    "mac",
    "spoc",
    "spoc-center",
    "netvlad",
)
"""Poolings that are defined for maps with negative values (section 4)."""

WORKING_BYTES = 200 << 20
"""For photos of an ordinary size that are prepared and pooled while the network computes."""

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig(MethodConfig):
    """The paper's descriptor (sections 1-5 and 7); the defaults are the configuration `paper`."""

    method: Literal["cnn"] = option("cnn", "the family of methods")
    resolutions: Annotated[tuple[Annotated[int, Meta(ge=32, le=8192)], ...], Meta(min_length=1)] = (
        option((1050, 800, 550), "longest sides of the copies of a photo, in pixels")
    )
    resize_filter: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"] = option(
        "bilinear", "Pillow's filter for the copies, antialiased when shrinking"
    )
    resize_from: Literal["original", "previous"] = option(
        "original", "make each copy from the photo itself or from the copy before it"
    )
    upscale: bool = option(True, "enlarge photos that are smaller than a resolution")
    square: bool = option(False, "make the copies square, regardless of the photo's shape")
    reduced_jpeg: bool = option(
        False, "decode a JPEG at 1/2, 1/4 or 1/8 while at least twice the largest copy remains"
    )
    fusion: Literal["early", "late"] = option(
        "early", "add the feature maps of the resolutions, or their pooled vectors"
    )
    fusion_interpolation: Interpolation = option(
        "bilinear", "how maps are rescaled to the size of the first resolution's"
    )
    fusion_align_corners: bool = option(False, "corner convention of that rescaling")
    layers: Annotated[tuple[str, ...], Meta(min_length=1)] = option(
        ("layer4", "layer3"), "stages of the network, in the order of the descriptor"
    )
    pooling: str = option("modified-rmac", "how a feature map becomes a vector")
    levels: Annotated[int, Meta(ge=1, le=8)] = option(3, "scales of the R-MAC grid")
    stride: Share = option(0.4, "step between regions, as a share of their side")
    gem_power: Annotated[float, Meta(ge=0.1, le=100)] = option(
        3.0, "the power p of the generalized means"
    )
    region_values: PositiveInt | None = option(
        None, "rmac-whitened: components kept of a region's vector; none: chosen by the spectrum"
    )
    layer_weights: tuple[NonNegative, ...] = option(
        (), "weight of each layer in the cosine of two descriptors; none: plain concatenation"
    )
    learn_layer_weights: bool = option(
        False, "learn the weight of each layer from the photos, without labels"
    )
    normalize_concatenation: bool = option(
        False, "normalize the concatenated descriptor to unit length again"
    )
    cam: bool = option(False, "also a local descriptor, masked by the class activation map")
    cam_threshold: NonNegative = option(0.9, "mask threshold, as a share of the mean heat")
    mask_interpolation: Interpolation = option(
        "nearest", "how the mask is rescaled to the other layer's map"
    )
    precision: Literal["float32", "bfloat16", "auto", "float16", "int8"] = option(
        "float32",
        "arithmetic of the network; bfloat16 is for processors with AMX, auto is bfloat16 there "
        "and float32 elsewhere, float16 is for GPUs, int8 is quantized on the collection's photos",
    )

    def check(self) -> None:
        """Check the rules between fields."""
        spec = self.spec
        require(len(set(self.layers)) == len(self.layers), "layers: expected each layer once")
        for layer in self.layers:
            check_layer("layers", layer, spec)
        weights = self.layer_weights
        require(
            not weights or (len(weights) == len(self.layers) and max(weights) > 0),
            f"layer_weights: expected one per layer ({len(self.layers)}), not all 0",
        )
        require(
            not self.learn_layer_weights or not (weights or self.pooling == "rmac-whitened"),
            "learn_layer_weights: not with layer_weights, nor with the pooling rmac-whitened",
        )
        require(
            self.pooling != "fine-tuned"
            or (self.fusion == "late" and self.layers == (spec.last_map,)),
            'pooling: fine-tuned needs fusion = "late" and the last feature maps as layers, '
            f'["{spec.last_map}"]',
        )
        require(
            self.pooling != "netvlad" or (self.fusion == "late" and self.layers == ("conv5_3",)),
            'pooling: netvlad needs fusion = "late" and layers = ["conv5_3"], of vgg16',
        )
        signed = [layer.name for layer in spec.layers if layer.signed and layer.name in self.layers]
        require(
            self.pooling in SIGNED_POOLINGS or not signed,
            f"pooling: {self.pooling} needs values >= 0, but {', '.join(signed)} of {spec.name} "
            f"may be negative; use one of {', '.join(SIGNED_POOLINGS)}",
        )
        require(
            self.precision not in ("bfloat16", "int8") or "openvino" in spec.runtimes,
            f"precision: {self.precision} is not for {spec.name}; use float32 or auto",
        )
        require(
            self.precision in WITHIN_TOLERANCE or not self.learns,
            f"precision: {self.precision} is not for methods that learn from photos",
        )
        require(
            not (self.cam and self.fusion == "late"),
            'cam: needs fusion = "early", as the mask is computed on the fused map',
        )
        require(
            not self.cam or spec.cam_layer is not None,
            f"cam: {spec.name} has no classifier that is linear on the average of its last map; "
            "use a ResNet or EfficientNet-Lite",
        )
        require(
            not self.fusion_align_corners or self.fusion_interpolation != "nearest",
            "fusion_align_corners: not with nearest interpolation",
        )

    @property
    def required_head(self) -> str:
        """The pooling, if its parameters come with the weights."""
        return self.pooling if self.pooling in HEADS else ""

    @property
    def learns(self) -> bool:
        """Return whether layer weights or the whitening of regions are fitted on photos."""
        return self.learn_layer_weights or self.pooling == "rmac-whitened"

    @property
    def descriptor_distance(self) -> str:
        """Cosine for poolings and weights designed for it, else Manhattan."""
        by_cosine = self.learns or self.layer_weights or self.required_head
        return "cosine" if by_cosine else "manhattan"

    @property
    def nominal_sizes(self) -> list[int]:
        """Channels of each layer: 2048 for `layer4`, 1024 for `layer3`."""
        return [self.spec.channels[layer] for layer in self.layers]

    @property
    def sizes_vary(self) -> bool:
        """Return whether the weights' head or the whitening of regions decides the lengths."""
        return bool(self.required_head) or self.pooling == "rmac-whitened"

    @property
    def size_text(self) -> str:
        """Number of values of a descriptor, or what decides it."""
        if self.required_head:
            return "the weights'"
        if self.pooling == "rmac-whitened":
            return str(self.region_values or "by the spectrum")
        return str(sum(self.nominal_sizes))

    def memory_bytes(self) -> int:
        """Return the memory of the largest copy's maps, and of photos in preparation."""
        return self.spec.bytes_per_pixel * max(self.resolutions) ** 2 + WORKING_BYTES

    def with_cam(self, cam: bool) -> Self:
        """Return the configuration with class activation maps on or off."""
        return dataclasses.replace(self, cam=cam)

    def with_precision(self, precision: str) -> Self:
        """Return the configuration with another arithmetic of the network."""
        return self.from_dict({**self.to_dict(), "precision": precision})

    def _on_backbone(self, backbone: str, layers: list[str]) -> Self:
        return self.from_dict({**self.to_dict(), "backbone": backbone, "layers": layers})
