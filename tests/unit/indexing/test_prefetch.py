"""Stages side by side: in order, a few items ahead and no more, ended with their consumer."""

import threading
from collections.abc import Iterator

import pytest

from resight.indexing.extraction import prefetch


def test_what_takes_longer_still_comes_in_its_turn() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(30)
        if item == 1:
            second_is_done.set()
        return item * 10

    assert list(prefetch(work, range(5), threads=2)) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_is_taken_than_is_worked_on_and_one_that_waits(threads: int) -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = prefetch(abs, items(), threads)
    assert taken == []
    for received in range(1, 4):
        next(results)
        assert len(taken) == received + threads
    results.close()
    assert len(taken) == 3 + threads


def test_stages_work_at_the_same_time() -> None:
    # Passed only while the second stage has one item and the first stage the next.
    both = threading.Barrier(2, timeout=30)

    def first(item: int) -> int:
        if item > 0:
            both.wait()
        return item

    def second(item: int) -> int:
        if item < 3:
            both.wait()
        return item

    assert list(prefetch(second, prefetch(first, range(4), 1), 1)) == [0, 1, 2, 3]


def test_an_error_comes_in_its_turn_and_ends_the_work() -> None:
    begun = []

    def work(item: int) -> int:
        begun.append(item)
        return 1 // (item - 2)

    results = prefetch(work, range(100), threads=1)
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(begun) <= 4
    assert list(results) == []
