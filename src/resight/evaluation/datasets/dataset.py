"""Common form of all benchmarks (section 9), and their entry in the registry."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from resight.errors import DatasetError, ImageError
from resight.evaluation.measures import Judgement, Measure
from resight.files import file_sha256, write_atomically
from resight.photos.files import find_photos
from resight.photos.images import load_image
from resight.photos.transforms import Box, crop_box

MEAN_AVERAGE_PRECISION = Measure("mAP", "average precision")
NS_SCORE = Measure("N-S", "first four", "first four")


CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,  # Pillow rotates counterclockwise
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


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


# Images derived from photos, cached under the hash of the photo's content


def external_queries(dataset: Dataset, cache: Path) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Prepare the files of queries that are not ranked photos; regions are cropped and cached.

    Returns:
        The `file_name` of each file's query; the reasons of photos that could not be read.

    Raises:
        DatasetError: a region lies outside its photo.
    """
    ranked = set(dataset.paths)
    files: dict[Path, Path] = {}
    failed: dict[Path, str] = {}
    for query in dataset.queries:
        if query.box is not None:
            crop = functools.partial(_crop_query, query, query.box)
            try:
                files[_derived(query.path, query.file_name.name, crop, cache)] = query.file_name
            except ImageError as error:
                failed[query.path] = str(error)
        elif query.path not in ranked:
            files[query.path] = query.path
    return files, failed


def upright_dataset(dataset: Dataset, cache: Path) -> Dataset:
    """Replace the photos that a dataset rotates by upright, lossless copies in the cache."""
    copies = {}
    for path, degrees in dataset.turns.items():
        rotate = functools.partial(Image.Image.transpose, method=CLOCKWISE[degrees])
        with contextlib.suppress(ImageError):  # extraction lists it as unreadable
            copies[path] = _derived(path, f"{path.stem}-{degrees}.png", rotate, cache)
    queries = (replace(query, path=copies.get(query.path, query.path)) for query in dataset.queries)
    paths = tuple(copies.get(path, path) for path in dataset.paths)
    return replace(dataset, paths=paths, queries=tuple(queries), turns={})


def _derived(
    path: Path, name: str, derive: Callable[[Image.Image], Image.Image], cache: Path
) -> Path:
    """Return the file of an image derived from a photo, created if the cache has none."""
    try:
        content = file_sha256(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None
    target = (cache / f"{content[:16]}-{name}").absolute()
    if not target.exists():
        image = derive(load_image(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(target) as unfinished:
            image.save(unfinished, "PNG")
    return target


def _crop_query(query: DatasetQuery, box: Box, image: Image.Image) -> Image.Image:
    """Cut out a query's region, whose corners may lie a pixel outside of the photo."""
    (x, y, w, h), (width, height) = box, image.size
    if x >= width or y >= height:
        raise DatasetError(
            f"{query.name}: its box begins at {x}, {y}, outside of {query.path} of {width} x "
            f"{height} pixels: is the ground truth that of these photos?"
        )
    return crop_box(image, (x, y, min(w, width - x), min(h, height - y)))
