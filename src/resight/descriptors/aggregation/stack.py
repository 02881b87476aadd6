"""Concatenation of the features of a grid, whose number is the same for every photo."""

from collections.abc import Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.extractor import FittedParams
from resight.vectors import l2_normalize_rows


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Return no parameters."""
    return {}


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Concatenate the features of one photo: float32, of unit length."""
    return l2_normalize_rows(features.ravel()).astype(np.float32)
