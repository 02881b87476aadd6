"""The paper's descriptor, and the poolings on the same maps (sections 1-5 and 7 of the method)."""

from dataclasses import dataclass
from typing import Literal

from resight.config.fields import check_types, option, require
from resight.networks.backbone import BackboneSpec
from resight.networks.specs import BACKBONES

BROUGHT = ("fine-tuned", "netvlad")
"""Poolings that come with a network's weights."""

Interpolation = Literal["nearest", "bilinear", "bicubic"]


def backbone_spec(name: str) -> BackboneSpec:
    """Return the network of a name.

    Raises:
        UsageError: there is none.
    """
    require(name in BACKBONES, f"backbone: {name!r} is not one of {', '.join(BACKBONES)}")
    return BACKBONES[name]


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """The paper's descriptor (sections 1-5 and 7); the defaults are the configuration `paper`."""

    method: Literal["cnn"] = option("cnn", "the family of methods")
    backbone: str = option("resnet50", "the network")
    resolutions: tuple[int, ...] = option(
        (1050, 800, 550), "longest sides of the copies of a photo, in pixels"
    )
    resize_filter: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"] = option(
        "bilinear", "Pillow's filter for the copies, antialiased when shrinking"
    )
    resize_from: Literal["original", "previous"] = option(
        "original", "make each copy from the photo itself or from the copy before it"
    )
    upscale: bool = option(True, "enlarge photos that are smaller than a resolution")
    square: bool = option(False, "make the copies square, whatever the shape of the photo")
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
    layers: tuple[str, ...] = option(
        ("layer4", "layer3"), "stages of the network, in the order of the descriptor"
    )
    pooling: Literal[
        "modified-rmac",
        "rmac",
        "rmac-integral",
        "rmac-whitened",
        "mac",
        "spoc",
        "spoc-center",
        "crow",
        "gem",
        "fine-tuned",
        "netvlad",
    ] = option("modified-rmac", "how a feature map becomes a vector")
    levels: int = option(3, "scales of the R-MAC grid")
    stride: float = option(0.4, "step between regions, as a share of their side")
    gem_power: float = option(3.0, "the power p of the generalized means")
    region_values: int | None = option(
        None,
        "rmac-whitened: components kept of a region's vector; none leaves that to the spectrum",
    )
    layer_weights: tuple[float, ...] = option(
        (), "what each layer counts in the cosine of two descriptors; none: they stand side by side"
    )
    learn_layer_weights: bool = option(
        False, "learn from the photos what each layer counts, without labels"
    )
    normalize_concatenation: bool = option(
        False, "give the concatenated descriptor unit length once more"
    )
    cam: bool = option(False, "also a local descriptor, masked by the class activation map")
    cam_threshold: float = option(0.9, "heat above this share of the mean heat is kept")
    mask_interpolation: Interpolation = option(
        "nearest", "how the mask is rescaled to the other layer's map"
    )
    dtype: Literal["float32", "float16"] = option("float32", "how descriptors are stored")
    precision: Literal["float32", "float16", "int8"] = option(
        "float32",
        "what the network computes in; float16 is for GPUs, int8 is quantised on the collection's "
        "photos",
    )

    def __post_init__(self) -> None:
        check_types(self)
        spec = backbone_spec(self.backbone)
        require(
            bool(self.resolutions) and all(32 <= s <= 8192 for s in self.resolutions),
            "resolutions: one or more sizes from 32 to 8192 pixels",
        )
        require(
            bool(self.layers) and len(set(self.layers)) == len(self.layers),
            "layers: one or more, each once",
        )
        for layer in self.layers:
            require(
                layer in spec.channels,
                f"layers: {layer} is no stage of {spec.name}, which has {', '.join(spec.channels)}",
            )
        require(1 <= self.levels <= 8, "levels: from 1 to 8")
        require(0 < self.stride <= 1, "stride: above 0, at most 1")
        require(0.1 <= self.gem_power <= 100, "gem_power: from 0.1 to 100")
        require(self.region_values is None or self.region_values >= 1, "region_values: 1 or more")
        weights = tuple(map(float, self.layer_weights))
        object.__setattr__(self, "layer_weights", weights)
        require(
            not weights
            or (len(weights) == len(self.layers) and min(weights) >= 0 and max(weights) > 0),
            "layer_weights: one for each layer, 0 or more, not all 0",
        )
        require(
            not self.learn_layer_weights or not (weights or self.pooling == "rmac-whitened"),
            "learn_layer_weights: not with layer_weights, nor with the pooling rmac-whitened",
        )
        require(
            self.pooling != "fine-tuned"
            or (self.fusion == "late" and self.layers == (spec.last_map,)),
            'pooling: fine-tuned needs fusion = "late" and the last maps as layers, '
            f'["{spec.last_map}"]',
        )
        require(
            self.pooling != "netvlad" or (self.fusion == "late" and self.layers == ("conv5_3",)),
            'pooling: netvlad needs fusion = "late" and layers = ["conv5_3"], of vgg16',
        )
        signed = [layer.name for layer in spec.layers if layer.signed and layer.name in self.layers]
        require(
            self.pooling == "netvlad" or not signed,
            f"layers: {', '.join(signed)}, which has negative values, is for the pooling netvlad",
        )
        require(
            self.precision == "float32" or not self.learns,
            "precision: int8 is not for methods that learn from photos",
        )
        require(self.cam_threshold >= 0, "cam_threshold: 0 or more")
        require(
            not (self.cam and self.fusion == "late"),
            'cam: needs fusion = "early", for the mask is made on the fused map',
        )
        require(
            not self.cam or spec.cam_layer is not None,
            "cam: needs a ResNet, whose classifier sees the average of the last stage",
        )
        require(
            not self.fusion_align_corners or self.fusion_interpolation != "nearest",
            "fusion_align_corners: not with nearest interpolation",
        )

    @property
    def learns(self) -> bool:
        """Whether photos are learned from before any can be described."""
        return self.learn_layer_weights or self.pooling == "rmac-whitened"
