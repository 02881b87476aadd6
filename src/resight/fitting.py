"""What is fitted on a collection's own photos: the selection, and the vocabulary of `sift-vlad`."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.collection import Collection, Model
from resight.config import ExtractionConfig, SelectionConfig, SiftVladConfig
from resight.errors import FitError, ImageError, UsageError
from resight.files import PhotoFile, absolute
from resight.images import load_image, resized_copies
from resight.indexing import Progress
from resight.selection import fit_selection
from resight.writer import Writer

MIN_PHOTOS_TO_FIT = 2 * 64
"""An index run fits a selection by itself from so many photos on."""

FIT_BLOCK = 1024

Vocabulary = tuple[np.ndarray, dict[str, Any]]
"""Visual words, float32 (centers, 128), and what they were fitted on."""

QuantizedNetwork = tuple[bytes, dict[str, Any]]
"""A network in 8-bit integers, and what it was calibrated on."""

CALIBRATION_PHOTOS = 100
"""Photos on which a network is quantised, at most; each at one of the resolutions."""

SAMPLE_PHOTOS = 300
"""Photos whose local features a vocabulary is fitted on, at most."""


@dataclass(frozen=True)
class FitRun:
    """A fitted selection: values kept, out of how many, from how many photos."""

    features: int
    dimensions: int
    photos: int


def fit_missing_selection(writer: Writer, progress: Progress) -> str | None:
    """Fit the first selection of a collection; what there is to say about it."""
    collection = writer.collection
    if not isinstance(collection.config, ExtractionConfig) or collection.selection():
        return None
    config, photos = collection.selection_config, collection.count("ok")
    if photos < MIN_PHOTOS_TO_FIT:
        return (
            f"searching compares all values of the descriptors: a selection needs "
            f"{MIN_PHOTOS_TO_FIT} photos or more"
        )
    try:
        fitted = fit_collection_selection(writer, config, collection, progress)
    except FitError as error:
        return f"searching compares all values of the descriptors: {error}"
    return (
        f"fitted a selection of {fitted.features} of {fitted.dimensions} values on "
        f"{fitted.photos} photos (fit it anew with: resight fit)"
    )


def fit_collection_selection(
    writer: Writer, config: SelectionConfig, source: Collection, progress: Progress
) -> FitRun:
    """Fit a selection on the descriptors of a collection and store it in the writer's.

    Raises:
        UsageError: the writer's collection is not of the CNN.
        FitError: too few photos, or fewer usable values than wanted.
    """
    if not isinstance(writer.collection.config, ExtractionConfig):
        raise UsageError(f"{writer.collection.folder}: sift-vlad has no selection to fit")
    photos = source.count("ok")
    first = next(source.photo_descriptors(), None)
    if first is None:
        raise FitError(f"{source.folder}: holds no photos to fit a selection on")
    progress("fitting a selection", 0, 1)
    selection = fit_selection(_blocks(source), config)
    progress("fitting a selection", 1, 1)
    fitted_on = {"collection": str(absolute(source.folder)), "photos": photos}
    writer.store_selection(selection, config, fitted_on)
    return FitRun(len(selection.indices), len(first[1]), photos)


def _blocks(collection: Collection) -> Iterator[np.ndarray]:
    block: list[np.ndarray] = []
    for _, global_, _ in collection.photo_descriptors():
        block.append(global_)
        if len(block) == FIT_BLOCK:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def fit_photo_vocabulary(
    config: SiftVladConfig, files: Sequence[PhotoFile], progress: Progress
) -> Vocabulary:
    """Fit the vocabulary of a `sift-vlad` collection on a sample of its photos.

    Raises:
        FitError: none of the photos can be read, or they have too few local features.
    """
    from resight.sift import root_sift
    from resight.vlad import fit_vocabulary

    chosen = random.Random(config.seed).sample(list(files), min(SAMPLE_PHOTOS, len(files)))
    generator = np.random.default_rng(config.seed)
    share = -(-config.sample // max(1, len(chosen)))
    parts, failed = [], []
    for done, file in enumerate(chosen, 1):
        progress("sampling", done, len(chosen))
        try:
            features = root_sift(load_image(file.path, 2 * config.longest_side), config)
        except ImageError as error:
            failed.append(f"{file.path}: {error}")  # where others can be read, the run lists it
            continue
        rows = generator.permutation(len(features.descriptors))[:share]
        parts.append(features.descriptors[rows])
    if not parts:
        raise FitError(
            f"none of the photos can be read ({'; '.join(failed[:3])}): "
            "there is nothing to fit a vocabulary on"
        )
    sample = np.concatenate(parts)
    vocabulary = fit_vocabulary(sample, config.centers, config.seed)
    return vocabulary, {
        "photos": len(parts),
        "local_features": len(sample),
        "seed": config.seed,
    }


def fit_quantized_network(
    config: ExtractionConfig, model: Model, files: Sequence[PhotoFile], progress: Progress
) -> QuantizedNetwork:
    """Quantise the network of an int8 collection on a sample of its photos.

    Raises:
        FitError: none of the photos can be read.
        WeightsError: the weights do not fit.
    """
    from resight.backbones import load_parameters
    from resight.quantization import quantize

    chosen = random.Random(0).sample(list(files), min(CALIBRATION_PHOTOS, len(files)))
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
            image, (resolution,), filter=config.resize_filter, upscale=config.upscale
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
    network = quantize(config.backbone, parameters, iter(pictures))
    progress("quantising", 1, 1)
    return network, {"photos": len(pictures)}
