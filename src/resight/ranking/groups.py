"""The collection sorted into photos of the same thing and near-duplicates.

Two photos are joined when each is among the other's nearest and their distance is under a limit
(far under it, as near-duplicates, when one is among the other's nearest); what is joined directly
or by others is a group. The limit is estimated from the collection alone:
around a photo without repeats the distances to its neighbors grow with their rank as they do
around a random point, so ranks well above the size of a group tell how near the nearest stranger
may be. NumPy only; no n x n matrix comes to be.

Intrinsic dimension: Levina and Bickel, "Maximum likelihood estimation of intrinsic dimension",
NIPS 2004.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from resight.ranking.exact import (
    GONE,
    Database,
    Distance,
    Neighbors,
    Query,
    manhattan,
    nearest_to_each,
)

Kind = Literal["same-thing", "near-duplicate"]

MUTUAL = 10
"""Photos can be joined to so many of their nearest."""
RANKS = 40
"""Neighbors that are looked at to estimate the limit."""
CHANCE = 0.05
"""How often the nearest stranger of a photo may come under the estimated limit. That a stranger
is also near by the other's measure is rarer; lower values lose more views than they spare errors.
"""
NEAR_DUPLICATE = 0.4
"""Share of the limit from which on photos are near-duplicates: the same picture, saved anew,
resized or slightly cut, not another view."""
TOGETHER = 64
"""Photos whose neighbors are looked for at once."""
FEW = 8
"""With fewer photos there is nothing to learn a limit from."""


@dataclass(frozen=True)
class Group:
    """Photos that belong together: ids ascending, two or more."""

    kind: Kind
    ids: tuple[int, ...]


@dataclass(frozen=True)
class NeighborLists:
    """Each photo's nearest others, nearest first, ties by ascending id.

    Attributes:
        ids: int64 (N,), ascending.
        rows: int32 (N, k), rows of the neighbors in `ids`; k is at most N - 1.
        distances: float32 (N, k).
    """

    ids: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Groups:
    """A collection's groups, by their first ids, and the limits used and estimated."""

    limit: float
    estimated_limit: float
    groups: list[Group]


def find_groups(
    database: Database,
    distance: Distance = manhattan,
    limit: float | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Groups:
    """The groups of a collection.

    Args:
        database: descriptors as they are searched.
        distance: between them.
        limit: largest distance between photos that are joined; None is the estimated one.
        progress: called with photos done and photos in all.
    """
    lists = neighbor_lists(database, distance, progress=progress)
    estimated = estimate_limit(lists)
    used = estimated if limit is None else limit
    return Groups(used, estimated, group_photos(lists, used))


def neighbor_lists(
    database: Database,
    distance: Distance = manhattan,
    k: int = RANKS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NeighborLists:
    """The k nearest others of each photo.

    Memory grows with N * k and a scan's block, so they can be kept while limits are tried out.
    """
    present = np.flatnonzero(database.ids != GONE)
    present = present[np.argsort(database.ids[present])]
    row_of = dict(zip(database.ids[present].tolist(), present.tolist(), strict=True))

    def queries_of(part: np.ndarray) -> list[Query]:
        rows = [row_of[id_] for id_ in part.tolist()]
        locals_ = [None if database.local is None else database.local[row] for row in rows]
        return [Query(*sides) for sides in zip(database.global_[rows], locals_, strict=True)]

    def find(queries: Sequence[Query], k: int) -> list[Neighbors]:
        return nearest_to_each(queries, database, k, distance)

    return neighbor_lists_of(database.ids[present], queries_of, find, progress, k)


def neighbor_lists_of(
    ids: np.ndarray,
    queries_of: Callable[[np.ndarray], Sequence[Query]],
    find: Callable[[Sequence[Query], int], Sequence[Neighbors]],
    progress: Callable[[int, int], None] | None = None,
    k: int = RANKS,
) -> NeighborLists:
    """Likewise, wherever the photos are searched.

    Args:
        ids: of all photos, ascending (N,).
        queries_of: from some of the ids to their descriptors.
        find: from queries and k to the k nearest of each, an approximate search's as well.
        progress: called with photos done and photos in all.
        k: how many others, at most N - 1.
    """
    count = len(ids)
    k = max(0, min(k, count - 1))
    rows, distances = np.zeros((count, k), np.int32), np.zeros((count, k), np.float32)
    for start in range(0, count, TOGETHER):
        queries = queries_of(ids[start : start + TOGETHER])
        for row, near in enumerate(find(queries, k + 1), start):
            others = np.flatnonzero(near.ids != ids[row])[:k]  # k + 1 copies may hide it
            rows[row] = np.searchsorted(ids, near.ids[others])
            distances[row] = near.distances[others]
        if progress:
            progress(start + len(queries), count)
    return NeighborLists(ids, rows, distances)


def estimate_limit(lists: NeighborLists) -> float:
    """The distance under which photos of a collection show the same thing.

    Around each photo, the neighbors from rank r to rank k are taken for strangers: k is the length
    of the lists, but no more than half of the collection, for beyond it there is no "around"; r is
    a quarter of k, in small collections the fourth. If strangers are spread evenly in m
    dimensions, `log(d_k / d_j)` is on average the sum of `1 / (m i)` for i from j to k - 1, which
    gives m; and the nearest of them is with the probability `CHANCE` within
    `d_r * (1 - (1 - CHANCE)**(1 / (r - 1)))**(1 / m)`.
    The median over the photos is the limit: neither a few crowds of similar photos nor a few
    outliers decide it.

    Returns:
        0 or more; 0 (only copies are joined) for fewer than `FEW` photos.
    """
    count, k = lists.distances.shape
    if count < FEW:
        return 0.0
    k = min(k, count // 2)
    r = max(min(4, k // 2), k // 4)
    strangers = lists.distances[:, r - 1 : k].astype(np.float64)
    strangers = strangers[strangers[:, 0] > 0]
    if not len(strangers):
        return 0.0
    inverse = np.log(strangers[:, -1:] / strangers[:, :-1]).mean(axis=1)
    harmonic = np.cumsum(1 / np.arange(k - 1, r - 1, -1.0))
    inverse /= harmonic.mean()  # now 1 / m
    share = 1 - (1 - CHANCE) ** (1 / (r - 1))
    return float(np.median(strangers[:, 0] * share**inverse))


def group_photos(lists: NeighborLists, limit: float, *, mutual: int = MUTUAL) -> list[Group]:
    """The groups under a limit, by their first ids; the same for equal input.

    A group of photos of the same thing may hold near-duplicates, which are then a group as well;
    a group that is nothing but near-duplicates of one another is listed as that alone.

    Args:
        lists: each photo's nearest.
        limit: largest distance between photos that are joined; near-duplicates are joined under
            `NEAR_DUPLICATE` of it.
        mutual: photos are joined when each is among so many nearest of the other.
    """
    pairs, distances, both = _near_pairs(lists, mutual)
    # Of more copies than a list holds, not all are in each other's.
    copied = distances <= NEAR_DUPLICATE * limit
    copies = _components(pairs[copied], lists.ids)
    same = _components(pairs[copied | (both & (distances <= limit))], lists.ids)
    duplicates = set(copies)
    groups = [Group("same-thing", ids) for ids in same if ids not in duplicates]
    groups += [Group("near-duplicate", ids) for ids in copies]
    return sorted(groups, key=lambda group: (group.ids[0], group.kind == "near-duplicate"))


def groups_as_json(found: Groups, paths: Mapping[int, Path]) -> str:
    """The groups as a JSON text: limits and, for each group, its kind and the photos' paths."""
    groups = [
        {"kind": group.kind, "photos": [_text(paths[id_]) for id_ in group.ids]}
        for group in found.groups
    ]
    return json.dumps(
        {"limit": found.limit, "estimated_limit": found.estimated_limit, "groups": groups},
        indent=2,
    )


def groups_as_csv(found: Groups, paths: Mapping[int, Path]) -> str:
    """The groups as a CSV text (RFC 4180): group number from 1, kind, path; a row a photo."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(("group", "kind", "path"))
    for number, group in enumerate(found.groups, 1):
        writer.writerows((number, group.kind, _text(paths[id_])) for id_ in group.ids)
    return target.getvalue()


def _text(path: Path) -> str:
    """A path as text that can be encoded: undecodable bytes are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _near_pairs(lists: NeighborLists, mutual: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows of which one is among the other's nearest.

    Returns:
        int64 (P, 2), the smaller row first; their distances (P,); bool (P,), whether each is
        among the other's nearest.
    """
    near = lists.rows[:, :mutual].astype(np.int64)
    count, k = near.shape
    pairs = np.stack([np.repeat(np.arange(count), k), near.ravel()], axis=1)
    pairs.sort(axis=1)
    keys = pairs[:, 0] * count + pairs[:, 1]
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    return pairs[first], lists.distances[:, :mutual].ravel()[first], times == 2


def _components(pairs: np.ndarray, ids: np.ndarray) -> list[tuple[int, ...]]:
    """The ids that are connected by pairs of rows, for each component of two or more."""
    parent = {int(row): int(row) for row in np.unique(pairs)}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in pairs.tolist():
        # The smaller row becomes the root, so that the order of the pairs does not matter.
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for row in sorted(parent):
        members.setdefault(root(row), []).append(int(ids[row]))
    return [tuple(group) for group in members.values()]
