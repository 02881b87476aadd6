"""Progress reports of long work; `cli.progress` displays them."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a description of the work, the number of items done, and their total."""


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore progress (no-op callback)."""
