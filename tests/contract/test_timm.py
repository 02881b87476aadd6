"""Networks of timm: specs, maps, methods and errors, on random weights of three families."""

import importlib.util
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import samples
from environment import Run
from resight.config import ExtractionConfig, LocalConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import MissingExtraError, UsageError, WeightsError, WeightsMissingError
from resight.methods import find_method
from resight.methods.model import ModelOptions, find_model
from resight.networks import find_backbone
from resight.networks.parameters import load_parameters
from resight.networks.runtimes import Network, load_network
from resight.networks.weights import find_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("networks_loaded_once")]

if importlib.util.find_spec("timm") is None:
    pytest.skip("timm is not installed", allow_module_level=True)

CONVNEXT, REGNET, VIT = "timm:convnext_atto", "timm:regnetx_002", "timm:vit_tiny_patch16_224"
STRIDES = {CONVNEXT: [4, 8, 16, 32], REGNET: [2, 4, 8, 16, 32], VIT: [16] * 12}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write random weights of each network."""
    find_backbone(REGNET)  # imports timm with any torchvision
    import timm

    folder, files = tmp_path_factory.mktemp("timm"), {}
    for name in STRIDES:
        torch.manual_seed(0)
        model = timm.create_model(name.removeprefix("timm:"))
        files[name] = folder / f"{name.removeprefix('timm:')}.pth"
        torch.save(model.state_dict(), files[name])
    return files


def loaded(name: str, path: Path) -> Network:
    layers = tuple(layer.name for layer in find_backbone(name).layers)
    return load_network(name, load_parameters(name, path), layers=layers, device="cpu")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", STRIDES)
def test_maps_are_those_of_the_spec(name: str, weights: dict[str, Path]) -> None:
    spec, network = find_backbone(name), loaded(name, weights[name])
    assert [layer.stride for layer in spec.layers] == STRIDES[name]
    assert spec.pyramid[-1] == spec.layers[-1].name
    for height, width in ((224, 160), (101, 75), (9, 40)):
        maps = network.feature_maps(noise(height, width))
        assert list(maps) == list(spec.channels)
        for layer in spec.layers:
            found = maps[layer.name]
            sides = np.maximum((height, width), layer.min_side) / layer.stride
            assert found.dtype == np.float32
            assert found.shape[0] == layer.channels
            assert np.abs(np.array(found.shape[1:]) - sides).max() < 1
            assert (found.min() < 0) == layer.signed


@pytest.mark.parametrize("name", STRIDES)
def test_an_image_has_the_same_maps_alone_and_later(name: str, weights: dict[str, Path]) -> None:
    network = loaded(name, weights[name])
    expected = network.feature_maps(noise(96, 64))
    network.feature_maps(noise(130, 70))
    for layer, found in network.feature_maps(noise(96, 64)).items():
        np.testing.assert_array_equal(found, expected[layer])


@pytest.mark.slow
def test_a_resnet_of_timm_equals_the_built_in_one(small_weights: Path) -> None:
    one, other = "resnet50", "timm:resnet50"
    spec, pixels = find_backbone(other), noise(97, 130)
    maps = [
        load_network(
            name,
            load_parameters(name, small_weights),
            layers=find_backbone(name).pyramid,
            runtime="torch",
            device="cpu",
        ).feature_maps(pixels)
        for name in (one, other)
    ]
    for a, b in zip(maps[0].values(), maps[1].values(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * a.max())
    assert not any(layer.signed for layer in spec.layers)
    assert spec.cam_layer == "stage5"
    classifiers = [load_parameters(name, small_weights).classifier for name in (one, other)]
    assert classifiers[0] is not None
    assert classifiers[1] is not None
    np.testing.assert_array_equal(classifiers[0].weight, classifiers[1].weight)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRIDES)
def test_photos_are_indexed_searched_and_explained(
    name: str, weights: dict[str, Path], resight: Run, tmp_path: Path
) -> None:
    photos = [samples.draw(tmp_path / "photos" / f"{n}.png", n) for n in range(4)]
    config = tmp_path / "config.toml"
    layers = list(find_backbone(name).pyramid[:-3:-1])
    config.write_text(f'backbone = "{name}"\nlayers = {layers}\nresolutions = [96, 64]\n')
    collection = tmp_path / "collection"
    options = ("--config", config, "--weights", weights[name])
    done = resight("index", tmp_path / "photos", "-c", collection, *options)
    assert done.returncode == 0, done.stderr
    assert "timm" not in done.stderr
    again = resight("index", tmp_path / "photos", "-c", collection)
    assert (again.returncode, "unchanged" in again.stderr) == (0, True), again
    options = ("-c", collection, "--verify", "1", "--verify-by", "columns")
    found = resight("search", photos[2], *options)
    assert found.returncode == 0, found.stderr
    assert "2.png" in next(line for line in found.stdout.splitlines() if "png" in line)
    explained = resight("explain", photos[2], photos[1], "-c", collection, "-o", tmp_path / "x.png")
    assert explained.returncode == 0, explained.stderr


def test_methods_by_name() -> None:
    for name, layers in (
        (REGNET, ("stage5", "stage4")),
        (CONVNEXT, ("stage4", "stage3")),
        (VIT, ("block12", "block9")),
    ):
        spec = find_method(f"paper@{name}")
        assert spec is not None
        assert isinstance(spec.config, ExtractionConfig)
        assert (spec.config.backbone, spec.config.layers) == (name, layers)
        assert spec.weights == f"timm's {name.removeprefix('timm:')}"
        for local in ("vlad-conv", "razavian", "mop-cnn"):
            method = find_method(f"{local}@{name}")
            assert method is not None
            assert isinstance(method.config, LocalConfig)
    tagged = find_backbone("timm:convnext_tiny.fb_in22k")
    assert tagged.mean == (0.485, 0.456, 0.406)
    assert tagged.weights.license == "apache-2.0"
    assert tagged.channels == {"stage1": 96, "stage2": 192, "stage3": 384, "stage4": 768}
    dino = find_backbone("timm:vit_small_patch14_dinov2")
    assert (dino.multiple, dino.pyramid) == (14, ("block3", "block6", "block9", "block12"))


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (f"gem@{CONVNEXT}", "pooling: gem needs values >= 0, but stage4 of timm:convnext_atto may"),
        (f"crow@{VIT}", "pooling: crow needs values >= 0, but block12 of timm:vit_tiny"),
        (
            f"paper-cam@{CONVNEXT}",
            "cam: timm:convnext_atto has no classifier that is linear on the",
        ),
        (f"ms-rmac@{CONVNEXT}", "timm:convnext_atto has no equivalent of conv1 of resnet50"),
        ("paper@timm:convnext_atoo", "timm has no model 'convnext_atoo'; close names: convnext_at"),
        (
            "paper@timm:convnext_tiny.x",
            "timm has no model 'convnext_tiny.x'; close names: convnext",
        ),
        ("paper@timm:", "timm has no model ''"),
        ("paper@timm:beit_base_patch16_224", "is not for images of any size"),
    ],
)
def test_unsuitable_methods_and_names_are_refused(method: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_method(method)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_maps_without_negative_values_suit_every_pooling(weights: dict[str, Path]) -> None:
    for name in (f"gem@{REGNET}", f"crow@{REGNET}", f"paper-cam@{REGNET}"):
        assert find_method(name) is not None
    config = ExtractionConfig(
        backbone=REGNET, layers=("stage5", "stage4"), resolutions=(160, 128), cam=True
    )
    extractor = CnnExtractor(config, weights[REGNET], device="cpu")
    described = extractor.describe(extractor.prepare(samples.picture(1).convert("RGB")))
    assert described.local is not None
    assert described.global_.shape == (368 + 152,)


def test_torch_is_the_only_runtime(weights: dict[str, Path]) -> None:
    parameters = load_parameters(REGNET, weights[REGNET])
    for runtime in ("openvino", "onnx"):
        with pytest.raises(UsageError, match=f"^runtime: {REGNET} runs on torch only"):
            load_network(REGNET, parameters, runtime=runtime)
    for precision in ("int8", "bfloat16"):
        with pytest.raises(UsageError, match=f"^precision: {precision} is not for {REGNET}"):
            ExtractionConfig(backbone=REGNET, layers=("stage5",), precision=precision)
    automatic = load_network(REGNET, parameters, layers=("stage5",), precision="auto", device="cpu")
    assert automatic.precision == "float32"


def test_weights_must_fit(weights: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=f"are not weights of {CONVNEXT}: .*Missing key"
    ) as error:
        load_parameters(CONVNEXT, weights[REGNET])
    assert "\n" not in str(error.value)
    state = torch.load(weights[REGNET], weights_only=True)
    headless = {n: v for n, v in state.items() if not n.startswith("head")}
    torch.save(headless, tmp_path / "headless.pth")
    parameters = load_parameters(REGNET, tmp_path / "headless.pth")
    assert parameters.classifier is None
    torch.save({**headless, "more": torch.zeros(1)}, tmp_path / "more.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("more.pth", "list.pth"):
        with pytest.raises(WeightsError):
            load_parameters(REGNET, tmp_path / name)


def test_safetensors(weights: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file(torch.load(weights[VIT], weights_only=True), path)
    pixels = noise(64, 48)
    expected = loaded(VIT, weights[VIT]).feature_maps(pixels)
    for layer, found in loaded(VIT, path).feature_maps(pixels).items():
        np.testing.assert_array_equal(found, expected[layer])


@pytest.mark.slow
def test_each_of_several_weights_files_serves_its_network(
    weights: dict[str, Path], small_weights: Path
) -> None:
    options = ModelOptions(weights_files=(weights[VIT], small_weights, weights[CONVNEXT]))
    for method, path in (
        ("paper", small_weights),
        (f"paper@{CONVNEXT}", weights[CONVNEXT]),
        (f"paper@{VIT}", weights[VIT]),
    ):
        spec = find_method(method)
        assert spec is not None
        assert find_model(spec.config, options).path == path


def test_the_variable_counts_for_networks_that_its_file_fits(
    weights: dict[str, Path], small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_method(f"paper@{VIT}")
    assert spec is not None
    monkeypatch.setenv("RESIGHT_WEIGHTS", str(weights[VIT]))
    assert find_model(spec.config, ModelOptions()).path == weights[VIT]
    monkeypatch.setattr("resight.networks.timm_hub.find_pretrained", lambda name: small_weights)
    monkeypatch.setenv("RESIGHT_WEIGHTS", str(weights[CONVNEXT]))
    assert find_model(spec.config, ModelOptions()).path == small_weights


def test_weights_come_from_the_cache_or_are_missing(
    weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def refuse(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(WeightsMissingError) as caught:
        find_weights("timm:convnext_atto.d2_in1k", environment=False)
    assert "(the download failed: Name or service not known): pass --weights" in str(caught.value)
    with pytest.raises(WeightsMissingError, match="timm publishes none"):
        find_weights("timm:regnetz_005", environment=False)
    url = "https://example.org/model.pth"
    config = SimpleNamespace(hf_hub_id=None, url=url)
    monkeypatch.setattr("resight.networks.timm_hub.pretrained_config", lambda *_: config)
    with pytest.raises(WeightsMissingError, match="the download failed: Name or service"):
        find_weights("timm:convnext_atto", environment=False)
    config.hf_hub_id, config.hf_hub_filename = "timm/convnext_atto.d2_in1k", None
    cached = lambda repository, file, revision=None: str(weights[CONVNEXT])  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert find_weights("timm:convnext_atto", environment=False).path == weights[CONVNEXT]


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    for package in ("timm", "torchvision"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda n, p=package: None if n == p else find_spec(n)
        )
        with pytest.raises(UsageError, match=r"pip install 'resight\[timm\]'"):
            ExtractionConfig(backbone="timm:resnet18", layers=("stage5",))
        with pytest.raises(MissingExtraError):
            find_backbone("timm:resnet18")


def test_an_old_timm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    find_backbone(REGNET)
    monkeypatch.setattr("timm.__version__", "1.0.9.dev0")
    with pytest.raises(UsageError, match=r"timm 1\.0\.9\.dev0 is too old: pip install --upgrade"):
        find_backbone("timm:resnet26")


def test_configurations_of_other_networks_do_not_import_timm() -> None:
    program = (
        "import resight.methods as m, sys; m.find_method('paper'); print('timm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
