"""One pass of a network for several configurations, which share its feature maps."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resight.collection.writer import Writer, writing
from resight.config import ExtractionConfig, NoReduction
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.pipeline import FeatureMaps, describe_maps
from resight.errors import ImageError, UsageError
from resight.memory import release_unused_memory
from resight.methods.model import Model, ModelOptions, find_model
from resight.photos.files import PhotoFile
from resight.photos.images import image_size, load_image
from resight.photos.transforms import resized_copies
from resight.prefetch import prefetch
from resight.progress import Progress

RELEASE_EVERY = 8
"""Photos after which freed memory is given back."""

CopyKey = tuple[str, bool, bool, int]
"""What makes a copy of a photo: filter, enlarging, square or not, and resolution."""

Job = tuple[PhotoFile, str, list[ExtractionConfig]]
"""A photo, the SHA-256 of its content, and the configurations that it is to be described by."""

Copies = tuple[tuple[int, int], dict[CopyKey, np.ndarray]]
"""Width and height of a photo, and its copies."""

Made = tuple[tuple[int, int], list[tuple[ExtractionConfig, np.ndarray, np.ndarray | None]]]
"""Width and height of a photo, and every configuration's global and local descriptor."""


def extract_shared(
    photos: Sequence[Path],
    configs: list[ExtractionConfig],
    folder: Path,
    options: ModelOptions,
    progress: Progress,
) -> dict[ExtractionConfig, Path]:
    """Describe photos by configurations of one network, as far as that was not done before.

    Returns:
        Configuration to the collection that holds its descriptors.

    Raises:
        WeightsError: there are no weights.
    """
    found = find_model(configs[0], options)
    places = {config: folder / config.fingerprint(found.sha256)[:16] for config in configs}
    with contextlib.ExitStack() as stack:
        writers = {
            config: stack.enter_context(writing(place, (config, NoReduction())))
            for config, place in places.items()
        }
        todo = [
            (file, content, missing)
            for file, content in contents(photos, progress)
            if (missing := _missing(file, content, writers))
        ]
        if todo:
            _describe(todo, writers, _Network(configs, found, options), progress)
        for writer in writers.values():
            writer.bind_model(found)
    return places


def contents(photos: Sequence[Path], progress: Progress) -> Iterator[tuple[PhotoFile, str]]:
    """Each photo's file and the SHA-256 of its content; empty where it cannot be read."""
    for done, path in enumerate(photos, 1):
        try:
            with path.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            status = path.stat()
            yield PhotoFile(path, status.st_size, status.st_mtime_ns), content
        except OSError:
            yield PhotoFile(path, 0, 0), ""  # said, with the reason, when it is to be described
        progress("reading", done, len(photos))


def _missing(
    file: PhotoFile, content: str, writers: dict[ExtractionConfig, Writer]
) -> list[ExtractionConfig]:
    """The configurations that a photo was not described by; the others know it afterwards."""
    missing = []
    for config, writer in writers.items():
        if content and writer.collection.is_described(content):
            row = writer.collection.photo_at(file.path)
            if row is None or row.content != content or row.state != "ok":
                writer.record_existing(file, content, image_size(file.path))
        else:
            missing.append(config)
    return missing


class _Network:
    """A network, and what several configurations make of its feature maps."""

    def __init__(
        self, configs: list[ExtractionConfig], model: Model, options: ModelOptions
    ) -> None:
        # One that asks for the classifier, if any does: it is checked when the network is loaded.
        first = max(configs, key=lambda config: config.cam)
        if model.path is None:
            raise UsageError("a network needs a weights file")
        self.extractor = CnnExtractor(
            first,
            model.path,
            sha256=model.sha256,
            layers=sorted({layer for config in configs for layer in config.network_layers()}),
            runtime=options.runtime,
            device=options.device,
        )

    def copies(self, path: Path, configs: list[ExtractionConfig]) -> Copies:
        """Size of a photo, and its copies at all resolutions that configurations need."""
        image = load_image(path)
        copies: dict[CopyKey, np.ndarray] = {}
        for key in dict.fromkeys(key for config in configs for key in _copy_keys(config)):
            filter, upscale, square, resolution = key
            (copies[key],) = resized_copies(
                image, (resolution,), filter=filter, upscale=upscale, square=square
            )
        return image.size, copies

    def describe(
        self, copies: dict[CopyKey, np.ndarray], configs: list[ExtractionConfig]
    ) -> list[tuple[ExtractionConfig, np.ndarray, np.ndarray | None]]:
        """Every configuration's global and local descriptor."""
        found = self.extractor.feature_maps(list(copies.values()))
        maps: dict[CopyKey, FeatureMaps] = dict(zip(copies, found, strict=True))
        descriptors = []
        for config in configs:
            chosen = [maps[key] for key in _copy_keys(config)]
            classifier = self.extractor.classifier if config.cam else None
            pooled = describe_maps(chosen, config, classifier, self.extractor.state)
            descriptors.append((config, pooled.global_, pooled.local))
        return descriptors


def _copy_keys(config: ExtractionConfig) -> list[CopyKey]:
    return [
        (config.resize_filter, config.upscale, config.square, resolution)
        for resolution in config.resolutions
    ]


def _describe(
    todo: list[Job],
    writers: dict[ExtractionConfig, Writer],
    network: _Network,
    progress: Progress,
) -> None:
    def load(job: Job) -> Copies | ImageError:
        try:
            return network.copies(job[0].path, job[2])
        except ImageError as error:
            return error

    def describe(given: tuple[Job, Copies | ImageError]) -> tuple[Job, Made | ImageError]:
        job, loaded = given
        if isinstance(loaded, ImageError):
            return job, loaded
        size, copies = loaded
        return job, (size, network.describe(copies, job[2]))

    loaded = zip(todo, prefetch(load, todo, 1, "photos"), strict=True)
    described = prefetch(describe, loaded, network.extractor.concurrency + 1, "maps")
    for done, ((file, content, missing), made) in enumerate(described, 1):
        if isinstance(made, ImageError):
            for config in missing:
                writers[config].record_failed(file, content or None, str(made))
        else:
            size, descriptors = made
            for config, global_, local in descriptors:
                writers[config].record_described(file, content, size, global_, local)
        if done % RELEASE_EVERY == 0:
            release_unused_memory()
        progress("describing", done, len(todo))
