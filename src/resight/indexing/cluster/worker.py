"""The work of a cluster's worker: extract the photos of a shard exactly as a local run would."""

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import resight
from resight.descriptors.extractor import Description, Extractor
from resight.errors import UsageError
from resight.files import file_sha256, user_cache, write_atomically
from resight.indexing.cluster.segments import Segment, encode
from resight.indexing.extraction import PhotoResult, extract_photos
from resight.methods.model import FittedMethod, Model, ModelOptions
from resight.photos.files import PhotoFile

RUNTIME_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class ExtractionTask:
    """Everything a worker needs to extract photos, except the photos.

    Attributes:
        fingerprint: of the descriptors.
        method: to load the extractor from.
        options: how to run the network; runtime and device are those of all workers.
        cached: contents (SHA-256) that are already described.
        workers: threads that read and decode photos.
        versions: of the packages on which the numbers depend.
    """

    fingerprint: str
    method: FittedMethod
    options: ModelOptions
    cached: frozenset[str] = frozenset()
    workers: int = 1
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
    results = extract_photos(files, extractor, cached=task.cached, workers=task.workers)
    return encode(Segment(task.fingerprint, tuple(_as_stored(result, dtype) for result in results)))


_extractors: dict[tuple[str, str, str], Extractor] = {}
"""The extractor that this worker loaded last, by fingerprint, runtime and device."""


def _cached_extractor(task: ExtractionTask, fetch_weights: Callable[[], bytes]) -> Extractor:
    key = (task.fingerprint, task.options.runtime, task.options.device)
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
    return replace(result, description=Description(description.global_.astype(dtype), local))
