"""Results in a better order, by what the results have in common with each other; NumPy only.

All methods look at a query and a short list of photos as one set of M items, and give new costs
(smaller is nearer) from some of them to all. They need no labels and no images.

Sources. Average query expansion: Chum et al. [7], "Total recall", ICCV 2007, section 3. Alpha query
expansion: Radenovic et al., "Fine-tuning CNN image retrieval", PAMI 2018, section 3.4. Database
augmentation: Arandjelovic and Zisserman, "Three things everyone should know", CVPR 2012, section
5; weights as in alpha expansion. k-reciprocal: Zhong et al., "Re-ranking person re-identification
with k-reciprocal encoding", CVPR 2017. Diffusion: Iscen et al., "Efficient diffusion on region
manifolds", CVPR 2017, sections 3.1 and 3.2, the query being a node of the graph. Late fusion: see
`late_fusion.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import RerankConfig
from resight.descriptors.aggregation.hamming import hamming, hamming_wgc
from resight.errors import UsageError
from resight.ranking.exact import Database, Distance, Query, distances_to
from resight.ranking.rerank.late_fusion import query_adaptive_fusion

AVERAGING = ("aqe", "alpha-qe", "dba")
SAME = 1e-5
"""Descriptors that differ by no more than this share of the largest value are the same."""


@dataclass(frozen=True)
class RerankSet:
    """What is compared.

    Attributes:
        sides: the descriptors, float32 (M, D): global, and local where there are any.
        matrix: float32 (M, M), distances between all items.
        distance: between descriptors.
        sizes: values of each of their parts, (d_1, d_2 ...), which sum to D; or nothing.
        parts: for each of these float32 (M, M), distances by it alone.
    """

    sides: tuple[np.ndarray, ...]
    matrix: np.ndarray
    distance: Distance
    sizes: tuple[int, ...] = ()
    parts: tuple[np.ndarray, ...] = ()


Reranker = Callable[[RerankSet, np.ndarray, RerankConfig], np.ndarray]
"""From items, the rows that are queries (Q,), and parameters to costs (Q, M)."""


def make_rerank_set(database: Database, distance: Distance, sizes: Sequence[int] = ()) -> RerankSet:
    """The photos of a database as items; with the sizes of parts also compared by each of these."""
    sides = (database.global_,) if database.local is None else (database.global_, database.local)
    rows = range(len(database.ids))
    queries = (Query(*(np.asarray(side[row]) for side in sides)) for row in rows)
    matrix = np.stack([distances_to(query, database, distance) for query in queries])
    whole = tuple(np.asarray(side) for side in sides)
    parts = tuple(_between(part, part, distance) for part in _split(whole, sizes))
    return RerankSet(whole, matrix, distance, tuple(sizes), parts)


def with_query(items: RerankSet, query: Query) -> RerankSet:
    """The items with a query as the last one."""
    own = (query.global_, query.local)
    sides = tuple(
        np.vstack([side, values])
        for side, values in zip(items.sides, own, strict=False)
        if values is not None
    )
    matrices = [
        _with_last(matrix, part, items.distance)
        for matrix, part in zip(
            (items.matrix, *items.parts), [sides, *_split(sides, items.sizes)], strict=True
        )
    ]
    return RerankSet(sides, matrices[0], items.distance, items.sizes, tuple(matrices[1:]))


def reorder(
    query: Query,
    database: Database,
    order: np.ndarray,
    distance: Distance,
    config: RerankConfig,
    whole: RerankSet | None = None,
    sizes: Sequence[int] = (),
) -> np.ndarray:
    """A ranking whose first `config.shortlist` places are in a better order.

    A query that is itself among them stays the first.

    Args:
        query: in the database's form.
        database: what was ranked.
        order: int (n,), rows of the database, nearest first.
        distance: of the descriptors.
        config: method and parameters.
        whole: the database as items, where that is small enough to be the short list itself.
        sizes: values of each part of the descriptors, for late fusion.

    Returns:
        int (n,), the same rows.

    Raises:
        UsageError: descriptors that cannot be averaged would have to be, or there is but one part
            of them that could be fused.
    """
    if config.method == "none":
        return order
    if config.method == "late-fusion" and len(sizes) < 2:
        raise UsageError(
            "--rerank late-fusion: fuses the parts of a descriptor (layers of a network, scales), "
            "and descriptors of this method have one part alone; the other methods re-rank them"
        )
    if config.method in AVERAGING and distance in (hamming, hamming_wgc):
        raise UsageError(
            f"--rerank {config.method}: averages descriptors, and those of Hamming embedding are "
            "sets; k-reciprocal and diffusion re-rank them, too"
        )
    first, rest = order[: config.shortlist], order[config.shortlist :]
    items, places = whole, first
    if items is None:
        local = None if database.local is None else database.local[first]
        items = make_rerank_set(Database(first, database.global_[first], local), distance, sizes)
        places = np.arange(len(first))
    # Whitening one descriptor or many at once may differ in the last digit.
    apart = np.abs(items.sides[0] - query.global_).max(axis=1)
    own = np.flatnonzero(apart <= SAME * np.abs(query.global_).max(initial=0))
    if len(own) == 0:
        items = with_query(items, query)
    row = own[0] if len(own) else len(items.matrix) - 1
    costs = rerank(items, np.array([row]), config)[0]
    costs[row] = -np.inf
    better = np.argsort(costs[places], kind="stable")
    return np.concatenate([first[better], rest])


def rerank(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """New costs from some items to all, float (Q, M); smaller is nearer.

    Args:
        items: the short list and the queries.
        queries: rows of the queries, int (Q,).
        config: method and parameters; numbers of neighbors beyond M are cut down to it.
    """
    return RERANKERS[config.method](items, queries, config)


def _none(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    return items.matrix[queries]


def _aqe(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Each query's descriptor averaged with its nearest ones'."""
    nearest = _order(items.matrix[queries])[:, : config.expanded + 1]
    sides = tuple(_like(side[nearest].mean(axis=1), side) for side in items.sides)
    return _between(sides, items.sides, items.distance)


def _alpha_qe(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Likewise, each counting by a power of its cosine with the query."""
    sides = _weighted(items, queries, config)
    return _between(sides, items.sides, items.distance)


def _dba(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Every item's descriptor averaged with its nearest ones', queries' too."""
    sides = _weighted(items, np.arange(len(items.matrix)), config)
    return _between(sides, sides, items.distance, queries)


def _k_reciprocal(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """Jaccard distances of sets of neighbors that are each other's, blended with the distances."""
    order = _order(items.matrix)
    reciprocal = [_reciprocal(order, item, config.k1) for item in range(len(order))]
    half = [_reciprocal(order, item, max(1, round(config.k1 / 2))) for item in range(len(order))]
    scaled = items.matrix / np.maximum(items.matrix.max(axis=1, keepdims=True), 1e-12)
    codes = np.zeros(items.matrix.shape)
    for item, members in enumerate(reciprocal):
        expanded = [members]
        for candidate in members:
            shared = np.intersect1d(half[candidate], members)
            if len(shared) > 2 / 3 * len(half[candidate]):
                expanded.append(half[candidate])
        found = np.unique(np.concatenate(expanded))
        weights = np.exp(-scaled[item, found])
        codes[item, found] = weights / weights.sum()
    codes = codes[order[:, : config.k2]].mean(axis=1)
    least = np.stack([np.minimum(codes[query], codes).sum(axis=1) for query in queries])
    jaccard = 1 - least / (2 - least)  # rows of the codes sum to 1
    return (1 - config.share) * jaccard + config.share * scaled[queries]


def _diffusion(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """How much of what starts at a query arrives at each item along the graph of neighbors."""
    count = len(items.matrix)
    near = np.zeros((count, count), bool)
    columns = _order(items.matrix)[:, 1 : config.mutual + 1]
    np.put_along_axis(near, columns, True, axis=1)
    weights = np.where(near & near.T, _similarities(items) ** config.gamma, 0.0)
    degrees = np.maximum(weights.sum(axis=1), 1e-12)
    normalized = weights / np.sqrt(degrees[:, None] * degrees)
    start = np.zeros((count, len(queries)))
    start[queries, np.arange(len(queries))] = 1
    arrived = np.linalg.solve(np.eye(count) - config.damping * normalized, start).T
    # What nothing arrives at keeps its order by distance, behind the others.
    scaled = items.matrix[queries] / max(1e-12, float(items.matrix.max()))
    return -arrived + 1e-6 * scaled


def _late_fusion(items: RerankSet, queries: np.ndarray, config: RerankConfig) -> np.ndarray:
    """The parts of the descriptors fused by what each of them is worth to each query."""
    return query_adaptive_fusion(items.parts, queries, config)


RERANKERS: Mapping[str, Reranker] = {
    "none": _none,
    "aqe": _aqe,
    "alpha-qe": _alpha_qe,
    "dba": _dba,
    "k-reciprocal": _k_reciprocal,
    "diffusion": _diffusion,
    "late-fusion": _late_fusion,
}


def _split(sides: tuple[np.ndarray, ...], sizes: Sequence[int]) -> list[tuple[np.ndarray, ...]]:
    """The descriptors part by part, each with its sides."""
    ends = np.cumsum(sizes)
    return [
        tuple(np.ascontiguousarray(side[:, end - size : end]) for side in sides)
        for size, end in zip(sizes, ends, strict=True)
    ]


def _with_last(matrix: np.ndarray, sides: tuple[np.ndarray, ...], distance: Distance) -> np.ndarray:
    """A matrix of distances with a row and a column for the last descriptor of the sides."""
    new = _between(sides, sides, distance, np.array([len(matrix)]))[0]
    return np.vstack([np.column_stack([matrix, new[:-1]]), new])


def _order(matrix: np.ndarray) -> np.ndarray:
    """Columns of each row by ascending value, ties by column; an item first in its own row."""
    return np.argsort(matrix, axis=1, kind="stable")


def _reciprocal(order: np.ndarray, item: int, k: int) -> np.ndarray:
    """The k nearest of an item (itself among them) to which it is one of the k nearest, too."""
    forward = order[item, : k + 1]
    return forward[(order[forward, : k + 1] == item).any(axis=1)]


def _weighted(items: RerankSet, rows: np.ndarray, config: RerankConfig) -> tuple[np.ndarray, ...]:
    """Descriptors of some items averaged with their nearest ones', by powers of the cosine."""
    nearest = _order(items.matrix[rows])[:, : config.expanded + 1]
    sides = []
    for side in items.sides:
        lengths = np.maximum(np.linalg.norm(side, axis=1), 1e-12)
        cosines = np.einsum("qd,qnd->qn", side[rows], side[nearest])
        cosines /= lengths[rows][:, None] * lengths[nearest]
        weights = np.clip(cosines, 0, 1) ** config.alpha
        sums = np.einsum("qn,qnd->qd", weights, side[nearest])
        sides.append(_like(sums / np.maximum(weights.sum(axis=1), 1e-12)[:, None], side))
    return tuple(sides)


def _like(vectors: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Averages as long as descriptors are on average: an average is shorter than its parts."""
    target = float(np.linalg.norm(side, axis=1).mean())
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (vectors * (target / lengths)).astype(np.float32)


def _between(
    from_: tuple[np.ndarray, ...],
    to: tuple[np.ndarray, ...],
    distance: Distance,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Distances of (some) rows to all others, the smallest over the sides, (Q, M)."""
    chosen = np.arange(len(from_[0])) if rows is None else rows
    return np.stack(
        [
            np.min([distance(a[row], b) for a, b in zip(from_, to, strict=True)], axis=0)
            for row in chosen
        ]
    )


def _similarities(items: RerankSet) -> np.ndarray:
    """From distances: 1 at none, 0 at the largest there is."""
    return 1 - items.matrix / max(1e-12, float(items.matrix.max()))
