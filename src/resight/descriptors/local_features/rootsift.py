"""RootSIFT keypoints.

SIFT: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004. RootSIFT:
Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR
2012, section 3.

Points are `(x, y)`, x to the right, y downwards, in pixels of the original image; `(0, 0)` is the
center of the top left pixel.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.photos.transforms import scaled_size

if TYPE_CHECKING:
    from resight.networks.runtimes import Network

DESCRIPTOR_SIZE = 128


@dataclass(frozen=True)
class LocalFeatures:
    """The local features of one image, the strongest first.

    Attributes:
        points: float32 (N, 2), x and y in pixels of the original image.
        descriptors: float32 (N, 128), RootSIFT: values from 0 to 1, rows of unit length (zeros
            where SIFT found no gradient).
        scale: pixels of the image per pixel of the copy that SIFT saw, 1.0 or more; points are
            accurate to about one pixel of that copy.
        frames: float32 (N, 2), angle in radians and size in pixels of that copy.
    """

    points: np.ndarray
    descriptors: np.ndarray
    scale: float = 1.0
    frames: np.ndarray | None = None


def extract(
    prepared: LocalFeatures, config: LocalConfig, network: "Network | None"
) -> list[np.ndarray]:
    """Return their descriptors."""
    return [prepared.descriptors]


def gray_copy(image: Image.Image, longest_side: int) -> np.ndarray:
    """Return the brightness of an image, shrunk to a longest side, never enlarged: uint8 (h, w)."""
    size = scaled_size(image.width, image.height, longest_side, upscale=False)
    return np.asarray(image.convert("L").resize(size, Image.Resampling.BILINEAR))


def root_sift(
    image: Image.Image, config: LocalConfig, copy: np.ndarray | None = None
) -> LocalFeatures:
    """Detect the strongest SIFT keypoints of an image and describe them by RootSIFT.

    Args:
        image: RGB, any size; first shrunk to `config.longest_side`, never enlarged.
        config: also gives `max_keypoints` and `contrast_threshold`.
        copy: the `gray_copy` of the image of that side, if there is one.

    Returns:
        At most `max_keypoints` features by decreasing response; ties are sorted by position, size
        and angle, so that the result is deterministic for any number of threads. An image without
        texture gives shapes (0, 2) and (0, 128).
    """
    copy = gray_copy(image, config.longest_side) if copy is None else copy
    height, width = copy.shape
    sift = cv2.SIFT.create(
        nfeatures=config.max_keypoints,
        contrastThreshold=config.contrast_threshold,
        enable_precise_upscale=True,  # without it points are off by a quarter of a pixel
    )
    keypoints, descriptors = sift.detectAndCompute(copy, None)
    scale = max(image.width / width, image.height / height)
    if not keypoints:
        no_points = np.zeros((0, 2), np.float32)
        return LocalFeatures(
            no_points, np.zeros((0, DESCRIPTOR_SIZE), np.float32), scale, no_points
        )
    # OpenCV returns more than `nfeatures` if responses tie, in no particular order.
    order = sorted(range(len(keypoints)), key=lambda i: _rank(keypoints[i]))
    strongest = order[: config.max_keypoints]
    ratio = np.array([image.width / width, image.height / height])
    points = (np.array([keypoints[i].pt for i in strongest]) + 0.5) * ratio - 0.5
    frames = [(math.radians(keypoints[i].angle), keypoints[i].size) for i in strongest]
    return LocalFeatures(
        points.astype(np.float32),
        _root(descriptors[strongest]),
        scale,
        np.array(frames, np.float32),
    )


prepare = root_sift


def _rank(keypoint: cv2.KeyPoint) -> tuple[float, ...]:
    x, y = keypoint.pt
    return -keypoint.response, y, x, keypoint.size, keypoint.angle


def _root(descriptors: np.ndarray) -> np.ndarray:
    """Apply RootSIFT (section 3): L1 normalization, then the square root of each value."""
    sums = np.abs(descriptors).sum(axis=1, keepdims=True, dtype=np.float64)
    rooted = np.sqrt(np.abs(descriptors) / np.where(sums > 0, sums, 1.0))
    return np.asarray(rooted, dtype=np.float32)
