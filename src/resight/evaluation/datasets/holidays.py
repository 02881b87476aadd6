"""INRIA Holidays: 1491 photos in 500 groups, the first of each a query.

Source: Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency", ECCV 2008.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery, Photos
from resight.evaluation.datasets.folders import MEAN_AVERAGE_PRECISION
from resight.evaluation.protocols import Judgement

PHOTOS, QUERIES = 1491, 500
SUFFIX = ".jpg"
"""Part of the photos' official names, whatever format they are kept in."""
LIST_NAME = "holidays_images.dat"
"""The official list of the photos' names, one in a line; it comes with the evaluation package."""

NAMED = 3
"""So many of the names that are no photos are said."""


def read_holidays(folder: Path, *, database: str = "all", upright: str = "") -> Dataset:
    """The benchmark, from photos in one folder or in several (jpg1, jpg2) below the given one.

    Names are six digits: four of the group, two of the photo in it; those ending in 00 are the
    queries. Without the official list beside the photos, the photos there are make up the list.

    Args:
        folder: with the photos, and perhaps the official list.
        database: `all` 1491 photos are ranked, as in the official script, or the `others`, which
            are no queries, as the paper says.
        upright: a file that says how photos are to be turned, see `read_turns`; none leaves them
            as they were shot.

    Raises:
        DatasetError: no such photos, or no such file.
    """
    turns = read_turns(Path(upright).expanduser()) if upright else {}
    names = listed_names(folder)
    photos = Photos(folder, names)
    photo_rows = {name: row for row, name in enumerate(photos.names)}
    queries = []
    query_names = [name for name in (names or photos.names) if is_query(name)]
    kept = [n for n in photos.names if database == "all" or not is_query(n)]
    rows = {name: row for row, name in enumerate(kept)}
    by_group: dict[str, set[str]] = {}
    for name in kept:
        by_group.setdefault(name[:4], set()).add(name)
    for name in query_names:
        positives = frozenset(rows[n] for n in by_group.get(name[:4], set()) - {name})
        if name not in photo_rows or not positives:
            continue
        row = rows.get(name)
        junk = frozenset() if row is None else frozenset([row])
        path = photos.paths[photo_rows[name]]
        judgements = {"all": Judgement(positives, junk)}
        queries.append(DatasetQuery(f"{name}{SUFFIX}", path, judgements, row=row, group=name[:4]))
    turned = {
        path: turns[n] for n, path in zip(photos.names, photos.paths, strict=True) if turns.get(n)
    }
    ranked: dict[str, Any] = {"all": "all photos", "others": "photos that are no queries"}
    return Dataset(
        name="holidays",
        names=tuple(f"{name}{SUFFIX}" for name in kept),
        paths=tuple(photos.paths[photo_rows[name]] for name in kept),
        queries=tuple(queries),
        measures=(MEAN_AVERAGE_PRECISION,),
        official=(PHOTOS if database == "all" else PHOTOS - QUERIES, QUERIES),
        switches={
            "ranked": ranked[database],
            "orientation": _orientation(len(turned), turns, photos.names) if upright else "as shot",
        },
        missing=tuple(f"{name}{SUFFIX}" for name in photos.missing),
        turns=turned,
    )


def listed_names(folder: Path) -> list[str] | None:
    """The names on the official list, if it is in the folder or beside it."""
    for place in (folder, folder.parent):
        if (place / LIST_NAME).is_file():
            lines = (place / LIST_NAME).read_text("ascii", "replace").split()
            return [Path(line).stem for line in lines]
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    names = sorted(n for n in Photos(folder).names if len(n) == 6 and n.isdigit())
    if not names:
        raise DatasetError(f"{folder}: holds no photos of Holidays (names of six digits)")
    return names


def read_turns(path: Path) -> dict[str, int]:
    """How photos are to be turned so that they are upright: a line each, as `100000.jpg 90`.

    There is no official list. Degrees are clockwise, 0, 90, 180 or 270; photos without a line stay
    as they are.

    Returns:
        Names without suffix to degrees.

    Raises:
        DatasetError: it cannot be read, or is not of that form.
    """
    turns: dict[str, int] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # editors may put a mark before the text
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise DatasetError(f"{path}: cannot be read: {reason}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match line.split():
            case [name, ("0" | "90" | "180" | "270") as degrees]:
                if Path(name).stem in turns:
                    raise DatasetError(f"{path}: line {number}: {name} is twice")
                turns[Path(name).stem] = int(degrees)
            case _:
                raise DatasetError(f"{path}: line {number} is not like `100000.jpg 90`")
    return turns


def _orientation(turned: int, asked: Collection[str], names: Collection[str]) -> str:
    """How many photos are turned, and which names of the file are none, so that a slip is seen."""
    unknown = sorted(set(asked) - set(names))
    said = f"{turned} photos turned"
    if not unknown:
        return said
    are = "is no photo" if len(unknown) == 1 else "are no photos"
    some = ", ".join(unknown[:NAMED]) + (", ..." if len(unknown) > NAMED else "")
    return f"{said}, {len(unknown)} of the file's names {are} here ({some})"


def is_query(name: str) -> bool:
    """Whether a photo is the first of its group."""
    return name.endswith("00")
