"""Memory of long work on photos of many sizes.

glibc keeps freed blocks for reuse, but the feature maps of each photo differ in size from those
before, so that blocks fit badly and the heap grows to several times its content. Other C libraries
are left as they are.
"""

import contextlib
import ctypes
import sys
from pathlib import Path

MALLOPT = {-3: 8 << 20, -1: 8 << 20, -8: 2}
"""`M_MMAP_THRESHOLD`, `M_TRIM_THRESHOLD`, both in bytes, and `M_ARENA_MAX`; see mallopt(3).

Blocks from the first on are returned when they are freed, and cleared by the system when they are
allocated. The pictures of SIFT's scale space are smaller, as clearing them would take a third of
its time."""


def release_unused_memory() -> None:
    """Return freed memory to the system."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def keep_heap_small() -> None:
    """Return large blocks as soon as they are freed, and let threads share two heaps.

    For a long-running process with many threads; to be called before they start.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            library = ctypes.CDLL(None)
            for option, value in MALLOPT.items():
                library.mallopt(option, value)


def available_bytes() -> int | None:
    """Return the memory available without swapping; None if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None
