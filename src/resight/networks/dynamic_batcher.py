"""Dynamic batching of images that several threads compute at the same time.

One image does not occupy a GPU. The thread that finds the GPU free computes a batch of waiting
images of equal shape, while later images gather for the next. No image waits for a full batch.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

FeatureMaps = dict[str, np.ndarray]


class DynamicBatcher:
    """Calls a function of a batch for single images from many threads."""

    def __init__(
        self, compute: Callable[[list[np.ndarray]], list[FeatureMaps]], max_batch: int
    ) -> None:
        """Wrap a function of up to `max_batch` images of one shape, run by one thread at a time."""
        self._compute = compute
        self._max_batch = max_batch
        self._queue: list[tuple[np.ndarray, Future[FeatureMaps]]] = []
        self._queue_lock = threading.Lock()
        self._compute_lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> FeatureMaps:
        """Compute the maps of an image, together with waiting images of its shape."""
        future: Future[FeatureMaps] = Future()
        with self._queue_lock:
            self._queue.append((image, future))
        while not future.done():
            with self._compute_lock:
                if not future.done():  # by the thread before
                    self._compute_next()
        return future.result()

    def _compute_next(self) -> None:
        """Compute the image that has waited longest, and others of its shape."""
        with self._queue_lock:
            shape = self._queue[0][0].shape
            batch = [entry for entry in self._queue if entry[0].shape == shape][: self._max_batch]
            taken = {id(future) for _, future in batch}
            self._queue = [entry for entry in self._queue if id(entry[1]) not in taken]
        try:
            results = self._compute([image for image, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            raise
        for (_, future), maps in zip(batch, results, strict=True):
            future.set_result(maps)
