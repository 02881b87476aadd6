"""Images derived from a benchmark's photos: regions that are queries, and rotated photos.

Each is cached under the hash of the photo's content.
"""

import dataclasses
from pathlib import Path

from PIL import Image

from resight.errors import DatasetError, ImageError
from resight.evaluation.benchmark.ranking import query_file
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.files import file_sha256, write_atomically
from resight.photos.images import load_image
from resight.photos.transforms import Box, crop_box

CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,  # Pillow rotates counterclockwise
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def external_queries(dataset: Dataset, cache: Path) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Prepare the files of queries that are not ranked photos; regions are cropped and cached.

    Returns:
        Each file with its `query_file`, and the photos that could not be read with the reasons.

    Raises:
        DatasetError: a region lies outside its photo.
    """
    ranked = set(dataset.paths)
    files: dict[Path, Path] = {}
    failed: dict[Path, str] = {}
    for query in dataset.queries:
        if query.box is None:
            if query.path not in ranked:
                files[query.path] = query.path
            continue
        try:
            target = cache / f"{_content_prefix(query.path)}-{query_file(query).name}"
            if not target.exists():
                image = load_image(query.path)
                _save(crop_box(image, _clip_box(query, query.box, image.size)), target)
        except ImageError as error:
            failed[query.path] = str(error)
            continue
        files[target.absolute()] = query_file(query)
    return files, failed


def upright_dataset(dataset: Dataset, cache: Path) -> Dataset:
    """Replace the photos that a dataset rotates by upright, lossless copies in the cache."""
    copies = {}
    for path, degrees in dataset.turns.items():
        try:
            target = (cache / f"{_content_prefix(path)}-{path.stem}-{degrees}.png").absolute()
            if not target.exists():
                _save(load_image(path).transpose(CLOCKWISE[degrees]), target)
        except ImageError:
            continue  # extraction lists it as unreadable
        copies[path] = target
    queries = (
        dataclasses.replace(query, path=copies.get(query.path, query.path))
        for query in dataset.queries
    )
    paths = tuple(copies.get(path, path) for path in dataset.paths)
    return dataclasses.replace(dataset, paths=paths, queries=tuple(queries), turns={})


def _content_prefix(path: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of a file."""
    try:
        return file_sha256(path)[:16]
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _save(image: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as unfinished:
        image.save(unfinished, "PNG")


def _clip_box(query: DatasetQuery, box: Box, size: tuple[int, int]) -> Box:
    """Clip a query's box to its photo: corners of the ground truth may lie a pixel outside."""
    x, y, w, h = box
    if x >= size[0] or y >= size[1]:
        raise DatasetError(
            f"{query.name}: its box begins at {x}, {y}, outside of {query.path} of {size[0]} x "
            f"{size[1]} pixels: is the ground truth that of these photos?"
        )
    return x, y, min(w, size[0] - x), min(h, size[1] - y)
