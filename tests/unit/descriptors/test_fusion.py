"""Fusion of resolutions against the oracle, torch and cases counted by hand."""

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from feature_maps import SIDES, random_map, tensor
from resight.descriptors.fusion import early_fusion, late_fusion, rescale

SIZES = st.tuples(SIDES, SIDES)


@given(sizes=st.lists(SIZES, min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_early_fusion_equals_the_oracle(sizes: list[tuple[int, int]]) -> None:
    maps = [random_map(3, *size, seed=i) for i, size in enumerate(sizes)]
    expected = oracle.early_fusion([tensor(one) for one in maps])
    np.testing.assert_allclose(early_fusion(maps), expected, atol=1e-5, rtol=0)


def test_early_fusion_leaves_its_input_unchanged() -> None:
    feature_map = random_map(3, 5, 4, seed=0)
    before = feature_map.copy()
    np.testing.assert_array_equal(early_fusion([feature_map]), before)
    np.testing.assert_allclose(early_fusion([feature_map] * 3), 3 * before, rtol=1e-6)
    np.testing.assert_array_equal(feature_map, before)


def test_early_fusion_has_the_size_of_the_first_map() -> None:
    small, large = np.ones((2, 3, 4), np.float32), np.ones((2, 9, 8), np.float32)
    np.testing.assert_allclose(early_fusion([small, large]), np.full((2, 3, 4), 2), rtol=1e-6)
    np.testing.assert_allclose(early_fusion([large, small]), np.full((2, 9, 8), 2), rtol=1e-6)


@given(
    old=SIZES,
    new=SIZES,
    mode=st.sampled_from(
        [
            ("nearest", False),
            ("bilinear", False),
            ("bilinear", True),
            ("bicubic", False),
            ("bicubic", True),
        ]
    ),
)
@settings(max_examples=120, deadline=None)
def test_rescaling_equals_torch(
    old: tuple[int, int], new: tuple[int, int], mode: tuple[str, bool]
) -> None:
    feature_map = random_map(3, *old, seed=0)
    interpolation, align_corners = mode
    rescaled = rescale(feature_map, new, interpolation, align_corners)
    expected = F.interpolate(
        tensor(feature_map)[None],
        new,
        mode=interpolation,
        align_corners=None if interpolation == "nearest" else align_corners,
    )[0]
    assert rescaled.dtype == np.float32
    np.testing.assert_allclose(rescaled, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("interpolation", "align_corners", "expected"),
    [
        ("nearest", False, [0.0, 0.0, 8.0, 8.0]),
        ("bilinear", False, [0.0, 2.0, 6.0, 8.0]),
        ("bilinear", True, [0.0, 8 / 3, 16 / 3, 8.0]),
    ],
)
def test_rescaling_by_hand(interpolation: str, align_corners: bool, expected: list[float]) -> None:
    wide = rescale(np.float32([[[0, 8]]]), (1, 4), interpolation, align_corners)
    np.testing.assert_allclose(wide, [[expected]], rtol=1e-6)


def test_late_fusion_is_the_normalized_sum_of_unit_vectors() -> None:
    fused = late_fusion([np.float32([5, 0, 0]), np.float32([0, 0.1, 0])])
    np.testing.assert_allclose(fused, np.array([1, 1, 0]) / 2**0.5, rtol=1e-6)
    one = np.float32([3, 4, 0])
    np.testing.assert_allclose(late_fusion([one]), one / 5, rtol=1e-6)
    assert late_fusion([np.zeros(2, np.float32)] * 2).tolist() == [0, 0]
