"""The whole method, from an image to its descriptors, against the oracle."""

import dataclasses
import functools
import importlib.util
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import oracle
from feature_maps import pattern
from resight.collection.writer import writing
from resight.config import ExtractionConfig, LocalConfig, SelectionConfig, method_from_dict
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.extractor import Description
from resight.descriptors.pipeline import fuse
from resight.descriptors.pooling.rmac import region_vectors
from resight.errors import WeightsError
from resight.photos.images import load_image

pytestmark = pytest.mark.usefixtures("networks_loaded_once")

SMALL = (128, 96, 64)
"""Resolutions that are fast on a CPU; the method has no minimum."""

Expect = Callable[..., tuple[np.ndarray, np.ndarray | None]]

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


@pytest.fixture(scope="module")
def small_state(small_weights: Path) -> dict[str, Tensor]:
    return oracle.load_state(small_weights)


@pytest.fixture(scope="module")
def expect(small_state: dict[str, Tensor]) -> Expect:
    """Return the oracle on a pattern of a size; each case is computed once for all runtimes."""

    @functools.cache
    def describe(size: tuple[int, int], **fields: Any) -> tuple[np.ndarray, np.ndarray | None]:
        return oracle.describe(pattern(*size), small_state, **fields)

    return describe


def describe(
    config: ExtractionConfig, weights: Path, image: Image.Image, runtime: str = "auto"
) -> Description:
    extractor = CnnExtractor(config, weights, runtime=runtime)
    return extractor.describe(extractor.prepare(image))


def assert_same_descriptor(found: np.ndarray | None, expected: np.ndarray | None) -> None:
    """Check the tolerance that every path of the software keeps (docs/method.md, section 10)."""
    if expected is None or found is None:
        assert found is expected is None
        return
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4
    lengths = np.linalg.norm(found) * np.linalg.norm(expected)
    if lengths > 0:
        assert np.dot(found.astype(np.float64), expected) / lengths >= 0.99999


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
        {"resolutions": (96, 128), "cam": True},
        {"resolutions": (300, 128), "upscale": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_descriptors_equal_the_oracle(
    runtime: str, fields: dict[str, Any], small_weights: Path, expect: Expect
) -> None:
    fields = {"resolutions": SMALL, **fields}
    found = describe(ExtractionConfig(**fields), small_weights, pattern(233, 147), runtime)
    expected, local = expect((233, 147), **fields)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


ODD_SIZES = [(101, 157), (160, 160), (1, 1), (300, 7), (7, 300), (2, 1), (33, 65)]


@pytest.mark.parametrize(
    ("size", "upscale"),
    [*((size, True) for size in ODD_SIZES), ((7, 300), False), ((2, 1), False), ((33, 65), False)],
    ids=str,
)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_descriptors_of_odd_sizes_equal_the_oracle(
    runtime: str, size: tuple[int, int], upscale: bool, small_weights: Path, expect: Expect
) -> None:
    fields: dict[str, Any] = {"resolutions": (97, 64), "cam": True, "upscale": upscale}
    found = describe(ExtractionConfig(**fields), small_weights, pattern(*size), runtime)
    expected, local = expect(size, **fields)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


@pytest.mark.slow
def test_resnet101_equals_the_oracle(tmp_path: Path) -> None:
    state = oracle.random_state(101, seed=1)
    torch.save(state, tmp_path / "random-resnet101.pth")
    config = ExtractionConfig(backbone="resnet101", resolutions=(96, 64), cam=True)
    extractor = CnnExtractor(config, tmp_path / "random-resnet101.pth")
    assert extractor.dimensions == 3072
    image = pattern(140, 99)
    found = extractor.describe(extractor.prepare(image))
    expected, local = oracle.describe(image, state, resolutions=(96, 64), cam=True, depth=101)
    assert_same_descriptor(found.global_, expected)
    assert_same_descriptor(found.local, local)


REAL = ExtractionConfig(resolutions=(180, 120), cam=True)


@pytest.fixture(scope="module")
def expected_of_real_photos(
    real_weights: Path, real_photos: Path
) -> dict[Path, tuple[np.ndarray, np.ndarray | None]]:
    """Return three photos and their descriptors by the oracle."""
    state = oracle.load_state(real_weights)
    photos = sorted(real_photos.rglob("*.jpg"))
    return {
        photo: oracle.describe(photo, state, resolutions=REAL.resolutions, cam=True)
        for photo in photos[:: max(1, len(photos) // 3)][:3]
    }


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_real_photos_with_real_weights_equal_the_oracle(
    runtime: str,
    real_weights: Path,
    expected_of_real_photos: dict[Path, tuple[np.ndarray, np.ndarray | None]],
) -> None:
    for photo, (expected, local) in expected_of_real_photos.items():
        found = describe(REAL, real_weights, load_image(photo), runtime)
        assert_same_descriptor(found.global_, expected)
        assert_same_descriptor(found.local, local)


def test_layers_are_concatenated_in_the_order_of_the_configuration(
    small_weights: Path,
) -> None:
    image = pattern(120, 80)
    both = describe(ExtractionConfig(resolutions=(96,)), small_weights, image).global_
    swapped = ExtractionConfig(resolutions=(96,), layers=("layer3", "layer4"))
    np.testing.assert_array_equal(
        describe(swapped, small_weights, image).global_,
        np.concatenate([both[2048:], both[:2048]]),
    )
    for part in (both[:2048], both[2048:]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-6)


def test_extraction_is_deterministic(small_weights: Path) -> None:
    config = ExtractionConfig(resolutions=(96, 64), cam=True)
    first = describe(config, small_weights, pattern(90, 70))
    second = describe(config, small_weights, pattern(90, 70))
    np.testing.assert_array_equal(first.global_, second.global_)
    assert first.local is not None
    assert second.local is not None
    np.testing.assert_array_equal(first.local, second.local)


# Every field of the configuration matters

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
"""Field name to a configuration and the change of only that field."""

FITTED = {"region_values", "learn_layer_weights"}
TESTED_ELSEWHERE = {"method", "backbone", "dtype", "precision", *FITTED}
"""Fields of the network and the storage, tested below; precision and fitted parameters have test
files of their own."""


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(ExtractionConfig) if f.name not in TESTED_ELSEWHERE]
)
def test_every_field_changes_the_descriptor(name: str, small_weights: Path) -> None:
    assert name in CHANGES, f"{name} is a new field: add to CHANGES how it changes the descriptor"
    fields, change = CHANGES[name]
    file = io.BytesIO()
    pattern(900, 650).save(file, "JPEG")  # large enough for reduced decoding
    before = _describe_file(ExtractionConfig(**fields), small_weights, file)
    after = _describe_file(ExtractionConfig(**{**fields, **change}), small_weights, file)
    assert _largest_difference(before, after) > 1e-4


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


def test_method_selects_the_configuration_class() -> None:
    assert type(method_from_dict({"method": "cnn"})) is ExtractionConfig
    assert type(method_from_dict({"method": "sift-vlad"})) is LocalConfig


def test_backbone_must_match_the_weights(small_weights: Path) -> None:
    with pytest.raises(WeightsError, match="are weights of resnet50, not of resnet101"):
        CnnExtractor(ExtractionConfig(backbone="resnet101"), small_weights)


def test_dtype_decides_how_descriptors_are_stored(tmp_path: Path) -> None:
    values = np.array([0.1, 0.2], np.float32)
    for dtype in ("float32", "float16"):
        config = ExtractionConfig(dtype=dtype)  # type: ignore[arg-type]
        with writing(tmp_path / dtype, (config, SelectionConfig())) as writer:
            assert writer.collection.encode(values) == values.astype(dtype).tobytes()


def test_reduced_decoding_has_a_size(small_weights: Path) -> None:
    assert CnnExtractor(ExtractionConfig(), small_weights).decode_size is None
    config = ExtractionConfig(reduced_jpeg=True, resolutions=(320, 640))
    assert CnnExtractor(config, small_weights).decode_size == 1280


def test_regions_are_sampled_from_the_fused_map(small_weights: Path) -> None:
    config = ExtractionConfig(resolutions=(96, 64), layers=("layer3",), pooling="rmac-whitened")
    extractor = CnnExtractor(config, small_weights)
    image = pattern(90, 70)
    (regions,) = extractor.sample(image)
    fused = fuse(extractor.feature_maps(extractor.prepare(image)), "layer3", config)
    np.testing.assert_array_equal(regions, region_vectors(fused, levels=config.levels))


def test_fitted_parameters_make_a_new_extractor_that_shares_the_network(
    small_weights: Path,
) -> None:
    config = ExtractionConfig(resolutions=(64,), learn_layer_weights=True)
    extractor = CnnExtractor(config, small_weights)
    fitted = extractor.with_params({"weights": np.array([0.75, 0.25], np.float32)})
    assert (extractor.config, fitted.config.layer_weights) == (config, (0.75, 0.25))
    assert fitted.network is extractor.network
    config = dataclasses.replace(config, learn_layer_weights=False, pooling="rmac-whitened")
    extractor = CnnExtractor(config, small_weights)
    params = {}
    for layer, channels in (("layer4", 2048), ("layer3", 1024)):
        params[f"{layer}.weight"] = np.ones((5, channels), np.float32)
        params[f"{layer}.bias"] = np.zeros(5, np.float32)
    assert (extractor.with_params(params).dimensions, extractor.dimensions) == (10, 3072)
