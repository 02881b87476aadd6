"""How long work tells what it is doing; `cli.progress` shows it to people."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


def no_progress(what: str, done: int, total: int) -> None:
    """A progress function that tells nobody."""
