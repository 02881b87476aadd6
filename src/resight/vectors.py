"""Linear algebra that several stages share: unit length, signed powers, principal components."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from resight.errors import FitError


def l2_normalize(vector: np.ndarray) -> np.ndarray:
    """Return a vector (D,) divided by its Euclidean length; a zero vector stays zero."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def l2_normalize_rows(rows: np.ndarray) -> np.ndarray:
    """Return rows (..., D) divided by their Euclidean lengths; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)


def signed_power(values: np.ndarray, power: float) -> np.ndarray:
    """Raise absolute values to a power and keep the signs.

    Source: Perronnin, Sanchez and Mensink, "Improving the Fisher kernel for large-scale image
    classification", ECCV 2010, section 3.2.
    """
    return values if power == 1 else np.sign(values) * np.abs(values) ** power


def with_positive_peaks(vectors: np.ndarray) -> np.ndarray:
    """Flip columns (D, n) so that the value of largest magnitude is positive.

    The signs of eigenvectors are arbitrary; this makes results independent of the solver.
    """
    peaks = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return vectors * np.sign(peaks)


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


@dataclass(frozen=True)
class Projection:
    """PCA-whitening or a learned layer: weight, float32 (d, D), and bias, float32 (d,)."""

    weight: np.ndarray
    bias: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Compute weight x + bias of vectors (..., D) at unit length, float32 (..., d)."""
        return l2_normalize_rows(vectors @ self.weight.T + self.bias)
