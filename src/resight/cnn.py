"""The paper's method as an extractor: image, copies, feature maps, descriptors."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resight.backbones import choose_device, load_backbone
from resight.config import ExtractionConfig
from resight.descriptor import FeatureMaps, describe_maps, dimensions
from resight.extractor import Description
from resight.images import resized_copies
from resight.weights import WEIGHTS


class CnnExtractor:
    """The paper's descriptor by a convolutional network (sections 1-5 and 7)."""

    def __init__(self, config: ExtractionConfig, weights: Path, device: str = "cpu") -> None:
        """Load the network.

        Raises:
            WeightsError: the weights do not fit, or lack the classifier that CAM needs.
            UsageError: no such device.
        """
        self.config = config
        self.device = choose_device(device)
        self.network = load_backbone(config.backbone, weights, self.device)
        self.classifier = self.network.classifier if config.cam else None
        spec = WEIGHTS[config.backbone]
        self._mean = torch.tensor(spec.mean, device=self.device).view(3, 1, 1)
        self._std = torch.tensor(spec.std, device=self.device).view(3, 1, 1)

    @property
    def dimensions(self) -> int:
        """Length D of the descriptors."""
        return dimensions(self.config)

    @property
    def decode_at(self) -> int | None:
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
        )

    def describe(self, prepared: list[np.ndarray]) -> Description:
        """The descriptors of a photo from its copies."""
        with torch.inference_mode():
            pooled = describe_maps(self.feature_maps(prepared), self.config, self.classifier)
        local = None if pooled.local is None else pooled.local.cpu().numpy()
        return Description(pooled.global_.cpu().numpy(), local)

    def feature_maps(self, copies: list[np.ndarray]) -> list[FeatureMaps]:
        """`layer3` (1024, h, w) and `layer4` (2048, h, w) of each copy, uint8 (H, W, 3)."""
        # Full float32 on every device: TF32 would be outside the tolerance of section 10.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            return [
                {layer: maps[0] for layer, maps in self.network(self._to_tensor(copy)).items()}
                for copy in copies
            ]

    def _to_tensor(self, copy: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(copy.copy()).to(self.device).permute(2, 0, 1)
        normalized = (pixels.float().div_(255) - self._mean) / self._std
        return normalized[None].contiguous(memory_format=torch.channels_last)
