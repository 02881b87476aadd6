"""Which extractor a configuration asks for, and the model (weights, vocabulary) behind it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resight.collection.fitted_params import sha256
from resight.collection.provenance import Model, Provenance
from resight.config import (
    ExtractionConfig,
    LocalConfig,
    MethodConfig,
)
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.extractor import Extractor, Fittable, FittedParams
from resight.errors import CollectionError, UsageError
from resight.networks.parameters import load_parameters, recognize
from resight.networks.runtimes.select import load_network
from resight.networks.specs import BACKBONES
from resight.networks.weights import Progress as DownloadProgress
from resight.networks.weights import find_weights, named_file

if TYPE_CHECKING:
    from resight.descriptors.local_extractor import LocalExtractor


TRAINED = {"fine-tuned": "that was fine-tuned for retrieval", "netvlad": "with NetVLAD's layer"}
"""What a network has to be for the poolings that come with its weights."""


@dataclass(frozen=True)
class ModelOptions:
    """How to find and run a network.

    Weights file, device, engine, what hears of a download, threads that compute (None: as many as
    the engine thinks best). Of several files in place of the one, each serves the methods on the
    network it is of.
    """

    weights: Path | None = None
    device: str = "auto"
    engine: str = "auto"
    on_download: DownloadProgress | None = None
    several: tuple[Path, ...] = ()
    threads: int | None = None


@dataclass(frozen=True)
class FittedMethod:
    """All that a method's extractor is made of, on this machine or another.

    Attributes:
        config: the method's configuration.
        model: the network's weights, if it has a network.
        learned: what it learned from photos before it described any.
        quantized: its network in 8-bit integers, if that is what computes.
    """

    config: MethodConfig
    model: Model | None
    learned: FittedParams
    quantized: bytes | None


def cnn_model(config: MethodConfig, options: ModelOptions, remembered: Path | None = None) -> Model:
    """The weights for a configuration.

    Raises:
        WeightsError: there are none.
    """
    wanted = (config.backbone, config.required_head)
    for path in options.several:
        file = named_file(path, "--weights")
        if recognize(file) == wanted:
            return Model(file.sha256, file.path)
    found = find_weights(
        config.backbone,
        options.weights,
        remembered,
        environment=not options.several,
        trained=TRAINED.get(wanted[1]),
        progress=options.on_download,
    )
    return Model(found.sha256, found.path)


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
        threads=options.threads,
    )


def collection_model(collection: Provenance, options: ModelOptions) -> Model:
    """The model behind a collection's descriptors: weights, or what was learned without any.

    Raises:
        WeightsError: no weights are found.
        CollectionError: the collection was never indexed.
    """
    config, known = collection.config, collection.model
    if config.needs_network:
        return cnn_model(config, options, known.path if known else None)
    return Model(sha256(_learned(collection)))


def collection_extractor(collection: Provenance, options: ModelOptions) -> Extractor:
    """The extractor that made a collection's descriptors.

    Raises:
        WeightsError: no weights are found, or they do not fit.
        CollectionMismatchError: the weights are not those of the collection.
        CollectionError: the collection was never indexed.
    """
    return extractor(collection_method(collection, options), options)


def collection_method(collection: Provenance, options: ModelOptions) -> FittedMethod:
    """What that extractor is made of; errors likewise."""
    config, model = collection.config, None
    learned = _learned(collection) if config.learns else {}
    if config.needs_network:
        model = collection_model(collection, options)
        collection.check_model(model)
    return FittedMethod(config, model, learned, collection.quantized_network())


def extractor(made: FittedMethod, options: ModelOptions) -> Extractor:
    """The extractor of a method.

    Raises:
        WeightsError: the weights do not fit.
    """
    if made.config.learns:
        return learner(made.config, made.model, options).with_params(made.learned)
    return plain_extractor(made.config, made.model, options, made.quantized)


def _learned(collection: Provenance) -> FittedParams:
    learned = collection.fitted_params()
    if learned is None:
        raise CollectionError(f"{collection.name}: holds no photos yet; run resight index")
    return learned


def plain_extractor(
    config: MethodConfig,
    model: Model | None,
    options: ModelOptions,
    quantized: bytes | None = None,
) -> Extractor:
    """The extractor of a configuration that learns nothing from photos.

    Raises:
        UsageError: it does learn something, which takes a collection.
    """
    if config.learns:
        raise UsageError(f"{config.method}: needs a collection, from whose photos it learns")
    if isinstance(config, ExtractionConfig):
        if model is None:
            raise CollectionError("a network needs a weights file")
        return cnn_extractor(config, model, options, quantized)
    assert isinstance(config, LocalConfig)
    return local_extractor(config, model, options)


def learner(config: MethodConfig, model: Model | None, options: ModelOptions) -> Fittable:
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
    assert isinstance(config, LocalConfig)
    return local_extractor(config, model, options)


def local_extractor(
    config: LocalConfig, model: Model | None, options: ModelOptions
) -> "LocalExtractor":
    """The extractor of local features, which has not learned yet.

    Raises:
        WeightsError: the weights do not fit.
    """
    from resight.descriptors.local_extractor import LocalExtractor  # OpenCV takes a while

    if not config.needs_network:
        return LocalExtractor(config)
    if model is None or model.path is None:
        raise CollectionError("a network needs a weights file")
    parameters = load_parameters(config.backbone, model.path, model.sha256)
    columns = BACKBONES[config.backbone].matching_layer  # compared when geometry is verified
    network = load_network(
        config.backbone,
        parameters,
        layers=tuple(dict.fromkeys((config.layer, columns))),
        engine=options.engine,
        device=options.device,
        threads=options.threads,
    )
    return LocalExtractor(config, network)
