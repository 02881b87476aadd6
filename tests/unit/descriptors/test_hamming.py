"""Hamming embedding and weak geometry against a slow loop over pairs, and their properties."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resight.config import RerankConfig
from resight.descriptors.aggregation.hamming import (
    fit_thresholds,
    hamming,
    hamming_wgc,
    random_projection,
    signatures,
    table,
)
from resight.descriptors.aggregation.vocabulary import nearest_words
from resight.errors import UsageError
from resight.ranking.exact import Database, Query
from resight.ranking.rerank import reorder
from resight.ranking.rerank.rerank_set import make_rerank_set
from samples import root_sift_like

SIZE, WORDS, ROWS = 32, 5, 40

Photo = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Descriptors, angles in radians, sizes in pixels."""


@pytest.fixture(scope="module")
def fitted() -> dict[str, np.ndarray]:
    # Not on the photos below: a median may equal one of the values.
    rows, words = root_sift_like(600, 2**32, SIZE), root_sift_like(WORDS, 2**32 + 1, SIZE)
    projection = random_projection(SIZE, 0)
    idf = np.linspace(0.5, 2, WORDS, dtype=np.float32)
    thresholds = fit_thresholds(rows, words, projection)
    return {"words": words, "idf": idf, "projection": projection, "thresholds": thresholds}


def photo(count: int, seed: int) -> Photo:
    random = np.random.default_rng(seed)
    angles = random.uniform(0, 2 * np.pi, count).astype(np.float32)
    return root_sift_like(count, seed, SIZE), angles, random.uniform(1, 60, count)


def view_of(other: Photo, rotation: float = 0.0, zoom: float = 1.0, noise: float = 0.02) -> Photo:
    """Return another view: noisy descriptors, all rotated and scaled alike."""
    rows, angles, sizes = other
    changed = rows + np.random.default_rng(0).normal(0, noise, rows.shape)
    return changed.astype(np.float32), (angles + rotation) % (2 * np.pi), sizes * zoom


def stack_tables(
    photos: list[Photo], fitted: dict[str, np.ndarray], rows: int = ROWS
) -> np.ndarray:
    return np.stack([table(*each, fitted, rows) for each in photos])


def slow_score(a: Photo, b: Photo, fitted: dict[str, np.ndarray], geometry: bool) -> float:
    """Compute the definition, pair by pair."""

    def features(of: Photo) -> list[tuple[int, list[bool], int, int]]:
        result = []
        for row, angle, size in zip(*of, strict=True):
            word = min(range(WORDS), key=lambda k: math.dist(row, fitted["words"][k]))
            bits = list(fitted["projection"] @ row > fitted["thresholds"][word])
            turn = math.floor(angle / (2 * math.pi) * 64) % 64
            result.append((word, bits, turn, round(math.log2(size) * 4)))
        return result

    ours, theirs = features(a), features(b)
    total = 0.0
    by_turn: dict[int, float] = defaultdict(float)
    by_zoom: dict[int, float] = defaultdict(float)
    for word, bits, turn, zoom in ours:
        for other, other_bits, other_turn, other_zoom in theirs:
            different = sum(x != y for x, y in zip(bits, other_bits, strict=True))
            if word != other or different > 22:
                continue
            vote = math.exp(-((different / 16) ** 2)) * float(fitted["idf"][word]) ** 2
            total += vote
            for step in range(-4, 5):  # within 22.5 degrees, or half an octave
                by_turn[(other_turn - turn + step) % 64] += vote
            for step in range(-2, 3):
                by_zoom[other_zoom - zoom + step] += vote
    if geometry:
        total = min(max(by_turn.values(), default=0), max(by_zoom.values(), default=0))
    lengths = 1.0
    for result in (ours, theirs):
        words = [word for word, *_ in result]
        lengths *= math.hypot(*(words.count(k) * float(fitted["idf"][k]) for k in set(words)))
    return total / lengths if lengths else 0.0


@pytest.mark.parametrize("geometry", [False, True])
def test_distances_equal_the_slow_loop(geometry: bool, fitted: dict[str, np.ndarray]) -> None:
    query = photo(30, 0)
    others = [
        photo(25, 1),
        view_of(query, 1.0, 2.0),
        photo(1, 2),
        view_of(query, 0, 0.5, 0.05),
        query,
    ]
    distance = hamming_wgc if geometry else hamming
    result = distance(stack_tables([query], fitted)[0], stack_tables(others, fitted))
    assert result.shape == (5,)
    assert result.dtype == np.float32
    expected = [1 - slow_score(query, other, fitted, geometry) for other in others]
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert result[1] < result[0]


def test_a_photo_without_features_has_distance_1(fitted: dict[str, np.ndarray]) -> None:
    block = stack_tables([photo(0, 0), photo(9, 1)], fitted)
    for distance in (hamming, hamming_wgc):
        np.testing.assert_array_equal(distance(block[0], block), [1, 1])
        assert distance(block[1], block)[0] == 1


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, ROWS), other=st.integers(0, ROWS), seed=st.integers(0, 2**31))
def test_tables_ignore_the_order_and_distances_are_symmetric(
    count: int, other: int, seed: int, fitted: dict[str, np.ndarray]
) -> None:
    first, second = photo(count, seed), photo(other, seed + 1)
    block = stack_tables([first, second], fitted)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_array_equal(
        table(*(values[order] for values in first), fitted, ROWS), block[0]
    )
    for distance in (hamming, hamming_wgc):
        forth, back = distance(block[0], block)[1], distance(block[1], block)[0]
        assert forth == pytest.approx(back, abs=1e-6)
        assert 0 <= forth <= 1
    assert hamming_wgc(block[0], block)[1] >= hamming(block[0], block)[1] - 1e-6


def test_geometry_needs_one_common_rotation(
    fitted: dict[str, np.ndarray],
) -> None:
    query = photo(ROWS, 3)
    together = view_of(query, rotation=0.8, zoom=1.7)
    rows, angles, sizes = together
    apart = rows, np.random.default_rng(4).permutation(angles), sizes
    block = stack_tables([query, together, apart], fitted)
    plain, geometric = hamming(block[0], block), hamming_wgc(block[0], block)
    assert plain[1] == pytest.approx(plain[2], abs=1e-6)
    assert geometric[1] < geometric[2] - 0.05


def test_a_full_turn_is_no_rotation(fitted: dict[str, np.ndarray]) -> None:
    query = photo(20, 5)
    rows, angles, sizes = query
    for rotation in (2 * np.pi, -2 * np.pi):
        block = stack_tables([query, (rows, (angles + rotation).astype(np.float32), sizes)], fitted)
        assert hamming_wgc(block[0], block[1:]) == pytest.approx(
            hamming_wgc(block[0], block[:1]), abs=0.02
        )


def test_a_table_keeps_the_strongest_features(fitted: dict[str, np.ndarray]) -> None:
    whole = photo(20, 6)
    first = tuple(values[:7] for values in whole)
    np.testing.assert_array_equal(table(*whole, fitted, 7), table(*first, fitted, 7))


def test_unused_rows_have_no_word(fitted: dict[str, np.ndarray]) -> None:
    block = table(*photo(9, 7), fitted, ROWS).reshape(8, ROWS)
    assert block.dtype == np.float32
    words = block[0, :9]
    np.testing.assert_array_equal(np.sort(words), words)
    np.testing.assert_array_equal(block[0, 9:], -1)
    np.testing.assert_array_equal(block[7, :9], fitted["idf"][words.astype(int)])
    np.testing.assert_array_equal(block[:7, :9], np.round(block[:7, :9]))


def test_the_projection_is_orthogonal() -> None:
    result = random_projection(128, 3)
    assert result.shape == (64, 128)
    np.testing.assert_allclose(result @ result.T, np.eye(64), atol=1e-5)
    assert not np.allclose(result, random_projection(128, 4))
    np.testing.assert_array_equal(result, random_projection(128, 3))


def test_thresholds_are_medians_so_half_of_the_bits_are_set() -> None:
    rows, words = root_sift_like(1000, 8), root_sift_like(4, 9)
    projection = random_projection(128, 0)
    thresholds = fit_thresholds(rows, words, projection)
    result = nearest_words(rows, words)[0][:, 0]
    packed = signatures(rows, result, thresholds, projection)
    assert packed.shape == (1000, 4)
    bits = np.unpackbits(packed.astype(">u2").view(np.uint8), axis=1)
    for word in np.unique(result):
        of_word = bits[result == word]
        slow = [np.median(column) for column in (rows[result == word] @ projection.T).T]
        np.testing.assert_allclose(thresholds[word], slow, atol=1e-6)
        np.testing.assert_allclose(of_word.mean(axis=0), 0.5, atol=0.51 / len(of_word) + 1e-3)


def test_a_word_without_descriptors_gets_its_own_projection() -> None:
    words = np.concatenate([root_sift_like(1, 0), 10 + root_sift_like(1, 1)])
    projection = random_projection(128, 0)
    result = fit_thresholds(root_sift_like(20, 2), words, projection)
    np.testing.assert_allclose(result[1], projection @ words[1], atol=1e-5)


@pytest.mark.parametrize("distance", [hamming, hamming_wgc])
def test_tables_cannot_be_averaged(distance: object, fitted: dict[str, np.ndarray]) -> None:
    block = stack_tables([photo(9, seed) for seed in range(4)], fitted)
    database = Database(np.arange(4), block)
    order = np.array([2, 1, 0, 3])
    for method in ("aqe", "alpha-qe", "dba"):
        config = RerankConfig(method=method)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"^rerank: '{method}' averages descriptors"):
            make_rerank_set(database, distance, config)  # type: ignore[arg-type]
    config = RerankConfig(method="k-reciprocal")
    rerank_set = make_rerank_set(database, distance, config)  # type: ignore[arg-type]
    result = order[reorder(Query(block[2]), rerank_set, order, config)]
    assert sorted(result) == [0, 1, 2, 3]
    assert result[0] == 2
