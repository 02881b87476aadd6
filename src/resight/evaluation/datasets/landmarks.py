"""Oxford5k and Paris6k, and both revisited: 55 or 70 queries with a box, positives and junk.

Sources: Philbin et al., CVPR 2007 [29] and CVPR 2008 [30]; Radenovic, Iscen, Tolias, Avrithis and
Chum, "Revisiting Oxford and Paris", CVPR 2018.
"""

import functools
import json
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import (
    MEAN_AVERAGE_PRECISION,
    Benchmark,
    Dataset,
    DatasetQuery,
    Origin,
    Photos,
)
from resight.evaluation.measures import Judgement, Measure, can_be_a_name
from resight.files import write_atomically
from resight.photos import absolute
from resight.photos.files import find_photos
from resight.photos.transforms import Box

REVISITED = tuple(
    Measure(f"{name} {level}", kind, level, k)  # type: ignore[arg-type]
    for name, kind, k in (
        ("mAP", "average precision", 0),
        ("mP@1", "precision at", 1),
        ("mP@5", "precision at", 5),
        ("mP@10", "precision at", 10),
    )
    for level in ("medium", "hard", "easy")
)
PREFIX = "oxc1_"
"""Prefix of the names in Oxford's query files only."""

PARIS = "paris_"
"""Prefix of the names of all photos of Paris6k, and of none of Oxford5k."""

UNREADABLE = frozenset({
    "paris_louvre_000136", "paris_louvre_000146", "paris_moulinrouge_000422",
    "paris_museedorsay_001059", "paris_notredame_000188", "paris_pantheon_000284",
    "paris_pantheon_000960", "paris_pantheon_000974", "paris_pompidou_000195",
    "paris_pompidou_000196", "paris_pompidou_000201", "paris_pompidou_000467",
    "paris_pompidou_000640", "paris_sacrecoeur_000299", "paris_sacrecoeur_000330",
    "paris_sacrecoeur_000353", "paris_triomphe_000662", "paris_triomphe_000833",
    "paris_triomphe_000863", "paris_triomphe_000867",
})  # fmt: skip
"""Damaged files in the official archive of Paris6k, which nobody ranks [30]."""

MAX_CORNER = 1_000_000
"""Limit of a box's corners in pixels; larger ones are damaged."""

MAX_BYTES = 64 << 20
"""Larger ground truth is refused: the largest official file has about one MiB."""

OFFICIAL_COUNTS: Mapping[str, tuple[int, int]] = {
    "oxford5k": (5063, 55),
    "paris6k": (6392, 55),
    "roxford5k": (4993, 70),
    "rparis6k": (6322, 70),
}
"""Photos that are ranked, and queries."""

Names = dict[str, frozenset[str]]


@dataclass(frozen=True)
class _Truth:
    """A query of the ground truth: name, corners of its box, names by list (`ok`, `junk`, ...)."""

    name: str
    corners: tuple[float, float, float, float]
    lists: Names


def read_landmarks(name: str, folder: Path, *, query: str = "crop") -> Dataset:
    """Read one of the four benchmarks.

    The ground truth is the official text files (`all_souls_1_query.txt` and so on), or the pickle
    of the public evaluation code under its usual name (`gnd_oxford5k.pkl`), or that as JSON. It is
    anywhere in the folder or next to it; text files also in a folder next to it such as `gt_files`.

    Args:
        name: `oxford5k`, `paris6k`, `roxford5k` or `rparis6k`.
        folder: with the photos, possibly in subfolders.
        query: `crop`, the box of each query, `full`, its whole photo, or `both`, with separate
            measures.

    Raises:
        DatasetError: there are no photos, no ground truth, or an invalid one: a box without area, a
            duplicate query, a photo on two lists of one query.
    """
    folder = absolute(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    listed, truths = _read_truth(name, folder)
    photos = Photos(folder, listed)
    revisited = name.startswith("r")
    queries = []
    modes = ("crop", "full") if query == "both" else (query,)
    missing = [*photos.missing, *(t.name for t in truths if t.name not in photos.all)]
    for truth in truths:
        path = photos.all.get(truth.name)
        judgements = _judgements(truth.lists, photos, revisited)
        if path is None or not any(j.positives for j in judgements.values()):
            continue
        for mode in modes:
            box = box_of(truth.corners) if mode == "crop" else None
            query_name = f"{truth.name}-full" if (query, mode) == ("both", "full") else truth.name
            selected = judgements
            if query == "both":  # each judgement, and so each measure, belongs to one mode
                selected = {f"{mode} {level}": judged for level, judged in judgements.items()}
            row = photos.row(truth.name)
            queries.append(DatasetQuery(query_name, path, selected, box=box, row=row))
    measures = REVISITED if revisited else (MEAN_AVERAGE_PRECISION,)
    if query == "both":
        measures = tuple(
            replace(measure, name=f"{measure.name} {mode}", judgement=f"{mode} {measure.judgement}")
            for mode in modes
            for measure in measures
        )
    photo_count, query_count = OFFICIAL_COUNTS[name]
    return Dataset(
        name=name,
        names=photos.names,
        paths=photos.paths,
        queries=tuple(queries),
        measures=measures,
        official=(photo_count, query_count * len(modes)),
        switches={"query": query, "junk": "taken out before ranking"},
        missing=tuple(dict.fromkeys(missing)),
    )


def box_of(corners: tuple[float, float, float, float]) -> Box:
    """Round corners (x1, y1, x2, y2) to a box (x, y, w, h) of whole pixels."""
    x1, y1, x2, y2 = (round(value) for value in corners)
    return max(0, x1), max(0, y1), max(1, x2 - max(0, x1)), max(1, y2 - max(0, y1))


def _judgements(lists: Names, photos: Photos, revisited: bool) -> dict[str, Judgement]:
    rows = {name: photos.rows(names) for name, names in lists.items()}
    if not revisited:
        return {"all": Judgement(rows["ok"], rows["junk"])}
    easy, hard, junk = rows["easy"], rows["hard"], rows["junk"]
    return {
        "easy": Judgement(easy, junk | hard),
        "medium": Judgement(easy | hard, junk),
        "hard": Judgement(hard, junk | easy),
    }


def _read_truth(name: str, folder: Path) -> tuple[list[str], list[_Truth]]:
    """Return the names of the photos to rank, and the queries."""
    for suffix in (".json", ".pkl"):
        files = sorted(folder.rglob(f"gnd_{name}{suffix}"))
        files += folder.parent.glob(f"gnd_{name}{suffix}")
        if files:
            listed, truths = _from_mapping(files[0], name)
            _check_unique(files[0], truths)
            return listed, truths
    truths = [] if name.startswith("r") else [_from_texts(path) for path in _query_files(folder)]
    truths = [truth for truth in truths if _is_of(name, truth.name)]
    if not truths:
        texts = "" if name.startswith("r") else "the official text files (*_query.txt) or "
        raise DatasetError(
            f"{folder}: no ground truth of {name}: put {texts}gnd_{name}.pkl there or next to it"
        )
    _check_unique(folder, truths)
    return _listed_by_texts(name, folder, truths), truths


def _check_unique(place: Path, truths: Iterable[_Truth]) -> None:
    """Refuse a duplicate query; another box in the same photo is another query."""
    for (query, box), count in Counter((t.name, box_of(t.corners)) for t in truths).items():
        if count > 1:
            x, y, w, h = box
            raise DatasetError(
                f"{place}: the query {query} appears twice with the same box (x {x}, y {y}, {w} x "
                f"{h}); remove one"
            )


def _query_files(folder: Path) -> list[Path]:
    """Find the text files of queries in a folder, next to it, or in a folder `gt...` next to it."""
    for place, pattern in (
        (folder, "**/*_query.txt"),
        (folder.parent, "*_query.txt"),
        (folder.parent, "gt*/*_query.txt"),
    ):
        if files := sorted(place.glob(pattern)):
            return files
    return []


def _listed_by_texts(name: str, folder: Path, truths: Iterable[_Truth]) -> list[str]:
    """Return the judged photos, which the text files list, and the other photos on disk."""
    judged = {photo for truth in truths for names in truth.lists.values() for photo in names}
    on_disk = (photo.path.stem for photo in find_photos([folder]).photos)
    others = {photo for photo in on_disk if _is_of(name, photo)}
    return sorted((judged | others | {truth.name for truth in truths}) - UNREADABLE)


def _is_of(name: str, photo: str) -> bool:
    """Return whether a photo is of a benchmark; both are often unpacked into one folder."""
    return photo.startswith(PARIS) == (name == "paris6k")


def _from_texts(path: Path) -> _Truth:
    """Read a query from `X_query.txt`, `X_good.txt`, `X_ok.txt` and `X_junk.txt`."""
    stem = path.name.removesuffix("_query.txt")
    try:
        name, *corners = path.read_text("ascii").split()
        lists = {
            kind: frozenset((path.parent / f"{stem}_{kind}.txt").read_text("ascii").split())
            for kind in ("good", "ok", "junk")
        }
        names = {"ok": lists["good"] | lists["ok"], "junk": lists["junk"]}
        return _truth(name.removeprefix(PREFIX), corners, names)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: not the official ground truth: {error}") from None


def _from_mapping(path: Path, name: str) -> tuple[list[str], list[_Truth]]:
    """Read the layout of the public evaluation code: `imlist`, `qimlist`, `gnd`."""
    content = read_plain(path)
    kinds = ("easy", "hard", "junk") if name.startswith("r") else ("ok", "junk")
    try:
        images, queries = list(content["imlist"]), list(content["qimlist"])
        for photo in images + queries:
            if not isinstance(photo, str):
                raise TypeError("a name that is not text")
            if not can_be_a_name(photo):
                raise ValueError(f"{photo!r} is not a valid file name")
        truths = [
            _truth(
                query,
                truth["bbx"],
                {kind: frozenset(_select(images, truth[kind])) for kind in kinds},
            )
            for query, truth in zip(queries, content["gnd"], strict=True)
        ]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: not the ground truth of {name}: {what}") from None
    return images, truths


def _truth(query: str, corners: Iterable[Any], lists: Names) -> _Truth:
    """Check a query.

    Raises:
        TypeError: corners are not numbers.
        ValueError: the box is invalid, or a photo is on two lists.
    """
    for (one, names), (other, others) in combinations(lists.items(), 2):
        if both := sorted(names & others):
            raise ValueError(f"the photo {both[0]} is both {one} and {other} of the query {query}")
    return _Truth(query, _corners(query, corners), lists)


def _corners(query: str, values: Iterable[Any]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = map(float, values)
    box = f"the box of the query {query} ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if not all(abs(value) <= MAX_CORNER for value in (x1, y1, x2, y2)):  # false for NaN too
        raise ValueError(f"{box} has a corner that is not a number within {MAX_CORNER}")
    # The part left of and above the photo is cut off, so some of the box has to be inside.
    if x2 <= max(0, x1) or y2 <= max(0, y1):
        raise ValueError(f"{box} has no area; it takes x1 < x2 and y1 < y2, within the photo")
    return x1, y1, x2, y2


def _select(images: list[str], rows: Iterable[int]) -> Iterator[str]:
    for row in rows:
        if row < 0:  # would count from the end
            raise IndexError(f"the row {row}")
        yield images[row]


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, tuples, dictionaries, texts and numbers; refuses what would run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise DatasetError(
            f"it references {module}.{name}, and a pickle can run any program: only plain lists, "
            "dictionaries, texts and numbers are read"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise DatasetError("it references external data")


def read_plain(path: Path) -> Any:
    """Read the plain values of a `.json` or `.pkl` file.

    Raises:
        DatasetError: it cannot be read, is damaged, or is a pickle with other values.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"larger than {MAX_BYTES >> 20} MiB")
        with path.open("rb") as file:
            if path.suffix == ".json":
                return json.load(file)
            # Old pickles are from Python 2, whose texts are bytes.
            return _PlainUnpickler(file, encoding="latin1").load()
    except RecursionError:  # thousands of nested lists
        raise DatasetError(f"{path}: cannot be read: nested too deeply") from None
    except DatasetError as error:
        raise DatasetError(f"{path}: refused: {error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"{path}: cannot be read: {first_line[:200]}") from None


def convert_to_json(path: Path, target: Path) -> None:
    """Convert the plain values of a pickle to JSON.

    Raises:
        DatasetError: see `read_plain`, or the target exists or cannot be written.
    """
    content = read_plain(path)
    if target.exists():
        raise DatasetError(f"{target}: exists, and would be overwritten")
    try:
        with write_atomically(target) as unfinished:
            unfinished.write_text(json.dumps(content), "utf-8")
    except (OSError, TypeError, ValueError) as error:
        raise DatasetError(f"{target}: cannot be written: {error}") from None


OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/"
PARIS_URL = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/"
REVISITED_URL = "https://cmp.felk.cvut.cz/revisitop/"
RADENOVIC = "Radenovic et al., Revisiting Oxford and Paris, CVPR 2018"
SOURCES = (
    ("oxford5k", OXFORD, "Philbin et al., Object retrieval with large vocabularies, CVPR 2007"),
    ("paris6k", PARIS_URL, "Philbin et al., Lost in quantization, CVPR 2008"),
    ("roxford5k", f"{OXFORD} (photos), {REVISITED_URL} (ground truth)", RADENOVIC),
    ("rparis6k", f"{PARIS_URL} (photos), {REVISITED_URL} (ground truth)", RADENOVIC),
)
LANDMARKS = tuple(
    Benchmark(
        name,
        functools.partial(read_landmarks, name),
        switches={"query": ("crop", "full", "both")},
        origin=Origin(url, "photos of Flickr users, whose terms hold", citation),
    )
    for name, url, citation in SOURCES
)
