"""The NetVLAD layer: VLAD with a soft assignment, whose numbers a network can learn.

Arandjelovic, Gronat, Torii, Pajdla and Sivic, "NetVLAD: CNN architecture for weakly supervised
place recognition", CVPR 2016, section 3.1; its beginning is in the appendix.
"""

from collections.abc import Mapping

import numpy as np

FIRST_TO_SECOND = 100.0
"""What the largest share of a descriptor is to the second largest, on average, at the beginning."""


def initial_layer(descriptors: np.ndarray, words: np.ndarray) -> dict[str, np.ndarray]:
    """The layer before any training, from k-means: w = 2 alpha c, b = -alpha |c|^2.

    Alpha is such that, on average over the descriptors, the largest share is a hundred times the
    second largest: exp(alpha (d2 - d1)) with the squared distances d1 and d2 to the two nearest
    words, in the logarithm.

    Args:
        descriptors: float32 (M, D), of unit length.
        words: float32 (K, D), the middles of k-means; 2 or more.

    Returns:
        float32 arrays: `words` (K, D), `weights` (K, D) and `biases` (K,).
    """
    middles = np.asarray(words, np.float64)
    x = np.asarray(descriptors, np.float64)
    squares = (middles**2).sum(axis=1) - 2 * x @ middles.T  # but for |x|^2, alike for all words
    first, second = np.partition(squares, 1, axis=1)[:, :2].T
    gap = float((second - first).mean())
    alpha = np.log(FIRST_TO_SECOND) / gap if gap > 0 else 1.0
    return {
        "words": words.astype(np.float32),
        "weights": (2 * alpha * middles).astype(np.float32),
        "biases": (-alpha * (middles**2).sum(axis=1)).astype(np.float32),
    }


def netvlad(descriptors: np.ndarray, layer: Mapping[str, np.ndarray]) -> np.ndarray:
    """The NetVLAD vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D), of unit length.
        layer: `words` c (K, D), and `weights` w (K, D) and `biases` b (K,) of the assignment
            softmax(w x + b); learned, or from `initial_layer`.

    Returns:
        float32 (K * D,), word by word, each word's block of unit length, then the whole; zeros
        when there is no descriptor.
    """
    words, weights, biases = (
        np.asarray(layer[name], np.float64) for name in ("words", "weights", "biases")
    )
    x = np.asarray(descriptors, np.float64)
    logs = x @ weights.T + biases
    shares = np.exp(logs - logs.max(axis=1, keepdims=True, initial=-np.inf))
    shares /= shares.sum(axis=1, keepdims=True)
    blocks = shares.T @ x - shares.sum(axis=0)[:, None] * words
    lengths = np.linalg.norm(blocks, axis=1, keepdims=True)
    blocks = np.divide(blocks, lengths, out=np.zeros_like(blocks), where=lengths > 0)
    length = np.linalg.norm(blocks)
    return np.asarray(blocks.ravel() / length if length > 0 else blocks.ravel(), np.float32)
