"""Make the evidence of a photo."""

import cv2
import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.descriptors.columns import Columns
from resight.descriptors.local_features.rootsift import gray_copy, root_sift
from resight.evidence import LONGEST_SIDE, THUMBNAIL_SIDE, Evidence

MAX_FEATURES = 600
"""Features kept of a photo, the strongest: with 400, 2 % fewer views of the same thing agree."""
CONTRAST_THRESHOLD = 0.02
"""Half of SIFT's usual contrast, so that photos with little texture have features too."""
SIFT = LocalConfig(
    method="sift-vlad",
    longest_side=LONGEST_SIDE,
    max_keypoints=MAX_FEATURES,
    contrast_threshold=CONTRAST_THRESHOLD,
)


def extract_evidence(image: Image.Image, columns: Columns | None = None) -> Evidence:
    """Return the evidence of an upright RGB image, with the columns of its map; deterministic."""
    copy = gray_copy(image, LONGEST_SIDE)
    size = copy.shape[1], copy.shape[0]
    features = root_sift(image, SIFT, copy)
    ratio = np.array(size) / [image.width, image.height]
    points = (features.points + 0.5) * ratio - 0.5
    frames = np.zeros((0, 2), np.float32) if features.frames is None else features.frames
    _, deviation = cv2.meanStdDev(cv2.Laplacian(copy, cv2.CV_16S))
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    thumbnail = rgb.resize((THUMBNAIL_SIDE,) * 2, Image.Resampling.BOX)
    return Evidence(
        size,
        points.astype(np.float32),
        frames,
        features.descriptors,
        np.asarray(thumbnail),
        float(deviation[0, 0]) ** 2,
        columns,
    )
