"""Networks computed by PyTorch, on any of its devices.

Memory is laid out channels-last, which on a CPU is about a third faster.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resight.errors import UsageError
from resight.networks.backbones import Parameters, resnet
from resight.networks.weights import WEIGHTS


class TorchNetwork:
    """A backbone on a torch device."""

    def __init__(self, backbone: str, parameters: Parameters, device: str = "cpu") -> None:
        """Move the parameters to a device.

        Raises:
            UsageError: no such device.
        """
        self._backbone = backbone
        self._device = choose_device(device)
        spec = WEIGHTS[backbone]
        self._mean = torch.tensor(spec.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(spec.std, device=self._device).view(3, 1, 1)
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
            maps = resnet(self._backbone, self._operations, self._normalized(pixels))
            return {layer: values[0].cpu().numpy() for layer, values in maps.items()}

    def _normalized(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)
        x = (x.float().div_(255) - self._mean) / self._std
        return x[None].contiguous(memory_format=torch.channels_last)


class _Operations:
    def __init__(self, convolutions: dict[str, tuple[Tensor, Tensor]]) -> None:
        self._convolutions = convolutions

    def convolve(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = self._convolutions[name]
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)

    def relu(self, x: Tensor) -> Tensor:
        return F.relu_(x)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x.add_(y)

    def max_pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


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
