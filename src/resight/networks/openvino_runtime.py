"""The OpenVINO runtime on the CPU: faster than PyTorch, and quicker to start."""

import io
import itertools
import os
import queue
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as op

from resight.networks import find_backbone
from resight.networks.backbone import Padding
from resight.networks.parameters import Parameters
from resight.networks.runtimes import pad_to_min_side

CACHED_KERNELS = "400"
"""Compiled kernels to cache: those of six image sizes. Each further size would take 3 MB, up to
OpenVINO's 5000 kernels, while compiling them again takes a twentieth of an image's time."""

BETWEEN = "between"
"""The output of the part in full precision."""


class OpenVinoNetwork:
    """A backbone compiled for the CPU, for pictures of any size."""

    def __init__(
        self,
        backbone: str,
        parameters: Parameters,
        layers: Sequence[str],
        precision: str = "float32",
        quantized: bytes | None = None,
        threads: int | None = None,
        streams: int = 1,
    ) -> None:
        """Compile the network up to the last of `layers`, or `quantized` with its own layers.

        Arguments as in `load_network`.
        """
        self.precision = precision
        self.concurrency = streams
        core = openvino.Core()
        if quantized is not None:
            models = [(_read_quantized(core, quantized), "f32")]
        elif precision == "bfloat16":
            models = build_parts(backbone, parameters, layers)
        else:
            models = [(build_model(backbone, parameters, layers), "f32")]
        self._spec = find_backbone(backbone)
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_RUNTIME_CACHE_CAPACITY": CACHED_KERNELS,
            "INFERENCE_NUM_THREADS": threads or 0,
            # Pinned threads of two workers on one machine would share the first core.
            "ENABLE_CPU_PINNING": threads is None and streams == 1,
        }
        if streams > 1:
            options["INFERENCE_NUM_THREADS"] = max(1, (os.cpu_count() or 1) // streams)
        # An infer request serves one caller at a time. Each stream has a compiled network of its
        # own: streams of one network crash now and then in OpenVINO 2026.4 (pure virtual method).
        self._idle: queue.SimpleQueue[list[tuple[Any, list[str]]]] = queue.SimpleQueue()
        for _ in range(streams):
            parts = []
            for model, hint in models:
                options["INFERENCE_PRECISION_HINT"] = hint
                names = [result.get_friendly_name() for result in model.get_results()]
                compiled = core.compile_model(model, "CPU", options)
                parts.append((compiled.create_infer_request(), names))
            self._idle.put(parts)
        self._layers = [name for _, names in parts for name in names if name != BETWEEN]

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """See `Network`."""
        image = pad_to_min_side(pixels, self._spec, self._layers)
        empty = openvino.Shape([0, 0, 0, 0])
        values: Any = image[None]
        maps: dict[str, openvino.Tensor] = {}
        parts = self._idle.get()
        try:
            for request, names in parts:
                # Separate output memory, because the next run overwrites that of the request.
                outputs = [openvino.Tensor(openvino.Type.f32, empty) for _ in names]
                for number, output in enumerate(outputs):
                    request.set_output_tensor(number, output)
                request.infer([values], share_inputs=True, share_outputs=True)
                maps.update(zip(names, outputs, strict=True))
                values = maps.pop(BETWEEN, None)
        finally:
            self._idle.put(parts)
        return {layer: output.data[0].transpose(2, 0, 1) for layer, output in maps.items()}


def build_model(backbone: str, parameters: Parameters, layers: Sequence[str]) -> openvino.Model:
    """Build the network as a graph: uint8 (1, H, W, 3) to maps (1, h, w, C), channels last."""
    pixels, results = _build(backbone, parameters, layers, _Operations(parameters))
    return openvino.Model(results, [pixels], backbone)


def build_parts(
    backbone: str, parameters: Parameters, layers: Sequence[str]
) -> list[tuple[openvino.Model, str]]:
    """Build the network in parts, each with its precision, `f32` or `bf16`.

    Of two parts, the last output of the first is the input of the second.
    """
    operations = _SplitOperations(parameters)
    pixels, results = _build(backbone, parameters, layers, operations)
    if operations.second_input is None:
        model = openvino.Model(results, [pixels], backbone)
        if not operations.allowed:
            return [(model, "f32")]
        return [(_with_bfloat16_outputs(model), "bf16")]
    is_second = [_depends_on(result, operations.second_input) for result in results]
    first = [result for result, second in zip(results, is_second, strict=True) if not second]
    first.append(op.result(operations.between, name=BETWEEN))
    second = list(itertools.compress(results, is_second))
    return [
        (openvino.Model(first, [pixels], backbone), "f32"),
        (
            _with_bfloat16_outputs(openvino.Model(second, [operations.second_input], backbone)),
            "bf16",
        ),
    ]


def _with_bfloat16_outputs(model: openvino.Model) -> openvino.Model:
    """Mark the sums that lead to an output, which OpenVINO would otherwise compute in float32.

    A ResNet takes a tenth less time, for it converts no map between its blocks.
    """
    for node in model.get_ops():
        if node.get_type_name() in ("Add", "Relu", "Clamp"):
            node.get_rt_info()["enforceBF16evenForGraphTail"] = "YES"
    return model


def _build(
    backbone: str, parameters: Parameters, layers: Sequence[str], operations: "_Operations"
) -> tuple[Any, list[Any]]:
    """Return the input node, and the result node of each layer, in the network's order."""
    pixels = op.parameter([1, -1, -1, 3], openvino.Type.u8, name="pixels")
    scaled = op.divide(op.convert(pixels, "f32"), _constant([255.0]))
    normalized = op.divide(
        op.subtract(scaled, _constant(parameters.mean)), _constant(parameters.std)
    )
    x = op.transpose(normalized, op.constant([0, 3, 1, 2]))
    maps = find_backbone(backbone).feature_maps(operations, x, layers)
    channels_last = op.constant([0, 2, 3, 1])
    return pixels, [
        op.result(op.transpose(values, channels_last), name=layer) for layer, values in maps.items()
    ]


def _depends_on(node: Any, source: Any) -> bool:
    """Return whether a node is computed from another one."""
    pending, seen = [node], set()
    while pending:
        node = pending.pop()
        name = node.get_friendly_name()
        if name == source.get_friendly_name():
            return True
        if name not in seen:
            seen.add(name)
            pending += [value.get_node() for value in node.input_values()]
    return False


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

    def allow_bfloat16(self, x: Any) -> Any:
        return x

    def copy(self, x: Any) -> Any:
        return x  # a node's output is never overwritten

    def add(self, x: Any, y: Any) -> Any:
        return op.add(x, y)

    def max_pool(self, x: Any, side: int) -> Any:
        pads = [(side - 1) // 2] * 2
        return op.max_pool(x, [2, 2], [1, 1], pads, pads, [side] * 2).output(0)


class _SplitOperations(_Operations):
    """Starts a second graph, `second_input`, where bfloat16 is allowed after convolutions."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.allowed = False
        self.between: Any = None
        self.second_input: Any = None
        self._started = False

    def convolve(self, x: Any, name: str, *options: Any, **named: Any) -> Any:
        self._started = True
        return super().convolve(x, name, *options, **named)

    def allow_bfloat16(self, x: Any) -> Any:
        self.allowed = True
        if not self._started:
            return x
        channels = x.output(0).get_partial_shape()[1].get_length()
        self.between = x
        self.second_input = op.parameter([1, channels, -1, -1], openvino.Type.f32, name=BETWEEN)
        return self.second_input


def _constant(values: Any) -> Any:
    return op.constant(np.array(values, np.float32))
