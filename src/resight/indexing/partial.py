"""Partial results of long computations, kept in the user's cache folder until they are complete."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from resight.files import user_cache, write_atomically

MAX_AGE_S = 30 * 24 * 3600
"""Age after which partial results of a run that was never repeated are deleted."""

Arrays = dict[str, np.ndarray]


class PartialResults:
    """Arrays computed from single photos: a run that was killed continues with them.

    Where the cache folder cannot be written, nothing is stored, and the computation goes on.

    Args:
        purpose: names the computation.
        identity: JSON values that determine the results.
    """

    def __init__(self, purpose: str, identity: Any) -> None:
        digest = hashlib.sha256(json.dumps([purpose, identity], sort_keys=True).encode())
        self._folder = user_cache() / "partial" / digest.hexdigest()[:32]
        _remove_old(self._folder.parent)

    def load(self) -> dict[str, Arrays]:
        """Return what was kept, by key; files that are damaged are omitted."""
        kept = {}
        for path in sorted(self._folder.glob("*.npz")):
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    kept[path.stem] = dict(arrays)
            except Exception:  # noqa: BLE001 - NumPy raises errors of many kinds for damaged files
                continue
        return kept

    def keep(self, key: str, arrays: Arrays) -> None:
        """Keep the arrays of a key, which serves as a file name."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (
                write_atomically(self._folder / f"{key}.npz") as unfinished,
                unfinished.open("wb") as file,
            ):
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError:  # a full or read-only disk: the next run computes it again
            return

    def remove(self) -> None:
        """Remove all that was kept, once the computation is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _remove_old(folder: Path) -> None:
    """Remove partial results to which nothing was added for a long time."""
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if entry.stat().st_mtime < time.time() - MAX_AGE_S:
            shutil.rmtree(entry.path, ignore_errors=True)
