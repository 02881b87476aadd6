"""Progress of long work, which `cli.progress` displays."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of the task, the number of finished items and the total."""


def no_progress(task: str, done: int, total: int) -> None:
    """Ignore progress."""
