"""Groups of photos of the same thing, and near-duplicates.

Two photos are linked if each is among the other's nearest and their distance is below a limit
(as near-duplicates, if one is among the other's nearest and the distance is far below it).
Connected photos are divided by average linkage, so that one wrong link does not join two groups.
The limit is estimated from the collection, as a share of the distance to unrelated photos. It never
builds an n x n matrix.

Distances relative to those of other neighbors: Jegou, Harzallah and Schmid, "A contextual
dissimilarity measure for accurate and efficient image search", CVPR 2007. Average linkage: Sokal
and Michener, "A statistical method for evaluating systematic relationships", 1958.
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
RANKS = 60
"""Neighbors per photo, most of them unrelated to it."""
RELATED = 20
"""Neighbors per photo that may be related to it, at most a third of the collection."""
RELATIVE_LIMIT = 0.82
"""The limit as a share of the distance to unrelated photos. Smaller shares lose views of the same
thing, larger ones join unrelated photos; docs/results.md has figures."""
NEAR_DUPLICATE = 0.4
"""Fraction of the limit below which photos are near-duplicates: the same picture, saved again,
resized or slightly cropped, not another view."""
BATCH = 64
"""Photos per batch of queries."""
MIN_PHOTOS = 8
"""Fewest photos to estimate a limit from."""
MAX_DIVIDED = 500
"""Most photos that are divided at once, which takes 8 MB for all their pairs."""
TIGHTENING = 0.9
"""Factor by which the limit is reduced to take more connected photos apart first."""


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

    The neighbors of a photo from rank `RELATED` to `RANKS` are taken for unrelated, in small
    collections those in its second third. The limit is the share `RELATIVE_LIMIT` of their mean
    distance, of which the median over the photos is robust to a few clusters and to outliers. The
    share is one for descriptors of a hundred dimensions or more, where the distances to unrelated
    photos are much alike.

    Returns:
        0 or more; 0 (only copies are joined) for fewer than `MIN_PHOTOS` photos.
    """
    count, k = lists.distances.shape
    if count < MIN_PHOTOS:
        return 0.0
    unrelated = lists.distances[:, min(RELATED, count // 3, k) - 1 : 2 * count // 3]
    return RELATIVE_LIMIT * float(np.median(unrelated.mean(axis=1, dtype=np.float64)))


def group_photos(lists: NeighborLists, limit: float, *, mutual: int = MUTUAL) -> list[Group]:
    """Group photos by a limit; deterministic, sorted by first id.

    A group of photos of the same thing may contain near-duplicates, which are a group as well; a
    group of only near-duplicates is listed as that only.

    Args:
        lists: the nearest neighbors of each photo.
        limit: largest distance between linked photos, and mean distance between the parts of a
            group; for near-duplicates times `NEAR_DUPLICATE`.
        mutual: photos are linked if each is among this number of nearest of the other.
    """
    pairs, distances, both = _near_pairs(lists, mutual)
    # With more copies than a list is long, they are not all in each other's lists.
    duplicate = NEAR_DUPLICATE * limit
    copied = distances <= duplicate
    copies = [tuple(lists.ids[rows].tolist()) for rows in _components(pairs[copied], lists)]
    linked = pairs[copied | (both & (distances <= limit))]
    divided = _divided_components(linked, lists, limit, duplicate)
    same = [tuple(lists.ids[rows].tolist()) for rows in divided]
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


def _components(pairs: np.ndarray, lists: NeighborLists) -> list[np.ndarray]:
    """Return the rows of each connected component of pairs of rows, ascending."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(lists.ids)
    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    rows = np.unique(pairs)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[rows])) + 1
    return [part for part in np.split(rows, starts) if len(part)]


def _divided_components(
    pairs: np.ndarray, lists: NeighborLists, limit: float, floor: float
) -> list[np.ndarray]:
    """Divide the components of linked pairs by average linkage; return the rows of each part.

    More than `MAX_DIVIDED` photos that stay connected below the limit `floor` are one part.
    """
    parts: list[np.ndarray] = []
    for rows in _components(pairs, lists):
        if len(rows) == 2:
            parts.append(rows)
        elif len(rows) <= MAX_DIVIDED:
            parts += _divide(rows, lists, limit)
        elif limit <= floor:
            parts.append(rows)
        else:
            within, tighter = pairs[np.isin(pairs[:, 0], rows)], limit * TIGHTENING
            near = _pair_distances(within, lists) <= tighter
            parts += _divided_components(within[near], lists, tighter, floor)
    return parts


def _divide(rows: np.ndarray, lists: NeighborLists, limit: float) -> list[np.ndarray]:
    """Divide photos into clusters whose mean distances are within a limit; leave out single ones.

    Two photos that are not in each other's lists are at least as far apart as the last ones there.
    """
    from scipy.cluster.hierarchy import average, fcluster

    first, second = np.triu_indices(len(rows), 1)
    pairs = np.stack([rows[first], rows[second]], axis=1)
    labels = fcluster(average(_pair_distances(pairs, lists)), limit, "distance")
    clusters = [rows[labels == label] for label in np.unique(labels)]
    return [cluster for cluster in clusters if len(cluster) > 1]


def _pair_distances(pairs: np.ndarray, lists: NeighborLists) -> np.ndarray:
    """Return the mean distance of both directions for pairs of rows (P, 2): float64 (P,)."""
    first, second = pairs.T
    return (_distances(first, second, lists) + _distances(second, first, lists)) / 2


def _distances(first: np.ndarray, second: np.ndarray, lists: NeighborLists) -> np.ndarray:
    """Return the distances of pairs of rows, of those not in the lists at least that: (P,)."""
    result = lists.distances[first, -1].astype(np.float64)
    for rank in range(lists.rows.shape[1]):
        here = lists.rows[first, rank] == second
        result[here] = lists.distances[first[here], rank]
    return result
