"""Traces of networks on images without values: shapes, signs and averages of their tensors."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from resight.errors import UsageError

GRID = (7, 9)
"""Height and width of the traced images, in strides: not square, unlike the training images."""
LARGEST_TENSORS = 16
"""Peak memory in bytes for each value of the largest tensor: four such tensors in float32."""


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records which tensors cannot be negative, and which are averages of maps."""

    RECTIFIED = frozenset(
        {"relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "sigmoid", "softmax"}
    )
    SAME_VALUES = frozenset({"view", "reshape", "flatten", "squeeze", "clone", "alias", "dropout"})
    PRESERVING = SAME_VALUES | {
        *("add", "add_", "mul", "mul_", "cat", "mean", "permute", "transpose", "slice"),
        *("max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "adaptive_avg_pool2d"),
    }

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.largest = 0
        self._nonnegative: dict[int, Tensor] = {}
        self._averages: dict[int, tuple[Tensor, Tensor]] = {}

    def is_signed(self, tensor: Tensor) -> bool:
        """Return whether values may be negative."""
        return id(tensor) not in self._nonnegative

    def averaged(self, tensor: Tensor) -> Tensor | None:
        """Return the map (B, C, h, w) whose averages over the positions a tensor holds."""
        average = self._averages.get(id(tensor))
        return None if average is None else average[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        inputs = [a for a in _flat(args) if isinstance(a, Tensor)]
        rectified = name in self.RECTIFIED and (
            not name.startswith("hardtanh") or args[1:2] == (0,)
        )
        if name in self.PRESERVING:
            rectified = bool(inputs) and not any(map(self.is_signed, inputs))
        source = None
        if _is_average(name, inputs, args):
            source = inputs[0]
        elif name in self.SAME_VALUES and inputs:
            source = self.averaged(inputs[0])
        for output in _flat((result,)):
            if not isinstance(output, Tensor):
                continue
            self.largest = max(self.largest, output.numel())
            self._nonnegative.pop(id(output), None)
            self._averages.pop(id(output), None)
            if rectified:
                self._nonnegative[id(output)] = output
            if source is not None:
                self._averages[id(output)] = output, source
        return result


def _is_average(name: str, inputs: Sequence[Tensor], args: Sequence[Any]) -> bool:
    """Return whether an operation averages all positions of a map (B, C, h, w)."""
    if not inputs or inputs[0].ndim != 4 or len(args) < 2:
        return False
    if name == "adaptive_avg_pool2d":
        return list(_flat((args[1],))) == [1, 1]
    return name == "mean" and {dimension % 4 for dimension in _flat((args[1],))} == {2, 3}


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def run_on_meta(net: nn.Module, height: int, width: int) -> Any:
    """Run a network on an image without values; return its output."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net(torch.zeros(1, 3, height, width, device="meta"))


def trace_maps(net: nn.Module, name: str, stride: int) -> tuple[int, list[tuple[int, bool]], int]:
    """Trace a network on images that are not square.

    Returns:
        The number whose multiples the sides of an image must be; the channels of each map, and
        whether it is signed; and the peak memory for a pixel.

    Raises:
        UsageError: it computes only images of one size.
    """
    error = None
    for multiple in (1, stride):
        height, width = (side * stride + (side if multiple == 1 else 0) for side in GRID)
        tracer = Tracer()
        try:
            with tracer:
                maps = run_on_meta(net, height, width)
        except Exception as exception:  # noqa: BLE001 - each model refuses in its own way
            error = exception
            continue
        found = [(m.shape[1], tracer.is_signed(m)) for m in maps]
        return multiple, found, LARGEST_TENSORS * tracer.largest // (height * width)
    assert error is not None
    raise UsageError(f"{name}: is not for images of any size: {first_line(error)}")


def smallest_side(net: nn.Module, stride: int, multiple: int) -> int:
    """Return the smallest side of an image, in pixels, that a network computes."""
    for side in (stride, 2 * stride, 3 * stride):
        with contextlib.suppress(Exception):
            run_on_meta(net, side, side)
            return side
    return 7 * stride if multiple > 1 else 8 * stride


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    lines = str(getattr(error, "reason", None) or error).split("\n")
    return " ".join(lines[0].split())[:200] or type(error).__name__
