"""The photo path: from folders of photos to an indexed collection."""

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resight.collection import Collection
from resight.collection.ann_index import check_ann_supported, update_ann_index
from resight.collection.folders import forget, places_of, remember
from resight.collection.moves.journal import Journal
from resight.collection.writer import Writer, check_creatable, writing
from resight.config import ConfigPair, MethodConfig
from resight.descriptors.extractor import Description, Extractor
from resight.errors import CollectionMismatchError, UsageError
from resight.indexing.cluster import extract_on_cluster
from resight.indexing.cluster.ray_cluster import connected
from resight.indexing.evidence import MIN_WORKERS, WithEvidence, complete_evidence
from resight.indexing.extraction import PhotoResult, extract_photos
from resight.indexing.fitting import fit_automatically
from resight.indexing.method_setup import fit_method, load_extractor
from resight.indexing.plan import (
    Plan,
    check_prunable,
    check_resources,
    find_gone_places,
    plan_run,
)
from resight.indexing.recording import IndexReport, record_results
from resight.methods import resolve_config
from resight.methods.model import ModelOptions
from resight.photos import PathLike, absolute, as_paths, path_text
from resight.photos.files import ScanResult, find_photos, read_lists
from resight.progress import Progress, no_progress

STREAMS = min(os.cpu_count() or 1, 4)
"""Photos that the network computes at the same time: without evidence, a run takes a sixth less
time than with one after the other; more would take too much memory."""
STREAMED = 50
"""Fewest photos for which it pays off to compile the network for each stream."""


@dataclass(frozen=True)
class IndexRun:
    """The result of `index` or `merge`.

    Attributes:
        report: what was new, changed, moved, gone or failed.
        photos: number of photos in the collection.
        selection_note: a note on the reduction for the user, if any.
    """

    report: IndexReport
    photos: int
    selection_note: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and lists as JSON values."""
        totals = {"photos": self.photos, "selection_note": self.selection_note}
        return {**totals, **self.report.to_dict()}


def index(
    photos: PathLike | Sequence[PathLike],
    collection: PathLike,
    *,
    config: str | MethodConfig | ConfigPair | None = None,
    cam: bool | None = None,
    precision: str | None = None,
    model: ModelOptions | None = None,
    workers: int = 1,
    prune: bool = False,
    prune_most: bool = False,
    rehash: bool = False,
    approximate: bool | None = None,
    evidence: bool | None = None,
    on: str | None = None,
    segments: PathLike | None = None,
    progress: Progress = no_progress,
) -> IndexRun:
    """Index folders of photos; run it again to update the collection.

    New and changed photos are described, moved ones are recognized by their content, unreadable
    files are listed. An interrupt (Ctrl-C) ends the run cleanly; the next run resumes.

    Args:
        photos: folders (searched recursively), files, URLs of object stores, and `@FILE` for a
            list of them, one per line.
        collection: the collection's folder, created if it does not exist.
        config: a method's name, a TOML file, or a configuration with or without its reduction;
            None is the collection's own, or `auto` for a new one.
        cam: class activation maps on or off; None follows the configuration.
        precision: of the network's computations; None follows the configuration.
        model: weights, runtime and device.
        workers: threads that read and decode photos; two at least where evidence is made.
        prune: remove photos from the collection whose files are gone; folders that are gone
            themselves may be named then.
        prune_most: prune even if most photos of a place are gone, which is refused otherwise: a
            drive may not be mounted.
        rehash: read all photos, also those whose files seem unchanged by their size, times and
            inode.
        approximate: build or extend an approximate index; None does so for large collections.
        evidence: keep local features of the photos, by which searches and groups decide what
            shows the same thing; None is as in the collection's last run, at first True.
        on: address of a Ray cluster to extract on (see `ray_cluster.connected`); None is this
            machine. The descriptors are the same.
        segments: folder that keeps what the cluster extracted; None keeps it in the collection's
            folder until it is recorded.
        progress: called after each photo.

    Raises:
        UsageError: a path does not exist, a new collection would be empty, or most photos of a
            place would be pruned.
        CollectionError: see `resight.errors`.
        WeightsError: photos must be described, and no weights were found.
        FitError: the photos are too few, or have too few local features, to fit the method on.
        ClusterError: the cluster cannot be reached or used.
    """
    if segments is not None and on is None:
        raise UsageError("only with a cluster (parameter on)", parameter="segments")
    folder = Path(collection)
    places = [absolute(path) for path in read_lists(as_paths(photos))]
    prune = prune or prune_most
    gone_places = find_gone_places(folder, places) if prune else []
    scan = find_photos(place for place in places if place not in gone_places)
    options = replace(model or ModelOptions(), streams=_streams(len(scan.photos)))
    with contextlib.ExitStack() as stack:
        opened = None
        if Collection.exists(folder):
            opened = stack.enter_context(Collection.open(folder))
            configs = opened.config, opened.reduction_config
            requested = _check_same_config(opened, config, cam, precision)
            if requested.precision != opened.config.precision:
                options = replace(options, precision=requested.precision)
        else:
            configs = resolve_config(config, cam, precision)
            _check_new_collection(folder, places, scan)
        if approximate:
            check_ann_supported(*configs)
        ray = None if on is None else stack.enter_context(connected(on))
        setup = None
        if opened is None:  # before it is created: a failure must leave no empty collection
            setup = fit_method(configs[0], options, scan.photos, progress)
        writer = stack.enter_context(writing(opened or folder, configs))

        plan = plan_run(writer.collection, places, scan, rehash=rehash)
        extractor = load_extractor(writer, plan, options, setup, progress)
        if extractor is not None:
            dimensions = extractor.dimensions
            check_resources(writer.collection, plan, dimensions, on_cluster=ray is not None)
        remember(writer, places_of(scan, places))
        keep = _keeps_evidence(writer, evidence)
        if ray is None:
            results = _extract_locally(writer.collection, plan, extractor, workers, keep)
        else:
            segments_folder = None if segments is None else Path(segments)
            results = extract_on_cluster(
                ray, writer.collection, plan, options, workers, segments_folder, progress, keep
            )
        report = record_results(writer, plan, results, progress)
        if keep and not report.interrupted:
            load = functools.partial(_load_described, writer.collection, extractor, options)
            network = writer.collection.config.needs_network
            made = complete_evidence(writer, workers, progress, load=load if network else None)
            report = replace(report, evidence=made)
        if prune and not report.interrupted:
            report = _prune(writer, plan, report, () if prune_most else places)
        return finish_run(writer, report, approximate, options, progress)


def _prune(writer: Writer, plan: Plan, report: IndexReport, checked: Sequence[Path]) -> IndexReport:
    """Remove photos whose files are gone, unless they are most of the photos of a checked place.

    The descriptors of photos whose move was interrupted stay for its undo.
    """
    gone = set(report.vanished)
    check_prunable(plan, checked, gone)
    moving = {step.content for step in Journal(writer.collection.folder).interrupted()}
    photos = [photo for photo in plan.vanished if photo.path in gone]
    writer.remove([photo for photo in photos if photo.content in moving], keep=True)
    writer.remove([photo for photo in photos if photo.content not in moving])
    forget(writer)
    return replace(report, pruned=len(gone))


def _streams(photos: int) -> int:
    """Return how many photos the network computes at the same time."""
    return STREAMS if photos >= STREAMED else 1


def finish_run(
    writer: Writer,
    report: IndexReport,
    approximate: bool | None,
    options: ModelOptions,
    progress: Progress,
) -> IndexRun:
    """Fit the reduction and update the approximate index, unless the run was interrupted."""
    note = None
    if not report.interrupted:
        # Also without new photos: an earlier run may have been killed before it fitted anything.
        fitted, note = fit_automatically(writer, options, progress)
        if not fitted and report.new + report.changed == 0:
            note = None
        update_ann_index(writer.collection, approximate, progress)
    return IndexRun(report, writer.collection.count("ok"), note)


def _extract_locally(
    collection: Collection, plan: Plan, extractor: Extractor | None, workers: int, evidence: bool
) -> Iterator[Sequence[PhotoResult[Description]]]:
    """Extract the photos of a plan on this machine, each a batch of its own."""
    if extractor is not None:
        cached = collection.described_contents()
        describer = WithEvidence(extractor) if evidence else extractor
        workers = max(workers, MIN_WORKERS) if evidence else workers
        for result in extract_photos(plan.todo, describer, cached=cached, workers=workers):
            yield (result,)


def _load_described(
    collection: Collection, extractor: Extractor | None, options: ModelOptions
) -> Extractor:
    """Return the extractor of a collection, which a run without new photos has not loaded."""
    return extractor or collection.fitted_method(options).load_extractor(options)


def _keeps_evidence(writer: Writer, evidence: bool | None) -> bool:
    """Return whether a run keeps evidence; store an explicit choice."""
    stored = writer.collection.meta("evidence")
    if evidence is not None and evidence != stored:
        writer.keep_evidence(evidence)
    return evidence if evidence is not None else stored is not False


def _check_new_collection(folder: Path, places: Sequence[Path], scan: ScanResult) -> None:
    """Refuse a new collection that would be empty or cannot be created."""
    if not scan.photos:
        names = ", ".join(map(path_text, places))
        raise UsageError(f"{names}: no photos there, so there is nothing to index")
    check_creatable(folder)


def _check_same_config(
    collection: Collection,
    config: str | MethodConfig | ConfigPair | None,
    cam: bool | None,
    precision: str | None,
) -> MethodConfig:
    """Return a configuration; refuse one that is not the collection's."""
    stored = collection.config
    requested, _ = resolve_config(stored if config is None else config, cam, precision)
    ours, theirs = stored.identity(), requested.identity()
    if ours == theirs:
        return requested
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
    raise CollectionMismatchError(
        f"{collection.folder}: was indexed with another configuration ({details}); leave the "
        "options out, or create a new collection"
    )
