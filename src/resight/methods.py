"""Which extractor a configuration asks for, and the model (weights, vocabulary) behind it."""

from dataclasses import dataclass
from pathlib import Path

from resight.config import ExtractionConfig, MethodConfig, learns
from resight.descriptors.cnn import CnnExtractor
from resight.descriptors.extractor import Extractor, Learned, Learner
from resight.errors import CollectionError, UsageError
from resight.networks.backbones import recognize
from resight.networks.weights import Progress as DownloadProgress
from resight.networks.weights import find_weights, named_file
from resight.storage.learned import sha256
from resight.storage.made_with import MadeWith, Model


@dataclass(frozen=True)
class ModelOptions:
    """How to find and run a network: weights file, device, engine, what hears of a download.

    Of several files in place of the one, each serves the methods on the network it is of.
    """

    weights: Path | None = None
    device: str = "auto"
    engine: str = "auto"
    on_download: DownloadProgress | None = None
    several: tuple[Path, ...] = ()


def cnn_model(
    config: ExtractionConfig, options: ModelOptions, remembered: Path | None = None
) -> Model:
    """The weights for a configuration.

    Raises:
        WeightsError: there are none.
    """
    wanted = needed_network(config)
    for path in options.several:
        file = named_file(path, "--weights")
        if recognize(file) == wanted:
            return Model(file.sha256, file.path)
    found = find_weights(
        config.backbone,
        options.weights,
        remembered,
        environment=not options.several,
        published=not wanted[1],
        progress=options.on_download,
    )
    return Model(found.sha256, found.path)


def needed_network(config: ExtractionConfig) -> tuple[str, bool]:
    """The network of a configuration, and whether it has to be one fine-tuned for retrieval."""
    return config.backbone, config.pooling == "fine-tuned"


def cnn_extractor(
    config: ExtractionConfig,
    model: Model,
    options: ModelOptions,
    quantized: bytes | None = None,
) -> CnnExtractor:
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


def collection_model(collection: MadeWith, options: ModelOptions) -> Model:
    """The model behind a collection's descriptors: weights, or what was learned without any.

    Raises:
        WeightsError: no weights are found.
        CollectionError: the collection was never indexed.
    """
    config, known = collection.config, collection.model
    if isinstance(config, ExtractionConfig):
        return cnn_model(config, options, known.path if known else None)
    return Model(sha256(_learned(collection)))


def collection_extractor(collection: MadeWith, options: ModelOptions) -> Extractor:
    """The extractor that made a collection's descriptors.

    Raises:
        WeightsError: no weights are found, or they do not fit.
        CollectionMismatch: the weights are not those of the collection.
        CollectionError: the collection was never indexed.
    """
    config, model = collection.config, None
    learned = _learned(collection) if learns(config) else {}
    if isinstance(config, ExtractionConfig):
        model = collection_model(collection, options)
        collection.check_model(model)
        if not learns(config):
            return cnn_extractor(config, model, options, collection.quantized_network())
    return learner(config, model, options).taught(learned)


def _learned(collection: MadeWith) -> Learned:
    learned = collection.learned()
    if learned is None:
        raise CollectionError(f"{collection.name}: holds no photos yet; run resight index")
    return learned


def learner(config: MethodConfig, model: Model | None, options: ModelOptions) -> Learner:
    """What learns from photos before any is described by a configuration.

    Args:
        config: one of those that learn.
        model: the weights of its network, if it has one.
        options: how to run that.
    """
    if isinstance(config, ExtractionConfig):
        if model is None:
            raise CollectionError("a network needs a weights file")
        return cnn_extractor(config, model, options)
    from resight.descriptors.sift_vlad import SiftVladExtractor  # OpenCV takes a while

    return SiftVladExtractor(config)
