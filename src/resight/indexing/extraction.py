"""The extraction loop: read, decode, prepare and describe photos, with prefetching.

It serves index runs, `describe`, benchmarks and the workers of a cluster.
"""

import collections
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from PIL import Image
from threadpoolctl import threadpool_limits

from resight.errors import ImageError
from resight.memory import release_unused_memory
from resight.photos import open_photo
from resight.photos.files import PhotoFile
from resight.photos.images import MAX_FILE_BYTES, image_size, load_image

LARGE_PIXELS = 16_000_000
"""Larger photos are decoded one at a time, which bounds the memory of many workers."""

RELEASE_INTERVAL = 8
"""Number of photos after which freed memory is returned to the system."""

T = TypeVar("T")
R = TypeVar("R")
D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True)
class PhotoResult(Generic[D]):
    """The result of extracting one photo file.

    Attributes:
        file: the photo file.
        content: SHA-256 of the file; None if it could not be read.
        pixels: upright width and height; None on failure.
        description: None on failure, and if the content was described before.
        reason: why it failed.
    """

    file: PhotoFile
    content: str | None = None
    pixels: tuple[int, int] | None = None
    description: D | None = None
    reason: str | None = None


class PhotoDescriber(Protocol[D_co]):
    """The part of an extractor that the loop needs; see `descriptors.extractor`."""

    @property
    def decode_size(self) -> int | None: ...  # noqa: D102

    @property
    def concurrency(self) -> int: ...  # noqa: D102

    def prepare(self, image: Image.Image) -> Any: ...  # noqa: D102

    def describe(self, prepared: Any) -> D_co: ...  # noqa: D102


def extract_photos(
    files: Sequence[PhotoFile],
    extractor: PhotoDescriber[D],
    *,
    cached: AbstractSet[str] = frozenset(),
    workers: int = 1,
) -> Iterator[PhotoResult[D]]:
    """Extract photos in order, each content once.

    While the network computes one photo, the next are loaded and the previous one is pooled.

    Args:
        files: the photos.
        extractor: prepares images and describes them.
        cached: contents (SHA-256) that are already described.
        workers: threads that read, decode and prepare photos.
    """
    decoding_large = threading.Lock()

    def load(file: PhotoFile) -> tuple[PhotoResult[D], Any]:
        return _load(file, extractor, cached, decoding_large)

    def describe(loaded: tuple[PhotoResult[D], Any]) -> PhotoResult[D]:
        result, prepared = loaded
        if prepared is None:
            return result
        try:
            return replace(result, description=extractor.describe(prepared))
        except ImageError as error:
            return replace(result, reason=str(error))

    loaded = _without_duplicates(prefetch(load, files, workers, "photos"), cached)
    results = prefetch(describe, loaded, extractor.concurrency + 1, "maps")
    # More threads of linear algebra would spin while they wait, a third of all time.
    with threadpool_limits(1, "blas"):
        for number, result in enumerate(results, 1):
            yield result
            if number % RELEASE_INTERVAL == 0:
                release_unused_memory()


def _without_duplicates(
    loaded: Iterable[tuple[PhotoResult[D], Any]], cached: AbstractSet[str]
) -> Iterator[tuple[PhotoResult[D], Any]]:
    """Yield results with prepared images, None where the content has occurred before."""
    contents = set(cached)
    for result, prepared in loaded:
        if prepared is not None and result.content not in contents:
            contents.add(str(result.content))
            yield result, prepared
        else:
            yield result, None


def _load(
    file: PhotoFile,
    extractor: PhotoDescriber[D],
    cached: AbstractSet[str],
    decoding_large: threading.Lock,
) -> tuple[PhotoResult[D], Any]:
    """Read and hash a file; decode and prepare it unless its content is cached."""
    content = None
    if file.size > MAX_FILE_BYTES:
        reason = f"larger than the limit of {MAX_FILE_BYTES >> 20} MiB"
        return PhotoResult(file, reason=reason), None
    try:
        with open_photo(file.path) as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0)
            width, height = image_size(stream)
            result: PhotoResult[D] = PhotoResult(file, content, (width, height))
            if content in cached:
                return result, None
            stream.seek(0)
            large = width * height > LARGE_PIXELS
            with decoding_large if large else contextlib.nullcontext():
                return result, extractor.prepare(load_image(stream, extractor.decode_size))
    except ImageError as error:
        return PhotoResult(file, content, reason=str(error)), None
    except OSError as error:
        return PhotoResult(file, content, reason=error.strerror or str(error)), None


def prefetch(
    function: Callable[[T], R], items: Iterable[T], threads: int, name: str = "prefetch"
) -> Iterator[R]:
    """Compute `map(function, items)` in threads, up to `threads` items ahead of the consumer.

    Items are taken in the consumer's thread and results keep their order, so that stages can be
    chained. When the consumer stops, items that have not started are dropped, and others awaited.

    >>> list(prefetch(abs, [-3, 2, -1], threads=2))
    [3, 2, 1]
    """
    pending: collections.deque[Future[R]] = collections.deque()
    with ThreadPoolExecutor(threads, thread_name_prefix=name) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
