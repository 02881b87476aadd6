"""What is fitted on a collection: selection or whitening, what a method learns, int8 network."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection.reader import Collection
from resight.collection.writer import Writer, writing
from resight.config import (
    ExtractionConfig,
    NoReduction,
    ReductionConfig,
    reduction_from_dict,
    stored_reduction,
)
from resight.descriptors.extractor import Fittable, FittedParams
from resight.errors import CollectionMismatchError, FitError, ImageError, UsageError
from resight.methods.model import Model
from resight.photos.files import PhotoFile
from resight.photos.images import load_image
from resight.photos.paths import absolute
from resight.photos.transforms import resized_copies
from resight.progress import Progress, no_progress
from resight.reductions.reduction import fit_reduction

FIT_BLOCK = 1024

Lesson = tuple[FittedParams, dict[str, Any]]
"""What a method learned, and what from."""

QuantizedNetwork = tuple[bytes, dict[str, Any]]
"""A network in 8-bit integers, and what it was calibrated on."""

CALIBRATION_PHOTOS = 100
"""Photos on which a network is quantised, at most; each at one of the resolutions."""

SAMPLE_PHOTOS = 300
"""Photos that a method learns from, at most."""


@dataclass(frozen=True)
class FitRun:
    """A fitted selection or whitening: values kept, out of how many, from how many photos."""

    features: int
    dimensions: int
    photos: int


def fit(
    collection: Path,
    *,
    source: Path | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> FitRun:
    """Fit the selection or whitening of a collection (anew).

    Args:
        collection: the collection's folder.
        source: another collection of the same configuration to fit on instead of itself.
        progress: called before and after.
        **changes: fields of `SelectionConfig` or `WhiteningConfig` that shall differ from the
            collection's configuration, such as `features` or `seed`; None leaves a field as it
            is. `method` chooses between the two.

    Raises:
        UsageError: no such field, or a value that cannot be.
        FitError: too few photos, or fewer usable values than `features`.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    with writing(collection) as writer:
        stored = writer.collection.reduction_config.to_dict()
        kept = stored if changes.get("method", stored["method"]) == stored["method"] else {}
        config = reduction_from_dict({**kept, **changes})
        if source is None:
            return fit_collection_selection(writer, config, writer.collection, progress)
        with Collection.open(source) as other:
            if other.meta("fingerprint") != writer.collection.meta("fingerprint"):
                raise CollectionMismatchError(
                    f"{source}: has another configuration or other weights than {collection}"
                )
            return fit_collection_selection(writer, config, other, progress)


def fit_missing_selection(writer: Writer, progress: Progress) -> str | None:
    """Fit the first selection of a collection, or its whitening when it has grown.

    A selection that stands in for a whitening gives way to it once there are photos enough.

    Returns:
        What there is to say about it.
    """
    collection, config = writer.collection, writer.collection.reduction_config
    if not collection.config.reducible or isinstance(config, NoReduction):
        return None
    before, photos = collection.fit_info("selection"), collection.count("ok")
    if before is not None:
        config = stored_reduction(before.get("instead_of") or before["config"])
        refit_at = config.refit_photos(before["photos"], fallback="instead_of" in before)
        if refit_at is None or photos < refit_at:
            return None
    elif photos < config.auto_fit_photos:
        return (
            f"searching compares all values of the descriptors: {config.label} needs "
            f"{config.auto_fit_photos} photos or more"
        )
    try:
        fitted = fit_collection_selection(writer, config, collection, progress)
    except FitError as error:
        return f"searching compares all values of the descriptors: {error}"
    return (
        f"fitted {config.for_photos(photos).label} of {fitted.features} of "
        f"{fitted.dimensions} values on {fitted.photos} photos (fit it anew with: resight fit)"
    )


def fit_collection_selection(
    writer: Writer, config: ReductionConfig, source: Collection, progress: Progress
) -> FitRun:
    """Fit a selection or whitening on the descriptors of a collection and store it in the writer's.

    What was fitted before is forgotten where the configuration asks for all values.

    Raises:
        UsageError: the descriptors of the writer's collection cannot be made shorter.
        FitError: too few photos, or fewer usable values than wanted.
    """
    extraction = writer.collection.config
    if not extraction.reducible:
        raise UsageError(f"{writer.collection.folder}: {extraction.label} has no selection to fit")
    photos = source.count("ok")
    first = next(source.photo_descriptors(), None)
    if first is None:
        raise FitError(f"{source.folder}: holds no photos to fit a selection on")
    if isinstance(config, NoReduction):
        writer.disable_reduction()
        return FitRun(len(first[1]), len(first[1]), photos)
    asked, config = config, config.for_photos(photos)
    progress(f"fitting {config.label}", 0, 1)
    sizes = extraction.part_sizes(len(first[1]))
    selection = fit_reduction(lambda: _blocks(source), sizes, config)
    progress(f"fitting {config.label}", 1, 1)
    fitted_on = {
        "collection": str(absolute(source.folder)),
        "photos": photos,
        "values": selection.dimensions,
    }
    if config != asked:
        # It is what was asked for that is fitted when there are enough photos.
        fitted_on["instead_of"] = asked.to_dict()
    writer.store_reduction(selection, config, fitted_on)
    return FitRun(selection.dimensions, len(first[1]), photos)


def _blocks(collection: Collection) -> Iterator[np.ndarray]:
    block: list[np.ndarray] = []
    for _, global_, _ in collection.photo_descriptors():
        block.append(global_)
        if len(block) == FIT_BLOCK:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def _sample(files: Sequence[PhotoFile], most: int, seed: int) -> list[PhotoFile]:
    """So many of some files by chance: the same ones in whatever order they are given."""
    by_path = sorted(files, key=lambda file: file.path)
    return random.Random(seed).sample(by_path, min(most, len(by_path)))


def learn(learner: Fittable, files: Sequence[PhotoFile], progress: Progress) -> Lesson:
    """Let a method learn from a sample of photos.

    Raises:
        FitError: none of the photos can be read, or they have too few local features.
    """
    chosen = _sample(files, SAMPLE_PHOTOS, learner.seed)
    generator = np.random.default_rng(learner.seed)
    share = -(-learner.max_samples // max(1, len(chosen)))
    photos, failed = [], []
    for done, file in enumerate(chosen, 1):
        progress("sampling", done, len(chosen))
        try:
            features = learner.sample(load_image(file.path, learner.decode_size))
        except ImageError as error:
            failed.append(f"{file.path}: {error}")  # where others can be read, the run lists it
            continue
        photos.append([kind[generator.permutation(len(kind))[:share]] for kind in features])
    if not photos:
        raise FitError(
            f"none of the photos can be read ({'; '.join(failed[:3])}): "
            "there is nothing to fit a vocabulary on"
        )
    progress("learning", 0, 1)
    learned = learner.fit(photos)
    progress("learning", 1, 1)
    return learned, {
        "photos": len(photos),
        "local_features": sum(len(kind) for features in photos for kind in features),
        "seed": learner.seed,
    }


def fit_quantized_network(
    config: ExtractionConfig, model: Model, files: Sequence[PhotoFile], progress: Progress
) -> QuantizedNetwork:
    """Quantise the network of an int8 collection on a sample of its photos.

    Raises:
        FitError: none of the photos can be read.
        WeightsError: the weights do not fit.
    """
    from resight.networks.parameters import load_parameters
    from resight.networks.quantization import quantize

    chosen = _sample(files, CALIBRATION_PHOTOS, seed=0)
    pictures, failed = [], []
    for done, file in enumerate(chosen, 1):
        progress("sampling", done, len(chosen))
        resolution = config.resolutions[done % len(config.resolutions)]
        try:
            image = load_image(file.path, 2 * resolution)
        except ImageError as error:
            failed.append(f"{file.path}: {error}")  # where others can be read, the run lists it
            continue
        pictures += resized_copies(
            image,
            (resolution,),
            filter=config.resize_filter,
            upscale=config.upscale,
            square=config.square,
        )
    if not pictures:
        raise FitError(
            f"none of the photos can be read ({'; '.join(failed[:3])}): "
            "there is nothing to quantise the network on"
        )
    if model.path is None:
        raise FitError("a network needs a weights file")
    parameters = load_parameters(config.backbone, model.path, model.sha256)
    progress("quantising", 0, 1)
    network = quantize(config.backbone, parameters, config.network_layers(), iter(pictures))
    progress("quantising", 1, 1)
    return network, {"photos": len(pictures)}
