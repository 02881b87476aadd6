"""Describe photos without a collection."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import MethodConfig
from resight.descriptors.extractor import Description, Extractor
from resight.errors import UsageError
from resight.files import ensure_replaceable, write_output
from resight.indexing.extraction import extract_photos
from resight.indexing.partial import Arrays, PartialResults
from resight.methods import resolve_config
from resight.methods.model import FittedMethod, ModelOptions, find_model
from resight.photos import PathLike
from resight.photos.files import ScanResult, find_photos
from resight.progress import Progress, no_progress

MIN_KEPT = 8
"""Fewer photos are described again after an interrupt."""

PhotoSource = PathLike | Image.Image | np.ndarray
"""A photo or folder, or an image in memory: PIL, or uint8 (H, W, 3) in RGB."""


@dataclass(frozen=True)
class Described:
    """Descriptors of photos, before selection.

    Attributes:
        paths: the readable photos, absolute, in the given order; `image-1`, `image-2`, ... for
            images in memory.
        descriptors: float32 (N, D).
        local: float32 (N, D) with class activation maps, else None.
        failed: path and reason of the other photos.
    """

    paths: list[Path]
    descriptors: np.ndarray
    local: np.ndarray | None
    failed: list[tuple[Path, str]]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, np.ndarray]]:
        return iter(zip(self.paths, self.descriptors, strict=True))

    def save(self, path: PathLike) -> None:
        """Write `paths`, `descriptors` and, if any, `local` as an `.npz` file.

        Raises:
            UsageError: see `ensure_npz_writable`.
        """
        ensure_npz_writable(Path(path))
        arrays = {"paths": np.array([str(p) for p in self.paths]), "descriptors": self.descriptors}
        if self.local is not None:
            arrays["local"] = self.local
        with write_output(Path(path)) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def ensure_npz_writable(path: Path) -> None:
    """Refuse an archive that cannot be written, without changing anything.

    Raises:
        UsageError: see `files.ensure_writable`, its name does not end in .npz, or the file exists
            and was not written by `Described.save`.
    """
    if path.suffix.lower() != ".npz":
        raise UsageError(f"{path}: name it with .npz")
    ensure_replaceable(path, _is_own_archive)


def _is_own_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"paths.npy", "descriptors.npy"} <= set(archive.namelist())
    except zipfile.BadZipFile:
        return False


def describe(
    images: PhotoSource | Sequence[PhotoSource],
    *,
    config: str | MethodConfig | None = None,
    cam: bool | None = None,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Described:
    """Compute the descriptors of photos, before selection.

    Args:
        images: photos, folders (searched recursively) and images in memory.
        config: a method's name, a TOML file or a configuration; None is `auto`.
        cam: add local descriptors by class activation maps; None follows the configuration.
        model: weights, runtime and device.
        progress: called after each photo.

    Raises:
        UsageError: a path does not exist, no photo can be read, or the method needs a collection.
        WeightsError: there are no weights.
    """
    method, _ = resolve_config(config, cam)
    if method.learns:
        raise UsageError("describe: the method learns from a collection's photos; use index")
    options = model or ModelOptions()
    if isinstance(images, str | os.PathLike | Image.Image | np.ndarray):
        images = [images]
    scan = find_photos([Path(s) for s in images if isinstance(s, str | os.PathLike)])
    weights = find_model(method, options) if method.needs_network else None
    extractor = FittedMethod(method, weights).load_extractor(options)
    partial = PartialResults("describe", [method.fingerprint(weights.sha256 if weights else "")])
    described, failed = _describe_files(scan, extractor, partial, progress)
    in_memory = [s for s in images if isinstance(s, Image.Image | np.ndarray)]
    for number, image in enumerate(in_memory, 1):
        described[Path(f"image-{number}")] = extractor.describe(extractor.prepare(_to_rgb(image)))
    if not described:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in failed[:3])
        raise UsageError(f"no photo could be read ({reasons or 'none there'})")
    local = [d.local for d in described.values() if d.local is not None]
    return Described(
        list(described),
        np.stack([d.global_ for d in described.values()]),
        np.stack(local) if local else None,
        failed,
    )


def _describe_files(
    scan: ScanResult, extractor: Extractor, partial: PartialResults, progress: Progress
) -> tuple[dict[Path, Description], list[tuple[Path, str]]]:
    """Return the descriptors of the readable photos, and the failures.

    Finished ones are stored until all are complete, so that an interrupted run resumes.
    """
    described: dict[Path, Description] = {}
    keeps = len(scan.photos) >= MIN_KEPT
    by_content = {
        content: Description(arrays["global"], arrays.get("local"))
        for content, arrays in (partial.load() if keeps else {}).items()
    }
    failed = list(scan.unreadable)
    results = extract_photos(scan.photos, extractor, cached=set(by_content))
    for done, result in enumerate(results, 1):
        if result.reason is not None:
            failed.append((result.file.path, result.reason))
        else:
            content = str(result.content)
            if result.description is not None:
                by_content[content] = result.description
                if keeps:
                    partial.keep(content, _to_arrays(result.description))
            described[result.file.path] = by_content[content]
        progress("describing", done, len(scan.photos))
    if keeps:
        partial.remove()
    return described, failed


def _to_arrays(description: Description) -> Arrays:
    arrays = {"global": description.global_}
    return arrays if description.local is None else {**arrays, "local": description.local}


def _to_rgb(image: Image.Image | np.ndarray) -> Image.Image:
    return (Image.fromarray(image) if isinstance(image, np.ndarray) else image).convert("RGB")
