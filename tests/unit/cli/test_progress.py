"""Progress on a terminal and off it."""

import io

import pytest
from rich.console import Console

from resight.cli import output


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the current time in seconds, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_remaining_time_restart_with_the_count(clock: list[float]) -> None:
    stream = io.StringIO()
    with output.progress(Console(file=stream, width=80)) as update:
        for start in (0, 1000):  # the same work twice, as for two methods
            for done in (0, 10, 20, 30):
                clock[0] = start + 2 * done
                update("sampling", done, 30)
    once = ["10/30 2.0 s each, 40 s left", "20/30 2.0 s each, 20 s left", "30/30 2.0 s each"]
    restarted = ["0/30"]  # ten seconds after the last line
    lines = once + restarted + once
    assert stream.getvalue().splitlines() == [f"sampling {line}" for line in lines]


def test_short_work_prints_nothing(clock: list[float]) -> None:
    stream = io.StringIO()
    with output.progress(Console(file=stream)) as update:
        for done in range(10):
            clock[0] += 0.5
            update("indexing", done, 10)
    assert stream.getvalue() == ""


def test_a_terminal_shows_rate_and_remaining_time(clock: list[float]) -> None:
    stream = io.StringIO()
    with output.progress(Console(file=stream, force_terminal=True, width=80)) as update:
        for done in (0, 5):
            clock[0] = done / 10
            update("indexing", done, 20)
    assert "5/20" in stream.getvalue()
    assert "10.0/s, 2 s left" in stream.getvalue()
