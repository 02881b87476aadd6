"""Describe varied copies of a sample of photos, to which a collection's descriptors adapt."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from resight.collection import Collection
from resight.collection.writer import Writer
from resight.descriptors.extractor import Extractor
from resight.errors import ImageError
from resight.indexing.extraction import LARGE_PIXELS, RELEASE_INTERVAL, prefetch
from resight.memory import release_unused_memory
from resight.photos import open_photo
from resight.photos.images import image_size, load_image
from resight.progress import Progress
from resight.reductions.wccn import Variations

DEFAULT_SIDE = 1024
"""Longest side of the copies for methods that describe a photo at its full size."""
MAX_THREADS = 8
"""Threads that make copies; each holds those of one photo."""


def describe_copies(
    writer: Writer,
    sample: Mapping[str, Path],
    copies: int,
    load: Callable[[], Extractor],
    progress: Progress,
) -> None:
    """Describe varied copies of photos, skipping photos whose copies are already stored.

    Copies depend on the photo's content only, and are recorded one photo at a time, so that a run
    that was killed resumes. Photos that cannot be read any more, or whose file has changed, are
    left out.

    Args:
        writer: of the collection of the photos.
        sample: contents and a photo of each.
        copies: number of copies of a photo.
        load: loads the collection's extractor; called if anything is missing.
        progress: called after each photo.
    """
    missing = {c: path for c, path in sample.items() if not _has(writer.collection, c, copies)}
    if not missing:
        return
    from resight.photos.variations import varied_copies  # imports OpenCV

    extractor = load()
    side = (extractor.decode_size or 2 * DEFAULT_SIDE) // 2
    decoding_large = threading.Lock()

    def vary(item: tuple[str, Path]) -> tuple[str, list[object]]:
        content, path = item
        image = _load(path, content, extractor.decode_size, decoding_large)
        if image is None:
            return content, []
        varied = varied_copies(image, copies, side, seed=int(content[:8], 16))
        return content, [extractor.prepare(copy) for copy in varied]

    def describe(item: tuple[str, list[object]]) -> tuple[str, np.ndarray]:
        content, prepared = item
        try:
            return content, np.array([extractor.describe(copy).global_ for copy in prepared])
        except ImageError:  # not finite: left out like a photo that cannot be read
            return content, np.array([])

    threads = min(os.cpu_count() or 1, MAX_THREADS)
    varied = prefetch(vary, missing.items(), threads, "variations")
    for done, (content, descriptors) in enumerate(
        prefetch(describe, varied, extractor.concurrency + 1, "maps"), 1
    ):
        if len(descriptors):
            writer.record_copies(content, descriptors)
        progress("adapting", done, len(missing))
        if done % RELEASE_INTERVAL == 0:
            release_unused_memory()


def variations_of(collection: Collection, sample: Iterable[str], copies: int) -> Variations:
    """Return what yields the descriptors of sampled photos and of their copies."""
    contents = list(sample)

    def variations() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for content in contents:
            stored, varied = collection.descriptors(content), collection.copies(content)
            if stored is not None and varied is not None:
                yield stored.global_, varied[:copies]

    return variations


def _has(collection: Collection, content: str, copies: int) -> bool:
    varied = collection.copies(content)
    return varied is not None and len(varied) >= copies


def _load(
    path: Path, content: str, decode_size: int | None, decoding_large: threading.Lock
) -> Image.Image | None:
    """Decode a photo; None if it cannot be read, or if its file has another content by now."""
    try:
        with open_photo(path) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != content:
                return None
            stream.seek(0)
            width, height = image_size(stream)
            stream.seek(0)
            large = width * height > LARGE_PIXELS
            with decoding_large if large else contextlib.nullcontext():
                return load_image(stream, decode_size)
    except (ImageError, OSError):
        return None
