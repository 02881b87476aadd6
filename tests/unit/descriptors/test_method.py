"""The paper's method, stage by stage and as a whole, against the slow reading of the oracle."""

import dataclasses
import functools
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import oracle
import resight.descriptors.cnn_extractor
from resight.collection.writer import writing
from resight.config import ExtractionConfig, LocalConfig, SelectionConfig, method_from_dict
from resight.descriptors.cam import cam_mask, class_activation_map
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.extractor import Description
from resight.descriptors.fusion import early_fusion, late_fusion, rescale
from resight.descriptors.pipeline import describe_maps
from resight.descriptors.pooling.modified_rmac import modified_rmac
from resight.errors import WeightsError
from resight.networks.parameters import Classifier, Parameters, load_parameters
from resight.networks.runtimes.network import Network
from resight.networks.runtimes.select import load_network
from resight.photos.images import load_image
from resight.vectors import l2_normalize

SMALL = (160, 120, 96)
"""Longest sides that keep a network on a processor fast; the method knows no smallest size."""

RUNTIMES = [
    "torch",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
        ),
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _load_each_network_once() -> Iterator[None]:
    # An extractor never changes its network, so that one of them serves all configurations.
    networks: dict[Any, Network] = {}

    def load_once(backbone: str, parameters: Parameters, **options: str) -> Network:
        key = (id(parameters), *options.items())  # the parameters of a file are loaded once, too
        if key not in networks:
            networks[key] = load_network(backbone, parameters, **options)
        return networks[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            resight.descriptors.cnn_extractor, "load_parameters", functools.cache(load_parameters)
        )
        patch.setattr(resight.descriptors.cnn_extractor, "load_network", load_once)
        yield


@pytest.fixture(scope="module")
def small_state(small_weights: Path) -> dict[str, Tensor]:
    return oracle.load_state(small_weights)


def picture(width: int, height: int) -> Image.Image:
    """Waves, edges and texture, different at every place."""
    y, x = np.mgrid[:height, :width]
    red = 128 + 100 * np.sin(x / 17 + y / 29)
    green = (x * y // 7 + 3 * x) % 256
    blue = 255 * (((x // 20) + (y // 15)) % 2)
    return Image.fromarray(np.stack([red, green, blue], axis=2).astype(np.uint8))


def describe(
    config: ExtractionConfig, weights: Path, image: Image.Image, runtime: str = "auto"
) -> Description:
    extractor = CnnExtractor(config, weights, runtime=runtime)
    return extractor.describe(extractor.prepare(image))


def assert_same_descriptor(found: np.ndarray | None, expected: np.ndarray | None) -> None:
    """The tolerance that every path of the software keeps to a plain reading of the method."""
    if expected is None or found is None:
        assert found is expected is None
        return
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4
    lengths = np.linalg.norm(found) * np.linalg.norm(expected)
    if lengths > 0:
        assert np.dot(found.astype(np.float64), expected) / lengths >= 0.99999


# The whole, from a picture to its descriptors


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cam": True},
        {"fusion": "late"},
        {"layers": ("layer3", "layer4")},
        {"layers": ("layer4",)},
        {"layers": ("layer3",)},
        {"layers": ("layer3",), "cam": True},
        {"layers": ("layer3", "layer4"), "fusion": "late"},
        {"resolutions": (96,)},
        {"resolutions": (96, 160), "cam": True},
        {"resolutions": (400, 160), "upscale": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_descriptors_equal_the_oracles(
    runtime: str, fields: dict[str, Any], small_weights: Path, small_state: dict[str, Tensor]
) -> None:
    fields = {"resolutions": SMALL, **fields}
    image = picture(333, 207)
    found = describe(ExtractionConfig(**fields), small_weights, image, runtime)
    expected, local = oracle.describe(image, small_state, **fields)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


@pytest.mark.parametrize("upscale", [True, False])
@pytest.mark.parametrize(
    "size", [(101, 157), (160, 160), (1, 1), (300, 7), (7, 300), (2, 1), (33, 65)], ids=str
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_descriptors_of_odd_sizes_equal_the_oracles(
    runtime: str,
    size: tuple[int, int],
    upscale: bool,
    small_weights: Path,
    small_state: dict[str, Tensor],
) -> None:
    fields: dict[str, Any] = {"resolutions": (97, 64), "cam": True, "upscale": upscale}
    image = picture(*size)
    found = describe(ExtractionConfig(**fields), small_weights, image, runtime)
    expected, local = oracle.describe(image, small_state, **fields)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


def test_resnet101_equals_the_oracle(tmp_path: Path) -> None:
    state = oracle.random_state(101, seed=1)
    torch.save(state, tmp_path / "random-resnet101.pth")
    config = ExtractionConfig(backbone="resnet101", resolutions=(128, 96), cam=True)
    extractor = CnnExtractor(config, tmp_path / "random-resnet101.pth")
    assert extractor.dimensions == 3072
    image = picture(140, 99)
    found = extractor.describe(extractor.prepare(image))
    expected, local = oracle.describe(image, state, resolutions=(128, 96), cam=True, depth=101)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_real_photos_with_real_weights_equal_the_oracle(
    runtime: str, real_weights: Path, real_photos: Path
) -> None:
    state = oracle.load_state(real_weights)
    photos = sorted(real_photos.rglob("*.jpg"))
    config = ExtractionConfig(resolutions=(240, 180, 120), cam=True)
    for photo in photos[:: max(1, len(photos) // 3)][:3]:
        found = describe(config, real_weights, load_image(photo), runtime)
        expected, local = oracle.describe(photo, state, resolutions=config.resolutions, cam=True)
        assert_same_descriptor(found.global_, expected)
        assert_same_descriptor(found.local, local)


def test_each_layers_part_has_unit_length_in_the_order_of_the_configuration(
    small_weights: Path,
) -> None:
    image = picture(120, 80)
    both = describe(ExtractionConfig(resolutions=(96,)), small_weights, image).global_
    turned = ExtractionConfig(resolutions=(96,), layers=("layer3", "layer4"))
    np.testing.assert_array_equal(
        describe(turned, small_weights, image).global_,
        np.concatenate([both[2048:], both[:2048]]),
    )
    for part in (both[:2048], both[2048:]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-6)


def test_the_same_picture_has_the_same_descriptor(small_weights: Path) -> None:
    config = ExtractionConfig(resolutions=(96, 64), cam=True)
    first, second = (describe(config, small_weights, picture(90, 70)) for _ in range(2))
    np.testing.assert_array_equal(first.global_, second.global_)
    assert first.local is not None
    assert second.local is not None
    np.testing.assert_array_equal(first.local, second.local)


# Every field of the configuration is in use

SMALLEST = {"resolutions": (96, 64)}
WITH_CAM = {**SMALLEST, "cam": True}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "resolutions": (SMALLEST, {"resolutions": (96, 48)}),
    "resize_filter": (SMALLEST, {"resize_filter": "lanczos"}),
    "resize_from": (SMALLEST, {"resize_from": "previous"}),
    "upscale": ({"resolutions": (400, 64)}, {"upscale": False}),
    "square": (SMALLEST, {"square": True}),
    "reduced_jpeg": (SMALLEST, {"reduced_jpeg": True}),
    "fusion": (SMALLEST, {"fusion": "late"}),
    "fusion_interpolation": (SMALLEST, {"fusion_interpolation": "nearest"}),
    "fusion_align_corners": (SMALLEST, {"fusion_align_corners": True}),
    "layers": (SMALLEST, {"layers": ("layer3", "layer4")}),
    "levels": (SMALLEST, {"levels": 2}),
    "stride": (SMALLEST, {"stride": 0.8}),
    "pooling": (SMALLEST, {"pooling": "spoc"}),
    "gem_power": ({"resolutions": (96, 64), "pooling": "gem"}, {"gem_power": 2.0}),
    "layer_weights": (SMALLEST, {"layer_weights": (1.0, 2.0)}),
    "normalize_concatenation": (SMALLEST, {"normalize_concatenation": True}),
    "cam": (SMALLEST, {"cam": True}),
    "cam_threshold": (WITH_CAM, {"cam_threshold": 1.1}),
    "mask_interpolation": (WITH_CAM, {"mask_interpolation": "bilinear"}),
}
"""For a field, a configuration and the change of that field alone."""

LEARNED = {"region_values", "learn_layer_weights"}
PROVED_ELSEWHERE = {"method", "backbone", "dtype", "precision", *LEARNED}
"""Fields that decide which network or which storage: each has a test of its own below, but for the
precision and what is learned, which have files of them."""


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(ExtractionConfig) if f.name not in PROVED_ELSEWHERE]
)
def test_every_field_changes_the_descriptor(name: str, small_weights: Path) -> None:
    assert name in CHANGES, f"{name} is a new field: say in CHANGES how it changes the descriptor"
    fields, change = CHANGES[name]
    before, after = ExtractionConfig(**fields), ExtractionConfig(**{**fields, **change})
    file = io.BytesIO()
    picture(900, 650).save(file, "JPEG")  # large enough for a decoding at a reduced scale
    one, other = (_describe_file(config, small_weights, file) for config in (before, after))
    assert _largest_difference(one, other) > 1e-4


def _describe_file(config: ExtractionConfig, weights: Path, file: io.BytesIO) -> Description:
    extractor = CnnExtractor(config, weights)
    file.seek(0)
    image = load_image(file, extractor.decode_size)
    if not config.upscale or config.resolutions[0] > 300:
        image = image.crop((200, 100, 330, 190))  # smaller than the resolution
    return extractor.describe(extractor.prepare(image))


def _largest_difference(one: Description, other: Description) -> float:
    if (one.local is None) != (other.local is None):
        return float("inf")
    difference = float(np.abs(one.global_ - other.global_).max())
    if one.local is not None and other.local is not None:
        difference = max(difference, float(np.abs(one.local - other.local).max()))
    return difference


def test_the_field_method_names_the_class() -> None:
    assert type(method_from_dict({"method": "cnn"})) is ExtractionConfig
    assert type(method_from_dict({"method": "sift-vlad"})) is LocalConfig


def test_the_field_backbone_names_the_network(small_weights: Path) -> None:
    with pytest.raises(WeightsError, match="are weights of resnet50, not of resnet101"):
        CnnExtractor(ExtractionConfig(backbone="resnet101"), small_weights)


def test_the_field_dtype_decides_what_is_stored(tmp_path: Path) -> None:
    values = np.array([0.1, 0.2], np.float32)
    for dtype in ("float32", "float16"):
        config = ExtractionConfig(dtype=dtype)  # type: ignore[arg-type]
        with writing(tmp_path / dtype, (config, SelectionConfig())) as writer:
            assert writer.collection.encode(values) == values.astype(dtype).tobytes()


def test_only_a_reduced_decoding_tells_the_decoder_a_size(small_weights: Path) -> None:
    assert CnnExtractor(ExtractionConfig(), small_weights).decode_size is None
    config = ExtractionConfig(reduced_jpeg=True, resolutions=(320, 640))
    assert CnnExtractor(config, small_weights).decode_size == 1280


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (("layer4", "layer3"), 3072),
        (("layer3", "layer4"), 3072),
        (("layer4",), 2048),
        (("layer3",), 1024),
    ],
)
def test_dimensions(layers: Any, expected: int) -> None:
    assert sum(ExtractionConfig(layers=layers).nominal_sizes) == expected


# Pooling

SIDES = st.integers(1, 20)


def random_map(channels: int, height: int, width: int, seed: int) -> np.ndarray:
    """Like a map after ReLU: not negative, about half of it zero; channels last in memory."""
    values = np.random.default_rng(seed).normal(size=(height, width, channels))
    return values.clip(min=0).astype(np.float32).transpose(2, 0, 1)


def tensor(array: np.ndarray) -> Tensor:
    """As the oracle takes it."""
    return torch.from_numpy(np.ascontiguousarray(array))


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_modified_rmac_equals_the_loops(height: int, width: int, seed: int) -> None:
    feature_map = random_map(5, height, width, seed)
    found = modified_rmac(feature_map)
    assert found.shape == (5,)
    assert found.dtype == np.float32
    expected = oracle.modified_rmac(tensor(feature_map))
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_modified_rmac_has_unit_length_or_is_zero(height: int, width: int, seed: int) -> None:
    feature_map = random_map(4, height, width, seed)
    length = float(np.linalg.norm(modified_rmac(feature_map)))
    assert length == pytest.approx(1.0 if feature_map.any() else 0.0, abs=1e-6)


@given(
    height=SIDES,
    width=SIDES,
    order=st.permutations(range(6)),
    levels=st.integers(1, 5),
    stride=st.floats(0.05, 1),
)
@settings(max_examples=50, deadline=None)
def test_permuting_channels_permutes_the_descriptor(
    height: int, width: int, order: list[int], levels: int, stride: float
) -> None:
    feature_map = random_map(6, height, width, seed=0)
    np.testing.assert_allclose(
        modified_rmac(feature_map[order], levels=levels, stride=stride),
        modified_rmac(feature_map, levels=levels, stride=stride)[order],
        atol=1e-6,
        rtol=0,
    )


@given(height=SIDES, width=SIDES, factor=st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_scaling_a_map_changes_nothing(height: int, width: int, factor: float) -> None:
    feature_map = random_map(4, height, width, seed=1)
    np.testing.assert_allclose(
        modified_rmac(np.float32(factor) * feature_map),
        modified_rmac(feature_map),
        atol=1e-5,
        rtol=0,
    )


def test_modified_rmac_counted_by_hand() -> None:
    # 2 x 3, so regions of side 2, 2, 1 every 1, 1, 1 positions at levels 1, 2, 3.
    feature_map = np.float32([[[3, 0, 0], [0, 0, 4]], [[0, 0, 0], [0, 2, 0]]])
    first = 5 + 5 + 5  # level 1: maxima 3 and 4; level 2 the same; level 3: 3 and 4
    second = 8**0.5 + 8**0.5 + 2  # maxima 2 and 2, twice; then 2
    expected = np.array([first, second])
    found = modified_rmac(feature_map)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-6)


def test_levels_and_stride_counted_by_hand() -> None:
    # Level 1 alone: side 4 every 4 positions of 4 x 8, two regions; every 2 positions, three.
    feature_map = np.zeros((2, 4, 8), np.float32)
    feature_map[0, 0, 0], feature_map[1, 0, 3] = 1.0, 1.0
    wide = modified_rmac(feature_map, levels=1, stride=1.0)
    np.testing.assert_allclose(wide, np.array([1, 1]) / 2**0.5, rtol=1e-6)
    close = modified_rmac(feature_map, levels=1, stride=0.5)
    np.testing.assert_allclose(close, np.array([1, 2**0.5]) / 3**0.5, rtol=1e-6)


def test_a_zero_map_has_a_zero_descriptor() -> None:
    assert modified_rmac(np.zeros((3, 5, 4), np.float32)).tolist() == [0, 0, 0]
    assert l2_normalize(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


# Fusion


@given(sides=st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_early_fusion_equals_the_sum_of_four_neighbours(sides: list[tuple[int, int]]) -> None:
    maps = [random_map(3, *side, seed=i) for i, side in enumerate(sides)]
    expected = oracle.early_fusion([tensor(one) for one in maps])
    np.testing.assert_allclose(early_fusion(maps), expected, atol=1e-5, rtol=0)


def test_early_fusion_of_one_map_is_the_map_and_leaves_it_alone() -> None:
    feature_map = random_map(3, 5, 4, seed=0)
    before = feature_map.copy()
    np.testing.assert_array_equal(early_fusion([feature_map]), feature_map)
    early_fusion([feature_map, feature_map])
    np.testing.assert_array_equal(feature_map, before)


def test_early_fusion_of_equal_maps_is_their_multiple() -> None:
    feature_map = random_map(3, 5, 4, seed=0)
    np.testing.assert_allclose(early_fusion([feature_map] * 3), 3 * feature_map, rtol=1e-6)


def test_early_fusion_takes_the_size_of_the_first_map() -> None:
    small, large = np.ones((2, 3, 4), np.float32), np.ones((2, 9, 8), np.float32)
    np.testing.assert_allclose(early_fusion([small, large]), np.full((2, 3, 4), 2), rtol=1e-6)
    np.testing.assert_allclose(early_fusion([large, small]), np.full((2, 9, 8), 2), rtol=1e-6)


@given(
    old=st.tuples(SIDES, SIDES),
    new=st.tuples(SIDES, SIDES),
    how=st.sampled_from(
        [("nearest", False)]
        + [(name, align) for name in ("bilinear", "bicubic") for align in (False, True)]
    ),
)
@settings(max_examples=150, deadline=None)
def test_rescaling_is_that_of_torch(
    old: tuple[int, int], new: tuple[int, int], how: tuple[str, bool]
) -> None:
    feature_map = random_map(3, *old, seed=0)
    found = rescale(feature_map, new, *how)
    align = how[1] if how[0] != "nearest" else None
    expected = F.interpolate(tensor(feature_map)[None], new, mode=how[0], align_corners=align)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("interpolation", "align_corners", "expected"),
    [
        ("nearest", False, [0.0, 0.0, 8.0, 8.0]),
        ("bilinear", False, [0.0, 2.0, 6.0, 8.0]),
        ("bilinear", True, [0.0, 8 / 3, 16 / 3, 8.0]),
    ],
)
def test_rescaling_counted_by_hand(
    interpolation: str, align_corners: bool, expected: list[float]
) -> None:
    wide = rescale(np.float32([[[0, 8]]]), (1, 4), interpolation, align_corners)
    np.testing.assert_allclose(wide, [[expected]], rtol=1e-6)


def test_late_fusion_is_the_normalized_sum_of_unit_vectors() -> None:
    found = late_fusion([np.float32([5, 0, 0]), np.float32([0, 0.1, 0])])
    np.testing.assert_allclose(found, np.array([1, 1, 0]) / 2**0.5, rtol=1e-6)
    one = np.float32([3, 4, 0])
    np.testing.assert_allclose(late_fusion([one]), one / 5, rtol=1e-6)
    assert late_fusion([np.zeros(2, np.float32)] * 2).tolist() == [0, 0]


# Localization


def plain_classifier(weight: np.ndarray) -> Classifier:
    """Without a bias."""
    return Classifier(weight.astype(np.float32), np.zeros(len(weight), np.float32))


def test_the_mask_counted_by_hand() -> None:
    feature_map = np.float32([[[4, 0], [1, 1]], [[0, 2], [1, 0]]])
    classifier = Classifier(np.float32([[0, 0], [1, 0], [0, 9]]), bias=np.float32([0, 2, -4]))
    # The means are 1.5 and 0.75: scores 0, 3.5 and 2.75, so the second class wins.
    heat = class_activation_map(feature_map, classifier)
    np.testing.assert_allclose(heat, feature_map[0])
    assert cam_mask(heat, 0.9).tolist() == [[1, 0], [0, 0]]  # above 1.35
    assert cam_mask(heat, 0.5).tolist() == [[1, 0], [1, 1]]
    # Heat equal to the threshold is left out.
    assert cam_mask(np.float32([[1, 3]]), 0.5).tolist() == [[0, 1]]


def test_the_bias_takes_part_in_the_choice_of_the_class() -> None:
    feature_map = np.float32([[[1, 3]], [[3, 1]]])
    weight = np.float32([[1, 0], [0, 1]])
    for winner, bias in enumerate(([1, 0], [0, 1])):
        heat = class_activation_map(feature_map, Classifier(weight, np.float32(bias)))
        np.testing.assert_array_equal(heat, feature_map[winner])


@given(height=SIDES, width=SIDES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_masks_equal_the_oracles(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(7, 4)).astype(np.float32), rng.random(7, np.float32)
    feature_map = random_map(4, height, width, seed)
    heat = class_activation_map(feature_map, Classifier(weight, bias))
    state = {"fc.weight": tensor(weight), "fc.bias": tensor(bias)}
    found, expected = cam_mask(heat), oracle.cam_mask(tensor(feature_map), state)
    assert found.dtype == np.float32
    # Where the heat is the threshold but for rounding, either answer is right.
    clear = np.abs(heat - 0.9 * heat.mean()) > 1e-5
    np.testing.assert_array_equal(found[clear], expected.numpy()[clear])


@given(old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES))
@settings(max_examples=50, deadline=None)
def test_masks_are_rescaled_by_the_nearest_neighbour(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    mask = (random_map(1, *old, seed=2) > 0).astype(np.float32)
    found = rescale(mask, new, "nearest")[0]
    np.testing.assert_array_equal(found, oracle.rescale_nearest(tensor(mask[0]), *new))


def test_a_mask_of_ones_gives_the_global_descriptor_twice() -> None:
    maps = [{"layer3": random_map(3, 6, 8, 0) + 0.1, "layer4": random_map(4, 3, 4, 1) + 0.1}]
    classifier = plain_classifier(np.ones((2, 4)))  # heat above 0 everywhere
    pooled = describe_maps(maps, ExtractionConfig(cam=True, cam_threshold=0.0), classifier)
    assert pooled.local is not None
    np.testing.assert_array_equal(pooled.local, pooled.global_)
    assert len(pooled.global_) == 7


def test_what_the_mask_leaves_out_does_not_count() -> None:
    layer4 = np.ones((1, 2, 4), np.float32)
    layer4[0, :, 0] = 9.0  # the only place above the mean, 3
    layer3 = random_map(3, 4, 8, seed=0) + 0.1
    changed = layer3.copy()
    changed[:, :, 2:] += 5.0
    config = ExtractionConfig(cam=True)
    classifier = plain_classifier(np.ones((2, 1)))
    one, other = (
        describe_maps([{"layer3": m, "layer4": layer4}], config, classifier)
        for m in (layer3, changed)
    )
    assert one.local is not None
    assert other.local is not None
    np.testing.assert_array_equal(one.local, other.local)
    assert not np.allclose(one.global_, other.global_)


def test_the_mask_is_made_on_the_last_stage_also_where_that_is_not_described() -> None:
    maps = [{"layer3": random_map(3, 4, 8, 0) + 0.1, "layer4": random_map(2, 2, 4, 1)}]
    classifier = plain_classifier(np.array([[1, 0.5]]))
    config = ExtractionConfig(cam=True, layers=("layer3",))
    both = dataclasses.replace(config, layers=("layer4", "layer3"))
    alone, pair = describe_maps(maps, config, classifier), describe_maps(maps, both, classifier)
    assert alone.local is not None
    assert pair.local is not None
    np.testing.assert_array_equal(alone.local, pair.local[2:])
