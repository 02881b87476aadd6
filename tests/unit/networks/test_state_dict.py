"""State dicts read without torch: equal to torch's, and harmless whatever the file holds."""

import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resight.errors import WeightsError
from resight.networks.efficientnet_lite import EFFICIENTNET_LITE0
from resight.networks.state_dict import UnsupportedError, read_state_dict
from resight.networks.weights import _installed_file, read_content

DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)


def assert_equals_torch(path: Path) -> None:
    expected = torch.load(path, map_location="cpu", weights_only=True)
    found = read_state_dict(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        array = (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def zipped(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def save(content: Any, path: Path, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def test_the_packaged_weights_equal_torchs() -> None:
    path = _installed_file(EFFICIENTNET_LITE0.weights)
    assert path is not None
    assert_equals_torch(path)


@pytest.mark.weights
def test_resnet_weights_equal_torchs(real_weights: Path) -> None:
    assert_equals_torch(real_weights)


@pytest.mark.parametrize("seed", range(5))
def test_random_state_dicts_equal_torchs(seed: int, zipped: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    state: dict[str, torch.Tensor] = {}
    for number, dtype in enumerate(DTYPES):
        shape = tuple(int(n) for n in random.integers(1, 6, size=4))
        whole = torch.from_numpy(random.normal(scale=50, size=shape)).to(dtype)
        state |= {
            f"{number}.whole": whole,
            f"{number}.part": whole[shape[0] // 2 :, :, ::2],  # shares the storage
            f"{number}.turned": whole.permute(3, 1, 0, 2),
            f"{number}.one": whole[0, 0, 0, 0],
            f"{number}.none": whole[:0],
        }
    assert_equals_torch(save(state, tmp_path / "w.pth", zipped))


def test_extreme_values_equal_torchs(zipped: bool, tmp_path: Path) -> None:
    values = [0.0, -0.0, float("inf"), float("nan"), 1e-45, 1e-310, 1e300, 65504.0]
    state = {str(dtype): torch.tensor(values, dtype=dtype) for dtype in DTYPES[:4]}
    assert_equals_torch(save(state, tmp_path / "w.pth", zipped))


def test_modules_and_plain_values_are_read(zipped: bool, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert_equals_torch(save(net.state_dict(), tmp_path / "w.pth", zipped))
    content = {"w": nn.Parameter(torch.ones(2)), "n": [1, -2, 2**40, 0.5, None, True, ("a", "é")]}
    found = read_state_dict(save(content, tmp_path / "v.pth", zipped))
    np.testing.assert_array_equal(found["w"], [1, 1])
    assert found["n"] == [1, -2, 2**40, 0.5, None, True, ["a", "é"]]


def test_the_byte_order_is_the_files(tmp_path: Path) -> None:
    path, swapped = save({"a": torch.tensor([1.5, -3.0])}, tmp_path / "w.pth"), tmp_path / "b.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("byteorder"):
                content = b"big"
            if name.endswith("/data/0"):
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            new.writestr(name, content)
    np.testing.assert_array_equal(read_state_dict(swapped)["a"], [1.5, -3])


# Hostile files


class Call:
    """Pickled, it is a call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


class Storage(str):
    """Pickled by `write`, it is the persistent id of a float32 storage of 4 values."""


def write(content: Any, path: Path, size: Any = 4, key: str = "0") -> Path:
    """Write an archive whose storage 0 holds 4 values of float32, whatever the pickle says."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if isinstance(value, Storage):
                return "storage", torch.FloatStorage, key, "cpu", size
            return None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/data/0", bytes(16))
    return path


def tensor(offset: Any, shape: Any, strides: Any) -> Call:
    rebuild = torch._utils._rebuild_tensor_v2
    hooks: Any = collections.OrderedDict()
    return Call(rebuild, Storage(), offset, shape, strides, False, hooks)


def test_the_archive_of_these_tests_is_read(tmp_path: Path) -> None:
    path = write({"a": tensor(1, (3,), (1,))}, tmp_path / "w.pth")
    np.testing.assert_array_equal(read_content(path)["a"], [0, 0, 0])


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (tensor(1, (4,), (1,)), {}),
        (tensor(0, (2, 2), (3, 1)), {}),
        (tensor(-1, (2,), (1,)), {}),
        (tensor(3, (2,), (-1,)), {}),
        (tensor(0, (2**70,), (0,)), {}),
        (tensor(0, (2**39, 2**39), (0, 0)), {}),
        (tensor(0, (2,), (1, 1)), {}),
        (tensor("0", (2,), (1,)), {}),
        (tensor(0, (2,), (1,)), {"size": 2**40}),
        (tensor(0, (2,), (1,)), {"size": -1}),
        (tensor(0, (2,), (1,)), {"key": "1"}),
        (tensor(0, (2,), (1,)), {"key": "../data.pkl"}),
        (Call(os.system, "touch sprung"), {}),
        (Call(eval, "1"), {}),
        (Call(torch.load, "w.pth"), {}),
    ],
)
def test_hostile_pickles_are_refused(
    content: Any, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write({"a": content}, tmp_path / "w.pth", **options)
    with pytest.raises(WeightsError, match=r"w\.pth: cannot be read as weights: .") as caught:
        read_content(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_program_is_named(tmp_path: Path) -> None:
    path = write({"a": Call(os.system, "true")}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"a program, posix\.system, which is not run$"):
        read_content(path)


def test_truncated_files_are_refused(zipped: bool, tmp_path: Path) -> None:
    path = save({"a": torch.ones(1000)}, tmp_path / "w.pth", zipped)
    content = path.read_bytes()
    for length in range(2, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_content(path)


def test_a_damaged_storage_is_refused(tmp_path: Path) -> None:
    path = save({"a": torch.full((100,), 7.0)}, tmp_path / "w.pth")
    content = path.read_bytes()
    value = np.float32(7).tobytes()
    path.write_bytes(content.replace(value * 2, value + bytes(4), 1))
    with pytest.raises(WeightsError, match="Bad CRC-32"):
        read_content(path)


def test_compressed_storages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2) + bytes(10_000_000))
    with pytest.raises(WeightsError, match="is compressed"):
        read_content(path)


# Files that only torch reads


def test_torch_reads_what_is_beyond_this_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save({"a": torch.ones(2), "m": np.arange(3.0)}, tmp_path / "w.pth")
    with pytest.raises(UnsupportedError):
        read_state_dict(path)
    np.testing.assert_array_equal(read_content(path)["m"], [0, 1, 2])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"w\.pth: has .*; run pip install 'resight\[torch\]'$"):
        read_content(path)
