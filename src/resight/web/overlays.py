"""Maps of an explanation as transparent pictures to lay over a photo."""

import base64
import io

import numpy as np
from PIL import Image

LONGEST_SIDE = 400
STOPS = np.array([0.0, 0.35, 0.7, 1.0])
COLORS = np.array(
    [[120, 20, 90, 0], [200, 40, 80, 110], [250, 130, 40, 185], [255, 235, 120, 225]], np.float64
)
"""From nothing over red and orange to bright yellow: also in grey, more is brighter."""

SHADE = (12, 14, 20, 165)
"""Over what the class activation map left out."""


def heat_overlay(heat: np.ndarray, size: tuple[int, int]) -> str | None:
    """A heat map (h, w), 0 to 1, as a `data:` address for a photo of `size`; None for no heat."""
    if not heat.size or float(heat.max()) <= 0:
        return None
    cells = Image.fromarray(np.clip(heat, 0, 1).astype(np.float32))
    values = np.clip(np.asarray(cells.resize(_small(size), Image.Resampling.BICUBIC)), 0, 1)
    channels = [np.interp(values, STOPS, COLORS[:, channel]) for channel in range(4)]
    return _address(np.stack(channels, axis=-1).round().astype(np.uint8))


def mask_overlay(mask: np.ndarray | None, size: tuple[int, int]) -> str | None:
    """A mask bool (h, w) as a `data:` address that shades what it leaves out; None for none."""
    if mask is None:
        return None
    cells = Image.fromarray(mask.astype(np.uint8) * 255)
    kept = np.asarray(cells.resize(_small(size), Image.Resampling.BILINEAR)) / 255
    picture = np.empty((*kept.shape, 4), np.uint8)
    picture[:] = SHADE
    picture[..., 3] = (SHADE[3] * (1 - kept)).round().astype(np.uint8)
    return _address(picture)


def _small(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, LONGEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _address(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
