"""A Ray cluster: reached by an address, and shards described on it, whatever of it is lost.

Plain tasks, not Ray Data: one task is one shard, so that what a lost worker costs, and which photo
it is that ends workers, is decided here and not by the retries of a framework.
"""

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resight.errors import ClusterError, MissingExtraError, ResightError, UsageError
from resight.indexing.cluster.segments import (
    Segment,
    decode,
    encode,
    read_segment,
    segment_name,
    write_segment,
)
from resight.indexing.cluster.shards import Shard
from resight.indexing.cluster.worker import Work, describe_shard
from resight.indexing.extraction import PhotoResult
from resight.photos.files import PhotoFile
from resight.photos.images import MAX_FILE_BYTES
from resight.photos.remote import open_photo
from resight.progress import Progress

REACH_S = 5.0
"""Seconds in which the head must answer; Ray itself would try for minutes."""

SHARD_LOSSES = 2
"""So often a shard is lost before its photos are described one by one."""

PHOTO_LOSSES = 3
"""So often a photo is lost by itself before it is a failure."""


@contextlib.contextmanager
def connected(on: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster until the end.

    Args:
        on: `ray` (the one to which this process is connected already, else that of RAY_ADDRESS or
            of this machine, else a new one of this machine alone), `ray://HEAD:10001` (as a
            client), or `ray:HEAD:6379` (from a machine of the cluster).

    Raises:
        UsageError: no such address.
        MissingExtraError: Ray is not installed.
        ClusterError: the head cannot be reached, or runs other versions.
    """
    address = _address(on)
    try:
        import ray
    except ImportError:
        raise MissingExtraError(f"--on {on}", "ray") from None
    if on == "ray" and ray.is_initialized():
        yield ray
        return
    if address not in (None, "auto", "local"):
        _check_reachable(on, str(address))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what will be Ray's default
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tells nobody of a cluster it starts
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - all kinds, and even its exit
        raise ClusterError(f"--on {on}: cannot be used: {_last_line(error)}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _Attempt:
    """Photos sent out together: a whole shard, or one photo of it; how often they were lost."""

    shard: int
    files: tuple[PhotoFile, ...]
    losses: int = 0


def describe_shards(
    ray: Any, work: Work, shards: Sequence[Shard], folder: Path, progress: Progress
) -> Iterator[tuple[Path, Segment]]:
    """Describe shards on the cluster; those that have a segment are done.

    A shard whose worker, or whose worker's machine, is lost is sent out again; one that was lost
    twice goes photo by photo, so that a photo that ends its workers is found, and fails alone.

    Args:
        ray: the module, connected.
        work: what to do.
        shards: in the order of the list.
        folder: where segments are written, each as soon as it is there.
        progress: called after each shard.

    Yields:
        The shards' segments in the same order, and where they are.

    Raises:
        ClusterError: the cluster is gone, or a node of it does not see the photos.
        UsageError: a node of it has other versions.
    """
    paths = {
        number: folder / segment_name(work.fingerprint, shard.files)
        if shard.segment is None
        else shard.segment
        for number, shard in enumerate(shards)
    }
    total = sum(len(shard.files) for shard in shards)
    described = sum(len(shard.files) for shard in shards if shard.segment is not None)
    missing = {number for number, shard in enumerate(shards) if shard.segment is None}
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(contextlib.closing(_Run(ray, work, shards))) if missing else None
        for number in range(len(shards)):
            while run is not None and number in missing:
                for done, data in run.next_done():
                    write_segment(paths[done], data)
                    missing.discard(done)
                    described += len(shards[done].files)
                    progress("describing", described, total)
            yield paths[number], read_segment(paths[number])


class _Run:
    """The attempts under way, and what has come back of shards that go photo by photo."""

    def __init__(self, ray: Any, work: Work, shards: Sequence[Shard]) -> None:
        model = work.made.model
        self._ray, self._work, self._shards = ray, work, shards
        self._weights = []
        if model is not None and model.path is not None:
            self._weights = [ray.put(model.path.read_bytes())]
        self._sent_work = ray.put(work)
        gpus = 1 if work.options.device == "cuda" else 0
        self._task = ray.remote(_on_worker).options(num_cpus=1, num_gpus=gpus, max_retries=0)
        # Enough to keep all busy, and to let a cluster that can grow do so.
        self._limit = max(16, 2 * int(ray.cluster_resources().get("GPU" if gpus else "CPU", 0)))
        self._waiting = deque(
            _Attempt(number, shard.files)
            for number, shard in enumerate(shards)
            if shard.segment is None
        )
        self._under_way: dict[Any, _Attempt] = {}
        self._singles: dict[int, dict[PhotoFile, PhotoResult]] = {}

    def next_done(self) -> list[tuple[int, bytes]]:
        """Wait for something to come back: the shards that are done by that, as segments."""
        while self._waiting and len(self._under_way) < self._limit:
            attempt = self._waiting.popleft()
            task = self._task.remote(self._sent_work, attempt.files, self._weights)
            self._under_way[task] = attempt
        try:
            ready, _ = self._ray.wait(list(self._under_way), num_returns=1)
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise ClusterError(
                f"the cluster is gone ({_last_line(error)}); nothing is lost: run the same "
                "command again to go on"
            ) from None
        return self._fetch(self._under_way.pop(ready[0]), ready[0])

    def close(self) -> None:
        """Give up what is under way: a connection of the caller's own outlives the run."""
        with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):
            for task in self._under_way:
                self._ray.cancel(task)

    def _fetch(self, attempt: _Attempt, task: Any) -> list[tuple[int, bytes]]:
        try:
            data, node = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ResightError | ImportError):
                raise _refused(error.cause) from None
            return self._lost(attempt, _last_line(error.cause))
        except self._ray.exceptions.RayError as error:
            if "No module named" in str(error):  # the task could not even be read there
                raise _refused(error) from None
            return self._lost(attempt, _NAMED.get(type(error).__name__, type(error).__name__))
        segment = decode(data, f"a segment from {node}")
        for outcome in segment.outcomes:
            _check_seen(outcome, node)
        return self._came(attempt, segment.outcomes, data)

    def _came(
        self, attempt: _Attempt, outcomes: Sequence[PhotoResult], data: bytes
    ) -> list[tuple[int, bytes]]:
        files = self._shards[attempt.shard].files
        if attempt.files == files:
            return [(attempt.shard, data)]
        singles = self._singles.setdefault(attempt.shard, {})
        singles.update({outcome.file: outcome for outcome in outcomes})
        if len(singles) < len(files):
            return []
        whole = Segment(self._work.fingerprint, _each_content_once(singles[f] for f in files))
        return [(attempt.shard, encode(whole))]

    def _lost(self, attempt: _Attempt, why: str) -> list[tuple[int, bytes]]:
        losses = attempt.losses + 1
        if len(attempt.files) > 1 and losses >= SHARD_LOSSES:
            self._waiting.extendleft(
                _Attempt(attempt.shard, (file,)) for file in reversed(attempt.files)
            )
        elif len(attempt.files) == 1 and losses >= PHOTO_LOSSES:
            reason = f"given up after {losses} attempts ({why})"
            failed = (PhotoResult(attempt.files[0], reason=reason),)
            return self._came(attempt, failed, encode(Segment(self._work.fingerprint, failed)))
        else:
            self._waiting.appendleft(replace(attempt, losses=losses))
        return []


def _on_worker(work: Work, files: Sequence[PhotoFile], weights: Sequence[Any]) -> tuple[bytes, str]:
    """The segment of some photos, and the name of the machine; runs in a worker."""
    import ray

    return describe_shard(work, files, lambda: ray.get(weights[0])), socket.gethostname()


def _each_content_once(outcomes: Iterator[PhotoResult]) -> tuple[PhotoResult, ...]:
    """Outcomes as those of one task: only the first photo of a content has its descriptors."""
    found, known = [], set[str]()
    for outcome in outcomes:
        copy = outcome.content in known
        found.append(replace(outcome, description=None) if copy else outcome)
        if outcome.description is not None:
            known.add(str(outcome.content))
    return tuple(found)


def _check_seen(outcome: PhotoResult, node: str) -> None:
    """Refuse a cluster whose node cannot read a photo that this machine can."""
    file = outcome.file
    if outcome.content is not None or file.size > MAX_FILE_BYTES:
        return
    with contextlib.suppress(OSError):
        open_photo(file.path).close()
        raise ClusterError(
            f"{file.path}: this machine can read it, the node {node} cannot ({outcome.reason}); "
            "keep the photos where all nodes see them under the same path, or in an object store"
        )


_NAMED = {
    "WorkerCrashedError": "its worker ended",
    "OutOfMemoryError": "its worker ran out of memory",
    "NodeDiedError": "its worker's machine is gone",
    "LocalRayletDiedError": "its worker's machine is gone",
}
"""How Ray's errors are told of a photo that is given up."""


def _refused(error: Exception) -> ResightError:
    if isinstance(error, ResightError):
        return error
    return ClusterError(
        f"a node of the cluster cannot run Resight ({_last_line(error)}): install the same "
        "versions everywhere"
    )


def _address(on: str) -> str | None:
    if on == "ray":
        return os.environ.get("RAY_ADDRESS")
    scheme, _, rest = on.partition(":")
    if scheme != "ray" or not rest.strip("/"):
        raise UsageError(f"--on {on}: name ray, ray://HEAD:10001 or ray:HEAD:6379")
    return on if rest.startswith("//") else rest


def _check_reachable(on: str, address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--on {on}: has no port; the head's is 10001 after ray://, else 6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except OSError as error:
        raise ClusterError(
            f"--on {on}: nothing answers at {host}:{port} ({error.strerror or error}); is the head "
            "running there (ray start --head), and the port open?"
        ) from None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
