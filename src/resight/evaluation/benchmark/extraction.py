"""Descriptors of a benchmark's photos by several configurations, from one pass of the network.

Every configuration has a collection of its own, kept in a folder under its fingerprint: what was
described once is not described again, whatever is compared later, and a run that was stopped goes
on where it was. Configurations of one network share its feature maps.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resight.collection.reader import Collection
from resight.config import (
    ExtractionConfig,
    MethodConfig,
    NoReduction,
)
from resight.errors import UsageError
from resight.evaluation.benchmark.shared_extraction import extract_shared, hash_photos
from resight.indexing import pipeline
from resight.methods.model import ModelOptions, find_model
from resight.photos.files import COLLECTION_MARK
from resight.progress import Progress

BOTH = ("layer4", "layer3")
"""The layers of the paper, which are described together where one of them is wanted."""


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
    configs: Iterable[MethodConfig], kept: Iterable[MethodConfig] = ()
) -> dict[MethodConfig, MethodConfig]:
    """For each configuration the one whose descriptors its own are columns of.

    Configurations that differ in their layers, or in class activation maps, alone are covered by
    one with both layers, whose parts of a descriptor stand side by side.

    Args:
        configs: what is wanted.
        kept: configurations by which photos were described before; one with class activation maps
            covers what is wanted without them.
    """
    wanted = list(dict.fromkeys(configs))
    masked = {_with_both(config).with_cam(False) for config in [*wanted, *kept] if config.cam}
    found: dict[MethodConfig, MethodConfig] = {}
    for config in wanted:
        covers = _with_both(config)
        found[config] = covers.with_cam(True) if config.cam or covers in masked else covers
    return found


def _with_both(config: MethodConfig) -> MethodConfig:
    """The configuration with both layers, where they are apart in it and it is one of them."""
    if not isinstance(config, ExtractionConfig):
        return config
    together = config.normalize_concatenation or config.layer_weights or config.learns
    if together or config.required_head or not set(config.layers) <= set(BOTH):
        return config
    return dataclasses.replace(config, layers=BOTH)


def kept_configs(folder: Path) -> list[MethodConfig]:
    """The configurations by which photos were described in a folder before."""
    configs = []
    for mark in sorted(folder.glob(f"*/{COLLECTION_MARK}")):
        with Collection.open(mark.parent) as opened:
            configs.append(opened.config)
    return configs


def columns_of(config: MethodConfig, covers: MethodConfig) -> np.ndarray:
    """The columns of the covering configuration's descriptors that are a configuration's, (D,)."""
    channels = covers.spec.channels
    starts, start = {}, 0
    for layer in covers.layers:
        starts[layer] = start
        start += channels[layer]
    return np.concatenate(
        [np.arange(starts[layer], starts[layer] + channels[layer]) for layer in config.layers]
    )


def extract(
    photos: Sequence[Path],
    configs: Iterable[MethodConfig],
    folder: Path,
    model: ModelOptions,
    progress: Progress,
    learn_from: Sequence[Path] | None = None,
) -> dict[MethodConfig, Path]:
    """Describe photos by every configuration, as far as that was not done before.

    Args:
        photos: all that are to be described.
        configs: of the methods.
        folder: where the collections are kept.
        model: weights, runtime and device.
        progress: called for every photo.
        learn_from: those of the photos that a method with a vocabulary, or the like, learns from;
            None is all. What it learned from others is never used again.

    Returns:
        Configuration to the collection that holds its descriptors.

    Raises:
        WeightsError: a network is needed and there are no weights.
    """
    made: dict[MethodConfig, Path] = {}
    networks: list[ExtractionConfig] = []
    lesson = photos if learn_from is None else learn_from

    @functools.cache
    def learned_from() -> str:
        together = "".join(content for _, content in hash_photos(sorted(lesson), progress))
        return hashlib.sha256(together.encode()).hexdigest()

    for config in dict.fromkeys(configs):
        if isinstance(config, ExtractionConfig) and _shares(config):
            networks.append(config)
            continue
        weights = find_model(config, model).sha256 if config.needs_network else ""
        fitted = f"fitted on {learned_from()}" if _fits(config) else ""
        made[config] = folder / config.fingerprint(f"{weights} {fitted}".strip())[:16]
        # It learns from those that it describes first.
        for some in dict.fromkeys([tuple(lesson if fitted else photos), tuple(photos)]):
            preset = config, NoReduction()
            pipeline.index(some, made[config], config=preset, model=model, progress=progress)
    for network in dict.fromkeys((c.backbone, c.required_head) for c in networks):
        same = [c for c in networks if (c.backbone, c.required_head) == network]
        for config, place in extract_shared(photos, same, folder, model, progress).items():
            made[config] = place
    return made


def read(collection: Path, photos: Sequence[Path]) -> Descriptors:
    """The descriptors of photos from the collection that `extract` made."""
    with Collection.open(collection) as opened:
        ids = {photo.path: photo.id for photo in opened.photos("ok")}
        by_id = {id_: (a, b) for id_, a, b in opened.photo_descriptors()}
    found = [path for path in photos if path in ids]
    if not found:
        where = os.path.commonpath([path.parent for path in photos])
        raise UsageError(f"{where}: none of its {len(photos)} photos could be read")
    globals_, locals_ = zip(*(by_id[ids[path]] for path in found), strict=True)
    local = None if locals_[0] is None else np.stack(locals_)
    return Descriptors(np.stack(globals_), local, {path: row for row, path in enumerate(found)})


def unreadable(collection: Path, photos: Set[Path]) -> list[tuple[Path, str]]:
    """Which of some photos could not be read, and why."""
    with Collection.open(collection) as opened:
        failed = [(photo.path, photo.reason or "") for photo in opened.photos("failed")]
    return [(path, reason) for path, reason in failed if path in photos]


def _fits(config: MethodConfig) -> bool:
    """Whether photos decide how a configuration describes others."""
    return config.learns or config.precision == "int8"


def _shares(config: ExtractionConfig) -> bool:
    """Whether a configuration's copies and feature maps are those of others, too."""
    plain = config.resize_from == "original" and not config.reduced_jpeg
    return plain and config.precision == "float32" and not config.learns
