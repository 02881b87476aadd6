"""The paper's method as an extractor: image, copies, feature maps, descriptors."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import ExtractionConfig
from resight.descriptors.extractor import Description, Features, FittedParams
from resight.descriptors.layer_weights import learn_layer_weights
from resight.descriptors.pipeline import (
    FeatureMaps,
    PoolingState,
    describe_maps,
    fuse,
    layer_sizes,
    network_layers,
)
from resight.descriptors.regions import fit_region_whitening, region_vectors
from resight.errors import WeightsError
from resight.networks.parameters import load_parameters
from resight.networks.projection import Projection
from resight.networks.runtimes.select import load_network
from resight.photos.images import resized_copies

LACKING = {
    "fine-tuned": "are not fine-tuned for retrieval, so that they have no pooling of their own",
    "netvlad": "have no NetVLAD layer",
}
"""What is said of weights without what a pooling takes from them."""


class CnnExtractor:
    """The paper's descriptor by a convolutional network (sections 1-5 and 7).

    With the pooling `rmac-whitened`, or where the weights of layers are learned, it has to learn
    first: see `extractor.Fittable`.
    """

    limit = 30_000
    """Regions (or photos) of a stage that is learned from, at most."""
    seed = 0

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
        threads: int | None = None,
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
            threads: likewise.

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
        brought = parameters.head and parameters.head.pooling
        if config.pooling in LACKING and config.pooling != brought:
            raise WeightsError(f"{weights}: {LACKING[config.pooling]}: take another method")
        self.classifier = parameters.classifier if config.cam else None
        self.known = PoolingState(head=parameters.head)
        self.network = load_network(
            config.backbone,
            parameters,
            layers=layers,
            engine=engine,
            device=device,
            quantized=quantized,
            half=config.precision == "float16",
            threads=threads,
        )
        self.concurrency = self.network.concurrency
        # All copies of a photo in turn: else two photos would be done at the same moment, and
        # the network would wait while both are pooled.
        self._photos = threading.BoundedSemaphore(self.concurrency)

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return sum(layer_sizes(self.config, self.known))

    @property
    def decode_size(self) -> int | None:
        """Twice the largest copy, when the configuration allows a reduced decoding."""
        return 2 * max(self.config.resolutions) if self.config.reduced_jpeg else None

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
        maps = self.feature_maps(prepared)
        pooled = describe_maps(maps, self.config, self.classifier, self.known)
        return Description(pooled.global_, pooled.local)

    def sample(self, image: Image.Image) -> Features:
        """For each stage the vectors of the image's regions as they are added, or their sum."""
        config, maps = self.config, self.feature_maps(self.prepare(image))
        if config.learn_layer_weights:
            vector = describe_maps(maps, config).global_
            ends = np.cumsum(layer_sizes(config))[:-1]
            return [part[None] for part in np.split(vector, ends)]
        found = []
        for layer in config.layers:
            pooled = [resolution[layer] for resolution in maps]
            if config.fusion == "early":
                pooled = [fuse(maps, layer, config)]
            vectors = [region_vectors(fm, levels=config.levels) for fm in pooled]
            found.append(np.concatenate(vectors))
        return found

    def learn(self, photos: Sequence[Features]) -> FittedParams:
        """The weights of the layers, `weights`, or the whitening of each one's regions.

        The latter is named `layer4.weight`, `layer4.bias` and so on.
        """
        layers = [np.concatenate(vectors) for vectors in zip(*photos, strict=True)]
        if self.config.learn_layer_weights:
            return {"weights": learn_layer_weights(layers, self.seed).astype(np.float32)}
        learned = {}
        for layer, vectors in zip(self.config.layers, layers, strict=True):
            whitening = fit_region_whitening(vectors, self.config.region_values)
            learned[f"{layer}.weight"] = whitening.weight
            learned[f"{layer}.bias"] = whitening.bias
        return learned

    def with_params(self, learned: FittedParams) -> "CnnExtractor":
        """The extractor, which from now on knows what was learned."""
        if self.config.learn_layer_weights:
            weights = tuple(map(float, learned["weights"]))
            self.config = dataclasses.replace(
                self.config, layer_weights=weights, learn_layer_weights=False
            )
            return self
        regions: dict[str, Projection] = {
            layer: Projection(learned[f"{layer}.weight"], learned[f"{layer}.bias"])
            for layer in self.config.layers
        }
        self.known = dataclasses.replace(self.known, regions=regions)
        return self

    def feature_maps(self, copies: list[np.ndarray]) -> list[FeatureMaps]:
        """The maps of each copy, uint8 (H, W, 3), at the stages that the network was loaded for."""
        with self._photos:
            return [self.network.feature_maps(copy) for copy in copies]
