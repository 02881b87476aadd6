"""What a method computes with: the weights of its network, or fitted parameters."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.config import MethodConfig
from resight.descriptors.extractor import FittedParams
from resight.networks.parameters import recognize
from resight.networks.weights import DownloadProgress, find_weights, named_file

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
        on_download: called while weights are downloaded.
        weights_files: several files in place of the one; each serves the methods on its network.
        threads: threads that compute; None leaves that to the runtime.
    """

    weights: Path | None = None
    device: str = "auto"
    runtime: str = "auto"
    on_download: DownloadProgress | None = None
    weights_files: tuple[Path, ...] = ()
    threads: int | None = None


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

    Args:
        config: the method's.
        options: the weights file or files.
        previous: the file that was used before, if any; used unless another one is named.

    Raises:
        WeightsMissingError: there are none.
        WeightsError: a named file is missing, or a cached one is damaged.
    """
    for path in options.weights_files:
        file = named_file(path)
        if recognize(file) == (config.backbone, config.required_head):
            return Model(file.sha256, file.path)
    weights = find_weights(
        config.backbone,
        options.weights,
        previous,
        environment=not options.weights_files,
        trained=HEAD_WEIGHTS.get(config.required_head),
        progress=options.on_download,
    )
    return Model(weights.sha256, weights.path)


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
