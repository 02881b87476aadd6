"""Is a benchmark on the disk, and whole? What is missing, and where it can be had."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.datasets.dataset import Dataset
from resight.datasets.reading import ORIGINS, Origin, read_dataset
from resight.errors import ImageError
from resight.images import image_size


@dataclass(frozen=True)
class Verification:
    """What was found of a benchmark.

    Attributes:
        dataset: as it was read.
        origin: where it can be had, and how large it officially is; None for a folder of one's own.
        unreadable: path and reason of files that are no photos.
    """

    dataset: Dataset
    origin: Origin | None
    unreadable: list[tuple[Path, str]]

    @property
    def whole(self) -> bool:
        """Whether every photo and query is there and can be read."""
        official = self.origin is None or (
            len(self.dataset.names) == self.origin.photos
            and len(self.dataset.queries) == self.origin.queries
        )
        return official and not self.dataset.missing and not self.unreadable


def verify(name: str, folder: Path, switches: Mapping[str, str] | None = None) -> Verification:
    """Look at a benchmark's ground truth and at the head of every photo.

    Raises:
        DatasetError: it cannot be read at all; see `read_dataset`.
    """
    dataset = read_dataset(name, folder, switches)
    unreadable = []
    for path in dict.fromkeys([*dataset.paths, *(query.path for query in dataset.queries)]):
        try:
            image_size(path)
        except ImageError as error:
            unreadable.append((path, str(error)))
    return Verification(dataset, ORIGINS.get(name), unreadable)
