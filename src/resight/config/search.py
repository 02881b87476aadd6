"""How a search is answered, and its results re-ranked (sections 8, 13 and 14 of the method)."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from resight.config.base import Config, NonNegativeInt, PositiveInt, option, require
from resight.errors import UsageError

VerifiedBy = Literal["sift", "columns"]
Geometry = Literal["homography", "affine"]
Reranking = Literal["none", "aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]


@dataclass(frozen=True, kw_only=True)
class RerankConfig(Config):
    """How the first results of a search are put into a better order (section 13)."""

    method: Reranking = option("none", "aqe, alpha-qe, dba, k-reciprocal, diffusion or late-fusion")
    shortlist: Annotated[int, Meta(ge=2)] = option(400, "so many first results are re-ranked")
    expanded: PositiveInt = option(
        2, "aqe, alpha-qe, dba: neighbors that a descriptor is averaged with"
    )
    alpha: Annotated[float, Meta(ge=0, le=100)] = option(
        3.0, "alpha-qe, dba: power of a neighbor's cosine, its weight"
    )
    k1: PositiveInt = option(4, "k-reciprocal: neighbors that must be each other's")
    k2: PositiveInt = option(2, "k-reciprocal: neighbors whose encodings are averaged")
    share: Annotated[float, Meta(ge=0, le=1)] = option(
        0.3, "k-reciprocal: what the distance itself still counts"
    )
    mutual: PositiveInt = option(10, "diffusion: neighbors that are joined, when it is mutual")
    gamma: Annotated[float, Meta(gt=0, le=100)] = option(
        3.0, "diffusion: power of the similarity, an edge's weight"
    )
    damping: Annotated[float, Meta(gt=0, lt=1)] = option(0.5, "diffusion: how far it goes, below 1")
    references: PositiveInt = option(
        10, "late-fusion: curves of irrelevant queries that are averaged"
    )
    related: NonNegativeInt = option(
        10, "late-fusion: first results of a photo without which it is an irrelevant query"
    )


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """How a search is answered (section 8)."""

    k: PositiveInt = option(10, "how many results")
    rerank: Reranking = option("none", "put the first results into a better order")
    rerank_with: tuple[str, ...] = option(
        (), "fields of the re-ranking that shall differ, as NAME=VALUE (docs/method.md 13)"
    )
    verify: NonNegativeInt = option(0, "check the geometry of this many first results with RANSAC")
    verify_by: VerifiedBy = option("sift", "what is matched: sift, or the network's columns")
    verify_geometry: Geometry = option(
        "homography", "what the matches are to agree on: a homography, or an affine map"
    )
    approximate: bool = option(False, "search by the approximate index of a large collection")

    def check(self) -> None:
        """Check that `rerank_with` is a re-ranking's."""
        _ = self.reranking

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
        return RerankConfig.from_dict({"method": self.rerank, **fields})


@dataclass(frozen=True, kw_only=True)
class BackendConfig(Config):
    """How an engine keeps and searches a collection; no distance depends on it."""

    links: Annotated[int, Meta(ge=2, le=100)] = option(
        48, "HNSW: photos that each photo is linked to"
    )
    build_effort: Annotated[int, Meta(ge=4, le=1000)] = option(
        256, "HNSW: candidates kept in mind while photos are linked"
    )
    search_effort: Annotated[int, Meta(ge=1, le=1000)] = option(
        256, "HNSW: likewise while a query's neighbors are looked for"
    )
    half: bool = option(False, "PostgreSQL: an index of half the size, in half precision")
    build_memory: Annotated[int, Meta(ge=1, le=2**20)] = option(
        1024, "PostgreSQL: MiB that making the index may take"
    )
    shards: Annotated[int, Meta(ge=1, le=10_000)] = option(
        1, "Qdrant: parts that a collection is spread over"
    )
    replicas: Annotated[int, Meta(ge=1, le=100)] = option(
        1, "Qdrant: machines that keep a copy of each part"
    )
    oversampling: Annotated[float, Meta(ge=1, le=100)] = option(
        4.0, "Qdrant: candidates by 8-bit codes, times the neighbors"
    )
