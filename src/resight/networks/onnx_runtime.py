"""The ONNX Runtime on the CPU, for machines without OpenVINO."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from resight.networks import find_backbone
from resight.networks.backbone import Padding
from resight.networks.parameters import Parameters
from resight.networks.runtimes import pad_to_min_side

OPSET = 17
IR_VERSION = 8
"""Of the graph; every supported version of ONNX Runtime reads both."""


class OnnxNetwork:
    """A backbone as an ONNX graph, for pictures of any size."""

    concurrency = 1
    precision = "float32"

    def __init__(
        self,
        backbone: str,
        parameters: Parameters,
        layers: Sequence[str],
        threads: int | None = None,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors
        # The arena would keep memory for every size of image.
        options.enable_cpu_mem_arena = False
        self._spec = find_backbone(backbone)
        self._layers = list(layers)
        graph = build_model(backbone, parameters, layers).SerializeToString()
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"]
        )

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """See `Network`."""
        image = pad_to_min_side(pixels, self._spec, self._layers)
        maps = self._session.run(self._layers, {"pixels": np.ascontiguousarray(image[None])})
        return {
            layer: values[0].transpose(2, 0, 1)
            for layer, values in zip(self._layers, maps, strict=True)
        }


def build_model(backbone: str, parameters: Parameters, layers: Sequence[str]) -> onnx.ModelProto:
    """Build the network as a graph: uint8 (1, H, W, 3) to maps (1, h, w, C), channels last."""
    spec, operations = find_backbone(backbone), _Operations(parameters)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "H", "W", 3])
    values = operations.node("Cast", "pixels", to=TensorProto.FLOAT)
    scaled = operations.node("Div", values, operations.constant("levels", [255.0]))
    centered = operations.node("Sub", scaled, operations.constant("mean", parameters.mean))
    normalized = operations.node("Div", centered, operations.constant("std", parameters.std))
    x = operations.node("Transpose", normalized, perm=[0, 3, 1, 2])
    results = []
    for layer, values in spec.feature_maps(operations, x, layers).items():
        operations.node("Transpose", values, output=layer, perm=[0, 2, 3, 1])
        shape = [1, f"{layer} height", f"{layer} width", spec.channels[layer]]
        results.append(helper.make_tensor_value_info(layer, TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        operations.nodes, backbone, [pixels], results, initializer=operations.constants
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


class _Operations:
    """Collects the nodes of a graph; a tensor is its name."""

    def __init__(self, parameters: Parameters) -> None:
        self._convolutions = parameters.convolutions
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def convolve(
        self,
        x: str,
        name: str,
        stride: int = 1,
        padding: Padding | None = None,
        groups: int = 1,
    ) -> str:
        weight, bias = self._convolutions[name]
        weight_name = self.constant(f"{name}.weight", weight)
        bias_name = self.constant(f"{name}.bias", bias)
        before, after = padding or (weight.shape[-1] // 2,) * 2
        return self.node(
            "Conv",
            x,
            weight_name,
            bias_name,
            pads=[before, before, after, after],
            strides=[stride] * 2,
            group=groups,
        )

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def relu6(self, x: str) -> str:
        bounds = [self.constant(f"bound-{len(self.constants)}", value) for value in (0, 6)]
        return self.node("Clip", x, *bounds)

    def allow_bfloat16(self, x: str) -> str:
        return x

    def copy(self, x: str) -> str:
        return x  # a node's output is never overwritten

    def add(self, x: str, y: str) -> str:
        return self.node("Add", x, y)

    def max_pool(self, x: str, side: int) -> str:
        pads = [(side - 1) // 2] * 4
        return self.node("MaxPool", x, kernel_shape=[side] * 2, pads=pads, strides=[2, 2])
