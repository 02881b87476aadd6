"""A folder with groups: a `groups.json`, or one folder for each object."""

from pathlib import Path

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import (
    MEAN_AVERAGE_PRECISION,
    NS_SCORE,
    Benchmark,
    Dataset,
    DatasetQuery,
)
from resight.evaluation.measures import GroupTruth, Judgement, read_groups
from resight.photos import absolute
from resight.photos.files import find_photos


def read_folder(folder: Path) -> Dataset:
    """Read the groups of a folder; each photo of a group of two or more is a query (section 9).

    Args:
        folder: a `groups.json`, a folder with one, or a folder with a folder for each group.

    Raises:
        DatasetError: there is none of these, or no group has two photos.
    """
    file = folder / "groups.json" if folder.is_dir() else folder
    if not folder.exists():
        raise DatasetError(f"{folder}: no such file or folder")
    groups = read_groups(file) if file.is_file() else _folders(folder)
    base = file.parent if file.is_file() else folder
    existing = {name: [p for p in paths if p.is_file()] for name, paths in groups.items()}
    paths = [path for members in existing.values() for path in members]
    rows = {path: row for row, path in enumerate(paths)}
    missing = [path for members in groups.values() for path in members if path not in rows]
    queries = []
    for name, members in existing.items():
        all_rows = frozenset(rows[path] for path in members)
        for path in members if len(members) > 1 else ():
            own = frozenset([rows[path]])
            judgements = {"all": Judgement(all_rows - own, own)}
            if len(groups[name]) == 4:
                judgements["first four"] = Judgement(all_rows)
            # File names may recur from folder to folder.
            query_name = _relative_name(path, base)
            queries.append(DatasetQuery(query_name, path, judgements, row=rows[path]))
    if not queries:
        raise DatasetError(f"{folder}: no group has two photos or more: there is nothing to rank")
    four = any("first four" in query.judgements for query in queries)
    return Dataset(
        name=base.resolve().name,
        names=tuple(_relative_name(path, base) for path in paths),
        paths=tuple(paths),
        queries=tuple(queries),
        measures=(MEAN_AVERAGE_PRECISION, *([NS_SCORE] if four else [])),
        official=(
            sum(map(len, groups.values())),
            sum(len(members) for members in groups.values() if len(members) > 1),
        ),
        switches={"queries": "every photo of a group of two or more"},
        missing=tuple(_relative_name(path, base) for path in missing),
        own=True,
    )


def _folders(folder: Path) -> GroupTruth:
    """Return one group for each folder with photos in it."""
    groups: GroupTruth = {
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


def _relative_name(path: Path, base: Path) -> str:
    base = absolute(base)  # without `..`, as the paths are
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


GROUPS = Benchmark("groups", read_folder)
