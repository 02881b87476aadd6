"""Queues of a server: requests that wait for a thread, and background jobs, one at a time."""

import asyncio
import contextlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from cachetools import FIFOCache
from starlette.requests import Request

from resight.errors import ResightError
from resight.progress import Progress
from resight.web.problems import ClientGoneError, ProblemError, as_problem, logger

T = TypeVar("T")

POLL_S = 0.25
"""Seconds between two checks whether the client of a waiting request is still connected."""

Task = Callable[[Progress], dict[str, Any]]
"""Does a job's work, reporting progress, and returns the job's result."""

MAX_JOBS = 50


class RequestQueue:
    """A few threads, and a first-come, first-served queue in front of them.

    At most `max_waiting` requests wait; further ones get 429 with `Retry-After`. A function that
    takes longer than `limit_s`, as when a disk hangs, is answered 503; its thread stays occupied.
    """

    def __init__(
        self, name: str, threads: int, max_waiting: int, limit_s: float | None = None
    ) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=f"resight-{name}")
        self._free = asyncio.Semaphore(threads)
        self._threads = threads
        self._max_waiting = max_waiting
        self._limit_s = limit_s
        self._mean_s = 1.0
        self._stopping = False
        self.waiting = 0

    async def run(self, request: Request, function: Callable[[], T]) -> T:
        """Run a function in a thread when its turn comes, unless the client leaves before."""
        if self._stopping:
            raise _server_stopping()
        if self._free.locked() and self.waiting >= self._max_waiting:
            seconds = math.ceil(self._mean_s * (self.waiting + 1) / self._threads)
            headers = {"Retry-After": str(min(30, max(1, seconds)))}
            detail = "Too many requests are waiting; try again in a moment."
            raise ProblemError(429, detail, headers=headers)
        await self._wait(request)
        started = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._executor, function)
        future.add_done_callback(self._end)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._limit_s)
        except TimeoutError:
            if future.done():  # the function's own error
                raise
            detail = "The file could not be read in time; is its disk still connected?"
            raise ProblemError(503, detail) from None
        finally:
            self._mean_s += 0.1 * (time.monotonic() - started - self._mean_s)

    def _end(self, future: asyncio.Future[Any]) -> None:
        """Give the place of a function that has ended to the next one."""
        self._free.release()
        if not future.cancelled():
            future.exception()  # it may have come after the answer

    def stop(self) -> None:
        """Refuse waiting and new requests; running ones are finished."""
        self._stopping = True

    def close(self) -> None:
        """Wait for running functions, and end the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def _wait(self, request: Request) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        turn = asyncio.ensure_future(self._free.acquire())
        self.waiting += 1
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=POLL_S)
                if self._stopping:
                    raise _server_stopping()
                if not turn.done() and await request.is_disconnected():
                    raise ClientGoneError
        except BaseException:
            if not turn.cancel():  # the turn came at the same moment
                self._free.release()
            raise
        finally:
            self.waiting -= 1


class UploadLimit:
    """A limit on how many uploads arrive at the same time; further ones get 429."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.running = 0

    @contextlib.contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold one of the places while the block runs."""
        if self.running >= self._limit:
            detail = "Too many uploads at the same time; try again in a moment."
            raise ProblemError(429, detail, headers={"Retry-After": "2"})
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


def _server_stopping() -> ProblemError:
    return ProblemError(503, "The server is stopping.", headers={"Retry-After": "30"})


@dataclass
class Job:
    """A job: its action, progress and outcome."""

    id: str
    action: str
    state: Literal["running", "done", "failed"] = "running"
    progress: dict[str, Any] = field(default_factory=lambda: {"what": "", "done": 0, "total": 0})
    detail: str | None = None
    result: dict[str, Any] | None = None
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def snapshot(self) -> dict[str, Any]:
        """Return the job as a `JobResponse`."""
        return {name: value for name, value in vars(self).items() if name != "stop"}


class JobQueue:
    """The running job of a server, and the last ones before it.

    `on_end` is called when a job has ended, before its state changes; `with_paths` is whether
    clients see the full text of failures, with file names.
    """

    def __init__(self, on_end: Callable[[], None], *, with_paths: bool) -> None:
        self._on_end = on_end
        self._with_paths = with_paths
        self._lock = threading.Lock()
        self._jobs: FIFOCache[str, Job] = FIFOCache(MAX_JOBS)
        self._current: Job | None = None
        self._thread: threading.Thread | None = None
        self.stopping = False

    def start(self, action: str, task: Task) -> Job:
        """Start a job, unless another one is running or the server is stopping."""
        with self._lock:
            if self.stopping:
                raise ProblemError(503, "The server is stopping.")
            if self.running:
                raise ProblemError(409, "Another job is running; wait until it is done.")
            self._current = job = Job(secrets.token_urlsafe(9), action)
            self._jobs[job.id] = job
            self._thread = threading.Thread(target=self._run, args=(job, task), name="resight-job")
            self._thread.start()
            return job

    def get(self, id_: str) -> Job:
        """Return a job by its id."""
        job = self._jobs.get(id_)
        if job is None:
            raise ProblemError(404, "There is no job of that id.")
        return job

    @property
    def running(self) -> bool:
        """Return whether a job is running."""
        return self._current is not None and self._current.state == "running"

    def check_running(self) -> None:
        """Refuse further work if the server stops."""
        if self.stopping:
            raise _server_stopping()

    def stop(self) -> None:
        """Ask the running job to stop cleanly; start no further ones."""
        with self._lock:
            self.stopping = True
            if self._current is not None:
                self._current.stop.set()

    def close(self) -> None:
        """Stop, and wait for the running job."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _run(self, job: Job, task: Task) -> None:
        def progress(what: str, done: int, total: int) -> None:
            job.progress = {"what": what, "done": done, "total": total}
            if job.stop.is_set():
                # An index run treats it like Ctrl-C: it ends cleanly and reports what is left.
                raise KeyboardInterrupt

        detail = None
        try:
            job.result = task(progress)
        except KeyboardInterrupt:
            detail = "It was stopped; start it again to resume."
        except ResightError as error:
            detail = as_problem(error, with_paths=self._with_paths).detail
        except Exception:  # noqa: BLE001 - logged; clients must see that it ended
            logger.exception("the job %s failed", job.action)
            detail = "Something went wrong; see the server's log."
        try:
            self._on_end()
        finally:
            job.detail, job.state = detail, "failed" if detail else "done"
