"""An index run's photos, described on a cluster: cut into shards, and what became of them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resight.collection.reader import Collection
from resight.errors import SegmentError
from resight.indexing.cluster.ray_cluster import describe_shards
from resight.indexing.cluster.segments import find_segments, read_segment
from resight.indexing.cluster.shards import cut, shard_size
from resight.indexing.cluster.worker import Work, versions
from resight.indexing.extraction import PhotoResult
from resight.indexing.plan import Plan
from resight.methods.factory import FittedMethod
from resight.methods.model import ModelOptions
from resight.networks.runtimes.select import choose_runtime
from resight.photos.files import PhotoFile
from resight.progress import Progress

FOLDER = "segments"
"""In a collection's folder: what is not yet in the collection."""

RUNTIME_OF = {"float16": "torch", "int8": "openvino"}
"""Of precisions that one runtime alone computes in."""


def describe_plan(
    ray: Any,
    collection: Collection,
    plan: Plan,
    options: ModelOptions,
    workers: int,
    segments: Path | None,
    progress: Progress,
) -> Iterator[Sequence[PhotoResult]]:
    """Describe the photos of a plan on a cluster.

    Args:
        ray: the module, connected.
        collection: for which the plan was made.
        plan: its photos are described, but for those whose segments are there.
        options: how to run the network; on GPUs if the cluster has any and nothing else is wanted.
        workers: threads that prepare photos for each of the cluster's workers.
        segments: where to keep segments; None is the collection's folder, where each goes when
            the next is asked for.
        progress: called after each shard.

    Yields:
        What became of the photos of a segment, segments in the order of the plan.
    """
    if not plan.todo:
        return
    folder = segments or collection.folder / FOLDER
    made = collection.fitted_method(options)
    options, slots = _for_workers(ray.cluster_resources(), made, options)
    fingerprint = str(collection.meta("fingerprint"))
    work = Work(fingerprint, made, options, _known(collection, plan), workers)
    work = replace(work, versions=versions(work))
    shards = cut(plan.todo, _done(folder, fingerprint), shard_size(len(plan.todo), slots))
    for path, segment in describe_shards(ray, work, shards, folder, progress):
        yield segment.outcomes
        if segments is None:
            path.unlink(missing_ok=True)
    if segments is None:
        with contextlib.suppress(OSError):  # something else is in it
            folder.rmdir()


def _for_workers(
    resources: dict[str, float], made: FittedMethod, options: ModelOptions
) -> tuple[ModelOptions, int]:
    """How a worker runs the network: on one CPU or one GPU; and how many there are."""
    gpus = int(resources.get("GPU", 0))
    may = made.config.needs_network and made.quantized is None
    may = may and options.runtime in ("auto", "torch")
    if may and (options.device.startswith("cuda") or (options.device == "auto" and gpus)):
        return replace(options, runtime="torch", device="cuda", on_download=None), gpus
    precision = made.config.precision
    runtime = RUNTIME_OF.get(precision) or choose_runtime(options.runtime, "cpu")
    here = replace(options, runtime=runtime, device="cpu", threads=1, on_download=None)
    return here, int(resources.get("CPU", 0))


def _known(collection: Collection, plan: Plan) -> frozenset[str]:
    """Contents that photos of the plan may have and that need no description: moved and touched."""
    before = [plan.before[file.path] for file in plan.todo if file.path in plan.before]
    contents = {str(photo.content) for photo in (*before, *plan.vanished)}
    return frozenset(contents & collection.described_contents()) if contents else frozenset()


def _done(folder: Path, fingerprint: str) -> dict[Path, tuple[PhotoFile, ...]]:
    """The segments in a folder that are whole and of a fingerprint, and what they describe.

    One without any descriptors is none of them: failed photos are tried again.
    """
    found = {}
    for path in find_segments(folder):
        try:
            segment = read_segment(path)
        except SegmentError:
            continue  # its photos are described again, and it is written anew
        described = any(outcome.description is not None for outcome in segment.outcomes)
        if described and segment.fingerprint == fingerprint:
            found[path] = tuple(outcome.file for outcome in segment.outcomes)
    return found
