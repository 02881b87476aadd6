"""Euclidean distance in codes: bounds hold, results are those of comparing every row."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from array_samples import describe, make
from resight.collection import Collection
from resight.collection import search_arrays as arrays
from resight.collection.writer import writing
from resight.errors import UsageError
from resight.ranking import compiled_scan, exact
from resight.ranking import quantized as codes
from resight.ranking.exact import (
    MIN_SHORTLIST,
    MIN_SHORTLISTS,
    REMOVED_ID,
    Database,
    Query,
    euclidean,
    nearest_to_each,
)
from resight.ranking.quantized import (
    MAX_CODE,
    MAX_EUCLIDEAN_VALUES,
    QuantizedDescriptors,
    encode,
    encode_blocks,
    fit_quantizer,
    shortlist,
)

COUNT = 2 * MIN_SHORTLIST * MIN_SHORTLISTS


def coded(rows: np.ndarray) -> QuantizedDescriptors:
    return encode(rows, fit_quantizer(rows, "euclidean"))


def unit_rows(count: int, size: int, seed: int) -> np.ndarray:
    """Rows of length 1, three views of each thing."""
    rng = np.random.default_rng(seed)
    things = rng.normal(size=(count // 3 + 1, size))
    rows = things[rng.integers(0, len(things), count)] + 0.4 * rng.normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def database(*sides: np.ndarray) -> Database:
    """Return a database with codes, whose ids are in no order."""
    ids = np.random.default_rng(9).permutation(len(sides[0])) * 3
    return Database(ids, *sides, coded=tuple(map(coded, sides)))


def assert_exact(queries: list[Query], searched: Database, k: int) -> None:
    plain = Database(searched.ids, searched.global_, searched.local)
    for query, found in zip(queries, nearest_to_each(queries, searched, k, euclidean), strict=True):
        distances = exact.distances_to(query, plain, euclidean)
        order = exact.ranking(distances, plain.ids, k)
        np.testing.assert_array_equal(found.ids, plain.ids[order])
        np.testing.assert_array_equal(found.distances, distances[order])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(2, 200),
    size=st.integers(1, 70),
    low=st.sampled_from([-5.0, 0.0, 0.3, 1000.0]),
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
    sums = ((encoded.codes.astype(np.int64) - code) ** 2).sum(axis=1)
    inliers = np.setdiff1d(np.arange(count), encoded.outliers)
    least = encoded.lower_bounds(query, code, sums[None])[0]
    true = np.sqrt(((rows.astype(np.float64) - query) ** 2).sum(axis=1))
    assert (least[inliers] <= true[inliers]).all()
    errors = encoded.quantizer.rounding_errors(rows, encoded.codes)
    assert (true[inliers] - least[inliers] <= 2.1 * (errors.max() + np.sqrt(
        ((query - (encoded.quantizer.low + encoded.quantizer.step * code)) ** 2).sum()
    )) + 1e-4 * true[inliers]).all()  # and not far below it  # fmt: skip


def test_clipping_makes_the_largest_error_small() -> None:
    rows = unit_rows(3000, 50, 1)
    whole = codes._fit_clipped(rows, 0.0, "euclidean")
    assert fit_quantizer(rows, "euclidean").max_error <= whole.max_error
    assert whole.max_error < np.sqrt(50 / 12) * whole.step * 1.5
    assert coded(rows).slack.shape == (3000, 0)
    rows[7] = 0.1
    rows[7, 0] = 30.0
    more = list(encode_blocks(rows, whole))
    assert [outliers.tolist() for *_, outliers in more] == [[7]]


SCANS = {
    "shared out": shortlist,
    "by OpenCV": codes._opencv_scan,
    "compiled": compiled_scan.nearest_rows,
}


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS)
@pytest.mark.parametrize("query_count", [1, 3])
@pytest.mark.parametrize(("k", "size"), [(1, 16), (7, 32), (300, 272), (5000, 131)])
def test_short_list_equals_a_plain_scan(
    scan: Callable[..., tuple[np.ndarray, np.ndarray]], query_count: int, k: int, size: int
) -> None:
    rng = np.random.default_rng(k)
    rows = rng.integers(0, 9, (20_003, size), np.uint8)  # with many equal sums
    rows[rng.random(rows.shape) < 0.1] = MAX_CODE
    batch = rng.integers(0, 9, (query_count, size), np.uint8)
    actual, sums = scan(batch, rows, np.empty((len(rows), 0), np.uint8), k, True)
    for query, row, total in zip(batch, actual, sums, strict=True):
        expected = ((rows.astype(int) - query) ** 2).sum(axis=1)
        np.testing.assert_array_equal(total, np.sort(expected)[:k])
        np.testing.assert_array_equal(total, expected[row])
        assert len(set(row.tolist())) == k


@pytest.mark.parametrize("scan", [codes._opencv_scan, compiled_scan.nearest_rows])
def test_the_longest_rows_do_not_overflow(scan: Callable[..., tuple[np.ndarray, ...]]) -> None:
    rows = np.full((3, MAX_EUCLIDEAN_VALUES), MAX_CODE, np.uint8)
    _, sums = scan(0 * rows[:1], rows, np.empty((3, 0), np.uint8), 2, True)
    assert sums.tolist() == [[MAX_EUCLIDEAN_VALUES * MAX_CODE**2] * 2]


@pytest.fixture(params=[True, False], ids=["compiled", "OpenCV"])
def compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes._compiled, "pays_off", lambda queries, rows: request.param)


@pytest.fixture
def only_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where matrix products are computed."""
    monkeypatch.delattr(exact, "may_be_nearest")


@pytest.fixture
def no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where codes are scanned."""
    monkeypatch.delattr(exact, "shortlist")


@pytest.mark.usefixtures("compiled", "only_codes")
@pytest.mark.parametrize("k", [1, 10, 64])
def test_large_databases_are_searched_by_codes(k: int) -> None:
    searched = database(unit_rows(COUNT, 100, 1))
    queries = [*unit_rows(2, 100, 2), searched.global_[7], 1.01 * searched.global_[8]]
    assert_exact([Query(values) for values in queries], searched, k)


@pytest.mark.usefixtures("compiled", "only_codes")
def test_local_descriptors_and_removed_rows() -> None:
    searched = database(unit_rows(COUNT, 64, 1), unit_rows(COUNT, 64, 2))
    searched.ids[::3] = REMOVED_ID
    pairs = zip(unit_rows(3, 64, 3), unit_rows(3, 64, 4), strict=True)
    assert_exact([Query(*pair) for pair in pairs], searched, 10)
    assert_exact([Query(searched.global_[0])], searched, 10)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("same", [1.0, 0.2, 0.05, 0.01])
@pytest.mark.parametrize("apart", [0.0, 1e-7, 1e-3])
@pytest.mark.parametrize("k", [1, 20])
def test_ties_and_clusters(same: float, apart: float, k: int) -> None:
    rng = np.random.default_rng(0)
    rows = unit_rows(COUNT, 24, 3)
    near = rng.permutation(COUNT)[: int(same * COUNT)]
    rows[near] = rows[1] + apart * rng.standard_normal((len(near), 24), np.float32)
    searched = database(rows)
    queries = [rows[1], rows[near[0]] + np.float32(1e-4), unit_rows(1, 24, 5)[0], 0 * rows[1]]
    assert_exact([Query(values) for values in queries], searched, k)


@pytest.mark.parametrize("count", [0, 1, 5, MIN_SHORTLIST, COUNT])
@pytest.mark.parametrize("value", [0.0, 0.25])
def test_tiny_and_constant_databases(count: int, value: float) -> None:
    rows = np.full((count, 12), value, np.float32)
    plain = Database(np.arange(count)[::-1], rows)
    searched = Database(plain.ids, rows, coded=(coded(rows),)) if count else plain
    for query in (rows[:1], unit_rows(1, 12, 0), np.full((1, 12), 1e4, np.float32)):
        if len(query) and count:
            assert_exact([Query(query[0])], searched, 3)
    assert nearest_to_each([], searched, 3, euclidean) == []
    if not count:
        assert len(nearest_to_each([Query(np.ones(12))], searched, 3, euclidean)[0].ids) == 0


@pytest.mark.usefixtures("no_codes")
def test_codes_are_not_scanned_where_that_would_not_help() -> None:
    alike = database(unit_rows(1, 24, 0) + 1e-3 * unit_rows(COUNT, 24, 1))
    assert_exact([Query(alike.global_[3])], alike, 10)
    different = database(unit_rows(COUNT, 24, 1))
    assert_exact([Query(values) for values in different.global_[:9]], different, 10)  # many
    assert_exact([Query(different.global_[0])], different, COUNT // MIN_SHORTLISTS)


def test_a_query_of_another_length_is_refused() -> None:
    searched = database(unit_rows(COUNT, 4, 0))
    with pytest.raises(UsageError, match=r"the query has \(3,\) values"):
        nearest_to_each([Query(np.ones(3, np.float32))], searched, 1, euclidean)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    distinct=st.integers(1, COUNT),
    size=st.integers(1, 40),
    spread=st.sampled_from([0, 1e-7, 1e-3, 0.1]),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    k=st.integers(1, 40),
)
def test_any_duplicates(
    seed: int, distinct: int, size: int, spread: float, scale: float, k: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = unit_rows(distinct, size, seed)[rng.integers(0, distinct, COUNT)]
    rows = scale * (rows + spread * rng.standard_normal(rows.shape)).astype(np.float32)
    queries = [rows[0], (scale * unit_rows(1, size, seed + 1)[0]).astype(np.float32)]
    assert_exact([Query(values) for values in queries], database(rows.astype(np.float32)), k)


@pytest.mark.parametrize("cam", [False, True])
def test_collections_are_coded_and_older_arrays_on_first_use(
    tmp_path: Path, cam: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Collection, "distance", "euclidean")
    folder = make(tmp_path / "c", cam=cam)
    with Collection.open(folder) as collection:
        older = arrays.load_arrays(collection)
        assert older.database.coded == ()
        monkeypatch.setattr(arrays, "MIN_QUANTIZED_PHOTOS", 10)
        newer = arrays.load_arrays(collection)
        assert newer.folder == older.folder
        assert arrays.remove_damaged_arrays(collection) is None
    sides = 2 if cam else 1
    assert [each.quantizer.norm for each in newer.database.coded] == ["euclidean"] * sides
    with writing(folder) as writer:
        describe(writer, 90, cam=cam)
        appended = arrays.load_arrays(writer.collection).database
    assert [len(each.codes) for each in appended.coded] == [len(appended.ids)] * sides
    for each, rows in zip(appended.coded, (appended.global_, appended.local), strict=False):
        assert rows is not None
        again = encode(np.asarray(rows), each.quantizer)
        np.testing.assert_array_equal(each.codes, again.codes)
        np.testing.assert_array_equal(each.outliers, again.outliers)
