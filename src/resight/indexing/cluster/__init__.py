"""Extract an index run on a cluster: shards become segments, segments a collection."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resight.collection import Collection
from resight.descriptors.extractor import Description
from resight.errors import SegmentError
from resight.indexing.cluster.ray_cluster import extract_shards
from resight.indexing.cluster.segments import (
    ExtractionTask,
    find_segments,
    installed_versions,
    read_segment,
    shard_size,
    split_into_shards,
)
from resight.indexing.extraction import PhotoResult
from resight.indexing.plan import Plan
from resight.methods.model import FittedMethod, ModelOptions
from resight.networks import is_installed
from resight.networks.runtimes import REQUIRED_RUNTIMES, choose_runtime
from resight.photos.files import PhotoFile
from resight.progress import Progress

SEGMENTS_FOLDER = "segments"
"""Folder in a collection for segments that are not yet recorded."""


def extract_on_cluster(
    ray: Any,
    collection: Collection,
    plan: Plan,
    options: ModelOptions,
    workers: int,
    segments: Path | None,
    progress: Progress,
    evidence: bool = True,
) -> Iterator[Sequence[PhotoResult[Description]]]:
    """Extract the photos of a plan on a cluster.

    Args:
        ray: the connected module.
        collection: of the plan.
        plan: its photos are extracted, except those whose segments exist.
        options: how to run the network; on GPUs if the cluster has any, unless they say otherwise.
        workers: threads that read and decode photos for each of the cluster's workers.
        segments: folder that keeps the segments; None is one in the collection, from which each
            is deleted once it is recorded.
        progress: called after each shard.
        evidence: make the photos' evidence as well.

    Yields:
        The results of each segment, in the order of the plan.
    """
    if not plan.todo:
        return
    folder = segments or collection.folder / SEGMENTS_FOLDER
    method = collection.fitted_method(options)
    options, slots = _worker_options(ray.cluster_resources(), method, options)
    fingerprint = str(collection.meta("fingerprint"))
    cached = _described_contents(collection, plan)
    task = ExtractionTask(fingerprint, method, options, cached, workers, evidence)
    task = replace(task, versions=installed_versions(task))
    finished = _finished_segments(folder, fingerprint)
    shards = split_into_shards(plan.todo, finished, shard_size(len(plan.todo), slots))
    for path, segment in extract_shards(ray, task, shards, folder, progress):
        yield segment.results
        if segments is None:
            path.unlink(missing_ok=True)
    if segments is None:
        with contextlib.suppress(OSError):  # other files are in it
            folder.rmdir()


def _worker_options(
    resources: dict[str, float], method: FittedMethod, options: ModelOptions
) -> tuple[ModelOptions, int]:
    """Return how a worker runs the network, on one CPU or GPU, and the number of workers."""
    gpus = int(resources.get("GPU", 0))
    may_use_gpu = options.device == "auto" and gpus and is_installed("torch")
    supports_gpu = (
        method.config.needs_network
        and REQUIRED_RUNTIMES.get(method.config.precision, "torch") == "torch"
        and options.runtime in ("auto", "torch")
    )
    if supports_gpu and (options.device.startswith("cuda") or may_use_gpu):
        return replace(options, runtime="torch", device="cuda", on_download=None), gpus
    required = REQUIRED_RUNTIMES.get(method.config.precision)
    runtime = required or choose_runtime(options.runtime, "cpu")
    options = replace(
        options, runtime=runtime, device="cpu", threads=1, streams=1, on_download=None
    )
    return options, int(resources.get("CPU", 0))


def _described_contents(collection: Collection, plan: Plan) -> frozenset[str]:
    """Return described contents that photos of the plan may have, being moved or touched."""
    touched = [plan.indexed[file.path] for file in plan.todo if file.path in plan.indexed]
    contents = {str(photo.content) for photo in (*touched, *plan.vanished)}
    return frozenset(contents & collection.described_contents()) if contents else frozenset()


def _finished_segments(folder: Path, fingerprint: str) -> dict[Path, tuple[PhotoFile, ...]]:
    """Return the intact segments of a fingerprint in a folder, with their photos.

    Segments without descriptors are left out, so that failed photos are retried.
    """
    finished = {}
    for path in find_segments(folder):
        try:
            segment = read_segment(path)
        except SegmentError:
            continue  # it will be written again
        described = any(result.description is not None for result in segment.results)
        if described and segment.fingerprint == fingerprint:
            finished[path] = tuple(result.file for result in segment.results)
    return finished
