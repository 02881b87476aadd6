"""Which extractor a configuration asks for, and the model (weights, vocabulary) behind it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.config import ExtractionConfig, SiftVladConfig
from resight.descriptors.cnn import CnnExtractor
from resight.descriptors.extractor import Extractor
from resight.errors import CollectionError, UsageError
from resight.networks.weights import Progress as DownloadProgress
from resight.networks.weights import find_weights
from resight.storage.collection import Collection, Model


@dataclass(frozen=True)
class ModelOptions:
    """How to find and run a network: weights file, device, engine, what hears of a download."""

    weights: Path | None = None
    device: str = "auto"
    engine: str = "auto"
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


def cnn_extractor(
    config: ExtractionConfig,
    model: Model,
    options: ModelOptions,
    quantized: bytes | None = None,
) -> Extractor:
    """The network of a configuration, loaded.

    Raises:
        UsageError: int8 without the network that was quantised for a collection.
    """
    if model.path is None:
        raise CollectionError("a network needs a weights file")
    if config.precision == "int8" and quantized is None:
        raise UsageError("int8 needs a collection, on whose photos the network is quantised")
    return CnnExtractor(
        config,
        model.path,
        sha256=model.sha256,
        engine=options.engine,
        device=options.device,
        quantized=quantized,
    )


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
        return cnn_extractor(config, model, options, collection.quantized_network())
    vocabulary = collection.vocabulary()
    if vocabulary is None:
        raise CollectionError(f"{collection.folder}: holds no photos yet; run resight index")
    return _sift_vlad(config, vocabulary)


def vocabulary_model(vocabulary: np.ndarray) -> Model:
    """The hash that stands for a vocabulary, float32 (centers, 128)."""
    return Model(hashlib.sha256(vocabulary.astype("<f4").tobytes()).hexdigest())


def _sift_vlad(config: SiftVladConfig, vocabulary: np.ndarray) -> Extractor:
    from resight.descriptors.sift_vlad import SiftVladExtractor

    return SiftVladExtractor(config, vocabulary)
