"""Progress for people: a bar with rate and time left on a terminal, else a line now and then."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

LINE_EVERY_S = 10.0
"""Seconds between two plain lines."""


@contextlib.contextmanager
def progress_on(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A progress function (what, done, total) that draws on a console, best on stderr."""
    if console.is_terminal:
        with _bar(console) as update:
            yield update
    else:
        yield _PlainLines(console).update


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console) as bar:
        tasks, clocks = {}, {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, pace="", total=total)
                clocks[what] = _Pace()
            bar.update(
                tasks[what], completed=done, total=total, pace=clocks[what].text(done, total)
            )

        yield update


class _Pace:
    """Rate and time left since the first report, or since the same is done once more."""

    def __init__(self) -> None:
        self._started: tuple[float, int] | None = None
        self._last = 0

    def text(self, done: int, total: int) -> str:
        now = time.monotonic()
        again, self._last = done < self._last, done
        if self._started is None or again:
            self._started = now, done
            return ""
        start, first = self._started
        if done <= first or now <= start:
            return ""
        rate = (done - first) / (now - start)
        left = f", {_duration((total - done) / rate)} left" if done < total else ""
        return f"{rate:.1f}/s{left}" if rate >= 1 else f"{1 / rate:.1f} s each{left}"


class _PlainLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._paces: dict[str, _Pace] = {}
        self._next = time.monotonic() + LINE_EVERY_S
        self._said = False

    def update(self, what: str, done: int, total: int) -> None:
        pace = self._paces.setdefault(what, _Pace()).text(done, total)
        if time.monotonic() < self._next and not (self._said and done == total):
            return
        self._said = True
        self._next = time.monotonic() + LINE_EVERY_S
        self._console.print(f"{what} {done}/{total} {pace}".rstrip(), highlight=False)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
