"""Weights: where they are found, how they are fetched, and which files are refused."""

import dataclasses
import functools
import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

import oracle
from resight.config import ExtractionConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import WeightsError, WeightsMissingError
from resight.files import file_sha256
from resight.networks import BACKBONES
from resight.networks.parameters import Parameters, load_parameters
from resight.networks.runtimes import load_network
from resight.networks.weights import (
    ENVIRONMENT_VARIABLE,
    WeightsFile,
    check_flat,
    find_weights,
    hub_cache,
    read_content,
)

CONTENT = bytes(range(256)) * 4000
"""Content of the server's file: about 1 MB, so that it is read in several parts."""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty torch hub cache; the folder itself does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch home"))
    return tmp_path / "torch home" / "hub" / "checkpoints"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


class Server(ThreadingHTTPServer):
    """Offers one file at /resnet50-test.pth, in the way that `behave` says."""

    def __init__(self, behave: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append(self.path)
                self.close_connection = True
                behave(self)

            def log_message(self, *arguments: Any) -> None:
                """Say nothing on standard error."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/resnet50-test.pth"


Serve = Callable[[Callable[[BaseHTTPRequestHandler], None]], Server]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server on this machine and make it the home of the weights of ResNet-50."""
    started: list[tuple[Server, threading.Thread]] = []

    def start(behave: Callable[[BaseHTTPRequestHandler], None]) -> Server:
        server = Server(behave)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        register(monkeypatch, server.url, sha256(CONTENT))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


def register(monkeypatch: pytest.MonkeyPatch, url: str, digest: str) -> None:
    spec = BACKBONES["resnet50"]
    weights = dataclasses.replace(spec.weights, url=url, sha256=digest)
    monkeypatch.setitem(BACKBONES, "resnet50", dataclasses.replace(spec, weights=weights))


def send(handler: BaseHTTPRequestHandler, content: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def send_all(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT)


def send_without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(CONTENT)


def send_half(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT[: len(CONTENT) // 2], length=len(CONTENT))


def send_half_in_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s" % (len(CONTENT), CONTENT[: len(CONTENT) // 2]))


def send_damaged(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT[:-1] + b"!")


def send_nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"no HTTP at all\r\n\r\n")


def send_nothing(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


# The registry


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_the_registry_says_all_one_must_know(name: str) -> None:
    spec = BACKBONES[name].weights
    assert spec.url.startswith("https://") != bool(spec.package and spec.requirement)
    # The public files carry the beginning of their check sum in their names.
    assert spec.file_name == f"{name}-{spec.sha256[:8]}.pth"
    assert len(spec.sha256) == 64
    assert spec.license
    assert spec.paper


def test_pictures_are_normalized_as_the_weights_were_trained() -> None:
    parameters = Parameters({}, None)
    assert (parameters.mean, parameters.std) == (oracle.MEAN, oracle.STD)


def test_the_cache_is_torch_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in (
        {"TORCH_HOME": str(tmp_path / "a")},
        {"XDG_CACHE_HOME": str(tmp_path / "b")},
        {"HOME": str(tmp_path / "c"), "USERPROFILE": str(tmp_path / "c")},
        {"HOME": str(tmp_path / "c"), "USERPROFILE": str(tmp_path / "c"), "TORCH_HOME": "~/t"},
    ):
        with monkeypatch.context() as patch:
            patch.delenv("TORCH_HOME", raising=False)
            patch.delenv("XDG_CACHE_HOME", raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            assert str(hub_cache()) == os.path.join(torch.hub.get_dir(), "checkpoints")


# Places, in their order


def test_the_first_place_that_has_weights_is_taken(
    tmp_path: Path, cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(send_all)
    paths = {}
    for name in ("explicit", "environment", "previous"):
        paths[name] = tmp_path / f"{name}.pth"
        paths[name].write_text(name)
    explicit, environment, previous = paths.values()

    def find(*places: Path | None) -> WeightsFile:
        return find_weights("resnet50", *places)

    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(environment))
    assert find(explicit, previous) == WeightsFile(explicit, sha256(b"explicit"))
    assert find(None, previous) == WeightsFile(environment, sha256(b"environment"))
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    assert find(None, previous) == WeightsFile(previous, sha256(b"previous"))
    assert server.requests == []

    downloaded = WeightsFile(cache / "resnet50-test.pth", sha256(CONTENT))
    assert find() == downloaded
    assert find() == downloaded  # from the cache
    assert server.requests == ["/resnet50-test.pth"]
    assert find(None, tmp_path / "gone.pth") == downloaded


def test_named_files_may_be_relative_or_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.pth").write_bytes(b"w")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("w.pth", "./w.pth", "~/w.pth"):
        assert find_weights("resnet50", Path(name)).path == tmp_path.resolve() / "w.pth"


def test_a_named_file_that_cannot_be_read_is_no_reason_to_look_elsewhere(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there.pth"
    there.write_bytes(b"w")
    missing = tmp_path / "missing.pth"
    with pytest.raises(WeightsError, match=r"^weights: .*missing\.pth: cannot be read: No such"):
        find_weights("resnet50", missing, there)
    with pytest.raises(WeightsError, match=r"^weights: .*: cannot be read: Is a directory"):
        find_weights("resnet50", tmp_path, there)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(missing))
    with pytest.raises(WeightsError, match=r"^RESIGHT_WEIGHTS: .*missing\.pth: cannot be read"):
        find_weights("resnet50", None, there)
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"!"], ids=len)
def test_a_damaged_file_in_the_cache_is_refused(content: bytes, cache: Path, serve: Serve) -> None:
    server = serve(send_all)
    cache.mkdir(parents=True)
    cached = cache / "resnet50-test.pth"
    cached.write_bytes(content)
    with pytest.raises(
        WeightsError, match=r"damaged \(SHA-256 .*delete it and run again"
    ) as caught:
        find_weights("resnet50")
    assert str(caught.value).startswith(str(cached))
    assert server.requests == []
    assert cached.read_bytes() == content


# Downloads


@pytest.mark.parametrize("behave", [send_all, send_without_length])
def test_a_download_is_reported_verified_and_cached(
    behave: Callable[[BaseHTTPRequestHandler], None], cache: Path, serve: Serve
) -> None:
    serve(behave)
    calls: list[tuple[int, int]] = []
    found = find_weights("resnet50", progress=lambda *numbers: calls.append(numbers))
    assert found == WeightsFile(cache / "resnet50-test.pth", sha256(CONTENT))
    assert found.path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [found.path]
    received = [done for done, _ in calls]
    assert received == sorted(received)
    assert len(received) > 1
    assert received[-1] == len(CONTENT)
    assert {total for _, total in calls} == {len(CONTENT) if behave is send_all else 0}


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (send_half, "the download arrived damaged"),
        (send_half_in_chunks, "the download failed: IncompleteRead"),
        (send_damaged, "the download arrived damaged"),
        (send_nonsense, "the download failed: no HTTP at all"),
        (send_nothing, "the download failed: "),
        (refuse, "the download failed: Not Found"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_failed_download_leaves_nothing_and_names_three_ways_out(
    behave: Callable[[BaseHTTPRequestHandler], None], reason: str, cache: Path, serve: Serve
) -> None:
    server = serve(behave)
    with pytest.raises(WeightsMissingError) as caught:
        find_weights("resnet50")
    assert_names_three_ways_out(caught.value, reason, server.url, cache)
    assert list(cache.iterdir()) == []
    serve(send_all)  # and the next try starts afresh
    assert find_weights("resnet50").sha256 == sha256(CONTENT)


def assert_names_three_ways_out(
    error: WeightsMissingError, reason: str, url: str, cache: Path
) -> None:
    text = str(error)
    assert text.startswith(f"no weights for resnet50 ({reason}")
    assert "\n" not in text
    for way in (url, "--weights", ENVIRONMENT_VARIABLE, str(cache), "--config auto"):
        assert way in text


def test_an_unreachable_server_names_three_ways_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/resnet50-test.pth"
        register(monkeypatch, url, sha256(CONTENT))
        with pytest.raises(WeightsMissingError) as caught:
            find_weights("resnet50")
    assert_names_three_ways_out(caught.value, "the download failed: ", url, cache)


def test_a_cache_that_cannot_be_created_names_three_solutions(
    tmp_path: Path, cache: Path, serve: Serve
) -> None:
    server = serve(send_all)
    (tmp_path / "torch home").write_text("a file where a folder should be")
    with pytest.raises(WeightsMissingError) as caught:
        find_weights("resnet50")
    assert_names_three_ways_out(caught.value, "the download failed: ", server.url, cache)


def test_an_interrupted_download_leaves_nothing(cache: Path, serve: Serve) -> None:
    serve(send_all)

    def interrupt(received: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_weights("resnet50", progress=interrupt)
    assert list(cache.iterdir()) == []


# Files of tensors


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type_is_read_as_float32(
    dtype: torch.dtype, suffix: str, tmp_path: Path
) -> None:
    values = torch.tensor([[0.1, -2.5], [3e-3, 1e4]], dtype=dtype)
    path = save({"a": values, "b.c": torch.tensor(7)}, tmp_path / f"w{suffix}")
    state = read_flat(path)
    assert set(state) == {"a", "b.c"}
    assert state["a"].dtype == np.float32
    np.testing.assert_array_equal(state["a"], values.float())
    assert state["b.c"].dtype == np.int64


def read_flat(path: Path) -> dict[str, np.ndarray]:
    return check_flat(read_content(path), path)


def save(state: dict[Any, Any], path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_network_of_mixed_types_describes_like_its_rounded_weights(
    suffix: str, tmp_path: Path, small_weights: Path
) -> None:
    types = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    state = {
        name: value.to(types[i % 4]) if value.is_floating_point() else value
        for i, (name, value) in enumerate(oracle.load_state(small_weights).items())
    }
    path = save(state, tmp_path / f"mixed{suffix}")
    image = Image.fromarray(np.arange(40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8))
    extractor = CnnExtractor(ExtractionConfig(resolutions=(64,)), path)
    found = extractor.describe(extractor.prepare(image)).global_
    expected, _ = oracle.describe(image, state, resolutions=(64,))
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Trap:
    """Pickled, it would make a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_file_that_would_run_code_is_refused(by_torch: bool, tmp_path: Path) -> None:
    path, marker = tmp_path / "trap.pth", tmp_path / "sprung"
    state = {"conv1.weight": Trap(marker)}
    if by_torch:
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(state))
    with pytest.raises(WeightsError, match=r"trap\.pth: cannot be read as weights: ") as caught:
        read_flat(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"not weights at all\n", b"PK\x03\x04 no archive", b"\xff\xd8\xff\xe0 JFIF", bytes(4096)],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_weights_file_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"^.*: cannot be read as weights: .") as caught:
        read_flat(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = save({"a": torch.ones(1000)}, tmp_path / f"w{suffix}")
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_flat(path)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"a": torch.ones(1)}},
        {"a": torch.ones(1), "epoch": 3},
        {0: torch.ones(1)},
        [torch.ones(1)],
        torch.ones(1),
    ],
    ids=["nested", "mixed", "numbered", "list", "tensor"],
)
def test_what_is_no_flat_state_dict_is_refused(content: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^.*w\.pth: is not a flat state dict"):
        read_flat(save(content, tmp_path / "w.pth"))


# Names and shapes


@functools.cache
def _shapes() -> dict[str, torch.Size]:
    return {name: value.shape for name, value in oracle.random_state(50, seed=0).items()}


def tiny_state() -> dict[str, Tensor]:
    """Return a ResNet-50 of zeros that takes no memory: every tensor repeats a single value."""
    return {name: torch.zeros(()).expand(shape) for name, shape in _shapes().items()}


def test_a_network_without_training_counters_loads(tmp_path: Path) -> None:
    state = {n: v for n, v in tiny_state().items() if not n.endswith("num_batches_tracked")}
    assert len(state) < len(_shapes())
    parameters = load_parameters("resnet50", save(state, tmp_path / "w.pth"))
    assert parameters.classifier is not None
    assert parameters.classifier.weight.shape == (1000, 2048)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"conv1.weight": None}, "conv1.weight is missing"),
        ({"layer3.5.bn2.running_var": None}, "layer3.5.bn2.running_var is missing"),
        ({"layer5.weight": torch.ones(1)}, "layer5.weight is unexpected"),
        ({"bn1.bias": torch.ones(63)}, "bn1.bias has shape (63,), not (64,)"),
        ({"bn1.bias": torch.tensor(1.0)}, "bn1.bias has shape (), not (64,)"),
        ({"fc.weight": None}, "fc.weight is missing"),
        ({"fc.bias": None}, "fc.weight is unexpected"),
        ({"fc.bias": torch.ones(7)}, "fc.weight has shape (1000, 2048), not (7, 2048)"),
        ({"fc.bias": torch.tensor(1.0)}, "fc.weight has shape (1000, 2048), not (1, 2048)"),
        ({"bn1.bias": torch.ones(64, dtype=torch.int8)}, "bn1.bias is of type int8"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_names_shapes_and_types_must_be_the_networks(
    change: dict[str, Tensor | None], problem: str, tmp_path: Path
) -> None:
    state = {name: v for name, v in (tiny_state() | change).items() if v is not None}
    path = save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_parameters("resnet50", path)
    text = str(caught.value)
    assert text.startswith(f"{path}: are not weights of resnet50: ")
    assert problem in text
    assert "\n" not in text


def test_many_problems_are_counted_not_listed(tmp_path: Path) -> None:
    path = save({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load_parameters("resnet50", path)
    count = sum(not n.startswith("fc") and "num_batches" not in n for n in _shapes()) + 2
    text = str(caught.value)
    assert text.startswith(f"{path}: are not weights of resnet50: conv1.weight is missing, ")
    assert text.endswith(f" is missing, and {count - 3} more")
    assert text.count("missing") == 3


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = save(tiny_state(), tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"are weights of resnet50, not of resnet101: .*--config paper$"
    ):
        load_parameters("resnet101", path)


@pytest.mark.slow
def test_without_a_classifier_all_but_cam_works(tmp_path: Path, small_weights: Path) -> None:
    state = {n: v for n, v in oracle.load_state(small_weights).items() if "fc." not in n}
    path = save(state, tmp_path / "headless.pth")
    image = Image.fromarray(np.arange(40 * 60 * 3).reshape(40, 60, 3).astype(np.uint8))
    config = ExtractionConfig(layers=("layer1",), resolutions=(64,))
    found, expected = (
        extractor.describe(extractor.prepare(image)).global_
        for extractor in (CnnExtractor(config, path), CnnExtractor(config, small_weights))
    )
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(
        WeightsError, match=r"have no classifier \(fc\), which class activation maps need"
    ) as caught:
        CnnExtractor(dataclasses.replace(config, cam=True), path)
    assert str(caught.value).startswith(f"{path}: ")


# The network


def test_the_folded_network_equals_the_oracles_unfolded_one(small_weights: Path) -> None:
    state = oracle.load_state(small_weights)
    parameters = load_parameters("resnet50", small_weights)
    assert sum(name.endswith("conv2") for name in parameters.convolutions) == 16
    assert not any("bn" in name for name in parameters.convolutions)
    pixels = np.random.default_rng(0).integers(0, 256, (70, 101, 3), dtype=np.uint8)
    network = load_network("resnet50", parameters, runtime="torch", device="cpu")
    found = network.feature_maps(pixels)
    expected = oracle.backbone(pixels, state)
    assert {name: fm.shape for name, fm in found.items()} == {
        "layer3": (1024, 5, 7),
        "layer4": (2048, 3, 4),
    }
    for name, feature_map in expected.items():
        assert feature_map.max() > 1
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], feature_map, atol=1e-4, rtol=1e-4)


# The user's cache of folded parameters


LITE0 = "efficientnet-lite0"


@pytest.fixture
def folded_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's cache for this software; the folder itself does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user's cache"))
    return tmp_path / "user's cache" / "resight"


def assert_same_parameters(found: Parameters, expected: Parameters) -> None:
    assert list(found.convolutions) == list(expected.convolutions)
    for name, arrays in expected.convolutions.items():
        for one, other in zip(found.convolutions[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other)
    assert found.classifier is not None
    assert expected.classifier is not None
    np.testing.assert_array_equal(found.classifier.weight, expected.classifier.weight)
    np.testing.assert_array_equal(found.classifier.bias, expected.classifier.bias)


def test_cached_parameters_load_without_torch(small_weights: Path, folded_cache: Path) -> None:
    expected = load_parameters("resnet50", small_weights, "ab12")
    assert [path.name for path in folded_cache.iterdir()] == ["resnet50-ab12.npy"]
    assert_same_parameters(load_parameters("resnet50", Path("gone.pth"), "ab12"), expected)
    program = (
        "import sys; from pathlib import Path; "
        "from resight.networks.parameters import load_parameters; "
        "load_parameters('resnet50', Path('gone.pth'), 'ab12'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    for backbone, sha256 in (("resnet50", "cd34"), ("resnet101", "ab12"), ("resnet50", None)):
        with pytest.raises(WeightsError, match=r"gone\.pth"):
            load_parameters(backbone, Path("gone.pth"), sha256)


def test_parameters_without_a_classifier_are_cached_too(folded_cache: Path, tmp_path: Path) -> None:
    state = {name: value for name, value in tiny_state().items() if "fc." not in name}
    load_parameters("resnet50", save(state, tmp_path / "headless.pth"), "ab12")
    assert load_parameters("resnet50", Path("gone.pth"), "ab12").classifier is None


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "a byte less": lambda content: content[:-1],
    "part of the header": lambda content: content[:60],
    "garbage": lambda content: b"not numbers at all\n" * 100,
    "too few": lambda content: saved(np.zeros(1000, np.float32)),
    "objects": lambda content: saved(np.array([{}])),
}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, id=name, marks=() if name == "half" else pytest.mark.slow)
        for name, damage in DAMAGE.items()
    ],
)
@pytest.mark.slow
def test_a_damaged_cache_file_is_replaced(
    damage: Callable[[bytes], bytes], folded_cache: Path
) -> None:
    weights = find_weights(LITE0, environment=False).path
    expected = load_parameters(LITE0, weights, "ab12")
    (file,) = folded_cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert_same_parameters(load_parameters(LITE0, weights, "ab12"), expected)
    assert list(folded_cache.iterdir()) == [file]
    assert file.read_bytes() == whole


@pytest.mark.slow
def test_an_unwritable_cache_is_harmless(small_weights: Path, folded_cache: Path) -> None:
    folded_cache.parent.write_text("a file where a folder should be")
    expected = load_parameters("resnet50", small_weights)
    assert_same_parameters(load_parameters("resnet50", small_weights, "ab12"), expected)
    assert folded_cache.parent.is_file()


def test_a_full_disk_leaves_no_partial_cache_file(
    small_weights: Path, folded_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: BinaryIO, values: np.ndarray) -> None:
        file.write(bytes(1000))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", half)
    assert load_parameters("resnet50", small_weights, "ab12").classifier is not None
    assert list(folded_cache.iterdir()) == []


def test_parameters_without_a_hash_are_not_cached(small_weights: Path, folded_cache: Path) -> None:
    load_parameters("resnet50", small_weights)
    assert not folded_cache.exists()


def test_the_check_sum_is_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(CONTENT)
    assert file_sha256(tmp_path / "w") == sha256(CONTENT)
