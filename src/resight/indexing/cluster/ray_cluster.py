"""Connect to a Ray cluster, and extract shards on it despite lost workers and machines.

A plain Ray task extracts one shard. Ray's own retries are off, so that this module decides what to
retry, and which photo crashes its workers.
"""

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resight.descriptors.extractor import Description
from resight.errors import ClusterError, MissingExtraError, ResightError, UsageError
from resight.indexing.cluster.segments import (
    ExtractionTask,
    Segment,
    Shard,
    decode,
    encode,
    extract_shard,
    read_segment,
    segment_name,
    write_segment,
)
from resight.indexing.extraction import PhotoResult
from resight.photos import open_photo
from resight.photos.files import PhotoFile
from resight.photos.images import MAX_FILE_BYTES
from resight.progress import Progress

CONNECT_TIMEOUT_S = 5.0
"""Seconds within which the head must answer; Ray itself would try for minutes."""

MAX_SHARD_LOSSES = 2
"""A shard that was lost this often is retried photo by photo."""

MAX_PHOTO_LOSSES = 3
"""A single photo that was lost this often fails."""

LOSS_REASONS = {
    "WorkerCrashedError": "its worker crashed",
    "OutOfMemoryError": "its worker ran out of memory",
    "NodeDiedError": "its worker's machine is gone",
    "LocalRayletDiedError": "its worker's machine is gone",
}
"""Ray's errors, as the reason why a photo failed."""


@contextlib.contextmanager
def connected(on: str) -> Iterator[Any]:
    """Connect to a cluster; yield the module `ray`.

    Args:
        on: `ray` (the cluster this process is connected to, else that of RAY_ADDRESS or of this
            machine, else a new one on this machine), `ray://HEAD:10001` (as a client), or
            `ray:HEAD:6379` (from a machine of the cluster).

    Raises:
        UsageError: not a valid address.
        MissingExtraError: Ray is not installed.
        ClusterError: the head cannot be reached, or has other versions.
    """
    address = _parse_address(on)
    try:
        import ray
    except ImportError:
        raise MissingExtraError(on, "ray", parameter="on") from None
    if on == "ray" and ray.is_initialized():
        yield ray
        return
    if address not in (None, "auto", "local"):
        _check_reachable(on, str(address))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry of a cluster it starts
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - Ray raises all kinds, and exits
        message = f"{on} cannot be used: {_last_line(error)}"
        raise ClusterError(message, parameter="on") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def extract_shards(
    ray: Any, task: ExtractionTask, shards: Sequence[Shard], folder: Path, progress: Progress
) -> Iterator[tuple[Path, Segment]]:
    """Extract shards on the cluster; shards with a segment are finished.

    A shard whose worker or machine is lost is retried; after two losses, photo by photo, so that
    a photo that crashes its workers is identified and is the only one that fails.

    Yields:
        Path in the folder and content of the shards' segments, in the order of the shards; each
        is written as soon as it arrives.

    Raises:
        ClusterError: the cluster is gone, or a node cannot read the photos.
        UsageError: a node has other package versions.
    """
    paths = [
        shard.segment or folder / segment_name(task.fingerprint, shard.files) for shard in shards
    ]
    total = sum(len(shard.files) for shard in shards)
    described = sum(len(shard.files) for shard in shards if shard.segment is not None)
    missing = {number for number, shard in enumerate(shards) if shard.segment is None}
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(contextlib.closing(_Run(ray, task, shards))) if missing else None
        for number, path in enumerate(paths):
            while run is not None and number in missing:
                for finished, data in run.next_finished():
                    write_segment(paths[finished], data)
                    missing.discard(finished)
                    described += len(shards[finished].files)
                    progress("describing", described, total)
            yield path, read_segment(path)


@dataclass(frozen=True)
class _Attempt:
    """Photos that are sent together, a whole shard or one photo, and how often they were lost."""

    shard: int
    files: tuple[PhotoFile, ...]
    losses: int = 0


class _Run:
    """The attempts in progress, and the results of shards that are retried photo by photo."""

    def __init__(self, ray: Any, task: ExtractionTask, shards: Sequence[Shard]) -> None:
        model = task.method.model
        self._ray = ray
        self._fingerprint = task.fingerprint
        self._shards = shards
        self._weights = []
        if model is not None and model.path is not None:
            self._weights = [ray.put(model.path.read_bytes())]
        self._task = ray.put(task)
        gpus = 1 if task.options.device == "cuda" else 0
        self._remote = ray.remote(_run_on_worker).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        # Enough to keep all workers busy, and to let a cluster that can grow do so.
        self._limit = max(16, 2 * int(ray.cluster_resources().get("GPU" if gpus else "CPU", 0)))
        self._waiting = deque(
            _Attempt(number, shard.files)
            for number, shard in enumerate(shards)
            if shard.segment is None
        )
        self._in_progress: dict[Any, _Attempt] = {}
        self._single_results: dict[int, dict[PhotoFile, PhotoResult[Description]]] = {}

    def next_finished(self) -> list[tuple[int, bytes]]:
        """Wait for an attempt; return the numbers and segments of shards that it completes."""
        while self._waiting and len(self._in_progress) < self._limit:
            attempt = self._waiting.popleft()
            future = self._remote.remote(self._task, attempt.files, self._weights)
            self._in_progress[future] = attempt
        try:
            ready, _ = self._ray.wait(list(self._in_progress), num_returns=1)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise ClusterError(
                f"the cluster is gone ({_last_line(error)}); nothing is lost: run the same "
                "command again to resume"
            ) from None
        return self._fetch(self._in_progress.pop(ready[0]), ready[0])

    def close(self) -> None:
        """Cancel what is in progress: the caller's connection may outlive the run."""
        with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):
            for future in self._in_progress:
                self._ray.cancel(future)

    def _fetch(self, attempt: _Attempt, future: Any) -> list[tuple[int, bytes]]:
        try:
            data, node = self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ResightError | ImportError):
                raise _node_error(error.cause) from None
            return self._retry(attempt, _last_line(error.cause))
        except self._ray.exceptions.RayError as error:
            if "No module named" in str(error):  # the node could not even unpickle the task
                raise _node_error(error) from None
            name = type(error).__name__
            return self._retry(attempt, LOSS_REASONS.get(name, name))
        segment = decode(data, f"a segment from {node}")
        for result in segment.results:
            _check_visible(result, node)
        return self._finish(attempt, segment.results, data)

    def _finish(
        self, attempt: _Attempt, results: Sequence[PhotoResult[Description]], data: bytes
    ) -> list[tuple[int, bytes]]:
        """Return the shard if the attempt completes it."""
        files = self._shards[attempt.shard].files
        if attempt.files == files:
            return [(attempt.shard, data)]
        singles = self._single_results.setdefault(attempt.shard, {})
        singles.update({result.file: result for result in results})
        if len(singles) < len(files):
            return []
        whole = Segment(self._fingerprint, _without_duplicates(singles[file] for file in files))
        return [(attempt.shard, encode(whole))]

    def _retry(self, attempt: _Attempt, reason: str) -> list[tuple[int, bytes]]:
        """Retry a lost attempt, or let its only photo fail; return the shard that completes."""
        losses = attempt.losses + 1
        if len(attempt.files) > 1 and losses >= MAX_SHARD_LOSSES:
            self._waiting.extendleft(
                _Attempt(attempt.shard, (file,)) for file in reversed(attempt.files)
            )
        elif len(attempt.files) == 1 and losses >= MAX_PHOTO_LOSSES:
            reason = f"given up after {losses} attempts ({reason})"
            failed: PhotoResult[Description] = PhotoResult(attempt.files[0], reason=reason)
            return self._finish(attempt, [failed], encode(Segment(self._fingerprint, (failed,))))
        else:
            self._waiting.appendleft(replace(attempt, losses=losses))
        return []


def _run_on_worker(
    task: ExtractionTask, files: Sequence[PhotoFile], weights: Sequence[Any]
) -> tuple[bytes, str]:
    """Return the segment of some photos, and the name of the machine; runs in a worker."""
    import ray

    return extract_shard(task, files, lambda: ray.get(weights[0])), socket.gethostname()


def _without_duplicates(
    results: Iterable[PhotoResult[Description]],
) -> tuple[PhotoResult[Description], ...]:
    """Keep the descriptors of only the first photo of a content, as a single task does."""
    unique: list[PhotoResult[Description]] = []
    contents: set[str | None] = set()
    for result in results:
        duplicate = result.content in contents
        unique.append(replace(result, description=None) if duplicate else result)
        if result.description is not None:
            contents.add(result.content)
    return tuple(unique)


def _check_visible(result: PhotoResult[Description], node: str) -> None:
    """Refuse a cluster with a node that cannot read a photo that this machine can."""
    file = result.file
    if result.content is not None or file.size > MAX_FILE_BYTES:
        return
    with contextlib.suppress(OSError):
        open_photo(file.path).close()
        raise ClusterError(
            f"{file.path}: this machine can read it, the node {node} cannot ({result.reason}); "
            "keep the photos where all nodes see them under the same path, or in an object store"
        )


def _node_error(error: Exception) -> ResightError:
    if isinstance(error, ResightError):
        return error
    return ClusterError(
        f"a node of the cluster cannot run Resight ({_last_line(error)}): install the same "
        "versions everywhere"
    )


def _parse_address(on: str) -> str | None:
    if on == "ray":
        return os.environ.get("RAY_ADDRESS")
    scheme, _, rest = on.partition(":")
    if scheme != "ray" or not rest.strip("/"):
        raise UsageError(
            f"{on} is not one of ray, ray://HEAD:10001 and ray:HEAD:6379", parameter="on"
        )
    return on if rest.startswith("//") else rest


def _check_reachable(on: str, address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        message = f"{on} has no port; the head's is 10001 after ray://, else 6379"
        raise UsageError(message, parameter="on")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"{on}: nothing answers at {host}:{port} ({error.strerror or error}); is the head "
            "running there (ray start --head), and the port open?",
            parameter="on",
        ) from None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
