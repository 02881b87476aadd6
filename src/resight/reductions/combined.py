"""Whitened values beside the paper's selection, compared together by Manhattan distance.

A selection takes from the collection but which values say the same; a whitening takes what counts
how much, and where photos are few, some of that is chance. Side by side each makes up for errors
of the other. Both are brought to the same mean distance first, so that their parts of the whole are
those that were asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resight.config import MethodConfig, SelectionConfig, WhiteningConfig
from resight.reductions.pfa import Selection, fit_selection
from resight.reductions.whitening import Blocks, Whitening, fit_whitening

SAMPLE = 1000
"""Photos between which mean distances are measured."""


@dataclass(frozen=True)
class SelectionPlusWhitening:
    """A selection with whitened values beside it.

    Attributes:
        selection: gives the first values.
        whitening: gives the others.
        scales: what either's values are multiplied by.
    """

    selection: Selection
    whitening: Whitening
    scales: tuple[float, float]

    @property
    def distance(self) -> Literal["manhattan", "cosine"]:
        """The distance that such descriptors are compared by."""
        return "manhattan"

    @property
    def dimensions(self) -> int:
        """Values of such a descriptor."""
        return self.selection.dimensions + self.whitening.dimensions

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the sizes of the selection's parts, then the whitening's."""
        return self.selection.part_sizes(config) + self.whitening.part_sizes(config)

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Both of (N, D) or (D,) descriptors, float32 (N, p + d) or (p + d,)."""
        first, second = map(np.float32, self.scales)
        selected, whitened = self.selection.apply(descriptors), self.whitening.apply(descriptors)
        return np.concatenate([selected * first, whitened * second], axis=-1)


def fit_selection_plus_whitening(
    blocks: Blocks, sizes: Sequence[int], config: WhiteningConfig
) -> SelectionPlusWhitening:
    """Both, fitted on a collection's descriptors without labels.

    Args:
        blocks: gives them, several times.
        sizes: values of each layer, in the order of the descriptor.
        config: of the whitening, and its part of the distance; the selection is the paper's.

    Raises:
        FitError: too few photos for one of them.
    """
    selection = fit_selection(blocks(), SelectionConfig())
    photos = sum(len(block) for block in blocks())
    whitening = fit_whitening(blocks, sizes, config)
    chosen, first = np.unique(np.linspace(0, photos - 1, min(photos, SAMPLE)).astype(int)), 0
    sample = []
    for block in blocks():
        here = chosen[(chosen >= first) & (chosen < first + len(block))] - first
        sample.append(np.asarray(block)[here])
        first += len(block)
    rows = np.concatenate(sample)
    selected, whitened = (mean_distance(part.apply(rows)) for part in (selection, whitening))
    # In the mean the whole is then as far apart as the selection alone is.
    return SelectionPlusWhitening(
        selection, whitening, (1 - config.weight, config.weight * selected / whitened)
    )


def mean_distance(rows: np.ndarray) -> float:
    """The mean Manhattan distance of two of some descriptors (N, D), N at least 2.

    Sorted, the value at place i is added in i differences and taken away in N - 1 - i.
    """
    count = len(rows)
    signs = 2 * np.arange(count) - (count - 1)
    total = float(signs @ np.sort(rows.astype(np.float64), axis=0).sum(axis=1))
    return total / (count * (count - 1) / 2)
