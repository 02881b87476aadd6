"""Common form of all benchmarks (section 9), and their entry in the registry."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.evaluation.measures import Judgement, Measure
from resight.photos.files import find_photos
from resight.photos.transforms import Box

MEAN_AVERAGE_PRECISION = Measure("mAP", "average precision")
NS_SCORE = Measure("N-S", "first four", "first four")


@dataclass(frozen=True)
class DatasetQuery:
    """A query: a photo or a region of it, and its ground truth by the name of a judgement.

    Judgements hold rows of the dataset's photos. `row` is the query's own, if it is ranked too.
    """

    name: str
    path: Path
    judgements: Mapping[str, Judgement]
    box: Box | None = None
    row: int | None = None

    @property
    def file_name(self) -> Path:
        """The photo's path, or the file name of the query's region."""
        if self.box is None:
            return self.path
        return Path(f"{self.path.stem}-{'-'.join(map(str, self.box))}.png")


@dataclass(frozen=True)
class Dataset:
    """A benchmark, or a folder with groups.

    Attributes:
        name: of the benchmark or the folder.
        names: of the ranked photos.
        paths: their files, in the same order.
        queries: one or more.
        measures: to report, the main one first.
        official: photos and queries of the complete benchmark, with the same switches.
        switches: choices that the protocol leaves open.
        missing: names in the ground truth without a file. They are neither queries nor positives
            nor ranked.
        turns: photos to rotate, after EXIF, by 90, 180 or 270 degrees clockwise.
        own: whether it is a folder with groups rather than a benchmark.
    """

    name: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    queries: tuple[DatasetQuery, ...]
    measures: tuple[Measure, ...]
    official: tuple[int, int]
    switches: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    turns: Mapping[Path, int] = field(default_factory=dict)
    own: bool = False

    def __post_init__(self) -> None:
        if not self.queries:
            raise DatasetError(f"{self.name}: none of its queries has its photos on this disk")

    @property
    def benchmark(self) -> str:
        """The benchmark's name in published figures; `groups` for a folder with groups."""
        return "groups" if self.own else self.name

    def effect_of_missing(self) -> str | None:
        """Describe what the missing photos change; None if the benchmark is complete."""
        counts = len(self.names), len(self.queries)
        if not self.missing and counts == self.official:
            return None
        missing = f" (missing: {shorten_list(self.missing)})" if self.missing else ""
        return (
            f"{counts[0]} photos and {counts[1]} queries where the benchmark has "
            f"{self.official[0]} and {self.official[1]}{missing}: what is missing is neither query "
            "nor positive nor ranked, so the figures are not the benchmark's"
        )


@dataclass(frozen=True)
class Origin:
    """Download page of a benchmark, its terms, and the paper to cite."""

    url: str
    terms: str
    citation: str


@dataclass(frozen=True)
class Benchmark:
    """An entry of the registry.

    `read` reads the benchmark from a folder; switches are its keyword arguments: the values of each
    choice that the protocol leaves open, the default first (no values mean a file). `origin` is
    None for a folder with groups.
    """

    name: str
    read: Callable[..., Dataset]
    switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origin: Origin | None = None


class Photos:
    """The photo files under a folder by name, and the rows of names in the ground truth."""

    def __init__(self, folder: Path, listed: Iterable[str] | None = None) -> None:
        """Find the listed names (file names without suffix) under a folder; None is all, by name.

        Raises:
            DatasetError: there is no such folder, no photo in it, or two photos of one name.
        """
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder")
        listed = None if listed is None else dict.fromkeys(listed)
        files: dict[str, Path] = {}
        for photo in find_photos([folder]).photos:
            name = photo.path.stem
            if name in files and (listed is None or name in listed):
                raise DatasetError(
                    f"{folder}: {photo.path.name} is in {files[name].parent} and in "
                    f"{photo.path.parent}; name one of these folders"
                )
            files[name] = photo.path
        names = sorted(files) if listed is None else list(listed)
        self.missing = tuple(name for name in names if name not in files)
        self.names = tuple(name for name in names if name in files)
        self.paths = tuple(files[name] for name in self.names)
        self.all = files
        self._rows = {name: row for row, name in enumerate(self.names)}
        if not self.names:
            raise DatasetError(f"{folder}: holds none of the benchmark's photos")

    def row(self, name: str) -> int | None:
        """Return the row of a name; None if its photo is missing."""
        return self._rows.get(name)

    def rows(self, names: Iterable[str]) -> frozenset[int]:
        """Return the rows of the names whose photos are not missing."""
        return frozenset(self._rows[name] for name in names if name in self._rows)


def shorten_list(names: Iterable[str]) -> str:
    """Join the first three names."""
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
