"""Everything Resight does, one function each: the command line and the Python API stand on these.

The functions take paths and options, open and close what they need, and return small frozen
results. Long ones report to a `progress` function of what, how many done, how many in all.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resight.collection.ann_index import check_ann_supported, update_ann_index
from resight.collection.reader import Collection
from resight.collection.writer import Writer, check_creatable, writing
from resight.config import (
    ConfigPair,
    MethodConfig,
)
from resight.config.reduction import AUTO_FIT_PHOTOS
from resight.descriptors.extractor import Extractor
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing.cluster.distributed_extraction import describe_plan
from resight.indexing.cluster.ray_cluster import connected
from resight.indexing.extraction import PhotoResult, describe_files
from resight.indexing.fitting import (
    fit_missing_selection,
)
from resight.indexing.method_setup import extractor_for, make_method
from resight.indexing.plan import IndexReport, Plan, plan_run, run_plan
from resight.indexing.preflight import check_resources
from resight.methods.model import ModelOptions
from resight.methods.resolve import resolve_config
from resight.photos.files import find_photos, read_lists
from resight.photos.paths import absolute
from resight.progress import Progress, no_progress


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
    config: str | MethodConfig | ConfigPair | None = None,
    cam: bool | None = None,
    precision: str | None = None,
    model: ModelOptions | None = None,
    workers: int = 1,
    prune: bool = False,
    approximate: bool | None = None,
    on: str | None = None,
    segments: Path | None = None,
    progress: Progress = no_progress,
) -> IndexRun:
    """Bring a collection up to date with the photos under some folders and files.

    New and changed photos are described, moved ones recognised by their content, files that
    cannot be read are listed. An interrupt (Ctrl-C) ends the run cleanly; the next run goes on.

    Args:
        photos: folders (searched recursively), files, URLs of object stores, and `@FILE` for a
            list of them, one a line.
        collection: the collection's folder, made where it does not exist.
        config: a preset's name, a TOML file, or a configuration, with its selection or without;
            None is the collection's own, `paper` for a new one.
        cam: class activation maps on or off; None as the configuration says.
        precision: what the network computes in; None as the configuration says.
        model: weights and device.
        workers: threads that prepare photos while the network works.
        prune: remove photos from the collection that are gone from the disk.
        approximate: make an approximate index, or add to it; None for large collections, where
            that is possible.
        on: a Ray cluster to describe on, as `cluster.on_ray.connected` takes it; None is this
            machine. The result is the same.
        segments: where what the cluster described is kept; None keeps it in the collection's
            folder until it is in the collection.
        progress: called after each photo.

    Raises:
        UsageError: a path does not exist, or a new collection would be empty.
        CollectionError: see `resight.errors`.
        WeightsError: photos are to be described and no weights are found.
        FitError: the photos are too few, or too plain, for what the method learns from them.
        ClusterError: the cluster cannot be reached or used.
    """
    model = model or ModelOptions()
    if segments is not None and on is None:
        raise UsageError("--segments: only with --on, for this machine alone needs none")
    places = [absolute(path) for path in read_lists(photos)]
    walk = find_photos(places)
    new, made = None, None
    if Collection.exists(collection):
        with Collection.open(collection) as existing:
            _check_wanted(existing, config, cam, precision)
            if approximate:
                check_ann_supported(existing.config, existing.reduction_config)
    else:
        new = resolve_config(config, cam, precision)
        if approximate:
            check_ann_supported(*new)
        if not walk.photos:
            names = ", ".join(map(str, photos))
            raise UsageError(f"{names}: no photos there, so there is nothing to index")
        check_creatable(collection)
    with contextlib.ExitStack() as stack:
        ray = None if on is None else stack.enter_context(connected(on))
        if new is not None:
            # Without a network that can be used, or a vocabulary, there shall be no empty
            # collection, nor one that remembers those weights.
            made = make_method(new[0], model, walk.photos, progress)
        writer = stack.enter_context(writing(collection, new))
        plan = plan_run(writer.collection, places, walk)
        extractor = extractor_for(writer, plan, model, made, progress)
        if extractor is not None:
            check_resources(writer.collection, plan, extractor.dimensions, here=ray is None)
        if ray is None:
            outcomes = _describe_here(writer, plan, extractor, workers)
        else:
            cluster = ray, writer.collection, plan, model
            outcomes = describe_plan(*cluster, workers, segments, progress)
        report = run_plan(writer, plan, outcomes, progress)
        if prune and not report.interrupted:
            gone = set(report.vanished)
            writer.remove([photo for photo in plan.vanished if photo.path in gone])
            report.pruned = len(gone)
        return complete(writer, report, approximate, progress)


def complete(
    writer: Writer, report: IndexReport, approximate: bool | None, progress: Progress
) -> IndexRun:
    """What is made of a collection's photos once they are all there; an interrupt leaves it."""
    note = None
    if not report.interrupted:
        described = report.new + report.changed > 0
        # A run that was killed before it fitted leaves that to the next one, which finds all known.
        if described or writer.collection.count("ok") >= AUTO_FIT_PHOTOS:
            note = fit_missing_selection(writer, progress)
        update_ann_index(writer.collection, approximate, progress)
    return IndexRun(report, writer.collection.count("ok"), note)


def _check_wanted(
    existing: Collection,
    config: str | MethodConfig | ConfigPair | None,
    cam: bool | None,
    precision: str | None,
) -> None:
    """Refuse a configuration that is not the collection's."""
    stored = existing.config
    if config is None:
        wanted = resolve_config(stored, cam, precision)[0]
    else:
        wanted = resolve_config(config, cam, precision)[0]
    if wanted == stored:
        return
    ours, theirs = stored.to_dict(), wanted.to_dict()
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
    raise CollectionMismatchError(
        f"{existing.folder}: was made with another configuration ({details}); leave the "
        "options out, or make a new collection"
    )


def _describe_here(
    writer: Writer, plan: Plan, extractor: Extractor | None, workers: int
) -> Iterator[Sequence[PhotoResult]]:
    """Describe the photos of a plan on this machine, one at a time."""
    if extractor is not None:
        known = writer.collection.described_contents()
        for outcome in describe_files(plan.todo, extractor, known=known, workers=workers):
            yield (outcome,)
