"""Local features: keypoints, and parts of a photo as a network sees them.

To add a kind, write a module of this folder with the functions `prepare` and `extract` of
`LocalFeatureKind`, and add one line to `LOCAL_FEATURES`; its name is then valid as `features` in
every configuration.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from PIL import Image

from resight.config import LocalConfig
from resight.descriptors.local_features import cells, columns, patches, rootsift


class LocalFeatureKind(Protocol):
    """A module of this folder."""

    def prepare(self, image: Image.Image, config: LocalConfig) -> Any:
        """Do the part of the extraction that needs no network; may run in any thread."""

    def extract(self, prepared: Any, config: LocalConfig, network: Any) -> list[np.ndarray]:
        """Return the features of each scale, float32 (n, D).

        Args:
            prepared: as `prepare` returns it.
            config: the method's configuration.
            network: a `Network`, or None for a kind that needs none.
        """


LOCAL_FEATURES: Mapping[str, LocalFeatureKind] = {
    "rootsift": rootsift,
    "columns": columns,
    "cells": cells,
    "patches": patches,
}
