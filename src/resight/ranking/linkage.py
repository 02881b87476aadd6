"""Groups of photos from pairs that show the same thing.

Photos that are connected by links are divided by average linkage, so that one wrong link does not
join two groups, while panoramas whose ends do not overlap and long bursts stay whole.

Average linkage: Sokal and Michener, "A statistical method for evaluating systematic relationships",
1958.
"""

from collections.abc import Callable

import numpy as np

LINKED = 0.995
"""Minimum probability of a link: a wrong one costs more than a missing one."""
MEAN = 0.2
"""Least mean probability of the pairs between two parts of a group."""
SUPPORT = 2
"""Minimum number of common neighbors by which a pair that was not compared counts as linked."""
MAX_DIVIDED = 500
"""Most photos that are divided at once, which takes 8 MB for all their pairs."""

PairDistances = Callable[[np.ndarray], np.ndarray]
"""From pairs of rows (P, 2) to their distances (P,)."""


def linked_groups(count: int, pairs: np.ndarray, probabilities: np.ndarray) -> list[np.ndarray]:
    """Return the rows of each group of two or more photos, ascending.

    Args:
        count: number of photos.
        pairs: int64 (P, 2), rows of the photos that were compared, the smaller first, each once.
        probabilities: (P,), of showing the same thing.
    """
    from scipy.sparse import csr_array

    compared = csr_array((probabilities + 1, pairs.T), shape=(count, count))
    groups: list[np.ndarray] = []
    for rows in components(pairs[probabilities >= LINKED], count):
        if 2 < len(rows) <= MAX_DIVIDED:
            known = compared[rows][:, rows].toarray()
            groups += [rows[part] for part in _divide_compared(known + known.T)]
        else:
            groups.append(rows)
    return groups


def _divide_compared(known: np.ndarray) -> list[np.ndarray]:
    """Divide photos by the probabilities of their pairs plus 1, 0 where not compared, (n, n)."""
    linked = known >= 1 + LINKED
    while True:  # in a burst longer than the neighbor lists, support spreads frame by frame
        shared = linked.astype(np.float32) @ linked
        supported = linked | ((known == 0) & (shared >= SUPPORT))
        np.fill_diagonal(supported, val=False)
        if (supported == linked).all():
            break
        linked = supported
    distances = np.where(linked, 0.0, 1.0)
    distances = np.where(known > 0, 2 - known, distances)
    everything = np.arange(len(known))
    return divide(everything, lambda pairs: distances[pairs[:, 0], pairs[:, 1]], 1 - MEAN)


def components(pairs: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the rows of each connected component of pairs of rows (P, 2), ascending."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    rows = np.unique(pairs)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[rows])) + 1
    return [part for part in np.split(rows, starts) if len(part)]


def divide(rows: np.ndarray, distances: PairDistances, limit: float) -> list[np.ndarray]:
    """Divide photos into clusters whose mean distances are within a limit; leave out single ones.

    Args:
        rows: of the photos, ascending.
        distances: of pairs of rows.
        limit: largest mean distance between the parts of a cluster.
    """
    from scipy.cluster.hierarchy import average, fcluster

    first, second = np.triu_indices(len(rows), 1)
    pairs = np.stack([rows[first], rows[second]], axis=1)
    labels = fcluster(average(distances(pairs)), limit, "distance")
    clusters = [rows[labels == label] for label in np.unique(labels)]
    return [cluster for cluster in clusters if len(cluster) > 1]
