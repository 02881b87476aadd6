"""The photo of a query, resolved once: its file, content and region."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resight.errors import ImageError, QueryError
from resight.files import file_sha256
from resight.photos import absolute
from resight.photos.images import image_size, load_image
from resight.photos.transforms import Box, check_box, crop_box, scale_box

QuerySource = str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any]
"""A file, or an upright image: RGB, or uint8 (H, W, 3)."""


@dataclass(frozen=True)
class QueryPhoto:
    """A photo, or a region of it, to search with.

    Attributes:
        name: the file as the user named it; None for an image in memory.
        path: its absolute path.
        box: the region.
        content: SHA-256 of the file; None if it is not a regular file, or not needed.
        picture: the image in memory.
    """

    name: Path | None = None
    path: Path | None = None
    box: Box | None = None
    content: str | None = None
    picture: Image.Image | None = None

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole upright photo.

        Raises:
            QueryError: the file is no image.
        """
        if self.picture is not None:
            return self.picture.size
        try:
            return image_size(self._file)
        except ImageError as error:
            raise QueryError(f"{self.name}: {error}") from None

    @cached_property
    def image(self) -> Image.Image:
        """The upright photo, cropped to its box; loaded on first use.

        Raises:
            QueryError: the file is no image.
            UsageError: the box is not inside it.
        """
        try:
            image = self.picture or load_image(self._file)
        except ImageError as error:
            raise QueryError(f"{self.name}: {error}") from None
        if self.box is None:
            return image
        check_box(self.box, self.size)
        return crop_box(image, scale_box(self.box, self.size, image.size))

    @property
    def region(self) -> Box:
        """The part of the photo that `image` shows, in pixels of the whole."""
        return self.box or (0, 0, *self.size)

    @property
    def _file(self) -> Path:
        assert self.path is not None  # without a path there is a picture
        return self.path


def open_query(source: QuerySource, box: Box | None = None) -> QueryPhoto:
    """Resolve a query: find its file, hash its content, or check its box.

    Raises:
        QueryError: the file cannot be read.
        UsageError: the box is not inside the photo.
    """
    if isinstance(source, np.ndarray):
        source = Image.fromarray(source)
    if isinstance(source, Image.Image):
        query = QueryPhoto(box=box, picture=source.convert("RGB"))
    else:
        name = Path(source)
        path = absolute(name)
        # Opening anything but a regular file, such as a pipe, could block.
        content = _content(name, path) if box is None and path.is_file() else None
        query = QueryPhoto(name, path, box, content)
    if box is not None:
        check_box(box, query.size)
    return query


def _content(name: Path, path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise QueryError(f"{name}: {error.strerror or error}") from None
