"""Heat maps: which places make two photos close, by their feature maps or by SIFT.

For values >= 0 the Manhattan distance is `sum(a) + sum(b) - 2 sum(min(a, b))`: two photos are as
close as the minima of their values are large. Each value is a sum over positions (`attribution`).
Splitting `min(a_c, b_c)` by these parts in both photos gives, summed over the values, what each
*pair* of positions adds to the closeness. Where values may be negative (projected descriptors,
compared by cosine), a pair adds the product of its parts.

Much of that comes from pairs that have nothing to do with one another: any two textured photos
agree in many values. So a pair of positions counts as much as the columns of the feature maps at
both positions are similar, beyond what two positions of the photos are on average. The heat of a
position is the sum over its pairs.

For local features, a word's block of a VLAD is its sum of residuals `s`, scaled for each value by
`g = |s|**(power - 1)` and by the lengths, so that `v = g * s` is linear in the residuals once `g`
is computed. The cosine is then, exactly, a sum over pairs of features with the same word:
`sum((r * g) * (r' * g'))`. Such a pair, too, counts as much as the two features look alike. A bag
of words is the same with the features' weights in place of the residuals.
"""

import math

import cv2
import numpy as np

from resight.config import LocalConfig, MethodConfig
from resight.descriptors.aggregation.bag_of_words import SIGMA2
from resight.descriptors.aggregation.vlad import ROUNDING, assign
from resight.descriptors.aggregation.vocabulary import nearest_words, soft_weights
from resight.descriptors.extractor import FittedParams
from resight.descriptors.fusion import rescale
from resight.descriptors.local_features.rootsift import LocalFeatures
from resight.searching.spatial_verification import border, positions, unit_columns
from resight.views.attribution import TINY, Attribution, resample

SIMILARITY_POWER = 3
"""Exponent of the cosine above the average, which weights a pair of positions or features."""
ATTRIBUTION_BLUR = 1.5
"""Standard deviation in positions: a maximum may lie next to its cause."""
HEAT_BLUR = 1.0
MAX_POSITIONS = 4900
"""Larger maps are reduced first; 70 x 70 is a square photo at 1120 pixels."""
BLOCK = 512
"""Positions of one photo that are compared at once with all of the other."""
HEAT_SIDE = 64
"""Cells along the longer side of a heat map by SIFT."""
SPREAD = 1.5
"""Standard deviation of a SIFT feature's heat, in cells."""


def shared_heat(query: Attribution, other: Attribution) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each position adds to the closeness of two photos by pairs of similar columns.

    Each pair adds `sum over c of min(a_c, b_c) * p_c * q_c`, where a and b are the descriptors and
    p and q the positions' shares of them (blurred a little), or with negative values the product
    of the parts, `sum over c of a_c p_c b_c q_c`, if it is positive; times the third power of how
    much the cosine of the two columns is above that of two average positions. Pairs of positions
    that are both at the border do not count.

    Returns:
        float32 (H, W) and (H', W'), values >= 0, of about equal sums.
    """
    shape, other_shape = query.columns.shape[1:], other.columns.shape[1:]
    query, other = _coarser(query), _coarser(other)
    left, right = (positions(_blur(one.values, ATTRIBUTION_BLUR)) for one in (query, other))
    signed = min(query.values.min(), other.values.min()) < 0
    if not signed:
        a, b = query.values.sum(axis=(1, 2)), other.values.sum(axis=(1, 2))
        left *= (np.minimum(a, b) > 0) / np.maximum(np.maximum(a, b), TINY)  # min(a, b) / (a * b)
    columns, other_columns = unit_columns(query.columns), unit_columns(other.columns)
    average = _mean_column(columns) @ _mean_column(other_columns)
    at_border, other_at_border = border(query.columns), border(other.columns)
    heat, other_heat = np.zeros(len(left), np.float32), np.zeros(len(right), np.float32)
    for start in range(0, len(left), BLOCK):
        block = slice(start, start + BLOCK)
        pairs = left[block] @ right.T
        if signed:
            np.maximum(pairs, 0, out=pairs)
        similarity = columns[block] @ other_columns.T
        similarity -= average
        np.maximum(similarity, 0, out=similarity)
        for _ in range(SIMILARITY_POWER):
            pairs *= similarity
        pairs[np.ix_(at_border[block], other_at_border)] = 0
        heat[block] = pairs.sum(axis=1)
        other_heat += pairs.sum(axis=0)
    return _smooth(heat, query, shape), _smooth(other_heat, other, other_shape)


def add_layers(
    query: dict[str, Attribution], other: dict[str, Attribution]
) -> tuple[np.ndarray, np.ndarray]:
    """Add the heat of all layers on the grid of the finest one, and scale it to 0..1."""
    heats = [shared_heat(query[layer], other[layer]) for layer in query]
    finest = max(heats, key=lambda pair: pair[0].size)
    first, second = (
        np.sum([resample(pair[side][None], finest[side].shape)[0] for pair in heats], axis=0)
        for side in range(2)
    )
    return _contrast(first), _contrast(second)


def _contrast(heat: np.ndarray) -> np.ndarray:
    """Scale what is above the median to 0..1: two photos share less than half of their area."""
    above = np.maximum(heat - np.quantile(heat, 0.5, method="lower"), 0)
    highest = above.max()
    return above / highest if highest > 0 else above


def _smooth(heat: np.ndarray, one: Attribution, shape: tuple[int, ...]) -> np.ndarray:
    """Blur the heat of the positions (H * W,), and rescale it to the map's shape."""
    return rescale(_blur(heat.reshape(1, *one.columns.shape[1:]), HEAT_BLUR), shape)[0]


def _coarser(one: Attribution) -> Attribution:
    """Halve the grid until it has at most `MAX_POSITIONS`."""
    while one.columns[0].size > MAX_POSITIONS:
        counts = _sum_fours(np.ones((1, *one.columns.shape[1:]), np.float32))  # less at the edges
        one = Attribution(_sum_fours(one.values), _sum_fours(one.columns) / counts)
    return one


def _sum_fours(maps: np.ndarray) -> np.ndarray:
    """Sum over squares of 2 x 2, cut off at the right and lower edge."""
    channels, height, width = maps.shape
    rows, columns = -(-height // 2), -(-width // 2)
    padding = ((0, 2 * rows - height), (0, 2 * columns - width), (0, 0))
    padded = np.pad(maps.transpose(1, 2, 0), padding)
    return padded.reshape(rows, 2, columns, 2, channels).sum(axis=(1, 3)).transpose(2, 0, 1)


def _blur(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a map (C, H, W) by a Gaussian; the sum of each channel is unchanged."""
    channels, height, width = maps.shape
    down, across = _gaussian(height, sigma), _gaussian(width, sigma)
    rows = (down @ positions(maps).reshape(height, -1)).reshape(height, width, channels)
    return (across @ rows).transpose(2, 0, 1)


def _gaussian(size: int, sigma: float) -> np.ndarray:
    steps = np.arange(size, dtype=np.float32)
    weights = np.exp(-((steps[:, None] - steps) ** 2) / np.float32(2 * sigma**2))
    return weights / weights.sum(axis=0)


def _mean_column(columns: np.ndarray) -> np.ndarray:
    nonzero = columns.any(axis=1).astype(np.float32)
    return nonzero @ columns / max(1, nonzero.sum())


# Local features


def attributable(config: MethodConfig) -> bool:
    """Return whether `feature_attribution` splits the descriptors of a method."""
    if not isinstance(config, LocalConfig) or config.features != "rootsift":
        return False
    return config.aggregation in ("vlad", "words")


def feature_attribution(
    features: LocalFeatures, params: FittedParams, config: LocalConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Split the VLAD or the bag of words of a photo over its N local features.

    Returns:
        Words int64 (N, r) of each feature, and its parts in their blocks of the descriptor, float64
        (N, r, d); they add up to the descriptor. d is 128 of VLAD and 1 of a bag of words.
    """
    if config.aggregation == "words":
        nearest, squared = nearest_words(features.descriptors, params["words"], config.assigned)
        parts = (soft_weights(squared, SIGMA2) * params["idf"][nearest])[..., None]
        length = np.linalg.norm(np.bincount(nearest.ravel(), parts.ravel()))
        return nearest, parts / (length or 1.0)
    words = np.asarray(params["words"], np.float64)
    nearest, weights = assign(features.descriptors, words, config.assigned)
    residuals = features.descriptors.astype(np.float64)[:, None, :] - words[nearest]
    parts = weights[..., None] * residuals
    blocks = 0
    for word in np.unique(nearest):
        members = nearest == word
        sums = parts[members].sum(axis=0)
        if np.linalg.norm(sums) <= ROUNDING:
            parts[members] = 0.0
            continue
        nonzero = sums != 0
        gain = np.zeros_like(sums)
        gain[nonzero] = np.abs(sums[nonzero]) ** (config.power - 1)
        parts[members] *= gain / np.linalg.norm(gain * sums)
        blocks += 1
    return nearest, parts / math.sqrt(max(1, blocks))


def feature_heats(
    query: LocalFeatures, other: LocalFeatures, params: FittedParams, config: LocalConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each feature of two photos adds to their cosine, float64 (N,), (M,), >= 0."""
    words, parts = feature_attribution(query, params, config)
    other_words, other_parts = feature_attribution(other, params, config)
    heat, other_heat = np.zeros(len(words)), np.zeros(len(other_words))
    if not len(words) or not len(other_words):
        return heat, other_heat
    average = float(query.descriptors.mean(axis=0) @ other.descriptors.mean(axis=0))
    for word in np.intersect1d(words, other_words):
        mine, theirs = np.nonzero(words == word), np.nonzero(other_words == word)
        pairs = np.maximum(parts[mine] @ other_parts[theirs].T, 0)
        similarity = query.descriptors[mine[0]] @ other.descriptors[theirs[0]].T - average
        pairs *= np.maximum(similarity, 0) ** SIMILARITY_POWER
        np.add.at(heat, mine[0], pairs.sum(axis=1))
        np.add.at(other_heat, theirs[0], pairs.sum(axis=0))
    return heat, other_heat


def heat_map(points: np.ndarray, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw the heat (N,) of features at `points` (N, 2), in pixels of a photo, as a smooth map.

    Returns:
        float32 (h, w), the longer side `HEAT_SIDE`, 0 to 1; zeros where no feature has heat.
    """
    width, height = size
    cell = max(width, height) / HEAT_SIDE
    shape = max(1, round(height / cell)), max(1, round(width / cell))
    cells = np.zeros(shape, np.float32)
    column = np.clip((points[:, 0] + 0.5) / width * shape[1], 0, shape[1] - 1).astype(int)
    row = np.clip((points[:, 1] + 0.5) / height * shape[0], 0, shape[0] - 1).astype(int)
    np.add.at(cells, (row, column), heat)
    smooth = np.asarray(cv2.GaussianBlur(cells, (0, 0), SPREAD, borderType=cv2.BORDER_CONSTANT))
    highest = float(smooth.max())
    return smooth / np.float32(highest) if highest > 0 else cells
