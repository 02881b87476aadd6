"""Groups of photos from pairs that show the same thing.

Photos that are connected by links are divided so that one wrong link does not join two groups,
while panoramas whose ends do not overlap and long bursts stay whole. Probabilities are divided by
correlation clustering, in which each pair speaks for or against one group by its log odds (Bansal,
Blum and Chawla, Machine Learning 2004), solved greedily (additive edge contraction: Keuper et al.,
"Efficient decomposition of image and mesh graphs by lifted multicuts", ICCV 2015). Distances are
divided by average linkage (Sokal and Michener, 1958).
"""

import itertools
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

LINKED = 0.95
"""Minimum probability of a link: a wrong one costs more than a missing one."""
NEUTRAL = 0.14
"""Probability of a pair that speaks neither for nor against one group: photos that are linked by
others are likely to show the same thing, even if they agree in nothing."""
CERTAIN = 0.985
"""Largest probability that counts, so that a few wrong links do not outweigh all other pairs."""
UNLIKELY = 0.01
"""Smallest probability that counts."""
UNCOMPARED = 0.03
"""Probability of a pair that was not compared, because the photos are not near."""
SUPPORT = 2
"""Minimum number of common neighbors by which a pair that was not compared counts as linked."""
MAX_DIVIDED = 500
"""Most photos that are divided at once, which takes 8 MB for all their pairs."""

PairDistances = Callable[[np.ndarray], np.ndarray]
"""From pairs of rows (P, 2) to their distances (P,)."""


@dataclass(frozen=True)
class Constraints:
    """Photos that belong into one group, and photos that must not be in one group.

    Attributes:
        labels: int64 (N,), by row: the set of photos that belong together; -1 for none. Empty
            without any constraint.
        apart: pairs of labels, the smaller first, whose photos are in no group together.
    """

    labels: np.ndarray
    apart: frozenset[tuple[int, int]]

    def forbidden(self, pairs: np.ndarray) -> np.ndarray:
        """Return which pairs of rows (P, 2) must not be in one group: bool (P,)."""
        if not self.apart or not len(pairs):
            return np.zeros(len(pairs), bool)
        size = 1 + max(high for _, high in self.apart)
        apart = [low * size + high for low, high in self.apart]
        low, high = np.sort(self.labels[pairs], axis=1).T
        return (low >= 0) & (high < size) & np.isin(low * size + high, apart)

    def of(self, rows: np.ndarray) -> "Constraints":
        """Return the constraints of some photos, by their places in `rows`."""
        if not len(self.labels):
            return self
        labels = self.labels[rows]
        present = set(labels.tolist())
        return Constraints(labels, frozenset(pair for pair in self.apart if present >= set(pair)))

    def allow(self, labels: AbstractSet[int]) -> bool:
        """Return whether photos of all these labels may be in one group."""
        pairs = itertools.combinations(sorted(labels), 2)
        return self.apart.isdisjoint(pairs)


UNCONSTRAINED = Constraints(np.zeros(0, np.int64), frozenset())


def linked_groups(
    count: int,
    pairs: np.ndarray,
    probabilities: np.ndarray,
    *,
    linked: np.ndarray | None = None,
    constraints: Constraints = UNCONSTRAINED,
) -> list[np.ndarray]:
    """Return the rows of each group of two or more photos, ascending.

    Args:
        count: number of photos.
        pairs: int64 (P, 2), rows of the photos that were compared, the smaller first, each once.
        probabilities: (P,), of showing the same thing.
        linked: bool (P,), pairs that are links; by default those of a probability of `LINKED`.
        constraints: respected exactly.
    """
    from scipy.sparse import csr_array

    if linked is None:
        linked = probabilities >= LINKED
    linked = linked & ~constraints.forbidden(pairs)
    compared = csr_array((probabilities + 1, pairs.T), shape=(count, count))
    links = csr_array((linked, pairs.T), shape=(count, count))
    strongest_first = np.argsort(-probabilities[linked], kind="stable")
    groups: list[np.ndarray] = []
    for rows in components(pairs[linked], count):
        if 2 < len(rows) <= MAX_DIVIDED:
            known, strong = compared[rows][:, rows].toarray(), links[rows][:, rows].toarray()
            parts = _divide_compared(known + known.T, strong | strong.T, constraints.of(rows))
            groups += [rows[part] for part in parts]
        else:
            groups += keep_apart(rows, pairs[linked][strongest_first], constraints)
    return unite(groups, constraints)


def _divide_compared(
    known: np.ndarray, linked: np.ndarray, constraints: Constraints
) -> list[np.ndarray]:
    """Divide photos by the probabilities of their pairs plus 1, 0 where not compared, (n, n)."""
    while True:  # in a burst longer than the neighbor lists, support spreads frame by frame
        shared = linked.astype(np.float32) @ linked
        supported = linked | ((known == 0) & (shared >= SUPPORT))
        np.fill_diagonal(supported, val=False)
        if (supported == linked).all():
            break
        linked = supported
    probabilities = np.where(known > 0, known - 1, np.where(linked, 1.0, UNCOMPARED))
    pairs = np.stack(np.triu_indices(len(known), 1), axis=1)
    weights = log_odds(np.clip(probabilities, UNLIKELY, CERTAIN)) - log_odds(NEUTRAL)
    forbidden = pairs[constraints.forbidden(pairs)]
    weights[forbidden[:, 0], forbidden[:, 1]] = weights[forbidden[:, 1], forbidden[:, 0]] = -np.inf
    labels = join(weights)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [part for part in parts if len(part) > 1]


def log_odds(probability: np.ndarray | float) -> np.ndarray:
    """Return the natural logarithm of the odds of a probability between 0 and 1."""
    return np.asarray(np.log(probability) - np.log1p(-np.asarray(probability)))


def join(weights: np.ndarray) -> np.ndarray:
    """Join items into clusters while the sum of the weights between two clusters is positive.

    The two with the largest sum are joined first.

    Args:
        weights: float64 (n, n), symmetric; positive for items that belong together, negative for
            items that do not.

    Returns:
        The label of each item's cluster, int64 (n,).

    >>> join(np.array([[0.0, 5.0, 1.0], [5.0, 0.0, -2.0], [1.0, -2.0, 0.0]]))
    array([0, 0, 2])
    """
    sums, labels = weights.copy(), np.arange(len(weights))
    np.fill_diagonal(sums, -np.inf)
    while True:
        first, second = sorted(np.unravel_index(sums.argmax(), sums.shape))
        if sums[first, second] <= 0:
            return labels
        sums[first] += sums[second]
        sums[:, first] = sums[first]
        sums[second] = sums[:, second] = sums[first, first] = -np.inf
        labels[labels == second] = first


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


def divide(
    rows: np.ndarray,
    distances: PairDistances,
    limit: float,
    constraints: Constraints = UNCONSTRAINED,
) -> list[np.ndarray]:
    """Divide photos into clusters whose mean distances are within a limit; leave out single ones.

    Args:
        rows: of the photos, ascending.
        distances: of pairs of rows.
        limit: largest mean distance between the parts of a cluster.
        constraints: photos that are in no cluster together.
    """
    from scipy.cluster.hierarchy import average, fcluster

    first, second = np.triu_indices(len(rows), 1)
    pairs = np.stack([rows[first], rows[second]], axis=1)
    values = distances(pairs)
    # One forbidden pair puts the mean of all pairs of two clusters beyond the limit.
    beyond = (1 + limit + float(values.max(initial=0))) * len(rows) ** 2
    values = np.where(constraints.forbidden(pairs), beyond, values)
    labels = fcluster(average(values), limit, "distance")
    clusters = [rows[labels == label] for label in np.unique(labels)]
    return [cluster for cluster in clusters if len(cluster) > 1]


def keep_apart(rows: np.ndarray, links: np.ndarray, constraints: Constraints) -> list[np.ndarray]:
    """Divide connected photos into parts without forbidden pairs; leave out single ones.

    Links are followed in their order, except links that would join such photos.

    Args:
        rows: of the photos, ascending.
        links: pairs of rows (P, 2), also of other photos.
        constraints: photos that are in no part together.
    """
    here = constraints.of(rows)
    if not here.apart:
        return [rows]
    from scipy.cluster.hierarchy import DisjointSet

    joined = DisjointSet(range(len(rows)))
    labels = {row: {label} - {-1} for row, label in enumerate(here.labels.tolist())}
    for first, second in np.searchsorted(rows, links[np.isin(links[:, 0], rows)]).tolist():
        both = labels[joined[first]] | labels[joined[second]]
        if here.allow(both):
            joined.merge(first, second)
            labels[joined[first]] = both
    parts = [rows[sorted(subset)] for subset in joined.subsets()]
    return [part for part in parts if len(part) > 1]


def unite(groups: Sequence[np.ndarray], constraints: Constraints) -> list[np.ndarray]:
    """Put photos that belong together into one group each, ascending.

    Their groups are joined whole; where that would join photos that must be apart, only the
    photos that belong together move.

    Args:
        groups: rows of photos, none of them in two groups, without forbidden pairs.
        constraints: respected exactly.
    """
    if not len(constraints.labels):
        return list(groups)
    united = {number: set(rows.tolist()) for number, rows in enumerate(groups)}
    group_of = {row: number for number, rows in united.items() for row in rows}
    order = np.argsort(constraints.labels, kind="stable")
    order = order[constraints.labels[order] >= 0]
    starts = np.flatnonzero(np.diff(constraints.labels[order])) + 1
    for members in np.split(order, starts):
        rows = set(members.tolist())
        numbers = sorted({group_of[row] for row in rows if row in group_of})
        whole = rows.union(*(united[number] for number in numbers))
        if not constraints.allow(set(constraints.labels[sorted(whole)].tolist()) - {-1}):
            target = max(numbers, key=lambda number: len(united[number]))
            whole = united[target] | rows
        for number in numbers:
            united[number] -= whole
        united[number := len(united)] = whole
        group_of |= dict.fromkeys(whole, number)
    return [np.array(sorted(rows)) for rows in united.values() if len(rows) > 1]
