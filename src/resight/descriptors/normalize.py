"""L2 normalization."""

import numpy as np


def l2_normalize(vector: np.ndarray) -> np.ndarray:
    """Return a vector (D,) divided by its Euclidean length; a zero vector stays zero."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector
