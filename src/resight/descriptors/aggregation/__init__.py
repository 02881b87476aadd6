"""Aggregation: from the local features of a photo to one vector (docs/method.md, section 15).

To add an aggregation, write a module of this folder with the functions `fit` and `apply` of
`Aggregation`, and add one line to `AGGREGATIONS`; its name is then valid as `aggregation` in every
configuration. If its descriptors do not have K * D values, for K centers and features of D values,
`LocalConfig.nominal_sizes` needs their number.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation import (
    bag_of_words,
    fisher,
    hamming,
    netvlad,
    stack,
    triangulation,
    vlad,
)
from resight.descriptors.extractor import FittedParams


class Aggregation(Protocol):
    """A module of this folder."""

    def fit(self, photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
        """Fit parameters on the features of photos, float32 (n, D) each.

        Raises:
            FitError: too few features.
        """

    def apply(
        self,
        features: np.ndarray,
        frames: np.ndarray | None,
        params: FittedParams,
        config: LocalConfig,
    ) -> np.ndarray:
        """Aggregate one photo's features.

        Args:
            features: float32 (n, D).
            frames: angles in radians and sizes in pixels, float32 (n, 2); None without keypoints.
            params: as `fit` returns them.
            config: the method's configuration.

        Returns:
            float32 (d,).
        """


AGGREGATIONS: Mapping[str, Aggregation] = {
    "vlad": vlad,
    "fisher": fisher,
    "triangulation": triangulation,
    "netvlad": netvlad,
    "words": bag_of_words,
    "hamming": hamming,
    "hamming-wgc": hamming,
    "stack": stack,
}
