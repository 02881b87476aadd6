"""Columns, cells and patches against slow loops and cases counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.config import LocalConfig
from resight.descriptors.aggregation import AGGREGATIONS
from resight.descriptors.local_features import LOCAL_FEATURES
from resight.descriptors.local_features.cells import cells
from resight.descriptors.local_features.columns import columns
from resight.descriptors.local_features.patches import patch_boxes
from resight.networks.parameters import load_parameters
from resight.networks.runtimes import Network, load_network
from samples import picture


def random_map(channels: int, height: int, width: int, seed: int) -> np.ndarray:
    """Return a map as after a ReLU: values >= 0, half of them 0."""
    values = np.random.default_rng(seed).normal(size=(channels, height, width))
    return values.clip(min=0).astype(np.float32)


SIDES = st.integers(1, 12)


@settings(max_examples=40, deadline=None)
@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
def test_columns_equal_the_slow_loop(height: int, width: int, seed: int) -> None:
    feature_map = random_map(3, height, width, seed)
    expected = []
    for y in range(height):
        for x in range(width):
            column = [float(channel[y][x]) for channel in feature_map]
            if any(column):
                expected.append([v / math.hypot(*column) for v in column])
    features = columns(feature_map)
    assert features.dtype == np.float32
    assert features.shape == (len(expected), 3)
    np.testing.assert_allclose(features, np.reshape(expected, (-1, 3)), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(height=SIDES, width=SIDES, parts=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_cells_equal_the_slow_loop(height: int, width: int, parts: int, seed: int) -> None:
    feature_map = random_map(3, height, width, seed)
    expected = []
    for row in range(parts):
        for column in range(parts):
            largest = [0.0, 0.0, 0.0]
            for y in range(row * height // parts, (row + 1) * height // parts):
                for x in range(column * width // parts, (column + 1) * width // parts):
                    values = feature_map[:, y, x].tolist()
                    largest = [max(a, b) for a, b in zip(largest, values, strict=True)]
            length = math.hypot(*largest)
            expected.append([v / length if length else 0.0 for v in largest])
    features = cells(feature_map, parts)
    assert features.shape == (parts * parts, 3)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-6)


def test_every_position_is_in_one_cell() -> None:
    # A single active position is the maximum of exactly one cell.
    for y in range(5):
        for x in range(7):
            feature_map = np.zeros((1, 5, 7), np.float32)
            feature_map[0, y, x] = 1
            assert cells(feature_map, 3).sum() == 1


def test_stacked_cells_have_unit_length_together() -> None:
    config = LocalConfig(features="cells", aggregation="stack", scales=(2,))
    vector = AGGREGATIONS["stack"].apply(np.diag([3.0, 4.0, 0, 0]), None, {}, config)
    np.testing.assert_allclose(vector, np.diag([0.6, 0.8, 0, 0]).ravel())


@pytest.mark.parametrize(("scale", "count"), [(1, 1), (2, 25), (4, 49)])
def test_patches_are_those_of_the_paper(scale: int, count: int) -> None:
    # Gong et al., section 3: 128 of 256 pixels are 25 patches, 64 pixels are 49, 32 pixels apart.
    boxes = patch_boxes((256, 256), scale)
    assert len(boxes) == count
    side = 256 // scale
    expected = [
        (x, y, x + side, y + side)
        for y in range(0, 257 - side, 32)
        for x in range(0, 257 - side, 32)
    ]
    assert boxes == expected


@given(width=st.integers(1, 3000), height=st.integers(1, 3000), scale=st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_patches_lie_inside_the_photo(width: int, height: int, scale: int) -> None:
    boxes = patch_boxes((width, height), scale)
    assert len(set(boxes)) >= 1
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


def extract(image: Image.Image, config: LocalConfig, network: Network) -> list[np.ndarray]:
    kind = LOCAL_FEATURES[config.features]
    return kind.extract(kind.prepare(image, config), config, network)


@pytest.mark.slow
def test_features_come_from_the_configured_layer(small_weights: object) -> None:
    network = load_network(
        "resnet50",
        load_parameters("resnet50", small_weights),  # type: ignore[arg-type]
        layers=("layer3",),
    )
    image = picture(1)
    copy = np.asarray(image.resize((96, 72), Image.Resampling.BILINEAR))
    config = LocalConfig(features="columns", layer="layer3", longest_side=96)
    (features,) = extract(image, config, network)
    np.testing.assert_array_equal(features, columns(network.feature_maps(copy)["layer3"]))

    config = LocalConfig(features="cells", layer="layer3", longest_side=96, scales=(1, 3))
    features = extract(image, config, network)
    assert [len(scale) for scale in features] == [1, 9]
    np.testing.assert_array_equal(features[1], cells(network.feature_maps(copy)["layer3"], 3))

    config = LocalConfig(features="patches", layer="layer3", patch_side=32, scales=(1, 2))
    features = extract(image, config, network)
    assert [len(scale) for scale in features] == [1, 25]
    patch = image.resize((32, 32), Image.Resampling.BILINEAR, box=(15, 11, 75, 56))
    mean = network.feature_maps(np.asarray(patch))["layer3"].mean(axis=(1, 2))
    np.testing.assert_allclose(features[1][6], mean / np.linalg.norm(mean), atol=1e-5)
