"""Compare how near photos are with how near strangers are, in the unit of no particular method.

The distances to the photos of a collection that have nothing to do with a photo are much alike,
and what shows the same thing is nearer than they are. Two measures do not depend on the method:

- the closeness, a share of the distance to strangers (Jegou, Harzallah and Schmid, "A contextual
  dissimilarity measure for accurate and efficient image search", CVPR 2007, relate distances to
  those of other neighbors in the same way);
- the number of false alarms, how many strangers are expected to be as near (a contrario, as of the
  geometry in `evidence.a_contrario`). The distances to strangers are taken to be normal, and their
  mean and deviation are estimated from the neighbors of the photo that are not the nearest.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

RANKS = 60
"""Neighbors of a photo, most of which are unrelated to it."""
RELATED = 20
"""Neighbors of a photo that may be related to it, at most a third of the collection."""
MIN_PHOTOS = 8
"""Fewest photos of a collection that has strangers."""
SMALLEST_DEVIATION = 1e-3
"""Smallest deviation of the distances to strangers, as a share of their mean."""


@dataclass(frozen=True)
class Nearness:
    """The nearness of photos to a query, measured against unrelated photos.

    Attributes:
        closeness: float64 (n,), 0 for the nearest stranger and 0.9 for copies, about.
        log10_nfa: float64 (n,), logarithm of the number of strangers expected as near.
        chance: closeness that the nearest stranger reaches by chance, which was subtracted.
    """

    closeness: np.ndarray
    log10_nfa: np.ndarray
    chance: float = 0.0

    @classmethod
    def unknown(cls, count: int) -> "Nearness":
        """Return that of `count` photos of a collection without strangers: of the nearest."""
        return cls(np.zeros(count), np.zeros(count))

    def at(self, places: np.ndarray | list[int]) -> "Nearness":
        """Return that of the photos at some places."""
        return Nearness(self.closeness[places], self.log10_nfa[places], self.chance)


@dataclass(frozen=True)
class Strangers:
    """The distances to the photos that have nothing to do with a photo, or with each of some.

    Attributes:
        distance: mean distance to the nearer strangers, (N, 1).
        center: estimated mean distance to all strangers, (N, 1).
        deviation: estimated standard deviation of the distance to strangers, (N, 1).
        samples: number of neighbors that the estimates are from.
        count: number of photos in the collection.
        chance: closeness that the nearest stranger reaches by chance.
    """

    distance: np.ndarray
    center: np.ndarray
    deviation: np.ndarray
    samples: int
    count: int
    chance: float

    @classmethod
    def of(cls, distances: np.ndarray, count: int, dimensions: int) -> "Strangers":
        """Return the strangers of photos.

        Args:
            distances: to the nearest others of each photo, ascending, (N, k), k `RANKS` or more
                where there are as many.
            count: number of photos in the collection, at least `MIN_PHOTOS`.
            dimensions: number of values that are compared.
        """
        first = min(RELATED, count // 2, distances.shape[1] - 2)
        sample = distances[:, first - 1 : RANKS].astype(np.float64)
        ranks = np.arange(first, first + sample.shape[1])
        center, deviation = normal_from_ranks(sample, ranks, count)
        return cls(
            strangers_distance(distances, count)[:, None],
            center[:, None],
            deviation[:, None],
            sample.shape[1],
            count,
            chance_closeness(count, dimensions),
        )

    def nearness(self, distances: np.ndarray) -> Nearness:
        """Return how near photos are, by their distances from each photo, (N, n) or (n,)."""
        unit = np.maximum(self.distance, np.finfo(float).tiny)
        closeness = 1 - distances / unit - self.chance
        steps = (self.center - distances) / self.deviation
        log10_nfa = math.log10(self.count) + log10_tail(steps, self.samples)
        shape = distances.shape
        return Nearness(closeness.reshape(shape), log10_nfa.reshape(shape), self.chance)


def nearness(distances: np.ndarray, strangers: Strangers | None) -> Nearness:
    """Return how near photos are, (n,), unknown if there are too few to have strangers."""
    if strangers is None:
        return Nearness.unknown(len(distances))
    return strangers.nearness(distances)


def normal_from_ranks(
    sample: np.ndarray, ranks: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate normal distributions from some of their order statistics, by least squares.

    Args:
        sample: float64 (N, m), values of each distribution, ascending.
        ranks: int (m,), their ranks among `count` values, from 1.
        count: number of values of each distribution.

    Returns:
        Means and standard deviations, float64 (N,) each.
    """
    normal = NormalDist()
    expected = np.array([normal.inv_cdf((r - 0.375) / (count + 0.25)) for r in ranks.tolist()])
    centered = expected - expected.mean()
    means = sample.mean(axis=1)
    deviations = (sample - means[:, None]) @ centered / (centered @ centered)
    deviations = np.maximum(deviations, SMALLEST_DEVIATION * np.maximum(means, 1e-12))
    return means - deviations * expected.mean(), deviations


def log10_tail(values: np.ndarray, samples: int) -> np.ndarray:
    """Return the logarithm of the probability that a Student variable exceeds values.

    The deviation that divides the values was estimated from `samples` others, so the tail is that
    of Student's distribution: by the normal of Wallace (Annals of Mathematical Statistics, 1959)
    and a bound of its tail, together within a tenth, which is enough for a number of false alarms.
    Values below 0 count as 0.

    >>> log10_tail(np.array([0.0, 2.0, 40.0]), 30).round(1)
    array([ -0.3,  -1.5, -27. ])
    """
    positive = np.maximum(values, 0.0)
    spread = (8 * samples + 1) / (8 * samples + 3)
    z = spread * np.sqrt(samples * np.log1p(positive**2 / samples))
    log_tail = -(z**2) / 2 - np.log(math.sqrt(math.pi / 2) * (z + np.sqrt(z**2 + 8 / math.pi)))
    return np.asarray(log_tail / math.log(10))


def strangers_distance(distances: np.ndarray, count: int) -> np.ndarray:
    """Return the mean distance to strangers for each photo, float64 (N,).

    The neighbors from rank `RELATED` to `RANKS` are taken for strangers, in small collections those
    in their second third. The arguments are those of `Strangers.of`.
    """
    k = distances.shape[1]
    strangers = distances[:, min(RELATED, count // 3, k) - 1 : min(RANKS, 2 * count // 3)]
    return np.asarray(strangers.mean(axis=1, dtype=np.float64))


def chance_closeness(count: int, dimensions: int) -> float:
    """Return the closeness that the nearest of many strangers reaches by chance.

    The cosine of random directions in m dimensions has the deviation 1 / sqrt(m), the largest of n
    is about sqrt(2 ln(n) / m), and closeness is half the cosine. Descriptors that were adapted to
    n photos differ in n - 1 dimensions at most.
    """
    return math.sqrt(math.log(count) / (2 * min(dimensions, count - 1)))
