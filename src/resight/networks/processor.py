"""Capabilities of this machine's processor."""

import functools
from pathlib import Path

BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}


@functools.cache
def has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 numbers (AMX or AVX-512).

    It is recognized on Linux only.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BFLOAT16_FLAGS.isdisjoint(flags.split())
