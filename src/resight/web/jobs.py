"""Jobs in the background: indexing and removing, one at a time, with progress to follow."""

import collections
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from resight.errors import ResightError
from resight.progress import Progress
from resight.web.problems import Problem, as_problem, log

State = Literal["running", "done", "failed"]
Work = Callable[[Progress], dict[str, Any]]
"""Does the job, reporting progress; what it returns is said of it when it is done."""

REMEMBERED = 50


@dataclass
class Job:
    """A job: what it does, how far it is, how it ended."""

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
        """The job as the interface shows it."""
        return {
            "id": self.id,
            "action": self.action,
            "state": self.state,
            "progress": {"what": self.what, "done": self.done, "total": self.total},
            "detail": self.detail,
            "result": self.result,
        }


class Jobs:
    """The jobs of a server; the last ones are remembered."""

    def __init__(self, ended: Callable[[], None], *, with_paths: bool) -> None:
        """Make none yet.

        Args:
            ended: called when a job has ended, before anyone hears of it.
            with_paths: whether failures are told in full, files and all.
        """
        self._ended = ended
        self._with_paths = with_paths
        self._lock = threading.Lock()
        self._jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._thread: threading.Thread | None = None
        self.stopping = False

    def start(self, action: str, work: Work) -> Job:
        """Start a job.

        Raises:
            Problem: another one is running, or the server is stopping.
        """
        with self._lock:
            if self.stopping:
                raise Problem(503, "The server is stopping.")
            if self._running() is not None:
                raise Problem(409, "Another job is running; wait until it is done.")
            job = Job(secrets.token_urlsafe(9), action)
            self._jobs[job.id] = job
            while len(self._jobs) > REMEMBERED:
                self._jobs.popitem(last=False)
            self._thread = threading.Thread(target=self._run, args=(job, work), name="resight-job")
            self._thread.start()
            return job

    def get(self, id_: str) -> Job:
        """A job by its id.

        Raises:
            Problem: there is none.
        """
        job = self._jobs.get(id_)
        if job is None:
            raise Problem(404, "There is no job of that id.")
        return job

    @property
    def running(self) -> bool:
        """Whether a job is running."""
        return self._running() is not None

    def stop(self) -> None:
        """Ask what runs to stop cleanly; nothing new is started."""
        with self._lock:
            self.stopping = True
            job = self._running()
        if job is not None:
            job.stop.set()

    def close(self) -> None:
        """Stop, and wait until it is so."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _run(self, job: Job, work: Work) -> None:
        state, detail = _outcome(job, work, self._with_paths)
        self._ended()
        job.detail, job.state = detail, state

    def _running(self) -> Job | None:
        last = next(reversed(self._jobs.values()), None)
        return last if last is not None and last.state == "running" else None


def _outcome(job: Job, work: Work, with_paths: bool) -> tuple[State, str | None]:
    """Do a job; how it ended, and why if it failed."""

    def progress(what: str, done: int, total: int) -> None:
        job.what, job.done, job.total = what, done, total
        if job.stop.is_set():
            # An index run takes it for Ctrl-C: it ends cleanly and says what is left to do.
            raise KeyboardInterrupt

    try:
        job.result = work(progress)
    except KeyboardInterrupt:
        return "failed", "It was stopped; start it again to go on."
    except ResightError as error:
        return "failed", as_problem(error, with_paths=with_paths).detail
    except Exception:  # noqa: BLE001 - logged; whoever follows the job must hear that it ended
        log.exception("the job %s failed", job.action)
        return "failed", "Something went wrong; the server's log says what."
    return "done", None
