"""Local features and their aggregation (sections 11 and 15 of the method)."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from msgspec import Meta

from resight.config.base import PositiveInt, Seed, Share, option, require
from resight.config.method import MethodConfig, check_layer
from resight.config.reduction import NoReduction, ReductionConfig

SIFT_VALUES = 128

SETS = ("hamming", "hamming-wgc")
"""Aggregations whose descriptors are tables of local features, with a distance of their own."""

SIFT_VLAD_FIELDS = (
    "method",
    "longest_side",
    "max_keypoints",
    "contrast_threshold",
    "centers",
    "sample",
    "power",
    "distance",
    "seed",
    "dtype",
)
"""The only fields of the method `sift-vlad`, also in its fingerprint; all others are fixed."""


@dataclass(frozen=True, kw_only=True)
class LocalConfig(MethodConfig):
    """Local features aggregated into one descriptor (section 15).

    The method `sift-vlad` is the conventional baseline, RootSIFT aggregated by VLAD (section 11).
    """

    method: Literal["local", "sift-vlad"] = option("local", "the family of methods")
    features: str = option(
        "rootsift", "keypoints, columns or cells of a feature map, or patches of the photo"
    )
    aggregation: str = option("vlad", "how they become one descriptor")
    longest_side: Annotated[int, Meta(ge=64, le=8192)] = option(
        1024, "larger photos are shrunk to this, in pixels"
    )
    max_keypoints: Annotated[int, Meta(ge=1, le=100_000)] = option(
        2000, "rootsift: the strongest keypoints kept of a photo"
    )
    contrast_threshold: Annotated[float, Meta(gt=0, lt=1)] = option(
        0.01, "rootsift: SIFT's contrast threshold"
    )
    layer: str = option("layer4", "the network's stage that provides the features")
    scales: Annotated[tuple[Annotated[int, Meta(ge=1, le=16)], ...], Meta(min_length=1)] = option(
        (1,), "cells, patches: divisions of each side of the photo; each scale is a part"
    )
    patch_side: Annotated[int, Meta(ge=32, le=1024)] = option(
        224, "patches: side that they are resized to, in pixels"
    )
    values: PositiveInt | None = option(
        None, "principal components kept of a feature; none: as it is"
    )
    centers: Annotated[int, Meta(ge=1, le=65_536)] = option(
        128, "visual words, Gaussians or anchors"
    )
    assigned: PositiveInt = option(1, "vlad, words: nearest words that a feature is assigned to")
    sample: PositiveInt = option(200_000, "maximum number of features of a scale to fit on")
    power: Share = option(0.5, "exponent of the signed power law")
    distance: Literal["manhattan", "cosine"] = option("cosine", "distance of the descriptors")
    seed: Seed = option(0, "seed of the k-means and of other random choices")

    def check(self) -> None:
        """Check the rules between fields."""
        check_layer("layer", self.layer, self.spec)
        require(self.assigned <= self.centers, "assigned: expected at most centers")
        require(self.sample >= self.centers, "sample: expected at least centers")
        require(
            self.scales == (1,) or self.features in ("cells", "patches"),
            "scales: only for cells and patches",
        )
        require(
            self.aggregation != "stack" or self.features == "cells",
            "aggregation: stack is for cells, whose number is the same for every photo",
        )
        require(
            self.aggregation != "netvlad" or self.centers >= 2,
            "centers: expected 2 or more for netvlad",
        )
        if self.aggregation in SETS:
            require(self.features == "rootsift", f"aggregation: {self.aggregation} is for rootsift")
            require(self.dtype == "float32", f"dtype: only float32 for {self.aggregation}")
        if self.method == "sift-vlad":
            for field in dataclasses.fields(self):
                require(
                    field.name in SIFT_VLAD_FIELDS or getattr(self, field.name) == field.default,
                    f"{field.name}: fixed in the method sift-vlad; use the method local",
                )

    @property
    def needs_network(self) -> bool:
        """Return whether the features are a network's."""
        return self.features != "rootsift"

    @property
    def layers(self) -> tuple[str, ...]:
        """The stage that provides the features."""
        return (self.layer,)

    @property
    def learns(self) -> bool:
        """Return whether a vocabulary or principal components are fitted on photos."""
        return self.aggregation != "stack" or self.values is not None

    @property
    def descriptor_distance(self) -> str:
        """The configured distance, or that of sets of features."""
        return self.aggregation if self.aggregation in SETS else self.distance

    @property
    def reducible(self) -> bool:
        """Return whether the descriptors are vectors that a reduction may be fitted on."""
        return self.method == "local" and self.aggregation not in SETS

    def default_reduction(self) -> ReductionConfig:
        """Return none."""
        return NoReduction()

    @property
    def nominal_sizes(self) -> list[int]:
        """Number of values of each scale; of triangulation, the most there can be."""
        feature = self.spec.channels[self.layer] if self.needs_network else SIFT_VALUES
        projected = self.values or feature
        aggregated = {
            "fisher": 2 * projected * self.centers,
            "triangulation": projected * self.centers - projected,
            "words": self.centers,
            "hamming": 8 * self.max_keypoints,
            "hamming-wgc": 8 * self.max_keypoints,
        }.get(self.aggregation, projected * self.centers)
        stacked = self.aggregation == "stack"
        return [
            # At scale 1 the whole photo is one feature, which stays as it is.
            feature
            if scale == 1 and self.features in ("cells", "patches")
            else (projected * scale**2 if stacked else aggregated)
            for scale in self.scales
        ]

    @property
    def label(self) -> str:
        """The aggregation, or the method if that is more specific."""
        return self.aggregation if self.method == "local" else self.method

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; of `sift-vlad` without the fixed ones."""
        fields = super().to_dict()
        if self.method == "sift-vlad":
            return {name: fields[name] for name in SIFT_VLAD_FIELDS}
        return fields

    def _on_backbone(self, backbone: str, layers: list[str]) -> Self:
        return self.from_dict({**self.to_dict(), "backbone": backbone, "layer": layers[0]})
