"""Operations on vectors that several stages share."""

import numpy as np


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
