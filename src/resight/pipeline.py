"""Everything Resight does, one function each: the command line and the Python API stand on these.

The functions take paths and options, open and close what they need, and return small frozen
results. Long ones report to a `progress` function of what, how many done, how many in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.config import (
    ExtractionConfig,
    MethodConfig,
    SearchConfig,
    reduction_from_dict,
    to_dict,
)
from resight.descriptors.extractor import Extractor
from resight.errors import CollectionMismatch, UsageError
from resight.evaluation.comparing import Evaluation, evaluate, groups
from resight.indexing.describing import Described, describe
from resight.indexing.fitting import (
    MIN_PHOTOS_TO_FIT,
    FitRun,
    Vocabulary,
    fit_collection_selection,
    fit_missing_selection,
    fit_photo_vocabulary,
    fit_quantized_network,
)
from resight.indexing.plan import IndexReport, Plan, check_room, plan_run, run_plan
from resight.methods import (
    ModelOptions,
    cnn_extractor,
    cnn_model,
    collection_extractor,
    vocabulary_model,
)
from resight.networks.quantization import check_possible
from resight.photos.files import absolute, find_photos, is_under
from resight.photos.images import Box
from resight.progress import Progress, no_progress
from resight.searching.searcher import Searcher, SearchResults
from resight.storage.approximating import check_approximate, keep_approximate
from resight.storage.collection import Collection
from resight.storage.overview import Info, info
from resight.storage.writer import Writer, check_place, writing
from resight.wanted import requested

__all__ = [
    "Described",
    "Evaluation",
    "IndexRun",
    "Info",
    "describe",
    "evaluate",
    "fit",
    "groups",
    "index",
    "info",
    "no_progress",
    "remove",
    "search",
]


@dataclass(frozen=True)
class IndexRun:
    """What `index` did: the report of the photos, and what it says of the selection."""

    report: IndexReport
    photos: int
    selection_note: str | None


def index(
    photos: Sequence[Path],
    collection: Path,
    *,
    config: str | MethodConfig | None = None,
    cam: bool | None = None,
    precision: str | None = None,
    model: ModelOptions | None = None,
    workers: int = 1,
    prune: bool = False,
    approximate: bool | None = None,
    progress: Progress = no_progress,
) -> IndexRun:
    """Bring a collection up to date with the photos under some folders and files.

    New and changed photos are described, moved ones recognised by their content, files that
    cannot be read are listed. An interrupt (Ctrl-C) ends the run cleanly; the next run goes on.

    Args:
        photos: folders (searched recursively) and files.
        collection: the collection's folder, made where it does not exist.
        config: a preset, a TOML file or a configuration; None is the collection's own, `paper`
            for a new one.
        cam: class activation maps on or off; None as the configuration says.
        precision: what the network computes in; None as the configuration says.
        model: weights and device.
        workers: threads that prepare photos while the network works.
        prune: remove photos from the collection that are gone from the disk.
        approximate: make an approximate index, or add to it; None for large collections, where
            that is possible.
        progress: called after each photo.

    Raises:
        UsageError: a path does not exist, or a new collection would be empty.
        CollectionError: see `resight.errors`.
        WeightsError: photos are to be described and no weights are found.
        FitError: no vocabulary can be fitted on the photos of a new `sift-vlad` collection.
    """
    model = model or ModelOptions()
    places = [absolute(path) for path in photos]
    walk = find_photos(places)
    new, loaded, fitted, quantized = None, None, None, None
    if Collection.exists(collection):
        with Collection.open(collection) as existing:
            _check_wanted(existing, config, cam, precision)
            if approximate:
                check_approximate(existing.config, existing.selection_config)
    else:
        new = requested(config, cam, precision)
        if approximate:
            check_approximate(*new)
        if not walk.photos:
            names = ", ".join(map(str, photos))
            raise UsageError(f"{names}: no photos there, so there is nothing to index")
        check_place(collection)
        # Without a network that can be used, or a vocabulary, there shall be no empty collection,
        # nor one that remembers those weights.
        if isinstance(new[0], ExtractionConfig):
            weights = cnn_model(new[0], model)
            if new[0].precision == "int8":
                check_possible(model.engine)
                quantized = fit_quantized_network(new[0], weights, walk.photos, progress)
            loaded = cnn_extractor(new[0], weights, model, quantized and quantized[0])
        else:
            fitted = fit_photo_vocabulary(new[0], walk.photos, progress)
    with writing(collection, new) as writer:
        plan = plan_run(writer.collection, places, walk)
        if quantized is not None:
            writer.store_quantized_network(*quantized)
        extractor = _extractor_for(writer, plan, model, loaded, fitted, progress)
        if extractor is not None:
            check_room(writer.collection, plan, extractor.dimensions)
        report = run_plan(writer, plan, extractor, workers=workers, progress=progress)
        if prune and not report.interrupted:
            gone = set(report.vanished)
            writer.remove([photo for photo in plan.vanished if photo.path in gone])
            report.pruned = len(gone)
        described = report.new + report.changed > 0
        # A run that was killed before it fitted leaves that to the next one, which finds all known.
        enough = writer.collection.count("ok") >= MIN_PHOTOS_TO_FIT
        fits = (described or enough) and not report.interrupted
        note = fit_missing_selection(writer, progress) if fits else None
        if not report.interrupted:
            keep_approximate(writer.collection, approximate, progress)
        return IndexRun(report, writer.collection.count("ok"), note)


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
        stored = to_dict(writer.collection.selection_config)
        kept = stored if changes.get("method", stored["method"]) == stored["method"] else {}
        config = reduction_from_dict({**kept, **changes})
        if source is None:
            return fit_collection_selection(writer, config, writer.collection, progress)
        with Collection.open(source) as other:
            if other.meta("fingerprint") != writer.collection.meta("fingerprint"):
                raise CollectionMismatch(
                    f"{source}: has another configuration or other weights than {collection}"
                )
            return fit_collection_selection(writer, config, other, progress)


def search(
    query: Path,
    collection: Path,
    config: SearchConfig | None = None,
    *,
    box: Box | None = None,
    model: ModelOptions | None = None,
) -> SearchResults:
    """The photos of a collection nearest to a photo or a region of it; see `Searcher.search`."""
    with Collection.open(collection) as opened:
        return Searcher(opened, model).search(query, config or SearchConfig(), box)


def remove(paths: Sequence[Path], collection: Path) -> list[Path]:
    """Forget photos (or all below a folder); the files themselves are never touched.

    Returns:
        The paths removed.

    Raises:
        UsageError: a path names no photo of the collection; nothing is removed then.
    """
    places = [absolute(path) for path in paths]
    with writing(collection) as writer:
        photos = list(writer.collection.photos())
        for named, place in zip(paths, places, strict=True):
            if not any(is_under(photo.path, [place]) for photo in photos):
                raise UsageError(f"{named}: no photo of {collection} is there; nothing was removed")
        chosen = [photo for photo in photos if is_under(photo.path, places)]
        writer.remove(chosen)
        return [photo.path for photo in chosen]


def _check_wanted(
    existing: Collection,
    config: str | MethodConfig | None,
    cam: bool | None,
    precision: str | None,
) -> None:
    """Refuse a configuration that is not the collection's."""
    stored = existing.config
    if config is None:
        wanted = requested(stored, cam, precision)[0]
    else:
        wanted = requested(config, cam, precision)[0]
    if wanted == stored:
        return
    ours, theirs = to_dict(stored), to_dict(wanted)
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
    raise CollectionMismatch(
        f"{existing.folder}: was made with another configuration ({details}); leave the "
        "options out, or make a new collection"
    )


def _extractor_for(
    writer: Writer,
    plan: Plan,
    options: ModelOptions,
    loaded: Extractor | None,
    fitted: Vocabulary | None,
    progress: Progress,
) -> Extractor | None:
    """The extractor the plan needs, if it is not loaded; the model is remembered and guarded."""
    collection, config = writer.collection, writer.collection.config
    if not plan.todo and options.weights is None:
        return None
    if isinstance(config, ExtractionConfig):
        known = collection.model
        weights = cnn_model(config, options, known.path if known else None)
        if config.precision == "int8" and collection.quantized_network() is None and plan.todo:
            # Of a run that was killed before it stored one.
            network = fit_quantized_network(config, weights, plan.todo, progress)
            writer.store_quantized_network(*network)
        # Loaded first: weights that cannot be used are not remembered.
        extractor = loaded
        if extractor is None and plan.todo:
            extractor = collection_extractor(collection, options)
        writer.bind_model(weights)
        return extractor
    if collection.vocabulary() is None and plan.todo:
        writer.store_vocabulary(*(fitted or fit_photo_vocabulary(config, plan.todo, progress)))
    vocabulary = collection.vocabulary()
    if vocabulary is not None:
        writer.bind_model(vocabulary_model(vocabulary))
    return collection_extractor(collection, options) if plan.todo else None
