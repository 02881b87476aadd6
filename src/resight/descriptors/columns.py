"""Columns of a network's feature map as local features of a few bytes.

The column at a position of a map (C, H, W) describes the place in the photo that the position
sees, and tolerates more change of light and viewpoint than SIFT does. What all columns of a photo
have in common is subtracted; the signs of random projections keep the angles between the rest.

Signs of random projections: Charikar, "Similarity estimation techniques from rounding algorithms",
STOC 2002; projections by a matrix of -1 and 1: Achlioptas, "Database-friendly random projections",
JCSS 2003. Nothing is fitted, so columns of any network are coded alike on all machines.
"""

import functools
from dataclasses import dataclass

import numpy as np

BITS = 128
"""Signs of a column."""
MAX_COLUMNS = 256
"""Maximum number of columns of a photo, the most distant from its mean column."""
MAX_SIDE = 255
"""Positions along the longer side of a map whose columns are coded; coordinates are bytes."""
CELL = 4.0
"""Distance of neighboring positions, in the unit in which pixels are the unit of SIFT features: a
column is located to about a position, a SIFT feature to some pixels."""


@dataclass(frozen=True)
class Columns:
    """The most distinctive columns of a photo's map.

    Attributes:
        shape: width and height of the map, in positions.
        places: uint8 (N, 2), column and row of each position in the map.
        codes: uint8 (N, 16), the signs of the projections, packed.
    """

    shape: tuple[int, int]
    places: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    @functools.cached_property
    def descriptors(self) -> np.ndarray:
        """Unit vectors whose products estimate the angles between columns, float32 (N, 128)."""
        signs = np.unpackbits(self.codes, axis=1).astype(np.float32) * 2 - 1
        return signs / np.float32(np.sqrt(BITS))

    @functools.cached_property
    def points(self) -> np.ndarray:
        """Centers of the positions in units of 1 / `CELL` positions, float32 (N, 2)."""
        return (self.places.astype(np.float32) + 0.5) * np.float32(CELL) - 0.5

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the map in the unit of `points`."""
        return round(self.shape[0] * CELL), round(self.shape[1] * CELL)


def code_columns(feature_map: np.ndarray) -> Columns | None:
    """Code the columns of a map, float32 (C, H, W), inside its border; None of too large a map.

    At its border the network sees its own zero padding, which is the same in all photos.
    """
    channels, height, width = feature_map.shape
    if max(height, width) > MAX_SIDE:
        return None
    columns = feature_map.transpose(1, 2, 0)  # as networks return them, in memory
    columns = (columns - columns.mean(axis=(0, 1)))[1:-1, 1:-1].reshape(-1, channels)
    squared = np.einsum("pc,pc->p", columns, columns)
    chosen = np.sort(np.argsort(-squared, kind="stable")[:MAX_COLUMNS])
    chosen = chosen[squared[chosen] > 0]
    codes = np.packbits(columns[chosen] @ _projections(channels) > 0, axis=1)
    y, x = np.divmod(chosen, max(width - 2, 1))
    return Columns((width, height), np.stack([x + 1, y + 1], axis=1).astype(np.uint8), codes)


@functools.cache
def _projections(channels: int) -> np.ndarray:
    """Return a matrix of -1 and 1, float32 (channels, `BITS`), the same on all machines."""
    bits = np.random.default_rng(0).integers(0, 2, (channels, BITS))
    return (2 * bits - 1).astype(np.float32)
