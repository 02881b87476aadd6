"""INRIA Holidays: 1491 photos in 500 groups, the first of each a query.

Source: Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency", ECCV 2008.
"""

from collections.abc import Collection
from pathlib import Path

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import (
    MEAN_AVERAGE_PRECISION,
    Benchmark,
    Dataset,
    DatasetQuery,
    Origin,
    Photos,
    shorten_list,
)
from resight.evaluation.measures import Judgement

PHOTOS = 1491
QUERIES = 500
SUFFIX = ".jpg"
"""Part of the photos' official names, whatever their format."""
LIST_NAME = "holidays_images.dat"
"""Official list of the photos' names, one a line, from the evaluation package."""


def read_holidays(folder: Path, *, database: str = "all", upright: str = "") -> Dataset:
    """Read the benchmark from a folder with the photos, or with folders of them (jpg1, jpg2).

    Names are six digits: four of the group, two of the photo in it; photos ending in 00 are the
    queries. Without the official list next to the photos, the existing photos are the list.

    Args:
        folder: with the photos, and optionally the official list.
        database: rank `all` 1491 photos, as the official script does, or only the `others`, which
            are not queries, as in the paper.
        upright: a file of rotations, see `read_turns`; without it photos stay as shot.

    Raises:
        DatasetError: there are no such photos, or no such file.
    """
    turns = read_turns(Path(upright).expanduser()) if upright else {}
    photos = Photos(folder, _listed_names(folder))
    ranked = [name for name in photos.names if database == "all" or not _is_query(name)]
    rows = {name: row for row, name in enumerate(ranked)}
    groups: dict[str, set[int]] = {}
    for name in ranked:
        groups.setdefault(name[:4], set()).add(rows[name])
    queries = []
    for name in filter(_is_query, photos.names):
        row = rows.get(name)
        junk = frozenset() if row is None else frozenset([row])
        positives = frozenset(groups.get(name[:4], ())) - junk
        if positives:
            judgements = {"all": Judgement(positives, junk)}
            path, title = photos.all[name], f"{name}{SUFFIX}"
            queries.append(DatasetQuery(title, path, judgements, row=row))
    turned = {photos.all[name]: turns[name] for name in photos.names if turns.get(name)}
    return Dataset(
        name="holidays",
        names=tuple(f"{name}{SUFFIX}" for name in ranked),
        paths=tuple(photos.all[name] for name in ranked),
        queries=tuple(queries),
        measures=(MEAN_AVERAGE_PRECISION,),
        official=(PHOTOS if database == "all" else PHOTOS - QUERIES, QUERIES),
        switches={
            "ranked": "all photos" if database == "all" else "photos that are not queries",
            "orientation": _orientation(len(turned), turns, photos.names) if upright else "as shot",
        },
        missing=tuple(f"{name}{SUFFIX}" for name in photos.missing),
        turns=turned,
    )


def _listed_names(folder: Path) -> list[str]:
    """Return the names on the official list, in the folder or next to it, else the photos'."""
    for place in (folder, folder.parent):
        if (place / LIST_NAME).is_file():
            lines = (place / LIST_NAME).read_text("ascii", "replace").split()
            return [Path(line).stem for line in lines]
    names = sorted(n for n in Photos(folder).names if len(n) == 6 and n.isdigit())
    if not names:
        raise DatasetError(f"{folder}: holds no photos of Holidays (names of six digits)")
    return names


def read_turns(path: Path) -> dict[str, int]:
    """Read the rotations that make photos upright: a line each, such as `100000.jpg 90`.

    There is no official list. Degrees are clockwise, 0, 90, 180 or 270; photos without a line are
    not rotated.

    Returns:
        Names without suffix to degrees.

    Raises:
        DatasetError: the file cannot be read, or has another form.
    """
    turns: dict[str, int] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # editors may write a byte order mark
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise DatasetError(f"{path}: cannot be read: {reason}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match line.split():
            case [name, ("0" | "90" | "180" | "270") as degrees]:
                if Path(name).stem in turns:
                    raise DatasetError(f"{path}: line {number}: {name} appears twice")
                turns[Path(name).stem] = int(degrees)
            case _:
                raise DatasetError(f"{path}: line {number} is not like `100000.jpg 90`")
    return turns


def _orientation(turned: int, listed: Collection[str], names: Collection[str]) -> str:
    """Report how many photos are rotated, and which names in the file are unknown."""
    unknown = sorted(set(listed) - set(names))
    names_text = f", {len(unknown)} unknown names in the file ({shorten_list(unknown)})"
    return f"{turned} photos rotated{names_text if unknown else ''}"


def _is_query(name: str) -> bool:
    """Return whether a photo is the first of its group."""
    return name.endswith("00")


HOLIDAYS = Benchmark(
    "holidays",
    read_holidays,
    switches={"database": ("all", "others"), "upright": ()},
    origin=Origin(
        "https://lear.inrialpes.fr/~jegou/data.php",
        "copyright INRIA, as is, the paper is to be cited",
        "Jegou, Douze and Schmid, Hamming embedding and weak geometric consistency, ECCV 2008",
    ),
)
