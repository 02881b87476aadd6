"""A method ready to run: the weights of its network, its fitted parameters, its extractor."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resight.config import ExtractionConfig, LocalConfig, MethodConfig
from resight.descriptors.extractor import Extractor, Fittable, FittedParams
from resight.errors import CollectionError, UsageError, WeightsError
from resight.networks.backbone import TIMM

if TYPE_CHECKING:
    from resight.networks.weights import WeightsFile

HEAD_WEIGHTS = {
    "fine-tuned": "that was fine-tuned for retrieval",
    "netvlad": "with NetVLAD's layer",
}
"""Weights that each retrieval head comes with, in the message that there are none."""


@dataclass(frozen=True)
class ModelOptions:
    """Options to find and run a network.

    Attributes:
        weights: the weights file; None searches the environment, the cache and the web.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        runtime: `auto`, `torch`, `openvino` or `onnx`.
        on_download: called while weights are downloaded, see `networks.weights.DownloadProgress`.
        weights_files: several files in place of the one; each serves the methods on its network.
        threads: threads that compute; None leaves that to the runtime.
        streams: images to compute at the same time, see `load_network`.
        precision: `float32`, `bfloat16` or `auto` in place of a collection's; None keeps it.
    """

    weights: Path | None = None
    device: str = "auto"
    runtime: str = "auto"
    on_download: Callable[[int, int], None] | None = None
    weights_files: tuple[Path, ...] = ()
    threads: int | None = None
    streams: int = 1
    precision: str | None = None

    def __post_init__(self) -> None:
        """Take paths that are text, too."""
        if self.weights is not None:
            object.__setattr__(self, "weights", Path(self.weights))
        object.__setattr__(self, "weights_files", tuple(map(Path, self.weights_files)))


@dataclass(frozen=True)
class Model:
    """Identity of the weights or fitted parameters behind descriptors.

    Attributes:
        sha256: hash of the weights file or, without a network, of the fitted parameters.
        path: the weights file; None without a network, or where it is unknown.
    """

    sha256: str
    path: Path | None = None


def find_model(config: MethodConfig, options: ModelOptions, previous: Path | None = None) -> Model:
    """Find the weights for a configuration with a network.

    The file that was used before, `previous`, is used unless the options name another one.

    Raises:
        WeightsMissingError: there are none.
        WeightsError: a named file is missing, or a cached one is damaged.
    """
    from resight.networks.weights import find_weights, named_file  # slow to import

    unknown = None
    for path in options.weights_files:
        file = named_file(path)
        try:
            if _fits(file, config):
                return Model(file.sha256, file.path)
        except WeightsError as error:
            unknown = unknown or error
    if unknown is not None:
        raise unknown
    weights = find_weights(
        config.backbone,
        options.weights,
        previous,
        environment=not options.weights_files,
        fits=lambda file: _fits(file, config, any_head=True),
        trained=HEAD_WEIGHTS.get(config.required_head),
        progress=options.on_download,
    )
    return Model(weights.sha256, weights.path)


def _fits(file: "WeightsFile", config: MethodConfig, *, any_head: bool = False) -> bool:
    """Return whether weights are of a configuration's network, with its retrieval head.

    Raises:
        WeightsError: the file cannot be read, or fits no network.
    """
    from resight.networks.parameters import fits_timm, recognize  # slow to import

    if config.backbone.startswith(TIMM):
        return fits_timm(file, config.backbone)
    backbone, head = recognize(file)
    return backbone == config.backbone and (any_head or head == config.required_head)


def params_to_bytes(params: FittedParams) -> bytes:
    """Return fitted parameters as they are stored: float32 arrays as safetensors."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values, "<f4") for name, values in params.items()})


def params_from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """Read the result of `params_to_bytes`.

    Raises:
        ValueError: the bytes are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(f"fitted parameters: {error}") from None


def params_sha256(params: FittedParams) -> str:
    """Return the SHA-256 (hex) of fitted parameters: their values in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(params):
        digest.update(np.ascontiguousarray(params[name], "<f4").tobytes())
    return digest.hexdigest()


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
        extractor = _load(self.config, self.model, options, self.quantized)
        return extractor.with_params(self.params) if self.config.learns else extractor


def load_fittable(config: MethodConfig, model: Model | None, options: ModelOptions) -> Fittable:
    """Load what fits the parameters of a method that learns.

    Raises:
        WeightsError: the weights do not fit.
    """
    return _load(config, model, options)


def _load(
    config: MethodConfig, model: Model | None, options: ModelOptions, quantized: bytes | None = None
) -> Any:
    """Load an extractor without its fitted parameters."""
    if isinstance(config, LocalConfig) and not config.needs_network:
        from resight.descriptors.local_extractor import LocalExtractor  # imports OpenCV

        return LocalExtractor(config)
    if model is None or model.path is None:
        raise CollectionError("a network needs a weights file")
    if isinstance(config, ExtractionConfig):
        from resight.descriptors.cnn_extractor import CnnExtractor

        return CnnExtractor(
            config,
            model.path,
            sha256=model.sha256,
            runtime=options.runtime,
            device=options.device,
            quantized=quantized,
            threads=options.threads,
            streams=options.streams,
        )
    assert isinstance(config, LocalConfig)
    from resight.descriptors.local_extractor import LocalExtractor
    from resight.networks.parameters import load_parameters
    from resight.networks.runtimes import load_network

    network = load_network(
        config.backbone,
        load_parameters(config.backbone, model.path, model.sha256),
        layers=config.network_layers(),
        runtime=options.runtime,
        device=options.device,
        threads=options.threads,
    )
    return LocalExtractor(config, network)
