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
from resight.ranking.rerank.methods import reorder
from samples import root_sift_like

SIZE, WORDS, ROWS = 32, 5, 40

Photo = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Descriptors, angles in radians, sizes in pixels."""


@pytest.fixture(scope="module")
def fitted() -> dict[str, np.ndarray]:
    # Of other descriptors than the photos below: a median may be one of those it is taken of.
    rows, words = root_sift_like(600, 2**32, SIZE), root_sift_like(WORDS, 2**32 + 1, SIZE)
    projection = random_projection(SIZE, 0)
    idf = np.linspace(0.5, 2, WORDS, dtype=np.float32)
    thresholds = fit_thresholds(rows, words, projection)
    return {"words": words, "idf": idf, "projection": projection, "thresholds": thresholds}


def photo(count: int, seed: int) -> Photo:
    random = np.random.default_rng(seed)
    angles = random.uniform(0, 2 * np.pi, count).astype(np.float32)
    return root_sift_like(count, seed, SIZE), angles, random.uniform(1, 60, count)


def like(other: Photo, turned: float = 0.0, larger: float = 1.0, noise: float = 0.02) -> Photo:
    """The same place: descriptors a little different, all turned and scaled alike."""
    rows, angles, sizes = other
    changed = rows + np.random.default_rng(0).normal(0, noise, rows.shape)
    return changed.astype(np.float32), (angles + turned) % (2 * np.pi), sizes * larger


def tables(photos: list[Photo], fitted: dict[str, np.ndarray], rows: int = ROWS) -> np.ndarray:
    return np.stack([table(*each, fitted, rows) for each in photos])


def slow_score(a: Photo, b: Photo, fitted: dict[str, np.ndarray], geometry: bool) -> float:
    """The definition: every pair of features of one word and of at most 22 different bits votes."""

    def features(of: Photo) -> list[tuple[int, list[bool], int, int]]:
        found = []
        for row, angle, size in zip(*of, strict=True):
            word = min(range(WORDS), key=lambda k: math.dist(row, fitted["words"][k]))
            bits = list(fitted["projection"] @ row > fitted["thresholds"][word])
            turn = math.floor(angle / (2 * math.pi) * 64) % 64
            found.append((word, bits, turn, round(math.log2(size) * 4)))
        return found

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
            for step in range(-4, 5):  # what is 22.5 degrees apart, or half an octave, agrees
                by_turn[(other_turn - turn + step) % 64] += vote
            for step in range(-2, 3):
                by_zoom[other_zoom - zoom + step] += vote
    if geometry:
        total = min(max(by_turn.values(), default=0), max(by_zoom.values(), default=0))
    lengths = 1.0
    for found in (ours, theirs):
        words = [word for word, *_ in found]
        lengths *= math.hypot(*(words.count(k) * float(fitted["idf"][k]) for k in set(words)))
    return total / lengths if lengths else 0.0


@pytest.mark.parametrize("geometry", [False, True])
def test_distances_equal_the_slow_loop(geometry: bool, fitted: dict[str, np.ndarray]) -> None:
    query = photo(30, 0)
    others = [photo(25, 1), like(query, 1.0, 2.0), photo(1, 2), like(query, 0, 0.5, 0.05), query]
    distance = hamming_wgc if geometry else hamming
    found = distance(tables([query], fitted)[0], tables(others, fitted))
    assert found.shape == (5,)
    assert found.dtype == np.float32
    expected = [1 - slow_score(query, other, fitted, geometry) for other in others]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[1] < found[0]


def test_photos_without_features_are_far_from_everything(fitted: dict[str, np.ndarray]) -> None:
    made = tables([photo(0, 0), photo(9, 1)], fitted)
    for distance in (hamming, hamming_wgc):
        np.testing.assert_array_equal(distance(made[0], made), [1, 1])
        assert distance(made[1], made)[0] == 1


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, ROWS), other=st.integers(0, ROWS), seed=st.integers(0, 2**31))
def test_a_table_does_not_depend_on_the_order_and_the_distance_on_the_side(
    count: int, other: int, seed: int, fitted: dict[str, np.ndarray]
) -> None:
    first, second = photo(count, seed), photo(other, seed + 1)
    made = tables([first, second], fitted)
    order = np.random.default_rng(seed).permutation(count)
    np.testing.assert_array_equal(
        table(*(values[order] for values in first), fitted, ROWS), made[0]
    )
    for distance in (hamming, hamming_wgc):
        there, back = distance(made[0], made)[1], distance(made[1], made)[0]
        assert there == pytest.approx(back, abs=1e-6)
        assert 0 <= there <= 1
    assert hamming_wgc(made[0], made)[1] >= hamming(made[0], made)[1] - 1e-6


def test_geometry_tells_what_turned_as_one_from_what_did_not(
    fitted: dict[str, np.ndarray],
) -> None:
    query = photo(ROWS, 3)
    together = like(query, turned=0.8, larger=1.7)
    rows, angles, sizes = together
    apart = rows, np.random.default_rng(4).permutation(angles), sizes
    made = tables([query, together, apart], fitted)
    plain, geometric = hamming(made[0], made), hamming_wgc(made[0], made)
    assert plain[1] == pytest.approx(plain[2], abs=1e-6)
    assert geometric[1] < geometric[2] - 0.05


def test_a_whole_turn_is_none(fitted: dict[str, np.ndarray]) -> None:
    query = photo(20, 5)
    rows, angles, sizes = query
    for turned in (2 * np.pi, -2 * np.pi):
        made = tables([query, (rows, (angles + turned).astype(np.float32), sizes)], fitted)
        assert hamming_wgc(made[0], made[1:]) == pytest.approx(
            hamming_wgc(made[0], made[:1]), abs=0.02
        )


def test_more_features_than_rows_are_the_strongest(fitted: dict[str, np.ndarray]) -> None:
    whole = photo(20, 6)
    first = tuple(values[:7] for values in whole)
    np.testing.assert_array_equal(table(*whole, fitted, 7), table(*first, fitted, 7))


def test_a_table_is_full_of_words_or_says_that_it_is_not(fitted: dict[str, np.ndarray]) -> None:
    made = table(*photo(9, 7), fitted, ROWS).reshape(8, ROWS)
    assert made.dtype == np.float32
    words = made[0, :9]
    np.testing.assert_array_equal(np.sort(words), words)
    np.testing.assert_array_equal(made[0, 9:], -1)
    np.testing.assert_array_equal(made[7, :9], fitted["idf"][words.astype(int)])
    np.testing.assert_array_equal(made[:7, :9], np.round(made[:7, :9]))


def test_the_projection_is_orthogonal() -> None:
    found = random_projection(128, 3)
    assert found.shape == (64, 128)
    np.testing.assert_allclose(found @ found.T, np.eye(64), atol=1e-5)
    assert not np.allclose(found, random_projection(128, 4))
    np.testing.assert_array_equal(found, random_projection(128, 3))


def test_thresholds_are_medians_so_that_every_bit_is_as_often_set_as_not() -> None:
    rows, words = root_sift_like(4000, 8), root_sift_like(4, 9)
    projection = random_projection(128, 0)
    thresholds = fit_thresholds(rows, words, projection)
    found = nearest_words(rows, words)[0][:, 0]
    packed = signatures(rows, found, thresholds, projection)
    assert packed.shape == (4000, 4)
    bits = np.unpackbits(packed.astype(">u2").view(np.uint8), axis=1)
    for word in np.unique(found):
        of_word = bits[found == word]
        slow = [np.median((rows[found == word] @ projection.T)[:, bit]) for bit in range(64)]
        np.testing.assert_allclose(thresholds[word], slow, atol=1e-6)
        np.testing.assert_allclose(of_word.mean(axis=0), 0.5, atol=0.51 / len(of_word) + 1e-3)


def test_a_word_without_descriptors_has_its_own_projection() -> None:
    words = np.concatenate([root_sift_like(1, 0), 10 + root_sift_like(1, 1)])
    projection = random_projection(128, 0)
    found = fit_thresholds(root_sift_like(20, 2), words, projection)
    np.testing.assert_allclose(found[1], projection @ words[1], atol=1e-5)


@pytest.mark.parametrize("distance", [hamming, hamming_wgc])
def test_sets_are_not_averaged(distance: object, fitted: dict[str, np.ndarray]) -> None:
    made = tables([photo(9, seed) for seed in range(4)], fitted)
    database = Database(np.arange(4), made)
    order = np.array([2, 1, 0, 3])
    for method in ("aqe", "alpha-qe", "dba"):
        config = RerankConfig(method=method)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"^--rerank {method}: averages descriptors"):
            reorder(Query(made[2]), database, order, distance, config)  # type: ignore[arg-type]
    config = RerankConfig(method="k-reciprocal")
    found = reorder(Query(made[2]), database, order, distance, config)  # type: ignore[arg-type]
    assert sorted(found) == [0, 1, 2, 3]
    assert found[0] == 2
