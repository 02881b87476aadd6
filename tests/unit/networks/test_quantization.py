"""The precision int8: quantized once, stored with the collection, part of its fingerprint."""

import importlib.util
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samples
from resight.backends.manage import info
from resight.collection import Collection
from resight.collection.writer import writing
from resight.config import ExtractionConfig, SearchConfig
from resight.errors import CollectionMismatchError, FitError, UsageError
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods import resolve_config
from resight.methods.model import ModelOptions
from resight.networks import quantization
from resight.networks.parameters import load_parameters
from resight.networks.runtimes import load_network
from resight.searching import search

pytestmark = pytest.mark.slow

CONFIG = ExtractionConfig(layers=("layer1",), resolutions=(128, 96), precision="int8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    samples.draw_many(folder, 8)
    return folder


@pytest.fixture(scope="module")
def collection(photos: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collections") / "c"
    pipeline.index([photos], folder, config=CONFIG, model=ModelOptions(small_weights))
    return folder


def test_the_quantized_network_is_near_the_float_one(collection: Path, small_weights: Path) -> None:
    with Collection.open(collection) as opened:
        quantized = opened.fitted_data("network")
    parameters = load_parameters("resnet50", small_weights)
    pixels = np.asarray(samples.picture(3))
    one = load_network(
        "resnet50", parameters, layers=CONFIG.layers, runtime="openvino"
    ).feature_maps(pixels)
    other = load_network("resnet50", parameters, quantized=quantized).feature_maps(pixels)
    for layer in one:
        a, b = one[layer].ravel(), other[layer].ravel()
        assert not np.array_equal(a, b)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.97


def test_a_collection_answers_in_int8(
    collection: Path, photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    query = samples.draw(tmp_path / "new.bmp", 5)  # the pixels of 005.png in other bytes
    found = search(query, collection, SearchConfig(k=2), model=ModelOptions(small_weights)).results
    assert found[0].path == photos / "005.png"
    assert found[0].distance < 1e-4 < found[1].distance


def test_a_run_that_was_killed_before_it_quantized_can_go_on(
    collection: Path,
    photos: Path,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Collection.open(collection) as opened:
        network = bytearray(opened.fitted_data("network") or b"")
    with zipfile.ZipFile(buffer := io.BytesIO(network), "a") as archive:
        archive.writestr("note", "quantized on other photos")
    calibrated: list[np.ndarray] = []

    def quantize(*arguments: Any) -> bytes:
        calibrated.extend(arguments[-1])
        return buffer.getvalue()

    monkeypatch.setattr(quantization, "quantize", quantize)
    with writing(tmp_path / "c", resolve_config(CONFIG, None)):
        pass
    few = sorted(photos.iterdir())[:2]
    run = pipeline.index(few, tmp_path / "c", model=ModelOptions(small_weights))
    assert (run.report.new, len(calibrated)) == (2, 2)
    with Collection.open(tmp_path / "c") as opened:
        assert opened.fitted_data("network") == buffer.getvalue()
    # What was quantized is part of the fingerprint.
    assert info(tmp_path / "c").fingerprint != info(collection).fingerprint


def test_a_collection_keeps_its_precision(
    collection: Path, photos: Path, small_weights: Path
) -> None:
    model = ModelOptions(small_weights)
    with pytest.raises(CollectionMismatchError, match="precision is int8, not float32"):
        pipeline.index([photos], collection, precision="float32", model=model)
    assert pipeline.index([photos], collection, precision="int8", model=model).report.new == 0


def test_impossible_requests_are_refused(
    photos: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, torch = ModelOptions(small_weights), ModelOptions(small_weights, runtime="torch")
    with pytest.raises(UsageError, match="int8 needs a collection"):
        describe([photos], config=CONFIG, model=model)
    with pytest.raises(UsageError, match="int8 needs the runtime openvino, not torch"):
        pipeline.index([photos], tmp_path / "c", config=CONFIG, model=torch)
    with pytest.raises(UsageError, match="sift-vlad has no network"):
        pipeline.index([photos], tmp_path / "c", config="sift-vlad", precision="int8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_text("no picture")
    with pytest.raises(FitError, match="nothing to quantize the network on"):
        pipeline.index([tmp_path / "broken"], tmp_path / "c", config=CONFIG, model=model)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        quantization.importlib.util,
        "find_spec",
        lambda name: None if name == "nncf" else find(name),
    )
    with pytest.raises(UsageError, match=r"pip install 'resight\[int8\]'"):
        pipeline.index([photos], tmp_path / "c", config=CONFIG, model=model)
    assert not (tmp_path / "c").exists()


def test_int8_networks_run_only_on_openvino(
    collection: Path, small_weights: Path, tmp_path: Path
) -> None:
    query = samples.draw(tmp_path / "new.png", 99)
    with pytest.raises(UsageError, match="int8 needs openvino, not"):
        search(query, collection, model=ModelOptions(small_weights, runtime="onnx"))
