"""Bags of visual words: a photo as a text, of which every word counts by how rare it is.

Sivic and Zisserman, "Video Google: a text retrieval approach to object matching in videos", ICCV
2003, section 4.1 (tf-idf). Soft assignment: Philbin, Chum, Isard, Sivic and Zisserman, "Lost in
quantization: improving particular object retrieval in large scale image databases", CVPR 2008,
section 3.1.
"""

from collections.abc import Iterable

import numpy as np

from resight.errors import FitError

BATCH, ROUNDS = 8192, 10
"""Descriptors of a batch of k-means, and how often it sees all of them."""

CHUNK_VALUES = 2**22
"""Distances held at once while assigning descriptors to words: 32 MiB as float64."""


def fit_words(descriptors: np.ndarray, centers: int, seed: int) -> np.ndarray:
    """Many visual words: k-means on small batches, begun by k-means++.

    Args:
        descriptors: float32 (M, D).
        centers: number of words K.
        seed: of the random numbers.

    Returns:
        float32 (K, D).

    Raises:
        FitError: fewer descriptors than words.

    Source: Sculley, "Web-scale k-means clustering", WWW 2010.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import
    from threadpoolctl import threadpool_limits

    if len(descriptors) < centers:
        raise FitError(
            f"{len(descriptors)} local descriptors are too few for {centers} visual words: index "
            "more photos with texture, or choose fewer centers"
        )
    means = MiniBatchKMeans(
        centers, init="k-means++", n_init=1, batch_size=BATCH, max_iter=ROUNDS, random_state=seed
    )
    with threadpool_limits(1):  # the same numbers whatever the number of threads
        means.fit(np.asarray(descriptors, np.float32))
    return np.asarray(means.cluster_centers_, np.float32)


def nearest_words(
    descriptors: np.ndarray, words: np.ndarray, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest words of each descriptor, and their squared distances, nearest first.

    Args:
        descriptors: float32 (N, D).
        words: float32 (K, D); ties go to the first.
        count: how many r, no more than there are words are taken.

    Returns:
        int64 (N, r) and float64 (N, r).
    """
    middles = np.asarray(words, np.float64)
    squares, count = (middles**2).sum(axis=1), min(count, len(middles))
    found, distances = [np.zeros((0, count), np.int64)], [np.zeros((0, count))]
    step = max(1, CHUNK_VALUES // len(middles))
    for start in range(0, len(descriptors), step):
        # In float64, for the order of the descriptors must not decide between close words.
        chunk = np.asarray(descriptors[start : start + step], np.float64)
        apart = (chunk**2).sum(axis=1)[:, None] + squares - 2 * (chunk @ middles.T)
        if count == 1:
            order = apart.argmin(axis=1)[:, None]
        else:
            order = np.argsort(apart, axis=1, kind="stable")[:, :count]
        found.append(order)
        distances.append(np.take_along_axis(apart, order, axis=1).clip(min=0))
    return np.concatenate(found), np.concatenate(distances)


def soft_shares(squares: np.ndarray, sigma2: float) -> np.ndarray:
    """What each of a descriptor's nearest words gets of it: exp(-d^2 / 2 sigma^2), of sum 1.

    Args:
        squares: squared distances (N, r), the nearest first.
        sigma2: sigma^2, in their unit.

    Source: Philbin et al. 2008, section 3.1.
    """
    shares = np.exp((squares[:, :1] - squares) / (2 * sigma2))  # the nearest is 1 before the sum
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def inverse_document_frequency(photos: Iterable[np.ndarray], words: int) -> np.ndarray:
    """log(N / n) of each word, N photos in all and n with the word (or one), float32 (K,).

    Args:
        photos: each one's words, int (n,).
        words: how many there are, K.
    """
    count, occurs = 0, np.zeros(words)
    for found in photos:
        count += 1
        occurs[np.unique(found)] += 1
    return np.log(max(1, count) / occurs.clip(min=1)).astype(np.float32)


def bag_of_words(
    descriptors: np.ndarray,
    words: np.ndarray,
    idf: np.ndarray,
    *,
    assigned: int = 1,
    sigma2: float = 1.0,
) -> np.ndarray:
    """The tf-idf vector of one photo; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D).
        words: float32 (K, D).
        idf: weight of each word, float32 (K,).
        assigned: words that each descriptor counts for; 1 is hard assignment.
        sigma2: how fast their shares fall with the squared distance, where there are several.

    Returns:
        float32 (K,) of unit length; zeros where no word with a weight occurs.
    """
    found, squares = nearest_words(descriptors, words, assigned)
    counts = np.zeros(len(words))
    np.add.at(counts, found, soft_shares(squares, sigma2))
    vector = counts * idf  # the share of all words cancels in the unit length
    length = np.linalg.norm(vector)
    return np.asarray(vector / length if length > 0 else vector, np.float32)
