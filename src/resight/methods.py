"""Which extractor a configuration asks for, and the model (weights, vocabulary) behind it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.collection import Collection, Model
from resight.config import ExtractionConfig, SiftVladConfig
from resight.errors import CollectionError
from resight.extractor import Extractor
from resight.weights import Progress as DownloadProgress
from resight.weights import find_weights


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
    # Large pages: fewer page faults, a third less time for the first photo. Torch reads this once.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
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


def vocabulary_model(vocabulary: np.ndarray) -> Model:
    """The hash that stands for a vocabulary, float32 (centers, 128)."""
    return Model(hashlib.sha256(vocabulary.astype("<f4").tobytes()).hexdigest())


def _sift_vlad(config: SiftVladConfig, vocabulary: np.ndarray) -> Extractor:
    from resight.sift_vlad import SiftVladExtractor

    return SiftVladExtractor(config, vocabulary)
