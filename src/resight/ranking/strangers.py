"""How near photos are compared with strangers, in the unit of no particular method.

The distances to the photos of a collection that have nothing to do with a photo are much alike,
and what shows the same thing is nearer than they are. So the distance to strangers is the unit in
which a limit or a probability is the same for all methods and collections; what the nearest of many
strangers reaches by chance is subtracted.

Jegou, Harzallah and Schmid, "A contextual dissimilarity measure for accurate and efficient image
search", CVPR 2007, relates distances to those of other neighbors in the same way.
"""

import math
from dataclasses import dataclass

import numpy as np

RANKS = 60
"""Neighbors of a photo, most of which are unrelated to it."""
RELATED = 20
"""Neighbors of a photo that may be related to it, at most a third of the collection."""
MIN_PHOTOS = 8
"""Fewest photos of a collection that has strangers."""
NEUTRAL = 0.0
"""Closeness in a collection without strangers: that of the nearest stranger."""


@dataclass(frozen=True)
class Strangers:
    """The photos of a collection that have nothing to do with a photo.

    Attributes:
        distance: their mean distance from it, or from each of some photos, (N, 1).
        chance: closeness that the nearest of them reaches by chance.
    """

    distance: float | np.ndarray
    chance: float = 0.0

    @classmethod
    def of(cls, distances: np.ndarray, count: int, dimensions: int) -> "Strangers":
        """Return the strangers of photos.

        Args:
            distances: to the nearest others of each photo, ascending, (N, k), k `RANKS` or more
                where there are as many.
            count: number of photos in the collection, at least `MIN_PHOTOS`.
            dimensions: number of values that are compared.
        """
        mean = strangers_distance(distances, count)[:, None]
        return cls(mean, chance_closeness(count, dimensions))

    def closeness(self, distances: np.ndarray) -> np.ndarray:
        """Return how near photos are: about 0 for the nearest stranger, 0.9 for copies.

        >>> Strangers(1.2).closeness(np.array([0.0, 0.6, 1.2]))
        array([1. , 0.5, 0. ])
        """
        unit = np.maximum(self.distance, np.finfo(float).tiny)
        return np.asarray(1 - distances / unit - self.chance)


def closeness(distances: np.ndarray, strangers: Strangers | None) -> np.ndarray:
    """Return how near photos are, neutral if there are too few to have strangers."""
    if strangers is None:
        return np.full(distances.shape, NEUTRAL)
    return strangers.closeness(distances)


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
