"""UKB, the University of Kentucky benchmark: 10200 photos, four of each thing.

Source: Nister and Stewenius, "Scalable recognition with a vocabulary tree", CVPR 2006.
"""

import re
from pathlib import Path

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery, Photos
from resight.evaluation.datasets.folders import NS_SCORE
from resight.evaluation.protocols import Judgement

PHOTOS, GROUP = 10200, 4
NAME = re.compile(r"ukbench(\d{5})")


def read_ukb(folder: Path, *, queries: str = "all") -> Dataset:
    """The benchmark; four consecutive numbers are one thing.

    Args:
        folder: with `ukbench00000.jpg` and so on, or with a folder of them.
        queries: `all` photos, or the `first` of each group, as the paper says.

    Raises:
        DatasetError: no such photos.
    """
    photos = Photos(folder, listed_names())
    groups: dict[int, set[int]] = {}
    for place, name in enumerate(photos.names):
        groups.setdefault(_number(name) // GROUP, set()).add(place)
    wanted = [name for name in photos.names if queries == "all" or _number(name) % GROUP == 0]
    found = tuple(
        DatasetQuery(
            name,
            photos.paths[row],
            {"first four": Judgement(frozenset(groups[_number(name) // GROUP]))},
            row=row,
            group=f"{_number(name) // GROUP:04d}",
        )
        for name in wanted
        if (row := photos.row(name)) is not None
    )
    return Dataset(
        name="ukb",
        names=photos.names,
        paths=photos.paths,
        queries=found,
        measures=(NS_SCORE,),
        official=(PHOTOS, PHOTOS if queries == "all" else PHOTOS // GROUP),
        switches={"queries": "every photo" if queries == "all" else "the first of each group"},
        missing=photos.missing,
    )


def listed_names() -> list[str]:
    """The names of the benchmark's photos."""
    return [f"ukbench{number:05d}" for number in range(PHOTOS)]


def _number(name: str) -> int:
    matched = NAME.fullmatch(name)
    if matched is None:
        raise DatasetError(f"{name}: no name of a photo of UKB")
    return int(matched[1])
