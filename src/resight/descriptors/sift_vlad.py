"""The conventional method as an extractor: image, RootSIFT, VLAD."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from resight.config import SiftVladConfig
from resight.descriptors.extractor import Description, Features, Learned
from resight.descriptors.sift import root_sift
from resight.descriptors.vlad import fit_vocabulary, vlad


class SiftVladExtractor:
    """RootSIFT aggregated by VLAD over a vocabulary (section 11); no network."""

    def __init__(self, config: SiftVladConfig, learned: Learned | None = None) -> None:
        """Take a vocabulary, `words` (centers, 128), without which it can only learn one."""
        self.config = config
        self.vocabulary = (learned or {}).get("words", np.zeros((0, 128), np.float32))

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return int(self.vocabulary.size)

    @property
    def decode_at(self) -> int | None:
        """Twice the side at which keypoints are found."""
        return 2 * self.config.longest_side

    @property
    def at_once(self) -> int:
        """One: what takes long is `prepare`."""
        return 1

    def prepare(self, image: Image.Image) -> np.ndarray:
        """The image's RootSIFT descriptors, float32 (N, 128)."""
        return root_sift(image, self.config).descriptors

    def describe(self, prepared: np.ndarray) -> Description:
        """The VLAD of a photo's RootSIFT descriptors."""
        return Description(vlad(prepared, self.vocabulary, self.config.power))

    @property
    def limit(self) -> int:
        """RootSIFT descriptors that the vocabulary is fitted on, at most."""
        return self.config.sample

    @property
    def seed(self) -> int:
        """Of their choice, and of the k-means."""
        return self.config.seed

    def sample(self, image: Image.Image) -> Features:
        """The image's RootSIFT descriptors."""
        return [self.prepare(image)]

    def learn(self, photos: Sequence[Features]) -> Learned:
        """The vocabulary of photos' RootSIFT descriptors."""
        descriptors = np.concatenate([features[0] for features in photos])
        return {"words": fit_vocabulary(descriptors, self.config.centers, self.config.seed)}

    def taught(self, learned: Learned) -> "SiftVladExtractor":
        """The extractor with a vocabulary."""
        return SiftVladExtractor(self.config, learned)
