"""The paper's selection concatenated with whitened values, compared by Manhattan distance.

A selection removes values that repeat others; a whitening weighs what remains, and part of that is
noise where photos are few. Together each corrects errors of the other. Both are scaled to the same
mean distance first, so that their shares of the combined distance are those of the configuration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from resight.config import MethodConfig, SelectionConfig, WhiteningConfig
from resight.reductions.pfa import Selection, fit_selection
from resight.reductions.whitening import Blocks, Whitening, fit_whitening

SAMPLE = 1000
"""Photos between which mean distances are measured."""


@dataclass(frozen=True)
class SelectionPlusWhitening:
    """A selection and a whitening whose values are concatenated.

    Attributes:
        selection: gives the first values.
        whitening: gives the other values.
        scales: factors of the selected and of the whitened values.
    """

    selection: Selection
    whitening: Whitening
    scales: tuple[float, float]
    distance: ClassVar[Literal["manhattan", "cosine"]] = "manhattan"

    @property
    def dimensions(self) -> int:
        """Number of values of a combined descriptor."""
        return self.selection.dimensions + self.whitening.dimensions

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Reduce (N, D) or (D,) descriptors by both: float32 (N, p + d) or (p + d,)."""
        selected = self.selection.apply(descriptors) * np.float32(self.scales[0])
        whitened = self.whitening.apply(descriptors) * np.float32(self.scales[1])
        return np.concatenate([selected, whitened], axis=-1)

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the lengths of the parts of both."""
        return self.selection.part_sizes(config) + self.whitening.part_sizes(config)


def fit_selection_plus_whitening(
    blocks: Blocks, sizes: Sequence[int], config: WhiteningConfig
) -> SelectionPlusWhitening:
    """Fit both on a collection's descriptors, without labels.

    Args:
        blocks: yields the descriptors on every call.
        sizes: number of values of each layer, in the order of the descriptor.
        config: the whitening and its weight; the selection is the paper's.

    Raises:
        FitError: too few photos for one of them.
    """
    selection = fit_selection(blocks(), SelectionConfig())
    whitening = fit_whitening(blocks, sizes, config)
    rows = _sample(blocks)
    selected = mean_distance(selection.apply(rows))
    whitened = mean_distance(whitening.apply(rows))
    # The mean combined distance is that of the selection by itself.
    scales = (1 - config.weight, config.weight * selected / whitened)
    return SelectionPlusWhitening(selection, whitening, scales)


def _sample(blocks: Blocks) -> np.ndarray:
    """Return at most `SAMPLE` descriptors, evenly spaced."""
    photos = sum(len(block) for block in blocks())
    chosen = np.unique(np.linspace(0, photos - 1, min(photos, SAMPLE)).astype(int))
    sample = []
    start = 0
    for block in blocks():
        inside = chosen[(chosen >= start) & (chosen < start + len(block))] - start
        sample.append(np.asarray(block)[inside])
        start += len(block)
    return np.concatenate(sample)


def mean_distance(rows: np.ndarray) -> float:
    """Compute the mean Manhattan distance of pairs of descriptors (N, D), N at least 2.

    In sorted order, value i is added in i differences and subtracted in N - 1 - i.
    """
    count = len(rows)
    signs = 2 * np.arange(count) - (count - 1)
    total = float(signs @ np.sort(rows.astype(np.float64), axis=0).sum(axis=1))
    return total / (count * (count - 1) / 2)
