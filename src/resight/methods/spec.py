"""A named method: configuration, reduction and search settings."""

import dataclasses
from dataclasses import dataclass

from resight.config import MethodConfig, NoReduction, ReductionConfig, RerankConfig, VerifiedBy
from resight.methods.papers import Published

HEAD_TITLES = {"fine-tuned": "fine-tuned ", "netvlad": "NetVLAD's "}
"""Prefix of the networks whose weights include a retrieval head."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A method of the catalogue.

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
        """Return the reduction to as many values as the paper keeps on a benchmark.

        Args:
            benchmark: its name; on others the reduction is the usual one.
            photos: number of photos to fit on.
        """
        features = self.published.features.get(benchmark)
        return self.reduction.with_features(features, photos) if features else self.reduction

    def on_backbone(self, backbone: str) -> "MethodSpec":
        """Return the method on another network; see `MethodConfig.on_backbone`."""
        config = self.config.on_backbone(backbone)
        return dataclasses.replace(self, title=f"{self.title}, on {backbone}", config=config)
