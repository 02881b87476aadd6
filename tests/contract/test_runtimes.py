"""The runtimes that compute a network: which one is taken, what is refused, and that they agree."""

import contextlib
import importlib.util
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import resight.networks.runtimes
from resight.errors import UsageError
from resight.networks import BACKBONES
from resight.networks.parameters import Parameters, load_parameters
from resight.networks.runtimes import RUNTIMES, Network, choose_runtime, load_network
from resight.networks.weights import find_weights

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
)

NO_STATE = Parameters({}, None)
"""For what is decided before parameters count."""


@pytest.fixture(scope="module")
def networks(small_weights: Path) -> list[Network]:
    parameters = load_parameters("resnet50", small_weights)
    return [
        load_network("resnet50", parameters, runtime=runtime, device="cpu") for runtime in RUNTIMES
    ]


@needs_openvino
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 300), (300, 1), (31, 33), (97, 65), (101, 157), (224, 224)], ids=str
)
@pytest.mark.slow
def test_the_runtimes_agree(networks: list[Network], size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    one, *others = (network.feature_maps(pixels) for network in networks)
    for other in others:
        assert list(one) == list(other) == ["layer3", "layer4"]
        for layer, (channels, step) in {"layer3": (1024, 16), "layer4": (2048, 32)}.items():
            shape = (channels, *(-(-side // step) for side in size))
            assert one[layer].shape == other[layer].shape == shape
            assert one[layer].dtype == other[layer].dtype == np.float32
            np.testing.assert_allclose(one[layer], other[layer], rtol=1e-4, atol=1e-4)


@needs_openvino
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (47, 33), (224, 225)], ids=str)
def test_the_runtimes_agree_on_depthwise_convolutions(size: tuple[int, int]) -> None:
    name = "efficientnet-lite0"
    if importlib.util.find_spec(BACKBONES[name].weights.package) is None:
        pytest.skip("its weights are not installed")
    weights = find_weights(name)
    parameters = load_parameters(name, weights.path, weights.sha256)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    one, *others = (
        load_network(
            name, parameters, layers=("expand", "head"), runtime=runtime, device="cpu"
        ).feature_maps(pixels)
        for runtime in RUNTIMES
    )
    for layer, step in {"expand": 16, "head": 32}.items():
        height, width = (max(side, 32) // step for side in size)
        assert one[layer].shape == (BACKBONES[name].channels[layer], height, width)
        for other in others:
            np.testing.assert_allclose(one[layer], other[layer], rtol=1e-4, atol=1e-4)


@needs_openvino
def test_pictures_of_any_layout_are_accepted_and_unchanged(networks: list[Network]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    turned = np.ascontiguousarray(pixels.transpose(1, 0, 2)).transpose(1, 0, 2)
    turned.flags.writeable = False
    for network in networks:
        expected = network.feature_maps(pixels)
        for layer, found in network.feature_maps(turned).items():
            np.testing.assert_array_equal(found, expected[layer])


@needs_openvino
def test_maps_stay_as_they_are_when_the_next_picture_comes(networks: list[Network]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    for network in networks:
        first = network.feature_maps(pixels)
        before = {layer: found.copy() for layer, found in first.items()}
        network.feature_maps(255 - pixels)
        for layer, found in first.items():
            np.testing.assert_array_equal(found, before[layer])


@pytest.mark.parametrize(
    ("device", "gpu", "installed", "expected"),
    [
        ("auto", False, True, "openvino"),
        ("cpu", False, True, "openvino"),
        ("cpu", True, True, "openvino"),
        ("auto", True, True, "torch"),
        ("cuda", False, True, "torch"),
        ("mps", False, True, "torch"),
        ("auto", False, False, "torch"),
        ("cpu", True, False, "torch"),
    ],
)
def test_what_auto_means(
    device: str, gpu: bool, installed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resight.networks.runtimes, "_may_have_gpu", lambda: gpu)
    packages = {"torch", "openvino"} if installed else {"torch"}
    monkeypatch.setattr(resight.networks.runtimes, "is_installed", packages.__contains__)
    assert choose_runtime("auto", device) == expected


@pytest.mark.parametrize(
    ("device", "expected"), [("auto", "openvino"), ("cpu", "openvino"), ("cuda", "torch")]
)
def test_without_torch_auto_ignores_a_gpu(
    device: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resight.networks.runtimes, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(resight.networks.runtimes, "is_installed", {"openvino"}.__contains__)
    assert choose_runtime("auto", device) == expected
    if device == "cuda":
        assert refusal(device=device).endswith("run pip install 'resight[torch]'")


def test_a_named_runtime_is_used_on_any_machine() -> None:
    assert [choose_runtime(name, "auto") for name in RUNTIMES] == list(RUNTIMES)


def refusal(**options: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_network("resnet50", NO_STATE, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_runtime_names_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resight.networks.runtimes, "is_installed", lambda package: False)
    assert "pip install 'resight[openvino]'" in refusal(runtime="openvino")


def test_an_unknown_runtime_is_refused() -> None:
    assert refusal(runtime="abacus") == "runtime: abacus is not one of auto, torch, openvino, onnx"


@needs_openvino
@pytest.mark.slow
def test_streams_compute_the_same_at_the_same_time(small_weights: Path) -> None:
    parameters = load_parameters("resnet50", small_weights)
    one, several = (
        load_network("resnet50", parameters, runtime="openvino", device="cpu", streams=streams)
        for streams in (1, 2)
    )
    assert (one.concurrency, several.concurrency) == (1, 2)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (60 + n, 80, 3), np.uint8) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(several.feature_maps, images))
    for image, maps in zip(images, found, strict=True):
        for layer, expected in one.feature_maps(image).items():
            np.testing.assert_array_equal(maps[layer], expected)


@pytest.mark.parametrize("device", ["cuda", "mps", "cuda:1", "nonsense"])
def test_openvino_runs_only_on_the_cpu(device: str) -> None:
    found = refusal(runtime="openvino", device=device)
    assert found == f"runtime: openvino runs on the CPU, not on {device}"


@pytest.mark.parametrize("device", ["nonsense", "", "cpu:x", "cuda:99"])
def test_torch_refuses_an_unavailable_device(device: str) -> None:
    found = refusal(runtime="torch", device=device)
    assert found == f"device: {device} is not available; try cpu or auto"
    assert refusal(device=device) == found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="lists threads' cores on Linux")
@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_threads_that_are_one_of_several_workers_are_bound_to_no_core(
    small_weights: Path, runtime: str
) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    parameters = load_parameters("resnet50", small_weights)
    network = load_network(
        "resnet50", parameters, layers=("layer1",), runtime=runtime, device="cpu", threads=1
    )
    pixels = np.zeros((240, 320, 3), np.uint8)
    worker = threading.Thread(target=lambda: [network.feature_maps(pixels) for _ in range(3)])
    allowed, bound = frozenset(os.sched_getaffinity(0)), set[frozenset[int]]()
    worker.start()
    while worker.is_alive():
        with contextlib.suppress(ProcessLookupError):
            bound.add(frozenset(os.sched_getaffinity(worker.native_id)))
        worker.join(0.001)
    assert bound == {allowed}
