"""The conventional method as an extractor: image, RootSIFT, VLAD."""

import numpy as np
from PIL import Image

from resight.config import SiftVladConfig
from resight.descriptors.extractor import Description
from resight.descriptors.sift import root_sift
from resight.descriptors.vlad import vlad


class SiftVladExtractor:
    """RootSIFT aggregated by VLAD over a vocabulary (section 11); no network."""

    def __init__(self, config: SiftVladConfig, vocabulary: np.ndarray) -> None:
        """Take a vocabulary, float32 (centers, 128)."""
        self.config = config
        self.vocabulary = vocabulary

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return int(self.vocabulary.size)

    @property
    def decode_at(self) -> int | None:
        """Twice the side at which keypoints are found."""
        return 2 * self.config.longest_side

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The image's RootSIFT descriptors, float32 (N, 128)."""
        return root_sift(image, self.config).descriptors

    def describe(self, prepared: np.ndarray) -> Description:
        """The VLAD of a photo's RootSIFT descriptors."""
        return Description(vlad(prepared, self.vocabulary, self.config.power))
