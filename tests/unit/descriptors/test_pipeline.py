"""From feature maps to descriptors: masks and layer weights."""

import dataclasses

import numpy as np
import pytest

from feature_maps import random_map
from resight.config import ExtractionConfig
from resight.descriptors.pipeline import describe_maps
from resight.networks.parameters import Classifier


def classifier(weight: np.ndarray) -> Classifier:
    """Return a classifier without a bias."""
    return Classifier(weight.astype(np.float32), np.zeros(len(weight), np.float32))


def test_a_mask_of_ones_gives_the_global_descriptor_twice() -> None:
    maps = [{"layer3": random_map(3, 6, 8, 0) + 0.1, "layer4": random_map(4, 3, 4, 1) + 0.1}]
    everywhere = classifier(np.ones((2, 4)))  # heat above 0 at every position
    pooled = describe_maps(maps, ExtractionConfig(cam=True, cam_threshold=0.0), everywhere)
    assert pooled.local is not None
    np.testing.assert_array_equal(pooled.local, pooled.global_)
    assert len(pooled.global_) == 7


def test_masked_positions_do_not_count() -> None:
    layer4 = np.ones((1, 2, 4), np.float32)
    layer4[0, :, 0] = 9.0  # the only positions above the mean, 3
    layer3 = random_map(3, 4, 8, seed=0) + 0.1
    changed = layer3.copy()
    changed[:, :, 2:] += 5.0
    config = ExtractionConfig(cam=True)
    before, after = (
        describe_maps([{"layer3": x, "layer4": layer4}], config, classifier(np.ones((2, 1))))
        for x in (layer3, changed)
    )
    assert before.local is not None
    assert after.local is not None
    np.testing.assert_array_equal(before.local, after.local)
    assert not np.allclose(before.global_, after.global_)


def test_the_mask_comes_from_the_last_stage_even_if_that_is_not_described() -> None:
    maps = [{"layer3": random_map(3, 4, 8, 0) + 0.1, "layer4": random_map(2, 2, 4, 1)}]
    config = ExtractionConfig(cam=True, layers=("layer3",))
    both = dataclasses.replace(config, layers=("layer4", "layer3"))
    weight = np.array([[1, 0.5]])
    single = describe_maps(maps, config, classifier(weight))
    pair = describe_maps(maps, both, classifier(weight))
    assert single.local is not None
    assert pair.local is not None
    np.testing.assert_array_equal(single.local, pair.local[2:])


def test_layer_weights_are_shares_of_the_cosine() -> None:
    config = ExtractionConfig(pooling="mac", resolutions=(64,), layer_weights=(3, 1))
    assert config.descriptor_distance == "cosine"
    maps = {"layer4": random_map(2048, 2, 3, 0), "layer3": random_map(1024, 4, 6, 1)}
    descriptor = describe_maps([maps], config).global_
    assert np.linalg.norm(descriptor[:2048]) ** 2 == pytest.approx(0.75, abs=1e-5)
    assert np.linalg.norm(descriptor) == pytest.approx(1, abs=1e-5)
