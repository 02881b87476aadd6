"""Groups of photos of the same thing, and near-duplicates.

Two photos are linked if each is among the other's nearest and their distance is below a limit
(as near-duplicates, if one is among the other's nearest and the distance is far below it); groups
are the connected components. The limit is estimated from the collection: around a photo without
related ones the distances to its neighbors grow with their rank as they do around a random point,
so ranks well above the size of a group show how near the nearest unrelated photo may be. It never
builds an n x n matrix.

Intrinsic dimension: Levina and Bickel, "Maximum likelihood estimation of intrinsic dimension",
NIPS 2004.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight.photos.images import thumbnail_figure
from resight.ranking.exact import Neighbors, Query

Kind = Literal["same-thing", "near-duplicate"]

MUTUAL = 10
"""Number of nearest neighbors that a photo can be linked to."""
RANKS = 40
"""Neighbors per photo for estimating the limit."""
CHANCE = 0.05
"""Probability that the nearest unrelated photo is below the estimated limit. Mutual neighbors are
rarer; lower values lose more views than they prevent errors."""
NEAR_DUPLICATE = 0.4
"""Fraction of the limit below which photos are near-duplicates: the same picture, saved again,
resized or slightly cropped, not another view."""
BATCH = 64
"""Photos per batch of queries."""
MIN_PHOTOS = 8
"""Fewest photos to estimate a limit from."""


@dataclass(frozen=True)
class Group:
    """A group of two or more photos, ids ascending.

    Attributes:
        kind: `same-thing`, or `near-duplicate`: the same picture, saved again or resized.
        ids: of the photos in the collection.
        paths: of the photos' files, in the same order; empty until they are looked up.
    """

    kind: Kind
    ids: tuple[int, ...]
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class NeighborLists:
    """The nearest neighbors of each photo, nearest first, ties by ascending id.

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
    """The groups of a collection, by their first ids.

    Attributes:
        limit: the applied limit, the largest distance between linked photos.
        estimated_limit: the limit that fits the collection.
        groups: of photos of the same thing, and of near-duplicates.
    """

    limit: float
    estimated_limit: float
    groups: list[Group]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Return the limits and, for each group, its kind and the photos' paths."""
        groups = [
            {"kind": group.kind, "photos": list(map(_text, group.paths))} for group in self.groups
        ]
        return {"limit": self.limit, "estimated_limit": self.estimated_limit, "groups": groups}

    def to_csv(self) -> str:
        """Format the groups as CSV (RFC 4180): number from 1, kind, path; one row per photo."""
        target = io.StringIO()
        writer = csv.writer(target)
        writer.writerow(("group", "kind", "path"))
        for number, group in enumerate(self.groups, 1):
            writer.writerows((number, group.kind, _text(path)) for path in group.paths)
        return target.getvalue()

    def _repr_html_(self) -> str:
        """Show thumbnails of the groups in a notebook."""
        return "".join(
            f"<div><p>{number}. {group.kind}</p>{''.join(map(thumbnail_figure, group.paths))}</div>"
            for number, group in enumerate(self.groups, 1)
        )


def neighbor_lists_of(
    ids: np.ndarray,
    queries_of: Callable[[np.ndarray], Sequence[Query]],
    find: Callable[[Sequence[Query], int], Sequence[Neighbors]],
    progress: Callable[[int, int], None] | None = None,
    k: int = RANKS,
) -> NeighborLists:
    """Find the k nearest others of each photo, ids ascending (N,), in any store.

    `queries_of` maps ids to descriptors; `find` maps queries and k to the k nearest of each,
    exactly or approximately; `progress` is called with photos done and photos in all.
    """
    count = len(ids)
    k = max(0, min(k, count - 1))
    rows, distances = np.zeros((count, k), np.int32), np.zeros((count, k), np.float32)
    for start in range(0, count, BATCH):
        queries = queries_of(ids[start : start + BATCH])
        for row, near in enumerate(find(queries, k + 1), start):
            others = np.flatnonzero(near.ids != ids[row])[:k]  # k + 1 copies may hide it
            rows[row] = np.searchsorted(ids, near.ids[others])
            distances[row] = near.distances[others]
        if progress:
            progress(start + len(queries), count)
    return NeighborLists(ids, rows, distances)


def estimate_limit(lists: NeighborLists) -> float:
    """Estimate the distance below which photos of a collection show the same thing.

    Around each photo, the neighbors from rank r to rank k are assumed to be unrelated: k is the
    length of the lists, but at most half of the collection; r is a quarter of k, in small
    collections the fourth. If unrelated photos are spread evenly in m dimensions,
    `log(d_k / d_j)` is on average the sum of `1 / (m i)` for i from j to k - 1, which determines m;
    and the nearest of them is with the probability `CHANCE` within
    `d_r * (1 - (1 - CHANCE)**(1 / (r - 1)))**(1 / m)`. The limit is the median over the photos,
    robust to a few clusters of similar photos and to outliers.

    Returns:
        0 or more; 0 (only copies are joined) for fewer than `MIN_PHOTOS` photos.
    """
    count, k = lists.distances.shape
    if count < MIN_PHOTOS:
        return 0.0
    k = min(k, count // 2)
    r = max(min(4, k // 2), k // 4)
    unrelated = lists.distances[:, r - 1 : k].astype(np.float64)
    unrelated = unrelated[unrelated[:, 0] > 0]
    if not len(unrelated):
        return 0.0
    inverse = np.log(unrelated[:, -1:] / unrelated[:, :-1]).mean(axis=1)
    harmonic = np.cumsum(1 / np.arange(k - 1, r - 1, -1.0))
    inverse /= harmonic.mean()  # now 1 / m
    share = 1 - (1 - CHANCE) ** (1 / (r - 1))
    return float(np.median(unrelated[:, 0] * share**inverse))


def group_photos(lists: NeighborLists, limit: float, *, mutual: int = MUTUAL) -> list[Group]:
    """Group photos by a limit; deterministic, sorted by first id.

    A group of photos of the same thing may contain near-duplicates, which are a group as well; a
    group of only near-duplicates is listed as that only.

    Args:
        lists: the nearest neighbors of each photo.
        limit: largest distance between linked photos, for near-duplicates times `NEAR_DUPLICATE`.
        mutual: photos are linked if each is among this number of nearest of the other.
    """
    pairs, distances, both = _near_pairs(lists, mutual)
    # With more copies than a list is long, they are not all in each other's lists.
    copied = distances <= NEAR_DUPLICATE * limit
    copies = _components(pairs[copied], lists.ids)
    same = _components(pairs[copied | (both & (distances <= limit))], lists.ids)
    duplicates = set(copies)
    groups = [Group("same-thing", ids) for ids in same if ids not in duplicates]
    groups += [Group("near-duplicate", ids) for ids in copies]
    return sorted(groups, key=lambda group: (group.ids[0], group.kind == "near-duplicate"))


def _text(path: Path) -> str:
    """Return a path as text that can be encoded: undecodable bytes are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _near_pairs(lists: NeighborLists, mutual: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of neighbors, int64 (P, 2), distances (P,), and mutuality, bool (P,)."""
    near = lists.rows[:, :mutual].astype(np.int64)
    count, k = near.shape
    pairs = np.stack([np.repeat(np.arange(count), k), near.ravel()], axis=1)
    pairs.sort(axis=1)
    keys = pairs[:, 0] * count + pairs[:, 1]
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    return pairs[first], lists.distances[:, :mutual].ravel()[first], times == 2


def _components(pairs: np.ndarray, ids: np.ndarray) -> list[tuple[int, ...]]:
    """Return the ids of each connected component of pairs of rows, ascending."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(len(ids), len(ids)))
    _, labels = connected_components(graph, directed=False)
    rows = np.unique(pairs)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[rows])) + 1
    return [tuple(ids[part].tolist()) for part in np.split(rows, starts) if len(part)]
