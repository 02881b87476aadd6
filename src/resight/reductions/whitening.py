"""PCA and whitening of descriptors: fewer values, and directions that vary much count less.

Each layer of the descriptor is projected by itself onto its leading principal components, which are
divided by their standard deviation, and given unit length; the whole is compared by cosine.

Source: Jegou and Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA
and whitening", ECCV 2012. In a collection of few photos the small variances are chance, and the
large ones are what the photos show: so every variance is first enlarged by a share of the mean one
(shrinkage towards the identity, as in Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", 2004), the larger the fewer photos there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resight.config import MethodConfig, WhiteningConfig
from resight.errors import FitError
from resight.reductions.pfa import principal_components
from resight.vectors import l2_normalize_rows, signed_power, with_positive_peaks

Blocks = Callable[[], Iterable[np.ndarray]]
"""Gives the descriptors, float blocks (n, D), as often as it is called."""


@dataclass(frozen=True)
class Whitening:
    """A projection of descriptors, layer by layer.

    Attributes:
        means: float32 (D,), subtracted first.
        parts: for each layer float32 (D_l, d_l), its principal components as columns, each divided
            by its standard deviation.
        power: exponent of the signed power law that comes before.
    """

    means: np.ndarray
    parts: tuple[np.ndarray, ...]
    power: float = 1.0

    @property
    def distance(self) -> Literal["manhattan", "cosine"]:
        """The distance that whitened descriptors are compared by."""
        return "cosine"

    @property
    def dimensions(self) -> int:
        """Values of a whitened descriptor."""
        return sum(part.shape[1] for part in self.parts)

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the number of components of each layer."""
        return [part.shape[1] for part in self.parts]

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Whitened (N, D) or (D,) descriptors, float32 (N, d) or (d,), of unit length.

        Every layer has the same share of it; one that is the mean in all values stays zero.
        """
        centered = signed_power(np.asarray(descriptors, np.float32), self.power) - self.means
        start, layers = 0, []
        for part in self.parts:
            layers.append(l2_normalize_rows(centered[..., start : start + len(part)] @ part))
            start += len(part)
        return l2_normalize_rows(np.concatenate(layers, axis=-1)).astype(np.float32)


def fit_whitening(blocks: Blocks, sizes: Sequence[int], config: WhiteningConfig) -> Whitening:
    """The projection of a collection's descriptors, fitted without labels.

    Args:
        blocks: gives them, once for each layer.
        sizes: values of each layer, in the order of the descriptor.
        config: how many values are kept, shrinkage, power law.

    Raises:
        FitError: too few photos, or they vary in fewer directions than are to be kept.
    """
    means, parts, end = [], [], 0
    for size in sizes:
        layer, end = slice(end, end + size), end + size
        mean, part = _fit_layer(lambda layer=layer: (b[:, layer] for b in blocks()), config)  # type: ignore[misc]
        means.append(mean)
        parts.append(part)
    return Whitening(np.concatenate(means), tuple(parts), config.power)


def chosen_width(variances: np.ndarray, shrinkage: float, config: WhiteningConfig) -> int:
    """How many components to keep, by the spectrum alone.

    After whitening a component of variance v counts as v / (v + e), where e is the shrinkage: near
    1 where there is something to see, near 0 where there is but chance. Kept are the first ones
    that have the configured share of the sum.

    Args:
        variances: float64 (r,), decreasing, above 0.
        shrinkage: e, in the variances' unit.
        config: share of the sum, and the most components.
    """
    counts = variances / (variances + shrinkage)
    share = np.cumsum(counts) / counts.sum()
    return min(config.max_components, int(np.searchsorted(share, config.variance - 1e-12)) + 1)


def _fit_layer(blocks: Blocks, config: WhiteningConfig) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D_l,) and projection (D_l, d_l) of one layer."""
    count, total = 0, np.zeros(0)
    for block in blocks():
        powered = signed_power(block.astype(np.float64), config.power)
        count, total = count + len(block), powered.sum(axis=0) + (total if count else 0.0)
    if count < config.min_photos:
        raise FitError(f"whitening needs {config.min_photos} photos or more, not {count}")
    spectrum = principal_components(
        signed_power(block.astype(np.float64), config.power) for block in blocks()
    )
    variances = spectrum.variances / (spectrum.images - 1)
    variances = variances[variances > variances[0] * 1e-10]
    if not len(variances) or variances[0] <= 0:
        raise FitError("the photos' descriptors are all the same: there is nothing to whiten")
    given = config.prior / count if config.shrinkage is None else config.shrinkage
    shrinkage = given * variances.mean()
    width = config.features
    if width is None:
        width = chosen_width(variances, shrinkage, config)
    if width > len(variances):
        raise FitError(
            f"cannot keep {width} components of a layer: the {count} photos vary in "
            f"{len(variances)} directions; take fewer (--features) or more photos"
        )
    vectors = with_positive_peaks(spectrum.vectors[:, :width])
    scales = np.sqrt(variances[:width] + shrinkage) if config.whiten else np.ones(width)
    return (total / count).astype(np.float32), (vectors / scales).astype(np.float32)
