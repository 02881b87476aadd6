"""Columns of a network's feature map as local features, for spatial verification.

The column at a position of the map (C, H, W) is a descriptor of the place in the photo that the
position sees. It stands more change of view and light than SIFT.
"""

import numpy as np

from resight.descriptors.local_features.rootsift import LocalFeatures

LONGEST_SIDE = 800
"""Side, in pixels, of the copy whose columns are matched."""
RATIO = 0.98
"""Of the ratio test: neighboring columns see almost the same, so that it must be mild."""
MAX_ERROR = 1.0
"""In positions of the map, which are 16 pixels of the largest copy apart."""
MIN_INLIERS = 25
"""From this number of agreeing columns on two photos show the same thing."""
SMALLEST_WITH_BORDER = 5
"""Shortest side of a map whose border is left out; smaller ones are almost nothing but border."""
EPSILON = 1e-12
"""A column shorter than this counts as zero."""


def column_features(feature_map: np.ndarray, size: tuple[int, int]) -> LocalFeatures:
    """Return the columns of a map inside its border as local features, in pixels of the photo.

    Args:
        feature_map: (C, H, W).
        size: width and height of the photo.
    """
    height, width = feature_map.shape[1:]
    inside = ~border(feature_map)
    y, x = (axis.ravel()[inside] for axis in np.mgrid[:height, :width])
    step = np.array([size[0] / width, size[1] / height])
    points = (np.stack([x, y], axis=1) + 0.5) * step - 0.5
    columns = unit_columns(feature_map)[inside]
    return LocalFeatures(points.astype(np.float32), columns, float(step.max()))


def positions(maps: np.ndarray) -> np.ndarray:
    """Return a map (C, H, W) as one row for each position, (H * W, C).

    It is a view where channels come last in memory.
    """
    return maps.transpose(1, 2, 0).reshape(-1, len(maps))


def unit_columns(feature_map: np.ndarray) -> np.ndarray:
    """Return the columns (H * W, C) normalized to unit length; zero columns stay zero."""
    columns = positions(feature_map)
    lengths = np.sqrt(np.einsum("pc,pc->p", columns, columns))
    return columns / np.maximum(lengths, EPSILON)[:, None]


def border(feature_map: np.ndarray) -> np.ndarray:
    """Return which positions lie at the border of a map, bool (H * W,); none of a tiny map.

    There the network sees its own zero padding, which is the same in all photos.
    """
    height, width = feature_map.shape[1:]
    if min(height, width) < SMALLEST_WITH_BORDER:
        return np.zeros(height * width, bool)
    at_border = np.ones((height, width), bool)
    at_border[1:-1, 1:-1] = False
    return at_border.ravel()
