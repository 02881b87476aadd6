"""Extract several configurations of one network, which share its feature maps."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from resight.collection.writer import Writer, writing
from resight.config import ExtractionConfig, NoReduction
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.extractor import Description
from resight.descriptors.pipeline import describe_maps
from resight.errors import UsageError
from resight.indexing.extraction import PhotoResult, extract_photos
from resight.indexing.recording import IndexReport, record_photo
from resight.methods.model import Model, ModelOptions, find_model
from resight.photos.files import PhotoFile
from resight.photos.images import image_size
from resight.photos.transforms import resized_copies
from resight.progress import Progress

CopyKey = tuple[str, bool, bool, int]
"""Filter, upscaling, square and resolution of a resized copy."""


def extract_shared(
    photos: Sequence[Path],
    configs: list[ExtractionConfig],
    folder: Path,
    options: ModelOptions,
    progress: Progress,
) -> dict[ExtractionConfig, Path]:
    """Extract photos by configurations of one network, unless they are extracted already.

    Returns:
        Each configuration's collection.

    Raises:
        WeightsError: there are no weights.
    """
    model = find_model(configs[0], options)
    collections = {config: folder / config.fingerprint(model.sha256)[:16] for config in configs}
    with contextlib.ExitStack() as stack:
        writers = {
            config: stack.enter_context(writing(collection, (config, NoReduction())))
            for config, collection in collections.items()
        }
        todo: dict[tuple[ExtractionConfig, ...], list[PhotoFile]] = {}
        for file, content in hash_photos(photos, progress):
            if missing := _missing_configs(file, content, writers):
                todo.setdefault(missing, []).append(file)
        if todo:
            _extract_missing(todo, writers, _load_network(configs, model, options), progress)
        for writer in writers.values():
            writer.bind_model(model)
    return collections


def hash_photos(photos: Sequence[Path], progress: Progress) -> Iterator[tuple[PhotoFile, str]]:
    """Yield each photo's file and the SHA-256 of its content; empty if it cannot be read."""
    for done, path in enumerate(photos, 1):
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            status = path.stat()
            yield PhotoFile(path, status.st_size, status.st_mtime_ns), content
        except OSError:
            yield PhotoFile(path, 0, 0), ""  # extraction will give the reason
        progress("reading", done, len(photos))


class SharedExtractor:
    """Computes the descriptors of several configurations from one pass of a network.

    Attributes:
        decode_size: None, as the largest copy differs from one set of configurations to another.
    """

    decode_size: int | None = None

    def __init__(self, network: CnnExtractor, configs: Sequence[ExtractionConfig]) -> None:
        self._network = network
        self._configs = configs

    @property
    def concurrency(self) -> int:
        """Number of photos that the network computes at the same time."""
        return self._network.concurrency

    def prepare(self, image: Image.Image) -> dict[CopyKey, np.ndarray]:
        """Return the copies of an image that any of the configurations needs."""
        copies: dict[CopyKey, np.ndarray] = {}
        for key in dict.fromkeys(key for config in self._configs for key in _copy_keys(config)):
            filter, upscale, square, resolution = key
            (copies[key],) = resized_copies(
                image, (resolution,), filter=filter, upscale=upscale, square=square
            )
        return copies

    def describe(self, copies: dict[CopyKey, np.ndarray]) -> dict[ExtractionConfig, Description]:
        """Return the descriptors of each configuration."""
        maps = dict(zip(copies, self._network.feature_maps(list(copies.values())), strict=True))
        return {
            config: describe_maps(
                [maps[key] for key in _copy_keys(config)],
                config,
                self._network.classifier if config.cam else None,
                self._network.state,
            )
            for config in self._configs
        }


def _load_network(
    configs: Sequence[ExtractionConfig], model: Model, options: ModelOptions
) -> CnnExtractor:
    # With class activation maps, if any configuration has them: loading checks the classifier.
    first = max(configs, key=lambda config: config.cam)
    if model.path is None:
        raise UsageError("a network needs a weights file")
    return CnnExtractor(
        first,
        model.path,
        sha256=model.sha256,
        layers=sorted({layer for config in configs for layer in config.network_layers()}),
        runtime=options.runtime,
        device=options.device,
    )


def _copy_keys(config: ExtractionConfig) -> list[CopyKey]:
    return [
        (config.resize_filter, config.upscale, config.square, resolution)
        for resolution in config.resolutions
    ]


def _missing_configs(
    file: PhotoFile, content: str, writers: dict[ExtractionConfig, Writer]
) -> tuple[ExtractionConfig, ...]:
    """Return the configurations without descriptors of a photo; record it in the others."""
    missing = []
    for config, writer in writers.items():
        if content and writer.collection.is_described(content):
            photo = writer.collection.photo_at(file.path)
            if photo is None or photo.content != content or photo.state != "ok":
                writer.record_existing(file, content, image_size(file.path))
        else:
            missing.append(config)
    return tuple(missing)


def _extract_missing(
    todo: dict[tuple[ExtractionConfig, ...], list[PhotoFile]],
    writers: dict[ExtractionConfig, Writer],
    network: CnnExtractor,
    progress: Progress,
) -> None:
    """Extract and record the photos that lack the descriptors of the same configurations."""
    done = 0
    total = sum(map(len, todo.values()))
    for configs, files in todo.items():
        for result in extract_photos(files, SharedExtractor(network, configs)):
            for config in configs:
                writer = writers[config]
                own = PhotoResult(
                    result.file,
                    result.content,
                    result.pixels,
                    result.description[config] if result.description else None,
                    result.reason,
                )
                previous = writer.collection.photo_at(result.file.path)
                record_photo(writer, own, previous, {}, IndexReport())
            done += 1
            progress("describing", done, total)
