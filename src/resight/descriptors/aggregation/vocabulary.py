"""Visual vocabularies: k-means on local descriptors, and assignment to the nearest words."""

import warnings

import numpy as np

from resight.errors import FitError

MAX_ITERATIONS = 50
"""Of k-means; the vocabulary changes little long before."""

BATCH_SIZE = 8192
"""Of mini-batch k-means."""
EPOCHS = 10
"""Passes of mini-batch k-means over the descriptors."""

CHUNK_VALUES = 2**22
"""Distances in memory at once while descriptors are assigned to words: 32 MiB as float64."""

REMEDY = "index more photos with texture, or choose fewer centers"


def fit_vocabulary(descriptors: np.ndarray, centers: int, seed: int) -> np.ndarray:
    """Fit visual words by k-means with k-means++ initialization.

    Deterministic for equal input and seed, for any number of threads: the fit runs on one thread.

    Args:
        descriptors: float32 (M, D), of unit length.
        centers: number of words K.
        seed: of the random numbers.

    Returns:
        float32 (K, D).

    Raises:
        FitError: fewer than `centers` distinct descriptors.
    """
    from sklearn.cluster import KMeans  # slow to import
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Adding zero turns -0.0 into 0.0, so that equal rows have equal bytes; it also makes the copy
    # that k-means may overwrite.
    descriptors = np.ascontiguousarray(descriptors, dtype=np.float32) + np.float32(0)
    distinct = _count_distinct(descriptors, enough=centers)
    if distinct < centers:
        raise FitError(
            f"{distinct} different local descriptors are too few for {centers} visual words: "
            f"{REMEDY}"
        )
    kmeans = KMeans(
        centers,
        init="k-means++",
        n_init=1,
        max_iter=MAX_ITERATIONS,
        random_state=seed,
        copy_x=False,
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)  # words that coincide
        try:
            kmeans.fit(descriptors)
        except ConvergenceWarning:
            raise FitError(
                f"the local descriptors are too much alike for {centers} visual words: {REMEDY}"
            ) from None
    return np.asarray(kmeans.cluster_centers_, dtype=np.float32)


def fit_large_vocabulary(descriptors: np.ndarray, centers: int, seed: int) -> np.ndarray:
    """Fit thousands of visual words like `fit_vocabulary`, but by mini-batch k-means.

    Raises:
        FitError: fewer descriptors than words.

    Source: Sculley, "Web-scale k-means clustering", WWW 2010.
    """
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if len(descriptors) < centers:
        raise FitError(
            f"{len(descriptors)} local descriptors are too few for {centers} visual words: {REMEDY}"
        )
    kmeans = MiniBatchKMeans(
        centers,
        init="k-means++",
        n_init=1,
        batch_size=BATCH_SIZE,
        max_iter=EPOCHS,
        random_state=seed,
    )
    with threadpool_limits(1):  # the same numbers for any number of threads
        kmeans.fit(np.asarray(descriptors, np.float32))
    return np.asarray(kmeans.cluster_centers_, np.float32)


def nearest_words(
    descriptors: np.ndarray, words: np.ndarray, count: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest words of each descriptor and their squared distances, nearest first.

    Args:
        descriptors: float32 (N, D).
        words: float32 (K, D); the first of equally near words wins.
        count: number of words r per descriptor, at most K.

    Returns:
        int64 (N, r) and float64 (N, r).
    """
    # In float64, so that rounding does not decide between close words.
    centers = np.asarray(words, np.float64)
    squares = (centers**2).sum(axis=1)
    count = min(count, len(centers))
    indices, distances = [np.zeros((0, count), np.int64)], [np.zeros((0, count))]
    step = max(1, CHUNK_VALUES // len(centers))
    for start in range(0, len(descriptors), step):
        chunk = np.asarray(descriptors[start : start + step], np.float64)
        squared = (chunk**2).sum(axis=1)[:, None] + squares - 2 * (chunk @ centers.T)
        if count == 1:
            order = squared.argmin(axis=1)[:, None]
        else:
            order = np.argsort(squared, axis=1, kind="stable")[:, :count]
        indices.append(order)
        distances.append(np.take_along_axis(squared, order, axis=1).clip(min=0))
    return np.concatenate(indices), np.concatenate(distances)


def soft_weights(squared_distances: np.ndarray, sigma2: float) -> np.ndarray:
    """Return the weight of each of a descriptor's nearest words: exp(-d^2 / 2 sigma^2), of sum 1.

    The squared distances are (N, r), nearest first.

    Source: Philbin, Chum, Isard, Sivic and Zisserman, "Lost in quantization: improving particular
    object retrieval in large scale image databases", CVPR 2008, section 3.1.
    """
    # Relative to the nearest, whose weight is then 1 before normalization: none underflows to 0/0.
    weights = np.exp((squared_distances[:, :1] - squared_distances) / (2 * sigma2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _count_distinct(rows: np.ndarray, enough: int) -> int:
    """Count different rows, up to `enough`."""
    seen: set[bytes] = set()
    for row in rows:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)
