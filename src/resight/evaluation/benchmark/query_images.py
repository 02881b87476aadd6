"""Pictures that are made of a benchmark's photos: regions that are queries, photos turned upright.

Each is kept under the content of the photo that it was made of.
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
    90: Image.Transpose.ROTATE_270,  # Pillow turns the other way
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}


def queries_apart(dataset: Dataset, folder: Path) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Files of queries that are not ranked themselves and the names they go by, and failures.

    Regions are cut out once, and kept as pictures without loss.

    Raises:
        DatasetError: a region lies outside of its photo.
    """
    ranked, apart, failed = set(dataset.paths), {}, {}
    for query in dataset.queries:
        if query.box is None:
            if query.path not in ranked:
                apart[query.path] = query.path
            continue
        try:
            target = folder / f"{_content(query.path)}-{query_file(query).name}"
            if not target.exists():
                image = load_image(query.path)
                _save(crop_box(image, _inside(query, image.size)), target)
        except ImageError as error:
            failed[query.path] = str(error)
            continue
        apart[target.absolute()] = query_file(query)
    return apart, failed


def turned(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with upright pictures, kept without loss, in place of the photos to be turned."""
    made = {}
    for path, degrees in dataset.turns.items():
        try:
            target = (folder / f"{_content(path)}-{path.stem}-{degrees}.png").absolute()
            if not target.exists():
                _save(load_image(path).transpose(CLOCKWISE[degrees]), target)
        except ImageError:
            continue  # listed as unreadable when it is to be described
        made[path] = target
    return dataclasses.replace(
        dataset,
        paths=tuple(made.get(path, path) for path in dataset.paths),
        queries=tuple(
            dataclasses.replace(query, path=made.get(query.path, query.path))
            for query in dataset.queries
        ),
        turns={},
    )


def _content(path: Path) -> str:
    """What a picture that is made of a photo is kept under, so that it is made of this one."""
    try:
        return file_sha256(path)[:16]
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _save(image: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as unfinished:
        image.save(unfinished, "PNG")


def _inside(query: DatasetQuery, size: tuple[int, int]) -> Box:
    """A query's box cut to the photo: the ground truth's corners may lie a pixel outside."""
    assert query.box is not None
    x, y, w, h = query.box
    if x >= size[0] or y >= size[1]:
        raise DatasetError(
            f"{query.name}: its box begins at {x}, {y}, outside of {query.path} of {size[0]} x "
            f"{size[1]} pixels: is the ground truth that of these photos?"
        )
    return x, y, min(w, size[0] - x), min(h, size[1] - y)
