"""Descriptors of a benchmark's photos by several configurations, from one pass of the network.

Every configuration has a collection of its own, kept in a folder under its fingerprint: what was
described once is not described again, whatever is compared later, and a run that was stopped goes
on where it was. Configurations of one network share its feature maps.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight import pipeline
from resight.ahead import ahead
from resight.config import (
    BROUGHT,
    ExtractionConfig,
    Layer,
    MethodConfig,
    NoReduction,
    fingerprint,
)
from resight.descriptors.cnn import CnnExtractor
from resight.descriptors.descriptor import FeatureMaps, describe_maps, network_layers
from resight.errors import ImageError, UsageError
from resight.memory import release_unused_memory
from resight.methods import ModelOptions, cnn_model, needed_network
from resight.networks.architectures import CHANNELS
from resight.photos.files import COLLECTION_MARK, PhotoFile
from resight.photos.images import image_size, load_image, resized_copies
from resight.progress import Progress
from resight.storage.collection import Collection
from resight.storage.made_with import Model
from resight.storage.writer import Writer, writing

RELEASE_EVERY = 8
"""Photos after which freed memory is given back."""

BOTH: tuple[Layer, ...] = ("layer4", "layer3")
"""The layers of the paper, which are described together where one of them is wanted."""

CopyKey = tuple[str, bool, bool, int]
"""What makes a copy of a photo: filter, enlarging, square or not, and resolution."""

Job = tuple[PhotoFile, str, list[ExtractionConfig]]
"""A photo, the SHA-256 of its content, and the configurations that it is to be described by."""

Copies = tuple[tuple[int, int], dict[CopyKey, np.ndarray]]
"""Width and height of a photo, and its copies."""

Made = tuple[tuple[int, int], list[tuple[ExtractionConfig, np.ndarray, np.ndarray | None]]]
"""Width and height of a photo, and every configuration's global and local descriptor."""


@dataclass(frozen=True)
class Descriptors:
    """What a configuration makes of photos.

    Attributes:
        global_: float32 (N, D), rows in the order of the photos that could be read.
        local: float32 (N, D) with class activation maps, else None.
        rows: photo to row; photos that could not be read have none.
    """

    global_: np.ndarray
    local: np.ndarray | None
    rows: dict[Path, int]


def covering(
    configs: Iterable[ExtractionConfig], kept: Iterable[MethodConfig] = ()
) -> dict[ExtractionConfig, ExtractionConfig]:
    """For each configuration the one whose descriptors its own are columns of.

    Configurations that differ in their layers, or in class activation maps, alone are covered by
    one with both layers, whose parts of a descriptor stand side by side.

    Args:
        configs: what is wanted.
        kept: configurations by which photos were described before; one with class activation maps
            covers what is wanted without them.
    """
    wanted = list(dict.fromkeys(configs))
    before = [config for config in kept if isinstance(config, ExtractionConfig)]
    masked = {dataclasses.replace(_with_both(c), cam=False) for c in [*wanted, *before] if c.cam}
    found = {}
    for config in wanted:
        both = dataclasses.replace(_with_both(config), cam=False)
        found[config] = dataclasses.replace(both, cam=both in masked)
    return found


def _with_both(config: ExtractionConfig) -> ExtractionConfig:
    """The configuration with both layers, where they are apart in it and it is one of them."""
    together = config.normalize_concatenation or config.layer_weights or config.learns
    if together or config.pooling in BROUGHT or not set(config.layers) <= set(BOTH):
        return config
    return dataclasses.replace(config, layers=BOTH)


def kept_configs(folder: Path) -> list[MethodConfig]:
    """The configurations by which photos were described in a folder before."""
    configs = []
    for mark in sorted(folder.glob(f"*/{COLLECTION_MARK}")):
        with Collection.open(mark.parent) as opened:
            configs.append(opened.config)
    return configs


def columns_of(config: ExtractionConfig, covers: ExtractionConfig) -> np.ndarray:
    """The columns of the covering configuration's descriptors that are a configuration's, (D,)."""
    starts, start = {}, 0
    for layer in covers.layers:
        starts[layer] = start
        start += CHANNELS[layer]
    return np.concatenate(
        [np.arange(starts[layer], starts[layer] + CHANNELS[layer]) for layer in config.layers]
    )


def extract(
    photos: Sequence[Path],
    configs: Iterable[MethodConfig],
    folder: Path,
    model: ModelOptions,
    progress: Progress,
) -> dict[MethodConfig, Path]:
    """Describe photos by every configuration, as far as that was not done before.

    Returns:
        Configuration to the collection that holds its descriptors.

    Raises:
        WeightsError: a network is needed and there are no weights.
    """
    made: dict[MethodConfig, Path] = {}
    networks: list[ExtractionConfig] = []
    for config in dict.fromkeys(configs):
        if isinstance(config, ExtractionConfig) and _shares(config):
            networks.append(config)
        else:
            made[config] = folder / fingerprint(config, _not_shared(config, model))[:16]
            preset = config, NoReduction()
            pipeline.index(photos, made[config], config=preset, model=model, progress=progress)
    for network in dict.fromkeys(map(needed_network, networks)):
        same = [config for config in networks if needed_network(config) == network]
        for config, place in _extract_shared(photos, same, folder, model, progress).items():
            made[config] = place
    return made


def read(collection: Path, photos: Sequence[Path]) -> Descriptors:
    """The descriptors of photos from the collection that `extract` made."""
    with Collection.open(collection) as opened:
        ids = {photo.path: photo.id for photo in opened.photos("ok")}
        by_id = {id_: (a, b) for id_, a, b in opened.photo_descriptors()}
    found = [path for path in photos if path in ids]
    if not found:
        raise UsageError(f"{collection}: none of the photos could be read")
    globals_, locals_ = zip(*(by_id[ids[path]] for path in found), strict=True)
    local = None if locals_[0] is None else np.stack(locals_)
    return Descriptors(np.stack(globals_), local, {path: row for row, path in enumerate(found)})


def unreadable(collection: Path) -> list[tuple[Path, str]]:
    """Photos that could not be read, and why."""
    with Collection.open(collection) as opened:
        return [(photo.path, photo.reason or "") for photo in opened.photos("failed")]


def _extract_shared(
    photos: Sequence[Path],
    configs: list[ExtractionConfig],
    folder: Path,
    options: ModelOptions,
    progress: Progress,
) -> dict[ExtractionConfig, Path]:
    found = cnn_model(configs[0], options)
    places = {config: folder / fingerprint(config, found.sha256)[:16] for config in configs}
    with contextlib.ExitStack() as stack:
        writers = {
            config: stack.enter_context(writing(place, (config, NoReduction())))
            for config, place in places.items()
        }
        todo = [
            (file, content, missing)
            for file, content in _contents(photos, progress)
            if (missing := _missing(file, content, writers))
        ]
        if todo:
            _describe(todo, writers, _Network(configs, found, options), progress)
        for writer in writers.values():
            writer.bind_model(found)
    return places


def _not_shared(config: MethodConfig, options: ModelOptions) -> str:
    """What stands for the model of a configuration whose model is made from the photos."""
    weights = cnn_model(config, options).sha256 if isinstance(config, ExtractionConfig) else ""
    return f"{weights} fitted on the photos".strip()


def _shares(config: ExtractionConfig) -> bool:
    """Whether a configuration's copies and feature maps are those of others, too."""
    plain = config.resize_from == "original" and not config.reduced_jpeg
    return plain and config.precision == "float32" and not config.learns


def _contents(photos: Sequence[Path], progress: Progress) -> Iterator[tuple[PhotoFile, str]]:
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
                writer.record_known(file, content, image_size(file.path))
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
            layers=network_layers(configs),
            engine=options.engine,
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
            pooled = describe_maps(chosen, config, classifier, self.extractor.known)
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

    loaded = zip(todo, ahead(load, todo, 1, "photos"), strict=True)
    described = ahead(describe, loaded, network.extractor.at_once + 1, "maps")
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
