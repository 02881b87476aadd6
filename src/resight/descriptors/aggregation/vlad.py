"""VLAD: sums of residuals to visual words.

VLAD: Jegou, Douze, Schmid and Perez, "Aggregating local descriptors into a compact image
representation", CVPR 2010, section 3. Signed power law: Jegou, Perronnin, Douze, Sanchez, Perez and
Schmid, "Aggregating local image descriptors into compact codes", PAMI 2012, section 3.2.
Intra-normalization: Arandjelovic and Zisserman, "All about VLAD", CVPR 2013, section 3.2.

The order is: sum of residuals of each visual word, power law, unit length of each word's block
(intra-normalization), unit length of the whole. The power law comes before intra-normalization, as
in the VLFeat library: it damps bursts within a block, and then every word that occurs has the same
share of the whole for any power.
"""

import math
from collections.abc import Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation.vocabulary import (
    CHUNK_VALUES,
    fit_vocabulary,
    nearest_words,
    soft_weights,
)
from resight.descriptors.extractor import FittedParams
from resight.vectors import signed_power

ROUNDING = 1e-6
"""Residual sums shorter than this are float32 rounding: normalizing them would turn noise into a
direction, so their block stays zero. Descriptors have unit length."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit the vocabulary, `words` (K, D)."""
    return {"words": fit_vocabulary(np.concatenate(photos), config.centers, config.seed)}


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Aggregate the features of one photo."""
    return vlad(features, params["words"], config.power, assigned=config.assigned)


def vlad(
    descriptors: np.ndarray, vocabulary: np.ndarray, power: float, *, assigned: int = 1
) -> np.ndarray:
    """Compute the VLAD vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D), of unit length.
        vocabulary: float32 (K, D), the words; the first of equally near words wins.
        power: exponent of the signed power law, above 0; 1 is the identity.
        assigned: number of nearest words per descriptor, with Gaussian weights of the distance
            whose variance is the mean squared distance to the nearest (Gong et al. [9], section 3).

    Returns:
        float32 (K * D,), word by word, of unit length; zeros without descriptors (or if every one
        equals its word).
    """
    words = np.asarray(vocabulary, dtype=np.float64)
    if assigned == 1:
        sums = _residual_sums(descriptors, words)
    else:
        sums = _soft_residual_sums(descriptors, words, assigned)
    noise = np.linalg.norm(sums, axis=1) <= ROUNDING
    sums[noise] = 0.0
    blocks = signed_power(sums, power)
    blocks /= np.where(noise, 1.0, np.linalg.norm(blocks, axis=1))[:, None]
    # The blocks have unit length, so that of the whole is the square root of their number.
    whole = blocks.ravel() / math.sqrt(max(1, int(np.count_nonzero(~noise))))
    return np.asarray(whole, dtype=np.float32)


def _residual_sums(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Sum `descriptor - word` over the descriptors of each word, float64 (K, D)."""
    sums: np.ndarray = np.zeros(words.shape)
    squares = (words**2).sum(axis=1)
    step = max(1, CHUNK_VALUES // len(words))
    for start in range(0, len(descriptors), step):
        # In float64, so that rounding does not decide between close words.
        chunk = np.asarray(descriptors[start : start + step], dtype=np.float64)
        nearest = np.argmin(squares - 2.0 * (chunk @ words.T), axis=1)
        for word in np.unique(nearest):
            sums[word] += (chunk[nearest == word] - words[word]).sum(axis=0)
    return sums


def _soft_residual_sums(descriptors: np.ndarray, words: np.ndarray, assigned: int) -> np.ndarray:
    """Sum the residuals to the nearest words with their weights, float64 (K, D)."""
    nearest, weights = assign(descriptors, words, assigned)
    sums: np.ndarray = np.zeros(words.shape)
    x = np.asarray(descriptors, np.float64)
    for rank in range(nearest.shape[1]):
        word = nearest[:, rank]
        np.add.at(sums, word, weights[:, rank, None] * (x - words[word]))
    return sums


def assign(
    descriptors: np.ndarray, words: np.ndarray, assigned: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest words of descriptors, int64 (N, r), and their weights, (N, r)."""
    nearest, squared = nearest_words(descriptors, words, assigned)
    variance = float(squared[:, 0].mean()) if len(squared) else 0.0
    return nearest, soft_weights(squared, variance or 1.0)
