"""Make the evidence of photos in an index run: along with their descriptors, or later."""

import os
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from resight.collection.writer import Writer
from resight.descriptors.extractor import Description, Extractor
from resight.evidence import LONGEST_SIDE, Evidence
from resight.evidence.encoding import is_current, to_bytes
from resight.indexing.extraction import extract_photos
from resight.photos.files import PhotoFile
from resight.progress import Progress

MIN_WORKERS = min(os.cpu_count() or 1, 2)
"""Fewest threads that prepare photos: local features take about as long as the network does."""


@dataclass(frozen=True)
class WithEvidence:
    """An extractor that adds its evidence to each photo's description."""

    extractor: Extractor

    @property
    def decode_size(self) -> int | None:
        """As the extractor's: evidence must not change descriptors."""
        return self.extractor.decode_size

    @property
    def concurrency(self) -> int:
        """As the extractor's."""
        return self.extractor.concurrency

    def prepare(self, image: Image.Image) -> tuple[Any, Evidence]:
        """Prepare an image, and return its evidence without columns with it."""
        from resight.evidence.extraction import extract_evidence  # imports OpenCV

        return self.extractor.prepare(image), extract_evidence(image)

    def describe(self, prepared: tuple[Any, Evidence]) -> Description:
        """Compute the descriptors of a prepared image, and add the columns to its evidence."""
        image, evidence = prepared
        description = self.extractor.describe(image, columns=True)
        data = to_bytes(replace(evidence, columns=description.columns))
        return replace(description, columns=None, evidence=data)


@dataclass(frozen=True)
class EvidenceOnly:
    """Makes evidence in the place of descriptors; with columns if there is an extractor."""

    extractor: Extractor | None = None

    @property
    def decode_size(self) -> int | None:
        """As in `PhotoDescriber`."""
        return 2 * LONGEST_SIDE if self.extractor is None else self.extractor.decode_size

    @property
    def concurrency(self) -> int:
        """As in `PhotoDescriber`."""
        return 1 if self.extractor is None else self.extractor.concurrency

    def prepare(self, image: Image.Image) -> tuple[Any, Evidence]:
        """Prepare an image, and return its evidence without columns with it."""
        from resight.evidence.extraction import extract_evidence  # imports OpenCV

        prepared = None if self.extractor is None else self.extractor.prepare(image)
        return prepared, extract_evidence(image)

    def describe(self, prepared: tuple[Any, Evidence]) -> bytes:
        """Return the evidence of a prepared image."""
        image, evidence = prepared
        if self.extractor is None:
            return to_bytes(evidence)
        return to_bytes(
            replace(evidence, columns=self.extractor.describe(image, columns=True).columns)
        )


def complete_evidence(
    writer: Writer,
    workers: int,
    progress: Progress,
    *,
    load: Callable[[], Extractor] | None = None,
    among: Set[Path] | None = None,
) -> int:
    """Make the evidence of described photos that have none, as in older collections.

    It has columns if `load` is given, which loads the extractor if there is anything to do.

    Damaged evidence, and evidence of another version, is made again. Photos that cannot be read any
    more, or whose file has changed, are skipped, and so are all photos
    not `among` the paths, if these are given.

    Returns:
        The number of photos whose evidence was made; copies count once.
    """
    collection = writer.collection
    present = {content for content, data in collection.all_evidence() if is_current(data)}
    missing = {
        str(photo.content): PhotoFile(photo.path, photo.size, photo.mtime_ns)
        for photo in collection.photos("ok")
        if photo.content not in present and (among is None or photo.path in among)
    }
    made = 0
    if not missing:
        return made
    files, describer = list(missing.values()), EvidenceOnly(load() if load else None)
    results = extract_photos(files, describer, workers=max(workers, MIN_WORKERS))
    for done, result in enumerate(results, 1):
        if result.description is not None and result.content in missing:
            writer.record_evidence(result.content, result.description)
            made += 1
        progress("evidence", done, len(files))
    return made
