"""Descriptors of photos by themselves: without a collection, before selection."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.config import MethodConfig
from resight.descriptors.extractor import Description
from resight.errors import ImageError, UsageError
from resight.methods.factory import FittedMethod
from resight.methods.model import ModelOptions, find_model
from resight.methods.resolve import resolve_config
from resight.output_files import write_errors
from resight.photos.files import PhotoFile, find_photos
from resight.photos.images import load_image
from resight.prefetch import prefetch
from resight.progress import Progress, no_progress


@dataclass(frozen=True)
class Described:
    """Descriptors of photos, before selection.

    Attributes:
        paths: the photos that could be read, absolute, in the order they were named.
        descriptors: float32 (N, D).
        local: float32 (N, D) with class activation maps, else None.
        failed: path and reason of the others.
    """

    paths: list[Path]
    descriptors: np.ndarray
    local: np.ndarray | None
    failed: list[tuple[Path, str]]

    def save(self, path: Path) -> None:
        """Write `paths`, `descriptors` and, if there, `local` as an `.npz` file."""
        arrays = {"paths": np.array([str(p) for p in self.paths]), "descriptors": self.descriptors}
        if self.local is not None:
            arrays["local"] = self.local
        with write_errors(path), path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def describe(
    images: Sequence[Path],
    *,
    config: str | MethodConfig | None = None,
    cam: bool | None = None,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Described:
    """Descriptors of photos (folders are searched), without a collection and before selection.

    Raises:
        UsageError: a path does not exist, no photo can be read, or the method needs a collection.
        WeightsError: there are no weights.
    """
    method, _ = resolve_config(config, cam)
    if method.learns:
        raise UsageError("describe: the method learns from a collection's photos; use index")
    model = model or ModelOptions()
    walk = find_photos(images)
    weights = find_model(method, model) if method.needs_network else None
    extractor = FittedMethod(method, weights).load_extractor(model)
    paths, descriptions, failed = [], [], list(walk.unreadable)

    def prepare(file: PhotoFile) -> Any:
        try:
            return extractor.prepare(load_image(file.path, extractor.decode_size))
        except ImageError as error:
            return error

    def describe_one(prepared: Any) -> Description | ImageError:
        return prepared if isinstance(prepared, ImageError) else extractor.describe(prepared)

    prepared = prefetch(prepare, walk.photos, 1, "photos")
    described = prefetch(describe_one, prepared, extractor.concurrency + 1, "maps")
    for done, (file, found) in enumerate(zip(walk.photos, described, strict=True), 1):
        if isinstance(found, ImageError):
            failed.append((file.path, str(found)))
        else:
            descriptions.append(found)
            paths.append(file.path)
        progress("describing", done, len(walk.photos))
    if not paths:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in failed[:3])
        raise UsageError(f"no photo could be read ({reasons or 'none there'})")
    local = [d.local for d in descriptions if d.local is not None]
    return Described(
        paths,
        np.stack([d.global_ for d in descriptions]),
        np.stack(local) if local else None,
        failed,
    )
