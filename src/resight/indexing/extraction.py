"""What becomes of photo files: read, decoded and described, or failed for a reason."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from resight.descriptors.extractor import Description, Extractor
from resight.errors import ImageError
from resight.memory import release_unused_memory
from resight.photos.files import PhotoFile
from resight.photos.images import MAX_FILE_BYTES, image_size, load_image
from resight.photos.remote import open_photo
from resight.prefetch import prefetch

LARGE_PIXELS = 16_000_000
"""Photos with more pixels are decoded one at a time, which bounds the memory of many workers."""

RELEASE_EVERY = 8
"""Photos after which freed memory is given back."""


@dataclass(frozen=True)
class PhotoResult:
    """What became of a file.

    Attributes:
        file: as it was found.
        content: its SHA-256, None if it could not be read.
        pixels: width and height, upright, None if it failed.
        description: None if it failed, or if its content was described before.
        reason: why it failed.
    """

    file: PhotoFile
    content: str | None = None
    pixels: tuple[int, int] | None = None
    description: Description | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Loaded:
    """What a worker made of a file: `prepared`, unless its content is known or it failed."""

    outcome: PhotoResult
    prepared: Any = None


def describe_files(
    files: Sequence[PhotoFile], extractor: Extractor, *, known: AbstractSet[str], workers: int
) -> Iterator[PhotoResult]:
    """Load and describe files in order, ahead of the consumer; each content once.

    While the network works on one photo, the next ones are loaded and the one before is pooled.

    Args:
        files: the photos.
        extractor: of the method.
        known: contents that are not described again.
        workers: threads that read, decode and prepare photos while the network works.
    """
    large = threading.Lock()

    def load(file: PhotoFile) -> _Loaded:
        return _load(file, known, extractor, large)

    def describe(loaded: _Loaded) -> PhotoResult:
        if loaded.prepared is None:
            return loaded.outcome
        return replace(loaded.outcome, description=extractor.describe(loaded.prepared))

    loaded = _each_content_once(prefetch(load, files, workers, "photos"), set(known))
    for done, outcome in enumerate(
        prefetch(describe, loaded, extractor.concurrency + 1, "maps"), 1
    ):
        yield outcome
        if done % RELEASE_EVERY == 0:
            release_unused_memory()


def _each_content_once(photos: Iterable[_Loaded], known: set[str]) -> Iterator[_Loaded]:
    """The photos, prepared only where their content is not known and did not come before."""
    for loaded in photos:
        if loaded.outcome.content in known:
            yield replace(loaded, prepared=None)
        else:
            if loaded.prepared is not None:
                known.add(str(loaded.outcome.content))
            yield loaded


def _load(
    file: PhotoFile, known: AbstractSet[str], extractor: Extractor, large: threading.Lock
) -> _Loaded:
    content = None
    if file.size > MAX_FILE_BYTES:
        reason = f"larger than the limit of {MAX_FILE_BYTES >> 20} MiB"
        return _Loaded(PhotoResult(file, reason=reason))
    try:
        with open_photo(file.path) as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
            opened.seek(0)
            found = PhotoResult(file, content, image_size(opened))
            if content in known:
                return _Loaded(found)
            opened.seek(0)
            width, height = found.pixels or (0, 0)
            if width * height <= LARGE_PIXELS:
                return _Loaded(found, extractor.prepare(load_image(opened, extractor.decode_size)))
            with large:
                return _Loaded(found, extractor.prepare(load_image(opened, extractor.decode_size)))
    except ImageError as error:
        return _Loaded(PhotoResult(file, content, reason=str(error)))
    except OSError as error:
        return _Loaded(PhotoResult(file, content, reason=error.strerror or str(error)))
