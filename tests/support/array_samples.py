"""Small collections of random descriptors without photos."""

from pathlib import Path
from typing import Any

import numpy as np

from resight.collection.writer import Writer, writing
from resight.config import ExtractionConfig, SelectionConfig
from resight.photos.files import PhotoFile
from resight.reductions.pfa import Selection

KEPT = Selection(np.array([1, 2, 5, 7]))


def describe(writer: Writer, seed: int, *, cam: bool) -> None:
    values = np.random.default_rng(seed).random((2, 8), np.float32)
    file = PhotoFile(Path(f"/photos/{seed}.jpg"), 10, 1)
    writer.record_described(file, f"content {seed}", (4, 3), values[0], values[1] if cam else None)


def make(folder: Path, *, cam: bool = True, count: int = 20, dtype: Any = "float32") -> Path:
    config = ExtractionConfig(cam=cam, dtype=dtype)
    with writing(folder, (config, SelectionConfig(features=4))) as writer:
        for seed in range(count):
            describe(writer, seed, cam=cam)
        writer.remove([p for p in writer.collection.photos() if p.id in (3, 7)])
        failed = PhotoFile(Path("/photos/failed.jpg"), 1, 1)
        writer.record_failed(failed, "content 5", "truncated")  # shares a content, but is not found
    return folder
