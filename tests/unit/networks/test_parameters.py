"""The stages of every backbone on every runtime, as a plain reading has them; weights of VGG-16."""

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import oracle
from resight.config import ExtractionConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import WeightsError
from resight.methods import METHODS
from resight.networks import BACKBONES
from resight.networks.parameters import Parameters, load_parameters
from resight.networks.runtimes import RUNTIMES, load_network, pad_to_min_side

INSTALLED = [
    runtime for runtime in RUNTIMES if runtime != "openvino" or importlib.util.find_spec("openvino")
]
VGG16_MAPS = ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def vgg16_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG-16 without its fully connected layers, random."""
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(oracle.random_vgg16_state(seed=0), path)
    return path


CODES = 256
"""Values of the fully connected layers in tests; half a gigabyte holds those of VGG-16."""


@pytest.fixture(scope="module")
def whole_vgg16(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Parameters, oracle.Maps]]:
    """VGG-16 with narrower ones, and the maps of 224 x 224 pixels by a plain reading."""
    spec = BACKBONES["vgg16"]
    assert [layer.shape for layer in spec.head] == [(4096, 512, 7, 7), (4096, 4096, 1, 1)]
    codes = {"fc6": CODES, "fc7": CODES}
    layers = [replace(one, channels=codes.get(one.name, one.channels)) for one in spec.layers]
    first, second = spec.head
    head = replace(first, shape=(CODES, 512, 7, 7)), replace(second, shape=(CODES, CODES, 1, 1))
    narrow = replace(spec, layers=tuple(layers), head=head, classifier=(spec.classifier[0], CODES))
    path = tmp_path_factory.mktemp("weights") / "whole-vgg16.pth"
    state = oracle.random_vgg16_state(seed=1, codes=CODES)
    torch.save(state, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "vgg16", narrow)
        yield load_parameters("vgg16", path), oracle.vgg16(picture(224, 224), state)


@pytest.mark.parametrize(
    ("runtime", "size"),
    [(runtime, (33, 64) if runtime == "onnx" else (70, 101)) for runtime in INSTALLED],
    ids=str,
)
@pytest.mark.slow
def test_every_stage_of_vgg16(runtime: str, size: tuple[int, int], vgg16_weights: Path) -> None:
    parameters = load_parameters("vgg16", vgg16_weights)
    network = load_network("vgg16", parameters, layers=VGG16_MAPS, runtime=runtime, device="cpu")
    found = network.feature_maps(picture(*size))
    expected = oracle.vgg16(picture(*size), oracle.load_state(vgg16_weights))
    assert list(found) == list(expected) == list(VGG16_MAPS)
    for layer, feature_map in expected.items():
        assert found[layer].shape == feature_map.shape
        assert len(feature_map) == BACKBONES["vgg16"].channels[layer]
        assert found[layer].dtype == np.float32
        assert found[layer].min() >= 0
        np.testing.assert_allclose(found[layer], feature_map, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSTALLED)
def test_the_last_convolution_is_not_overwritten_by_its_relu(
    runtime: str, vgg16_weights: Path
) -> None:
    parameters, layers = load_parameters("vgg16", vgg16_weights), ("conv5", "conv5_3")
    network = load_network("vgg16", parameters, layers=layers, runtime=runtime, device="cpu")
    found = network.feature_maps(picture(33, 64))
    assert 0.2 < (found["conv5_3"] < 0).mean() < 0.8
    np.testing.assert_array_equal(np.maximum(found["conv5_3"], 0), found["conv5"])
    single = load_network("vgg16", parameters, layers=layers[1:], runtime=runtime, device="cpu")
    np.testing.assert_allclose(
        single.feature_maps(picture(33, 64))["conv5_3"], found["conv5_3"], atol=1e-5
    )


@pytest.mark.slow
def test_fully_connected_layers_are_convolutions(
    whole_vgg16: tuple[Parameters, oracle.Maps],
) -> None:
    (parameters, expected), layers = whole_vgg16, ("fc6", "fc7")
    network = load_network("vgg16", parameters, layers=layers, runtime="torch", device="cpu")
    found = network.feature_maps(picture(224, 224))
    for layer in layers:
        assert found[layer].shape == (CODES, 1, 1)
        assert 0.2 < (found[layer] > 0).mean() < 0.8
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-3, atol=1e-3)
    # A larger picture has more positions, a smaller one is continued by its border.
    assert network.feature_maps(picture(20, 300))["fc7"].shape == (CODES, 1, 3)


@pytest.mark.parametrize("layer", ["fc6", "fc7"])
@pytest.mark.slow
def test_neural_codes_are_the_activations(
    layer: str, whole_vgg16: tuple[Parameters, oracle.Maps], monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters, expected = whole_vgg16
    monkeypatch.setattr("resight.descriptors.cnn_extractor.load_parameters", lambda *_: parameters)
    config = METHODS[f"neural-codes-{layer}"].config
    assert isinstance(config, ExtractionConfig)
    extractor = CnnExtractor(config, Path("vgg16.pth"))
    found = extractor.describe(extractor.prepare(Image.fromarray(picture(224, 224)))).global_
    code = expected[layer].ravel()
    np.testing.assert_allclose(found, code / np.linalg.norm(code), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", INSTALLED)
def test_every_stage_of_a_resnet(runtime: str, small_weights: Path) -> None:
    channels = BACKBONES["resnet50"].channels
    parameters, layers = load_parameters("resnet50", small_weights), tuple(channels)
    network = load_network("resnet50", parameters, layers=layers, runtime=runtime, device="cpu")
    found = network.feature_maps(picture(70, 101))
    expected = oracle.resnet(picture(70, 101), oracle.load_state(small_weights))
    assert list(found) == list(expected) == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    for layer, feature_map in expected.items():
        assert len(feature_map) == channels[layer]
        np.testing.assert_allclose(found[layer], feature_map, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("runtime", INSTALLED)
def test_nothing_is_computed_beyond_the_last_stage(runtime: str, small_weights: Path) -> None:
    """The later convolutions are not even loaded."""
    parameters = load_parameters("resnet50", small_weights)
    for name in [n for n in parameters.convolutions if n.startswith(("layer3", "layer4"))]:
        del parameters.convolutions[name]
    layers = ("layer2", "layer1")
    network = load_network("resnet50", parameters, layers=layers, runtime=runtime, device="cpu")
    assert set(network.feature_maps(picture(40, 50))) == {"layer1", "layer2"}


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (31, 33)], ids=str)
def test_small_pictures_are_continued_by_their_border(
    size: tuple[int, int], vgg16_weights: Path
) -> None:
    pixels = picture(*size)
    padded = pad_to_min_side(pixels, BACKBONES["vgg16"], ["conv5"])
    assert padded.shape == (max(size[0], 32), max(size[1], 32), 3)
    np.testing.assert_array_equal(padded[: size[0], : size[1]], pixels)
    assert (padded[size[0] :, size[1] :] == pixels[-1, -1]).all()
    assert pad_to_min_side(pixels, BACKBONES["resnet50"], ["layer4"]) is pixels
    network = load_network("vgg16", load_parameters("vgg16", vgg16_weights), layers=["pool5"])
    assert network.feature_maps(pixels)["pool5"].shape == (512, 1, padded.shape[1] // 32)


def test_what_a_configuration_needs() -> None:
    assert ExtractionConfig().network_layers() == ("layer3", "layer4")
    first = ExtractionConfig(layers=("layer3",))
    assert first.network_layers() == ("layer3",)
    assert ExtractionConfig(layers=("layer1",), cam=True).network_layers() == (
        "layer1",
        "layer3",
        "layer4",
    )
    assert ExtractionConfig(backbone="vgg16", layers=("fc7", "conv4")).network_layers() == (
        "conv4",
        "conv5",
        "fc7",
    )


@pytest.mark.slow
def test_descriptors_of_any_stage(vgg16_weights: Path, small_weights: Path) -> None:
    image = Image.fromarray(picture(60, 80))
    for weights, backbone, layers in (
        (vgg16_weights, "vgg16", ("conv5", "pool5", "conv2")),
        (small_weights, "resnet50", ("layer1", "conv1", "layer4")),
    ):
        config = ExtractionConfig(backbone=backbone, resolutions=(96, 64), layers=layers)
        extractor = CnnExtractor(config, weights)
        copies = extractor.prepare(image)
        state = oracle.load_state(weights)
        read = oracle.vgg16 if backbone == "vgg16" else oracle.resnet
        maps = [read(copy, state) for copy in copies]
        fused = [oracle.early_fusion([m[layer] for m in maps]) for layer in layers]
        expected = np.concatenate([oracle.modified_rmac(fm).numpy() for fm in fused])
        found = extractor.describe(copies).global_
        channels = BACKBONES[backbone].channels
        assert found.shape == (extractor.dimensions,) == (sum(channels[n] for n in layers),)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_square_copies(vgg16_weights: Path) -> None:
    config = ExtractionConfig(
        backbone="vgg16", resolutions=(64, 32), layers=("conv5",), square=True
    )
    image = Image.fromarray(picture(60, 80))
    copies = CnnExtractor(config, vgg16_weights).prepare(image)
    assert [copy.shape for copy in copies] == [(64, 64, 3), (32, 32, 3)]
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(copies[0], expected)


# Weights


def test_parameters_of_vgg16_are_cached(
    vgg16_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = load_parameters("vgg16", vgg16_weights, "ab12")
    found = load_parameters("vgg16", Path("gone.pth"), "ab12")
    assert list(found.convolutions) == list(expected.convolutions)
    for name, arrays in expected.convolutions.items():
        for one, other in zip(found.convolutions[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    assert found.classifier is None


@pytest.mark.slow
def test_the_last_layer_of_vgg16_is_read(whole_vgg16: tuple[Parameters, oracle.Maps]) -> None:
    classifier = whole_vgg16[0].classifier
    assert classifier is not None
    assert classifier.weight.shape == (1000, CODES)
    state = oracle.random_vgg16_state(seed=1, codes=CODES)
    np.testing.assert_array_equal(classifier.weight, state["classifier.6.weight"])
    np.testing.assert_array_equal(classifier.bias, state["classifier.6.bias"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"features.0.bias": None}, "features.0.bias is missing"),
        ({"features.30.weight": torch.ones(1)}, "features.30.weight is unexpected"),
        ({"features.28.bias": torch.ones(3)}, "features.28.bias has shape (3,), not (512,)"),
        ({"classifier.6.bias": torch.ones(5)}, "classifier.6.weight is missing"),
        ({"classifier.0.bias": torch.ones(4096)}, "classifier.0.bias is unexpected"),
    ],
)
def test_names_and_shapes_must_be_those_of_vgg16(
    change: dict[str, torch.Tensor | None], problem: str, vgg16_weights: Path, tmp_path: Path
) -> None:
    state = oracle.load_state(vgg16_weights) | change  # type: ignore[operator]
    torch.save({n: v for n, v in state.items() if v is not None}, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_parameters("vgg16", tmp_path / "w.pth")
    assert str(caught.value).startswith(f"{tmp_path / 'w.pth'}: are not weights of vgg16: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_fully_connected_layers_they_are_not_to_be_had(vgg16_weights: Path) -> None:
    config = ExtractionConfig(
        backbone="vgg16", resolutions=(224,), layers=("fc6",), square=True, pooling="mac"
    )
    with pytest.raises(WeightsError, match=r"no fully connected layers \(classifier\)") as caught:
        CnnExtractor(config, vgg16_weights)
    assert "\n" not in str(caught.value)


def test_a_network_is_not_another(vgg16_weights: Path, small_weights: Path) -> None:
    with pytest.raises(WeightsError, match="are weights of vgg16, not of resnet50"):
        load_parameters("resnet50", vgg16_weights)
    with pytest.raises(WeightsError, match="are weights of resnet50, not of vgg16"):
        load_parameters("vgg16", small_weights)
