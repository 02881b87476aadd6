"""Groups of photos of the same thing, and near-duplicates.

With evidence, photos are grouped by the probability of their pairs (`group_pairs`). Without it, or
up to a given limit, two photos are linked if each is among the other's nearest and their distance
is below the limit (as near-duplicates, if one is among the other's nearest and the distance is far
below it). The limit is estimated from the collection, as a share of the distance to strangers.
Both divide what is linked by average linkage (`linkage`), and never build an n x n matrix.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resight.photos.images import thumbnail_figure
from resight.ranking.exact import Neighbors, Query
from resight.ranking.linkage import (
    MAX_DIVIDED,
    UNCONSTRAINED,
    Constraints,
    components,
    divide,
    keep_apart,
    linked_groups,
    unite,
)
from resight.ranking.strangers import MIN_PHOTOS, RANKS, strangers_distance

Kind = Literal["same-thing", "near-duplicate"]

MUTUAL = 10
"""Number of nearest neighbors that a photo can be linked to."""
RELATIVE_LIMIT = 0.82
"""The limit as a share of the distance to unrelated photos. Smaller shares lose views of the same
thing, larger ones join unrelated photos; docs/results.md has figures."""
NEAR_DUPLICATE = 0.4
"""Fraction of the limit below which photos are near-duplicates: the same picture, saved again,
resized or slightly cropped, not another view."""
BATCH = 64
"""Photos per batch of queries."""
TIGHTENING = 0.9
"""Factor by which the limit is reduced to take more connected photos apart first."""


@dataclass(frozen=True)
class Group:
    """A group of two or more photos, ids ascending.

    Attributes:
        kind: `same-thing`, or `near-duplicate`: the same picture, saved again or resized.
        ids: of the photos in the collection.
        paths: of the photos' files, in the same order; empty until they are looked up.
        best: ID of the best photo; see `evaluation.best`.
    """

    kind: Kind
    ids: tuple[int, ...]
    paths: tuple[Path, ...] = ()
    best: int | None = None

    @property
    def best_path(self) -> Path | None:
        """The file of the best photo; None until the paths are looked up."""
        if self.best not in self.ids or not self.paths:
            return None
        return self.paths[self.ids.index(self.best)]


@dataclass(frozen=True)
class NeighborLists:
    """The nearest neighbors of each photo, nearest first, ties by ascending id.

    Attributes:
        ids: int64 (N,), ascending.
        rows: int32 (N, k), rows of the neighbors in `ids`; k is at most N - 1.
        distances: float32 (N, k).
        copies: further photos of identical content, which are not listed, by the first of them.
    """

    ids: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    copies: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Groups:
    """The groups of a collection, by their first ids.

    Attributes:
        limit: the applied limit, the largest distance between linked photos; None if they were
            grouped by evidence.
        estimated_limit: the limit that fits the collection.
        groups: of photos of the same thing, and of near-duplicates.
    """

    limit: float | None
    estimated_limit: float
    groups: list[Group]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def to_dict(self) -> dict[str, Any]:
        """Return the limits and, for each group, its kind, the photos' paths, and the best one."""
        groups = [
            {
                "kind": group.kind,
                "photos": list(map(_text, group.paths)),
                "best": None if group.best_path is None else _text(group.best_path),
            }
            for group in self.groups
        ]
        return {"limit": self.limit, "estimated_limit": self.estimated_limit, "groups": groups}

    def to_csv(self) -> str:
        """Format the groups as CSV (RFC 4180), one row per photo.

        The columns are number from 1, kind, path, and `best` ("yes" or nothing).
        """
        target = io.StringIO()
        writer = csv.writer(target)
        writer.writerow(("group", "kind", "path", "best"))
        for number, group in enumerate(self.groups, 1):
            for id_, path in zip(group.ids, group.paths, strict=False):
                best = "yes" if id_ == group.best else ""
                writer.writerow((number, group.kind, _text(path), best))
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

    It is the share `RELATIVE_LIMIT` of the distance to strangers, of which the median over the
    photos is robust to a few clusters and to outliers. The share is one for descriptors of a
    hundred dimensions or more, where the distances to strangers are much alike.

    Returns:
        0 or more; 0 (only copies are joined) for fewer than `MIN_PHOTOS` photos.
    """
    count = len(lists.ids)
    if count < MIN_PHOTOS:
        return 0.0
    return RELATIVE_LIMIT * float(np.median(strangers_distance(lists.distances, count)))


def group_photos(
    lists: NeighborLists,
    limit: float,
    *,
    mutual: int = MUTUAL,
    constraints: Constraints = UNCONSTRAINED,
) -> list[Group]:
    """Group photos by a limit; deterministic, sorted by first id.

    A group of photos of the same thing may contain near-duplicates, which are a group as well; a
    group of only near-duplicates is listed as that only.

    Args:
        lists: the nearest neighbors of each photo.
        limit: largest distance between linked photos, and mean distance between the parts of a
            group; for near-duplicates times `NEAR_DUPLICATE`.
        mutual: photos are linked if each is among this number of nearest of the other.
        constraints: respected exactly.
    """
    pairs, distances, both = _near_pairs(lists, mutual)
    allowed = ~constraints.forbidden(pairs)
    pairs, distances, both = pairs[allowed], distances[allowed], both[allowed]
    # With more copies than a list is long, they are not all in each other's lists.
    duplicate = NEAR_DUPLICATE * limit
    copied = distances <= duplicate
    copies = _components_apart(pairs[copied], len(lists.ids), constraints)
    linked = pairs[copied | (both & (distances <= limit))]
    things = _divided_components(linked, lists, limit, duplicate, constraints)
    return _listed(lists.ids, unite(things, constraints), copies)


def group_pairs(
    ids: np.ndarray,
    pairs: np.ndarray,
    probabilities: np.ndarray,
    copies: np.ndarray,
    *,
    linked: np.ndarray | None = None,
    constraints: Constraints = UNCONSTRAINED,
) -> list[Group]:
    """Group photos by the pairs that show the same thing; deterministic, sorted by first id.

    Args:
        ids: int64 (N,), ascending.
        pairs: int64 (P, 2), rows in `ids` of photos that were compared, the smaller first.
        probabilities: (P,), of showing the same thing.
        copies: bool (P,), near-duplicates.
        linked: bool (P,), pairs that are links; see `linked_groups`.
        constraints: respected exactly.
    """
    same = linked_groups(len(ids), pairs, probabilities, linked=linked, constraints=constraints)
    allowed = pairs[copies & ~constraints.forbidden(pairs)]
    return _listed(ids, same, _components_apart(allowed, len(ids), constraints))


def with_copies(groups: Sequence[Group], copies: Mapping[int, tuple[int, ...]]) -> list[Group]:
    """Add photos of identical content to groups of one photo of each, sorted.

    Args:
        groups: of the first photo of each content.
        copies: the further photos of a content, by the first.
    """
    whole = {first: (first, *others) for first, others in copies.items()}
    complete = [
        replace(
            group, ids=tuple(sorted(id_ for own in group.ids for id_ in whole.get(own, (own,))))
        )
        for group in groups
    ]
    listed = {id_ for group in groups if group.kind == "near-duplicate" for id_ in group.ids}
    complete += [Group("near-duplicate", whole[first]) for first in copies if first not in listed]
    return sorted(complete, key=lambda group: (group.ids[0], group.kind == "near-duplicate"))


def _components_apart(links: np.ndarray, count: int, constraints: Constraints) -> list[np.ndarray]:
    """Return the rows of each component of links (P, 2), divided where photos must be apart."""
    return [
        part for rows in components(links, count) for part in keep_apart(rows, links, constraints)
    ]


def _listed(
    ids: np.ndarray, same: Sequence[np.ndarray], duplicates: Sequence[np.ndarray]
) -> list[Group]:
    """Return groups of rows as those of photos, sorted; one of only near-duplicates once."""
    copies = [tuple(ids[rows].tolist()) for rows in duplicates]
    things = [tuple(ids[rows].tolist()) for rows in same]
    known = set(copies)
    groups = [Group("same-thing", members) for members in things if members not in known]
    groups += [Group("near-duplicate", members) for members in copies]
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


def _divided_components(
    pairs: np.ndarray,
    lists: NeighborLists,
    limit: float,
    floor: float,
    constraints: Constraints,
) -> list[np.ndarray]:
    """Divide the components of linked pairs by average linkage; return the rows of each part.

    More than `MAX_DIVIDED` photos that stay connected below the limit `floor` are one part.
    """
    parts: list[np.ndarray] = []
    for rows in components(pairs, len(lists.ids)):
        if len(rows) == 2:
            parts.append(rows)
        elif len(rows) <= MAX_DIVIDED:
            parts += divide(rows, lambda part: _pair_distances(part, lists), limit, constraints)
        elif limit <= floor:
            parts += keep_apart(rows, pairs, constraints)
        else:
            within, tighter = pairs[np.isin(pairs[:, 0], rows)], limit * TIGHTENING
            near = _pair_distances(within, lists) <= tighter
            parts += _divided_components(within[near], lists, tighter, floor, constraints)
    return parts


def _pair_distances(pairs: np.ndarray, lists: NeighborLists) -> np.ndarray:
    """Return the mean distance of both directions for pairs of rows (P, 2): float64 (P,).

    Two photos that are not in each other's lists are at least as far apart as the last ones there.
    """
    first, second = pairs.T
    return (_distances(first, second, lists) + _distances(second, first, lists)) / 2


def _distances(first: np.ndarray, second: np.ndarray, lists: NeighborLists) -> np.ndarray:
    """Return the distances of pairs of rows, of those not in the lists at least that: (P,)."""
    result = lists.distances[first, -1].astype(np.float64)
    for rank in range(lists.rows.shape[1]):
        here = lists.rows[first, rank] == second
        result[here] = lists.distances[first[here], rank]
    return result
