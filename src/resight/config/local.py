"""Local features and what they become (sections 11 and 15 of the method)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from resight.config.extraction import backbone_spec
from resight.config.fields import check_types, option, require


@dataclass(frozen=True, kw_only=True)
class SiftVladConfig:
    """RootSIFT aggregated by VLAD: conventional, needs no network weights (section 11)."""

    method: Literal["sift-vlad"] = option("sift-vlad", "the family of methods")
    longest_side: int = option(1024, "larger photos are shrunk to this, in pixels")
    max_keypoints: int = option(2000, "the strongest SIFT keypoints kept of a photo")
    contrast_threshold: float = option(0.01, "SIFT's contrast threshold")
    centers: int = option(128, "visual words of the vocabulary")
    sample: int = option(200_000, "RootSIFT descriptors the vocabulary is fitted on, at most")
    power: float = option(0.5, "exponent of the signed power law")
    distance: Literal["manhattan", "cosine"] = option("cosine", "distance of the descriptors")
    seed: int = option(0, "seed of the k-means")
    dtype: Literal["float32", "float16"] = option("float32", "how descriptors are stored")

    # What `LocalConfig` leaves open.
    features: ClassVar[Literal["rootsift"]] = "rootsift"
    aggregation: ClassVar[Literal["vlad"]] = "vlad"
    scales: ClassVar[tuple[int, ...]] = (1,)
    values: ClassVar[None] = None
    assigned: ClassVar[int] = 1
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_types(self)
        require(64 <= self.longest_side <= 8192, "longest_side: from 64 to 8192 pixels")
        require(1 <= self.max_keypoints <= 100_000, "max_keypoints: from 1 to 100000")
        require(0 < self.contrast_threshold < 1, "contrast_threshold: between 0 and 1")
        require(1 <= self.centers <= 4096, "centers: from 1 to 4096")
        require(self.sample >= self.centers, "sample: at least as many as centers")
        require(0 < self.power <= 1, "power: above 0, at most 1")
        require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")


LocalKind = Literal["rootsift", "columns", "cells", "patches"]
Aggregated = Literal[
    "vlad", "fisher", "triangulation", "netvlad", "words", "hamming", "hamming-wgc", "stack"
]
SETS = ("hamming", "hamming-wgc")
"""Aggregations whose descriptors are tables of local features, with a distance of their own."""


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """Local features aggregated into one descriptor (section 15)."""

    method: Literal["local"] = option("local", "the family of methods")
    features: LocalKind = option(
        "rootsift", "keypoints, columns or cells of a feature map, or patches of the photo"
    )
    aggregation: Aggregated = option("vlad", "how they become one descriptor")
    longest_side: int = option(1024, "larger photos are shrunk to this, in pixels")
    max_keypoints: int = option(2000, "rootsift: the strongest keypoints kept of a photo")
    contrast_threshold: float = option(0.01, "rootsift: SIFT's contrast threshold")
    backbone: str = option("resnet50", "the network, if there is one")
    layer: str = option("layer4", "its stage that is looked at")
    scales: tuple[int, ...] = option(
        (1,), "cells, patches: parts of each side of the photo; each scale stands by itself"
    )
    patch_side: int = option(224, "patches: what they are resized to, in pixels")
    values: int | None = option(None, "principal components kept of a feature; none: as it is")
    centers: int = option(128, "visual words, Gaussians or anchors")
    assigned: int = option(1, "vlad, words: nearest words that a feature counts for")
    sample: int = option(200_000, "features of a scale that all this is fitted on, at most")
    power: float = option(0.5, "exponent of the signed power law")
    distance: Literal["manhattan", "cosine"] = option("cosine", "distance of the descriptors")
    seed: int = option(0, "seed of the k-means, and of what else is random")
    dtype: Literal["float32", "float16"] = option("float32", "how descriptors are stored")

    def __post_init__(self) -> None:
        check_types(self)
        spec = backbone_spec(self.backbone)
        require(64 <= self.longest_side <= 8192, "longest_side: from 64 to 8192 pixels")
        require(1 <= self.max_keypoints <= 100_000, "max_keypoints: from 1 to 100000")
        require(0 < self.contrast_threshold < 1, "contrast_threshold: between 0 and 1")
        require(
            bool(self.scales) and all(1 <= scale <= 16 for scale in self.scales),
            "scales: one or more, from 1 to 16",
        )
        require(
            self.layer in spec.channels,
            f"layer: {self.layer} is no stage of {spec.name}, which has {', '.join(spec.channels)}",
        )
        require(32 <= self.patch_side <= 1024, "patch_side: from 32 to 1024 pixels")
        require(self.values is None or self.values >= 1, "values: 1 or more")
        require(1 <= self.centers <= 65_536, "centers: from 1 to 65536")
        require(1 <= self.assigned <= self.centers, "assigned: from 1 to centers")
        require(self.sample >= self.centers, "sample: at least as many as centers")
        require(0 < self.power <= 1, "power: above 0, at most 1")
        require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")
        require(
            self.scales == (1,) or self.features in ("cells", "patches"),
            "scales: of cells and patches alone",
        )
        require(
            self.aggregation != "stack" or self.features == "cells",
            "aggregation: stack is for cells, of which every photo has as many",
        )
        require(
            self.aggregation != "netvlad" or self.centers >= 2, "centers: 2 or more for netvlad"
        )
        if self.aggregation in SETS:
            require(self.features == "rootsift", f"aggregation: {self.aggregation} is for rootsift")
            require(self.dtype == "float32", f"dtype: float32 alone for {self.aggregation}")

    @property
    def learns(self) -> bool:
        """Whether photos are learned from before any can be described."""
        return self.aggregation != "stack" or self.values is not None
