"""Benchmarks by name, and checks of local ones; a new one is a file, and a line of `BENCHMARKS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.errors import DatasetError, ImageError
from resight.evaluation.datasets.dataset import Benchmark, Dataset, Origin
from resight.evaluation.datasets.folders import GROUPS
from resight.evaluation.datasets.holidays import HOLIDAYS
from resight.evaluation.datasets.landmarks import LANDMARKS, UNREADABLE
from resight.evaluation.datasets.ukb import UKB
from resight.photos import PathLike
from resight.photos.files import find_photos
from resight.photos.images import image_size

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (GROUPS, HOLIDAYS, UKB, *LANDMARKS)
}


def parse_dataset(text: str) -> tuple[str, Path]:
    """Split `holidays:PATH` into name and folder.

    Raises:
        DatasetError: there is no such benchmark, or no path.
    """
    name, colon, path = text.partition(":")
    if name not in BENCHMARKS:
        raise DatasetError(f"{text}: not NAME:FOLDER with a name of {', '.join(BENCHMARKS)}")
    if not colon or not path:
        raise DatasetError(f"{text}: name the folder too, as in {name}:FOLDER")
    return name, Path(path).expanduser()


def read_dataset(name: str, folder: PathLike, switches: Mapping[str, str] | None = None) -> Dataset:
    """Read a benchmark of `BENCHMARKS` from a folder with its photos; see `Benchmark` for switches.

    Raises:
        DatasetError: there is no such benchmark, switch or folder, or no ground truth.
    """
    if name not in BENCHMARKS:
        raise DatasetError(f"{name}: no benchmark; there are {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    for switch, value in (switches or {}).items():
        allowed = benchmark.switches.get(switch)
        if allowed is None:
            names = ", ".join(benchmark.switches) or "none"
            raise DatasetError(f"{name}: has no switch {switch!r} (it has {names})")
        if allowed and value not in allowed:
            raise DatasetError(f"{name}: {switch}: {value!r} is not one of {', '.join(allowed)}")
    return benchmark.read(Path(folder), **(switches or {}))


@dataclass(frozen=True)
class Verification:
    """Result of the check of a local benchmark.

    Attributes:
        dataset: as read.
        origin: None for a folder with groups.
        unreadable: path and reason of files that are not photos.
        unexpected: photos in the folder that are not the benchmark's; they are not ranked.
    """

    dataset: Dataset
    origin: Origin | None
    unreadable: list[tuple[Path, str]]
    unexpected: list[Path]

    @property
    def complete(self) -> bool:
        """True if every photo and query exists and can be read."""
        return self.dataset.effect_of_missing() is None and not self.unreadable


def verify_dataset(
    name: str, folder: PathLike, switches: Mapping[str, str] | None = None
) -> Verification:
    """Check a benchmark's ground truth and the header of every photo, but not its pixels.

    Raises:
        DatasetError: the benchmark cannot be read, see `read_dataset`.
    """
    folder = Path(folder)
    dataset = read_dataset(name, folder, switches)
    unreadable = []
    used = dict.fromkeys([*dataset.paths, *(query.path for query in dataset.queries)])
    for path in used:
        try:
            image_size(path)
        except ImageError as error:
            unreadable.append((path, str(error)))
    unexpected = [
        photo.path
        for photo in find_photos([folder if folder.is_dir() else folder.parent]).photos
        if photo.path not in used and photo.path.stem not in UNREADABLE
    ]
    return Verification(dataset, BENCHMARKS[name].origin, unreadable, unexpected)
