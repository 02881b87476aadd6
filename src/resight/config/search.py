"""Settings of searches, re-ranking (sections 8, 13 and 14 of the method) and backends."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from resight.config.base import Config, NonNegative, NonNegativeInt, PositiveInt, option, require
from resight.errors import UsageError

VerifiedBy = Literal["sift", "columns"]
Geometry = Literal["homography", "affine"]
Reranking = Literal["none", "aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]
HintVerdict = Literal["same", "different", "keep"]
"""Verdict of a hint: same thing, different things, or the photo to keep of its group."""


@dataclass(frozen=True, kw_only=True)
class RerankConfig(Config):
    """Re-ranking of the top results of a search (section 13)."""

    method: Reranking = option("none", "aqe, alpha-qe, dba, k-reciprocal, diffusion or late-fusion")
    shortlist: Annotated[int, Meta(ge=2)] = option(400, "number of top results to re-rank")
    expanded: PositiveInt = option(2, "aqe, alpha-qe, dba: neighbors averaged with a descriptor")
    alpha: Annotated[float, Meta(ge=0, le=100)] = option(
        3.0, "alpha-qe, dba: power of a neighbor's cosine that is its weight"
    )
    k1: PositiveInt = option(4, "k-reciprocal: size of the mutual neighborhood")
    k2: PositiveInt = option(2, "k-reciprocal: neighbors whose encodings are averaged")
    share: Annotated[float, Meta(ge=0, le=1)] = option(
        0.3, "k-reciprocal: weight of the original distance"
    )
    mutual: PositiveInt = option(10, "diffusion: mutual neighbors that an edge connects")
    gamma: Annotated[float, Meta(gt=0, le=100)] = option(
        3.0, "diffusion: power of the similarity that is an edge's weight"
    )
    damping: Annotated[float, Meta(gt=0, lt=1)] = option(
        0.5, "diffusion: probability to continue the walk"
    )
    references: PositiveInt = option(
        10, "late-fusion: score curves of irrelevant queries that are averaged"
    )
    related: NonNegativeInt = option(
        10, "late-fusion: top results left out of a photo's curve, which may be relevant to it"
    )

    @classmethod
    def parse(cls, method: str, settings: Iterable[str]) -> "RerankConfig":
        """Return a re-ranking from its method and settings such as `k1=20`.

        Raises:
            UsageError: an unknown method, an unknown setting or an invalid value.
        """
        methods = get_args(Reranking)
        if method not in methods:
            raise UsageError(f"{method!r} is not one of {', '.join(methods)}", parameter="rerank")
        fields: dict[str, Any] = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals or name == "method":
                raise UsageError(f"{setting!r} is not NAME=VALUE", parameter="rerank_with")
            try:
                fields[name] = json.loads(value)
            except (ValueError, RecursionError):  # recursion: lists in lists, thousands deep
                raise UsageError(
                    f"{setting}: {value!r} is not a number", parameter="rerank_with"
                ) from None
        if fields and method == "none":
            raise UsageError("needs a method in rerank", parameter="rerank_with")
        try:
            return cls.from_dict({"method": method, **fields})
        except UsageError as error:
            raise UsageError(str(error), parameter="rerank_with") from None


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """Settings of a search (section 8)."""

    k: PositiveInt = option(10, "number of results")
    offset: NonNegativeInt = option(0, "number of top results to skip")
    max_distance: NonNegative | None = option(None, "largest distance of a result")
    rerank: RerankConfig = option(RerankConfig(), "how the top results are re-ranked")
    verify: NonNegativeInt = option(0, "number of top results to verify spatially with RANSAC")
    verify_by: VerifiedBy = option("sift", "local features of the verification")
    verify_geometry: Geometry = option("homography", "geometric model of the verification")
    min_probability: Annotated[float, Meta(ge=0, le=1)] = option(
        0.0, "least probability of a result to show the same thing"
    )
    decide: bool = option(True, "decide which results show the same thing, by evidence")
    fold: bool = option(True, "fold photos of identical content under the first of them")
    mirrored: bool = option(False, "also search with the mirror image of the query")
    rotated: bool = option(False, "also search with the query turned by 90, 180 and 270 degrees")
    approximate: bool = option(False, "search with the approximate index of a large collection")

    def check(self) -> None:
        """Refuse a least probability without decisions."""
        require(
            self.decide or self.min_probability == 0, "min_probability: needs decisions (decide)"
        )


@dataclass(frozen=True, kw_only=True)
class BackendConfig(Config):
    """Settings of a backend; they change no distance."""

    links: Annotated[int, Meta(ge=2, le=100)] = option(48, "HNSW: links of each photo")
    build_effort: Annotated[int, Meta(ge=4, le=1000)] = option(
        256, "HNSW: size of the candidate list while the index is built"
    )
    search_effort: Annotated[int, Meta(ge=1, le=1000)] = option(
        256, "HNSW: size of the candidate list of a search"
    )
    half: bool = option(False, "PostgreSQL: an index of half the size, in half precision")
    build_memory: Annotated[int, Meta(ge=1, le=2**20)] = option(
        1024, "PostgreSQL: memory for building the index, in MiB"
    )
    shards: Annotated[int, Meta(ge=1, le=10_000)] = option(1, "Qdrant: number of shards")
    replicas: Annotated[int, Meta(ge=1, le=100)] = option(1, "Qdrant: copies of each shard")
    oversampling: Annotated[float, Meta(ge=1, le=100)] = option(
        4.0, "Qdrant: candidates from 8-bit codes, as a multiple of the results"
    )
