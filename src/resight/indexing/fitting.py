"""Fit the selection or whitening of a collection's descriptors."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import Collection
from resight.collection.writer import Writer, writing
from resight.config import ReductionConfig, reduction_from_dict, stored_reduction
from resight.errors import CollectionMismatchError, FitError, UsageError
from resight.photos import PathLike, absolute
from resight.progress import Progress, no_progress
from resight.reductions import fit_reduction

FIT_BLOCK = 1024
"""Number of descriptors that are read at a time."""


@dataclass(frozen=True)
class FitRun:
    """A fitted selection or whitening.

    Attributes:
        features: number of values that are compared.
        dimensions: number of values of a descriptor.
        photos: number of photos it was fitted on.
    """

    features: int
    dimensions: int
    photos: int

    def to_dict(self) -> dict[str, int]:
        """Return the fields as JSON values."""
        return asdict(self)


def fit(
    collection: PathLike,
    *,
    source: PathLike | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> FitRun:
    """Refit the selection or whitening of a collection.

    Args:
        collection: the collection's folder.
        source: another collection of the same configuration to fit on.
        progress: called before and after.
        **changes: fields of `SelectionConfig` or `WhiteningConfig` that differ from the
            collection's configuration, such as `features=512`; None leaves a field as it is.
            `method` (pfa, whitening or none) chooses between them.

    Raises:
        UsageError: no such field, or an invalid value.
        FitError: too few photos, or fewer usable values than `features`.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    with writing(Path(collection)) as writer:
        stored = writer.collection.reduction_config.to_dict()
        same_method = changes.get("method", stored["method"]) == stored["method"]
        config = reduction_from_dict({**(stored if same_method else {}), **changes})
        if source is None:
            return _fit_and_store(writer, config, writer.collection, progress)
        with Collection.open(Path(source)) as other:
            if other.meta("fingerprint") != writer.collection.meta("fingerprint"):
                raise CollectionMismatchError(
                    f"{source}: has another configuration or other weights than {collection}"
                )
            return _fit_and_store(writer, config, other, progress)


def fit_automatically(writer: Writer, progress: Progress) -> str | None:
    """Fit the first reduction of a collection, or refit its whitening when it has grown.

    A selection that is the fallback for a whitening is replaced once there are enough photos.

    Returns:
        A note for the user, if any.
    """
    collection = writer.collection
    config = collection.reduction_config
    if not collection.config.reducible or config.method == "none":
        return None
    photos = collection.count("ok")
    previous = collection.fit_info("selection")
    if previous is not None:
        config = stored_reduction(previous.get("instead_of") or previous["config"])
        refit_at = config.refit_photos(previous["photos"], fallback="instead_of" in previous)
        if refit_at is None or photos < refit_at:
            return None
    elif photos < config.auto_fit_photos:
        return (
            f"searching compares all values of the descriptors: {config.label} needs "
            f"{config.auto_fit_photos} photos or more"
        )
    try:
        run = _fit_and_store(writer, config, collection, progress)
    except FitError as error:
        return f"searching compares all values of the descriptors: {error}"
    return (
        f"fitted {config.for_photos(photos).label} of {run.features} of {run.dimensions} values "
        f"on {run.photos} photos (refit it with: resight fit)"
    )


def _fit_and_store(
    writer: Writer, config: ReductionConfig, source: Collection, progress: Progress
) -> FitRun:
    """Fit a reduction on a collection's descriptors and store it in the writer's collection."""
    method = writer.collection.config
    if not method.reducible:
        raise UsageError(f"{writer.collection.folder}: {method.label} has no selection to fit")
    photos = source.count("ok")
    first = next(source.photo_descriptors(), None)
    if first is None:
        raise FitError(f"{source.folder}: holds no photos to fit a selection on")
    dimensions = len(first[1])
    if config.method == "none":
        writer.disable_reduction()
        return FitRun(dimensions, dimensions, photos)
    applied = config.for_photos(photos)
    progress(f"fitting {applied.label}", 0, 1)
    reduction = fit_reduction(lambda: _blocks(source), method.part_sizes(dimensions), applied)
    progress(f"fitting {applied.label}", 1, 1)
    info: dict[str, Any] = {
        "collection": str(absolute(source.folder)),
        "photos": photos,
        "values": reduction.dimensions,
    }
    if applied != config:
        info["instead_of"] = config.to_dict()  # fitted once there are enough photos
    writer.store_reduction(reduction, applied, info)
    return FitRun(reduction.dimensions, dimensions, photos)


def _blocks(collection: Collection) -> Iterator[np.ndarray]:
    """Yield the global descriptors in blocks, float32 (n, D)."""
    photos = collection.photo_descriptors()
    while block := list(itertools.islice(photos, FIT_BLOCK)):
        yield np.stack([global_ for _, global_, _ in block])
