"""What long work tells of how far it is."""

import io

import pytest
from rich.console import Console

from resight.cli import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_pace_and_time_left_are_those_of_the_work_that_is_done_now(clock: list[float]) -> None:
    told = io.StringIO()
    with progress.progress_on(Console(file=told, width=80)) as update:
        for began in (0, 1000):  # the same is done twice, as for two methods
            for done in (0, 10, 20, 30):
                clock[0] = began + 2 * done
                update("sampling", done, 30)
    once = ["10/30 2.0 s each, 40 s left", "20/30 2.0 s each, 20 s left", "30/30 2.0 s each"]
    begun = ["0/30"]  # ten seconds after the last line
    assert told.getvalue().splitlines() == [f"sampling {line}" for line in once + begun + once]


def test_short_work_says_nothing(clock: list[float]) -> None:
    told = io.StringIO()
    with progress.progress_on(Console(file=told)) as update:
        for done in range(10):
            clock[0] += 0.5
            update("indexing", done, 10)
    assert told.getvalue() == ""


def test_a_terminal_shows_pace_and_time_left(clock: list[float]) -> None:
    told = io.StringIO()
    with progress.progress_on(Console(file=told, force_terminal=True, width=80)) as update:
        for done in (0, 5):
            clock[0] = done / 10
            update("indexing", done, 20)
    assert "5/20" in told.getvalue()
    assert "10.0/s, 2 s left" in told.getvalue()
