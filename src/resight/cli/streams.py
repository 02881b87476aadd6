"""Standard streams that take any text, whatever the encoding of the terminal, or are closed."""

import io
import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    r"""Escape what an encoding lacks (`\u65e5`), and replace streams that are closed.

    Writing to a closed standard output is an `OSError`, as it is in C. The numbers 0 to 2 are
    occupied, so that no file of a collection gets them, into which a library could print.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the smallest free number
    sys.stdin = sys.stdin or _reopened(0, "r")
    sys.stdout = sys.stdout or _reopened(1, "w")
    sys.stderr = sys.stderr or _reopened(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where a program captures the output
            stream.reconfigure(errors="backslashreplace")


def _reopened(number: int, mode: str) -> TextIO:
    return io.TextIOWrapper(os.fdopen(number, f"{mode}b", closefd=False), encoding="utf-8")
