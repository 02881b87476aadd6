"""State dicts in torch's formats and in safetensors, read without torch.

A `.pth` file is a zip archive of a pickle and of the bytes of each storage, little or big endian;
before PyTorch 1.6 it was a sequence of five pickles, then the number of values and the bytes of
each storage. Pickles are interpreted here, opcode by opcode, for the few that plain values and
tensors need: nothing in them is ever called, and a name is only compared with those below.

Source: `torch.save`, `torch.serialization._legacy_load` and `torch._utils._rebuild_tensor_v2`.
"""

import io
import math
import pickletools
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""Torch's classes of storages, and NumPy's types without the byte order."""

SAFETENSORS_TYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "bf16",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}

READABLE = ("torch", "numpy", "collections", "_codecs")
"""Packages whose names torch may understand where this module does not."""

ORDERED_DICT = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"

LEGACY_FORMAT = 0x1950A86A20F9469CFC6C, 1001
"""The first two pickles of a file of the format before PyTorch 1.6: its mark and version."""


T = TypeVar("T")


class UnsupportedError(Exception):
    """The file may be intact, but is beyond this reader."""


@dataclass(frozen=True)
class _Name:
    """A name, `module name`, that a pickle refers to."""

    name: str


def read_state_dict(path: Path) -> Any:
    """Read a `.pth` or `.safetensors` file: plain values, dictionaries, lists and arrays.

    Tuples become lists; floating-point tensors float32 arrays, others arrays of their own type.
    Tensors of one storage share memory.

    Raises:
        UnsupportedError: the file needs torch.
        ValueError: the file is damaged, or refers to a program. Damaged files may raise any other
            `Exception` too.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if start == b"PK":
            with zipfile.ZipFile(file) as archive:
                return _read_archive(archive)
        if start[:1] == b"\x80":
            return _read_legacy(file, path.stat().st_size)
    if tarfile.is_tarfile(path):
        raise UnsupportedError("is a tar archive")
    raise ValueError("is not a file of torch's")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors

    arrays = {}
    for name, tensor in safetensors.deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
        if tensor["dtype"] not in SAFETENSORS_TYPES:
            raise UnsupportedError(f"has a tensor of type {tensor['dtype']}")
        values = _decode(bytes(tensor["data"]), SAFETENSORS_TYPES[tensor["dtype"]], "<")
        arrays[name] = values.reshape(tensor["shape"])
    return arrays


def _decode(content: bytes, kind: str, order: str) -> np.ndarray:
    """Return the values of a type in `STORAGES`, (N,); floating-point ones as float32."""
    if kind == "bf16":  # the upper half of a float32
        return (np.frombuffer(content, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    dtype = np.dtype(kind if kind == "?" else order + kind)
    with np.errstate(over="ignore"):  # of float64, as in torch
        values = np.frombuffer(content, dtype)
        return values.astype(np.float32 if dtype.kind == "f" else dtype.newbyteorder("="))


def _read_archive(archive: zipfile.ZipFile) -> Any:
    names = archive.namelist()
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("is a zip archive, but not one of torch's")
    folder = pickles[0].removesuffix("data.pkl")

    def read(name: str) -> bytes:
        entry = archive.getinfo(folder + name)
        # Nothing is compressed, so that a small file takes little memory.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ValueError(f"{name} is compressed")
        return archive.read(entry)

    def load(key: str, kind: str, size: int) -> np.ndarray:
        values = _decode(read(f"data/{key}"), kind, order)
        if values.size != size:
            raise ValueError(f"storage {key} has {values.size} values, not {size}")
        return values

    order = {b"little": "<", b"big": ">"}[
        read("byteorder") if f"{folder}byteorder" in names else b"little"
    ]
    return _Interpreter(load).run(io.BytesIO(read("data.pkl")))


def _read_legacy(file: BinaryIO, length: int) -> Any:
    """Read the format before PyTorch 1.6, whose storages follow the pickle that refers to them."""
    storages: dict[str, tuple[str, np.ndarray]] = {}
    left = length

    def allocate(key: str, kind: str, size: int) -> np.ndarray:
        nonlocal left
        left -= _checked(size, int) * _item_size(kind)
        if size < 0 or left < 0:
            raise ValueError(f"storage {key} is larger than the file")
        empty = _decode(b"", kind, "<")
        storages[key] = kind, np.empty(size, empty.dtype)
        return storages[key][1]

    interpreter = _Interpreter(allocate)
    if (interpreter.run(file), interpreter.run(file)) != LEGACY_FORMAT:
        raise ValueError("is a pickle, but not one of torch's")
    order = "<" if _checked(interpreter.run(file), dict)["little_endian"] else ">"
    content = interpreter.run(file)
    keys = _checked(interpreter.run(file), list)
    if sorted(keys) != sorted(storages):
        raise ValueError("lists other storages than its tensors have")
    for key in keys:
        kind, values = storages[key]
        size = int.from_bytes(file.read(8), "little")
        if size != values.size:
            raise ValueError(f"storage {key} has {size} values, not {values.size}")
        values[:] = _decode(file.read(size * _item_size(kind)), kind, order)
    return content


def _item_size(kind: str) -> int:
    return 2 if kind == "bf16" else np.dtype(kind).itemsize


class _Interpreter:
    """Interprets pickles, one after the other; their storages are common."""

    def __init__(self, load: Callable[[str, str, int], np.ndarray]) -> None:
        """Take a function of a storage's key, type and size that returns its values, (size,)."""
        self._load = load
        self._storages: dict[str, tuple[str, np.ndarray]] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        """Return the value that the next pickle of a file describes."""
        self._stack, self._marks, self._memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("has a pickle without an end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        match name:
            case "PROTO":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                stack.append(_name(argument))
            case "BINPERSID":
                stack.append(self._storage(*_checked(stack.pop(), list)))
            case "REDUCE":
                arguments = _checked(stack.pop(), list)
                stack.append(_rebuild(_checked(stack.pop(), _Name).name, arguments))
            case "BUILD":  # attributes of an OrderedDict, such as _metadata
                stack.pop()
                _checked(stack[-1], dict)
            case _:
                self._collect(name)

    def _collect(self, name: str) -> None:
        """Step for the opcodes of dictionaries, lists and tuples."""
        stack = self._stack
        match name:
            case "MARK":
                self._marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append([])
            case "TUPLE":
                stack.append(self._pop_marked())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append([stack.pop() for _ in range(int(name[-1]))][::-1])
            case "APPEND" | "APPENDS":
                values = self._pop_marked() if name == "APPENDS" else [stack.pop()]
                _checked(stack[-1], list).extend(values)
            case "SETITEM" | "SETITEMS":
                values = self._pop_marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
                _checked(stack[-1], dict).update(zip(values[::2], values[1::2], strict=True))
            case _:
                raise UnsupportedError(f"has the opcode {name} in its pickle")

    def _pop_marked(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _storage(
        self, tag: Any, kind: Any, key: Any, _device: Any, size: Any, view: Any = None
    ) -> np.ndarray:
        """Return the values of a storage, (size,)."""
        storage_class = _checked(kind, _Name).name.removeprefix("torch ")
        if tag != "storage" or storage_class not in STORAGES or view is not None:
            raise UnsupportedError(f"has a {storage_class}")
        if _checked(key, str) not in self._storages:
            values = self._load(key, STORAGES[storage_class], size)
            self._storages[key] = storage_class, values
        known_class, values = self._storages[key]
        if (known_class, values.size) != (storage_class, size):
            raise ValueError(f"storage {key} has two types or sizes")
        return values


def _checked(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ValueError(f"has a {type(value).__name__} for a {kind.__name__} in its pickle")
    return value


def _name(name: str) -> _Name:
    if name.replace(".", " ").split(maxsplit=1)[0] not in READABLE:
        raise ValueError(f"refers to a program, {name.replace(' ', '.')}, which is not run")
    return _Name(name)


def _rebuild(name: str, arguments: list[Any]) -> Any:
    """Return the value of a call that a pickle describes, without calling anything by name."""
    if name == ORDERED_DICT and not arguments:
        return {}
    if name == PARAMETER:
        return _checked(arguments[0], np.ndarray)
    if name == TENSOR and not any(arguments[6:]):  # no metadata, such as a lazy negation
        return _view(*arguments[:4])
    raise UnsupportedError(f"has a {name.replace(' ', '.')}")


def _view(storage: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
    """Return a tensor, a view of its storage; offset and strides count values."""
    values = _checked(storage, np.ndarray)
    numbers = [offset, *_checked(shape, list), *_checked(strides, list)]
    if not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise ValueError("has a tensor of impossible size")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if math.prod(shape) > 0 and last >= values.size:
        raise ValueError("has a tensor that exceeds its storage")
    if math.prod(shape) == 0:
        return np.empty(shape, values.dtype)
    steps = [step * values.itemsize for step in strides]
    return np.ndarray(shape, values.dtype, values, offset * values.itemsize, steps)
