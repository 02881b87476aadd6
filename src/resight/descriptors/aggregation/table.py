"""From local features to one vector: what each way of aggregating learns, and what it makes.

The mathematics is in a module for each; this is the table of their names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resight.config import LocalConfig
from resight.descriptors.aggregation import bag_of_words as words
from resight.descriptors.aggregation import hamming
from resight.descriptors.aggregation.fisher import fisher_vector, fit_gaussians
from resight.descriptors.aggregation.netvlad import initial_layer, netvlad
from resight.descriptors.aggregation.triangulation import fit_embedding, triangulation
from resight.descriptors.aggregation.vlad import fit_vocabulary, vlad
from resight.descriptors.extractor import FittedParams
from resight.descriptors.local_features.features import unit_length

SIGMA2 = 6250 / 512**2
"""Soft assignment: Philbin et al. 2008, section 3.1, have 6250 for SIFT of length 512."""


@dataclass(frozen=True)
class Aggregation:
    """A way from local features to one vector.

    Attributes:
        learn: from the features of a sample of photos, float32 (n, D) each, to named arrays.
        apply: from one photo's features (n, D), their angles and sizes (n, 2) if they have any,
            and those arrays to float32 (d,).
    """

    learn: Callable[[Sequence[np.ndarray], LocalConfig], FittedParams]
    apply: Callable[[np.ndarray, np.ndarray | None, FittedParams, LocalConfig], np.ndarray]


def _learn_vlad(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    return {"words": fit_vocabulary(np.concatenate(photos), config.centers, config.seed)}


def _learn_netvlad(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    descriptors = np.concatenate(photos)
    return initial_layer(descriptors, fit_vocabulary(descriptors, config.centers, config.seed))


def _learn_triangulation(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    descriptors = np.concatenate(photos)
    return fit_embedding(descriptors, fit_vocabulary(descriptors, config.centers, config.seed))


def _learn_words(photos: Sequence[np.ndarray], config: LocalConfig, assigned: int) -> FittedParams:
    """Words, and how rare each is; one occurs wherever a feature counts for it, however little.

    The latter is as Philbin et al. 2008 have it.
    """
    found = words.fit_words(np.concatenate(photos), config.centers, config.seed)
    occurring = (words.nearest_words(photo, found, assigned)[0] for photo in photos)
    return {"words": found, "idf": words.inverse_document_frequency(occurring, len(found))}


def _learn_hamming(photos: Sequence[np.ndarray], config: LocalConfig) -> FittedParams:
    learned, descriptors = _learn_words(photos, config, assigned=1), np.concatenate(photos)
    projection = hamming.random_projection(descriptors.shape[1], config.seed)
    thresholds = hamming.fit_thresholds(descriptors, learned["words"], projection)
    return {**learned, "projection": projection, "thresholds": thresholds}


def _table(
    features: np.ndarray, frames: np.ndarray | None, learned: FittedParams, config: LocalConfig
) -> np.ndarray:
    if frames is None:
        raise ValueError("Hamming embedding needs the angles and sizes of keypoints")
    return hamming.table(features, frames[:, 0], frames[:, 1], learned, config.max_keypoints)


AGGREGATIONS: Mapping[str, Aggregation] = {
    "vlad": Aggregation(
        _learn_vlad, lambda x, _, m, c: vlad(x, m["words"], c.power, assigned=c.assigned)
    ),
    "fisher": Aggregation(
        lambda photos, c: fit_gaussians(np.concatenate(photos), c.centers, c.seed),
        lambda x, _, m, c: fisher_vector(x, m, c.power),
    ),
    "triangulation": Aggregation(
        _learn_triangulation, lambda x, _, m, c: triangulation(x, m, c.power)
    ),
    "netvlad": Aggregation(_learn_netvlad, lambda x, _, m, c: netvlad(x, m)),
    "words": Aggregation(
        lambda photos, c: _learn_words(photos, c, c.assigned),
        lambda x, _, m, c: words.bag_of_words(
            x, m["words"], m["idf"], assigned=c.assigned, sigma2=SIGMA2
        ),
    ),
    "hamming": Aggregation(_learn_hamming, _table),
    "hamming-wgc": Aggregation(_learn_hamming, _table),
    "stack": Aggregation(lambda photos, c: {}, lambda x, _, m, c: unit_length(x.ravel())),
}
"""Name to aggregation."""
