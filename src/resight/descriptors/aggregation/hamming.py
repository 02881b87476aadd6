"""Hamming embedding and weak geometric consistency: photos as sets of binary signatures.

Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency for large scale image
search", ECCV 2008: sections 4 (the embedding) and 5 (the geometry). Weights by the Hamming
distance: the same, "Improving bag-of-features for large scale image search", IJCV 2010, section 4.

Two local descriptors match if they have the same visual word and signatures that differ in few
bits. Every match votes for the photo with the square of the word's idf; with weak geometric
consistency only the votes count that agree on a rotation and a change of scale.

A photo's descriptor is a table with a row for each local feature and eight columns, stored column
by column as float32 (all values but the idf are small integers):

    word, signature (four numbers of 16 bits), angle (0..63), scale (quarters of an octave), idf

Rows are sorted by word; unused rows at the end have the word -1.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation.bag_of_words import inverse_document_frequency
from resight.descriptors.aggregation.vocabulary import fit_large_vocabulary, nearest_words
from resight.descriptors.extractor import FittedParams

BITS = 64
COLUMNS = 8
ANGLE_BINS = 64
"""Bins of a full turn."""
BINS_PER_OCTAVE = 4
"""Bins of the scale per factor of two."""
SCALE_BINS = 33
"""Bins of the change of scale, from 1/16 to 16."""
ANGLE_WINDOW, SCALE_WINDOW = 4, 2
"""Votes at most this many bins apart agree: 22.5 degrees, half an octave. The paper uses a moving
average of unspecified width; another view of an object turns its keypoints by more than one bin."""
NO_WORD = -1
MAX_BITS = 22
"""Maximum Hamming distance of a match (ECCV 2008, section 6)."""
_BYTES = np.arange(2**16).astype(">u2").view(np.uint8).reshape(-1, 2)
BIT_COUNTS = np.unpackbits(_BYTES, axis=1).sum(axis=1)
"""Number of set bits of each 16-bit number."""
SIGMA = 16.0
"""A match of Hamming distance h has the weight exp(-h^2 / sigma^2) (IJCV 2010, section 4.2)."""


def fit(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    """Fit `words` (K, D), `idf` (K,), `projection` (64, D) and `thresholds` (K, 64)."""
    descriptors = np.concatenate(photos)
    words = fit_large_vocabulary(descriptors, config.centers, config.seed)
    assigned = (nearest_words(photo, words)[0] for photo in photos)
    projection = random_projection(descriptors.shape[1], config.seed)
    return {
        "words": words,
        "idf": inverse_document_frequency(assigned, len(words)),
        "projection": projection,
        "thresholds": fit_thresholds(descriptors, words, projection),
    }


def apply(
    features: np.ndarray, frames: np.ndarray | None, params: FittedParams, config: LocalConfig
) -> np.ndarray:
    """Return the table of one photo's keypoints."""
    assert frames is not None, "the configuration allows only keypoints"
    return table(features, frames[:, 0], frames[:, 1], params, config.max_keypoints)


def random_projection(size: int, seed: int) -> np.ndarray:
    """Return the first 64 rows of a random orthogonal matrix, float32 (64, D) (section 4.1)."""
    values = np.random.default_rng(seed).normal(size=(max(size, BITS), max(size, BITS)))
    orthogonal, _ = np.linalg.qr(values)
    return np.ascontiguousarray(orthogonal[:BITS, :size], np.float32)


def fit_thresholds(
    descriptors: np.ndarray, words: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """Return the median of each word's projected descriptors, float32 (K, 64) (section 4.1).

    A word without descriptors gets its own projection.
    """
    nearest = nearest_words(descriptors, words)[0][:, 0]
    projected = descriptors @ projection.T
    thresholds = words @ projection.T
    for word in np.unique(nearest):
        thresholds[word] = np.median(projected[nearest == word], axis=0)
    return np.asarray(thresholds, np.float32)


def signatures(
    descriptors: np.ndarray, words: np.ndarray, thresholds: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """Compare projected descriptors (N, D) with their words' thresholds: bits as uint16 (N, 4)."""
    bits = descriptors @ projection.T > thresholds[words]
    return np.packbits(bits, axis=1).view(">u2").astype(np.uint16)


def table(
    descriptors: np.ndarray,
    angles: np.ndarray,
    sizes: np.ndarray,
    params: Mapping[str, np.ndarray],
    rows: int,
) -> np.ndarray:
    """Build the table of a photo, see the module's docstring: float32 (8 * rows,).

    Args:
        descriptors: float32 (N, D), the strongest first; otherwise their order does not matter.
        angles: of the keypoints, float32 (N,), radians.
        sizes: of the keypoints, float32 (N,), pixels.
        params: `words` (K, D), `idf` (K,), `projection` (64, D), `thresholds` (K, 64).
        rows: of the table; weaker features beyond them are dropped.
    """
    descriptors, angles, sizes = descriptors[:rows], angles[:rows], sizes[:rows]
    words = nearest_words(descriptors, params["words"])[0][:, 0]
    bits = signatures(descriptors, words, params["thresholds"], params["projection"])
    angle_bins = np.floor(angles / (2 * np.pi) * ANGLE_BINS) % ANGLE_BINS
    scale_bins = np.round(np.log2(np.maximum(sizes, 1e-3)) * BINS_PER_OCTAVE)
    features = np.column_stack([words, bits, angle_bins, scale_bins, params["idf"][words]])
    result = np.zeros((COLUMNS, rows), np.float32)
    result[0] = NO_WORD
    result[:, : len(words)] = features[np.lexsort(features.T[::-1])].T  # by word, then the rest
    return result.ravel()


def hamming(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return 1 - the score of a query's table (8 R,) and each of a block's (n, 8 R), float32 (n,).

    A match votes with exp(-h^2 / sigma^2) idf^2. The score is the sum of the votes divided by the
    norms of both bags of words, so that it is at most 1; a photo without words has distance 1 from
    everything.
    """
    return _distances(query, block, geometry=False)


def hamming_wgc(query: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return the same with weak geometric consistency (section 5).

    Votes are added up by the difference of the angles, and by that of the scales, each over a
    moving window; the score is the smaller of the two maxima.
    """
    return _distances(query, block, geometry=True)


def _distances(query: np.ndarray, block: np.ndarray, *, geometry: bool) -> np.ndarray:
    ours = query.reshape(COLUMNS, -1)
    ours = ours[:, ours[0] != NO_WORD]
    tables = block.reshape(len(block), COLUMNS, -1)
    # The query is sorted by word: a row's candidates are those from `first`, `counts` of them.
    first = np.searchsorted(ours[0], tables[:, 0], "left")
    counts = np.searchsorted(ours[0], tables[:, 0], "right") - first
    photos, rows = np.nonzero(counts)
    repeats = counts[photos, rows]
    indices = np.repeat(first[photos, rows], repeats) + _ranges(repeats)
    photos, rows = np.repeat(photos, repeats), np.repeat(rows, repeats)
    theirs = tables[photos, :, rows]
    differing = np.bitwise_xor(
        ours[1:5, indices].T.astype(np.uint16), theirs[:, 1:5].astype(np.uint16)
    )
    bits = BIT_COUNTS[differing].sum(axis=1)
    matching = bits <= MAX_BITS
    indices, photos, theirs = indices[matching], photos[matching], theirs[matching]
    votes = np.exp(-((bits[matching] / SIGMA) ** 2)) * theirs[:, 7].astype(np.float64) ** 2
    if geometry:
        turns = (theirs[:, 5] - ours[5, indices]).astype(np.int64) % ANGLE_BINS
        zooms = (theirs[:, 6] - ours[6, indices]).astype(np.int64) + SCALE_BINS // 2
        by_angle = _histogram(votes, photos, turns, len(block), ANGLE_BINS)
        by_scale = _histogram(votes, photos, zooms.clip(0, SCALE_BINS - 1), len(block), SCALE_BINS)
        by_angle = np.pad(by_angle, ((0, 0), (ANGLE_WINDOW, ANGLE_WINDOW)), mode="wrap")
        by_scale = np.pad(by_scale, ((0, 0), (SCALE_WINDOW, SCALE_WINDOW)))
        scores = np.minimum(_peak(by_angle, ANGLE_WINDOW), _peak(by_scale, SCALE_WINDOW))
    else:
        scores = np.bincount(photos, votes, len(block))
    norms = _norms(tables) * _norms(ours[None])
    cosines = np.divide(scores, norms, out=np.zeros(len(block)), where=norms > 0)
    return np.clip(1 - cosines, 0, 1).astype(np.float32)


def _ranges(lengths: np.ndarray) -> np.ndarray:
    """Concatenate 0, 1, ..., n - 1 for each length n."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)


def _histogram(
    votes: np.ndarray, photos: np.ndarray, bins: np.ndarray, count: int, width: int
) -> np.ndarray:
    """Add up votes (P,) by photo and bin, float64 (count, width)."""
    flat = np.bincount(photos * width + bins, votes, count * width)
    return flat.reshape(count, width)


def _peak(histogram: np.ndarray, window: int) -> np.ndarray:
    """Return the largest sum over a moving window, (count, width) to (count,)."""
    windows = np.lib.stride_tricks.sliding_window_view(histogram, 2 * window + 1, axis=1)
    return np.asarray(windows.sum(axis=2).max(axis=1))


def _norms(tables: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms of the bags of words of tables (n, 8, R), float64 (n,)."""
    photos, rows = np.nonzero(tables[:, 0] != NO_WORD)
    words, idf = tables[photos, 0, rows], tables[photos, 7, rows].astype(np.float64)
    # Rows of the same photo and word are adjacent.
    is_start = np.ones(len(photos), bool)
    is_start[1:] = (photos[1:] != photos[:-1]) | (words[1:] != words[:-1])
    starts = np.flatnonzero(is_start)
    if not len(starts):
        return np.zeros(len(tables))
    sums = np.add.reduceat(idf, starts)
    return np.sqrt(np.bincount(photos[starts], sums**2, len(tables)))
