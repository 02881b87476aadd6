"""Every method by its name: how photos become descriptors, and what its paper reports.

A recipe's configuration is what `index --config NAME` takes, so that a method in a table and one in
a collection are the same code. Numbers in square brackets are the references of Seddati et al.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from resight.config import (
    ExtractionConfig,
    LocalConfig,
    MethodConfig,
    NoReduction,
    ReductionConfig,
    RerankConfig,
    Reranking,
    SelectionConfig,
    VerifiedBy,
    WhiteningConfig,
)
from resight.errors import UsageError

SEDDATI = "Seddati et al., Towards good practices for image retrieval, ICCVW 2017"
GORDO = "Gordo et al. [10], Deep image retrieval, ECCV 2016"
TOLIAS = "Tolias et al. [40], Particular object retrieval with integral max-pooling, ICLR 2016"
BABENKO = "Babenko and Lempitsky [5], Aggregating deep convolutional features, ICCV 2015"
KALANTIDIS = "Kalantidis et al. [18], Cross-dimensional weighting, ECCVW 2016"
RAZAVIAN = "Razavian et al. [33], Visual instance retrieval with deep networks, 2016"
LI = "Li et al. [21], MS-RMAC, Signal Processing Letters 2017"
RADENOVIC_BOW = "Radenovic et al. [32], CNN image retrieval learns from BoW, ECCV 2016"
RADENOVIC = "Radenovic et al., Fine-tuning CNN image retrieval, PAMI 2018"
JEGOU_VLAD = "Jegou et al. [15], Aggregating local image descriptors into compact codes, PAMI 2012"
PERRONNIN = "Perronnin et al. [28], Compressed Fisher vectors, CVPR 2010; [27], CVPR 2015"
TRIANGULATION = "Jegou and Zisserman [17], Triangulation embedding, CVPR 2014"
VIDEO_GOOGLE = "Sivic and Zisserman [37], Video Google, ICCV 2003"
HAMMING = "Jegou et al. [13], Hamming embedding and weak geometry, ECCV 2008"
NEURAL_CODES = "Babenko et al. [6], Neural codes for image retrieval, ECCV 2014"
PHILBIN = "Philbin et al. [29], Object retrieval with large vocabularies, CVPR 2007"
NETVLAD = "Arandjelovic et al. [1], NetVLAD, CVPR 2016"
OURS = "this project"

TRAINED = {"fine-tuned": "fine-tuned ", "netvlad": "NetVLAD's "}
"""Prefix of networks whose weights include a retrieval head."""

ON_MAP = ("holidays", "oxford5k", "paris6k")
"""The benchmarks that the papers measure by mAP."""

PHOTOS_A_VALUE = 2
"""So many photos for each value a whitening without shrinkage needs, or it learns chance."""

VERIFIED = 20
"""First results whose geometry is checked, in the recipes that do it."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A method.

    Attributes:
        title: what it does, in a few words.
        source: where it comes from.
        extraction: how a photo becomes a descriptor.
        selection: how descriptors become shorter, fitted on the photos that are searched.
        rerank: how the first results are put into a better order.
        verify: so many first results are checked by their geometry.
        verify_by: what is matched for that.
        tables: of Seddati et al. in which it is a row.
        published: benchmark to what its paper (or Seddati et al., of it) reports: mAP in percent,
            N-S score from 0 to 4.
        published_with: what that number was reached with, where it is not this recipe exactly.
        features: values kept on a benchmark, where they are not the selection's: those that the
            method's own paper keeps.
    """

    title: str
    source: str
    extraction: MethodConfig
    selection: ReductionConfig = NoReduction()
    rerank: RerankConfig = RerankConfig()
    verify: int = 0
    verify_by: VerifiedBy = "sift"
    tables: tuple[int, ...] = ()
    published: Mapping[str, float] = field(default_factory=dict)
    published_with: str = ""
    features: Mapping[str, int] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        """Which weights it needs; empty where it needs none."""
        config = self.extraction
        if not config.needs_network:
            return ""
        return TRAINED.get(config.required_head, "") + config.spec.title

    @property
    def values(self) -> str:
        """How many values of a descriptor are compared."""
        return self.selection.size_text or self.extraction.size_text

    def selection_for(self, benchmark: str, photos: int) -> ReductionConfig:
        """The selection or whitening with the number of values that the paper keeps on a benchmark.

        A whitening is then plain, as in its paper, where the photos are enough for that.
        """
        features = self.features.get(benchmark)
        if features is not None and isinstance(self.selection, SelectionConfig):
            return dataclasses.replace(self.selection, features=features)
        enough = features is not None and photos >= PHOTOS_A_VALUE * features
        if enough and isinstance(self.selection, WhiteningConfig):
            return dataclasses.replace(self.selection, features=features, shrinkage=0.0)
        return self.selection


def name_of(config: MethodConfig) -> str:
    """The first recipe that describes photos so, or else the family of methods."""
    named = (name for name, recipe in METHODS.items() if recipe.extraction == config)
    return next(named, config.method)


_WHITENED = WhiteningConfig(prior=2000, min_photos=128, fallback="pfa")
"""Whitening from as many photos on as an index run fits a selection from; on fewer, as `paper`."""


def _reranked(method: Reranking, source: str) -> MethodSpec:
    return MethodSpec(
        title=f"whitened, re-ranked by {method}",
        source=source,
        extraction=ExtractionConfig(),
        selection=_WHITENED,
        rerank=RerankConfig(method=method),
    )


def _verified(by: VerifiedBy, title: str) -> MethodSpec:
    return MethodSpec(
        title=f"whitened, the first {VERIFIED} verified by {title}",
        source=PHILBIN,
        extraction=ExtractionConfig(),
        selection=_WHITENED,
        verify=VERIFIED,
        verify_by=by,
    )


_BOW = LocalConfig(aggregation="words", centers=4096)
_ONE = ExtractionConfig(resolutions=(800,), layers=("layer4",))
_BOTH = ExtractionConfig()
_TUNED = ExtractionConfig(
    resolutions=(1024,), layers=("layer4",), fusion="late", pooling="fine-tuned"
)
_PFA = {"oxford5k": 320, "paris6k": 384}


def _pooled(pooling: str, resolution: int = 800) -> ExtractionConfig:
    fields = {**_ONE.to_dict(), "pooling": pooling, "resolutions": [resolution]}
    return ExtractionConfig.from_dict(fields)


def _fully_connected(layer: str) -> ExtractionConfig:
    return ExtractionConfig(
        backbone="vgg16", resolutions=(224,), square=True, layers=(layer,), pooling="mac"
    )


METHODS: Mapping[str, MethodSpec] = {
    "baseline": MethodSpec(
        title="modified R-MAC at 800 pixels",
        source=SEDDATI,
        extraction=_ONE,
        tables=(1,),
        published={"holidays": 90.57},
    ),
    "mr-late": MethodSpec(
        title="M-R: three resolutions, vectors added",
        source=f"{SEDDATI}; after {GORDO}",
        extraction=ExtractionConfig(layers=("layer4",), fusion="late"),
        tables=(1,),
        published={"holidays": 91.47},
    ),
    "mr-lj": MethodSpec(
        title="M-R l_j: three resolutions, maps added",
        source=SEDDATI,
        extraction=ExtractionConfig(layers=("layer4",)),
        tables=(1, 4),
        published={"holidays": 92.16, "oxford5k": 67.77, "paris6k": 82.00},
    ),
    "mr-lj1": MethodSpec(
        title="M-R l_{j-1}: the stage before",
        source=SEDDATI,
        extraction=ExtractionConfig(layers=("layer3",)),
        tables=(1, 4),
        published={"holidays": 85.04, "oxford5k": 54.05, "paris6k": 69.48},
    ),
    "mr-lj-lj1": MethodSpec(
        title="M-R l_{j&j-1}: both stages",
        source=SEDDATI,
        extraction=_BOTH,
        tables=(1, 4),
        published={"holidays": 91.10, "oxford5k": 66.82, "paris6k": 81.88},
    ),
    "paper": MethodSpec(
        title="M-R l_{j&j-1} + FS: 768 values selected",
        source=SEDDATI,
        extraction=_BOTH,
        selection=SelectionConfig(),
        tables=(1, 2, 3, 4, 5),
        published={"holidays": 93.98, "ukb": 3.91, "oxford5k": 72.27, "paris6k": 87.10},
        features=_PFA,
    ),
    "paper-cam": MethodSpec(
        title="M-R l_{j&j-1} + FS + CAM: also a masked descriptor",
        source=SEDDATI,
        extraction=ExtractionConfig(cam=True),
        selection=SelectionConfig(),
        tables=(1, 3, 4),
        published={"holidays": 93.97, "ukb": 3.91, "oxford5k": 70.54, "paris6k": 82.55},
        features=_PFA,
    ),
    "auto": MethodSpec(
        title="paper, and whitened values beside it as the collection's size and spectrum say",
        source=f"{OURS}; whitening: Jegou and Chum, ECCV 2012",
        extraction=_BOTH,
        selection=dataclasses.replace(_WHITENED, combine_with="pfa", min_photos=400),
    ),
    "whitened": MethodSpec(
        title="both stages, whitened as the collection's size and spectrum say",
        source="Jegou and Chum, ECCV 2012",
        extraction=_BOTH,
        selection=_WHITENED,
    ),
    "whitened-cam": MethodSpec(
        title="whitened, and a masked descriptor",
        source="Jegou and Chum, ECCV 2012",
        extraction=ExtractionConfig(cam=True),
        selection=_WHITENED,
    ),
    "whitened-aqe": _reranked("aqe", "Chum et al. [7], Total recall, ICCV 2007"),
    "whitened-alpha-qe": _reranked("alpha-qe", RADENOVIC),
    "whitened-dba": _reranked("dba", "Arandjelovic and Zisserman, Three things, CVPR 2012"),
    "whitened-k-reciprocal": _reranked(
        "k-reciprocal", "Zhong et al., Re-ranking with k-reciprocal encoding, CVPR 2017"
    ),
    "whitened-diffusion": _reranked(
        "diffusion", "Iscen et al., Efficient diffusion on region manifolds, CVPR 2017"
    ),
    "late-fusion": MethodSpec(
        title="both stages, their rankings fused anew for each query",
        source="Zheng et al. [49], Query-adaptive late fusion, CVPR 2015",
        extraction=_BOTH,
        rerank=RerankConfig(method="late-fusion"),
        tables=(3,),
        published={"ukb": 3.84},
        published_with="other features",
    ),
    "whitened-sift": _verified("sift", "RootSIFT and RANSAC"),
    "whitened-columns": _verified("columns", "the network's columns and RANSAC"),
    "fast": MethodSpec(
        title="paper at 550 pixels alone",
        source=SEDDATI,
        extraction=ExtractionConfig(resolutions=(550,)),
        selection=SelectionConfig(),
    ),
    "neural-codes": MethodSpec(
        title="the averaged last stage at 224 pixels, PCA",
        source=NEURAL_CODES,
        extraction=ExtractionConfig(
            resolutions=(224,), layers=("layer4",), pooling="gem", gem_power=1.0
        ),
        selection=WhiteningConfig(whiten=False),
        tables=(2, 5),
        published={"holidays": 78.9, "oxford5k": 55.7},
        published_with="another network, retrained; 128 values",
        features=dict.fromkeys(ON_MAP, 128),
    ),
    "neural-codes-fc6": MethodSpec(
        title="the first fully connected layer of a square picture, PCA",
        source=NEURAL_CODES,
        extraction=_fully_connected("fc6"),
        selection=WhiteningConfig(whiten=False),
        tables=(2, 5),
        published={"holidays": 78.9, "oxford5k": 55.7},
        published_with="another network, retrained; 128 values",
        features=dict.fromkeys(ON_MAP, 128),
    ),
    "neural-codes-fc7": MethodSpec(
        title="the second fully connected layer, PCA",
        source=NEURAL_CODES,
        extraction=_fully_connected("fc7"),
        selection=WhiteningConfig(whiten=False),
    ),
    "mac": MethodSpec(
        title="maximum of each channel",
        source=f"{RAZAVIAN}; {TOLIAS}",
        extraction=_pooled("mac"),
    ),
    "spoc": MethodSpec(title="sums of each channel", source=BABENKO, extraction=_pooled("spoc")),
    "spoc-pcaw": MethodSpec(
        title="SPoC, PCA-whitened",
        source=BABENKO,
        extraction=_pooled("spoc"),
        selection=WhiteningConfig(),
        tables=(2,),
        published={"holidays": 80.2},
        published_with="VGG-19, 256 values",
        features=dict.fromkeys(ON_MAP, 256),
    ),
    "spoc-center": MethodSpec(
        title="sums, the middle first", source=BABENKO, extraction=_pooled("spoc-center")
    ),
    "spoc-center-pcaw": MethodSpec(
        title="SPoC with the centring prior, PCA-whitened",
        source=BABENKO,
        extraction=_pooled("spoc-center"),
        selection=WhiteningConfig(),
        tables=(5,),
        published={"oxford5k": 53.1},
        published_with="VGG-19, 256 values",
        features=dict.fromkeys(ON_MAP, 256),
    ),
    "crow": MethodSpec(
        title="sums weighted by place and channel", source=KALANTIDIS, extraction=_pooled("crow")
    ),
    "crow-pcaw": MethodSpec(
        title="CroW, PCA-whitened",
        source=KALANTIDIS,
        extraction=_pooled("crow"),
        selection=WhiteningConfig(),
        tables=(2, 5),
        published={"holidays": 84.9, "oxford5k": 68.2, "paris6k": 79.7},
        published_with="VGG-16, 512 values",
        features=dict.fromkeys(ON_MAP, 512),
    ),
    "gem": MethodSpec(
        title="generalized means, p = 3", source=RADENOVIC, extraction=_pooled("gem")
    ),
    "gem-pcaw": MethodSpec(
        title="generalized means, PCA-whitened",
        source=RADENOVIC,
        extraction=_pooled("gem"),
        selection=WhiteningConfig(),
    ),
    "rmac": MethodSpec(title="maxima of regions, added", source=TOLIAS, extraction=_pooled("rmac")),
    "rmac-integral": MethodSpec(
        title="R-MAC by integral maps, alpha = 10",
        source=TOLIAS,
        extraction=_pooled("rmac-integral"),
    ),
    "rmac-pcaw": MethodSpec(
        title="R-MAC at 1024 pixels, PCA-whitened",
        source=TOLIAS,
        extraction=_pooled("rmac", 1024),
        selection=WhiteningConfig(),
    ),
    "rmac-whitened": MethodSpec(
        title="R-MAC at 1024 pixels, regions PCA-whitened",
        source=TOLIAS,
        extraction=_pooled("rmac-whitened", 1024),
        tables=(2, 5),
        published={"holidays": 86.9, "oxford5k": 66.9, "paris6k": 83.0},
        published_with="VGG-16, 512 values",
    ),
    "mr-rmac": MethodSpec(
        title="R-MAC, regions PCA-whitened, at three resolutions, vectors added",
        source=GORDO,
        extraction=ExtractionConfig(layers=("layer4",), fusion="late", pooling="rmac-whitened"),
        tables=(2,),
        published={"holidays": 91.3},
        published_with="ResNet-101, 2048 values",
    ),
    "ms-rmac": MethodSpec(
        title="R-MAC of five stages, what each counts learned",
        source=LI,
        extraction=ExtractionConfig(
            resolutions=(800,),
            layers=("conv1", "layer1", "layer2", "layer3", "layer4"),
            pooling="rmac",
            learn_layer_weights=True,
        ),
        tables=(2, 5),
        published={"holidays": 86.7, "oxford5k": 68.9, "paris6k": 77.6},
        published_with="VGG-16, 1472 values",
    ),
    "radenovic": MethodSpec(
        title="fine-tuned: generalized means or maxima, whitened, as the weights say",
        source=RADENOVIC_BOW,
        extraction=dataclasses.replace(_TUNED, backbone="vgg16", layers=("conv5",)),
        tables=(2, 5),
        published={"holidays": 82.5, "oxford5k": 79.7, "paris6k": 83.8},
        published_with="VGG-16, maxima, 512 values",
    ),
    "gordo": MethodSpec(
        title="fine-tuned: generalized means, projected, at three resolutions",
        source=f"{GORDO}; with the pooling of the authors' published networks",
        extraction=dataclasses.replace(_TUNED, backbone="resnet101", resolutions=(1050, 800, 550)),
        tables=(2, 3, 5),
        published={"holidays": 94.8, "ukb": 3.84, "oxford5k": 86.1, "paris6k": 94.5},
        published_with="ResNet-101, R-MAC, 2048 values",
    ),
    "sift-vlad": MethodSpec(
        title="RootSIFT, VLAD; no network",
        source=JEGOU_VLAD,
        extraction=LocalConfig(method="sift-vlad"),
    ),
    "sift-fisher": MethodSpec(
        title="RootSIFT, Fisher vector",
        source=PERRONNIN,
        extraction=LocalConfig(aggregation="fisher", values=64, centers=64, sample=50_000),
        tables=(2,),
        published={"holidays": 84.7},
        published_with="of [27]: supervised layers on top, 4000 values",
    ),
    "triangulation": MethodSpec(
        title="RootSIFT, triangulation embedding, democratic aggregation",
        source=TRIANGULATION,
        extraction=LocalConfig(
            aggregation="triangulation", centers=16, max_keypoints=1000, sample=20_000
        ),
        tables=(2, 3, 5),
        published={"holidays": 72.0, "ukb": 3.53, "oxford5k": 56.0},
        published_with="other keypoints, 1024 values",
    ),
    "bow": MethodSpec(
        title="RootSIFT, bag of visual words, tf-idf", source=VIDEO_GOOGLE, extraction=_BOW
    ),
    "bow-soft": MethodSpec(
        title="RootSIFT, bag of visual words, soft assignment",
        source="Philbin et al. [30], Lost in quantization, CVPR 2008",
        extraction=dataclasses.replace(_BOW, assigned=3),
    ),
    "bow-aqe": MethodSpec(
        title="bag of visual words, average query expansion",
        source="Chum et al. [7], Total recall, ICCV 2007",
        extraction=_BOW,
        rerank=RerankConfig(method="aqe"),
    ),
    "hamming": MethodSpec(
        title="RootSIFT, Hamming embedding",
        source=HAMMING,
        extraction=dataclasses.replace(_BOW, aggregation="hamming"),
    ),
    "hamming-wgc": MethodSpec(
        title="RootSIFT, Hamming embedding, weak geometric consistency",
        source=HAMMING,
        extraction=dataclasses.replace(_BOW, aggregation="hamming-wgc"),
    ),
    "vlad-conv": MethodSpec(
        title="columns of layer3, VLAD, PCA-whitened",
        source="Ng et al. [44], Exploiting local features from deep networks, CVPRW 2015",
        extraction=LocalConfig(
            features="columns",
            layer="layer3",
            longest_side=600,
            values=128,
            centers=100,
            sample=100_000,
        ),
        selection=WhiteningConfig(),
        tables=(2, 5),
        published={"holidays": 83.6, "oxford5k": 59.3, "paris6k": 59.0},
        published_with="GoogLeNet or VGG-16, 128 values",
        features=dict.fromkeys(ON_MAP, 128),
    ),
    "netvlad": MethodSpec(
        title="columns of layer3, NetVLAD layer as it begins, PCA-whitened",
        source=NETVLAD,
        extraction=LocalConfig(
            features="columns",
            aggregation="netvlad",
            layer="layer3",
            longest_side=600,
            centers=32,
            sample=50_000,
        ),
        selection=WhiteningConfig(),
        tables=(2, 5),
        published={"holidays": 87.5, "oxford5k": 71.6, "paris6k": 79.7},
        published_with="VGG-16, trained, 4096 values",
    ),
    "netvlad-trained": MethodSpec(
        title="the NetVLAD layer and whitening that the weights bring",
        source=NETVLAD,
        extraction=ExtractionConfig(
            backbone="vgg16",
            resolutions=(1024,),
            layers=("conv5_3",),
            fusion="late",
            pooling="netvlad",
        ),
        tables=(2, 5),
        published={"holidays": 87.5, "oxford5k": 71.6, "paris6k": 79.7},
        published_with="4096 values",
    ),
    "mop-cnn": MethodSpec(
        title="patches at three scales, VLAD of each, PCA-whitened",
        source="Gong et al. [9], Multi-scale orderless pooling, ECCV 2014",
        extraction=LocalConfig(
            features="patches", scales=(1, 2, 4), values=256, centers=64, assigned=5
        ),
        selection=WhiteningConfig(),
        tables=(2,),
        published={"holidays": 80.8},
        published_with="AlexNet, 2048 values",
    ),
    "razavian": MethodSpec(
        title="maxima of a grid over the last stage, PCA-whitened",
        source=RAZAVIAN,
        extraction=LocalConfig(
            features="cells", aggregation="stack", longest_side=800, scales=(1, 2)
        ),
        selection=WhiteningConfig(),
    ),
}


def find_method(name: str) -> MethodSpec | None:
    """A method by its name, or by `NAME@NETWORK` on another network; None where there is none.

    Its stages are those at the same place in the other network, counted from the first.

    Raises:
        UsageError: there is no such network, or the method cannot be computed on it.
    """
    plain, at, backbone = name.partition("@")
    recipe = METHODS.get(plain)
    if recipe is None or not at:
        return recipe
    try:
        config = recipe.extraction.on_backbone(backbone)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    return dataclasses.replace(recipe, title=f"{recipe.title}, on {backbone}", extraction=config)
