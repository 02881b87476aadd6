r"""Decoding in processes of their own, for formats whose decoders a damaged file may crash.

    images.load_image --file, arguments--> process: images.load_image --size, pixels--> image

JPEG, PNG, WebP, GIF and BMP are decoded in this process: browsers use the same decoders on
hostile files. The decoders of HEIC, AVIF, JPEG 2000 and TIFF are native code with a history of
errors, so a crash, a hang or an overflow in them fails one photo only. Large PNGs are
decoded there for the memory that they take. Processes are started when they are needed, one for
each thread that decodes, and serve one photo after the other.
"""

import atexit
import contextlib
import faulthandler
import io
import json
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import IO, Any

from PIL import Image

from resight.errors import ImageError
from resight.photos import open_photo

LIMIT_S = 120
"""Time in which a photo must be decoded."""
MEMORY_BYTES = 3 << 30
"""Memory of a process, on Linux; the largest photos take nearly all of it."""
KEPT_PIXELS = 16_000_000
"""Size of an image whose memory is used again for the next one, rather than given back."""
CHANGED = "it changed while it was read"

_idle: list["_Process"] = []
available = os.name == "posix" and bool(sys.executable) and not hasattr(sys, "frozen")
"""True if this process may start decoding processes; False inside a decoding process."""


def ask(function: str, file: IO[bytes], *arguments: Any) -> Any:
    """Return what a function of `images` returns for a file at its start.

    Args:
        function: one that returns an image or plain values.
        file: on disk or in memory.
        arguments: further ones, plain values.

    Raises:
        ImageError: the function raises it, or the process crashes, or takes longer than `LIMIT_S`.
    """
    try:
        process = _idle.pop()
    except IndexError:
        process = _Process()
    started = time.monotonic()
    try:
        answer = process.ask(function, file, arguments)
    except (OSError, ValueError):  # the process has ended, and so has its output
        process.end()
        if time.monotonic() - started >= LIMIT_S:
            raise ImageError(f"damaged: decoding it takes more than {LIMIT_S} s") from None
        raise ImageError("damaged: its decoder crashes") from None
    except BaseException:  # such as an interrupt: the rest of the answer is still in the pipe
        process.end()
        raise
    _idle.append(process)
    if isinstance(answer, ImageError):
        raise answer
    return answer


class _Process:
    """A process that decodes one photo after the other."""

    def __init__(self) -> None:
        """Start it; it ends when its input is closed, so also when this process ends."""
        self._pixels: IO[bytes]
        if hasattr(os, "memfd_create"):
            self._pixels = os.fdopen(os.memfd_create("resight"), "r+b", 0)
        else:
            self._pixels = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see `forget`
        number = self._pixels.fileno()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as it; it.serve({number})"
        )
        try:
            self._process = Popen(
                [sys.executable, "-c", code],
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                pass_fds=[number],
                start_new_session=True,  # Ctrl-C is for this process
            )
        except OSError as error:
            self._pixels.close()
            raise ImageError(f"no process to decode it can be started: {error.strerror}") from None
        assert self._process.stdin
        assert self._process.stdout
        self._input, self._output = self._process.stdin, self._process.stdout

    def ask(self, function: str, file: IO[bytes], arguments: tuple[Any, ...]) -> Any:
        """Return the answer to a request, which may be an `ImageError`."""
        name = getattr(file, "name", None)
        named = None
        if isinstance(name, str) and os.path.isabs(name):
            named = [os.fsencode(name).hex(), *_identity(file)]
        data = b"" if named else file.read()
        request = {
            "function": function,
            "arguments": arguments,
            "file": named,
            "length": len(data),
            "limit": LIMIT_S,
        }
        self._input.write(json.dumps(request).encode() + b"\n" + data)
        self._input.flush()
        answer = json.loads(self._output.readline())
        if "error" in answer:
            return ImageError(answer["error"])
        return self._read_image(*answer["size"]) if "size" in answer else answer["value"]

    def _read_image(self, width: int, height: int) -> Image.Image:
        """Return the image in the common file, a PPM."""
        number, start = self._pixels.fileno(), len(f"P6\n{width} {height}\n255\n")
        with (
            mmap.mmap(number, start + 3 * width * height, prot=mmap.PROT_READ) as content,
            memoryview(content)[start:] as pixels,
        ):
            image = Image.new("RGB", (width, height))
            image.frombytes(pixels)
        if width * height > KEPT_PIXELS:
            os.truncate(number, 0)
        return image

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close the pipes; the process may be that of the parent of this one."""
        self._process.returncode = 0  # it is no longer waited for
        for pipe in (self._input, self._output, self._pixels):
            with contextlib.suppress(OSError):  # the reader of buffered data is gone
                pipe.close()


def _identity(file: IO[bytes]) -> list[int]:
    """Return device, number and size of an open file."""
    status = os.fstat(file.fileno())
    return [status.st_dev, status.st_ino, status.st_size]


@atexit.register
def _end_all() -> None:
    while _idle:
        _idle.pop().end()


def _forget_all() -> None:
    while _idle:
        _idle.pop().forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


# Within the process


def serve(number: int) -> None:
    """Answer requests until the input ends; images go to the file of this number."""
    global available  # noqa: PLW0603 - of the whole process
    available = False
    from resight.photos import images  # it imports this module

    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of decoders
    with open(os.devnull, "w", encoding="ascii") as nowhere, os.fdopen(number, "r+b", 0) as pixels:
        while line := requests.readline():
            request = json.loads(line)
            data = requests.read(request["length"])
            faulthandler.dump_traceback_later(request["limit"], exit=True, file=nowhere)
            answer = _answer(getattr(images, request["function"]), request, data, pixels)
            answers.write(json.dumps(answer, default=str).encode() + b"\n")
            answers.flush()
            faulthandler.cancel_dump_traceback_later()


def _answer(
    function: Callable[..., Any], request: dict[str, Any], data: bytes, pixels: IO[bytes]
) -> dict[str, Any]:
    """Return the value of a function, the size of an image, or an error."""
    try:
        with _reopen(request["file"]) if request["file"] else io.BytesIO(data) as file:
            value = function(file, *request["arguments"])
    except ImageError as error:
        return {"error": str(error)}
    if not isinstance(value, Image.Image):
        return {"value": value}
    pixels.seek(0)
    value.save(pixels, "PPM")
    return {"size": value.size}


def _reopen(file: list[Any]) -> IO[bytes]:
    """Open a file that the parent has open, by its name and identity."""
    name, *identity = file
    try:
        opened = open_photo(Path(os.fsdecode(bytes.fromhex(name))))
    except OSError:
        raise ImageError(CHANGED) from None
    if _identity(opened) != identity:
        opened.close()
        raise ImageError(CHANGED)
    return opened
