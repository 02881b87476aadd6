"""Maps of an explanation as transparent pictures to lay over a photo."""

import base64
import io

import numpy as np
from PIL import Image

from resight.views import overlay

LONGEST_SIDE = 400
SHADE = (12, 14, 20, 165)
"""Over what the class activation map left out."""


def heat_overlay(heat: np.ndarray, size: tuple[int, int]) -> str | None:
    """A heat map (h, w), 0 to 1, as a `data:` address for a photo of `size`; None for no heat."""
    if not heat.size or float(heat.max()) <= 0:
        return None
    return _address(overlay.heat_overlay(heat, _small(size)))


def mask_overlay(mask: np.ndarray | None, size: tuple[int, int]) -> str | None:
    """A mask bool (h, w) as a `data:` address that shades what it leaves out; None for none."""
    if mask is None:
        return None
    cells = Image.fromarray(mask.astype(np.uint8) * 255)
    kept = np.asarray(cells.resize(_small(size), Image.Resampling.BILINEAR)) / 255
    picture = np.empty((*kept.shape, 4), np.uint8)
    picture[:] = SHADE
    picture[..., 3] = (SHADE[3] * (1 - kept)).round().astype(np.uint8)
    return _address(Image.fromarray(picture))


def _small(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, LONGEST_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _address(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
