"""The OpenVINO runtime on the CPU: faster than PyTorch, and quicker to start."""

import io
import threading
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as op

from resight.networks import BACKBONES
from resight.networks.backbone import Padding
from resight.networks.parameters import Parameters
from resight.networks.runtimes import pad_to_min_side

CACHED_KERNELS = "400"
"""Compiled kernels to cache: those of six image sizes. Each further size would take 3 MB, up to
OpenVINO's 5000 kernels, while compiling them again takes a twentieth of an image's time."""


class OpenVinoNetwork:
    """A backbone compiled for the CPU, for pictures of any size."""

    concurrency = 1

    def __init__(
        self,
        backbone: str,
        parameters: Parameters,
        layers: Sequence[str],
        quantized: bytes | None = None,
        threads: int | None = None,
    ) -> None:
        """Compile the network up to the last of `layers`, or `quantized` with its own layers.

        Arguments as in `load_network`.
        """
        core = openvino.Core()
        if quantized is None:
            model = build_model(backbone, parameters, layers)
        else:
            model = _read_quantized(core, quantized)
        self._spec = BACKBONES[backbone]
        self._layers = [result.get_friendly_name() for result in model.get_results()]
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_RUNTIME_CACHE_CAPACITY": CACHED_KERNELS,
            "INFERENCE_NUM_THREADS": threads or 0,
            # Pinned threads of two workers on one machine would share the first core.
            "ENABLE_CPU_PINNING": threads is None,
        }
        self._lock = threading.Lock()  # an infer request serves one caller at a time
        self._request = core.compile_model(model, "CPU", options).create_infer_request()

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """See `Network`."""
        image = pad_to_min_side(pixels, self._spec, self._layers)
        # Separate output memory, because the next run overwrites that of the request.
        empty = openvino.Shape([0, 0, 0, 0])
        outputs = [openvino.Tensor(openvino.Type.f32, empty) for _ in self._layers]
        with self._lock:
            for number, output in enumerate(outputs):
                self._request.set_output_tensor(number, output)
            self._request.infer([image[None]], share_inputs=True, share_outputs=True)
        maps = zip(self._layers, outputs, strict=True)
        return {layer: output.data[0].transpose(2, 0, 1) for layer, output in maps}


def build_model(backbone: str, parameters: Parameters, layers: Sequence[str]) -> openvino.Model:
    """Build the network as a graph: uint8 (1, H, W, 3) to maps (1, h, w, C), channels last."""
    pixels = op.parameter([1, -1, -1, 3], openvino.Type.u8, name="pixels")
    scaled = op.divide(op.convert(pixels, "f32"), _constant([255.0]))
    normalized = op.divide(
        op.subtract(scaled, _constant(parameters.mean)), _constant(parameters.std)
    )
    x = op.transpose(normalized, op.constant([0, 3, 1, 2]))
    maps = BACKBONES[backbone].feature_maps(_Operations(parameters), x, layers)
    channels_last = op.constant([0, 2, 3, 1])
    results = [
        op.result(op.transpose(values, channels_last), name=layer) for layer, values in maps.items()
    ]
    return openvino.Model(results, [pixels], backbone)


def _read_quantized(core: openvino.Core, quantized: bytes) -> openvino.Model:
    with zipfile.ZipFile(io.BytesIO(quantized)) as files:
        graph, weights = files.read("network.xml"), files.read("network.bin")
    return core.read_model(graph, openvino.Tensor(np.frombuffer(weights, np.uint8)))


class _Operations:
    def __init__(self, parameters: Parameters) -> None:
        self._convolutions = parameters.convolutions

    def convolve(
        self,
        x: Any,
        name: str,
        stride: int = 1,
        padding: Padding | None = None,
        groups: int = 1,
    ) -> Any:
        weight, bias = self._convolutions[name]
        before, after = padding or (weight.shape[-1] // 2,) * 2
        options = [stride] * 2, [before] * 2, [after] * 2, [1, 1]
        if groups == 1:
            y = op.convolution(x, op.constant(weight, shared_memory=True), *options)
        else:
            grouped = weight.reshape(groups, -1, *weight.shape[1:])
            y = op.group_convolution(x, op.constant(grouped, shared_memory=True), *options)
        y.set_friendly_name(name)
        return op.add(y, op.constant(bias.reshape(1, -1, 1, 1)))

    def relu(self, x: Any) -> Any:
        return op.relu(x)

    def relu6(self, x: Any) -> Any:
        return op.clamp(x, 0, 6)

    def copy(self, x: Any) -> Any:
        return x  # a node's output is never overwritten

    def add(self, x: Any, y: Any) -> Any:
        return op.add(x, y)

    def max_pool(self, x: Any, side: int) -> Any:
        pads = [(side - 1) // 2] * 2
        return op.max_pool(x, [2, 2], [1, 1], pads, pads, [side] * 2).output(0)


def _constant(values: Any) -> Any:
    return op.constant(np.array(values, np.float32))
