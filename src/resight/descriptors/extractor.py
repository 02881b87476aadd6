"""From an image to its descriptors: what every method offers.

A method has two steps, so that preparing the next photos (decoding, resizing, local features)
can go on in threads while the network works on the current one.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Description:
    """Descriptors of one photo, float32 (D,); `local` only with class activation maps."""

    global_: np.ndarray
    local: np.ndarray | None = None


class Extractor(Protocol):
    """A method that turns an upright RGB image into its descriptors."""

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""

    @property
    def decode_at(self) -> int | None:
        """Longest side, in pixels, at which a reduced decoding of a JPEG is good enough."""

    def prepare(self, image: Image.Image) -> Any:
        """The part that may run in another thread; what it returns is for `describe`."""

    def describe(self, prepared: Any) -> Description:
        """The descriptors of a prepared image."""
