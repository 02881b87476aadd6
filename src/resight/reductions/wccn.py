"""Within-class covariance normalization: descriptors adapted to a collection, without labels.

Every photo is a class of its own, whose members are varied copies of it (`photos.variations`).
Directions in which copies of one photo vary are reduced, so that what remains tells photos apart.

Source: Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", ICSLP 2006; compare the whitening that Radenovic et al., ECCV 2016, learn from matched
photos. That the copies are transformations of the photos themselves is the plan of Seddati et al.
2017, section 5.

A photo with many near neighbors is near to every query. Distances to it are therefore increased by
how much nearer its neighbors are than those of other photos (`Correction`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from scipy.spatial.distance import cdist

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
SPREAD = 32
"""Values over which the correction is spread, so that its range is that of the other values."""
SAME = 0.01
"""Share of the mean distance below which a reference is the photo itself."""
SEED = 0


@dataclass(frozen=True)
class Correction:
    """Addition to the distances of each photo, which depends on its neighbors.

    It is an additive form of the contextual dissimilarity of Jegou, Harzallah and Schmid, "A
    contextual dissimilarity measure for accurate and efficient image search", CVPR 2007, as in
    Conneau et al., "Word translation without parallel data", ICLR 2018 (CSLS): the distance of a
    photo x to every query grows by `weight * (largest - r(x))`, where r is the mean distance of x
    to its nearest neighbors. It is stored as further values of x, which are 0 in queries, so that
    it costs no other distance.

    Attributes:
        references: float32 (S, d), photos among which neighbors are sought.
        neighbors: number of neighbors.
        weight: factor of the mean distance.
        largest: largest mean distance of the references.
    """

    references: np.ndarray
    neighbors: int
    weight: float
    largest: float

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Return the values to append to rows (N, d): float32 (N, `SPREAD`), 0 or more."""
        nearer = self.largest - mean_neighbor_distance(rows, self.references, self.neighbors)
        share = self.weight * np.maximum(0, nearer) / SPREAD
        return np.repeat(share[:, None], SPREAD, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Wccn:
    """A projection of descriptors, layer by layer, and the correction of distances."""

    projection: Whitening
    correction: Correction | None = None
    distance: ClassVar[Literal["manhattan", "cosine"]] = "manhattan"

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
        layer = rows[:, start : start + size].astype(np.float64) - means[start : start + size]
        parts.append(_fit_layer(layer, covariance, config).astype(np.float32))
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
            scatter += part.T @ part
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
    """Return the projection (D_l, d_l) of one layer from its centered descriptors (N, D_l).

    Manhattan distance depends on the axes. The components are therefore rotated at random, which
    makes it nearly proportional to Euclidean distance, whatever their variances.
    """
    mean_variance = np.trace(covariance) / len(covariance)
    if mean_variance <= 0 or not centered.any():
        raise FitError("the photos' descriptors are all equal: there is nothing to adapt to")
    variances, directions = np.linalg.eigh(covariance)
    shrunk = np.maximum(variances, 0) + config.shrinkage * mean_variance
    normalization = with_positive_peaks(directions) / np.sqrt(
        np.maximum(shrunk, 1e-12 * shrunk[-1])
    )
    spectrum = principal_components([l2_normalize_rows(centered @ normalization)])
    rank = max(1, int((spectrum.variances > spectrum.variances[0] * 1e-10).sum()))
    width = min(config.features, rank)
    components = normalization @ with_positive_peaks(spectrum.vectors[:, :width])
    rotation, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((width, width)))
    return components @ rotation


def _fit_correction(references: np.ndarray, config: WccnConfig) -> Correction | None:
    neighbors = min(config.neighbors, len(references) - 1)
    if neighbors < 1 or config.correction == 0:
        return None
    references = references.astype("<f2").astype(np.float32)  # as they are stored
    means = mean_neighbor_distance(references, references, neighbors)
    return Correction(references, config.neighbors, config.correction, float(means.max()))


def mean_neighbor_distance(rows: np.ndarray, references: np.ndarray, count: int) -> np.ndarray:
    """Return the mean Manhattan distance of rows (N, d) to their nearest references, float64 (N,).

    A reference at (nearly) no distance is the photo itself, or a copy of its file, and no neighbor.
    """
    means = np.empty(len(rows))
    for start in range(0, len(rows), MAX_REFERENCES):
        block = rows[start : start + MAX_REFERENCES]
        distances = cdist(block, references, "cityblock")
        distances[distances <= SAME * distances.mean()] = np.inf
        nearest = np.sort(distances, axis=1)[:, :count]
        finite = np.isfinite(nearest)
        sums = np.where(finite, nearest, 0).sum(axis=1)
        means[start : start + len(block)] = sums / np.maximum(1, finite.sum(axis=1))
    return means
