"""Groups of a database in memory, through the functions that search stores use."""

from collections.abc import Callable, Sequence

import numpy as np

from resight.ranking.exact import (
    REMOVED_ID,
    Database,
    Distance,
    Neighbors,
    Query,
    manhattan,
    nearest_to_each,
)
from resight.ranking.groups import (
    RANKS,
    Groups,
    NeighborLists,
    estimate_limit,
    group_photos,
    neighbor_lists_of,
)


def find_groups(
    database: Database,
    distance: Distance = manhattan,
    limit: float | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Groups:
    """Find the groups of a database; without a limit the estimated one is applied."""
    lists = neighbor_lists(database, distance, progress=progress)
    estimated = estimate_limit(lists)
    applied = estimated if limit is None else limit
    return Groups(applied, estimated, group_photos(lists, applied))


def neighbor_lists(
    database: Database,
    distance: Distance = manhattan,
    k: int = RANKS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NeighborLists:
    """Find the k nearest others of each photo; memory grows with N * k."""
    present = np.flatnonzero(database.ids != REMOVED_ID)
    present = present[np.argsort(database.ids[present])]
    row_of = dict(zip(database.ids[present].tolist(), present.tolist(), strict=True))

    def queries_of(part: np.ndarray) -> list[Query]:
        rows = [row_of[id_] for id_ in part.tolist()]
        locals_ = [None if database.local is None else database.local[row] for row in rows]
        return [Query(*sides) for sides in zip(database.global_[rows], locals_, strict=True)]

    def find(queries: Sequence[Query], k: int) -> list[Neighbors]:
        return nearest_to_each(queries, database, k, distance)

    return neighbor_lists_of(database.ids[present], queries_of, find, progress, k)
