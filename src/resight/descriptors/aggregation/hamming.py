"""Hamming embedding and weak geometric consistency: photos as sets of small signatures.

Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency for large scale image
search", ECCV 2008: sections 4 (the embedding) and 5 (the geometry). Weights by the Hamming
distance: the same, "Improving bag-of-features for large scale image search", IJCV 2010, section 4.

Two local descriptors match when they have the same visual word and signatures that differ in few
bits. Every match votes for the photo with the square of the word's idf; and of the votes count
those that agree on one rotation and one change of scale.

A photo's descriptor is a table of eight columns and a row for each local feature, column by column,
in float32 (every number is whole and small, but for the last):

    word, signature (four numbers of 16 bits), angle (0..63), scale (quarters of an octave), idf

Rows are ordered by word; a table that is not full ends with rows of the word -1.
"""

from collections.abc import Mapping

import numpy as np

from resight.descriptors.aggregation.bag_of_words import nearest_words

BITS = 64
COLUMNS = 8
ANGLES = 64
"""Steps of a full turn."""
OCTAVE = 4
"""Steps of the scale in a doubling."""
SCALES = 33
"""Changes of scale that are told apart, from 1/16 to 16 times."""
ANGLE_REACH, SCALE_REACH = 4, 2
"""Votes so many steps apart agree: 22.5 degrees, half an octave. The paper takes a moving average
and leaves its width open; another view of a thing turns its keypoints by more than one step."""
NO_WORD = -1
MOST_BITS = 22
"""Signatures of a match differ in so many bits at most (ECCV 2008, section 6)."""
ONES = np.unpackbits(np.arange(2**16).astype(">u2").view(np.uint8).reshape(-1, 2), axis=1).sum(1)
"""How many bits of each number of 16 bits are set."""
SIGMA = 16.0
"""A match of h different bits counts exp(-h^2 / sigma^2) (IJCV 2010, section 4.2)."""


def random_projection(size: int, seed: int) -> np.ndarray:
    """The first 64 rows of a random orthogonal matrix, float32 (64, D) (section 4.1)."""
    values = np.random.default_rng(seed).normal(size=(max(size, BITS), max(size, BITS)))
    orthogonal, _ = np.linalg.qr(values)
    return np.ascontiguousarray(orthogonal[:BITS, :size], np.float32)


def fit_thresholds(
    descriptors: np.ndarray, words: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """The median of each word's projected descriptors, float32 (K, 64) (section 4.1).

    A word that none of the descriptors has takes its own projection.
    """
    found = nearest_words(descriptors, words)[0][:, 0]
    projected = descriptors @ projection.T
    thresholds = words @ projection.T
    for word in np.unique(found):
        thresholds[word] = np.median(projected[found == word], axis=0)
    return np.asarray(thresholds, np.float32)


def signatures(
    descriptors: np.ndarray, words: np.ndarray, thresholds: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """Whether each projected value is above its word's threshold: four numbers of 16 bits.

    Args:
        descriptors: float32 (N, D).
        words: of each, int64 (N,).
        thresholds: float32 (K, 64).
        projection: float32 (64, D).

    Returns:
        uint16 (N, 4).
    """
    bits = descriptors @ projection.T > thresholds[words]
    return np.packbits(bits, axis=1).view(">u2").astype(np.uint16)


def table(
    descriptors: np.ndarray,
    angles: np.ndarray,
    sizes: np.ndarray,
    fitted: Mapping[str, np.ndarray],
    rows: int,
) -> np.ndarray:
    """The table of a photo, see above.

    Args:
        descriptors: float32 (N, D), the strongest first; their order among the kept ones does not
            matter.
        angles: of the keypoints, float32 (N,), radians.
        sizes: likewise, pixels.
        fitted: `words` (K, D), `idf` (K,), `projection` (64, D), `thresholds` (K, 64).
        rows: of the table; so many features are kept.

    Returns:
        float32 (8 * rows,).
    """
    descriptors, angles, sizes = descriptors[:rows], angles[:rows], sizes[:rows]
    words = nearest_words(descriptors, fitted["words"])[0][:, 0]
    bits = signatures(descriptors, words, fitted["thresholds"], fitted["projection"])
    turned = np.floor(angles / (2 * np.pi) * ANGLES) % ANGLES
    scale = np.round(np.log2(np.maximum(sizes, 1e-3)) * OCTAVE)
    found = np.column_stack([words, bits, turned, scale, fitted["idf"][words]])
    made = np.zeros((COLUMNS, rows), np.float32)
    made[0] = NO_WORD
    made[:, : len(words)] = found[np.lexsort(found.T[::-1])].T  # by word, then by all the others
    return made.ravel()


def hamming(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """1 - the score of a query's table (8 R,) with each of a block's (n, 8 R), float32 (n,).

    A match votes with exp(-h^2 / sigma^2) idf^2. The score is divided by the lengths of both bags
    of words, so that it is 1 at most; a photo without words is at distance 1 from everything.
    """
    return _distances(query, block, geometry=False)


def hamming_wgc(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """The same with weak geometric consistency (section 5).

    Votes are counted by the difference of the angles, and by that of the scales, those within reach
    together; what counts is the smaller of the two largest sums.
    """
    return _distances(query, block, geometry=True)


def _distances(query: np.ndarray, block: np.ndarray, *, geometry: bool) -> np.ndarray:
    asked = query.reshape(COLUMNS, -1)
    asked = asked[:, asked[0] != NO_WORD]
    tables = block.reshape(len(block), COLUMNS, -1)
    # Pairs of one word: rows of the query, ordered by word, between `first` and `first + found`.
    first = np.searchsorted(asked[0], tables[:, 0], "left")
    found = np.searchsorted(asked[0], tables[:, 0], "right") - first
    photos, rows = np.nonzero(found)
    repeats = found[photos, rows]
    ours = np.repeat(first[photos, rows], repeats) + _counting(repeats)
    photos, rows = np.repeat(photos, repeats), np.repeat(rows, repeats)
    theirs = tables[photos, :, rows]
    different = np.bitwise_xor(
        asked[1:5, ours].T.astype(np.uint16), theirs[:, 1:5].astype(np.uint16)
    )
    bits = ONES[different].sum(axis=1)
    near = bits <= MOST_BITS
    ours, photos, theirs, bits = ours[near], photos[near], theirs[near], bits[near]
    votes = np.exp(-((bits / SIGMA) ** 2)) * theirs[:, 7].astype(np.float64) ** 2
    if geometry:
        turns = (theirs[:, 5] - asked[5, ours]).astype(np.int64) % ANGLES
        zooms = (theirs[:, 6] - asked[6, ours]).astype(np.int64) + SCALES // 2
        by_angle = _histogram(votes, photos, turns, len(block), ANGLES)
        by_scale = _histogram(votes, photos, zooms.clip(0, SCALES - 1), len(block), SCALES)
        by_angle = np.pad(by_angle, ((0, 0), (ANGLE_REACH, ANGLE_REACH)), mode="wrap")
        by_scale = np.pad(by_scale, ((0, 0), (SCALE_REACH, SCALE_REACH)))
        scores = np.minimum(_most(by_angle, ANGLE_REACH), _most(by_scale, SCALE_REACH))
    else:
        scores = np.bincount(photos, votes, len(block))
    lengths = _lengths(tables) * _lengths(asked[None])
    cosines = np.divide(scores, lengths, out=np.zeros(len(block)), where=lengths > 0)
    return np.clip(1 - cosines, 0, 1).astype(np.float32)


def _counting(repeats: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each of some numbers, one after the other."""
    ends = np.cumsum(repeats)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - repeats, repeats)


def _histogram(
    votes: np.ndarray, photos: np.ndarray, steps: np.ndarray, count: int, width: int
) -> np.ndarray:
    """Sums of votes (P,) by photo and step, float64 (count, width)."""
    flat = np.bincount(photos * width + steps, votes, count * width)
    return flat.reshape(count, width)


def _most(histogram: np.ndarray, reach: int) -> np.ndarray:
    """The largest sum over steps within reach of one of them, (count, width) to (count,)."""
    together = np.lib.stride_tricks.sliding_window_view(histogram, 2 * reach + 1, axis=1)
    return np.asarray(together.sum(axis=2).max(axis=1))


def _lengths(tables: np.ndarray) -> np.ndarray:
    """The Euclidean lengths of the bags of words of tables (n, 8, R), float64 (n,)."""
    photos, rows = np.nonzero(tables[:, 0] != NO_WORD)
    words, idf = tables[photos, 0, rows], tables[photos, 7, rows].astype(np.float64)
    # Rows of one photo and one word stand side by side.
    starts = np.ones(len(photos), bool)
    starts[1:] = (photos[1:] != photos[:-1]) | (words[1:] != words[:-1])
    begins = np.flatnonzero(starts)
    if not len(begins):
        return np.zeros(len(tables))
    sums = np.add.reduceat(idf, begins)
    return np.sqrt(np.bincount(photos[begins], sums**2, len(tables)))
