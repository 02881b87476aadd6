"""How a search is answered, and its results re-ranked (sections 8, 13 and 14 of the method)."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from resight.config.fields import check_types, from_dict, option, require
from resight.errors import UsageError

VerifiedBy = Literal["sift", "columns"]
Geometry = Literal["homography", "affine"]
Reranking = Literal["none", "aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]


@dataclass(frozen=True, kw_only=True)
class RerankConfig:
    """How the first results of a search are put into a better order (section 13)."""

    method: Reranking = option("none", "aqe, alpha-qe, dba, k-reciprocal, diffusion or late-fusion")
    shortlist: int = option(400, "so many first results are re-ranked")
    expanded: int = option(2, "aqe, alpha-qe, dba: neighbors that a descriptor is averaged with")
    alpha: float = option(3.0, "alpha-qe, dba: power of a neighbor's cosine, its weight")
    k1: int = option(4, "k-reciprocal: neighbors that must be each other's")
    k2: int = option(2, "k-reciprocal: neighbors whose encodings are averaged")
    share: float = option(0.3, "k-reciprocal: what the distance itself still counts")
    mutual: int = option(10, "diffusion: neighbors that are joined, when it is mutual")
    gamma: float = option(3.0, "diffusion: power of the similarity, an edge's weight")
    damping: float = option(0.5, "diffusion: how far it goes, below 1")
    references: int = option(10, "late-fusion: curves of irrelevant queries that are averaged")
    related: int = option(
        10, "late-fusion: first results of a photo without which it is an irrelevant query"
    )

    def __post_init__(self) -> None:
        check_types(self)
        require(self.shortlist >= 2, "shortlist: 2 or more")
        require(self.expanded >= 1, "expanded: 1 or more")
        require(0 <= self.alpha <= 100, "alpha: from 0 to 100")
        require(self.k1 >= 1, "k1: 1 or more")
        require(self.k2 >= 1, "k2: 1 or more")
        require(0 <= self.share <= 1, "share: from 0 to 1")
        require(self.mutual >= 1, "mutual: 1 or more")
        require(0 < self.gamma <= 100, "gamma: above 0, at most 100")
        require(0 < self.damping < 1, "damping: between 0 and 1")
        require(self.references >= 1, "references: 1 or more")
        require(self.related >= 0, "related: 0 or more")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a search is answered (section 8)."""

    k: int = option(10, "how many results")
    rerank: Reranking = option("none", "put the first results into a better order")
    rerank_with: tuple[str, ...] = option(
        (), "fields of the re-ranking that shall differ, as NAME=VALUE (docs/method.md 13)"
    )
    verify: int = option(0, "check the geometry of this many first results with RANSAC")
    verify_by: VerifiedBy = option("sift", "what is matched: sift, or the network's columns")
    verify_geometry: Geometry = option(
        "homography", "what the matches are to agree on: a homography, or an affine map"
    )
    approximate: bool = option(False, "search by the approximate index of a large collection")

    def __post_init__(self) -> None:
        check_types(self)
        require(self.k >= 1, "k: 1 or more")
        require(self.verify >= 0, "verify: 0 or more")
        _ = self.reranking  # what cannot be is refused here

    @property
    def reranking(self) -> RerankConfig:
        """The re-ranking with all its fields."""
        fields: dict[str, Any] = {}
        for text in self.rerank_with:
            name, equals, value = text.partition("=")
            require(bool(equals) and name != "method", f"rerank_with: {text!r} is not NAME=VALUE")
            try:
                fields[name] = json.loads(value)
            except ValueError:
                raise UsageError(f"rerank_with: {text!r}: {value!r} is no number") from None
        require(not fields or self.rerank != "none", "rerank_with: goes with a rerank")
        return from_dict(RerankConfig, {"method": self.rerank, **fields})


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    """How an engine keeps and searches a collection; no distance depends on it."""

    links: int = option(48, "HNSW: photos that each photo is linked to")
    build_effort: int = option(256, "HNSW: candidates kept in mind while photos are linked")
    search_effort: int = option(256, "HNSW: likewise while a query's neighbors are looked for")
    half: bool = option(False, "PostgreSQL: an index of half the size, in half precision")
    build_memory: int = option(1024, "PostgreSQL: MiB that making the index may take")
    shards: int = option(1, "Qdrant: parts that a collection is spread over")
    replicas: int = option(1, "Qdrant: machines that keep a copy of each part")
    oversampling: float = option(4.0, "Qdrant: candidates by 8-bit codes, times the neighbors")

    def __post_init__(self) -> None:
        check_types(self)
        require(2 <= self.links <= 100, "links: from 2 to 100")
        require(4 <= self.build_effort <= 1000, "build_effort: from 4 to 1000")
        require(1 <= self.search_effort <= 1000, "search_effort: from 1 to 1000")
        require(1 <= self.build_memory <= 2**20, "build_memory: from 1 to 1048576 MiB")
        require(1 <= self.shards <= 10_000, "shards: from 1 to 10000")
        require(1 <= self.replicas <= 100, "replicas: from 1 to 100")
        require(1 <= self.oversampling <= 100, "oversampling: from 1 to 100")
