"""VLAD: the local descriptors of a photo, however many, summed into one vector.

VLAD: Jegou, Douze, Schmid and Perez, "Aggregating local descriptors into a compact image
representation", CVPR 2010, section 3. Signed power law: Jegou, Perronnin, Douze, Sanchez, Perez and
Schmid, "Aggregating local image descriptors into compact codes", PAMI 2012, section 3.2.
Intra-normalization: Arandjelovic and Zisserman, "All about VLAD", CVPR 2013, section 3.2.

The order is: sum of residuals of each visual word, power law, unit length of each word's block
(intra-normalization), unit length of the whole. The power law comes before intra-normalization, as
in the VLFeat library: bursts are damped within a block first, and then, whatever the power, every
word that occurs has the same share of the whole.
"""

import math
import warnings

import numpy as np

from resight.descriptors.aggregation.bag_of_words import CHUNK_VALUES, nearest_words, soft_shares
from resight.errors import FitError

MAX_ITERATIONS = 50
"""Rounds of k-means; the vocabulary changes little long before."""

ROUNDING = 1e-6
"""A residual sum shorter than this is rounding of float32: its block stays zero, for unit length
would make a direction of noise. Descriptors have unit length."""

REMEDY = "index more photos with texture, or choose fewer centers"


def fit_vocabulary(descriptors: np.ndarray, centers: int, seed: int) -> np.ndarray:
    """The visual words: k-means with k-means++ on local descriptors.

    The same for equal input and seed, from run to run and for any number of threads: the fit runs
    on one thread.

    Args:
        descriptors: float32 (M, D), RootSIFT.
        centers: number of words K, 1 or more.
        seed: of the random numbers, 0 or more.

    Returns:
        float32 (K, D), the words.

    Raises:
        FitError: fewer than `centers` different descriptors.
    """
    from sklearn.cluster import KMeans  # slow to import
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Adding zero turns -0.0 into 0.0, so that equal rows have equal bytes; it also makes the copy
    # that k-means may overwrite.
    descriptors = np.ascontiguousarray(descriptors, dtype=np.float32) + np.float32(0)
    found = count_distinct(descriptors, enough=centers)
    if found < centers:
        raise FitError(
            f"{found} different local descriptors are too few for {centers} visual words: {REMEDY}"
        )
    means = KMeans(
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
            means.fit(descriptors)
        except ConvergenceWarning:
            raise FitError(
                f"the local descriptors are too much alike for {centers} visual words: {REMEDY}"
            ) from None
    return np.asarray(means.cluster_centers_, dtype=np.float32)


def vlad(
    descriptors: np.ndarray, vocabulary: np.ndarray, power: float, *, assigned: int = 1
) -> np.ndarray:
    """The VLAD vector of one image; the order of its descriptors does not matter.

    Args:
        descriptors: float32 (N, D), RootSIFT.
        vocabulary: float32 (K, D), the words; a descriptor between two words counts for the first.
        power: exponent of the signed power law, above 0; 1 leaves the sums as they are.
        assigned: nearest words that a descriptor counts for, with shares that fall with the squared
            distance as a Gaussian does whose variance is the mean squared distance to the nearest
            (Gong et al. [9], section 3).

    Returns:
        float32 (K * D,), word by word, of unit length; zeros when there is no descriptor (or
        every one lies on its word).
    """
    words = np.asarray(vocabulary, dtype=np.float64)
    sums = (
        _residual_sums(descriptors, words)
        if assigned == 1
        else _shared(descriptors, words, assigned)
    )
    noise = np.linalg.norm(sums, axis=1) <= ROUNDING
    sums[noise] = 0.0
    blocks = np.sign(sums) * np.abs(sums) ** power
    blocks /= np.where(noise, 1.0, np.linalg.norm(blocks, axis=1))[:, None]
    # Unit blocks: the length of the whole is the square root of their number.
    whole = blocks.ravel() / math.sqrt(max(1, int(np.count_nonzero(~noise))))
    return np.asarray(whole, dtype=np.float32)


def _residual_sums(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """float64 (K, D): for each word, the sum of `descriptor - word` over its descriptors."""
    sums: np.ndarray = np.zeros(words.shape)
    squares = (words**2).sum(axis=1)
    step = max(1, CHUNK_VALUES // len(words))
    for start in range(0, len(descriptors), step):
        # In float64, for the order of the descriptors must not decide between close words.
        chunk = np.asarray(descriptors[start : start + step], dtype=np.float64)
        nearest = np.argmin(squares - 2.0 * (chunk @ words.T), axis=1)
        for word in np.unique(nearest):
            sums[word] += (chunk[nearest == word] - words[word]).sum(axis=0)
    return sums


def _shared(descriptors: np.ndarray, words: np.ndarray, assigned: int) -> np.ndarray:
    """float64 (K, D): the sums of residuals, each divided among several words."""
    nearest, squares = nearest_words(descriptors, words, assigned)
    shares = soft_shares(squares, float(squares[:, 0].mean()) or 1.0) if len(squares) else squares
    sums: np.ndarray = np.zeros(words.shape)
    x = np.asarray(descriptors, np.float64)
    for rank in range(nearest.shape[1]):
        word, share = nearest[:, rank], shares[:, rank, None]
        np.add.at(sums, word, share * (x - words[word]))
    return sums


def count_distinct(rows: np.ndarray, enough: int) -> int:
    """The number of different rows, or `enough` as soon as that many are seen."""
    seen: set[bytes] = set()
    for row in rows:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)
