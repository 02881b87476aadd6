"""UKB, the University of Kentucky benchmark: 10200 photos, four of each object.

Source: Nister and Stewenius, "Scalable recognition with a vocabulary tree", CVPR 2006.
"""

from pathlib import Path

from resight.evaluation.datasets.dataset import (
    NS_SCORE,
    Benchmark,
    Dataset,
    DatasetQuery,
    Origin,
    Photos,
)
from resight.evaluation.measures import Judgement

PHOTOS = 10200
GROUP = 4


def read_ukb(folder: Path, *, queries: str = "all") -> Dataset:
    """Read the benchmark (`ukbench00000.jpg` and so on); four consecutive numbers show one object.

    Queries are `all` photos, or the `first` of each group, as in the paper.

    Raises:
        DatasetError: there are no such photos.
    """
    photos = Photos(folder, (f"ukbench{number:05d}" for number in range(PHOTOS)))
    groups: dict[int, set[int]] = {}
    for row, name in enumerate(photos.names):
        groups.setdefault(_number(name) // GROUP, set()).add(row)
    names = [name for name in photos.names if queries == "all" or _number(name) % GROUP == 0]
    dataset_queries = tuple(
        DatasetQuery(
            name,
            photos.all[name],
            {"first four": Judgement(frozenset(groups[_number(name) // GROUP]))},
            row=photos.row(name),
        )
        for name in names
    )
    return Dataset(
        name="ukb",
        names=photos.names,
        paths=photos.paths,
        queries=dataset_queries,
        measures=(NS_SCORE,),
        official=(PHOTOS, PHOTOS if queries == "all" else PHOTOS // GROUP),
        switches={"queries": "every photo" if queries == "all" else "the first of each group"},
        missing=photos.missing,
    )


def _number(name: str) -> int:
    return int(name.removeprefix("ukbench"))


UKB = Benchmark(
    "ukb",
    read_ukb,
    switches={"queries": ("all", "first")},
    origin=Origin(
        "https://archive.org/details/ukbench",
        "see there",
        "Nister and Stewenius, Scalable recognition with a vocabulary tree, CVPR 2006",
    ),
)
