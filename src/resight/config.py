"""Every choice that changes a number, in frozen dataclasses: the only source of defaults.

The method configuration (`ExtractionConfig`, `SiftVladConfig` or `LocalConfig`) says how a photo
becomes a descriptor; together with the weights it has a fingerprint, which a collection stores.
`SelectionConfig` says which values of the descriptors are kept, `SearchConfig` how to answer.
Section numbers refer to `docs/method.md`.
"""

import dataclasses
import hashlib
import json
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeGuard

from resight.errors import UsageError

ALGORITHM_VERSION = 1
"""Raised whenever the same configuration would give other numbers than before."""

RESNET_STAGES = {"conv1": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
STAGES: dict[str, dict[str, int]] = {
    "resnet50": RESNET_STAGES,
    "resnet101": RESNET_STAGES,
    "vgg16": {
        **{"conv1": 64, "conv2": 128, "conv3": 256, "conv4": 512, "conv5": 512, "conv5_3": 512},
        **{"pool5": 512, "fc6": 4096, "fc7": 4096},
    },
}
"""The stages of each network that can be described, from the first to the last, and their channels;
`conv5_3` is `conv5` before its last ReLU."""


def last_maps(backbone: str) -> str:
    """The last stage of a network that is a map, before what makes one vector of it."""
    return list(STAGES[backbone])[4]


BROUGHT = ("fine-tuned", "netvlad")
"""Poolings that come with a network's weights."""

T = typing.TypeVar("T")
Backbone = Literal["resnet50", "resnet101", "vgg16"]
Layer = Literal[
    "layer4",
    "layer3",
    "layer2",
    "layer1",
    "conv1",
    "conv2",
    "conv3",
    "conv4",
    "conv5",
    "conv5_3",
    "pool5",
    "fc6",
    "fc7",
]
Interpolation = Literal["nearest", "bilinear", "bicubic"]


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """The paper's descriptor (sections 1-5 and 7); the defaults are the configuration `paper`."""

    method: Literal["cnn"] = _option("cnn", "the family of methods")
    backbone: Backbone = _option("resnet50", "the network")
    resolutions: tuple[int, ...] = _option(
        (1050, 800, 550), "longest sides of the copies of a photo, in pixels"
    )
    resize_filter: Literal["box", "bilinear", "hamming", "bicubic", "lanczos"] = _option(
        "bilinear", "Pillow's filter for the copies, antialiased when shrinking"
    )
    resize_from: Literal["original", "previous"] = _option(
        "original", "make each copy from the photo itself or from the copy before it"
    )
    upscale: bool = _option(True, "enlarge photos that are smaller than a resolution")
    square: bool = _option(False, "make the copies square, whatever the shape of the photo")
    reduced_jpeg: bool = _option(
        False, "decode a JPEG at 1/2, 1/4 or 1/8 while at least twice the largest copy remains"
    )
    fusion: Literal["early", "late"] = _option(
        "early", "add the feature maps of the resolutions, or their pooled vectors"
    )
    fusion_interpolation: Interpolation = _option(
        "bilinear", "how maps are rescaled to the size of the first resolution's"
    )
    fusion_align_corners: bool = _option(False, "corner convention of that rescaling")
    layers: tuple[Layer, ...] = _option(
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
    ] = _option("modified-rmac", "how a feature map becomes a vector")
    levels: int = _option(3, "scales of the R-MAC grid")
    stride: float = _option(0.4, "step between regions, as a share of their side")
    gem_power: float = _option(3.0, "the power p of the generalized means")
    region_values: int | None = _option(
        None,
        "rmac-whitened: components kept of a region's vector; none leaves that to the spectrum",
    )
    layer_weights: tuple[float, ...] = _option(
        (), "what each layer counts in the cosine of two descriptors; none: they stand side by side"
    )
    learn_layer_weights: bool = _option(
        False, "learn from the photos what each layer counts, without labels"
    )
    normalize_concatenation: bool = _option(
        False, "give the concatenated descriptor unit length once more"
    )
    cam: bool = _option(False, "also a local descriptor, masked by the class activation map")
    cam_threshold: float = _option(0.9, "heat above this share of the mean heat is kept")
    mask_interpolation: Interpolation = _option(
        "nearest", "how the mask is rescaled to the other layer's map"
    )
    dtype: Literal["float32", "float16"] = _option("float32", "how descriptors are stored")
    precision: Literal["float32", "float16", "int8"] = _option(
        "float32",
        "what the network computes in; float16 is for GPUs, int8 is quantised on the collection's "
        "photos",
    )

    def __post_init__(self) -> None:
        _check_types(self)
        _require(
            bool(self.resolutions) and all(32 <= s <= 8192 for s in self.resolutions),
            "resolutions: one or more sizes from 32 to 8192 pixels",
        )
        _require(
            bool(self.layers) and len(set(self.layers)) == len(self.layers),
            "layers: one or more, each once",
        )
        for layer in self.layers:
            _require(
                layer in STAGES[self.backbone],
                f"layers: {layer} is no stage of {self.backbone}, "
                f"which has {', '.join(STAGES[self.backbone])}",
            )
        _require(1 <= self.levels <= 8, "levels: from 1 to 8")
        _require(0 < self.stride <= 1, "stride: above 0, at most 1")
        _require(0.1 <= self.gem_power <= 100, "gem_power: from 0.1 to 100")
        _require(self.region_values is None or self.region_values >= 1, "region_values: 1 or more")
        weights = tuple(map(float, self.layer_weights))
        object.__setattr__(self, "layer_weights", weights)
        _require(
            not weights
            or (len(weights) == len(self.layers) and min(weights) >= 0 and max(weights) > 0),
            "layer_weights: one for each layer, 0 or more, not all 0",
        )
        _require(
            not self.learn_layer_weights or not (weights or self.pooling == "rmac-whitened"),
            "learn_layer_weights: not with layer_weights, nor with the pooling rmac-whitened",
        )
        _require(
            self.pooling != "fine-tuned"
            or (self.fusion == "late" and self.layers == (last_maps(self.backbone),)),
            'pooling: fine-tuned needs fusion = "late" and the last maps as layers, '
            f'["{last_maps(self.backbone)}"]',
        )
        _require(
            self.pooling != "netvlad" or (self.fusion == "late" and self.layers == ("conv5_3",)),
            'pooling: netvlad needs fusion = "late" and layers = ["conv5_3"], of vgg16',
        )
        _require(
            self.pooling == "netvlad" or "conv5_3" not in self.layers,
            "layers: conv5_3, which has negative values, is for the pooling netvlad",
        )
        _require(
            self.precision == "float32" or not learns(self),
            "precision: int8 is not for methods that learn from photos",
        )
        _require(self.cam_threshold >= 0, "cam_threshold: 0 or more")
        _require(
            not (self.cam and self.fusion == "late"),
            'cam: needs fusion = "early", for the mask is made on the fused map',
        )
        _require(
            not (self.cam and self.backbone == "vgg16"),
            "cam: needs a ResNet, whose classifier sees the average of the last stage",
        )
        _require(
            not self.fusion_align_corners or self.fusion_interpolation != "nearest",
            "fusion_align_corners: not with nearest interpolation",
        )


@dataclass(frozen=True, kw_only=True)
class SiftVladConfig:
    """RootSIFT aggregated by VLAD: conventional, needs no network weights (section 11)."""

    method: Literal["sift-vlad"] = _option("sift-vlad", "the family of methods")
    longest_side: int = _option(1024, "larger photos are shrunk to this, in pixels")
    max_keypoints: int = _option(2000, "the strongest SIFT keypoints kept of a photo")
    contrast_threshold: float = _option(0.01, "SIFT's contrast threshold")
    centers: int = _option(128, "visual words of the vocabulary")
    sample: int = _option(200_000, "RootSIFT descriptors the vocabulary is fitted on, at most")
    power: float = _option(0.5, "exponent of the signed power law")
    distance: Literal["manhattan", "cosine"] = _option("cosine", "distance of the descriptors")
    seed: int = _option(0, "seed of the k-means")
    dtype: Literal["float32", "float16"] = _option("float32", "how descriptors are stored")

    # What `LocalConfig` leaves open.
    features: ClassVar[Literal["rootsift"]] = "rootsift"
    aggregation: ClassVar[Literal["vlad"]] = "vlad"
    scales: ClassVar[tuple[int, ...]] = (1,)
    values: ClassVar[None] = None
    assigned: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_types(self)
        _require(64 <= self.longest_side <= 8192, "longest_side: from 64 to 8192 pixels")
        _require(1 <= self.max_keypoints <= 100_000, "max_keypoints: from 1 to 100000")
        _require(0 < self.contrast_threshold < 1, "contrast_threshold: between 0 and 1")
        _require(1 <= self.centers <= 4096, "centers: from 1 to 4096")
        _require(self.sample >= self.centers, "sample: at least as many as centers")
        _require(0 < self.power <= 1, "power: above 0, at most 1")
        _require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")


LocalKind = Literal["rootsift", "columns", "cells", "patches"]
Aggregated = Literal[
    "vlad", "fisher", "triangulation", "netvlad", "words", "hamming", "hamming-wgc", "stack"
]
SETS = ("hamming", "hamming-wgc")
"""Aggregations whose descriptors are tables of local features, with a distance of their own."""


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """Local features aggregated into one descriptor (section 15)."""

    method: Literal["local"] = _option("local", "the family of methods")
    features: LocalKind = _option(
        "rootsift", "keypoints, columns or cells of a feature map, or patches of the photo"
    )
    aggregation: Aggregated = _option("vlad", "how they become one descriptor")
    longest_side: int = _option(1024, "larger photos are shrunk to this, in pixels")
    max_keypoints: int = _option(2000, "rootsift: the strongest keypoints kept of a photo")
    contrast_threshold: float = _option(0.01, "rootsift: SIFT's contrast threshold")
    backbone: Backbone = _option("resnet50", "the network, if there is one")
    layer: Layer = _option("layer4", "its stage that is looked at")
    scales: tuple[int, ...] = _option(
        (1,), "cells, patches: parts of each side of the photo; each scale stands by itself"
    )
    patch_side: int = _option(224, "patches: what they are resized to, in pixels")
    values: int | None = _option(None, "principal components kept of a feature; none: as it is")
    centers: int = _option(128, "visual words, Gaussians or anchors")
    assigned: int = _option(1, "vlad, words: nearest words that a feature counts for")
    sample: int = _option(200_000, "features of a scale that all this is fitted on, at most")
    power: float = _option(0.5, "exponent of the signed power law")
    distance: Literal["manhattan", "cosine"] = _option("cosine", "distance of the descriptors")
    seed: int = _option(0, "seed of the k-means, and of what else is random")
    dtype: Literal["float32", "float16"] = _option("float32", "how descriptors are stored")

    def __post_init__(self) -> None:
        _check_types(self)
        _require(64 <= self.longest_side <= 8192, "longest_side: from 64 to 8192 pixels")
        _require(1 <= self.max_keypoints <= 100_000, "max_keypoints: from 1 to 100000")
        _require(0 < self.contrast_threshold < 1, "contrast_threshold: between 0 and 1")
        _require(
            bool(self.scales) and all(1 <= scale <= 16 for scale in self.scales),
            "scales: one or more, from 1 to 16",
        )
        _require(
            self.layer in STAGES[self.backbone],
            f"layer: {self.layer} is no stage of {self.backbone}, "
            f"which has {', '.join(STAGES[self.backbone])}",
        )
        _require(32 <= self.patch_side <= 1024, "patch_side: from 32 to 1024 pixels")
        _require(self.values is None or self.values >= 1, "values: 1 or more")
        _require(1 <= self.centers <= 65_536, "centers: from 1 to 65536")
        _require(1 <= self.assigned <= self.centers, "assigned: from 1 to centers")
        _require(self.sample >= self.centers, "sample: at least as many as centers")
        _require(0 < self.power <= 1, "power: above 0, at most 1")
        _require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")
        _require(
            self.scales == (1,) or self.features in ("cells", "patches"),
            "scales: of cells and patches alone",
        )
        _require(
            self.aggregation != "stack" or self.features == "cells",
            "aggregation: stack is for cells, of which every photo has as many",
        )
        _require(
            self.aggregation != "netvlad" or self.centers >= 2, "centers: 2 or more for netvlad"
        )
        if self.aggregation in SETS:
            _require(
                self.features == "rootsift", f"aggregation: {self.aggregation} is for rootsift"
            )
            _require(self.dtype == "float32", f"dtype: float32 alone for {self.aggregation}")


MethodConfig = ExtractionConfig | SiftVladConfig | LocalConfig


def learns(config: MethodConfig) -> bool:
    """Whether a method learns something from photos before it can describe any."""
    if isinstance(config, SiftVladConfig):
        return True
    if isinstance(config, LocalConfig):
        return config.aggregation != "stack" or config.values is not None
    return config.learn_layer_weights or config.pooling == "rmac-whitened"


def has_network(config: MethodConfig) -> TypeGuard[ExtractionConfig | LocalConfig]:
    """Whether a method needs the weights of a network."""
    if isinstance(config, LocalConfig):
        return config.features != "rootsift"
    return isinstance(config, ExtractionConfig)


def reducible(config: MethodConfig) -> bool:
    """Whether a method's descriptors can be made shorter; those of Hamming embedding are sets."""
    if isinstance(config, LocalConfig):
        return config.aggregation not in SETS
    return isinstance(config, ExtractionConfig)


def own_distance(config: MethodConfig) -> str:
    """The distance that descriptors are compared by where nothing was fitted on them."""
    if isinstance(config, ExtractionConfig):
        by_cosine = learns(config) or config.layer_weights or config.pooling in BROUGHT
        return "cosine" if by_cosine else "manhattan"
    return config.aggregation if config.aggregation in SETS else config.distance


@dataclass(frozen=True, kw_only=True)
class SelectionConfig:
    """Principal feature analysis (section 6)."""

    method: Literal["pfa"] = _option("pfa", "one of pfa, whitening, none")
    features: int = _option(768, "values of the descriptor that are kept")
    variance: float = _option(0.9, "share of the variance that the components keep")
    components: int | None = _option(None, "number of components, instead of the share")
    restarts: int = _option(4, "runs of k-means, the best is taken")
    absolute: bool = _option(False, "cluster absolute values of the rows, as Lu et al. do")
    renormalize: bool = _option(False, "give the selected descriptor unit length")
    seed: int = _option(0, "seed of the k-means")

    def __post_init__(self) -> None:
        _check_types(self)
        _require(self.features >= 1, "features: 1 or more")
        _require(0 < self.variance <= 1, "variance: above 0, at most 1")
        _require(self.components is None or self.components >= 1, "components: 1 or more")
        _require(self.restarts >= 1, "restarts: 1 or more")
        _require(0 <= self.seed < 2**32, "seed: from 0 to 4294967295")


@dataclass(frozen=True, kw_only=True)
class WhiteningConfig:
    """PCA and whitening of each layer of the descriptor (section 12), compared by cosine."""

    method: Literal["whitening"] = _option("whitening", "one of pfa, whitening, none")
    features: int | None = _option(
        None, "components kept of each layer; none leaves that to the spectrum"
    )
    share: float = _option(0.75, "what the spectrum's choice keeps of the whitened variance")
    most: int = _option(384, "components of a layer that the spectrum's choice keeps at most")
    shrinkage: float | None = _option(
        None, "share of the mean variance added to each; none is prior / photos"
    )
    prior: float = _option(1000.0, "photos that equal variances count for where shrinkage is none")
    whiten: bool = _option(True, "divide the components by their standard deviation")
    power: float = _option(1.0, "exponent of a signed power law that comes first")
    fewest: int = _option(30, "photos below which nothing is whitened")
    below: Literal["none", "pfa"] = _option(
        "none", "what is fitted on fewer: nothing, or the paper's selection"
    )
    beside: Literal["none", "pfa"] = _option(
        "none",
        "what the whitened values stand beside, compared by Manhattan distance: nothing, or the "
        "paper's selection",
    )
    part: float = _option(0.25, "the whitened values' part of the distance beside others")

    def __post_init__(self) -> None:
        _check_types(self)
        _require(self.features is None or self.features >= 1, "features: 1 or more")
        _require(0 < self.share <= 1, "share: above 0, at most 1")
        _require(self.most >= 1, "most: 1 or more")
        _require(self.shrinkage is None or self.shrinkage >= 0, "shrinkage: 0 or more")
        _require(self.prior >= 0, "prior: 0 or more")
        _require(0 < self.power <= 1, "power: above 0, at most 1")
        _require(self.fewest >= 2, "fewest: 2 or more")
        _require(0 < self.part < 1, "part: between 0 and 1")

    @property
    def distance(self) -> str:
        """What descriptors are compared by that were fitted so."""
        return "cosine" if self.beside == "none" else "manhattan"


@dataclass(frozen=True, kw_only=True)
class NoReduction:
    """All values of the descriptors, as they are."""

    method: Literal["none"] = _option("none", "one of pfa, whitening, none")

    def __post_init__(self) -> None:
        _check_types(self)


ReductionConfig = SelectionConfig | WhiteningConfig | NoReduction
"""How descriptors are made shorter before they are compared."""


def reduction_for(
    config: SelectionConfig | WhiteningConfig, photos: int
) -> SelectionConfig | WhiteningConfig:
    """What is fitted on so many photos: on too few for a whitening, what it has for that."""
    if isinstance(config, WhiteningConfig) and config.below == "pfa" and photos < config.fewest:
        return SelectionConfig()
    return config


Preset = tuple[MethodConfig, ReductionConfig]
"""What a collection is made with."""


VerifiedBy = Literal["sift", "columns"]
Reranking = Literal["none", "aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]


@dataclass(frozen=True, kw_only=True)
class RerankConfig:
    """How the first results of a search are put into a better order (section 13)."""

    method: Reranking = _option(
        "none", "aqe, alpha-qe, dba, k-reciprocal, diffusion or late-fusion"
    )
    shortlist: int = _option(400, "so many first results are re-ranked")
    expanded: int = _option(2, "aqe, alpha-qe, dba: neighbors that a descriptor is averaged with")
    alpha: float = _option(3.0, "alpha-qe, dba: power of a neighbor's cosine, its weight")
    k1: int = _option(4, "k-reciprocal: neighbors that must be each other's")
    k2: int = _option(2, "k-reciprocal: neighbors whose encodings are averaged")
    share: float = _option(0.3, "k-reciprocal: what the distance itself still counts")
    mutual: int = _option(10, "diffusion: neighbors that are joined, when it is mutual")
    gamma: float = _option(3.0, "diffusion: power of the similarity, an edge's weight")
    damping: float = _option(0.5, "diffusion: how far it goes, below 1")
    references: int = _option(10, "late-fusion: curves of irrelevant queries that are averaged")
    related: int = _option(
        10, "late-fusion: first results of a photo without which it is an irrelevant query"
    )

    def __post_init__(self) -> None:
        _check_types(self)
        _require(self.shortlist >= 2, "shortlist: 2 or more")
        _require(self.expanded >= 1, "expanded: 1 or more")
        _require(0 <= self.alpha <= 100, "alpha: from 0 to 100")
        _require(self.k1 >= 1, "k1: 1 or more")
        _require(self.k2 >= 1, "k2: 1 or more")
        _require(0 <= self.share <= 1, "share: from 0 to 1")
        _require(self.mutual >= 1, "mutual: 1 or more")
        _require(0 < self.gamma <= 100, "gamma: above 0, at most 100")
        _require(0 < self.damping < 1, "damping: between 0 and 1")
        _require(self.references >= 1, "references: 1 or more")
        _require(self.related >= 0, "related: 0 or more")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a search is answered (section 8)."""

    k: int = _option(10, "how many results")
    rerank: Reranking = _option("none", "put the first results into a better order")
    verify: int = _option(0, "check the geometry of this many first results with RANSAC")
    verify_by: VerifiedBy = _option("sift", "what is matched: sift, or the network's columns")
    approximate: bool = _option(False, "search by the approximate index of a large collection")

    def __post_init__(self) -> None:
        _check_types(self)
        _require(self.k >= 1, "k: 1 or more")
        _require(self.verify >= 0, "verify: 0 or more")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """How an engine keeps and searches a collection; no distance depends on it."""

    links: int = _option(48, "HNSW: photos that each photo is linked to")
    build_effort: int = _option(256, "HNSW: candidates kept in mind while photos are linked")
    search_effort: int = _option(256, "HNSW: likewise while a query's neighbors are looked for")
    half: bool = _option(False, "PostgreSQL: an index of half the size, in half precision")
    build_memory: int = _option(1024, "PostgreSQL: MiB that making the index may take")
    shards: int = _option(1, "Qdrant: parts that a collection is spread over")
    replicas: int = _option(1, "Qdrant: machines that keep a copy of each part")
    oversampling: float = _option(4.0, "Qdrant: candidates by 8-bit codes, times the neighbors")

    def __post_init__(self) -> None:
        _check_types(self)
        _require(2 <= self.links <= 100, "links: from 2 to 100")
        _require(4 <= self.build_effort <= 1000, "build_effort: from 4 to 1000")
        _require(1 <= self.search_effort <= 1000, "search_effort: from 1 to 1000")
        _require(1 <= self.build_memory <= 2**20, "build_memory: from 1 to 1048576 MiB")
        _require(1 <= self.shards <= 10_000, "shards: from 1 to 10000")
        _require(1 <= self.replicas <= 100, "replicas: from 1 to 100")
        _require(1 <= self.oversampling <= 100, "oversampling: from 1 to 100")


def default_reduction(config: MethodConfig) -> ReductionConfig:
    """How a method's descriptors become shorter where nothing is said of it."""
    return NoReduction() if isinstance(config, LocalConfig) else SelectionConfig()


def method_from_dict(fields: dict[str, Any]) -> MethodConfig:
    """The configuration whose `method` is named in `fields` (`cnn` when it is not)."""
    classes: dict[str, type[MethodConfig]] = {
        "cnn": ExtractionConfig,
        "sift-vlad": SiftVladConfig,
        "local": LocalConfig,
    }
    method = fields.get("method", "cnn")
    if not isinstance(method, str) or method not in classes:
        raise UsageError(f"method: {method!r} is not one of {', '.join(classes)}")
    return from_dict(classes[method], fields)


def reduction_from_dict(fields: dict[str, Any]) -> ReductionConfig:
    """How descriptors are made shorter, by the `method` in `fields` (`pfa` when it is not)."""
    classes: dict[str, type[ReductionConfig]] = {
        "pfa": SelectionConfig,
        "whitening": WhiteningConfig,
        "none": NoReduction,
    }
    method = fields.get("method", "pfa") if isinstance(fields, dict) else "pfa"
    if not isinstance(method, str) or method not in classes:
        raise UsageError(f"method: {method!r} is not one of {', '.join(classes)}")
    return from_dict(classes[method], fields)


def from_dict(cls: type[T], fields: dict[str, Any]) -> T:
    """An instance of the dataclass `cls` from plain (JSON or TOML) values; lists become tuples.

    Raises:
        UsageError: an unknown field (the valid ones are named) or a value that cannot be.
    """
    if not isinstance(fields, dict):
        raise UsageError(f"expected a table of fields, not {fields!r}")
    valid = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in fields:
        if name not in valid:
            raise UsageError(f"unknown field {name!r}; the fields are {', '.join(valid)}")
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()}
    return cls(**values)


def to_dict(config: Any) -> dict[str, Any]:
    """The fields as JSON takes them: tuples become lists."""
    fields = dataclasses.asdict(config)
    return {n: list(v) if isinstance(v, tuple) else v for n, v in fields.items()}


BEFORE_THERE_WAS_A_CHOICE = {
    "precision": "float32",
    "pooling": "modified-rmac",
    "gem_power": 3.0,
    "square": False,
    "region_values": None,
    "layer_weights": [],
    "learn_layer_weights": False,
}
"""Fields that came later: with these values a fingerprint is what it was before."""


def fingerprint(config: MethodConfig, model_sha256: str) -> str:
    """SHA-256 (hex) of all that decides a descriptor's numbers.

    Args:
        config: the method's configuration.
        model_sha256: hash of the weights file (and the network quantised from it), or of the
            vocabulary of `sift-vlad`.
    """
    content = {"algorithm": ALGORITHM_VERSION, "model": model_sha256, **to_dict(config)}
    for name, first in BEFORE_THERE_WAS_A_CHOICE.items():
        if name in content and content[name] == first:
            del content[name]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)


def _check_types(config: Any) -> None:
    hints = typing.get_type_hints(type(config))
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if not _is_instance(value, hints[f.name]):
            raise UsageError(f"{f.name}: {value!r} is not {_describe(hints[f.name])}")
        if hints[f.name] is float:
            object.__setattr__(config, f.name, float(value))


def _is_instance(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_instance(v, args[0]) for v in value)
    if origin is types.UnionType:
        return any(_is_instance(value, arg) for arg in args)
    if hint is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) <= sys.float_info.max  # finite
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        return f"a list, each {_describe(args[0])}"
    if origin is types.UnionType:
        return " or ".join(_describe(arg) for arg in args)
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(
        hint, "nothing" if hint is type(None) else str(hint)
    )
