"""Pooling: from a feature map to one vector (docs/method.md, section 4).

To add a pooling, write its function in a module of this folder and add one line to `POOLINGS`;
its name is then valid as `pooling` in every configuration. A pooling maps a feature map, float32
(C, H, W) with values >= 0 (any values, if it is in `SIGNED_POOLINGS`), to float32 (C,) of unit
length, or zeros for a zero map; its parameters are fields of the configuration.
`tests/unit/descriptors/test_pooling.py` checks every entry.
"""

from collections.abc import Callable, Mapping

import numpy as np

from resight.config import ExtractionConfig
from resight.descriptors.pooling.crow import crow
from resight.descriptors.pooling.gem import gem
from resight.descriptors.pooling.mac import mac
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.descriptors.pooling.rmac import rmac
from resight.descriptors.pooling.spoc import spoc

Pooling = Callable[[np.ndarray, ExtractionConfig], np.ndarray]

POOLINGS: Mapping[str, Pooling] = {
    "modified-rmac": lambda x, config: modified_rmac(x, levels=config.levels, stride=config.stride),
    "rmac": lambda x, config: rmac(x, levels=config.levels),
    "rmac-integral": lambda x, config: rmac(x, levels=config.levels, integral=True),
    "mac": lambda x, config: mac(x),
    "spoc": lambda x, config: spoc(x),
    "spoc-center": lambda x, config: spoc(x, center=True),
    "crow": lambda x, config: crow(x),
    "gem": lambda x, config: gem(x, power=config.gem_power),
}
"""Pooling by name. The poolings that need more than the map (`rmac-whitened`, and those of a
trained retrieval head) are in `resight.descriptors.pipeline`."""
