"""Re-ranking: slow readings of the papers, and what holds for every method."""

import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import ExtractionConfig, LocalConfig, RerankConfig, Reranking
from resight.errors import UsageError
from resight.ranking.exact import (
    DISTANCES,
    Database,
    Query,
    cosine,
    distances_to,
    manhattan,
    ranking,
)
from resight.ranking.rerank import METHODS as RERANKERS
from resight.ranking.rerank import reorder
from resight.ranking.rerank.late_fusion import areas
from resight.ranking.rerank.rerank_set import RerankSet, make_rerank_set, with_query
from resight.reductions.pfa import Selection
from resight.reductions.whitening import Whitening

METHODS = [name for name in RERANKERS if name != "none"]
PARTS = (7, 5)
"""Layers of the descriptors."""


def photos(count: int, seed: int = 0, groups: int = 4) -> np.ndarray:
    """Descriptors (count, 12) around a few things, values >= 0."""
    generator = np.random.default_rng(seed)
    things = generator.random((groups, 12))
    noise = generator.normal(scale=0.15, size=(count, 12))
    return np.abs(things[np.arange(count) % groups] + noise).astype(np.float32)


def items_of(x: np.ndarray, name: str = "manhattan") -> RerankSet:
    database = Database(np.arange(len(x)), x)
    return make_rerank_set(database, DISTANCES[name], RerankConfig(), PARTS)


def every(x: np.ndarray, config: RerankConfig, name: str = "manhattan") -> np.ndarray:
    return RERANKERS[config.method](items_of(x, name), np.arange(len(x)), config)


def test_the_table_has_every_method() -> None:
    assert set(RERANKERS) == set(typing.get_args(Reranking))


# Slow readings


def near(x: np.ndarray, i: int) -> list[int]:
    return sorted(range(len(x)), key=lambda j: (float(np.abs(x[i] - x[j]).sum()), j))


def slow_expansion(x: np.ndarray, i: int, n: int, alpha: float | None) -> np.ndarray:
    chosen = near(x, i)[: n + 1]
    weights = []
    for j in chosen:
        c = float(x[i] @ x[j]) / float(np.linalg.norm(x[i]) * np.linalg.norm(x[j]))
        weights.append(1.0 if alpha is None else max(0.0, min(1.0, c)) ** alpha)
    mean = sum(w * x[j].astype(float) for w, j in zip(weights, chosen, strict=True)) / sum(weights)
    average_length = float(np.mean([np.linalg.norm(row) for row in x]))
    return mean / np.linalg.norm(mean) * average_length


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_query_expansion(alpha: float | None) -> None:
    x = photos(14)
    config = RerankConfig(method="aqe" if alpha is None else "alpha-qe", expanded=2, alpha=3.0)
    for i, costs in enumerate(every(x, config)):
        expanded = slow_expansion(x, i, 2, alpha)
        np.testing.assert_allclose(costs, np.abs(x - expanded).sum(axis=1), atol=1e-4)


def test_database_augmentation() -> None:
    x = photos(14)
    moved = np.stack([slow_expansion(x, i, 2, 3.0) for i in range(len(x))])
    costs = every(x, RerankConfig(method="dba", expanded=2, alpha=3.0))
    expected = np.abs(moved[:, None] - moved).sum(axis=2)
    np.testing.assert_allclose(costs, expected, atol=1e-4)


def slow_k_reciprocal(d: np.ndarray, k1: int, k2: int, share: float) -> np.ndarray:
    """Zhong et al., equations 2 to 12, on sets."""
    n = len(d)
    order = [sorted(range(n), key=lambda j, i=i: (d[i, j], j)) for i in range(n)]

    def r(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    codes = np.zeros((n, n))
    for i in range(n):
        members = set(r(i, k1))
        for candidate in r(i, k1):
            half = r(candidate, max(1, round(k1 / 2)))
            if len(half & r(i, k1)) > 2 / 3 * len(half):
                members |= half
        weights = {j: np.exp(-d[i, j] / d[i].max()) for j in members}
        for j, weight in weights.items():
            codes[i, j] = weight / sum(weights.values())
    codes = np.stack([codes[order[i][:k2]].mean(axis=0) for i in range(n)])
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both = np.minimum(codes[i], codes[j]).sum()
            either = np.maximum(codes[i], codes[j]).sum()
            out[i, j] = (1 - share) * (1 - both / either) + share * d[i, j] / d[i].max()
    return out


@pytest.mark.parametrize(("k1", "k2", "share"), [(4, 2, 0.3), (6, 1, 0.0), (3, 3, 0.5)])
def test_k_reciprocal(k1: int, k2: int, share: float) -> None:
    x = photos(16)
    d = np.stack([manhattan(row, x) for row in x]).astype(float)
    config = RerankConfig(method="k-reciprocal", k1=k1, k2=k2, share=share)
    np.testing.assert_allclose(every(x, config), slow_k_reciprocal(d, k1, k2, share), atol=1e-5)


def test_diffusion_is_where_the_walk_ends() -> None:
    x = photos(16)
    config = RerankConfig(method="diffusion", mutual=4, gamma=3.0, damping=0.7)
    d = np.stack([manhattan(row, x) for row in x]).astype(float)
    order = [sorted(range(16), key=lambda j, i=i: (d[i, j], j))[1:5] for i in range(16)]
    w = np.zeros((16, 16))
    for i in range(16):
        for j in order[i]:
            if i in order[j]:
                w[i, j] = (1 - d[i, j] / d.max()) ** 3
    s = w / np.sqrt(np.maximum(w.sum(axis=1)[:, None] * w.sum(axis=1), 1e-24))
    for q, costs in enumerate(every(x, config)):
        f = np.zeros(16)
        for _ in range(300):  # f <- alpha S f + y, until it stands still
            f = 0.7 * s @ f + np.eye(16)[q]
        np.testing.assert_allclose(-costs, f, atol=1e-5)


def slow_late_fusion(
    features: list[np.ndarray], references: int, related: int
) -> tuple[np.ndarray, np.ndarray]:
    """Zheng et al., equations 1 to 3, query by query: fused scores, and the features' weights."""
    n = len(features[0])
    fused, weights = np.ones((n, n)), np.zeros((len(features), n))
    scores = [[[1 - d / feature.max() for d in row] for row in feature] for feature in features]
    for q in range(n):
        for f, score in enumerate(scores):
            curves = [
                sorted((s for j, s in enumerate(row) if j != i), reverse=True)
                for i, row in enumerate(score)
            ]
            length = n - 1
            unlike = {
                i: sum(abs(curves[i][k] - curves[q][k]) for k in range(length // 2, length))
                for i in range(n)
                if i != q
            }
            alike = sorted(unlike, key=lambda i: (unlike[i], i))[:references]
            lifted = []
            for k in range(length):
                later = min(k + related, length - 1)
                reference = sum(curves[i][later] for i in alike) / len(alike)
                lifted.append(curves[q][k] - reference)
            low, high = min(lifted), max(lifted)
            weights[f, q] = 1 / (sum((v - low) / (high - low) for v in lifted) / length)
        weights[:, q] /= weights[:, q].sum()
        for f, score in enumerate(scores):
            fused[q] *= np.array(score[q]) ** weights[f, q]
    return fused, weights


@pytest.mark.parametrize(("references", "related"), [(10, 10), (3, 2), (1, 0)])
def test_late_fusion(references: int, related: int) -> None:
    x = photos(16)
    parts = (x[:, :7], x[:, 7:])
    features = [np.stack([manhattan(row, part) for row in part]) for part in parts]
    config = RerankConfig(method="late-fusion", references=references, related=related)
    fused, _ = slow_late_fusion(
        [feature.astype(float) for feature in features], references, related
    )
    np.testing.assert_allclose(-every(x, config), fused, atol=1e-5)


def test_the_feature_that_tells_things_apart_counts_more() -> None:
    generator = np.random.default_rng(0)
    knows = np.repeat(np.eye(10), 4, axis=0) + 0.05 * generator.random((40, 10))
    guesses = generator.random((40, 10))
    matrices = [
        np.stack([manhattan(row, part) for row in part.astype(np.float32)])
        for part in (knows, guesses)
    ]
    config = RerankConfig(method="late-fusion")
    flat = [areas(1 - matrix / matrix.max(), np.arange(40), config) for matrix in matrices]
    assert (flat[0] < 0.6 * flat[1]).all()
    _, weights = slow_late_fusion([matrix.astype(float) for matrix in matrices], 10, 10)
    assert weights[0].min() > 0.6


def test_one_feature_is_not_fused() -> None:
    x = photos(5)
    database, config = Database(np.arange(5), x), RerankConfig(method="late-fusion")
    with pytest.raises(UsageError, match=r"^rerank: 'late-fusion' .* have only one part"):
        make_rerank_set(database, manhattan, config, [12])


# Every method


@pytest.mark.parametrize("name", ["manhattan", "cosine"])
@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=15)
@given(count=st.integers(1, 12), seed=st.integers(0, 50))
def test_contract(method: Reranking, name: str, count: int, seed: int) -> None:
    x = photos(count, seed)
    config = RerankConfig(method=method)
    costs = every(x, config, name)
    assert costs.shape == (count, count)
    assert np.isfinite(costs).all()
    # In another order of the photos, the same.
    shuffled = np.random.default_rng(seed).permutation(count)
    again = every(x[shuffled], config, name)
    np.testing.assert_allclose(again, costs[np.ix_(shuffled, shuffled)], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_reordered_results_are_the_same_photos(method: Reranking, count: int) -> None:
    x = photos(count)
    database = Database(np.arange(count) + 7, x)
    config = RerankConfig(method=method, shortlist=10)
    for query in (Query(x[0]), Query(x[0] + 0.01)):
        order = ranking(distances_to(query, database), database.ids)[:10]
        shortlist = Database(database.ids[order], x[order])
        rerank_set = make_rerank_set(shortlist, manhattan, config, PARTS)
        better = reorder(query, rerank_set, shortlist.ids, config)
        assert sorted(better) == list(range(min(10, count)))
    own = reorder(Query(x[0]), rerank_set, shortlist.ids, config)
    assert order[own[0]] == 0, "a query that is in the collection is its own nearest photo"


@pytest.mark.parametrize("method", METHODS)
def test_more_neighbors_than_there_are_photos_are_all_of_them(method: Reranking) -> None:
    x = photos(9)
    counts = ("expanded", "k1", "k2", "mutual", "references", "related")
    all_of_them, far_more = (
        RerankConfig(method=method, **dict.fromkeys(counts, count))  # type: ignore[arg-type]
        for count in (9, 10**30)
    )
    np.testing.assert_array_equal(every(x, all_of_them), every(x, far_more))


@pytest.mark.parametrize("method", METHODS)
def test_the_whole_as_short_list(method: Reranking) -> None:
    x = photos(20)
    database, config = Database(np.arange(20), x), RerankConfig(method=method)
    whole = make_rerank_set(database, cosine, config, PARTS)
    for query in (Query(x[3]), Query(x[3] + 0.02)):
        order = ranking(distances_to(query, database, cosine), database.ids)
        in_order = make_rerank_set(Database(order, x[order]), cosine, config, PARTS)
        expected = reorder(query, in_order, order, config)
        assert reorder(query, whole, order, config).tolist() == expected.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_local_descriptors_count(method: Reranking) -> None:
    x = photos(12)
    far = np.random.default_rng(1).random((12, 12)).astype(np.float32)
    config, rows = RerankConfig(method=method), np.arange(12)
    both = make_rerank_set(Database(rows, far, x), manhattan, config, PARTS)
    only = make_rerank_set(Database(rows, far), manhattan, config, PARTS)
    rerank = RERANKERS[method]
    assert np.abs(rerank(both, rows, config) - rerank(only, rows, config)).max() > 0
    assert with_query(both, Query(far[0], x[0])).matrix.shape == (13, 13)


@pytest.mark.parametrize("method", ["aqe", "alpha-qe", "dba", "k-reciprocal"])
def test_photos_of_one_thing_come_nearer(method: Reranking) -> None:
    x = photos(24, seed=5)
    same = np.arange(24)[:, None] % 4 == np.arange(24) % 4

    def margin(costs: np.ndarray) -> float:
        return float((costs[~same].mean() - costs[same].mean()) / costs.std())

    assert margin(every(x, RerankConfig(method=method))) > margin(every(x, RerankConfig()))


def test_diffusion_follows_a_chain_whose_ends_are_far_apart() -> None:
    chain = np.pad(np.linspace(0, 1, 12)[:, None], ((0, 0), (0, 11)))
    strangers = np.eye(12)[1:7] * 0.9
    x = np.vstack([chain, strangers]).astype(np.float32) + np.float32(0.05)
    before = every(x, RerankConfig())
    after = every(x, RerankConfig(method="diffusion", mutual=3))
    assert before[0, 11] > before[0, 13]
    assert after[0, 11] < after[0, 13]


@pytest.mark.parametrize("method", METHODS)
def test_zero_descriptors(method: Reranking) -> None:
    x = np.vstack([np.zeros((3, 12)), photos(5)]).astype(np.float32)
    for name in ("manhattan", "cosine"):
        assert np.isfinite(every(x, RerankConfig(method=method), name)).all()


def test_parts_of_descriptors_as_they_are_compared() -> None:
    both = ExtractionConfig()
    assert both.part_sizes(3072) == [2048, 1024]
    assert Selection(np.array([0, 2047, 2048, 3070, 3071])).part_sizes(both) == [2, 3]
    assert Selection(np.array([5, 6])).part_sizes(both) == [2], "nothing left of one layer"
    white = Whitening(np.zeros(5), (np.zeros((3, 2)), np.zeros((2, 1))))
    assert white.part_sizes(both) == [2, 1]
    assert LocalConfig(method="sift-vlad").part_sizes(16384) == [16384]
    learned = ExtractionConfig(pooling="rmac-whitened")
    assert Selection(np.array([5, 6])).part_sizes(learned) == [2]
