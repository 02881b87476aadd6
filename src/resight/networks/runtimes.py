"""Networks on inference runtimes, and the choice of the runtime."""

import os
import platform
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from resight.errors import UsageError
from resight.networks import find_backbone, is_installed
from resight.networks.backbone import BackboneSpec
from resight.networks.parameters import Parameters
from resight.networks.processor import has_bfloat16

PAPER_LAYERS = ("layer3", "layer4")

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "openvino": ("openvino",),
    "onnx": ("onnx", "onnxruntime"),
}
"""Each runtime and the packages that it needs."""

REQUIRED_RUNTIMES = {"bfloat16": "openvino", "int8": "openvino", "float16": "torch"}
"""Precisions that only one runtime supports."""

OPENVINO_CONVERTER = "openvino.tools.ovc"


class Network(Protocol):
    """A network on a runtime, ready for inference."""

    @property
    def concurrency(self) -> int:
        """Images that are computed at the same time when that many threads call."""

    @property
    def precision(self) -> str:
        """The arithmetic: float32, bfloat16, float16 or int8."""

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Compute the feature maps of an image.

        Args:
            pixels: uint8 (H, W, 3), RGB.

        Returns:
            Each layer that the network was loaded for, float32 (C, h, w): for a ResNet `layer3`,
            (1024, H / 16, W / 16), and `layer4`, (2048, H / 32, W / 32), sizes rounded up.
        """


def load_network(
    backbone: str,
    parameters: Parameters,
    *,
    layers: Sequence[str] = PAPER_LAYERS,
    runtime: str = "auto",
    device: str = "auto",
    precision: str = "float32",
    quantized: bytes | None = None,
    threads: int | None = None,
    streams: int = 1,
) -> Network:
    """Load a network on a runtime, ready for inference.

    Args:
        backbone: a name that `find_backbone` knows.
        parameters: the backbone's.
        layers: whose maps are computed; nothing beyond the last of them is.
        runtime: `torch`, `openvino` or `onnx` (both CPU only), or `auto`, see `choose_runtime`.
        device: a torch device, or `auto`: a GPU if there is one, else the CPU.
        precision: `float32`; `bfloat16`, for OpenVINO on processors that have it; `auto`, which is
            bfloat16 where it is available and else float32; `float16`, for torch on devices that
            support it; or `int8`, with `quantized`.
        quantized: the network in 8-bit integers, for OpenVINO only.
        threads: that compute on the CPU; None leaves the number to the runtime.
        streams: images that OpenVINO computes at the same time, each with fewer threads and a copy
            of the network: more images a second, but each takes longer.

    Raises:
        UsageError: there is no such runtime or device, the runtime is not installed, or it or the
            processor does not support the precision.
    """
    precision = "int8" if quantized is not None else precision
    needed = REQUIRED_RUNTIMES.get(precision)
    if needed is not None and runtime not in ("auto", needed):
        raise UsageError(f"{precision} needs {needed}, not {runtime}", parameter="runtime")
    if precision == "bfloat16" and not has_bfloat16():
        raise UsageError(
            "this processor has no bfloat16 (AMX or AVX-512); use auto or float32",
            parameter="precision",
        )
    chosen = needed or choose_runtime(runtime, device)
    supported = find_backbone(backbone).runtimes
    if chosen not in supported:
        if runtime != "auto" or needed is not None:
            raise UsageError(
                f"{backbone} runs on {', '.join(supported)} only, not on {chosen}",
                parameter="runtime",
            )
        chosen = supported[0]
    _check_installed(chosen)
    if chosen == "torch":
        # Large pages: fewer page faults, a third less time for the first photo. Torch reads this
        # once.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        from resight.networks.torch_runtime import TorchNetwork  # takes a second

        return TorchNetwork(
            backbone, parameters, layers, device, threads=threads, half=precision == "float16"
        )
    _check_cpu_runtime(chosen, device)
    if chosen == "onnx":
        from resight.networks.onnx_runtime import OnnxNetwork

        return OnnxNetwork(backbone, parameters, layers, threads)
    # Without the model converter, which brings telemetry, the import takes a third of the time.
    sys.modules.setdefault(OPENVINO_CONVERTER, None)  # type: ignore[arg-type]
    from resight.networks.openvino_runtime import OpenVinoNetwork

    if sys.modules[OPENVINO_CONVERTER] is None:
        del sys.modules[OPENVINO_CONVERTER]
    if precision == "auto":
        precision = "bfloat16" if has_bfloat16() else "float32"
    return OpenVinoNetwork(backbone, parameters, layers, precision, quantized, threads, streams)


def choose_runtime(runtime: str, device: str) -> str:
    """Return the runtime of a name: `auto` is OpenVINO on a CPU if it is installed, else torch.

    Without torch, `auto` is OpenVINO unless the device is a GPU by name.

    Raises:
        UsageError: there is no such runtime.
    """
    if runtime == "auto":
        may_use_gpu = _may_have_gpu() and is_installed("torch")
        on_cpu = device == "cpu" or (device == "auto" and not may_use_gpu)
        return "openvino" if on_cpu and is_installed("openvino") else "torch"
    if runtime not in RUNTIMES:
        raise UsageError(
            f"{runtime} is not one of auto, {', '.join(RUNTIMES)}", parameter="runtime"
        )
    return runtime


def _check_cpu_runtime(name: str, device: str) -> None:
    if device not in ("auto", "cpu"):
        raise UsageError(f"{name} runs on the CPU, not on {device}", parameter="runtime")


def _check_installed(name: str) -> None:
    if not all(map(is_installed, RUNTIMES[name])):
        message = f"{name} is not installed; run pip install 'resight[{name}]'"
        raise UsageError(message, parameter="runtime")


def _may_have_gpu() -> bool:
    """Return whether to import torch, which takes a second, to look for a GPU."""
    if platform.system() == "Linux":
        # The drivers of NVIDIA, of AMD, and of Windows for Linux.
        return any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
    return True


def pad_to_min_side(pixels: np.ndarray, spec: BackboneSpec, layers: Collection[str]) -> np.ndarray:
    """Repeat the border of an image, uint8 (H, W, 3), until every layer has a position.

    Where the network needs them, the sides become multiples of a number.
    """
    min_side = spec.min_side(layers)
    below, right = (
        max(min_side, -(-side // spec.multiple) * spec.multiple) - side for side in pixels.shape[:2]
    )
    if not below and not right:
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
