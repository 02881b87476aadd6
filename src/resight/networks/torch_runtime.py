"""The PyTorch runtime: any of its devices, in float32 or float16.

The memory layout is channels-last, which is about a third faster on a CPU. On a GPU, concurrent
images of equal shape are computed in batches.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resight.errors import UsageError
from resight.networks import find_backbone
from resight.networks.backbone import Padding
from resight.networks.parameters import Parameters
from resight.networks.runtimes import pad_to_min_side

FeatureMaps = dict[str, np.ndarray]

MAX_BATCH = 8
"""Images in a batch, which occupy a GPU."""
IMAGE_BYTES = 1 << 30
"""Free memory of the GPU that is required for each of them."""


class TorchNetwork:
    """A backbone on a torch device."""

    def __init__(
        self,
        backbone: str,
        parameters: Parameters,
        layers: Sequence[str],
        device: str = "cpu",
        *,
        threads: int | None = None,
        half: bool = False,
        batch: int | None = None,
    ) -> None:
        """Move the parameters to a device.

        Arguments as in `load_network`; `threads` is for all of torch in this process, and `batch`
        the number of images of equal shape in a batch (None chooses by the device).

        Raises:
            UsageError: the device is not available, or cannot compute in float16.
        """
        self._spec = find_backbone(backbone)
        self._layers = layers
        self._device = choose_device(device)
        self._dtype = torch.float16 if half else torch.float32
        self.precision = "float16" if half else "float32"
        if half:
            _ensure_float16(self._device)
        self.concurrency = _batch_size(self._device) if batch is None else batch
        self._maps_of: Callable[[Tensor], dict[str, Tensor]]
        self._batcher = DynamicBatcher(self._compute, self.concurrency)
        if threads is not None:
            torch.set_num_threads(threads)
        self._mean = torch.tensor(parameters.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(parameters.std, device=self._device).view(3, 1, 1)
        if parameters.build is not None:
            self._maps_of = parameters.build(layers).to(self._device, self._dtype)
            return
        operations = _Operations(
            {
                name: (
                    torch.from_numpy(weight)
                    .to(self._device, self._dtype)
                    .contiguous(memory_format=torch.channels_last),
                    torch.from_numpy(bias).to(self._device, self._dtype),
                )
                for name, (weight, bias) in parameters.convolutions.items()
            }
        )
        self._maps_of = lambda x: self._spec.feature_maps(operations, x, layers)

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """See `Network`."""
        return self._batcher(pad_to_min_side(pixels, self._spec, self._layers))

    def _compute(self, images: list[np.ndarray]) -> list[FeatureMaps]:
        """Compute the maps of images of one shape."""
        # Full float32 on every device: TF32 would exceed the tolerance of section 10.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            x = self._normalized(np.stack(images))
            maps = self._maps_of(x)
            arrays = {layer: values.float().cpu().numpy() for layer, values in maps.items()}
        return [{layer: values[i] for layer, values in arrays.items()} for i in range(len(images))]

    def _normalized(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
        x = (x.float().div_(255) - self._mean) / self._std
        return x.to(self._dtype).contiguous(memory_format=torch.channels_last)


class DynamicBatcher:
    """Calls a function of a batch for single images from many threads.

    The thread that finds the GPU free computes a batch of waiting images of equal shape, while
    later images gather for the next. No image waits for a full batch.
    """

    def __init__(
        self, compute: Callable[[list[np.ndarray]], list[FeatureMaps]], max_batch: int
    ) -> None:
        """Wrap a function of up to `max_batch` images of one shape, run by one thread at a time."""
        self._compute = compute
        self._max_batch = max_batch
        self._queue: list[tuple[np.ndarray, Future[FeatureMaps]]] = []
        self._queue_lock = threading.Lock()
        self._compute_lock = threading.Lock()

    def __call__(self, image: np.ndarray) -> FeatureMaps:
        """Compute the maps of an image, together with waiting images of its shape."""
        future: Future[FeatureMaps] = Future()
        with self._queue_lock:
            self._queue.append((image, future))
        while not future.done():
            with self._compute_lock:
                if not future.done():  # by the thread before
                    self._compute_next()
        return future.result()

    def _compute_next(self) -> None:
        """Compute the image that has waited longest, and others of its shape."""
        with self._queue_lock:
            shape = self._queue[0][0].shape
            batch = [entry for entry in self._queue if entry[0].shape == shape][: self._max_batch]
            taken = {id(future) for _, future in batch}
            self._queue = [entry for entry in self._queue if id(entry[1]) not in taken]
        try:
            results = self._compute([image for image, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            raise
        for (_, future), maps in zip(batch, results, strict=True):
            future.set_result(maps)


class _Operations:
    def __init__(self, convolutions: dict[str, tuple[Tensor, Tensor]]) -> None:
        self._convolutions = convolutions

    def convolve(
        self,
        x: Tensor,
        name: str,
        stride: int = 1,
        padding: Padding | None = None,
        groups: int = 1,
    ) -> Tensor:
        weight, bias = self._convolutions[name]
        before, after = padding or (weight.shape[-1] // 2,) * 2
        if after > before:
            x = F.pad(x, (0, after - before) * 2)
        return F.conv2d(x, weight, bias, stride, before, groups=groups)

    def relu(self, x: Tensor) -> Tensor:
        return F.relu_(x)

    def relu6(self, x: Tensor) -> Tensor:
        return x.clamp_(0, 6)

    def allow_bfloat16(self, x: Tensor) -> Tensor:
        return x

    def copy(self, x: Tensor) -> Tensor:
        return x.clone()

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x.add_(y)

    def max_pool(self, x: Tensor, side: int) -> Tensor:
        return F.max_pool2d(x, kernel_size=side, stride=2, padding=(side - 1) // 2)


def choose_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is CUDA if present, else MPS, else the CPU.

    Raises:
        UsageError: the device is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add(1)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(f"{name} is not available; try cpu or auto", parameter="device") from None
    return device


def _ensure_float16(device: torch.device) -> None:
    """Raise a `UsageError` if torch has no float16 convolutions on a device."""
    try:
        x = torch.ones(1, 1, 4, 4, dtype=torch.float16, device=device)
        F.max_pool2d(F.relu_(F.conv2d(x, x[:, :, :3, :3])), 2)
    except (RuntimeError, NotImplementedError):
        raise UsageError(
            f"torch cannot compute in float16 on {device.type}; a GPU can", parameter="precision"
        ) from None


def _batch_size(device: torch.device) -> int:
    """Return the number of images that occupy a device: one for a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, min(MAX_BATCH, free // IMAGE_BYTES))
    return MAX_BATCH // 2 if device.type == "mps" else 1
