"""Principal components of descriptors, in memory that does not grow with the collection."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from resight.errors import FitError


@dataclass(frozen=True)
class Spectrum:
    """Principal components of descriptors.

    Attributes:
        images: number of images N.
        vectors: float64 (D, r), eigenvectors of the covariance by decreasing variance.
        variances: float64 (r,), up to the factor 1 / (N - 1).
        varies: bool (D,), whether a column has more than one value.
    """

    images: int
    vectors: np.ndarray
    variances: np.ndarray
    varies: np.ndarray


def principal_components(descriptors: Iterable[np.ndarray]) -> Spectrum:
    """Compute the components of blocks (n, D): by thin SVD for N < D, else by the scatter matrix.

    At most D images and a block are in memory at a time.

    Raises:
        FitError: fewer than 2 images.
    """
    pending: list[np.ndarray] = []
    moments: _Moments | None = None
    for block in descriptors:
        pending.append(block.astype(np.float64))
        if sum(map(len, pending)) >= block.shape[1]:
            moments = moments or _Moments(block.shape[1], origin=pending[0][0])
            moments.add(np.concatenate(pending))
            pending = []
    if moments is not None:
        if pending:
            moments.add(np.concatenate(pending))
        return moments.spectrum()
    images = sum(map(len, pending))
    if images < 2:
        raise FitError(f"a selection needs 2 photos or more, not {images}")
    centered = np.concatenate(pending)
    varies = np.ptp(centered, axis=0) > 0
    centered -= centered.mean(axis=0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    return Spectrum(images, rows.T, singular**2, varies)


class _Moments:
    """Running sums of rows, relative to an origin that keeps them small."""

    def __init__(self, dimensions: int, origin: np.ndarray) -> None:
        self.count = 0
        self.origin = origin
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
