"""The base of method configurations, and the fingerprint of all that decides a descriptor."""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from resight.config.base import Config, option, require
from resight.config.reduction import ReductionConfig, SelectionConfig
from resight.errors import UsageError
from resight.networks import find_backbone
from resight.networks.backbone import BackboneSpec

ALGORITHM_VERSION = 1
"""Incremented when the same configuration yields different numbers than before."""

ADDED_LATER: dict[str, Any] = {
    "precision": "float32",
    "pooling": "modified-rmac",
    "gem_power": 3.0,
    "square": False,
    "region_values": None,
    "layer_weights": [],
    "learn_layer_weights": False,
}
"""Fields that are no part of a fingerprint at these values: they came after the first ones."""

WITHIN_TOLERANCE = ("float32", "bfloat16", "auto")
"""Precisions whose descriptors are interchangeable (section 10 of the method)."""


def check_layer(field: str, layer: str, spec: BackboneSpec) -> None:
    """Check that a network has a layer; raise `UsageError` in the name of a field if not."""
    require(
        layer in spec.channels,
        f"{field}: {layer} is not a stage of {spec.name}, which has {', '.join(spec.channels)}",
    )


@dataclass(frozen=True, kw_only=True)
class MethodConfig(Config, ABC):
    """Method of describing photos, by one descriptor or by two."""

    method: str
    backbone: str = option("resnet50", "the network, if the method needs one")
    dtype: Literal["float32", "float16"] = option("float32", "how descriptors are stored")

    @property
    def needs_network(self) -> bool:
        """Return whether it needs the weights of a network."""
        return True

    @property
    def required_head(self) -> str:
        """The retrieval head that the weights must include; empty if none."""
        return ""

    @property
    @abstractmethod
    def learns(self) -> bool:
        """Return whether parameters are fitted on photos before any photo can be described."""

    @property
    @abstractmethod
    def descriptor_distance(self) -> str:
        """The distance of descriptors on which no reduction is fitted."""

    @property
    def reducible(self) -> bool:
        """Return whether the descriptors can be reduced by selection, whitening or adaptation."""
        return True

    def default_reduction(self) -> ReductionConfig:
        """Return the reduction used when none is configured: the paper's selection."""
        return SelectionConfig()

    @property
    @abstractmethod
    def nominal_sizes(self) -> list[int]:
        """Lengths of a descriptor's parts (layers or scales), before anything is fitted."""

    @property
    def sizes_vary(self) -> bool:
        """Return whether the lengths of the parts depend on the weights or on fitted parameters."""
        return False

    def part_sizes(self, length: int) -> list[int]:
        """Return the lengths of the parts that are whitened separately.

        A descriptor of another length than the nominal one is a single part.
        """
        sizes = self.nominal_sizes
        return sizes if sum(sizes) == length else [length]

    @property
    def size_text(self) -> str:
        """Number of values of a descriptor, or what decides it."""
        return str(sum(self.nominal_sizes))

    @property
    def precision(self) -> str:
        """The arithmetic of the network."""
        return "float32"

    @property
    def cam(self) -> bool:
        """Return whether there is also a local descriptor, masked by the class activation map."""
        return False

    @property
    def label(self) -> str:
        """The method's name in messages."""
        return self.method

    @property
    def spec(self) -> BackboneSpec:
        """The network.

        Raises:
            UsageError: there is none of that name.
        """
        try:
            return find_backbone(self.backbone)
        except UsageError as error:
            raise UsageError(f"backbone: {error}") from None

    @property
    def layers(self) -> tuple[str, ...]:
        """Stages of the network that provide the features."""
        return ()

    def network_layers(self) -> tuple[str, ...]:
        """Return the stages to compute, in the network's order.

        They include the one whose columns are matched in spatial verification and the one of class
        activation maps.
        """
        spec = self.spec
        needed = {*self.layers, spec.matching_layer, spec.cam_layer if self.cam else None}
        return tuple(layer for layer in spec.channels if layer in needed)

    def on_backbone(self, backbone: str) -> "MethodConfig":
        """Return the configuration for another network.

        Each of its layers becomes the other network's layer at the same depth, counted from the
        last.

        Raises:
            UsageError: no network, an unknown one, or one without such a layer.
        """
        if not self.needs_network:
            raise UsageError(f"{self.label} has no network to replace")
        pyramids = self.spec.pyramid, find_backbone(backbone).pyramid
        equivalent = dict(zip(*map(reversed, pyramids), strict=False))
        missing = [layer for layer in self.layers if layer not in equivalent]
        if missing:
            raise UsageError(f"{backbone} has no equivalent of {missing[0]} of {self.backbone}")
        return self._on_backbone(backbone, [equivalent[layer] for layer in self.layers])

    def _on_backbone(self, backbone: str, layers: list[str]) -> "MethodConfig":
        raise NotImplementedError

    def memory_bytes(self) -> int:
        """Return the memory that describing a photo takes besides the network's weights.

        Very large photos take more while they are decoded.
        """
        return 0

    def with_cam(self, cam: bool) -> "MethodConfig":
        """Return the configuration with class activation maps on or off.

        Raises:
            UsageError: the method has none.
        """
        raise UsageError(f"class activation maps need the CNN, not {self.method}", parameter="cam")

    def with_precision(self, precision: str) -> "MethodConfig":
        """Return the configuration with another arithmetic of the network.

        Raises:
            UsageError: the method has none to choose, or not this one.
        """
        raise UsageError(
            f"{self.method} has no network whose precision can be chosen", parameter="precision"
        )

    def identity(self) -> dict[str, Any]:
        """Return the fields by which descriptors differ: all, but one for equivalent precisions."""
        fields = self.to_dict()
        if self.precision in WITHIN_TOLERANCE and "precision" in fields:
            fields["precision"] = "float32"
        return fields

    def fingerprint(self, model_sha256: str) -> str:
        """Return the SHA-256 (hex) of all that decides a descriptor's numbers.

        Args:
            model_sha256: hash of the weights file (and of the network quantized from it), or of the
                fitted parameters of a method without a network.
        """
        content = {"algorithm": ALGORITHM_VERSION, "model": model_sha256, **self.identity()}
        for name, original in ADDED_LATER.items():
            if name in content and content[name] == original:
                del content[name]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
