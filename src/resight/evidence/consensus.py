"""An upper estimate of the inliers of any geometry, from keypoint orientations and scales.

Each match of SIFT features suggests a similarity, by the places, directions and sizes of the two
features. Where a geometry holds, that of some match roughly predicts the other matches; so few
matches of photos of different things need no robust estimation.

Source: Philbin, Chum, Isard, Sivic and Zisserman, "Object retrieval with large vocabularies and
fast spatial matching", CVPR 2007, section 3.3.
"""

import math

import numpy as np

from resight.evidence import Evidence

MAX_TURN = math.radians(60)
"""Largest difference in direction of matches that agree, also on a view from the side."""
MAX_ZOOM = math.log(2.5)
"""Largest ratio of sizes of matches that agree."""
MAX_SHIFT = 0.6
"""Largest distance of a match from where another one predicts it, as a share of their distance."""
MIN_SHIFT = 24.0
"""The same in pixels, for matches near each other."""


def largest_consensus(first: Evidence, second: Evidence, pairs: np.ndarray) -> int:
    """Return how many of the matches `pairs` (n, 2) roughly agree with one of them and itself."""
    one, other = pairs.T
    turns = second.frames[other, 0] - first.frames[one, 0]
    zooms = np.log(second.frames[other, 1] / first.frames[one, 1])
    source, target = _complex(first.points[one]), _complex(second.points[other])
    similarities = np.exp(zooms + 1j * turns).astype(np.complex64)
    there = target - target[:, None]
    errors = np.abs((source - source[:, None]) * similarities[:, None] - there)
    agree = errors <= np.maximum(MAX_SHIFT * np.abs(there), MIN_SHIFT)
    agree &= np.cos(turns - turns[:, None]) >= math.cos(MAX_TURN)
    agree &= np.abs(zooms - zooms[:, None]) <= MAX_ZOOM
    return int(agree.sum(axis=1).max(initial=0))


def _complex(points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) as complex numbers (n,)."""
    x, y = points.T
    return np.asarray(x + 1j * y)
