"""Maps with negative values: what the poolings that accept them compute, and its attribution."""

import numpy as np
import pytest

from resight.config import ExtractionConfig
from resight.config.extraction import SIGNED_POOLINGS
from resight.descriptors.pipeline import describe_maps
from resight.descriptors.pooling import POOLINGS
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.errors import UsageError
from resight.views.attribution import attribute_photo

SIGNED = [name for name in POOLINGS if name in SIGNED_POOLINGS]


def signed_map(channels: int = 512, offset: float = -1.0) -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.standard_normal((channels, 9, 7)) + offset).astype(np.float32)


def test_modified_rmac_is_that_of_the_map_after_a_relu() -> None:
    feature_map = signed_map()
    feature_map[3] = -np.abs(feature_map[3])
    found = modified_rmac(feature_map)
    np.testing.assert_array_equal(found, modified_rmac(np.maximum(feature_map, 0)))
    assert found[3] == 0
    assert not modified_rmac(-np.abs(feature_map) - 1).any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings_accept_signed_layers_or_refuse_them(pooling: str) -> None:
    fields = {"backbone": "vgg16", "layers": ("conv5_3",), "resolutions": (100,)}
    if pooling not in SIGNED:
        message = f"^pooling: {pooling} needs values >= 0, but conv5_3 of vgg16 may be negative"
        with pytest.raises(UsageError, match=message):
            ExtractionConfig(pooling=pooling, **fields)
        return
    config = ExtractionConfig(pooling=pooling, **fields)
    maps = [{"conv5_3": signed_map()}]
    descriptor = describe_maps(maps, config).global_
    assert np.linalg.norm(descriptor) == pytest.approx(1, abs=1e-5)
    parts = attribute_photo(maps, config)["conv5_3"].values
    np.testing.assert_allclose(parts.sum(axis=(1, 2)), descriptor, atol=1e-4)
