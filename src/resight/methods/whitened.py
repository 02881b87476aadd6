"""The paper's descriptor, whitened, re-ranked or verified (sections 12-14)."""

import dataclasses
from collections.abc import Mapping

from resight.config import ExtractionConfig, RerankConfig, Reranking, VerifiedBy, WhiteningConfig
from resight.methods.spec import OURS, PHILBIN, RADENOVIC, WHITENING, MethodSpec, Published

WHITENED = WhiteningConfig(prior=2000, min_photos=128, fallback="pfa")
"""Fitted on 128 photos or more, as a selection is; on fewer, the paper's selection."""

VERIFIED = 20
"""Top results that the verified methods check."""


def _reranked(method: Reranking, source: str) -> MethodSpec:
    return MethodSpec(
        title=f"whitened, re-ranked by {method}",
        source=source,
        config=ExtractionConfig(),
        reduction=WHITENED,
        rerank=RerankConfig(method=method),
    )


def _verified(verify_by: VerifiedBy, title: str) -> MethodSpec:
    return MethodSpec(
        title=f"whitened, the first {VERIFIED} verified by {title}",
        source=PHILBIN,
        config=ExtractionConfig(),
        reduction=WHITENED,
        verify=VERIFIED,
        verify_by=verify_by,
    )


METHODS: Mapping[str, MethodSpec] = {
    "combined": MethodSpec(
        title="paper combined with whitened values, as the collection's size and spectrum allow",
        source=f"{OURS}; whitening: {WHITENING}",
        config=ExtractionConfig(),
        reduction=dataclasses.replace(WHITENED, combine_with="pfa", min_photos=400),
    ),
    "whitened": MethodSpec(
        title="both stages, whitened as the collection's size and spectrum allow",
        source=WHITENING,
        config=ExtractionConfig(),
        reduction=WHITENED,
    ),
    "whitened-cam": MethodSpec(
        title="whitened, and a masked descriptor",
        source=WHITENING,
        config=ExtractionConfig(cam=True),
        reduction=WHITENED,
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
        title="both stages, their rankings fused for each query",
        source="Zheng et al. [49], Query-adaptive late fusion, CVPR 2015",
        config=ExtractionConfig(),
        rerank=RerankConfig(method="late-fusion"),
        published=Published(tables=(3,), scores={"ukb": 3.84}, conditions="other features"),
    ),
    "whitened-sift": _verified("sift", "RootSIFT and RANSAC"),
    "whitened-columns": _verified("columns", "the network's columns and RANSAC"),
}
