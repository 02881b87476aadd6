"""Sums of absolute differences of bytes, compiled by Numba, for one query or several at once.

OpenCV reads the database once for every query. Here each row meets eight queries while it is in the
registers, which is several times faster for many queries. The loop is written in LLVM's own terms,
with vectors of 64 bytes, because compilers make the processor's instruction for such sums
(`psadbw` on x86, `uabdl` and its like on ARM) of exactly this pattern and of little else.
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
BLOCK_ROWS = 32
"""Rows that stay in the first cache while all queries pass."""
FARTHEST = 2**31 - 1
"""A sum that is larger than any."""

INT32, INT64 = ir.IntType(32), ir.IntType(64)
BYTES = ir.VectorType(ir.IntType(8), LANES)
SUMS = ir.VectorType(INT32, LANES)


def _sums_of(count: int) -> Any:
    """A function of Numba's for the sums of one row and so many queries.

    It takes codes (N, D), a row, queries (Q, D) and the first of the queries, and gives a tuple of
    int32: the sums over the values that fill whole vectors.
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
        totals = _compare(builder, values, others, width)
        return context.make_tuple(builder, signature.return_type, totals)

    @intrinsic  # type: ignore[untyped-decorator]
    def sums(context: Any, codes: Any, row: Any, queries: Any, first: Any) -> Any:
        return types.UniTuple(types.int32, count)(codes, row, queries, first), generate

    return sums


def _compare(builder: Any, row: Any, others: Any, width: Any) -> list[Any]:
    """The sums of one row and some others, over the values that fill whole vectors.

    Args:
        builder: of LLVM's instructions.
        row: where its values start.
        others: where theirs start.
        width: values of each.
    """

    def load(start: Any, place: Any) -> Any:
        where = builder.gep(start, [place])
        values = builder.load(builder.bitcast(where, BYTES.as_pointer()), align=1)
        return builder.zext(values, SUMS)

    def function(name: str, *kinds: Any) -> Any:
        kind = ir.FunctionType(kinds[0], kinds[1:])
        return cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}i32")

    absolute = function("abs", SUMS, SUMS, ir.IntType(1))
    total = function("vector.reduce.add", INT32, SUMS)
    sums = [cgutils.alloca_once_value(builder, SUMS([0] * LANES)) for _ in others]
    # Said in this way, the loop is not unrolled, which would hide the pattern.
    end = builder.sub(width, INT64(LANES - 1))
    with cgutils.for_range_slice(builder, INT64(0), end, INT64(LANES)) as (place, _):
        here = load(row, place)
        for other, so_far in zip(others, sums, strict=True):
            difference = builder.sub(here, load(other, place))
            apart = builder.call(absolute, [difference, ir.IntType(1)(0)])
            builder.store(builder.add(builder.load(so_far), apart), so_far)
    return [builder.call(total, [builder.load(so_far)]) for so_far in sums]


_sums_of_some, _sum_of_one = _sums_of(TOGETHER), _sums_of(1)


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _replace_farthest(sums: Any, rows: Any, here: Any, row: Any) -> None:
    """Put a row in place of the farthest one, which is the first of the heap."""
    place = 0
    while 2 * place + 1 < len(sums):
        child = 2 * place + 1
        if child + 1 < len(sums) and sums[child + 1] > sums[child]:
            child += 1
        if sums[child] <= here:
            break
        sums[place], rows[place] = sums[child], rows[child]
        place = child
    sums[place], rows[place] = here, row


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_units(here: Any, units: Any) -> Any:
    for byte in units:
        here += np.int32(byte)
    return here


@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _keep_if_near(query: Any, code: Any, sums: Any, rows: Any, here: Any, row: Any) -> None:
    """Keep a row among the nearest of a query, if it still is with the values left over."""
    for j in range(len(code) & -LANES, len(code)):
        here += abs(np.int32(code[j]) - np.int32(query[j]))
    if here < sums[0]:
        _replace_farthest(sums, rows, here, row)


_BYTES_2D = types.Array(types.uint8, 2, "C", readonly=True)
_KEPT = types.int64[:, ::1], types.int32[:, ::1]
_KEEP = types.void(_BYTES_2D, _BYTES_2D, _BYTES_2D, *_KEPT)
_SOME = types.Array(types.int64, 1, "C", readonly=True)
_KEEP_OF_SOME = types.void(_BYTES_2D, _BYTES_2D, _BYTES_2D, _SOME, *_KEPT)


@njit(_KEEP, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _keep_nearest(queries: Any, codes: Any, units: Any, rows: Any, sums: Any) -> None:
    """Fill `rows` and `sums` (Q, k) with the nearest of each of the first Q queries.

    Each query's are a heap, the farthest first. There are queries beyond the Q where those are no
    multiple of `TOGETHER`.
    """
    count = len(codes)
    apart = np.empty((TOGETHER, BLOCK_ROWS), np.int32)
    for low in range(0, count, BLOCK_ROWS):
        high = min(low + BLOCK_ROWS, count)
        for first in range(0, len(queries), TOGETHER):
            for row in range(low, high):
                found = _sums_of_some(codes, row, queries, first)
                more = _add_units(np.int32(0), units[row])
                for i in range(TOGETHER):
                    apart[i, row - low] = found[i] + more
            for query in range(first, min(first + TOGETHER, len(sums))):
                for row in range(low, high):
                    here = apart[query - first, row - low]
                    if here >= sums[query, 0]:
                        continue  # what is left over can only add to it
                    _keep_if_near(queries[query], codes[row], sums[query], rows[query], here, row)


@njit(_KEEP, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _keep_nearest_of_one(queries: Any, codes: Any, units: Any, rows: Any, sums: Any) -> None:
    """The same for one query, as fast as the codes come from memory."""
    for row in range(len(codes)):
        (here,) = _sum_of_one(codes, row, queries, 0)
        here = _add_units(here, units[row])
        if here >= sums[0, 0]:
            continue
        _keep_if_near(queries[0], codes[row], sums[0], rows[0], here, row)


@njit(_KEEP_OF_SOME, cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _keep_nearest_of_some(
    queries: Any, codes: Any, units: Any, some: Any, rows: Any, sums: Any
) -> None:
    """The same for one query and some of the rows."""
    for row in some:
        (here,) = _sum_of_one(codes, row, queries, 0)
        here = _add_units(here, units[row])
        if here < sums[0, 0]:
            _keep_if_near(queries[0], codes[row], sums[0], rows[0], here, row)


def nearest_rows(
    queries: np.ndarray, codes: np.ndarray, units: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k rows nearest to each query.

    Args:
        queries: uint8 (Q, D).
        codes: uint8 (N, D).
        units: uint8 (N, U), added to the sums of each row.
        k: from 1 to N.

    Returns:
        Rows int64 (Q, k), and the sums int32 (Q, k), ascending.
    """
    keep, filled = _keep_nearest_of_one, queries
    if len(queries) > 1:
        keep, filled = _keep_nearest, _filled(queries)
    rows, sums = _nothing_yet(len(queries), k)
    keep(filled, np.ascontiguousarray(codes), np.ascontiguousarray(units), rows, sums)
    each, order = np.arange(len(rows))[:, None], np.argsort(sums, axis=1)
    return rows[each, order], sums[each, order]


def nearest_of_some(
    query: np.ndarray, codes: np.ndarray, units: np.ndarray, some: np.ndarray, k: int
) -> np.ndarray:
    """The k of some rows that are nearest to a query, in no order.

    Args:
        query: uint8 (1, D).
        codes: uint8 (N, D).
        units: uint8 (N, U).
        some: rows int64 (n,).
        k: from 1 to n.
    """
    rows, sums = _nothing_yet(1, k)
    _keep_nearest_of_some(query, codes, units, some, rows, sums)
    return rows[0]


def _nothing_yet(queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Heaps of rows int64 (Q, k) and sums int32 (Q, k) that anything is nearer than."""
    return np.zeros((queries, k), np.int64), np.full((queries, k), FARTHEST, np.int32)


def _filled(queries: np.ndarray) -> np.ndarray:
    """Queries (Q, D) and more of them, to a multiple of `TOGETHER`.

    They start where a vector does: one that lies in two lines of the cache is loaded twice.
    """
    count, values = len(queries) + -len(queries) % TOGETHER, queries.shape[1]
    memory = np.empty(count * values + LANES, np.uint8)
    start = -memory.ctypes.data % LANES
    filled = memory[start : start + count * values].reshape(count, values)
    filled[: len(queries)], filled[len(queries) :] = queries, queries[-1]
    return filled
