"""Background jobs: indexing and removing, one at a time, with progress to follow."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from cachetools import FIFOCache

from resight.errors import ResightError
from resight.progress import Progress
from resight.web.problems import ProblemError, as_problem, logger

State = Literal["running", "done", "failed"]
Task = Callable[[Progress], dict[str, Any]]
"""Does a job's work, reporting progress, and returns the job's result."""

MAX_JOBS = 50


@dataclass
class Job:
    """A job: its action, progress and outcome."""

    id: str
    action: str
    state: State = "running"
    what: str = ""
    done: int = 0
    total: int = 0
    detail: str | None = None
    result: dict[str, Any] | None = None
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def snapshot(self) -> dict[str, Any]:
        """Return the job as a `JobResponse`."""
        return {
            "id": self.id,
            "action": self.action,
            "state": self.state,
            "progress": {"what": self.what, "done": self.done, "total": self.total},
            "detail": self.detail,
            "result": self.result,
        }


class JobQueue:
    """The running job of a server, and the last ones before it.

    Args:
        on_end: called when a job has ended, before its state says so.
        with_paths: whether clients see the full text of failures, with file names.
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
        """Start a job.

        Raises:
            ProblemError: another one is running, or the server is stopping.
        """
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
        """Return a job by its id.

        Raises:
            ProblemError: there is none.
        """
        job = self._jobs.get(id_)
        if job is None:
            raise ProblemError(404, "There is no job of that id.")
        return job

    @property
    def running(self) -> bool:
        """Whether a job is running."""
        return self._current is not None and self._current.state == "running"

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
        state, detail = _run_task(job, task, self._with_paths)
        self._on_end()
        job.detail, job.state = detail, state


def _run_task(job: Job, task: Task, with_paths: bool) -> tuple[State, str | None]:
    """Run a job's task; return how it ended, and why if it failed."""

    def progress(what: str, done: int, total: int) -> None:
        job.what, job.done, job.total = what, done, total
        if job.stop.is_set():
            # An index run treats it like Ctrl-C: it ends cleanly and reports what is left to do.
            raise KeyboardInterrupt

    try:
        job.result = task(progress)
    except KeyboardInterrupt:
        return "failed", "It was stopped; start it again to resume."
    except ResightError as error:
        return "failed", as_problem(error, with_paths=with_paths).detail
    except Exception:  # noqa: BLE001 - logged; whoever follows the job must see that it ended
        logger.exception("the job %s failed", job.action)
        return "failed", "Something went wrong; see the server's log."
    return "done", None
