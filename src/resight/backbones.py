"""Convolutional networks as sources of feature maps (section 1).

Weights come in torchvision's layout and load strictly. The networks here are for inference alone:
batch norm is folded into the convolutions as the weights are read, and memory is laid out
channels-last, which is about a third faster and differs from the plain network by about 1e-5.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resight.errors import UsageError, WeightsError
from resight.weights import read_state_dict

BLOCKS: dict[str, tuple[int, int, int, int]] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
"""Bottleneck blocks in each of the four stages (He et al., table 1)."""

BATCH_NORM_EPSILON = 1e-5
"""As in torchvision's networks."""

CHANNELS = {"layer3": 1024, "layer4": 2048}


@dataclass(frozen=True)
class Classifier:
    """The network's fully connected layer: weight (classes, 2048), bias (classes,)."""

    weight: Tensor
    bias: Tensor


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions around a shortcut (He et al., fig. 5)."""

    def __init__(self, inputs: int, width: int, stride: int, downsample: bool) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(width, outputs, 1)
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))
        self.downsample = shortcut if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 * width, H / stride, W / stride), after ReLU."""
        y = F.relu_(self.conv1(x))
        y = F.relu_(self.conv2(y))
        y = self.conv3(y)
        return F.relu_(y.add_(x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet without its pooling: feature maps of the last two stages."""

    def __init__(self, blocks: tuple[int, int, int, int], classes: int | None = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        inputs = 64
        for stage, (width, count) in enumerate(zip((64, 128, 256, 512), blocks, strict=True)):
            layer = nn.Sequential()
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layer.append(Bottleneck(inputs, width, stride, downsample=block == 0))
                inputs = 4 * width
            self.add_module(f"layer{stage + 1}", layer)
        self.fc = nn.Linear(inputs, classes) if classes else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps of a normalized image.

        Args:
            x: float32 (B, 3, H, W), normalized by the weights' mean and std.

        Returns:
            `layer3` (B, 1024, H / 16, W / 16) and `layer4` (B, 2048, H / 32, W / 32), sizes
            rounded up, both after the last ReLU of the stage.
        """
        x = F.relu_(self.conv1(x))
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        x = self.get_submodule("layer2")(self.get_submodule("layer1")(x))
        layer3 = self.get_submodule("layer3")(x)
        return {"layer3": layer3, "layer4": self.get_submodule("layer4")(layer3)}

    @property
    def classifier(self) -> Classifier:
        """The fully connected layer, for class activation maps.

        Raises:
            WeightsError: the weights came without it.
        """
        if self.fc is None:
            raise WeightsError("these weights have no classifier (fc), which --cam needs")
        return Classifier(self.fc.weight, self.fc.bias)


def load_backbone(name: str, path: Path, device: torch.device | str = "cpu") -> ResNet:
    """A backbone with the weights of a file, ready for inference.

    A file without the classifier (`fc.*`) is accepted; `classifier` then raises.

    Raises:
        WeightsError: the file's names, shapes or kind of numbers are not exactly the network's.
    """
    state = read_state_dict(path)
    # Counters of training steps: no number of ours depends on them, and old files lack them.
    state = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    classes = state["fc.bias"].numel() if "fc.bias" in state else None
    with torch.device("meta"):  # no time is lost on random initial values
        network = ResNet(BLOCKS[name], classes)
    _check_state(state, network, f"{path}: are not weights of {name}")
    network.load_state_dict(_fold_batch_norm(state, network), assign=True)
    network.eval().requires_grad_(requires_grad=False)
    # The overload that lays out memory without moving to a device is missing from torch's types.
    return cast(ResNet, network.to(device).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


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


def _convolutions(network: nn.Module) -> dict[str, str]:
    """Each convolution's name and that of the batch norm behind it, in torchvision's layout."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    return {
        name: name[:-1] + "1" if name.endswith("downsample.0") else name.replace("conv", "bn")
        for name in names
    }


def _check_state(state: dict[str, Tensor], network: nn.Module, message: str) -> None:
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    for convolution, norm in _convolutions(network).items():
        channels = expected.pop(f"{convolution}.bias")
        for part in ("weight", "bias", "running_mean", "running_var"):
            expected[f"{norm}.{part}"] = channels
    found = {name: tuple(value.shape) for name, value in state.items()}
    problems = [f"{n} is missing" for n in expected if n not in found]
    problems += [f"{n} is unexpected" for n in found if n not in expected]
    problems += [
        f"{n} has shape {found[n]}, not {shape}"
        for n, shape in expected.items()
        if n in found and found[n] != shape
    ]
    problems += [f"{n} is of type {v.dtype}" for n, v in state.items() if not v.is_floating_point()]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(f"{message}: {', '.join(problems[:3])}{more}")


def _fold_batch_norm(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Weights and biases of convolutions that do what convolution and batch norm did."""
    folded = {n: v for n, v in state.items() if n.startswith("fc.")}
    for convolution, norm in _convolutions(network).items():
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        scale = state[f"{norm}.weight"] / torch.sqrt(variance + BATCH_NORM_EPSILON)
        folded[f"{convolution}.weight"] = state[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
        folded[f"{convolution}.bias"] = state[f"{norm}.bias"] - mean * scale
    return folded
