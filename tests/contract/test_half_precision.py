"""The precision float16, and pictures computed together: for GPUs, but right on any device."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import samples
from resight.backends.manage import info
from resight.config import ExtractionConfig, SearchConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing import pipeline
from resight.methods.model import ModelOptions
from resight.networks import torch_runtime
from resight.networks.parameters import load_parameters
from resight.networks.runtimes import load_network
from resight.networks.torch_runtime import DynamicBatcher, FeatureMaps, TorchNetwork
from resight.photos.images import load_image
from resight.searching import search

pytestmark = pytest.mark.slow

LAYERS = ("layer1", "layer2")
CONFIG = ExtractionConfig(layers=LAYERS, resolutions=(96, 64))

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
    ),
    pytest.param(
        "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no MPS here")
    ),
]


def network(weights: Path, device: str, *, half: bool = False, batch: int = 1) -> TorchNetwork:
    parameters = load_parameters("resnet50", weights)
    return TorchNetwork("resnet50", parameters, LAYERS, device, half=half, batch=batch)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("device", DEVICES)
def test_half_precision_is_near_full_precision(small_weights: Path, device: str) -> None:
    pixels = np.asarray(samples.picture(3))
    full = network(small_weights, "cpu").feature_maps(pixels)
    half = network(small_weights, device, half=True).feature_maps(pixels)
    for layer in LAYERS:
        assert half[layer].dtype == np.float32
        assert half[layer].shape == full[layer].shape
        assert not np.array_equal(half[layer], full[layer])
        assert cosine(half[layer], full[layer]) > 0.9995


def test_descriptors_of_real_weights_stay_within_the_tolerance(
    real_weights: Path, real_photos: Path
) -> None:
    photo = sorted((real_photos / "scenes").rglob("*.jpg"))[0]
    found = []
    for precision in ("float32", "float16"):
        config = ExtractionConfig(resolutions=(160, 96), precision=precision)  # type: ignore[arg-type]
        extractor = CnnExtractor(config, real_weights, runtime="torch", device="cpu")
        found.append(extractor.describe(extractor.prepare(load_image(photo))).global_)
    assert not np.array_equal(*found)
    assert cosine(*found) >= 0.9995


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_equals_single_pictures(small_weights: Path, device: str, half: bool) -> None:
    single = network(small_weights, device, half=half)
    together = network(small_weights, device, half=half, batch=3)
    shapes = [(48, 32), (48, 32), (32, 40), (48, 32), (32, 40)]
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    with ThreadPoolExecutor(len(pictures)) as pool:
        found = list(pool.map(together.feature_maps, pictures))
    for picture, maps in zip(pictures, found, strict=True):
        for layer, expected in single.feature_maps(picture).items():
            if half:
                assert cosine(maps[layer], expected) > 0.9999
            else:
                np.testing.assert_allclose(maps[layer], expected, rtol=1e-4, atol=1e-4)


class Recording:
    """Computes a batch and records it; the first waits until `full` pictures wait."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []
        self.go_on = threading.Event()

    def __call__(self, pictures: list[np.ndarray]) -> list[FeatureMaps]:
        self.batches.append([picture.shape for picture in pictures])
        assert self.go_on.wait(30)
        if any(picture.max() == 255 for picture in pictures):
            raise ValueError("too bright")
        return [{"sum": picture.sum()} for picture in pictures]


def run_together(compute: Recording, pictures: list[np.ndarray], max_batch: int) -> list[object]:
    """Return what each picture's thread received: maps, or an error."""
    batcher = DynamicBatcher(compute, max_batch)

    def one(picture: np.ndarray) -> object:
        try:
            return batcher(picture)["sum"]
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(len(pictures)) as pool:
        futures = [pool.submit(one, picture) for picture in pictures]
        while len(batcher._queue) + len(compute.batches) < len(pictures):
            threading.Event().wait(0.001)
        compute.go_on.set()
        return [future.result(30) for future in futures]


def test_pictures_that_wait_are_computed_together_by_their_shapes() -> None:
    pictures = [np.full((2 + i % 2, 3, 3), i, np.uint8) for i in range(10)]
    compute = Recording()
    found = run_together(compute, pictures, max_batch=3)
    assert found == [int(picture.sum()) for picture in pictures]
    first, *others = compute.batches
    assert len(first) == 1  # it did not wait for others
    assert all(len(set(batch)) == 1 and len(batch) <= 3 for batch in compute.batches)
    assert sum(map(len, compute.batches)) == 10
    assert len(others) == 4  # five of one shape and four of the other, by threes


def test_a_failing_picture_fails_its_whole_batch() -> None:
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (1, 255, 255)]
    found = run_together(Recording(), pictures, max_batch=1)
    assert found == [18, "too bright", "too bright"]


def test_a_device_without_float16_is_refused_in_one_line(
    small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*given: object) -> None:
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'\nmore")

    monkeypatch.setattr(torch_runtime.F, "conv2d", missing)
    with pytest.raises(UsageError) as caught:
        network(small_weights, "cpu", half=True)
    expected = "precision: torch cannot compute in float16 on cpu; a GPU can"
    assert str(caught.value) == expected


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_float16_needs_torch(small_weights: Path, runtime: str) -> None:
    parameters = load_parameters("resnet50", small_weights)
    with pytest.raises(UsageError, match=f"runtime: float16 needs torch, not {runtime}"):
        load_network("resnet50", parameters, runtime=runtime, precision="float16")


def test_a_collection_in_float16(small_weights: Path, tmp_path: Path) -> None:
    photos, model = tmp_path / "photos", ModelOptions(small_weights, device="cpu")
    samples.draw_many(photos, 3)
    for precision in ("float16", "float32"):
        folder = tmp_path / precision
        pipeline.index([photos], folder, config=CONFIG, precision=precision, model=model)
    fingerprints = {info(tmp_path / name).fingerprint for name in ("float16", "float32")}
    assert len(fingerprints) == 2
    query = samples.draw(tmp_path / "new.bmp", 2)  # the pixels of 002.png in other bytes
    found = search(query, tmp_path / "float16", SearchConfig(k=2), model=model).results
    assert found[0].path == photos / "002.png"
    assert found[0].distance < 1e-4 < found[1].distance
    with pytest.raises(CollectionMismatchError, match="precision is float16, not float32"):
        pipeline.index([photos], tmp_path / "float16", precision="float32", model=model)
