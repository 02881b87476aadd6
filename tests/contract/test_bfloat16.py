"""The precisions bfloat16 and auto: within the tolerance, recorded, one fingerprint."""

from pathlib import Path

import numpy as np
import pytest

import samples
from environment import Run
from resight.backends.manage import info
from resight.config import ExtractionConfig, SearchConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing import pipeline
from resight.methods.model import ModelOptions
from resight.networks import BACKBONES, processor, runtimes
from resight.networks.parameters import load_parameters
from resight.networks.processor import has_bfloat16
from resight.networks.runtimes import load_network
from resight.networks.weights import find_weights
from resight.searching import search

pytest.importorskip("openvino")
from resight.networks.openvino_runtime import OpenVinoNetwork

pytestmark = pytest.mark.slow

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(), reason="the processor has neither AMX nor AVX-512 BF16"
)
CONFIG = ExtractionConfig(layers=("layer2",), resolutions=(96, 64))
REFUSAL = "precision: this processor has no bfloat16 (AMX or AVX-512); use auto or float32"


def on_processor(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    monkeypatch.setattr(runtimes, "has_bfloat16", lambda: bfloat16)


@needs_bfloat16
@pytest.mark.parametrize("backbone", ["resnet50", "efficientnet-lite0"])
def test_descriptors_are_within_the_tolerance(backbone: str, small_weights: Path) -> None:
    weights, layers = small_weights, ("layer4", "layer3")
    if backbone != "resnet50":
        weights, layers = find_weights(backbone).path, ("head", "expand")
    extractors = [
        CnnExtractor(
            ExtractionConfig(
                backbone=backbone, layers=layers, resolutions=(200, 128), precision=precision
            ),
            weights,
            device="cpu",
        )
        for precision in ("float32", "bfloat16", "auto")
    ]
    assert [e.precision for e in extractors] == ["float32", "bfloat16", "bfloat16"]
    for seed in range(2):
        image = samples.picture(seed).convert("RGB")
        exact, rounded, automatic = (e.describe(e.prepare(image)).global_ for e in extractors)
        np.testing.assert_array_equal(rounded, automatic)
        assert not np.array_equal(exact, rounded)
        cosine = exact @ rounded / np.linalg.norm(exact) / np.linalg.norm(rounded)
        assert cosine >= 0.9995


def test_the_first_layers_of_a_light_network_stay_in_float32() -> None:
    name = "efficientnet-lite0"
    weights, layers = find_weights(name), BACKBONES[name].pyramid
    parameters = load_parameters(name, weights.path, weights.sha256)
    pixels = np.asarray(samples.picture(3).convert("RGB"))
    exact, rounded = (
        OpenVinoNetwork(name, parameters, layers, precision).feature_maps(pixels)
        for precision in ("float32", "bfloat16")
    )
    assert list(exact) == list(rounded) == list(layers)
    for layer in layers:
        assert exact[layer].shape == rounded[layer].shape
        equal = np.allclose(exact[layer], rounded[layer], rtol=0, atol=1e-5)
        assert equal == (layer in ("expand2", "expand4")) or not has_bfloat16()
    alone = OpenVinoNetwork(name, parameters, ["expand2"], "bfloat16").feature_maps(pixels)
    np.testing.assert_allclose(alone["expand2"], exact["expand2"], rtol=0, atol=1e-5)


def test_the_precisions_within_the_tolerance_share_a_fingerprint() -> None:
    fingerprints = {
        name: CONFIG.with_precision(name).fingerprint("ab12")
        for name in ("float32", "bfloat16", "auto", "float16", "int8")
    }
    assert fingerprints["bfloat16"] == fingerprints["auto"] == fingerprints["float32"]
    assert len(set(fingerprints.values())) == 3


@needs_bfloat16
@pytest.mark.slow
def test_a_collection_takes_any_precision_within_the_tolerance(
    small_weights: Path, tmp_path: Path
) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "collection"
    model = ModelOptions(small_weights, device="cpu")
    samples.draw_many(photos, 2)
    pipeline.index([photos], folder, config=CONFIG, model=model)
    assert info(folder).precisions == ["float32"]
    samples.draw(photos / "more.png", 7)
    run = pipeline.index([photos], folder, precision="bfloat16", model=model)
    assert run.report.new == 1
    assert info(folder).precisions == ["bfloat16", "float32"]
    assert info(folder).config["precision"] == "float32"
    with pytest.raises(CollectionMismatchError, match="precision is float32, not float16"):
        pipeline.index([photos], folder, precision="float16", model=model)
    query = samples.draw(tmp_path / "new.bmp", 7)  # the pixels of more.png in other bytes
    found = search(query, folder, SearchConfig(k=1), model=model).results
    assert found[0].path == photos / "more.png"


@pytest.mark.slow
def test_elsewhere_a_collection_in_bfloat16_is_searched_in_float32(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "collection"
    model = ModelOptions(small_weights, device="cpu")
    samples.draw_many(photos, 2)
    on_processor(monkeypatch, bfloat16=True)  # OpenVINO emulates it
    pipeline.index([photos], folder, config=CONFIG, precision="bfloat16", model=model)
    assert info(folder).precisions == ["bfloat16"]
    on_processor(monkeypatch, bfloat16=False)
    query = samples.draw(tmp_path / "new.bmp", 1)
    found = search(query, folder, SearchConfig(k=1), model=model).results
    assert found[0].path == photos / "001.png"
    samples.draw(photos / "more.png", 7)
    pipeline.index([photos], folder, model=model)
    assert info(folder).precisions == ["bfloat16", "float32"]


def test_a_processor_without_it_is_refused_in_one_line(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resight: Run
) -> None:
    on_processor(monkeypatch, bfloat16=False)
    parameters = load_parameters("resnet50", small_weights)
    with pytest.raises(UsageError) as caught:
        load_network("resnet50", parameters, device="cpu", precision="bfloat16")
    assert str(caught.value) == REFUSAL
    automatic = load_network("resnet50", parameters, device="cpu", precision="auto")
    assert automatic.precision == "float32"
    samples.draw_many(tmp_path / "photos", 1)
    arguments = ("index", tmp_path / "photos", "-c", tmp_path / "c", "--config", "paper")
    done = resight(*arguments, "--weights", small_weights, "--precision", "bfloat16")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [f"resight: --{REFUSAL}"]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_bfloat16_needs_openvino(runtime: str, small_weights: Path) -> None:
    parameters = load_parameters("resnet50", small_weights)
    with pytest.raises(UsageError, match=f"runtime: bfloat16 needs openvino, not {runtime}"):
        load_network("resnet50", parameters, runtime=runtime, precision="bfloat16")
    automatic = load_network("resnet50", parameters, runtime=runtime, precision="auto")
    assert automatic.precision == "float32"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu amx_bf16 sse\n", True),
        ("flags\t\t: fpu avx512_bf16\n", True),
        ("flags\t\t: fpu avx512f avx512_vnni amx_int8\n", False),
        ("Features\t: fp asimd bf16\n", False),
        (None, False),
    ],
)
def test_processors(text: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(path: Path, *_: str) -> str:
        assert path == Path("/proc/cpuinfo")
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(processor.Path, "read_text", read_text)
    assert has_bfloat16.__wrapped__() is expected
