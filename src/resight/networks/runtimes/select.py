"""What computes a network: the runtimes by name, and which one `auto` means on this machine."""

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from resight.errors import UsageError
from resight.networks.parameters import Parameters
from resight.networks.runtimes.network import Network

LAYERS = ("layer3", "layer4")
"""The stages of the paper's method."""

CONVERTER = "openvino.tools.ovc"


def load_network(
    backbone: str,
    parameters: Parameters,
    *,
    layers: Sequence[str] = LAYERS,
    runtime: str = "auto",
    device: str = "auto",
    quantized: bytes | None = None,
    half: bool = False,
    threads: int | None = None,
) -> Network:
    """A network on a backend, ready for inference.

    Args:
        backbone: a name of `BACKBONES`.
        parameters: the backbone's.
        layers: the stages whose maps are wanted; nothing behind the last one is computed.
        runtime: `torch`, `openvino` or `onnx` (CPU only), or `auto`: OpenVINO where it is installed
            and no GPU is at hand or asked for, else torch.
        device: a torch device, or `auto`: a GPU where there is one, else the CPU.
        quantized: the network in 8-bit integers, which OpenVINO alone can run.
        half: compute in float16, which torch alone does, on any device that can.
        threads: that compute on the CPU; None is as many as the runtime thinks best.

    Raises:
        UsageError: there is no such runtime or device, the runtime is not installed, or cannot
            compute in that precision.
    """
    if quantized is not None:
        if runtime not in ("auto", "openvino"):
            raise UsageError(f"int8 needs openvino, not {runtime}", parameter="runtime")
        return _openvino(backbone, parameters, layers, device, threads, quantized)
    if half:
        if runtime not in ("auto", "torch"):
            raise UsageError(f"float16 needs torch, not {runtime}", parameter="runtime")
        return _torch(backbone, parameters, layers, device, threads, half=True)
    return RUNTIMES[choose_runtime(runtime, device)](backbone, parameters, layers, device, threads)


def choose_runtime(runtime: str, device: str) -> str:
    """The runtime of a name: `auto` is OpenVINO on the CPU where it is installed, else torch.

    Raises:
        UsageError: there is no such runtime.
    """
    if runtime == "auto":
        on_cpu = device == "cpu" or (device == "auto" and not _may_have_gpu())
        return "openvino" if on_cpu and _installed("openvino") else "torch"
    if runtime not in RUNTIMES:
        raise UsageError(
            f"{runtime} is not one of auto, {', '.join(RUNTIMES)}", parameter="runtime"
        )
    return runtime


def _torch(
    backbone: str,
    parameters: Parameters,
    layers: Sequence[str],
    device: str,
    threads: int | None,
    half: bool = False,
) -> Network:
    # Large pages: fewer page faults, a third less time for the first photo. Torch reads this once.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    from resight.networks.runtimes.torch_runtime import (
        TorchNetwork,  # imports torch, which takes a second
    )

    return TorchNetwork(backbone, parameters, layers, device, threads=threads, half=half)


def _openvino(
    backbone: str,
    parameters: Parameters,
    layers: Sequence[str],
    device: str,
    threads: int | None,
    quantized: bytes | None = None,
) -> Network:
    if device not in ("auto", "cpu"):
        raise UsageError(f"openvino runs on the CPU, not on {device}", parameter="runtime")
    if not _installed("openvino"):
        raise UsageError(
            "openvino is not installed; run pip install 'resight[openvino]'", parameter="runtime"
        )
    # OpenVINO's converter, and the telemetry it brings, stay out: neither is needed here, and
    # without them the import takes a third of the time. Whoever wants it can still import it.
    sys.modules.setdefault(CONVERTER, None)  # type: ignore[arg-type]
    from resight.networks.runtimes.openvino_runtime import OpenVinoNetwork

    if sys.modules[CONVERTER] is None:
        del sys.modules[CONVERTER]
    return OpenVinoNetwork(backbone, parameters, layers, quantized, threads)


def _onnx(
    backbone: str,
    parameters: Parameters,
    layers: Sequence[str],
    device: str,
    threads: int | None,
) -> Network:
    if device not in ("auto", "cpu"):
        raise UsageError(f"onnx runs on the CPU, not on {device}", parameter="runtime")
    if not (_installed("onnx") and _installed("onnxruntime")):
        raise UsageError(
            "onnx is not installed; run pip install 'resight[onnx]'", parameter="runtime"
        )
    from resight.networks.runtimes.onnx_runtime import OnnxNetwork

    return OnnxNetwork(backbone, parameters, layers, threads)


RUNTIMES: dict[str, Callable[[str, Parameters, Sequence[str], str, int | None], Network]] = {
    "torch": _torch,
    "openvino": _openvino,
    "onnx": _onnx,
}


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _may_have_gpu() -> bool:
    """Whether it is worth asking torch for a GPU, which takes a second."""
    if platform.system() == "Linux":
        # The drivers of NVIDIA, of AMD, and of Windows for Linux.
        return any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))
    return True
