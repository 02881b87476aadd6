"""Describe varied copies of a sample of photos, to which a collection's descriptors adapt."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from resight.collection import Collection
from resight.collection.writer import Writer
from resight.descriptors.extractor import Extractor
from resight.errors import ImageError
from resight.indexing.extraction import prefetch
from resight.photos.images import load_image
from resight.progress import Progress
from resight.reductions.wccn import Variations

DEFAULT_SIDE = 1024
"""Longest side of the copies for methods that describe a photo at its full size."""


def describe_copies(
    writer: Writer,
    sample: Mapping[str, Path],
    copies: int,
    load: Callable[[], Extractor],
    progress: Progress,
) -> None:
    """Describe varied copies of photos, except those that the collection holds already.

    Copies depend on the photo's content only, and are recorded one photo at a time, so that a run
    that was killed resumes. Photos that cannot be read any more are left out.

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

    def vary(item: tuple[str, Path]) -> tuple[str, list[object]]:
        content, path = item
        try:
            image = load_image(path, extractor.decode_size)
        except ImageError:
            return content, []
        varied = varied_copies(image, copies, side, seed=int(content[:8], 16))
        return content, [extractor.prepare(copy) for copy in varied]

    def describe(item: tuple[str, list[object]]) -> tuple[str, np.ndarray]:
        content, prepared = item
        return content, np.array([extractor.describe(copy).global_ for copy in prepared])

    varied = prefetch(vary, missing.items(), os.cpu_count() or 1, "variations")
    for done, (content, descriptors) in enumerate(
        prefetch(describe, varied, extractor.concurrency + 1, "maps"), 1
    ):
        if len(descriptors):
            writer.record_copies(content, descriptors)
        progress("adapting", done, len(missing))


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
