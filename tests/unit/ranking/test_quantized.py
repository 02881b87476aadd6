"""Descriptors in codes: their distances bound the true ones, and the answers stay exact."""

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from array_samples import make
from database_groups import neighbor_lists
from resight.collection import Collection
from resight.collection import search_arrays as arrays
from resight.ranking import compiled_scan
from resight.ranking import exact as neighbors
from resight.ranking import quantized as codes
from resight.ranking.exact import Database, Query, manhattan, nearest, nearest_to_each
from resight.ranking.quantized import (
    MAX_CODE,
    SLACK_BYTES,
    QuantizedDescriptors,
    encode,
    encode_blocks,
    fit_quantizer,
    shortlist,
)


def coded(rows: np.ndarray) -> QuantizedDescriptors:
    return encode(rows, fit_quantizer(rows))


def descriptors(count: int, size: int, seed: int) -> np.ndarray:
    """Rows like those of a network: not negative, a few of them far larger than the others."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(2.0, 0.01, (count, size)).astype(np.float32)
    rows[rng.integers(0, count, count // 2000)] *= 20
    return rows


def database(count: int, *, local: bool, seed: int = 0, size: int = 24) -> Database:
    sides = [descriptors(count, size, seed + i) for i in range(2 if local else 1)]
    ids = 5 + 2 * np.arange(count)
    return Database(ids, *sides, coded=tuple(coded(side) for side in sides))


def queries(count: int, *, local: bool, seed: int = 9, size: int = 24) -> list[Query]:
    pairs = zip(descriptors(count, size, seed), descriptors(count, size, seed + 1), strict=True)
    return [Query(one, other if local else None) for one, other in pairs]


def plain(actual: Database) -> Database:
    return Database(actual.ids, actual.global_, actual.local)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(2, 200),
    size=st.integers(1, 40),
    low=st.floats(-5, 5),
    spread=st.sampled_from([0.0, 1e-6, 0.1, 50.0]),
)
def test_codes_bound_the_distance_from_below(
    seed: int, count: int, size: int, low: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = (low + spread * rng.standard_normal((count, size))).astype(np.float32)
    query = (low + 3 * spread * rng.standard_normal((1, size))).astype(np.float32)
    encoded = coded(rows)
    code = encoded.quantizer.encode_queries(query)
    sums = np.abs(encoded.codes.astype(np.int64) - code).sum(axis=1)
    sums += encoded.slack.sum(axis=1, dtype=np.int64)
    inliers = np.setdiff1d(np.arange(count), encoded.outliers)
    least = encoded.lower_bounds(query, code, sums[None])[0]
    true = np.abs(rows.astype(np.float64) - query).sum(axis=1)
    assert (least[inliers] <= true[inliers]).all()


def test_codes_decode_to_nearly_the_original_values() -> None:
    rows = descriptors(3000, 50, 1)
    encoded = coded(rows)
    assert encoded.codes.max() == MAX_CODE
    assert len(encoded.outliers) == 0  # all were in the sample
    low, step = encoded.quantizer.low, encoded.quantizer.step
    clipped = (rows > low + MAX_CODE * step) | (rows < low)
    decoded = low + step * encoded.codes.astype(np.float64)
    assert np.abs(rows - decoded)[~clipped].max() <= 0.5001 * step
    even = coded(np.random.default_rng(1).random((3000, 50), np.float32))
    assert even.quantizer.max_error < 50 * even.quantizer.step / 2


def test_rows_with_large_errors_are_outliers() -> None:
    rows = descriptors(3000, 50, 1)
    encoded = coded(rows)
    lost = encoded.quantizer.rounding_errors(rows, encoded.codes)
    more = np.array([[40.0] * 50, [0.01] * 50], np.float32)
    assert [actual.tolist() for *_, actual in encode_blocks(more, encoded.quantizer)] == [[0]]
    spare = (encoded.quantizer.max_error - lost) / encoded.quantizer.step
    units = encoded.slack.sum(axis=1, dtype=np.int64)
    assert (units <= spare).all()
    assert (units > np.minimum(spare, SLACK_BYTES * MAX_CODE) - 1).all()


SCANS = {
    "shared out": shortlist,
    "by OpenCV": codes._opencv_scan,
    "compiled": compiled_scan.nearest_rows,
}


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
@pytest.mark.parametrize("query_count", [1, 3, 4, 9])
@pytest.mark.parametrize(("k", "size"), [(1, 16), (7, 64), (300, 200), (5000, 131)])
def test_short_list_equals_a_plain_scan(
    scan: Callable[..., tuple[np.ndarray, np.ndarray]], query_count: int, k: int, size: int
) -> None:
    rng = np.random.default_rng(k)
    rows = rng.integers(0, 9, (20_003, size), np.uint8)  # with many equal sums
    rows[rng.random(rows.shape) < 0.1] = MAX_CODE
    batch = rng.integers(0, 9, (query_count, size), np.uint8)
    units = rng.integers(0, 3, (len(rows), SLACK_BYTES), np.uint8)
    actual, sums = scan(batch, rows, units, k)
    wide, slack = rows.astype(np.int16), units.sum(axis=1, dtype=np.int64)
    for query, row, total in zip(batch, actual, sums, strict=True):
        expected = np.abs(wide - query).sum(axis=1, dtype=np.int64) + slack
        np.testing.assert_array_equal(total, np.sort(expected)[:k])
        np.testing.assert_array_equal(total, expected[row])
        assert len(set(row.tolist())) == k


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("count", "k", "size"), [(0, 3, 16), (5, 5, 64), (300, 40, 131)])
def test_the_short_list_of_some_rows_equals_a_plain_scan_of_them(
    monkeypatch: pytest.MonkeyPatch, compiled: bool, count: int, k: int, size: int
) -> None:
    monkeypatch.setattr(codes._compiled, "pays_off", lambda queries, rows: compiled)
    rng = np.random.default_rng(k)
    rows = rng.integers(0, 256, (1000, size), np.uint8)
    units = rng.integers(0, 30, (1000, SLACK_BYTES), np.uint8)
    (query,) = batch = rng.integers(0, 256, (1, size), np.uint8)
    some = rng.permutation(1000)[:count]
    sums = np.abs(rows.astype(int) - query).sum(axis=1) + units.sum(axis=1)
    actual = codes.shortlist_among(batch, rows, units, some, k)
    assert set(actual.tolist()) <= set(some.tolist())
    np.testing.assert_array_equal(np.sort(sums[actual]), np.sort(sums[some])[:k])


def test_large_collections_are_scanned_by_the_compiled_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (codes.COMPILED_ROWS, 8), np.uint8)
    batch = rng.integers(0, 256, (codes.COMPILED_QUERIES, 8), np.uint8)
    units = rng.integers(0, 100, (len(rows), SLACK_BYTES), np.uint8)
    expected = codes._opencv_scan(batch, rows, units, 10)[1]
    used = []
    monkeypatch.setattr(
        compiled_scan,
        "nearest_rows",
        lambda *given, real=compiled_scan.nearest_rows: used.append(1) or real(*given),
    )
    for count in (len(batch), 1):  # one query, too, once it is loaded
        used.clear()
        actual = shortlist(batch[:count], rows, units, 10)[1]
        np.testing.assert_array_equal(actual, expected[:count])
        assert used
    used.clear()
    monkeypatch.setattr(codes, "_compiled", codes._CompiledScan())
    shortlist(batch[:1], rows, units, 10)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    np.testing.assert_array_equal(shortlist(batch, rows, units, 10)[1], expected)
    assert not used


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another processor")
def test_compiled_scan_uses_the_processors_instructions() -> None:
    for scan, least in (
        (compiled_scan._scan, compiled_scan.TOGETHER),
        (compiled_scan._scan_for_one, 1),
    ):
        fresh = numba.njit(scan.signatures[0], nogil=True, error_model="numpy")(scan.py_func)
        (assembly,) = fresh.inspect_asm().values()
        assert assembly.count("psadbw") >= least
    assert "pmaddwd" in assembly or "dpwssd" in assembly  # of the squares, for one query


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_search_in_codes_equals_the_plain_search(local: bool, k: int) -> None:
    large = database(6000, local=local)
    batch = [*queries(20, local=local), Query(large.global_[77], large.local[5] if local else None)]
    for query, actual in zip(batch, nearest_to_each(batch, large, k), strict=True):
        expected = nearest(query, plain(large), k)
        np.testing.assert_array_equal(actual.ids, expected.ids)
        np.testing.assert_array_equal(actual.distances, expected.distances)


def test_a_query_without_a_local_descriptor_is_compared_by_the_global_one() -> None:
    large = database(3000, local=True)
    query = queries(1, local=False)[0]
    actual, expected = nearest(query, large, 5), nearest(query, plain(large), 5)
    np.testing.assert_array_equal(actual.ids, expected.ids)


def test_copies_are_found_by_ascending_id_however_many_there_are() -> None:
    rows = descriptors(4000, 24, 3)
    rows[1000:3000] = rows[1]  # more than the first short lists hold
    large = Database(np.arange(4000), rows, coded=(coded(rows),))
    actual = nearest(Query(rows[1]), large, 10)
    assert actual.ids.tolist() == [1, *range(1000, 1009)]


def test_other_distances_do_not_use_the_codes() -> None:
    large = database(2000, local=False)
    query = queries(1, local=False)[0]
    actual = nearest(query, large, 5, neighbors.cosine)
    assert actual.ids.tolist() == nearest(query, plain(large), 5, neighbors.cosine).ids.tolist()


def test_most_searches_read_only_a_short_list(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counting(query: np.ndarray, block: np.ndarray) -> np.ndarray:
        compared.append(len(block))
        return manhattan(query, block)

    things = np.repeat(descriptors(1000, 256, 4), 20, axis=0)  # twenty views of each
    views = (things + 0.1 * descriptors(20_000, 256, 5)).astype(np.float32)
    large = Database(np.arange(20_000), views, coded=(coded(views),))
    monkeypatch.setattr(neighbors, "_scan", lambda query, rows, _: counting(query, np.array(rows)))
    actual = nearest_to_each([Query(view) for view in things[::2000]], large, 10)
    assert [near.ids[0] // 2000 for near in actual] == list(range(10))
    assert 0 < sum(compared) <= 10 * (neighbors.MIN_SHORTLIST + 20)


def test_neighbor_lists_are_the_same_with_codes() -> None:
    large = database(1500, local=True)
    actual, expected = neighbor_lists(large), neighbor_lists(plain(large))
    np.testing.assert_array_equal(actual.rows, expected.rows)
    np.testing.assert_array_equal(actual.distances, expected.distances)


@pytest.mark.parametrize("cam", [False, True])
def test_large_collections_are_coded(
    tmp_path: Path, cam: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MIN_QUANTIZED_PHOTOS", 10)
    monkeypatch.setattr(codes, "BLOCK_ROWS", 7)
    folder = make(tmp_path / "c", cam=cam)
    with Collection.open(folder) as collection:
        loaded = arrays.load_arrays(collection).database
        assert arrays.remove_damaged_arrays(collection) is None
    sides = [loaded.global_, loaded.local] if cam else [loaded.global_]
    assert len(loaded.coded) == len(sides)
    for encoded, side in zip(loaded.coded, sides, strict=True):
        expected = coded(np.asarray(side))
        np.testing.assert_array_equal(encoded.codes, expected.codes)
        assert encoded.quantizer == expected.quantizer
    damaged = next((folder / "arrays").glob("*/global-codes.npy"))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    with Collection.open(folder) as collection:
        assert arrays.remove_damaged_arrays(collection) == "global-codes.npy was damaged"
