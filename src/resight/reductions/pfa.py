"""Principal feature analysis: which values of the descriptors are kept (section 6)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from resight.config import MethodConfig, SelectionConfig
from resight.errors import FitError
from resight.vectors import with_positive_peaks

ROUNDING = 1e-9
"""Distances of rows that differ less are equal: in a cluster of two both are as near to its
centre, and the lowest index is kept, not the one that rounding prefers."""


@dataclass(frozen=True)
class Selection:
    """The columns kept of a descriptor: int64 (p,), ascending and distinct."""

    indices: np.ndarray
    renormalize: bool = False

    @property
    def distance(self) -> Literal["manhattan", "cosine"]:
        """The distance that selected descriptors are compared by."""
        return "manhattan"

    @property
    def dimensions(self) -> int:
        """Values of a selected descriptor."""
        return len(self.indices)

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the number of values kept of each layer or scale; only of those that keep any."""
        if config.sizes_vary:
            return [self.dimensions]
        starts = np.searchsorted(self.indices, np.cumsum([0, *config.nominal_sizes]))
        return [size for size in np.diff(starts).tolist() if size]

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """The selected columns of (N, D) or (D,) descriptors, float32 (N, p) or (p,)."""
        selected = np.ascontiguousarray(descriptors[..., self.indices], dtype=np.float32)
        if not self.renormalize:
            return selected
        lengths = np.linalg.norm(selected, axis=-1, keepdims=True)
        return np.divide(selected, lengths, out=selected, where=lengths > 0)


def fit_selection(descriptors: Iterable[np.ndarray], config: SelectionConfig) -> Selection:
    """The `features` columns that represent the others best, fitted without labels.

    The rows of the leading eigenvectors of the covariance, one for each column, are clustered;
    the column nearest to the centre of each cluster is kept. Everything runs on one thread, so
    that equal input and seed give equal indices whatever the number of threads.

    Args:
        descriptors: float blocks (n, D), read once; `[X]` for one array. Columns that do not
            vary over the images are never kept.
        config: number of features, components, restarts and seed.

    Raises:
        FitError: fewer than 2 images, or fewer usable columns than `features`.

    Source: Lu et al. 2007 [23]; Seddati et al. 2017, section 3.4.
    """
    with threadpool_limits(limits=1):
        spectrum = principal_components(descriptors)
        usable = np.flatnonzero(spectrum.varies)
        if config.features > len(usable):
            raise FitError(
                f"cannot keep {config.features} features: the {spectrum.images} photos have "
                f"{len(usable)} that vary; take fewer (--features) or more photos"
            )
        kept = _nearest_to_centers(principal_rows(spectrum, config)[usable], config)
    return Selection(np.sort(usable[kept]), config.renormalize)


@dataclass(frozen=True)
class Spectrum:
    """Principal components of descriptors.

    Attributes:
        images: number of images N.
        vectors: float64 (D, r), the covariance's eigenvectors by decreasing variance.
        variances: float64 (r,), up to the factor 1 / (N - 1).
        varies: bool (D,), whether a column has more than one value.
    """

    images: int
    vectors: np.ndarray
    variances: np.ndarray
    varies: np.ndarray


def principal_components(descriptors: Iterable[np.ndarray]) -> Spectrum:
    """Principal components of blocks (n, D): by thin SVD for N < D, else by the scatter matrix.

    No more than D images are held at a time, so that memory does not grow with the collection.

    Raises:
        FitError: fewer than 2 images.
    """
    held: list[np.ndarray] = []
    moments: _Moments | None = None
    for block in descriptors:
        held.append(block.astype(np.float64))
        if sum(map(len, held)) >= block.shape[1]:
            moments = moments or _Moments(block.shape[1], origin=held[0][0])
            moments.add(np.concatenate(held))
            held = []
    if moments is not None:
        if held:
            moments.add(np.concatenate(held))
        return moments.spectrum()
    images = sum(map(len, held))
    if images < 2:
        raise FitError(f"a selection needs 2 photos or more, not {images}")
    centered = np.concatenate(held)
    varies = np.ptp(centered, axis=0) > 0
    centered -= centered.mean(axis=0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    return Spectrum(images, rows.T, singular**2, varies)


class _Moments:
    """Running sums of the rows seen so far, relative to an origin that keeps them small."""

    def __init__(self, dimensions: int, origin: np.ndarray) -> None:
        self.count, self.origin = 0, origin
        self.total = np.zeros(dimensions)
        self.scatter = np.zeros((dimensions, dimensions))
        self.varies = np.zeros(dimensions, bool)

    def add(self, rows: np.ndarray) -> None:
        shifted = rows - self.origin
        self.count += len(rows)
        self.total += shifted.sum(axis=0)
        self.scatter += shifted.T @ shifted
        self.varies |= (shifted != 0).any(axis=0)

    def spectrum(self) -> Spectrum:
        scatter = self.scatter - np.outer(self.total, self.total) / self.count
        variances, vectors = np.linalg.eigh(scatter)
        return Spectrum(self.count, vectors[:, ::-1], np.maximum(variances[::-1], 0.0), self.varies)


def principal_rows(spectrum: Spectrum, config: SelectionConfig) -> np.ndarray:
    """Row i holds column i's weights in the q leading eigenvectors, float64 (D, q).

    q is `config.components` (at most the rank) or the smallest number of components that keep
    `config.variance`. Each eigenvector has its largest weight positive, so that the rows do not
    depend on the arbitrary signs of the decomposition.
    """
    variances = spectrum.variances
    rank = max(1, int((variances > variances[0] * 1e-12).sum()))
    q = config.components
    if q is None:
        kept = np.cumsum(variances) / variances.sum() if variances[0] > 0 else np.ones(1)
        # The sum of all shares may fall short of 1 by rounding.
        q = int(np.searchsorted(kept, config.variance - 1e-12)) + 1
    rows = with_positive_peaks(spectrum.vectors[:, : min(q, rank)])
    return np.abs(rows) if config.absolute else rows


def _nearest_to_centers(rows: np.ndarray, config: SelectionConfig) -> np.ndarray:
    """For each k-means cluster of the rows (D, q), the member nearest to the centre, (p,)."""
    from sklearn.cluster import KMeans  # takes a second to import, and searching never needs it
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(rows, axis=0))
    if config.features > distinct:
        raise FitError(
            f"cannot keep {config.features} features: only {distinct} differ; take fewer "
            "(--features) or more photos"
        )
    kmeans = KMeans(config.features, n_init=config.restarts, random_state=config.seed)
    # Limited here too: the limit set before holds only for libraries that were loaded then.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # centres that coincide
        try:
            kmeans.fit(rows)
        except ConvergenceWarning:
            raise FitError(
                f"cannot keep {config.features} features: too many are alike; take fewer "
                "(--features) or more photos"
            ) from None
    distances = np.linalg.norm(rows - kmeans.cluster_centers_[kmeans.labels_], axis=1)
    least = np.full(config.features, np.inf)
    np.minimum.at(least, kmeans.labels_, distances)
    candidates = np.flatnonzero(distances <= least[kmeans.labels_] + ROUNDING)
    _, first = np.unique(kmeans.labels_[candidates], return_index=True)
    return candidates[first]
