"""Principal feature analysis: select values of the descriptors (section 6)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from resight.config import MethodConfig, SelectionConfig
from resight.errors import FitError
from resight.vectors import Spectrum, l2_normalize_rows, principal_components, with_positive_peaks

ROUNDING = 1e-9
"""Distances that differ by less are equal: in a cluster of two both rows are as near to its
center, and the lower index is selected, not the one that rounding prefers."""


@dataclass(frozen=True)
class Selection:
    """Selected columns of a descriptor: int64 (p,), ascending and distinct."""

    indices: np.ndarray
    renormalize: bool = False
    distance: ClassVar[Literal["manhattan", "cosine"]] = "manhattan"

    @property
    def dimensions(self) -> int:
        """Number of values of a selected descriptor."""
        return len(self.indices)

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Select the columns of (N, D) or (D,) descriptors: float32 (N, p) or (p,)."""
        selected = np.ascontiguousarray(descriptors[..., self.indices], dtype=np.float32)
        return l2_normalize_rows(selected) if self.renormalize else selected

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the number of values selected of each part of a method's descriptor."""
        if config.sizes_vary:
            return [self.dimensions]
        starts = np.searchsorted(self.indices, np.cumsum([0, *config.nominal_sizes]))
        return [size for size in np.diff(starts).tolist() if size]


def fit_selection(descriptors: Iterable[np.ndarray], config: SelectionConfig) -> Selection:
    """Select the columns that represent the others best, without labels.

    The rows of the leading eigenvectors of the covariance, one for each column, are clustered;
    the column nearest to the center of each cluster is selected. Everything runs on one thread, so
    that equal input and seed give equal indices for any number of threads.

    Args:
        descriptors: float blocks (n, D), read once; `[X]` for one array. Columns that do not
            vary over the images are never selected.
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
                f"{len(usable)} that vary; use fewer features or more photos"
            )
        selected = _nearest_to_centers(principal_rows(spectrum, config)[usable], config)
    return Selection(np.sort(usable[selected]), config.renormalize)


def principal_rows(spectrum: Spectrum, config: SelectionConfig) -> np.ndarray:
    """Return column i's weights in the q leading eigenvectors as row i, float64 (D, q).

    q is `config.components` (at most the rank) or the smallest number of components that explain
    `config.variance`.
    """
    variances = spectrum.variances
    rank = max(1, int((variances > variances[0] * 1e-12).sum()))
    q = config.components
    if q is None:
        explained = np.cumsum(variances) / variances.sum() if variances[0] > 0 else np.ones(1)
        # The sum of all shares may fall short of 1 by rounding.
        q = int(np.searchsorted(explained, config.variance - 1e-12)) + 1
    rows = with_positive_peaks(spectrum.vectors[:, : min(q, rank)])
    return np.abs(rows) if config.absolute else rows


def _nearest_to_centers(rows: np.ndarray, config: SelectionConfig) -> np.ndarray:
    """Return the member nearest to the center of each k-means cluster of rows (D, q): (p,)."""
    from sklearn.cluster import KMeans  # takes a second to import, and searching never needs it
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(rows, axis=0))
    if config.features > distinct:
        raise FitError(
            f"cannot keep {config.features} features: only {distinct} differ; use fewer "
            "features or more photos"
        )
    kmeans = KMeans(config.features, n_init=config.restarts, random_state=config.seed)
    # Limited again: the first limit holds only for libraries that were already loaded.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # centers that coincide
        try:
            kmeans.fit(rows)
        except ConvergenceWarning:
            raise FitError(
                f"cannot keep {config.features} features: too many are alike; take fewer "
                "features or more photos"
            ) from None
    distances = np.linalg.norm(rows - kmeans.cluster_centers_[kmeans.labels_], axis=1)
    least = np.full(config.features, np.inf)
    np.minimum.at(least, kmeans.labels_, distances)
    candidates = np.flatnonzero(distances <= least[kmeans.labels_] + ROUNDING)
    _, first = np.unique(kmeans.labels_[candidates], return_index=True)
    return candidates[first]
