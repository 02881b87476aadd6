"""Giving memory back: what a long run over photos of many sizes needs to stay small."""

import contextlib
import ctypes
import sys


def release_unused_memory() -> None:
    """Return freed memory to the system, where the C library is glibc; elsewhere do nothing.

    glibc keeps freed blocks for reuse, but the feature maps of each photo have other sizes than
    those before, so that the blocks fit badly and the heap grows to several times its content.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
