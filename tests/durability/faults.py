"""The preloaded library `shim.c`: built, armed, and its log of writes read."""

import ctypes
import enum
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
HEAD = struct.Struct("=cIIqq")


class Mode(enum.IntEnum):
    """Actions of the library at the n-th change, as in `shim.c`."""

    OFF = 0
    FAIL_ONCE = 1
    FAIL_ALWAYS = 2
    KILL = 3
    VANISH = 4
    JUMP = 5


@dataclass(frozen=True)
class Change:
    """A logged call.

    `kind` is W(rite), T(runcate), C(reate), D (make a folder), U(nlink), R(ename), L(ink), S(ync),
    or M(ark), a text of the program in place of the path.
    """

    kind: str
    path: str
    target: str
    offset: int
    data: bytes


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "shim.so"
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"]
    subprocess.run([*map(str, command)], check=True)
    return library


def run_preloaded(library: Path) -> None:
    """Start this program again, with the library preloaded."""
    environment = {**os.environ, "LD_PRELOAD": str(library), "RESIGHT_SHIM": str(library)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(os.environ["RESIGHT_SHIM"])


def arm(
    root: Path,
    mode: Mode,
    nth: int = 0,
    error: int = 0,
    log: Path | None = None,
    vanish: tuple[Path, Path] | None = None,
    jump: int = 0,
) -> None:
    """Watch a folder in this process, and fail or kill it at the n-th change.

    Before that change, the first folder of `vanish` is moved to the second one, and an empty one
    takes its place (mode VANISH); or the clock jumps by some seconds (mode JUMP).
    """
    if vanish is not None:
        _library().shim_vanish(*map(os.fsencode, vanish))
    _library().shim_jump(ctypes.c_long(jump))
    name = b"" if log is None else os.fsencode(log)
    _library().shim_arm(os.fsencode(root), int(mode), ctypes.c_long(nth), error, name)


def changes() -> int:
    """Return the number of changes since `arm`."""
    return int(_library().shim_count())


def mark(text: str) -> None:
    """Add a mark to the log."""
    _library().shim_mark(text.encode())


def read_log(path: Path) -> list[Change]:
    """Return the logged calls in their order."""
    data, place, read = path.read_bytes(), 0, []
    while place + HEAD.size <= len(data):
        kind, first, second, offset, count = HEAD.unpack_from(data, place)
        place += HEAD.size
        name = os.fsdecode(data[place : place + first])
        target = os.fsdecode(data[place + first : place + first + second])
        place += first + second
        content = b""
        if kind == b"W":
            content = data[place : place + count]
            place += count
        read.append(Change(kind.decode(), name, target, offset, content))
    return read
