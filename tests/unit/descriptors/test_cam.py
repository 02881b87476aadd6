"""Class activation maps against the oracle and cases counted by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from feature_maps import SIDES, random_map, tensor
from resight.descriptors.fusion import rescale
from resight.descriptors.pipeline import cam_mask, class_activation_map
from resight.networks.parameters import Classifier


def test_the_mask_by_hand() -> None:
    feature_map = np.float32([[[4, 0], [1, 1]], [[0, 2], [1, 0]]])
    classifier = Classifier(np.float32([[0, 0], [1, 0], [0, 9]]), bias=np.float32([0, 2, -4]))
    # The means are 1.5 and 0.75: scores 0, 3.5 and 2.75, so the second class wins.
    heat = class_activation_map(feature_map, classifier)
    np.testing.assert_allclose(heat, feature_map[0])
    assert cam_mask(heat, 0.9).tolist() == [[1, 0], [0, 0]]  # above 1.35
    assert cam_mask(heat, 0.5).tolist() == [[1, 0], [1, 1]]
    # Heat equal to the threshold is excluded.
    assert cam_mask(np.float32([[1, 3]]), 0.5).tolist() == [[0, 1]]


def test_the_bias_takes_part_in_the_choice_of_the_class() -> None:
    feature_map = np.float32([[[1, 3]], [[3, 1]]])
    weight = np.float32([[1, 0], [0, 1]])
    for winner, bias in enumerate(([1, 0], [0, 1])):
        heat = class_activation_map(feature_map, Classifier(weight, np.float32(bias)))
        np.testing.assert_array_equal(heat, feature_map[winner])


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_masks_equal_the_oracle(height: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(7, 4)).astype(np.float32)
    bias = generator.random(7, np.float32)
    feature_map = random_map(4, height, width, seed)
    heat = class_activation_map(feature_map, Classifier(weight, bias))
    state = {"fc.weight": tensor(weight), "fc.bias": tensor(bias)}
    mask, expected = cam_mask(heat), oracle.cam_mask(tensor(feature_map), state)
    assert mask.dtype == np.float32
    # If the heat equals the threshold but for rounding, either answer is right.
    clear = np.abs(heat - 0.9 * heat.mean()) > 1e-5
    np.testing.assert_array_equal(mask[clear], expected.numpy()[clear])


@given(old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES))
@settings(max_examples=40, deadline=None)
def test_masks_are_rescaled_by_the_nearest_neighbor(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    mask = (random_map(1, *old, seed=2) > 0).astype(np.float32)
    rescaled = rescale(mask, new, "nearest")[0]
    np.testing.assert_array_equal(rescaled, oracle.rescale_nearest(tensor(mask[0]), *new))
