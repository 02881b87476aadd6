"""From an image to its descriptors: what every method offers.

A method has two steps, so that preparing the next photos (decoding, resizing, local features)
can go on in threads while the network works on the current one. The second step may be called from
several threads, so that the maps of one photo are pooled while the network works on the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from resight.config import MethodConfig

FittedParams = Mapping[str, np.ndarray]
"""What a method learned from photos before it describes any: float32 arrays by name."""

Features = Sequence[np.ndarray]
"""Local features of a photo, float32 (n, D) for each kind of them that a method tells apart."""


@dataclass(frozen=True)
class Description:
    """Descriptors of one photo, float32 (D,); `local` only with class activation maps."""

    global_: np.ndarray
    local: np.ndarray | None = None


class Extractor(Protocol):
    """A method that turns an upright RGB image into its descriptors."""

    @property
    def config(self) -> MethodConfig:
        """What it describes photos by."""

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""

    @property
    def decode_size(self) -> int | None:
        """Longest side, in pixels, at which a reduced decoding of a JPEG is good enough."""

    @property
    def concurrency(self) -> int:
        """Photos that the slowest part of `describe` works on at the same time.

        With one thread more that calls `describe` that part never waits for the rest.
        """

    def prepare(self, image: Image.Image) -> Any:
        """The part that may run in any thread; what it returns is for `describe`."""

    def describe(self, prepared: Any) -> Description:
        """The descriptors of a prepared image; may be called from several threads."""

    def feature_maps(self, copies: list[np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """The network's maps of each copy, uint8 (H, W, 3), at the stages it was loaded for.

        Among them are those whose columns are compared when geometry is verified. Only of methods
        with a network.
        """


class Fittable(Protocol):
    """A method that learns from photos before it can describe any, such as a vocabulary."""

    @property
    def limit(self) -> int:
        """Features of each kind that are enough to learn from."""

    @property
    def seed(self) -> int:
        """Of the random choice of them."""

    @property
    def decode_size(self) -> int | None:
        """As an extractor's."""

    def sample(self, image: Image.Image) -> Features:
        """What can be learned from an image."""

    def learn(self, photos: Sequence[Features]) -> FittedParams:
        """What is to be known before photos are described.

        Args:
            photos: each one's features, or a random part of them.

        Raises:
            FitError: too few features.
        """

    def with_params(self, learned: FittedParams) -> Extractor:
        """The extractor that knows it."""
