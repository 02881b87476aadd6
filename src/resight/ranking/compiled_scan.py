"""Distances of bytes, compiled by Numba, for one query or several at once.

OpenCV reads the database once for every query. Here each row meets eight queries while it is in the
registers, which is several times faster for many queries. The loop is written in LLVM's own terms,
because compilers make the processor's instructions for sums of absolute differences of bytes
(`psadbw` on x86, `uabdl` and its like on ARM) and of squared ones (`vpdpwssd` or `pmaddwd` on x86)
of exactly this pattern, with vectors of this length, and of little else.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

TOGETHER = 8
"""Queries that a row meets at once."""
LANES = 64
"""Bytes that are compared at once, where the processor can."""
SQUARED_LANES = 32
"""The same for squared differences, which take twice the room."""
AHEAD = 4096
"""Bytes that a scan for one query prefetches ahead. Processors do not prefetch across pages."""
BLOCK_ROWS = 32
"""Rows that stay in the first cache while all queries pass."""
FARTHEST = 2**31 - 1
"""A sum that is larger than any."""

INT32, INT64 = ir.IntType(32), ir.IntType(64)


def _sums_of(count: int, *, squared: bool = False, ahead: int = 0) -> Any:
    """Return a Numba function for the sums of one row and `count` queries.

    It takes codes (N, D), a row, queries (Q, D) and the first of the queries, and returns a tuple
    of int32: the sums over the values that fill whole vectors. It prefetches the bytes that are
    `ahead`, unless that is 0.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        codes, row, queries, first = arguments

        def start_of(kind: Any, array: Any, index: Any) -> tuple[Any, Any]:
            opened = context.make_array(kind)(context, builder, array)
            width = builder.extract_value(opened.shape, 1)
            return builder.gep(opened.data, [builder.mul(index, width)]), width

        database_kind, _, query_kind, _ = signature.args
        values, width = start_of(database_kind, codes, row)
        others = [
            start_of(query_kind, queries, builder.add(first, INT64(i)))[0] for i in range(count)
        ]
        totals = _compare(builder, values, others, width, squared, ahead)
        return context.make_tuple(builder, signature.return_type, totals)

    @intrinsic  # type: ignore[untyped-decorator]
    def sums(context: Any, codes: Any, row: Any, queries: Any, first: Any) -> Any:
        return types.UniTuple(types.int32, count)(codes, row, queries, first), generate

    return sums


def _compare(
    builder: Any, row: Any, others: Any, width: Any, squared: bool, ahead: int
) -> list[Any]:
    """Sum the (squared) differences of one row to others, over values that fill whole vectors.

    Rows are addresses of their first values; `width` is their length.
    """
    lanes = SQUARED_LANES if squared else LANES
    numbers, vector = ir.VectorType(ir.IntType(8), lanes), ir.VectorType(INT32, lanes)

    def load(start: Any, place: Any) -> Any:
        where = builder.gep(start, [place])
        values = builder.load(builder.bitcast(where, numbers.as_pointer()), align=1)
        return builder.zext(values, vector)

    def function(name: str, *kinds: Any) -> Any:
        kind = ir.FunctionType(kinds[0], kinds[1:])
        return cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{lanes}i32")

    absolute = function("abs", vector, vector, ir.IntType(1))
    total = function("vector.reduce.add", INT32, vector)
    sums = [cgutils.alloca_once_value(builder, vector([0] * lanes)) for _ in others]
    # Written in this way, the loop is not unrolled, which would hide the pattern.
    end = builder.sub(width, INT64(lanes - 1))
    with cgutils.for_range_slice(builder, INT64(0), end, INT64(lanes)) as (place, _):
        if ahead:
            _prefetch(builder, builder.gep(row, [builder.add(place, INT64(ahead))]))
        values = load(row, place)
        for other, partial in zip(others, sums, strict=True):
            difference = builder.sub(values, load(other, place))
            if squared:
                distance = builder.mul(difference, difference)
            else:
                distance = builder.call(absolute, [difference, ir.IntType(1)(0)])
            builder.store(builder.add(builder.load(partial), distance), partial)
    return [builder.call(total, [builder.load(partial)]) for partial in sums]


def _prefetch(builder: Any, address: Any) -> None:
    """Prefetch the line of the cache at an address for reading; any address will do."""
    kind = ir.FunctionType(ir.VoidType(), [address.type, INT32, INT32, INT32])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
    builder.call(prefetch, [address, INT32(0), INT32(3), INT32(1)])


_sums_of_some, _sum_of_one = _sums_of(TOGETHER), _sums_of(1)
_next_sum, _next_squares = _sums_of(1, ahead=AHEAD), _sums_of(1, squared=True, ahead=AHEAD)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _replace_farthest(sums: Any, rows: Any, total: Any, row: Any) -> None:
    """Replace the farthest row, the first of the heap."""
    place = 0
    while 2 * place + 1 < len(sums):
        child = 2 * place + 1
        if child + 1 < len(sums) and sums[child + 1] > sums[child]:
            child += 1
        if sums[child] <= total:
            break
        sums[place], rows[place] = sums[child], rows[child]
        place = child
    sums[place], rows[place] = total, row


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_slack(total: Any, slack: Any) -> Any:
    for byte in slack:
        total += np.int32(byte)
    return total


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _insert_if_near(
    query: Any, code: Any, squared: Any, sums: Any, rows: Any, total: Any, row: Any
) -> None:
    """Insert a row into the heap of a query, if it is near enough with the remaining values."""
    for j in range(len(code) & -(SQUARED_LANES if squared else LANES), len(code)):
        difference = abs(np.int32(code[j]) - np.int32(query[j]))
        total += difference * difference if squared else difference
    if total < sums[0]:
        _replace_farthest(sums, rows, total, row)


_BYTES_2D = types.Array(types.uint8, 2, "C", readonly=True)
_HEAPS = types.int64[:, ::1], types.int32[:, ::1]
_SCAN = types.void(_BYTES_2D, _BYTES_2D, _BYTES_2D, *_HEAPS)
_SCAN_FOR_ONE = types.void(_BYTES_2D, _BYTES_2D, _BYTES_2D, types.boolean, *_HEAPS)
_ROWS = types.Array(types.int64, 1, "C", readonly=True)
_SCAN_CANDIDATES = types.void(_BYTES_2D, _BYTES_2D, _BYTES_2D, _ROWS, *_HEAPS)


@njit(_SCAN, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _scan(queries: Any, codes: Any, slack: Any, rows: Any, sums: Any) -> None:
    """Fill `rows` and `sums` (Q, k) with the nearest of each of the first Q queries.

    Each query has a heap, the farthest first. The queries are padded to a multiple of `TOGETHER`.
    """
    count = len(codes)
    totals = np.empty((TOGETHER, BLOCK_ROWS), np.int32)
    for low in range(0, count, BLOCK_ROWS):
        high = min(low + BLOCK_ROWS, count)
        for first in range(0, len(queries), TOGETHER):
            for row in range(low, high):
                differences = _sums_of_some(codes, row, queries, first)
                more = _add_slack(np.int32(0), slack[row])
                for i in range(TOGETHER):
                    totals[i, row - low] = differences[i] + more
            for query in range(first, min(first + TOGETHER, len(sums))):
                for row in range(low, high):
                    total = totals[query - first, row - low]
                    if total >= sums[query, 0]:
                        continue  # the remaining values can only add to it
                    heap = sums[query], rows[query]
                    _insert_if_near(queries[query], codes[row], False, *heap, total, row)


@njit(_SCAN_FOR_ONE, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _scan_for_one(queries: Any, codes: Any, slack: Any, squared: Any, rows: Any, sums: Any) -> None:
    """Scan for one query, as fast as the codes come from memory."""
    for row in range(len(codes)):
        if squared:
            (total,) = _next_squares(codes, row, queries, 0)
        else:
            (total,) = _next_sum(codes, row, queries, 0)
        total = _add_slack(total, slack[row])
        if total < sums[0, 0]:
            _insert_if_near(queries[0], codes[row], squared, sums[0], rows[0], total, row)


@njit(_SCAN_CANDIDATES, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _scan_candidates(
    queries: Any, codes: Any, slack: Any, candidates: Any, rows: Any, sums: Any
) -> None:
    """Scan some rows for one query."""
    for row in candidates:
        (total,) = _sum_of_one(codes, row, queries, 0)
        total = _add_slack(total, slack[row])
        if total < sums[0, 0]:
            _insert_if_near(queries[0], codes[row], False, sums[0], rows[0], total, row)


def nearest_rows(
    queries: np.ndarray, codes: np.ndarray, slack: np.ndarray, k: int, squared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows nearest to each query; see `quantized.shortlist`."""
    codes, slack = np.ascontiguousarray(codes), np.ascontiguousarray(slack)
    rows, sums = _empty_heaps(len(queries), k)
    if squared or len(queries) == 1:
        for i in range(len(queries)):
            one = slice(i, i + 1)
            _scan_for_one(queries[one], codes, slack, squared, rows[one], sums[one])
    else:
        _scan(_pad(queries), codes, slack, rows, sums)
    each, order = np.arange(len(rows))[:, None], np.argsort(sums, axis=1)
    return rows[each, order], sums[each, order]


def nearest_of_some(
    query: np.ndarray, codes: np.ndarray, slack: np.ndarray, candidates: np.ndarray, k: int
) -> np.ndarray:
    """Find the k candidates, rows int64 (n,), nearest to a query uint8 (1, D), in no order."""
    rows, sums = _empty_heaps(1, k)
    _scan_candidates(query, codes, slack, candidates, rows, sums)
    return rows[0]


def _empty_heaps(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return heaps of rows int64 (Q, k) and sums int32 (Q, k), to which any row is added."""
    return np.zeros((queries, k), np.int64), np.full((queries, k), FARTHEST, np.int32)


def _pad(queries: np.ndarray) -> np.ndarray:
    """Pad queries (Q, D) to a multiple of `TOGETHER`, aligned with the lines of the cache."""
    count, values = len(queries) + -len(queries) % TOGETHER, queries.shape[1]
    memory = np.empty(count * values + LANES, np.uint8)
    start = -memory.ctypes.data % LANES
    padded = memory[start : start + count * values].reshape(count, values)
    padded[: len(queries)], padded[len(queries) :] = queries, queries[-1]
    return padded
