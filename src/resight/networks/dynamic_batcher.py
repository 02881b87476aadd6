"""Pictures that come from several threads at the same time, computed together.

A GPU is idle for most of a single picture. Whoever finds it free computes what waits, as far as it
has the same shape; what comes meanwhile waits together for the next turn. So nothing waits for a
batch to be full.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

Maps = dict[str, np.ndarray]


class Batches:
    """A function of many pictures as one of a single picture, to be called from many threads."""

    def __init__(self, compute: Callable[[list[np.ndarray]], list[Maps]], most: int) -> None:
        """Take what computes up to `most` pictures of one shape, in one thread at a time."""
        self._compute, self._most = compute, most
        self._waiting: list[tuple[np.ndarray, Future[Maps]]] = []
        self._entering, self._turn = threading.Lock(), threading.Lock()

    def one(self, picture: np.ndarray) -> Maps:
        """The maps of a picture, computed with others of its shape that wait."""
        mine: Future[Maps] = Future()
        with self._entering:
            self._waiting.append((picture, mine))
        while not mine.done():
            with self._turn:
                if not mine.done():  # by the one before
                    self._next()
        return mine.result()

    def _next(self) -> None:
        """Compute the picture that waits for longest, and others of its shape."""
        with self._entering:
            shape = self._waiting[0][0].shape
            batch = [entry for entry in self._waiting if entry[0].shape == shape][: self._most]
            taken = {id(future) for _, future in batch}
            self._waiting = [entry for entry in self._waiting if id(entry[1]) not in taken]
        try:
            found = self._compute([picture for picture, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            raise
        for (_, future), maps in zip(batch, found, strict=True):
            future.set_result(maps)
