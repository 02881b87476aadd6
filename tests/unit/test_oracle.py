"""The oracle itself, on cases counted by hand or computed in another way."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import oracle


@pytest.mark.parametrize(
    ("relevance", "positives", "expected"),
    [
        ([1, 0, 1], 2, 0.5 + (1 / 2 + 2 / 3) / 4),  # 0.7917, not 0.8333 as the finite sum
        ([1, 1, 0], 2, 1.0),
        ([0, 0, 1], 1, (0 / 2 + 1 / 3) / 2),
        ([0, 1], 1, (0 + 1 / 2) / 2),
        ([1, 0, 0], 2, 0.5),  # the second positive is missing
        ([0, 0], 1, 0.0),
    ],
)
def test_average_precision_by_trapezoids(relevance, positives, expected):
    assert oracle.average_precision(relevance, positives) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_the_specification():
    assert round(oracle.average_precision([1, 0, 1], 2), 4) == 0.7917


def test_mean_average_precision_excludes_the_query_and_single_photos():
    points = np.array([0.0, 1.0, 1.5, 9.0])  # groups {0, 2}, {1}, {3}
    distances = np.abs(points[:, None] - points)
    # Query 0 ranks 1, 2, 3: relevance 0, 1, 0. Query 2 ranks 1, 0, 3: relevance 0, 1, 0.
    assert oracle.mean_average_precision(distances, [[0, 2], [1], [3]]) == pytest.approx(0.25)


def test_ns_score():
    points = np.array([0.0, 1.0, 2.0, 3.0, 3.4, 11.0, 12.0, 13.0])
    distances = np.abs(points[:, None] - points)
    # 0 and 1 find their four; 2 and 3 find the other group's photo at 3.4 first. That one finds
    # only itself of its group; the last three find each other and it.
    expected = (4 + 4 + 3 + 3 + 1 + 4 + 4 + 4) / 8
    assert oracle.ns_score(distances, [[0, 1, 2, 3], [4, 5, 6, 7]]) == expected


def test_rank_orders_ties_by_id():
    assert oracle.rank([2.0, 1.0, 2.0, 1.0, 0.0]) == [4, 1, 3, 0, 2]


def test_distance_is_the_smaller_one():
    zero, far, near = np.zeros(3), np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.0, -0.5])
    assert oracle.distance(zero, far) == 6.0
    assert oracle.distance(zero, far, zero, near) == 1.0
    assert oracle.distance(zero, near, zero, far) == 1.0


def test_rmac_of_a_tiny_map_by_hand():
    # 3 rows, 4 columns. Level 1: side 3, step 1: two regions, maxima 11 and 12.
    # Level 2: side 2, step max(1, floor(0.8)) = 1: 2 x 3 regions, maxima 6 7 8 / 10 11 12.
    # Level 3: side ceil(6 / 4) = 2: the same six.
    feature_map = torch.arange(1.0, 13.0).reshape(1, 3, 4)
    other = torch.zeros(1, 3, 4)
    other[0, 0, 0] = 2.0  # in the first region of each level only
    six = 36 + 49 + 64 + 100 + 121 + 144
    first = math.sqrt(121 + 144) + 2 * math.sqrt(six)
    second = 2.0 + 2.0 + 2.0
    expected = np.array([first, second]) / math.hypot(first, second)
    actual = oracle.modified_rmac(torch.cat([feature_map, other]))
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-6)


def test_rmac_ignores_positions_outside_all_regions():
    # 5 x 5: level 1 side 5; level 2 side 4, step 1; level 3 side 3, step 1. All reach the corner.
    # 7 x 7: level 3 side 4, step 1. 13 x 13: level 1 side 13; level 2 side 9, step 3: tops 0, 3;
    # level 3 side 7, step 2: tops 0, 2, 4, 6. So the last row is seen once at level 1, not at
    # level 2 (rows 0-11), and at level 3.
    feature_map = torch.zeros(2, 13, 13)
    feature_map[0, 12, 0] = 1.0  # level 1: 1; level 2: none; level 3: one region
    feature_map[1, 0, 0] = 1.0  # one region at each level
    actual = oracle.modified_rmac(feature_map).numpy()
    np.testing.assert_allclose(actual, np.array([2.0, 3.0]) / math.sqrt(13), rtol=1e-6)


def test_rmac_of_one_position_and_of_zeros():
    np.testing.assert_allclose(
        oracle.modified_rmac(torch.tensor([3.0, 4.0]).reshape(2, 1, 1)).numpy(), [0.6, 0.8]
    )
    assert not oracle.modified_rmac(torch.zeros(5, 4, 6)).any()


@settings(deadline=None)
@given(st.integers(1, 2000))
def test_the_step_in_whole_numbers_is_the_floor_of_two_fifths(side):
    assert 2 * side // 5 == math.floor(0.4 * side)


@pytest.mark.parametrize(("old", "new"), [((17, 25), (25, 33)), ((3, 1), (5, 4)), ((8, 8), (5, 3))])
@pytest.mark.slow
def test_rescaling_equals_torch(old, new):
    feature_map = torch.rand(3, *old, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(feature_map[None], new, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(oracle.rescale_bilinear(feature_map, *new), expected)
    mask = feature_map[0] > 0.5
    nearest = F.interpolate(mask[None, None].float(), new, mode="nearest")[0, 0] > 0
    assert torch.equal(oracle.rescale_nearest(mask, *new), nearest)


def test_bilinear_by_hand():
    feature_map = torch.tensor([0.0, 4.0]).reshape(1, 1, 2)
    # Centers of the four new pixels lie at -0.25, 0.25, 0.75, 1.25 of the old ones.
    assert oracle.rescale_bilinear(feature_map, 1, 4).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]


def test_early_fusion_adds_and_late_fusion_adds_unit_vectors():
    large, small = torch.full((2, 4, 6), 1.0), torch.full((2, 2, 3), 2.0)
    assert torch.equal(oracle.early_fusion([large, small]), torch.full((2, 4, 6), 3.0))
    first, second = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    first[0], second[1] = 5.0, 0.1
    np.testing.assert_allclose(oracle.late_fusion([first, second]), [math.sqrt(0.5)] * 2, rtol=1e-6)


def test_cam_mask_by_hand():
    state = {"fc.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0]]), "fc.bias": torch.zeros(2)}
    feature_map = torch.tensor([[[5.0, 0.0]], [[4.0, 6.0]]])
    # Scores 2.5 and 5: class 1 wins; heat 4, 6, mean 5: 4 is not above 4.5.
    assert oracle.winning_class(feature_map, state) == 1
    assert oracle.cam_mask(feature_map, state).tolist() == [[False, True]]
    state["fc.bias"] = torch.tensor([9.0, 0.0])
    assert oracle.winning_class(feature_map, state) == 0  # the bias decides the winner ...
    assert oracle.cam_mask(feature_map, state).tolist() == [[True, False]]  # ... not the heat


def test_local_descriptor_sees_only_the_mask():
    state = {"fc.weight": torch.tensor([[1.0]]), "fc.bias": torch.zeros(1)}
    maps = {"layer4": torch.zeros(1, 2, 2), "layer3": torch.ones(2, 4, 4)}
    maps["layer4"][0, 0, 0] = 1.0
    maps["layer3"][1, :2, :2] = 0.0  # channel 1 lies outside the mask altogether
    assert oracle.local_descriptor(maps, ["layer4", "layer3"], state).tolist() == [1.0, 1.0, 0.0]


def test_pfa_finds_the_independent_columns():
    # Columns 0-2, 3-5 and 6-8 are each one signal, doubled in strength from copy to copy.
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((200, 3))
    descriptors = np.repeat(signals, 3, axis=1) + 0.01 * rng.standard_normal((200, 9))
    chosen = oracle.pfa(descriptors, 3, components=3)
    assert [index // 3 for index in chosen] == [0, 1, 2]


def test_pfa_keeps_the_fewest_components_for_the_share():
    axes = np.diag([3.0, 2.0, 1.0])
    descriptors = np.concatenate([axes, -axes])  # variances 9 : 4 : 1 along the axes
    for share, components in [(0.6, 1), (0.65, 2), (0.92, 2), (0.93, 3), (1.0, 3)]:
        rows = oracle.pfa_rows(descriptors, variance=share)
        np.testing.assert_allclose(np.abs(rows), np.eye(3)[:, :components], atol=1e-9)


def test_pfa_by_covariance_and_by_singular_values_span_the_same():
    descriptors = np.random.default_rng(1).standard_normal((20, 600))
    rows = oracle.pfa_rows(descriptors, components=10)  # 600 columns: singular values
    values, vectors = np.linalg.eigh(np.cov(descriptors, rowvar=False))
    expected = vectors[:, np.argsort(-values)[:10]]
    np.testing.assert_allclose(np.abs((rows * expected).sum(axis=0)), 1.0, atol=1e-9)


def test_pfa_choice_takes_the_lowest_index_of_equals():
    rows = np.array([[0.0], [2.0], [0.5], [10.0]])
    labels, centers = np.array([0, 0, 1, 1]), np.array([[1.0], [9.0]])
    assert oracle.pfa_choice(rows, labels, centers).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("size", "resolution", "expected"),
    [
        ((320, 240), 1050, (1050, 788)),  # 787.5, to even
        ((240, 320), 550, (412, 550)),  # 412.5
        ((1280, 721), 800, (800, 451)),  # 450.625
        ((30, 20000), 1050, (2, 1050)),
        ((1, 9999), 1050, (1, 1050)),
    ],
)
def test_copies_have_the_right_size(size, resolution, expected):
    (copy,) = oracle.pre_process(Image.new("RGB", size), [resolution])
    assert copy.shape == (expected[1], expected[0], 3)
    assert copy.dtype == np.uint8


def test_upscaling_can_be_disabled():
    same, smaller = oracle.pre_process(Image.new("RGB", (320, 240)), [1050, 160], upscale=False)
    assert same.shape == (240, 320, 3)
    assert smaller.shape == (120, 160, 3)


class Bottleneck(torch.nn.Module):
    """The standard residual block."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        self.conv2 = torch.nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(width)
        self.conv3 = torch.nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = torch.nn.BatchNorm2d(4 * width)
        self.downsample = torch.nn.Sequential()
        if inputs != 4 * width:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, 4 * width, 1, stride, bias=False),
                torch.nn.BatchNorm2d(4 * width),
            )

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def build_network(depth):
    network = torch.nn.Module()
    network.conv1 = torch.nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
    network.bn1 = torch.nn.BatchNorm2d(64)
    inputs = 64
    for stage, blocks in enumerate(oracle.BLOCKS[depth], start=1):
        width = 32 * 2**stage
        stage_blocks = []
        for block in range(blocks):
            stage_blocks.append(Bottleneck(inputs, width, 2 if stage > 1 and block == 0 else 1))
            inputs = 4 * width
        setattr(network, f"layer{stage}", torch.nn.Sequential(*stage_blocks))
    network.fc = torch.nn.Linear(2048, 1000)
    return network


@functools.cache
def states(depth):
    return oracle.random_state(depth, seed=1)


@pytest.mark.parametrize("depth", [50, pytest.param(101, marks=pytest.mark.slow)])
def test_the_network_equals_one_built_of_modules(depth):
    with torch.device("meta"):
        network = build_network(depth)
    network.load_state_dict(states(depth), strict=True, assign=True)
    network.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (75, 97, 3), dtype=np.uint8)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    x = (x - torch.tensor(oracle.MEAN)[:, None, None]) / torch.tensor(oracle.STD)[:, None, None]
    with torch.no_grad():
        x = torch.relu(network.bn1(network.conv1(x)))
        x = F.max_pool2d(x, 3, 2, padding=1)
        layer3 = network.layer3(network.layer2(network.layer1(x)))
        layer4 = network.layer4(layer3)
    maps = oracle.backbone(pixels, states(depth), depth)
    assert maps["layer3"].shape == (1024, 5, 7)
    assert maps["layer4"].shape == (2048, 3, 4)
    torch.testing.assert_close(maps["layer3"], layer3[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(maps["layer4"], layer4[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_shapes_of_descriptors():
    state = states(50)
    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    whole, local = oracle.describe(photo, state, resolutions=(80, 48), cam=True)
    assert whole.shape == local.shape == (3072,)
    assert whole.dtype == local.dtype == np.float32
    for vector in (whole, local):
        np.testing.assert_allclose(np.linalg.norm(vector[:2048]), 1, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(vector[2048:]), 1, rtol=1e-5)
    early, none = oracle.describe(photo, state, resolutions=(80, 48), layers=("layer3",))
    assert none is None
    np.testing.assert_array_equal(early, whole[2048:])
    late, _ = oracle.describe(photo, state, resolutions=(80, 48), layers=("layer3",), fusion="late")
    assert 0.5 < early @ late < 0.99999  # similar, not equal
    with pytest.raises(ValueError, match="fused"):
        oracle.describe(photo, state, resolutions=(96,), fusion="late", cam=True)
