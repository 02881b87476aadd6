"""What a worker does: describe the photos of a shard, as the one machine of a local run would."""

import functools
import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import resight
from resight.descriptors.extractor import Description, Extractor
from resight.errors import UsageError
from resight.indexing.cluster.segments import Segment, encode
from resight.indexing.extraction import PhotoResult, describe_files
from resight.methods.factory import FittedMethod
from resight.methods.model import Model, ModelOptions
from resight.networks.weights import user_cache
from resight.output_files import write_atomically
from resight.photos.files import PhotoFile

RUNTIME_PACKAGES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}


@dataclass(frozen=True)
class Work:
    """All that a worker must know to describe photos, but the photos.

    Attributes:
        fingerprint: of the descriptors.
        made: what the method's extractor is made of.
        options: how to run it; runtime and device are those of all workers.
        known: contents that are not described again.
        workers: threads that prepare photos.
        versions: of the packages on which the numbers depend.
    """

    fingerprint: str
    made: FittedMethod
    options: ModelOptions
    known: frozenset[str] = frozenset()
    workers: int = 1
    versions: dict[str, str] = field(default_factory=dict)


def versions(work: Work) -> dict[str, str]:
    """What is installed here of the packages that decide a method's numbers."""
    packages = ["numpy", "pillow", "opencv-python-headless"]
    if work.made.config.needs_network:
        packages.append(RUNTIME_PACKAGES[work.options.runtime])
    found = {"resight": resight.__version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    return found


def describe_shard(
    work: Work, files: Sequence[PhotoFile], fetch_weights: Callable[[], bytes]
) -> bytes:
    """Describe photos, on whatever machine this is: the bytes of their segment.

    Args:
        work: what to do.
        files: the photos.
        fetch_weights: gives the file of the weights, where this machine has none.

    Raises:
        UsageError: this machine has other versions of the packages than the one that asks.
    """
    here = versions(work)
    for package, version in work.versions.items():
        if here[package] != version:
            raise UsageError(
                f"a node of the cluster has {package} {here[package]}, this machine {version}: "
                "install the same versions everywhere"
            )
    describing = _extractor(_Key(work, fetch_weights))
    dtype = work.made.config.dtype
    outcomes = [
        _as_stored(outcome, dtype)
        for outcome in describe_files(files, describing, known=work.known, workers=work.workers)
    ]
    return encode(Segment(work.fingerprint, tuple(outcomes)))


class _Key:
    """The work, equal to another where the same extractor does both."""

    def __init__(self, work: Work, fetch_weights: Callable[[], bytes]) -> None:
        self.work, self.fetch_weights = work, fetch_weights
        self.key = work.fingerprint, work.options.runtime, work.options.device

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key


@functools.lru_cache(maxsize=1)
def _extractor(key: _Key) -> Extractor:
    """The extractor, which a worker keeps for its next shards."""
    made = key.work.made
    if made.model is not None:
        made = replace(made, model=_model_here(made.model, key.fetch_weights))
    return made.load_extractor(key.work.options)


def _model_here(model: Model, fetch: Callable[[], bytes]) -> Model:
    """The model with a weights file that this machine has; fetched into the user's cache if not."""
    kept = user_cache() / f"weights-{model.sha256}{Path(str(model.path)).suffix}"
    for path in (model.path, kept):
        if path is not None and path.is_file():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == model.sha256:
                    return Model(model.sha256, path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(kept) as unfinished:
        unfinished.write_bytes(fetch())
    return Model(model.sha256, kept)


def _as_stored(outcome: PhotoResult, dtype: str) -> PhotoResult:
    described = outcome.description
    if described is None:
        return outcome
    local = None if described.local is None else described.local.astype(np.dtype(dtype))
    stored = Description(described.global_.astype(np.dtype(dtype)), local)
    return replace(outcome, description=stored)
