"""NetVLAD: VLAD with a soft assignment whose parameters a network can be trained for.

Arandjelovic, Gronat, Torii, Pajdla and Sivic, "NetVLAD: CNN architecture for weakly supervised
place recognition", CVPR 2016, section 3.1; the initialization is in the appendix.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation.vocabulary import fit_vocabulary
from resight.descriptors.extractor import FittedParams
from resight.vectors import l2_normalize, l2_normalize_rows

INITIAL_RATIO = 100.0
"""Initial ratio, on average, of a descriptor's largest assignment weight to the second largest."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit the initial layer, see `initial_layer`."""
    descriptors = np.concatenate(photos)
    return initial_layer(descriptors, fit_vocabulary(descriptors, config.centers, config.seed))


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Aggregate the features of one photo."""
    return netvlad(features, params)


def initial_layer(descriptors: np.ndarray, words: np.ndarray) -> dict[str, np.ndarray]:
    """Return the layer before any training: w = 2 alpha c, b = -alpha |c|^2 for 2 or more words c.

    Alpha makes the largest weight a hundred times the second largest, on average over the
    descriptors in the logarithm: exp(alpha (d2 - d1)) = 100 for the squared distances d1 and d2 to
    the two nearest words.

    Returns:
        float32 arrays: `words` (K, D), `weights` (K, D) and `biases` (K,).
    """
    centers = np.asarray(words, np.float64)
    x = np.asarray(descriptors, np.float64)
    squared = (centers**2).sum(axis=1) - 2 * x @ centers.T  # without |x|^2, equal for all words
    nearest = np.partition(squared, 1, axis=1)
    gap = float((nearest[:, 1] - nearest[:, 0]).mean())
    alpha = np.log(INITIAL_RATIO) / gap if gap > 0 else 1.0
    return {
        "words": words.astype(np.float32),
        "weights": (2 * alpha * centers).astype(np.float32),
        "biases": (-alpha * (centers**2).sum(axis=1)).astype(np.float32),
    }


def netvlad(descriptors: np.ndarray, layer: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compute the NetVLAD vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D), of unit length.
        layer: `words` c (K, D), and `weights` w (K, D) and `biases` b (K,) of the assignment
            softmax(w x + b); trained, or from `initial_layer`.

    Returns:
        float32 (K * D,), word by word, each word's block of unit length, then the whole; zeros
        without descriptors.
    """
    words = np.asarray(layer["words"], np.float64)
    weights = np.asarray(layer["weights"], np.float64)
    biases = np.asarray(layer["biases"], np.float64)
    x = np.asarray(descriptors, np.float64)
    logits = x @ weights.T + biases
    assignment = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    assignment /= assignment.sum(axis=1, keepdims=True)
    blocks = assignment.T @ x - assignment.sum(axis=0)[:, None] * words
    return np.asarray(l2_normalize(l2_normalize_rows(blocks).ravel()), np.float32)
