"""Random feature maps and patterned images."""

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

SIDES = st.integers(1, 20)
"""Height or width of a feature map."""


def random_map(channels: int, height: int, width: int, seed: int) -> np.ndarray:
    """Return a map as after a ReLU: values >= 0, half of them 0; channels last in memory."""
    values = np.random.default_rng(seed).normal(size=(height, width, channels))
    return values.clip(min=0).astype(np.float32).transpose(2, 0, 1)


def tensor(array: np.ndarray) -> torch.Tensor:
    """Return an array as the oracle takes it."""
    return torch.from_numpy(np.ascontiguousarray(array))


def pattern(width: int, height: int) -> Image.Image:
    """Draw waves, edges and texture that differ at every position."""
    y, x = np.mgrid[:height, :width]
    red = 128 + 100 * np.sin(x / 17 + y / 29)
    green = (x * y // 7 + 3 * x) % 256
    blue = 255 * (((x // 20) + (y // 15)) % 2)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))
