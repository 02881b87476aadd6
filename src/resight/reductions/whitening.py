"""PCA and whitening of descriptors, which reduce the weight of directions of large variance.

Each layer of the descriptor is projected onto its leading principal components, divided by their
standard deviation, and given unit length; the whole is compared by cosine.

Source: Jegou and Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA
and whitening", ECCV 2012. In a collection of few photos small variances are noise. A share of the
mean variance is therefore added to each (shrinkage towards the identity, as in Ledoit and Wolf, "A
well-conditioned estimator for large-dimensional covariance matrices", 2004), the larger the fewer
photos there are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from resight.config import MethodConfig, WhiteningConfig
from resight.errors import FitError
from resight.vectors import (
    l2_normalize_rows,
    principal_components,
    signed_power,
    with_positive_peaks,
)

Blocks = Callable[[], Iterable[np.ndarray]]
"""Yields the descriptors, float blocks (n, D), on every call."""


@dataclass(frozen=True)
class Whitening:
    """A projection of descriptors, layer by layer.

    Attributes:
        means: float32 (D,), subtracted first.
        parts: for each layer float32 (D_l, d_l), its principal components as columns, each divided
            by its standard deviation.
        power: exponent of the signed power law before the projection.
    """

    means: np.ndarray
    parts: tuple[np.ndarray, ...]
    power: float = 1.0
    distance: ClassVar[Literal["manhattan", "cosine"]] = "cosine"

    @property
    def dimensions(self) -> int:
        """Number of values of a whitened descriptor."""
        return sum(part.shape[1] for part in self.parts)

    def apply(self, descriptors: np.ndarray) -> np.ndarray:
        """Whiten (N, D) or (D,) descriptors: float32 (N, d) or (d,), of unit length.

        Every layer has the same share of it; a layer equal to the mean stays zero.
        """
        centered = signed_power(np.asarray(descriptors, np.float32), self.power) - self.means
        layers = []
        start = 0
        for part in self.parts:
            layers.append(l2_normalize_rows(centered[..., start : start + len(part)] @ part))
            start += len(part)
        return l2_normalize_rows(np.concatenate(layers, axis=-1)).astype(np.float32)

    def part_sizes(self, config: MethodConfig) -> list[int]:
        """Return the number of components of each layer."""
        return [part.shape[1] for part in self.parts]


def fit_whitening(blocks: Blocks, sizes: Sequence[int], config: WhiteningConfig) -> Whitening:
    """Fit the projection on a collection's descriptors, without labels.

    Args:
        blocks: yields the descriptors on every call; called several times for each layer.
        sizes: number of values of each layer, in the order of the descriptor.
        config: of the whitening.

    Raises:
        FitError: too few photos, or fewer directions of variance than `features`.
    """
    ends = np.cumsum(sizes).tolist()
    layers = [
        _fit_layer(_columns(blocks, slice(end - size, end)), config)
        for size, end in zip(sizes, ends, strict=True)
    ]
    means, parts = zip(*layers, strict=True)
    return Whitening(np.concatenate(means), parts, config.power)


def _columns(blocks: Blocks, columns: slice) -> Blocks:
    return lambda: (block[:, columns] for block in blocks())


def choose_width(variances: np.ndarray, shrinkage: float, config: WhiteningConfig) -> int:
    """Choose the number of components by the spectrum.

    A component of variance v > 0 has the variance v / (v + e) after whitening with shrinkage e:
    near 1 for signal, near 0 for noise. The first components are kept up to the configured share of
    the sum.
    """
    whitened = variances / (variances + shrinkage)
    share = np.cumsum(whitened) / whitened.sum()
    return min(config.max_components, int(np.searchsorted(share, config.variance - 1e-12)) + 1)


def _fit_layer(blocks: Blocks, config: WhiteningConfig) -> tuple[np.ndarray, np.ndarray]:
    """Fit the mean (D_l,) and the projection (D_l, d_l) of one layer."""
    count = 0
    total = np.zeros(1)
    for block in blocks():
        total = signed_power(block.astype(np.float64), config.power).sum(axis=0) + total
        count += len(block)
    if count < config.min_photos:
        raise FitError(f"whitening needs {config.min_photos} photos or more, not {count}")
    spectrum = principal_components(
        signed_power(block.astype(np.float64), config.power) for block in blocks()
    )
    variances = spectrum.variances / (spectrum.images - 1)
    variances = variances[variances > variances[0] * 1e-10]
    if not len(variances) or variances[0] <= 0:
        raise FitError("the photos' descriptors are all equal: there is nothing to whiten")
    share = config.prior / count if config.shrinkage is None else config.shrinkage
    shrinkage = share * variances.mean()
    width = config.features or choose_width(variances, shrinkage, config)
    if width > len(variances):
        raise FitError(
            f"cannot keep {width} components of a layer: the {count} photos vary in "
            f"{len(variances)} directions; use fewer features or more photos"
        )
    vectors = with_positive_peaks(spectrum.vectors[:, :width])
    scales = np.sqrt(variances[:width] + shrinkage) if config.whiten else np.ones(width)
    return (total / count).astype(np.float32), (vectors / scales).astype(np.float32)
