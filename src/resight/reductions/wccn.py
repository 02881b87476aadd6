"""Within-class covariance normalization: descriptors adapted to a collection, without labels.

Every photo is a class of its own, whose members are varied copies of it (`photos.variations`).
Directions in which copies of one photo vary are reduced, so that what remains tells photos apart.

Source: Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", ICSLP 2006; compare the whitening that Radenovic et al., ECCV 2016, learn from matched
photos. That the copies are transformations of the photos themselves is the plan of Seddati et al.
2017, section 5.

A photo in a dense region is near to every query. Its distances are therefore corrected by how near
its neighbors are (`Correction`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from resight.config import MethodConfig, WccnConfig
from resight.errors import FitError
from resight.reductions.whitening import Blocks, Whitening
from resight.vectors import l2_normalize_rows, principal_components, with_positive_peaks

Variations = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""Yields, on every call, the descriptor (D,) of each sampled photo and those of its copies (V, D).
"""

MAX_ROWS = 10_000
"""Photos on which the mean and the components are computed."""
MAX_REFERENCES = 1024
"""Photos among which neighbors are sought for the correction."""
SPREAD = 16
"""Values over which the correction is spread, so that their range is that of the others."""
SAME = 1e-3
"""Cosine distance below which a reference is the photo itself."""
MIN_SHRINKAGE = 1e-6
"""Shrinkage without which directions that never vary would be divided by 0."""


@dataclass(frozen=True)
class Correction:
    """Correction of the distances of each photo by its neighbors.

    With cosine distance c, and r(x) the mean of c from photo x to its nearest neighbors, a query q
    is compared by `c(q, x) - weight * r(x)`. This is cross-domain similarity local scaling (Conneau
    et al., "Word translation without parallel data", ICLR 2018), an additive form of the contextual
    dissimilarity of Jegou, Harzallah and Schmid, CVPR 2007.

    Half the squared Euclidean distance of unit vectors is c. So x gets further values whose squares
    sum to `2 * weight * (largest - r(x))` and that are 0 in queries: Euclidean distance then ranks
    by the corrected one, in every backend, and one number a photo suffices. A photo that is farther
    from the references than each of them from the others counts with `largest`.

    Attributes:
        references: float32 (S, d), photos among which neighbors are sought.
        neighbors: number of neighbors.
        weight: of their mean distance.
        largest: largest mean distance of the references.
    """

    references: np.ndarray
    neighbors: int
    weight: float
    largest: float

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Return the values to append to rows (N, d): float32 (N, `SPREAD`), 0 or more."""
        nearer = self.largest - mean_neighbor_distance(rows, self.references, self.neighbors)
        value = np.sqrt(2 * self.weight * np.maximum(0, nearer) / SPREAD)
        return np.repeat(value[:, None], SPREAD, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Wccn:
    """A projection of descriptors, layer by layer, and the correction of distances."""

    projection: Whitening
    correction: Correction | None = None
    distance: ClassVar[Literal["euclidean"]] = "euclidean"

    @property
    def dimensions(self) -> int:
        """Number of values of an adapted descriptor."""
        return self.projection.dimensions + (SPREAD if self.correction else 0)

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Adapt (N, D) or (D,) descriptors of photos: float32 (N, d) or (d,)."""
        rows = self.projection.apply(descriptors)
        if self.correction is None:
            return rows
        values = self.correction.values(np.atleast_2d(rows)).reshape(*rows.shape[:-1], SPREAD)
        return np.concatenate([rows, values], axis=-1)

    def to_query(self, adapted: np.ndarray) -> np.ndarray:
        """Return an adapted descriptor (d,) as a query, to which no correction belongs."""
        if self.correction is None:
            return adapted
        query = np.array(adapted)
        query[-SPREAD:] = 0
        return query

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the number of components of each layer, and of the correction."""
        sizes = self.projection.part_sizes(config)
        return [*sizes, SPREAD] if self.correction else sizes


def fit_wccn(
    blocks: Blocks, variations: Variations, sizes: Sequence[int], config: WccnConfig
) -> Wccn:
    """Fit the projection and the correction on a collection's descriptors.

    Args:
        blocks: yields the descriptors on every call; the first `MAX_ROWS` are used.
        variations: yields sampled photos with their copies on every call.
        sizes: number of values of each layer, in the order of the descriptor.
        config: of the adaptation.

    Raises:
        FitError: too few photos, or descriptors that are all equal.
    """
    rows = _first_rows(blocks())
    if len(rows) < config.min_photos:
        raise FitError(f"adapting needs {config.min_photos} photos or more, not {len(rows)}")
    covariances = within_class_covariances(variations(), sizes)
    parts, start = [], 0
    means = rows.mean(axis=0, dtype=np.float64)
    for size, covariance in zip(sizes, covariances, strict=True):
        layer = rows[:, start : start + size]
        if not np.ptp(layer, axis=0).any():  # the mean is rounded: differences from it may not be 0
            raise FitError("the photos' descriptors are all equal: there is nothing to adapt to")
        centered = layer.astype(np.float64) - means[start : start + size]
        parts.append(_fit_layer(centered, covariance, config).astype(np.float32))
        start += size
    projection = Whitening(means.astype(np.float32), tuple(parts))
    return Wccn(projection, _fit_correction(projection.apply(rows[:MAX_REFERENCES]), config))


def within_class_covariances(
    variations: Iterable[tuple[np.ndarray, np.ndarray]], sizes: Sequence[int]
) -> list[np.ndarray]:
    """Return the mean scatter of copies around their photos, float64 (D_l, D_l) for each layer.

    Raises:
        FitError: there are no copies.
    """
    ends = np.cumsum(sizes)[:-1]
    scatters = [np.zeros((size, size)) for size in sizes]
    count = 0
    for descriptor, copies in variations:
        differences = copies.astype(np.float64) - descriptor
        for scatter, part in zip(scatters, np.split(differences, ends, axis=1), strict=True):
            np.add(scatter, part.T @ part, out=scatter)
        count += len(copies)
    if not count:
        raise FitError("none of the sampled photos can be read: there is nothing to adapt to")
    return [scatter / count for scatter in scatters]


def _first_rows(blocks: Iterable[np.ndarray]) -> np.ndarray:
    rows: list[np.ndarray] = []
    for block in blocks:
        rows.append(np.asarray(block, np.float32)[: MAX_ROWS - sum(map(len, rows))])
        if sum(map(len, rows)) >= MAX_ROWS:
            break
    if not rows:
        raise FitError("there are no photos to adapt to")
    return np.concatenate(rows)


def _fit_layer(centered: np.ndarray, covariance: np.ndarray, config: WccnConfig) -> np.ndarray:
    """Return the projection (D_l, d_l) of one layer from its centered descriptors (N, D_l)."""
    mean_variance = np.trace(covariance) / len(covariance)
    if mean_variance <= 0:
        raise FitError("all copies of the photos have equal descriptors: nothing to adapt to")
    variances, directions = np.linalg.eigh(covariance)
    shrunk = np.maximum(variances, 0) + max(config.shrinkage, MIN_SHRINKAGE) * mean_variance
    normalization = with_positive_peaks(directions) / np.sqrt(shrunk)
    spectrum = principal_components([l2_normalize_rows(centered @ normalization)])
    rank = max(1, int((spectrum.variances > spectrum.variances[0] * 1e-10).sum()))
    components = spectrum.vectors[:, : min(config.features, rank)]
    return normalization @ with_positive_peaks(components)


def _fit_correction(references: np.ndarray, config: WccnConfig) -> Correction | None:
    if config.neighbors == 0 or config.correction == 0 or len(references) < 2:
        return None
    references = references.astype("<f2").astype(np.float32)  # as they are stored
    means = mean_neighbor_distance(references, references, config.neighbors)
    return Correction(references, config.neighbors, config.correction, float(means.max()))


def mean_neighbor_distance(rows: np.ndarray, references: np.ndarray, count: int) -> np.ndarray:
    """Return the mean cosine distance of unit rows (N, d) to their nearest references, (N,).

    A reference at (nearly) no distance is the photo itself, or a copy of its file, and no neighbor.
    """
    means = np.empty(len(rows))
    for start in range(0, len(rows), MAX_REFERENCES):
        distances = 1 - rows[start : start + MAX_REFERENCES] @ references.T
        distances[distances < SAME] = np.inf
        nearest = np.sort(distances, axis=1)[:, :count]
        present = np.isfinite(nearest)
        sums = np.where(present, nearest, 0).sum(axis=1, dtype=np.float64)
        means[start : start + len(distances)] = sums / np.maximum(1, present.sum(axis=1))
    return means
