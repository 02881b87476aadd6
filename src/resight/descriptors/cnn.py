"""The paper's method as an extractor: image, copies, feature maps, descriptors."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import ExtractionConfig
from resight.descriptors.descriptor import FeatureMaps, describe_maps, dimensions, network_layers
from resight.descriptors.extractor import Description
from resight.errors import WeightsError
from resight.networks.backbones import load_parameters
from resight.networks.engines import load_network
from resight.photos.images import resized_copies


class CnnExtractor:
    """The paper's descriptor by a convolutional network (sections 1-5 and 7)."""

    def __init__(
        self,
        config: ExtractionConfig,
        weights: Path,
        *,
        sha256: str | None = None,
        layers: Sequence[str] = (),
        engine: str = "auto",
        device: str = "auto",
        quantized: bytes | None = None,
    ) -> None:
        """Load the network.

        Args:
            config: the method's.
            weights: the file of the network's weights.
            sha256: of that file, by which its parameters are found in the user's cache.
            layers: stages whose maps are wanted; none given are those that the configuration needs.
            engine: as `load_network` takes it.
            device: likewise.
            quantized: likewise; what a configuration of the precision int8 needs.

        Raises:
            WeightsError: the weights do not fit, or lack the classifier that CAM needs.
            UsageError: no such engine or device.
        """
        self.config = config
        parameters = load_parameters(config.backbone, weights, sha256)
        layers = layers or network_layers([config])
        missing = {"fc6", "fc7"} & set(layers)
        if missing and parameters.classifier is None:
            raise WeightsError(
                f"{weights}: have no fully connected layers (classifier), which {min(missing)} is"
            )
        if config.cam and parameters.classifier is None:
            raise WeightsError(f"{weights}: have no classifier (fc), which --cam needs")
        self.classifier = parameters.classifier if config.cam else None
        self.network = load_network(
            config.backbone,
            parameters,
            layers=layers,
            engine=engine,
            device=device,
            quantized=quantized,
        )
        # All copies of a photo in turn: else two photos would be done at the same moment, and
        # the network would wait while both are pooled.
        self._photos = threading.BoundedSemaphore(self.at_once)

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return dimensions(self.config)

    @property
    def decode_at(self) -> int | None:
        """Twice the largest copy, when the configuration allows a reduced decoding."""
        return 2 * max(self.config.resolutions) if self.config.reduced_jpeg else None

    @property
    def at_once(self) -> int:
        """Photos that the network works on at the same time."""
        return 1

    def prepare(self, image: Image.Image) -> list[np.ndarray]:
        """The copies of the image at the configured resolutions, uint8 (h, w, 3)."""
        return resized_copies(
            image,
            self.config.resolutions,
            filter=self.config.resize_filter,
            upscale=self.config.upscale,
            from_previous=self.config.resize_from == "previous",
            square=self.config.square,
        )

    def describe(self, prepared: list[np.ndarray]) -> Description:
        """The descriptors of a photo from its copies."""
        pooled = describe_maps(self.feature_maps(prepared), self.config, self.classifier)
        return Description(pooled.global_, pooled.local)

    def feature_maps(self, copies: list[np.ndarray]) -> list[FeatureMaps]:
        """The maps of each copy, uint8 (H, W, 3), at the stages that the network was loaded for."""
        with self._photos:
            return [self.network.feature_maps(copy) for copy in copies]
