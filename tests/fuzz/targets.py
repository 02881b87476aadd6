"""Fuzz targets: parsers of untrusted files and requests, as functions of bytes.

A target fails by raising anything but a `ResightError`, which tells the user what is wrong with the
input, or by an HTTP status of 500 or above.
"""

import asyncio
import atexit
import contextlib
import functools
import hashlib
import io
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import intact_inputs

from resight.errors import ResightError


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
        name: in the table.
        seeds: returns intact inputs.
        read: parses an input; an exception is a failure.
        seconds: time limit of one input.
        mebibytes: memory limit of the process.
        max_bytes: length of the largest input.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes], None]
    seconds: int = 10
    mebibytes: int = 1024
    max_bytes: int = 20_000

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return self.name.replace(" ", "-").replace(":", "").replace(".", "-").lower()


def _refusing(read: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """Return a reader that may refuse its input by an error for the user."""

    def run(data: bytes) -> None:
        with contextlib.suppress(ResightError):
            read(data)

    return run


@functools.cache
def scratch() -> Path:
    """Return a folder for inputs that must be files; it is removed when the process exits."""
    folder = Path(tempfile.mkdtemp(prefix="resight-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _file(name: str, data: bytes) -> Path:
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


# Photos


def read_photo(data: bytes) -> None:
    """Read a photo in all ways, from memory and from a file."""
    from resight.photos.images import image_size, load_image, taken_at

    path = _file("photo", data)
    taken_at(path)
    with contextlib.suppress(ResightError):
        image_size(io.BytesIO(data))
    with contextlib.suppress(ResightError):
        image = load_image(path, 32)
        assert image.mode == "RGB", image.mode
    with contextlib.suppress(ResightError):
        load_image(io.BytesIO(data))


# Files of data


def _read_ground_truth(data: bytes) -> None:
    from resight.evaluation.datasets import read_dataset
    from resight.evaluation.datasets.holidays import read_turns

    kind, content = data[:1], data[1:]
    folder = scratch() / f"photos-{kind.hex()}"
    for name in ("a.jpg", "b.jpg", "100000.jpg", "100001.jpg"):
        _file(f"{folder.name}/{name}", b"")
    if kind in (b"0", b"1"):
        suffix = "json" if kind == b"0" else "pkl"
        for name in ("roxford5k", "oxford5k"):
            _file(f"{folder.name}/gnd_{name}.{suffix}", content)
            with contextlib.suppress(ResightError):
                read_dataset(name, folder)
    elif kind in (b"2", b"3"):
        _file(f"{folder.name}/a_1_query.txt", content if kind == b"2" else b"oxc1_a 1 2 3 4")
        for name in ("good", "ok", "junk"):
            _file(f"{folder.name}/a_1_{name}.txt", content if kind == b"3" else b"b")
        read_dataset("oxford5k", folder)
    elif kind == b"4":
        turns = _file("turns.txt", content)
        read_turns(turns)
        read_dataset("holidays", folder, {"upright": str(turns)})
    elif kind == b"5":
        _file(f"{folder.name}/holidays_images.dat", content)
        read_dataset("holidays", folder)


def _read_groups(data: bytes) -> None:
    from resight.evaluation.measures import read_groups

    read_groups(_file("groups/groups.json", data))


def _read_segment(data: bytes) -> None:
    """Read a segment as it is, and with a footer that fits."""
    from resight.indexing.cluster.segments import MARK, decode

    with contextlib.suppress(ResightError):
        decode(data, "segment")
    segment = decode(data + MARK + hashlib.sha256(data).digest(), "segment")
    for result in segment.results:
        assert isinstance(result.file.path, Path)


def _read_safetensors(data: bytes) -> None:
    from resight.networks.checkpoints import read_checkpoint

    read_checkpoint(_file("weights.safetensors", data))


def _read_torch_file(data: bytes) -> None:
    from resight.networks.checkpoints import read_checkpoint

    read_checkpoint(_file("weights.pth", data))


def _read_configuration(data: bytes) -> None:
    from resight.methods import load_config

    load_config(str(_file("config.toml", data)))


def _read_decisions(data: bytes) -> None:
    from resight.backends.hints import _read
    from resight.collection.hints import combine

    hints, _ = combine(_read(_file("decisions.json", data)))
    assert not hints.contradiction()


def _read_list(data: bytes) -> None:
    from resight.photos.files import read_lists

    path = _file("list.txt", data)
    read_lists([Path(f"@{path}")])


def _read_options(data: bytes) -> None:
    """Read boxes, settings, filters and the like, a line each."""
    from pydantic import ValidationError

    from resight.cli import options
    from resight.config import RerankConfig
    from resight.photos.transforms import check_box
    from resight.searching import make_filter
    from resight.web.filters import parse_time
    from resight.web.problems import ProblemError
    from resight.web.schemas import SearchOptions

    lines = [*data.decode("utf-8", "surrogateescape").split("\n"), *[""] * 8]
    readers: list[Callable[[str], Any]] = [
        lambda text: check_box(options.parse_box(text) or (0, 0, 1, 1), (64, 48)),
        lambda text: options.parse_settings([text], "set"),
        lambda text: RerankConfig.parse(lines[5], [text]),
        options.parse_share,
        options.parse_duration,
        lambda text: RerankConfig.parse(text, []),
        lambda text: parse_time(SearchOptions(taken_from=text).taken_from),
        lambda text: make_filter(text or None, None, None, None, None),
    ]
    for line, reader in zip(lines, readers, strict=False):
        with contextlib.suppress(ResightError, ValidationError, ProblemError):
            reader(line)


# Requests


@functools.cache
def _served() -> tuple[asyncio.AbstractEventLoop, Any]:
    """Return a client of a served collection that nothing may change, and the loop it runs in."""
    import httpx

    import samples
    from resight.collection.lock import locked
    from resight.web import WebSettings
    from resight.web.app import create_app

    folder = scratch() / "served"
    samples.draw_many(folder / "photos", 6)
    samples.index(folder / "photos", folder / "collection")
    stack = contextlib.ExitStack()
    stack.enter_context(locked(folder / "collection"))
    app = create_app(folder / "collection", WebSettings())
    stack.callback(app.state.shared.close)
    atexit.register(stack.close)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
    loop = asyncio.new_event_loop()  # of its own thread: that of a test may have another
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def _request(data: bytes) -> None:
    """Send a request: method and target, media type, an empty line, the body."""
    import httpx

    head, _, body = data.partition(b"\n\n")
    lines = [*head.decode("latin1").split("\n"), ""]
    method, _, target = lines[0].partition(" ")
    headers = {"content-type": lines[1]} if lines[1] else {}
    loop, client = _served()
    try:
        request = client.build_request(method, target, headers=headers, content=body)
    except (httpx.InvalidURL, ValueError, TypeError):
        return  # no client can send it
    if request.url.host != "127.0.0.1" or not request.url.raw_path.isascii():
        return
    response = asyncio.run_coroutine_threadsafe(client.send(request), loop).result()
    assert response.status_code < 500, f"{method} {target}: {response.status_code} {response.text}"


def _photo_targets() -> Iterator[Target]:
    for format in intact_inputs.PHOTO_FORMATS:
        name = {"JPEG2000": "JPEG 2000", "WEBP": "WebP", "HEIF": "HEIC"}.get(format, format)
        drawn = functools.partial(intact_inputs.photos, format)
        yield Target(f"photo: {name}", drawn, read_photo, seconds=60, mebibytes=2048)
    yield Target("photo: RAW", intact_inputs.raw_files, read_photo, 60, 2048, 120_000)
    yield Target("photo: other formats", intact_inputs.other_files, read_photo, 60, 2048)


TARGETS: tuple[Target, ...] = (
    *_photo_targets(),
    Target("groups.json", intact_inputs.groups, _refusing(_read_groups)),
    Target("ground truth", intact_inputs.ground_truth, _refusing(_read_ground_truth)),
    Target("decisions", intact_inputs.decisions, _refusing(_read_decisions)),
    Target("lists of photos", lambda: [b"a.jpg\r\n\nb.jpg", b"a\0b"], _refusing(_read_list)),
    Target("segments", intact_inputs.segments, _refusing(_read_segment)),
    Target("weights: safetensors", intact_inputs.safetensors_files, _refusing(_read_safetensors)),
    Target(
        "weights: torch", intact_inputs.torch_files, _refusing(_read_torch_file), mebibytes=2048
    ),
    Target("configurations", intact_inputs.configurations, _refusing(_read_configuration)),
    Target("boxes and filters", intact_inputs.options, _read_options, max_bytes=2000),
    Target("HTTP requests", intact_inputs.requests, _request, seconds=20),
)
