"""MAC: maximum activations of convolutions."""

import numpy as np

from resight.vectors import l2_normalize


def mac(feature_map: np.ndarray) -> np.ndarray:
    """Take the maximum of each channel: (C, H, W) to (C,) of unit length; zeros for a zero map.

    Source: Tolias, Sicre and Jegou, "Particular object retrieval with integral max-pooling of CNN
    activations", ICLR 2016, section 3.1; Razavian et al. [33].
    """
    return l2_normalize(feature_map.max(axis=(1, 2)))
