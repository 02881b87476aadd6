"""Fit the reduction of a collection's descriptors: a selection, a whitening or an adaptation."""

import contextlib
import functools
import itertools
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import Collection
from resight.collection.writer import Writer, writing
from resight.config import ReductionConfig, WccnConfig, reduction_from_dict, stored_reduction
from resight.descriptors.extractor import Extractor
from resight.errors import CollectionMismatchError, FitError, UsageError, WeightsError
from resight.indexing.adaptation import describe_copies, variations_of
from resight.methods.model import ModelOptions
from resight.photos import PathLike, absolute
from resight.progress import Progress, no_progress
from resight.reductions import fit_reduction, no_variations
from resight.reductions.wccn import MAX_ROWS, Variations
from resight.reductions.whitening import Blocks

FIT_BLOCK = 1024
"""Number of descriptors that are read at a time."""


@dataclass(frozen=True)
class FitRun:
    """A fitted reduction.

    Attributes:
        features: number of values that are compared.
        dimensions: number of values of a descriptor.
        photos: number of photos it was fitted on.
        method: what was fitted: pfa, whitening, wccn or none.
    """

    features: int
    dimensions: int
    photos: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def fit(
    collection: PathLike,
    *,
    source: PathLike | None = None,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> FitRun:
    """Refit the selection, whitening or adaptation of a collection.

    Args:
        collection: the collection's folder.
        source: another collection of the same configuration to fit on.
        model: weights, runtime and device, with which an adaptation describes varied copies.
        progress: called before and after, and for each photo that is varied.
        **changes: fields of `SelectionConfig`, `WhiteningConfig` or `WccnConfig` that differ from
            the collection's configuration, such as `features=512`; None leaves a field as it is.
            `method` (pfa, whitening, wccn or none) chooses between them.

    Raises:
        UsageError: no such field, or an invalid value.
        FitError: too few photos, or fewer usable values than `features`.
        WeightsError: an adaptation needs a network, and no weights were found.
    """
    options = model or ModelOptions()
    changes = {name: value for name, value in changes.items() if value is not None}
    with writing(Path(collection)) as writer:
        stored = writer.collection.reduction_config.to_dict()
        same_method = changes.get("method", stored["method"]) == stored["method"]
        config = reduction_from_dict({**(stored if same_method else {}), **changes})
        if source is None or os.path.realpath(source) == os.path.realpath(collection):
            return _fit_and_store(writer, config, writer.collection, options, progress)
        with Collection.open(Path(source)) as other:
            if other.meta("fingerprint") != writer.collection.meta("fingerprint"):
                raise CollectionMismatchError(
                    f"{source}: has another configuration or other weights than {collection}"
                )
            return _fit_and_store(writer, config, other, options, progress)


def fit_automatically(
    writer: Writer, options: ModelOptions, progress: Progress
) -> tuple[bool, str | None]:
    """Fit the first reduction of a collection, or refit it when the collection has grown.

    A selection that is the fallback for a whitening is replaced once there are enough photos.

    Returns:
        Whether anything was fitted, and a note for the user, if any.
    """
    collection = writer.collection
    config = collection.reduction_config
    if not collection.config.reducible or config.method == "none":
        return False, None
    photos = collection.count("ok")
    previous = collection.fit_info("selection")
    if previous is not None:
        config = stored_reduction(previous.get("instead_of") or previous["config"])
        refit_at = config.refit_photos(previous["photos"], fallback="instead_of" in previous)
        if refit_at is None or photos < refit_at:
            return False, None
    elif photos < config.auto_fit_photos:
        return False, (
            f"searches compare all values of the descriptors until there are "
            f"{config.auto_fit_photos} photos for {config.label}"
        )
    try:
        run = _fit_and_store(writer, config, collection, options, progress)
    except (FitError, WeightsError) as error:
        searching = "searches compare all values of the descriptors"
        if previous is not None:
            searching = f"searches use the parameters fitted on {previous['photos']} photos"
        return False, f"{searching}: {error}"
    sizes = f"{run.features} of {run.dimensions} values"
    if run.method == "wccn":
        done = f"adapted {sizes} to {run.photos} photos"
    else:
        done = f"fitted {config.for_photos(photos).label} of {sizes} on {run.photos} photos"
    return True, f"{done} (refit it with: resight fit)"


def _fit_and_store(
    writer: Writer,
    config: ReductionConfig,
    source: Collection,
    options: ModelOptions,
    progress: Progress,
) -> FitRun:
    """Fit a reduction on a collection's descriptors and store it in the writer's collection."""
    method = writer.collection.config
    if not method.reducible:
        raise UsageError(f"{writer.collection.folder}: {method.label} has no selection to fit")
    photos = source.count("ok")
    first = next(source.photo_descriptors(), None)
    if first is None:
        raise FitError(f"{source.folder}: holds no photos to fit on")
    dimensions = len(first[1])
    if config.method == "none":
        writer.disable_reduction()
        return FitRun(dimensions, dimensions, photos, config.method)
    applied = config.for_photos(photos)
    blocks: Blocks = functools.partial(_blocks, source)
    variations: Variations = no_variations
    if isinstance(applied, WccnConfig):
        _check_enough(source, applied)
        sample = source.sample_contents(applied.sample)
        with _writing_to(source, writer) as source_writer:
            load = functools.partial(_load_extractor, source, options)
            describe_copies(source_writer, sample, applied.copies, load, progress)
        blocks = functools.partial(_sampled_blocks, source)
        variations = variations_of(source, sample, applied.copies)
    progress(f"fitting {applied.label}", 0, 1)
    reduction = fit_reduction(blocks, method.part_sizes(dimensions), applied, variations)
    progress(f"fitting {applied.label}", 1, 1)
    info: dict[str, Any] = {
        "collection": str(absolute(source.folder)),
        "photos": photos,
        "values": reduction.dimensions,
    }
    if isinstance(applied, WccnConfig):
        info["sampled"] = sum(1 for _ in variations())
    if applied != config:
        info["instead_of"] = config.to_dict()  # fitted once there are enough photos
    writer.store_reduction(reduction, applied, info)
    return FitRun(reduction.dimensions, dimensions, photos, applied.method)


def _check_enough(source: Collection, config: WccnConfig) -> None:
    """Refuse to adapt to too few photos, before copies of them are described.

    Raises:
        FitError: fewer contents than `min_photos`.
    """
    contents = len(source.sample_contents(config.min_photos))
    if contents < config.min_photos:
        raise FitError(
            f"adapting needs {config.min_photos} different photos or more, not {contents}"
        )


def _blocks(collection: Collection) -> Iterator[np.ndarray]:
    """Yield the global descriptors in blocks, float32 (n, D), each content once."""
    photos = collection.photo_descriptors(distinct=True)
    while block := list(itertools.islice(photos, FIT_BLOCK)):
        yield np.stack([global_ for _, global_, _ in block])


def _sampled_blocks(collection: Collection) -> Iterator[np.ndarray]:
    """Yield global descriptors of a sample in blocks, float32 (n, D), whatever the photos' IDs."""
    contents = iter(collection.sample_contents(MAX_ROWS))
    while block := list(itertools.islice(contents, FIT_BLOCK)):
        stored = map(collection.descriptors, block)
        yield np.stack([descriptors.global_ for descriptors in stored if descriptors is not None])


@contextlib.contextmanager
def _writing_to(source: Collection, writer: Writer) -> Iterator[Writer]:
    """Lock a collection for writing, unless it is the writer's."""
    if source is writer.collection:
        yield writer
    else:
        with writing(source) as other:
            yield other


def _load_extractor(collection: Collection, options: ModelOptions) -> Extractor:
    return collection.fitted_method(options).load_extractor(options)
