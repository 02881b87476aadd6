"""Extractor of descriptors by a convolutional network: image, copies, feature maps, descriptors."""

import copy
import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import ExtractionConfig
from resight.descriptors.columns import code_columns
from resight.descriptors.extractor import (
    Description,
    Features,
    FittedParams,
    check_finite,
    check_names,
)
from resight.descriptors.layer_weights import fit_layer_weights
from resight.descriptors.pipeline import FeatureMaps, PoolingState, describe_maps, fuse
from resight.descriptors.pooling.rmac import fit_region_whitening, region_vectors
from resight.errors import WeightsError
from resight.networks.parameters import load_parameters
from resight.networks.runtimes import load_network
from resight.photos.transforms import resized_copies
from resight.vectors import Projection

MISSING_HEAD = {
    "fine-tuned": "are not fine-tuned for retrieval, so that they have no pooling of their own",
    "netvlad": "have no NetVLAD layer",
}
"""Error text for weights without the head that a pooling needs."""


class CnnExtractor:
    """The paper's descriptor by a convolutional network (sections 1-5 and 7).

    With the pooling `rmac-whitened`, or with fitted layer weights, it is a `Fittable`.
    """

    max_samples = 30_000
    """Maximum number of regions (or photos) of a layer to fit on."""
    seed = 0

    def __init__(
        self,
        config: ExtractionConfig,
        weights: Path,
        *,
        sha256: str | None = None,
        layers: Sequence[str] = (),
        runtime: str = "auto",
        device: str = "auto",
        quantized: bytes | None = None,
        threads: int | None = None,
        streams: int = 1,
    ) -> None:
        """Load the network.

        Arguments as in `load_network`; `sha256` of the weights file is the key of its parameters
        in the user's cache, and `layers` are by default those that the configuration needs.

        Raises:
            WeightsError: the weights do not fit, or lack the classifier that CAM needs.
            UsageError: no such pooling, runtime or device.
        """
        check_names(config)
        self.config = config
        parameters = load_parameters(config.backbone, weights, sha256)
        layers = layers or config.network_layers()
        missing = {"fc6", "fc7"} & set(layers)
        if missing and parameters.classifier is None:
            raise WeightsError(
                f"{weights}: have no fully connected layers (classifier), which {min(missing)} is"
            )
        if config.cam and parameters.classifier is None:
            raise WeightsError(
                f"{weights}: have no classifier (fc), which class activation maps need"
            )
        head = parameters.head and parameters.head.pooling
        if config.pooling in MISSING_HEAD and config.pooling != head:
            raise WeightsError(f"{weights}: {MISSING_HEAD[config.pooling]}: use another method")
        self.classifier = parameters.classifier if config.cam else None
        self.state = PoolingState(head=parameters.head)
        self.network = load_network(
            config.backbone,
            parameters,
            layers=layers,
            runtime=runtime,
            device=device,
            quantized=quantized,
            precision=config.precision,
            threads=threads,
            streams=streams,
        )
        self.concurrency = self.network.concurrency
        self.precision = self.network.precision
        # A photo holds its slot for all of its copies. If photos alternated, several would finish
        # at the same moment, and the network would wait while all of them are pooled.
        self._slots = threading.BoundedSemaphore(self.concurrency)

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return self.state.dimensions(self.config)

    @property
    def decode_size(self) -> int | None:
        """Twice the largest copy, if the configuration allows reduced decoding."""
        return 2 * max(self.config.resolutions) if self.config.reduced_jpeg else None

    def prepare(self, image: Image.Image) -> list[np.ndarray]:
        """Return the copies of the image at the configured resolutions, uint8 (h, w, 3)."""
        return resized_copies(
            image,
            self.config.resolutions,
            filter=self.config.resize_filter,
            upscale=self.config.upscale,
            from_previous=self.config.resize_from == "previous",
            square=self.config.square,
        )

    def feature_maps(self, copies: list[np.ndarray]) -> list[FeatureMaps]:
        """Return the network's maps of each copy, uint8 (H, W, 3)."""
        with self._slots:
            return [self.network.feature_maps(pixels) for pixels in copies]

    def describe(self, prepared: list[np.ndarray], *, columns: bool = False) -> Description:
        """Compute the descriptors of a photo from its copies; see `Extractor.describe`."""
        maps = self.feature_maps(prepared)
        description = check_finite(describe_maps(maps, self.config, self.classifier, self.state))
        if not columns:
            return description
        coded = code_columns(maps[0][self.config.spec.matching_layer])
        return dataclasses.replace(description, columns=coded)

    def sample(self, image: Image.Image) -> Features:
        """Return, for each layer, the vectors of the image's regions or the layer's descriptor."""
        config, maps = self.config, self.feature_maps(self.prepare(image))
        if config.learn_layer_weights:
            vector = describe_maps(maps, config).global_
            ends = np.cumsum(config.nominal_sizes)[:-1]
            return [part[None] for part in np.split(vector, ends)]
        features = []
        for layer in config.layers:
            pooled = [resolution[layer] for resolution in maps]
            if config.fusion == "early":
                pooled = [fuse(maps, layer, config)]
            vectors = [region_vectors(x, levels=config.levels) for x in pooled]
            features.append(np.concatenate(vectors))
        return features

    def fit(self, photos: Sequence[Features]) -> FittedParams:
        """Fit the layer weights, `weights`, or the whitening of each layer's regions.

        The latter is named `layer4.weight`, `layer4.bias` and so on.
        """
        layers = [np.concatenate(vectors) for vectors in zip(*photos, strict=True)]
        if self.config.learn_layer_weights:
            return {"weights": fit_layer_weights(layers, self.seed).astype(np.float32)}
        params = {}
        for layer, vectors in zip(self.config.layers, layers, strict=True):
            whitening = fit_region_whitening(vectors, self.config.region_values)
            params[f"{layer}.weight"] = whitening.weight
            params[f"{layer}.bias"] = whitening.bias
        return params

    def with_params(self, params: FittedParams) -> "CnnExtractor":
        """Return an extractor with fitted parameters that shares the network with this one."""
        fitted = copy.copy(self)
        if self.config.learn_layer_weights:
            weights = tuple(map(float, params["weights"]))
            fitted.config = dataclasses.replace(
                self.config, layer_weights=weights, learn_layer_weights=False
            )
        else:
            regions = {
                layer: Projection(params[f"{layer}.weight"], params[f"{layer}.bias"])
                for layer in self.config.layers
            }
            fitted.state = dataclasses.replace(self.state, regions=regions)
        return fitted
