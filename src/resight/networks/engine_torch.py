"""Networks computed by PyTorch, on any of its devices.

Memory is laid out channels-last, which on a CPU is about a third faster.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resight.errors import UsageError
from resight.networks.architectures import compute, large_enough
from resight.networks.backbones import Parameters


class TorchNetwork:
    """A backbone on a torch device."""

    def __init__(
        self, backbone: str, parameters: Parameters, layers: Sequence[str], device: str = "cpu"
    ) -> None:
        """Move the parameters to a device; `layers` are the stages that are computed.

        Raises:
            UsageError: no such device.
        """
        self._backbone = backbone
        self._layers = layers
        self._device = choose_device(device)
        self._mean = torch.tensor(parameters.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(parameters.std, device=self._device).view(3, 1, 1)
        self._operations = _Operations(
            {
                name: (
                    torch.from_numpy(weight)
                    .to(self._device)
                    .contiguous(memory_format=torch.channels_last),
                    torch.from_numpy(bias).to(self._device),
                )
                for name, (weight, bias) in parameters.convolutions.items()
            }
        )

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """As `backbones.Network` says."""
        # Full float32 on every device: TF32 would be outside the tolerance of section 10.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            x = self._normalized(large_enough(pixels, self._backbone, self._layers))
            maps = compute(self._backbone, self._operations, x, self._layers)
            return {layer: values[0].cpu().numpy() for layer, values in maps.items()}

    def _normalized(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)
        x = (x.float().div_(255) - self._mean) / self._std
        return x[None].contiguous(memory_format=torch.channels_last)


class _Operations:
    def __init__(self, convolutions: dict[str, tuple[Tensor, Tensor]]) -> None:
        self._convolutions = convolutions

    def convolve(self, x: Tensor, name: str, stride: int = 1, padding: int | None = None) -> Tensor:
        weight, bias = self._convolutions[name]
        around = weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, weight, bias, stride, around)

    def relu(self, x: Tensor) -> Tensor:
        return F.relu_(x)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x.add_(y)

    def max_pool(self, x: Tensor, side: int) -> Tensor:
        return F.max_pool2d(x, kernel_size=side, stride=2, padding=(side - 1) // 2)


def choose_device(name: str) -> torch.device:
    """The device of a name: `auto` is CUDA where present, else MPS, else the CPU.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add(1)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"--device {name}: not available here; try cpu or auto") from None
    return device
