"""Is a benchmark on the disk, and whole? What is missing, and where it can be had."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.errors import ImageError
from resight.evaluation.datasets.dataset import Dataset
from resight.evaluation.datasets.landmarks import UNREADABLE
from resight.evaluation.datasets.registry import ORIGINS, Origin, read_dataset
from resight.photos.files import find_photos
from resight.photos.images import image_size


@dataclass(frozen=True)
class Verification:
    """What was found of a benchmark.

    Attributes:
        dataset: as it was read.
        origin: where it can be had; None for a folder of one's own.
        unreadable: path and reason of files that are no photos.
        unexpected: photos in the folder that the benchmark does not have; they are not ranked.
    """

    dataset: Dataset
    origin: Origin | None
    unreadable: list[tuple[Path, str]]
    unexpected: list[Path]

    @property
    def whole(self) -> bool:
        """Whether every photo and query is there and can be read."""
        return self.dataset.effect_of_missing() is None and not self.unreadable


def verify_dataset(
    name: str, folder: Path, switches: Mapping[str, str] | None = None
) -> Verification:
    """Look at a benchmark's ground truth and at the head of every photo.

    A photo whose head is right and whose pixels are cut off is found only when it is described.

    Raises:
        DatasetError: it cannot be read at all; see `read_dataset`.
    """
    dataset = read_dataset(name, folder, switches)
    unreadable = []
    used = dict.fromkeys([*dataset.paths, *(query.path for query in dataset.queries)])
    for path in used:
        try:
            image_size(path)
        except ImageError as error:
            unreadable.append((path, str(error)))
    place = folder if folder.is_dir() else folder.parent
    unexpected = [
        photo.path
        for photo in find_photos([place]).photos
        if photo.path not in used and photo.path.stem not in UNREADABLE
    ]
    return Verification(dataset, ORIGINS.get(name), unreadable, unexpected)
