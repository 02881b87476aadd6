"""Which extractor a configuration asks for, and the model (weights, vocabulary) behind it."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.collection import Collection, Model
from resight.config import ExtractionConfig, SiftVladConfig
from resight.errors import CollectionError, FitError, ImageError
from resight.extractor import Extractor
from resight.files import PhotoFile
from resight.images import load_image
from resight.weights import Progress as DownloadProgress
from resight.weights import find_weights
from resight.writer import Writer

SAMPLE_PHOTOS = 300
"""Photos whose local features a vocabulary is fitted on, at most."""


@dataclass(frozen=True)
class ModelOptions:
    """How to find and run a network: a weights file, a device, what hears of a download."""

    weights: Path | None = None
    device: str = "auto"
    on_download: DownloadProgress | None = None


def cnn_model(
    config: ExtractionConfig, options: ModelOptions, remembered: Path | None = None
) -> Model:
    """The weights for a configuration.

    Raises:
        WeightsError: there are none.
    """
    found = find_weights(config.backbone, options.weights, remembered, progress=options.on_download)
    return Model(found.sha256, found.path)


def cnn_extractor(config: ExtractionConfig, model: Model, device: str) -> Extractor:
    """The network of a configuration, loaded."""
    from resight.cnn import CnnExtractor  # imports torch, which takes a second

    if model.path is None:
        raise CollectionError("a network needs a weights file")
    return CnnExtractor(config, model.path, device)


def collection_extractor(collection: Collection, options: ModelOptions) -> Extractor:
    """The extractor that made a collection's descriptors.

    Raises:
        WeightsError: no weights are found, or they do not fit.
        CollectionMismatch: the weights are not those of the collection.
        CollectionError: the collection was never indexed.
    """
    config, known = collection.config, collection.model
    if isinstance(config, ExtractionConfig):
        model = cnn_model(config, options, known.path if known else None)
        collection.check_model(model)
        return cnn_extractor(config, model, options.device)
    vocabulary = collection.vocabulary()
    if vocabulary is None:
        raise CollectionError(f"{collection.folder}: holds no photos yet; run resight index")
    return _sift_vlad(config, vocabulary)


def fit_collection_vocabulary(
    writer: Writer,
    config: SiftVladConfig,
    files: Sequence[PhotoFile],
    progress: Callable[..., None],
) -> None:
    """Fit the vocabulary of a `sift-vlad` collection that has none, on a sample of the photos.

    Raises:
        FitError: the photos have too few local features.
    """
    from resight.sift import root_sift
    from resight.vlad import fit_vocabulary

    chosen = random.Random(config.seed).sample(list(files), min(SAMPLE_PHOTOS, len(files)))
    generator = np.random.default_rng(config.seed)
    share = -(-config.sample // max(1, len(chosen)))
    parts = []
    for done, file in enumerate(chosen, 1):
        progress("sampling", done, len(chosen))
        try:
            features = root_sift(load_image(file.path, 2 * config.longest_side), config)
        except ImageError:
            continue  # the run itself reports it with its reason
        rows = generator.permutation(len(features.descriptors))[:share]
        parts.append(features.descriptors[rows])
    if not parts:
        raise FitError("none of the photos can be read: there is nothing to fit a vocabulary on")
    sample = np.concatenate(parts)
    vocabulary = fit_vocabulary(sample, config.centers, config.seed)
    writer.store_vocabulary(
        vocabulary, {"photos": len(parts), "local_features": len(sample), "seed": config.seed}
    )


def vocabulary_model(vocabulary: np.ndarray) -> Model:
    """The hash that stands for a vocabulary, float32 (centers, 128)."""
    return Model(hashlib.sha256(vocabulary.astype("<f4").tobytes()).hexdigest())


def _sift_vlad(config: SiftVladConfig, vocabulary: np.ndarray) -> Extractor:
    from resight.sift_vlad import SiftVladExtractor

    return SiftVladExtractor(config, vocabulary)
