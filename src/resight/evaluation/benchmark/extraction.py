"""Descriptors of a benchmark's photos by several configurations, with a cache.

Each configuration has its own collection in the cache, named by its fingerprint: photos are
extracted once, whatever is compared later, and an interrupted run resumes. Configurations of one
network share its feature maps.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from resight.collection import Collection
from resight.collection.writer import Writer, writing
from resight.config import ExtractionConfig, MethodConfig, NoReduction
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.extractor import Description, Extractor
from resight.descriptors.pipeline import describe_maps
from resight.errors import UsageError
from resight.files import file_sha256
from resight.indexing import pipeline
from resight.indexing.adaptation import describe_copies, variations_of
from resight.indexing.extraction import PhotoResult, extract_photos
from resight.indexing.recording import Recorder
from resight.methods.model import ModelOptions, find_model
from resight.methods.spec import MethodSpec
from resight.photos.files import COLLECTION_MARK, PhotoFile, file_state
from resight.photos.images import image_size
from resight.photos.transforms import resized_copies
from resight.progress import Progress

PAPER_LAYERS = ("layer4", "layer3")
"""Layers of the paper; both are extracted if a method uses one of them."""

CopyKey = tuple[str, bool, bool, int]
"""Filter, upscale, square and resolution of a resized copy."""


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of photos by one configuration.

    Attributes:
        global_: float32 (N, D), rows in the order of the readable photos.
        local: float32 (N, D) with class activation maps, else None.
        rows: row of each photo; unreadable photos have none.
    """

    global_: np.ndarray
    local: np.ndarray | None
    rows: dict[Path, int]


def superset_configs(
    configs: Iterable[MethodConfig], cached: Iterable[MethodConfig] = ()
) -> dict[MethodConfig, MethodConfig]:
    """Map each configuration to one whose descriptors contain its own as columns.

    Configurations that differ only in their layers, or in class activation maps, share a
    configuration with both layers, whose parts of a descriptor are concatenated. A cached one with
    class activation maps also serves methods without.
    """
    required = list(dict.fromkeys(configs))
    with_cam = {_both_layers(c).with_cam(False) for c in [*required, *cached] if c.cam}
    supersets: dict[MethodConfig, MethodConfig] = {}
    for config in required:
        superset = _both_layers(config)
        cam = config.cam or superset in with_cam
        supersets[config] = superset.with_cam(True) if cam else superset
    return supersets


def cached_configs(cache: Path) -> list[MethodConfig]:
    """Return the configurations whose descriptors are in a cache."""
    configs = []
    for mark in sorted(cache.glob(f"*/{COLLECTION_MARK}")):
        with Collection.open(mark.parent) as opened:
            configs.append(opened.config)
    return configs


def columns_of(config: MethodConfig, superset: MethodConfig) -> np.ndarray | slice:
    """Return the columns of a configuration within its superset's descriptors, int (D,)."""
    if config == superset or not isinstance(superset, ExtractionConfig):
        return slice(None)
    channels = superset.spec.channels
    ends = np.cumsum([channels[layer] for layer in superset.layers])
    columns = {
        layer: np.arange(end - channels[layer], end)
        for layer, end in zip(superset.layers, ends, strict=True)
    }
    return np.concatenate([columns[layer] for layer in config.layers])


def extract(
    photos: Sequence[Path],
    configs: Iterable[MethodConfig],
    cache: Path,
    model: ModelOptions,
    progress: Progress,
    fit_on: Sequence[Path] | None = None,
) -> dict[MethodConfig, Path]:
    """Extract photos by every configuration, unless their descriptors are cached.

    Vocabularies and the like are fitted on `fit_on`, a subset of the photos (None is all); what was
    fitted on other photos is not reused. Returns the collection of each configuration.

    Raises:
        WeightsError: a network is needed and there are no weights.
    """
    collections: dict[MethodConfig, Path] = {}
    shareable: list[ExtractionConfig] = []
    fit_photos = photos if fit_on is None else fit_on

    @functools.cache
    def fit_hash() -> str:
        contents = "".join(content for _, content in hash_photos(sorted(fit_photos), progress))
        return hashlib.sha256(contents.encode()).hexdigest()

    for config in dict.fromkeys(configs):
        if isinstance(config, ExtractionConfig) and _shares_maps(config):
            shareable.append(config)
            continue
        weights = find_model(config, model).sha256 if config.needs_network else ""
        fitted = f"fitted on {fit_hash()}" if config.learns or config.precision == "int8" else ""
        # The figures of float32 must not come from other arithmetic within the tolerance.
        other = config.precision if config.precision in ("bfloat16", "auto") else ""
        collection = cache / config.fingerprint(f"{weights} {fitted} {other}".strip())[:16]
        # The photos that are indexed first are those on which the method is fitted.
        for batch in dict.fromkeys([tuple(fit_photos if fitted else photos), tuple(photos)]):
            method = config, NoReduction()
            pipeline.index(
                batch, collection, config=method, model=model, evidence=False, progress=progress
            )
        collections[config] = collection
    for network in dict.fromkeys((c.backbone, c.required_head) for c in shareable):
        same = [c for c in shareable if (c.backbone, c.required_head) == network]
        collections.update(extract_shared(photos, same, cache, model, progress).items())
    return collections


def read_descriptors(collection: Path, photos: Sequence[Path]) -> Descriptors:
    """Read the descriptors of photos from a collection that `extract` created."""
    with Collection.open(collection) as opened:
        ids = {photo.path: photo.id for photo in opened.photos("ok")}
        by_id = {id_: (a, b) for id_, a, b in opened.photo_descriptors()}
    readable = [path for path in photos if path in ids]
    if not readable:
        folder = os.path.commonpath([path.parent for path in photos])
        raise UsageError(f"{folder}: none of its {len(photos)} photos could be read")
    globals_, locals_ = zip(*(by_id[ids[path]] for path in readable), strict=True)
    local = None if locals_[0] is None else np.stack(locals_)
    return Descriptors(np.stack(globals_), local, {path: row for row, path in enumerate(readable)})


def extract_variations(
    collection: Path,
    photos: Sequence[Path],
    method: MethodSpec,
    columns: np.ndarray | slice,
    model: ModelOptions,
    progress: Progress,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return descriptors of some photos and of their varied copies, for a method that adapts.

    They are cached in the collection that `extract` created; `columns` are the method's.
    """
    if not method.reduction.copies:
        return []
    sampled = method.reduction.sample
    with writing(collection) as writer:
        opened, ranked = writer.collection, set(photos)
        contents = {str(p.content): p.path for p in opened.photos("ok") if p.path in ranked}
        sample = dict(sorted(contents.items())[:sampled])

        def load() -> Extractor:
            return opened.fitted_method(model).load_extractor(model)

        describe_copies(writer, sample, method.reduction.copies, load, progress)
        variations = variations_of(opened, sample, method.reduction.copies)
        return [(original[columns], copies[:, columns]) for original, copies in variations()]


def unreadable_photos(collection: Path, photos: Set[Path]) -> dict[Path, str]:
    """Return the photos that could not be read, with the reasons."""
    with Collection.open(collection) as opened:
        failed = opened.photos("failed")
        return {photo.path: photo.reason or "" for photo in failed if photo.path in photos}


def _both_layers(config: MethodConfig) -> MethodConfig:
    """Extend a configuration to both layers of the paper, if their parts are separable."""
    if not isinstance(config, ExtractionConfig):
        return config
    joint = config.normalize_concatenation or config.layer_weights or config.learns
    if joint or config.required_head or not set(config.layers) <= set(PAPER_LAYERS):
        return config
    return dataclasses.replace(config, layers=PAPER_LAYERS)


def _shares_maps(config: ExtractionConfig) -> bool:
    """Check whether a configuration can share copies and feature maps with others."""
    plain = config.resize_from == "original" and not config.reduced_jpeg
    return plain and config.precision == "float32" and not config.learns


# Several configurations of one network, which share its feature maps


def extract_shared(
    photos: Sequence[Path],
    configs: list[ExtractionConfig],
    folder: Path,
    options: ModelOptions,
    progress: Progress,
) -> dict[ExtractionConfig, Path]:
    """Extract photos by configurations of one network, unless they are extracted already."""
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
            if model.path is None:
                raise UsageError("a network needs a weights file")
            network = CnnExtractor(
                max(configs, key=lambda c: c.cam),  # loading checks the classifier
                model.path,
                sha256=model.sha256,
                layers=sorted({layer for config in configs for layer in config.network_layers()}),
                runtime=options.runtime,
                device=options.device,
            )
            done, total = itertools.count(1), sum(map(len, todo.values()))
            for missing, files in todo.items():
                for result in extract_photos(files, SharedExtractor(network, missing)):
                    for config in missing:
                        _record(writers[config], config, result)
                    progress("describing", next(done), total)
        for writer in writers.values():
            writer.bind_model(model)
    return collections


def hash_photos(photos: Sequence[Path], progress: Progress) -> Iterator[tuple[PhotoFile, str]]:
    """Yield each photo's file and the SHA-256 of its content; empty if it cannot be read."""
    for done, path in enumerate(photos, 1):
        try:
            content, status = file_sha256(path), path.stat()
            yield file_state(path, status), content
        except OSError:
            yield PhotoFile(path, 0, 0), ""  # extraction will give the reason
        progress("reading", done, len(photos))


class SharedExtractor:
    """Computes the descriptors of several configurations from one pass of a network."""

    decode_size: int | None = None  # the largest copy depends on the set of configurations

    def __init__(self, network: CnnExtractor, configs: Sequence[ExtractionConfig]) -> None:
        self._network, self._configs = network, configs

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


def _record(
    writer: Writer,
    config: ExtractionConfig,
    result: PhotoResult[dict[ExtractionConfig, Description]],
) -> None:
    """Record one configuration's share of a shared result."""
    description = result.description[config] if result.description else None
    own = PhotoResult(result.file, result.content, result.pixels, description, result.reason)
    Recorder(writer).record(own, writer.collection.photo_at(result.file.path))
