"""Bags of visual words with tf-idf weights.

Sivic and Zisserman, "Video Google: a text retrieval approach to object matching in videos", ICCV
2003, section 4.1 (tf-idf). Soft assignment: Philbin, Chum, Isard, Sivic and Zisserman, "Lost in
quantization: improving particular object retrieval in large scale image databases", CVPR 2008,
section 3.1.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation.vocabulary import (
    fit_large_vocabulary,
    nearest_words,
    soft_weights,
)
from resight.descriptors.extractor import FittedParams
from resight.vectors import l2_normalize

SIGMA2 = 6250 / 512**2
"""Philbin et al. 2008, section 3.1, have 6250 for SIFT of length 512."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit the vocabulary, `words` (K, D), and the inverse document frequency, `idf` (K,).

    Under soft assignment a photo contains every word that a feature is assigned to, with any
    weight, as in Philbin et al. 2008.
    """
    words = fit_large_vocabulary(np.concatenate(photos), config.centers, config.seed)
    assigned = (nearest_words(photo, words, config.assigned)[0] for photo in photos)
    return {"words": words, "idf": inverse_document_frequency(assigned, len(words))}


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Aggregate the features of one photo."""
    words, idf = params["words"], params["idf"]
    return bag_of_words(features, words, idf, assigned=config.assigned, sigma2=SIGMA2)


def inverse_document_frequency(photos: Iterable[np.ndarray], words: int) -> np.ndarray:
    """Return log(N / n) of each of K words, for n of N photos with the word (at least 1), float32.

    Each photo is given by its words, int (n,).
    """
    count, occurrences = 0, np.zeros(words)
    for photo in photos:
        count += 1
        occurrences[np.unique(photo)] += 1
    return np.log(max(1, count) / occurrences.clip(min=1)).astype(np.float32)


def bag_of_words(
    descriptors: np.ndarray,
    words: np.ndarray,
    idf: np.ndarray,
    *,
    assigned: int = 1,
    sigma2: float = 1.0,
) -> np.ndarray:
    """Compute the tf-idf vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D).
        words: float32 (K, D).
        idf: weight of each word, float32 (K,).
        assigned: number of words per descriptor; 1 is hard assignment.
        sigma2: for soft assignment, the decay of the weights with the squared distance.

    Returns:
        float32 (K,) of unit length; zeros if no word with a weight occurs.
    """
    nearest, squared = nearest_words(descriptors, words, assigned)
    counts = np.zeros(len(words))
    np.add.at(counts, nearest, soft_weights(squared, sigma2))
    # The number of words in the photo, which tf divides by, cancels in the unit length.
    return np.asarray(l2_normalize(counts * idf), np.float32)
