"""Descriptors of a benchmark's photos by several configurations, with a cache.

Each configuration has its own collection in the cache, named by its fingerprint: photos are
extracted once, whatever is compared later, and an interrupted run resumes. Configurations of one
network share its feature maps.
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
from resight.config import ExtractionConfig, MethodConfig, NoReduction
from resight.errors import UsageError
from resight.evaluation.benchmark.shared_extraction import extract_shared, hash_photos
from resight.indexing import pipeline
from resight.methods.model import ModelOptions, find_model
from resight.photos.files import COLLECTION_MARK
from resight.progress import Progress

PAPER_LAYERS = ("layer4", "layer3")
"""The layers of the paper, which are extracted together if a method uses one of them."""


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
    configuration with both layers, whose parts of a descriptor are concatenated.

    Args:
        configs: of the methods.
        cached: configurations in the cache; one with class activation maps also serves methods
            without.
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

    Args:
        photos: to extract.
        configs: of the methods.
        cache: folder of the collections.
        model: weights, runtime and device.
        progress: called for every photo.
        fit_on: those of the photos on which vocabularies and the like are fitted; None is all. What
            was fitted on other photos is not reused.

    Returns:
        The collection of each configuration.

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
        fitted = f"fitted on {fit_hash()}" if _is_fitted(config) else ""
        collection = cache / config.fingerprint(f"{weights} {fitted}".strip())[:16]
        # The photos that are indexed first are those on which the method is fitted.
        for batch in dict.fromkeys([tuple(fit_photos if fitted else photos), tuple(photos)]):
            method = config, NoReduction()
            pipeline.index(batch, collection, config=method, model=model, progress=progress)
        collections[config] = collection
    for network in dict.fromkeys((c.backbone, c.required_head) for c in shareable):
        same = [c for c in shareable if (c.backbone, c.required_head) == network]
        collections.update(extract_shared(photos, same, cache, model, progress))
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


def unreadable_photos(collection: Path, photos: Set[Path]) -> dict[Path, str]:
    """Return those of some photos that could not be read, with the reasons."""
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


def _is_fitted(config: MethodConfig) -> bool:
    """Check whether a configuration's descriptors depend on other photos."""
    return config.learns or config.precision == "int8"


def _shares_maps(config: ExtractionConfig) -> bool:
    """Check whether a configuration can share copies and feature maps with others."""
    plain = config.resize_from == "original" and not config.reduced_jpeg
    return plain and config.precision == "float32" and not config.learns
