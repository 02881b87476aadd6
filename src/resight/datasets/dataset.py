"""The one form that every benchmark is read into (section 9)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.files import find_photos
from resight.images import Box
from resight.protocols import Judgement, Measure


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
        switches: what was chosen where a protocol leaves a choice.
        missing: names that the ground truth lists and the disk lacks. They are no queries, no
            positives, and not ranked.
        lost_queries: how many queries there are not for that.
    """

    name: str
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    queries: tuple[DatasetQuery, ...]
    measures: tuple[Measure, ...]
    switches: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lost_queries: int = 0

    def __post_init__(self) -> None:
        if not self.queries:
            raise DatasetError(f"{self.name}: none of its queries has its photos on this disk")

    def effect_of_missing(self) -> str | None:
        """What the missing photos change, in a sentence; None where none is missing."""
        if not self.missing:
            return None
        lost = f"{self.lost_queries} queries are left out, " if self.lost_queries else ""
        return (
            f"{len(self.missing)} photos of the ground truth are missing ({_some(self.missing)}): "
            f"{lost}they are neither positives nor ranked, so the figures are not the benchmark's"
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
        for photo in find_photos([folder]).photos:
            name = photo.path.stem
            if name in found and (listed is None or name in set(listed)):
                raise DatasetError(f"{folder}: two photos are named {name}")
            found[name] = photo.path
        wanted = sorted(found) if listed is None else list(listed)
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
