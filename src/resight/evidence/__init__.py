"""Evidence of a photo: what is kept of it to decide whether another one shows the same thing.

It is made once, when the photo is described, and stored with the collection, so that a decision
reads no photo: the strongest RootSIFT features of a small copy, the most distinctive columns of the
network's map, a thumbnail, and the sharpness.

    upright image --extraction--> Evidence --encoding--> bytes in the collection
    two Evidence --matching--> Match --decision--> probability
                                     --kinds--> Kind
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from resight.descriptors.columns import Columns

LONGEST_SIDE = 480
"""Longest side, in pixels, of the copy in which features are detected, never enlarged.

In a larger one, the strongest features are of smaller details, which other views show less often,
and it takes longer."""
THUMBNAIL_SIDE = 16
"""Side of the square thumbnail, in pixels, for any aspect ratio."""

Kind = Literal["copy", "resized", "crop", "edited", "mirrored", "rotated", "view"]
"""The kind of match: identical file; resized or re-saved; part of the photo; with text, a border, a
watermark, blur or in gray; mirror image; rotated by a multiple of 90 degrees; another view."""


@dataclass(frozen=True)
class Evidence:
    """Local features and a thumbnail of a photo, to compare it with others.

    Its length is the number of SIFT features.

    Attributes:
        size: width and height, in pixels, of the copy in which the features were detected.
        points: float32 (N, 2), x and y of the features in pixels of that copy.
        frames: float32 (N, 2), angle in radians and size in pixels of that copy.
        descriptors: float32 (N, 128), RootSIFT, rows of unit length or zero.
        thumbnail: uint8 (16, 16, 3), the whole photo in RGB.
        sharpness: variance of the Laplacian of the copy's brightness; larger is sharper.
        columns: of the network's map; None without a network.
    """

    size: tuple[int, int]
    points: np.ndarray
    frames: np.ndarray
    descriptors: np.ndarray
    thumbnail: np.ndarray
    sharpness: float
    columns: Columns | None = None

    def __len__(self) -> int:
        return len(self.points)
