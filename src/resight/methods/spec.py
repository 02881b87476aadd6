"""A named method: configuration, reduction, search settings, and what its paper reports.

Numbers in square brackets are the references of Seddati et al.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from resight.config import MethodConfig, NoReduction, ReductionConfig, RerankConfig, VerifiedBy

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
WHITENING = "Jegou and Chum, ECCV 2012"
OURS = "this project"

MAP_BENCHMARKS = ("holidays", "oxford5k", "paris6k")
"""Benchmarks that the papers measure by mAP."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published figures of a method.

    Attributes:
        tables: tables of Seddati et al. in which it is a row.
        scores: benchmark to the paper's (or, for other methods, Seddati et al.'s) figure: mAP in
            percent, N-S score from 0 to 4.
        conditions: how the figures were measured, where that differs from the method here.
        features: benchmark to the number of values that the method's own paper keeps.
    """

    tables: tuple[int, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    conditions: str = ""
    features: Mapping[str, int] = field(default_factory=dict)


HEAD_TITLES = {"fine-tuned": "fine-tuned ", "netvlad": "NetVLAD's "}
"""Prefix of the networks whose weights include a retrieval head."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A method of the catalog.

    Attributes:
        title: what it computes, in a few words.
        source: its paper.
        config: how a photo becomes a descriptor.
        reduction: how descriptors are reduced, fitted on the photos that are searched.
        rerank: how the top results are re-ranked.
        verify: number of top results that are verified spatially.
        verify_by: local features of that verification.
        published: figures of its paper.
    """

    title: str
    source: str
    config: MethodConfig
    reduction: ReductionConfig = NoReduction()
    rerank: RerankConfig = RerankConfig()
    verify: int = 0
    verify_by: VerifiedBy = "sift"
    published: Published = Published()

    @property
    def weights(self) -> str:
        """Title of the weights it needs; empty where it needs none."""
        if not self.config.needs_network:
            return ""
        return HEAD_TITLES.get(self.config.required_head, "") + self.config.spec.title

    @property
    def values(self) -> str:
        """Number of values of a compared descriptor, or what decides it."""
        return self.reduction.size_text or self.config.size_text

    @property
    def search_settings(self) -> str:
        """Re-ranking and verification as settings of a search; empty where there are none."""
        settings = []
        if self.rerank.method != "none":
            settings.append(f"rerank={self.rerank.method}")
        if self.verify:
            settings += [f"verify={self.verify}", f"verify_by={self.verify_by}"]
        return ", ".join(settings)

    def reduction_for(self, benchmark: str, photos: int) -> ReductionConfig:
        """Return the reduction, fitted on some photos, to as many values as the paper keeps."""
        features = self.published.features.get(benchmark)
        return self.reduction.with_features(features, photos) if features else self.reduction

    def on_backbone(self, backbone: str) -> "MethodSpec":
        """Return the method on another network; see `MethodConfig.on_backbone`."""
        config = self.config.on_backbone(backbone)
        return dataclasses.replace(self, title=f"{self.title}, on {backbone}", config=config)
