"""Make the evidence of photos in an index run: along with their descriptors, or later."""

from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from resight.collection.writer import Writer
from resight.descriptors.extractor import Description, Extractor
from resight.evidence import LONGEST_SIDE
from resight.evidence.encoding import is_current
from resight.indexing.extraction import extract_photos
from resight.photos.files import PhotoFile
from resight.progress import Progress


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

    def prepare(self, image: Image.Image) -> tuple[Any, bytes]:
        """Prepare an image, and return its evidence with it."""
        return self.extractor.prepare(image), make_evidence(image)

    def describe(self, prepared: tuple[Any, bytes]) -> Description:
        """Compute the descriptors of a prepared image."""
        image, evidence = prepared
        return replace(self.extractor.describe(image), evidence=evidence)


class EvidenceOnly:
    """Makes evidence in the place of descriptors."""

    decode_size = 2 * LONGEST_SIDE
    concurrency = 1

    def prepare(self, image: Image.Image) -> bytes:
        """Return the evidence of an image."""
        return make_evidence(image)

    def describe(self, prepared: bytes) -> bytes:
        """Return the evidence as it is."""
        return prepared


def make_evidence(image: Image.Image) -> bytes:
    """Return the stored form of an image's evidence."""
    from resight.evidence.encoding import to_bytes
    from resight.evidence.extraction import extract_evidence  # imports OpenCV

    return to_bytes(extract_evidence(image))


def complete_evidence(
    writer: Writer, workers: int, progress: Progress, among: Set[Path] | None = None
) -> None:
    """Make the evidence of described photos that have none, as in older collections.

    Damaged evidence, and evidence of another version, is made again. Photos that cannot be read any
    more, or whose file has changed, are left out; so are those that are not `among` some paths.
    """
    collection = writer.collection
    present = {content for content, data in collection.all_evidence() if is_current(data)}
    missing = {
        str(photo.content): PhotoFile(photo.path, photo.size, photo.mtime_ns)
        for photo in collection.photos("ok")
        if photo.content not in present and (among is None or photo.path in among)
    }
    files = list(missing.values())
    for done, result in enumerate(extract_photos(files, EvidenceOnly(), workers=workers), 1):
        if result.description is not None and result.content in missing:
            writer.record_evidence(result.content, result.description)
        progress("evidence", done, len(files))
