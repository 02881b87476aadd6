"""The one form that every benchmark is read into (section 9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.evaluation.protocols import Judgement, Measure
from resight.photos.files import find_photos
from resight.photos.transforms import Box


@dataclass(frozen=True)
class DatasetQuery:
    """A query: its photo or a region of it, and what is right, by the name of a judgement.

    Judgements hold rows of the dataset's photos. `row` is the query's own, if it is among them.
    """

    name: str
    path: Path
    judgements: Mapping[str, Judgement]
    box: Box | None = None
    row: int | None = None
    group: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A benchmark.

    Attributes:
        name: of the benchmark, or of a folder with groups.
        names: of the photos that are ranked.
        paths: their files, in the same order.
        queries: one or more.
        measures: what is reported, the first one first.
        official: how many photos and queries the whole benchmark has, by the same switches.
        switches: what was chosen where a protocol leaves a choice.
        missing: names that the ground truth lists and the disk lacks. They are no queries, no
            positives, and not ranked.
        turns: photos that lie on their side, and by how many degrees clockwise they are to be
            turned, 90, 180 or 270, after what their files say (EXIF).
        own: a folder with groups, whatever its name, not one of the benchmarks.
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
        """Name of the benchmark, under which papers have numbers; `groups` of an own folder."""
        return "groups" if self.own else self.name

    def effect_of_missing(self) -> str | None:
        """What the missing photos change, in a sentence; None where all is there."""
        counts = len(self.names), len(self.queries)
        if not self.missing and counts == self.official:
            return None
        some = f" (missing: {_some(self.missing)})" if self.missing else ""
        return (
            f"{counts[0]} photos and {counts[1]} queries where the benchmark has "
            f"{self.official[0]} and {self.official[1]}{some}: what is missing is neither query "
            "nor positive nor ranked, so the figures are not the benchmark's"
        )


class Photos:
    """The photo files under a folder by name, and rows for the names that are asked for."""

    def __init__(self, folder: Path, listed: Iterable[str] | None = None) -> None:
        """Find the photos.

        Args:
            folder: searched with all folders in it.
            listed: names (file names without suffix) in the order of the benchmark; None takes
                all photos there are, by name.

        Raises:
            DatasetError: no such folder, no photo in it, or two photos of one name.
        """
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder")
        found: dict[str, Path] = {}
        asked = None if listed is None else list(dict.fromkeys(listed))
        known = None if asked is None else frozenset(asked)
        for photo in find_photos([folder]).photos:
            name = photo.path.stem
            if name in found and (known is None or name in known):
                raise DatasetError(
                    f"{folder}: {photo.path.name} is in {found[name].parent} and in "
                    f"{photo.path.parent}; name the folder that is meant"
                )
            found[name] = photo.path
        wanted = sorted(found) if asked is None else asked
        self.missing = tuple(name for name in wanted if name not in found)
        self.names = tuple(name for name in wanted if name in found)
        self.paths = tuple(found[name] for name in self.names)
        self.all = found
        self._rows = {name: row for row, name in enumerate(self.names)}
        if not self.names:
            raise DatasetError(f"{folder}: holds none of the benchmark's photos")

    def row(self, name: str) -> int | None:
        """The row of a name; None where its photo is missing."""
        return self._rows.get(name)

    def rows(self, names: Iterable[str]) -> frozenset[int]:
        """The rows of the names whose photos are there."""
        return frozenset(self._rows[name] for name in names if name in self._rows)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
