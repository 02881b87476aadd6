"""Stages that work side by side: the next items are computed while one is consumed."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(
    function: Callable[[T], R], items: Iterable[T], threads: int, name: str = "ahead"
) -> Iterator[R]:
    """`map(function, items)`, computed in threads, so many items ahead of the consumer.

    Items are taken in order, in the consumer's thread, as they are needed; what is given is in
    their order, too. So stages can stand one behind the other. Where the consumer stops, items
    that were not begun are dropped, and those that were are waited for.

    Args:
        function: of one item, to be called from other threads.
        items: may be endless.
        threads: items computed at the same time.
        name: of the threads.

    >>> list(ahead(abs, [-3, 2, -1], threads=2))
    [3, 2, 1]
    """
    waiting: collections.deque[Future[R]] = collections.deque()
    with ThreadPoolExecutor(threads, thread_name_prefix=name) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
