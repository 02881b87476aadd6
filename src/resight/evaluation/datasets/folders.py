"""Any folder with groups: a `groups.json`, or one folder for each thing."""

from pathlib import Path
from typing import Any

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.evaluation.measures import Groups, read_groups
from resight.evaluation.protocols import Judgement, Measure
from resight.photos.files import find_photos
from resight.photos.paths import absolute

MEAN_AVERAGE_PRECISION = Measure("mAP", "average precision")
NS_SCORE = Measure("N-S", "first four", "first four")


def read_folder(folder: Path) -> Dataset:
    """A folder's groups; every photo of a group of two or more is a query in turn (section 9).

    Args:
        folder: a `groups.json`, a folder with one, or a folder with a folder for each group.

    Raises:
        DatasetError: nothing of that kind is there, or no group has two photos.
    """
    file = folder / "groups.json" if folder.is_dir() else folder
    if not folder.exists():
        raise DatasetError(f"{folder}: no such file or folder")
    groups = read_groups(file) if file.is_file() else _folders(folder)
    base = file.parent if file.is_file() else folder
    there = {name: [p for p in paths if p.is_file()] for name, paths in groups.items()}
    found = frozenset(path for members in there.values() for path in members)
    missing = [path for members in groups.values() for path in members if path not in found]
    paths = [path for members in there.values() for path in members]
    rows = {path: row for row, path in enumerate(paths)}
    queries = []
    for name, members in there.items():
        all_rows = frozenset(rows[path] for path in members)
        for path in members if len(members) > 1 else ():
            own = frozenset([rows[path]])
            judgements = {"all": Judgement(all_rows - own, own)}
            if len(groups[name]) == 4:
                judgements["first four"] = Judgement(all_rows)
            shown = _name(path, base)  # file names may recur from folder to folder
            queries.append(DatasetQuery(shown, path, judgements, row=rows[path], group=name))
    if not queries:
        raise DatasetError(f"{folder}: no group has two photos or more: there is nothing to rank")
    four = any("first four" in query.judgements for query in queries)
    switches: dict[str, Any] = {"queries": "every photo of a group of two or more"}
    return Dataset(
        name=base.resolve().name,
        names=tuple(_name(path, base) for path in paths),
        paths=tuple(paths),
        queries=tuple(queries),
        measures=(MEAN_AVERAGE_PRECISION, *([NS_SCORE] if four else [])),
        official=(
            sum(map(len, groups.values())),
            sum(len(members) for members in groups.values() if len(members) > 1),
        ),
        switches=switches,
        missing=tuple(_name(path, base) for path in missing),
        own=True,
    )


def _folders(folder: Path) -> Groups:
    """One group for each folder with photos in it."""
    groups: Groups = {
        below.name: [photo.path for photo in find_photos([below]).photos]
        for below in sorted(folder.iterdir())
        if below.is_dir() and not below.name.startswith(".")
    }
    groups = {name: photos for name, photos in groups.items() if photos}
    if not groups:
        raise DatasetError(
            f"{folder}: has neither a groups.json nor a folder of photos for each thing"
        )
    return groups


def _name(path: Path, base: Path) -> str:
    whole = absolute(base)  # without `..`, as the paths are
    return str(path.relative_to(whole) if path.is_relative_to(whole) else path)
