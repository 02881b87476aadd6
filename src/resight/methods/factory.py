"""From a method's configuration, weights and fitted parameters to its extractor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resight.config import ExtractionConfig, LocalConfig, MethodConfig
from resight.descriptors.extractor import Extractor, Fittable, FittedParams
from resight.errors import CollectionError, UsageError
from resight.methods.model import Model, ModelOptions


@dataclass(frozen=True)
class FittedMethod:
    """All that an extractor is loaded from, on any machine.

    Attributes:
        config: the method's configuration.
        model: the network's weights, if it has a network.
        params: parameters that were fitted on photos, if it learns.
        quantized: its network in 8-bit integers, if the configuration asks for one.
    """

    config: MethodConfig
    model: Model | None = None
    params: FittedParams = field(default_factory=dict)
    quantized: bytes | None = None

    def load_extractor(self, options: ModelOptions) -> Extractor:
        """Load the extractor.

        Raises:
            UsageError: the method needs a collection on whose photos it is fitted.
            WeightsError: the weights do not fit.
        """
        if self.config.learns and not self.params:
            raise UsageError(
                f"{self.config.method}: needs a collection, from whose photos it learns"
            )
        if self.config.precision == "int8" and self.quantized is None:
            raise UsageError("int8 needs a collection, on whose photos the network is quantized")
        extractor = LOADERS[type(self.config)](self.config, self.model, options, self.quantized)
        return extractor.with_params(self.params) if self.config.learns else extractor


def load_fittable(config: MethodConfig, model: Model | None, options: ModelOptions) -> Fittable:
    """Load what fits the parameters of a method that learns.

    Raises:
        WeightsError: the weights do not fit.
    """
    return LOADERS[type(config)](config, model, options, None)


def _load_cnn(
    config: ExtractionConfig, model: Model | None, options: ModelOptions, quantized: bytes | None
) -> Any:
    from resight.descriptors.cnn_extractor import CnnExtractor

    path, sha256 = _weights_file(model)
    return CnnExtractor(
        config,
        path,
        sha256=sha256,
        runtime=options.runtime,
        device=options.device,
        quantized=quantized,
        threads=options.threads,
    )


def _load_local(
    config: LocalConfig, model: Model | None, options: ModelOptions, quantized: bytes | None
) -> Any:
    from resight.descriptors.local_extractor import LocalExtractor  # imports OpenCV
    from resight.networks.parameters import load_parameters
    from resight.networks.runtimes import load_network

    if not config.needs_network:
        return LocalExtractor(config)
    path, sha256 = _weights_file(model)
    network = load_network(
        config.backbone,
        load_parameters(config.backbone, path, sha256),
        layers=config.network_layers(),
        runtime=options.runtime,
        device=options.device,
        threads=options.threads,
    )
    return LocalExtractor(config, network)


def _weights_file(model: Model | None) -> tuple[Path, str]:
    if model is None or model.path is None:
        raise CollectionError("a network needs a weights file")
    return model.path, model.sha256


LOADERS: dict[type[MethodConfig], Callable[[Any, Model | None, ModelOptions, bytes | None], Any]]
LOADERS = {ExtractionConfig: _load_cnn, LocalConfig: _load_local}
"""Loader of the extractor for each type of configuration."""
