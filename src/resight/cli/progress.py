"""Progress on stderr: a bar with rate and remaining time on a terminal, else occasional lines."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console

from resight.progress import Progress

LINE_INTERVAL_S = 10.0
"""Seconds between two plain lines."""


@contextlib.contextmanager
def progress_on(console: Console) -> Iterator[Progress]:
    """Yield a progress callback that draws on a console."""
    if console.is_terminal:
        with _progress_bar(console) as update:
            yield update
    else:
        yield _PlainLines(console).update


@contextlib.contextmanager
def _progress_bar(console: Console) -> Iterator[Progress]:
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
    )
    with progress.Progress(*columns, console=console) as bar:
        tasks: dict[str, progress.TaskID] = {}
        rates: defaultdict[str, _Rate] = defaultdict(_Rate)

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, rate="", total=total)
            rate = rates[what].text(done, total)
            bar.update(tasks[what], completed=done, total=total, rate=rate)

        yield update


class _PlainLines:
    """Prints a line every few seconds, and at the end of work that has printed one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rates: defaultdict[str, _Rate] = defaultdict(_Rate)
        self._next = time.monotonic() + LINE_INTERVAL_S
        self._printed = False

    def update(self, what: str, done: int, total: int) -> None:
        rate = self._rates[what].text(done, total)
        if time.monotonic() < self._next and not (self._printed and done == total):
            return
        self._printed = True
        self._next = time.monotonic() + LINE_INTERVAL_S
        self._console.print(f"{what} {done}/{total} {rate}".rstrip(), highlight=False)


class _Rate:
    """Rate and remaining time since the first update, or since the count started again."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None
        self._previous = 0

    def text(self, done: int, total: int) -> str:
        now = time.monotonic()
        restarted = done < self._previous
        self._previous = done
        if self._start is None or restarted:
            self._start = (now, done)
        started_at, first = self._start
        if done <= first or now <= started_at:
            return ""
        rate = (done - first) / (now - started_at)
        left = f", {_duration((total - done) / rate)} left" if done < total else ""
        return f"{rate:.1f}/s{left}" if rate >= 1 else f"{1 / rate:.1f} s each{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
