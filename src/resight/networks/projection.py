"""An affine map of vectors, and unit length: PCA-whitening, or a layer that was learned."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Projection:
    """Float32 weight (d, D) and bias (d,)."""

    weight: np.ndarray
    bias: np.ndarray

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (..., D) as weight x + bias, of unit length, float32 (..., d); zeros stay so."""
        found = vectors @ self.weight.T + self.bias
        lengths = np.linalg.norm(found, axis=-1, keepdims=True)
        return np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
