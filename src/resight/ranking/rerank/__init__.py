"""Re-ranking methods by name, applied to a short list.

A method is a function from items (`RerankSet`), the rows of queries among them (Q,) and parameters
to costs (Q, M), smaller is nearer. It needs no labels and no images. A new method is one file and
one line of `METHODS`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from resight.config import RerankConfig
from resight.ranking.exact import Query
from resight.ranking.rerank.diffusion import diffusion
from resight.ranking.rerank.k_reciprocal import k_reciprocal
from resight.ranking.rerank.late_fusion import late_fusion
from resight.ranking.rerank.query_expansion import (
    alpha_query_expansion,
    average_query_expansion,
    database_augmentation,
)
from resight.ranking.rerank.rerank_set import RerankSet, with_query

RerankMethod = Callable[[RerankSet, np.ndarray, RerankConfig], np.ndarray]

SAME = 1e-5
"""Descriptors that differ by at most this share of the largest value are the same."""


METHODS: Mapping[str, RerankMethod] = {
    "none": lambda items, queries, config: items.matrix[queries],
    "aqe": average_query_expansion,
    "alpha-qe": alpha_query_expansion,
    "dba": database_augmentation,
    "k-reciprocal": k_reciprocal,
    "diffusion": diffusion,
    "late-fusion": late_fusion,
}


def reorder(
    query: Query, rerank_set: RerankSet, ids: np.ndarray, config: RerankConfig
) -> np.ndarray:
    """Return a better order of a short list.

    A query that is itself in the set stays first. The set contains all of the short list, whose ids
    are int64 (n,), nearest first. Returns int (n,), indices of `ids`, best first.
    """
    by_id = np.argsort(rerank_set.ids, kind="stable")
    rows = by_id[np.searchsorted(rerank_set.ids, ids, sorter=by_id)]
    # Reducing one descriptor, or many at once, may differ in the last digit.
    difference = np.abs(rerank_set.descriptors[0] - query.global_).max(axis=1)
    same = np.flatnonzero(difference <= SAME * np.abs(query.global_).max(initial=0))
    items = rerank_set if len(same) else with_query(rerank_set, query)
    query_row = same[0] if len(same) else len(rerank_set.matrix)
    costs = METHODS[config.method](items, np.array([query_row]), config)[0]
    costs[query_row] = -np.inf
    return np.argsort(costs[rows], kind="stable")
