"""Segments: the results of a shard's photos, in a file that never changes.

A worker extracts a shard exactly as a local run would, and returns the bytes of its segment.

A segment is a safetensors file (tensors `global`, `local` and `evidence`, the photos' evidence one
after the other; the photos and the fingerprint are its metadata) followed by a footer: a mark and
the SHA-256 of everything before it. It gets its name only when it is complete, and the name is a
hash of what it describes: a shard is finished if and only if its segment exists.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

import resight
from resight.collection.database import DISK_FULL
from resight.config.base import NonNegativeInt, PositiveInt
from resight.descriptors.extractor import Description, Extractor
from resight.errors import SegmentError, UsageError
from resight.files import create_folder, file_sha256, user_cache, write_atomically
from resight.indexing.evidence import WithEvidence
from resight.indexing.extraction import PhotoResult, extract_photos
from resight.methods.model import FittedMethod, Model, ModelOptions
from resight.photos.files import MAX_INTEGER, PhotoFile

MARK = b"RESIGHT1"
SUFFIX = ".segment"
_FOOTER_BYTES = len(MARK) + hashlib.sha256().digest_size
RUNTIME_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}

MAX_SHARD_PHOTOS = 512
"""Bounds what is lost with a worker, and the size of a segment (some megabytes)."""

SHARDS_PER_WORKER = 4
"""Shards of each worker in a short run, so that all finish at about the same time."""


class _Photo(msgspec.Struct, array_like=True):
    """A photo's result as a segment stores it: an array, whose end may be missing.

    Segments without evidence have no lengths.
    """

    path: Annotated[str, Meta(min_length=1, pattern="^[^\\0]*$")]
    size: Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
    mtime_ns: Annotated[int, Meta(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
    content: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None
    pixels: tuple[PositiveInt, PositiveInt] | None
    reason: str | None
    row: NonNegativeInt | None
    length: NonNegativeInt = 0


@dataclass(frozen=True)
class Segment:
    """The results of a shard's photos, in their order, and the descriptors' fingerprint."""

    fingerprint: str
    results: tuple[PhotoResult[Description], ...]


def segment_name(fingerprint: str, files: Sequence[PhotoFile]) -> str:
    """Return the file name of a segment: a hash of its fingerprint and its photo files."""
    photos = [[str(file.path), file.size, file.mtime_ns] for file in files]
    return hashlib.sha256(json.dumps([fingerprint, photos]).encode()).hexdigest()[:24] + SUFFIX


def encode(segment: Segment) -> bytes:
    """Return the bytes of a segment, footer included; equal for equal segments."""
    from safetensors.numpy import save

    photos = []
    globals_: list[np.ndarray] = []
    locals_: list[np.ndarray] = []
    evidence: list[bytes] = []
    for result in segment.results:
        row, length = None, 0
        if result.description is not None:
            row = len(globals_)
            globals_.append(result.description.global_)
            if result.description.local is not None:
                locals_.append(result.description.local)
            evidence.append(result.description.evidence or b"")
            length = len(evidence[-1])
        file = [str(result.file.path), result.file.size, result.file.mtime_ns]
        photos.append([*file, result.content, result.pixels, result.reason, row, length])
    tensors = {
        name: np.stack(rows) for name, rows in (("global", globals_), ("local", locals_)) if rows
    }
    if any(evidence):
        tensors["evidence"] = np.frombuffer(b"".join(evidence), np.uint8)
    metadata = json.dumps({"fingerprint": segment.fingerprint, "photos": photos})
    body = save(tensors, {"segment": metadata})  # one key, as safetensors orders keys at random
    return body + MARK + hashlib.sha256(body).digest()


def decode(data: bytes, name: object) -> Segment:
    """Return the segment of some bytes; descriptors keep the dtype they were written in.

    Raises:
        SegmentError: the bytes are damaged; the message starts with `name`.
    """
    body, footer = data[:-_FOOTER_BYTES], data[-_FOOTER_BYTES:]
    if footer == MARK + hashlib.sha256(body).digest():
        # A checksum does not prove who wrote the file, and readers raise errors of their own.
        with contextlib.suppress(Exception):
            return _decode_body(body)
    raise SegmentError(f"{name}: not a segment, or damaged; delete it and index its photos again")


def _decode_body(body: bytes) -> Segment:
    """Return the segment of some bytes without a footer; malformed ones raise any `Exception`."""
    from safetensors.numpy import load

    length = int.from_bytes(body[:8], "little")
    metadata = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["segment"])
    tensors = load(body)
    evidence = io.BytesIO(tensors["evidence"].tobytes() if "evidence" in tensors else b"")
    # JSON of msgspec would refuse file names that are not UTF-8.
    photos = msgspec.convert(metadata["photos"], list[_Photo])
    results = [_decode_result(photo, tensors, evidence) for photo in photos]
    return Segment(msgspec.convert(metadata["fingerprint"], str), tuple(results))


def write_segment(path: Path, data: bytes) -> None:
    """Write the bytes of a segment; under its name it is complete and on the disk.

    Raises:
        SegmentError: it cannot be written; nothing is left behind.
    """
    try:
        create_folder(path.parent)
        with write_atomically(path) as unfinished:
            unfinished.write_bytes(data)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SegmentError(f"{path.parent}: {DISK_FULL if full else error.strerror}") from error


def read_segment(path: Path) -> Segment:
    """Read a segment.

    Raises:
        SegmentError: it cannot be read, or is damaged.
    """
    try:
        return decode(path.read_bytes(), path)
    except OSError as error:
        raise SegmentError(f"{path}: {error.strerror or error}") from error


def find_segments(folder: Path) -> list[Path]:
    """Return the complete segments in a folder, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _decode_result(
    photo: _Photo, tensors: dict[str, np.ndarray], evidence: io.BytesIO
) -> PhotoResult[Description]:
    """Return a photo's result; its evidence is the next of the segment's.

    Raises:
        KeyError, IndexError: a descriptor is missing.
        ValueError: the photo is described, but of unknown content or size.
    """
    description = None
    if photo.row is not None:
        if photo.content is None or photo.pixels is None:
            raise ValueError("a description without a photo")
        local = tensors.get("local")
        description = Description(
            tensors["global"][photo.row],
            None if local is None else local[photo.row],
            evidence=evidence.read(photo.length) or None,
        )
    file = PhotoFile(Path(photo.path), photo.size, photo.mtime_ns)
    return PhotoResult(file, photo.content, photo.pixels, description, photo.reason)


@dataclass(frozen=True)
class Shard:
    """Consecutive photos of a run, and their segment if they are extracted already."""

    files: tuple[PhotoFile, ...]
    segment: Path | None = None


def shard_size(photos: int, workers: int) -> int:
    """Return the number of photos of a shard.

    >>> shard_size(40, 2), shard_size(10**6, 100), shard_size(0, 1)
    (5, 512, 1)
    """
    return max(1, min(MAX_SHARD_PHOTOS, -(-photos // (SHARDS_PER_WORKER * max(1, workers)))))


def split_into_shards(
    files: Sequence[PhotoFile], finished: Mapping[Path, tuple[PhotoFile, ...]], size: int
) -> list[Shard]:
    """Split photos into shards of at most `size` photos, in their order.

    A finished segment counts if all its photos are among the files, unchanged; its shard takes the
    place of its first photo.
    """
    todo = set(files)
    segment_of: dict[PhotoFile, Path] = {}
    for path, photos in finished.items():
        if todo.issuperset(photos) and segment_of.keys().isdisjoint(photos):
            segment_of.update(dict.fromkeys(photos, path))
    shards: list[Shard] = []
    placed: set[Path] = set()
    pending: list[PhotoFile] = []
    for file in files:
        segment = segment_of.get(file)
        if segment is None:
            pending.append(file)
        if pending and (segment is not None or len(pending) == size):
            shards.append(Shard(tuple(pending)))
            pending = []
        if segment is not None and segment not in placed:
            placed.add(segment)
            shards.append(Shard(finished[segment], segment))
    if pending:
        shards.append(Shard(tuple(pending)))
    return shards


# The work of a worker


@dataclass(frozen=True)
class ExtractionTask:
    """Everything a worker needs to extract photos, except the photos.

    Attributes:
        fingerprint: of the descriptors.
        method: to load the extractor from.
        options: how to run the network; runtime and device are those of all workers.
        cached: contents (SHA-256) that are already described.
        workers: threads that read and decode photos.
        evidence: make the photos' evidence as well.
        versions: of the packages on which the numbers depend.
    """

    fingerprint: str
    method: FittedMethod
    options: ModelOptions
    cached: frozenset[str] = frozenset()
    workers: int = 1
    evidence: bool = False
    versions: dict[str, str] = field(default_factory=dict)


def installed_versions(task: ExtractionTask) -> dict[str, str]:
    """Return this machine's versions of the packages that the numbers of a method depend on."""
    packages = ["numpy", "pillow", "opencv-python-headless"]
    if task.method.config.needs_network:
        packages.append(RUNTIME_PACKAGES[task.options.runtime])
    versions = {"resight": resight.__version__}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "none"
    return versions


def extract_shard(
    task: ExtractionTask, files: Sequence[PhotoFile], fetch_weights: Callable[[], bytes]
) -> bytes:
    """Extract photos and return the bytes of their segment.

    `fetch_weights` returns the weights file if this machine has none.

    Raises:
        UsageError: this machine has other package versions than the one that started the run.
    """
    installed = installed_versions(task)
    for package, version in task.versions.items():
        if installed[package] != version:
            raise UsageError(
                f"a node of the cluster has {package} {installed[package]}, this machine "
                f"{version}: install the same versions everywhere"
            )
    extractor = _cached_extractor(task, fetch_weights)
    dtype = np.dtype(task.method.config.dtype)
    describer = WithEvidence(extractor) if task.evidence else extractor
    results = extract_photos(files, describer, cached=task.cached, workers=task.workers)
    return encode(Segment(task.fingerprint, tuple(_as_stored(result, dtype) for result in results)))


_extractors: dict[tuple[str, ...], Extractor] = {}
"""The extractor that this worker loaded last, by fingerprint, runtime, device and precision."""


def _cached_extractor(task: ExtractionTask, fetch_weights: Callable[[], bytes]) -> Extractor:
    precision = task.method.config.precision
    key = (task.fingerprint, task.options.runtime, task.options.device, precision)
    if key not in _extractors:
        method = task.method
        if method.model is not None:
            method = replace(method, model=_local_model(method.model, fetch_weights))
        _extractors.clear()  # before loading: there may be memory for one network only
        _extractors[key] = method.load_extractor(task.options)
    return _extractors[key]


def _local_model(model: Model, fetch_weights: Callable[[], bytes]) -> Model:
    """Return the model with a local weights file, fetched into the user's cache if necessary."""
    cached = user_cache() / f"weights-{model.sha256}{Path(str(model.path)).suffix}"
    for path in (model.path, cached):
        if path is not None and path.is_file() and file_sha256(path) == model.sha256:
            return Model(model.sha256, path)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(cached) as unfinished:
        unfinished.write_bytes(fetch_weights())
    return Model(model.sha256, cached)


def _as_stored(
    result: PhotoResult[Description], dtype: np.dtype[np.generic]
) -> PhotoResult[Description]:
    """Convert the descriptors to the dtype in which the collection stores them."""
    description = result.description
    if description is None:
        return result
    local = None if description.local is None else description.local.astype(dtype)
    global_ = description.global_.astype(dtype)
    return replace(result, description=replace(description, global_=global_, local=local))
