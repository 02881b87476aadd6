"""Pictures of photos for a browser: thumbnails, cached on disk, full size, overlays."""

import base64
import contextlib
import io
import os
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import IO

import numpy as np
from cachetools import LRUCache
from fastapi import Response
from fastapi.responses import StreamingResponse
from PIL import Image
from starlette.types import Receive, Scope, Send

from resight.collection import Photo
from resight.collection.thumbnails import (
    FOLDER_NAME,
    SUFFIX,
    delete_thumbnails,
    thumbnail_path,
)
from resight.errors import ImageError
from resight.files import write_atomically
from resight.photos.images import browser_type, load_image
from resight.photos.transforms import scaled_size
from resight.views import overlay
from resight.web.originals import open_indexed
from resight.web.problems import ProblemError

THUMBNAIL_SIDE = 320
THUMBNAIL_QUALITY = 80
FULL_SIDE = 4096
FULL_QUALITY = 90
BLOCK_BYTES = 64 << 10
FORGET_BATCH = 500
OVERLAY_SIDE = 400
SHADE = (12, 14, 20, 165)
"""Color, RGBA, over everything outside the class activation mask."""


class ThumbnailCache(LRUCache[str, int]):
    """Sizes in bytes of the thumbnail files in a folder by content; evicting deletes the file."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=lambda size: size)
        self.folder = folder

    def popitem(self) -> tuple[str, int]:
        """Remove the least recently used thumbnail."""
        content, size = super().popitem()
        delete_thumbnails(self.folder, [content])
        return content, size

    def path(self, content: str) -> Path:
        """Return the file of a thumbnail."""
        return thumbnail_path(self.folder, content)


class Thumbnails:
    """The thumbnails of a collection by the photos' content; thread-safe, bounded in bytes."""

    def __init__(self, collection: Path, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._cache = ThumbnailCache(collection / FOLDER_NAME, max_bytes)
        for content, size in _existing_thumbnails(self._cache.folder):
            self._add(content, size)

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk of all thumbnails."""
        return int(self._cache.currsize)

    def get(self, photo: Photo) -> bytes | None:
        """Return the cached thumbnail of a photo, a JPEG; None if there is none."""
        content = str(photo.content)
        with self._lock:
            if self._cache.get(content) is None:
                return None
        with contextlib.suppress(OSError):
            path = self._cache.path(content)
            data = path.read_bytes()
            os.utime(path)  # the order of use outlives the server
            return data
        with self._lock:
            self._cache.pop(content, None)
        return None

    def get_or_create(self, photo: Photo) -> bytes:
        """Return the thumbnail, rendered if there is none yet.

        Raises:
            ProblemError: the photo's file cannot be read, or has changed since indexing.
        """
        cached = self.get(photo)
        if cached is not None:
            return cached
        with open_indexed(photo) as file:
            data = render(file, THUMBNAIL_SIDE, THUMBNAIL_QUALITY)
        # In a folder that is not writable, thumbnails are rendered each time.
        with contextlib.suppress(OSError):
            self._write(str(photo.content), data)
        return data

    def forget(self, is_known: Callable[[list[str]], AbstractSet[str]]) -> None:
        """Delete the thumbnails of photos that are no longer known.

        `is_known` returns which of at most `FORGET_BATCH` contents are.
        """
        with self._lock:
            contents = list(self._cache)
        for start in range(0, len(contents), FORGET_BATCH):
            batch = contents[start : start + FORGET_BATCH]
            known = is_known(batch)
            with self._lock:
                for content in batch:
                    if content not in known:
                        self._cache.pop(content, None)
                        delete_thumbnails(self._cache.folder, [content])

    def _write(self, content: str, data: bytes) -> None:
        path = self._cache.path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            with write_atomically(path) as unfinished:
                unfinished.write_bytes(data)
            self._add(content, len(data))

    def _add(self, content: str, size: int) -> None:
        try:
            self._cache[content] = size
        except ValueError:  # larger than the whole cache
            self._cache.path(content).unlink(missing_ok=True)


class FileContent(Response):
    """A response of an open file, which is closed when it has been sent, or cannot be."""

    def __init__(self, file: IO[bytes], headers: dict[str, str], media_type: str) -> None:
        super().__init__(None, headers=headers, media_type=media_type)
        self._file = file
        del self.headers["content-length"]
        self.headers["content-length"] = str(file.seek(0, os.SEEK_END))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file in blocks."""
        with self._file as file:
            file.seek(0)
            blocks = StreamingResponse(iter(lambda: file.read(BLOCK_BYTES), b""))
            blocks.raw_headers = self.raw_headers
            await blocks(scope, receive, send)


def full_photo(photo: Photo, headers: dict[str, str]) -> Response:
    """Return a photo of the collection in full size, as `full_picture` does.

    Raises:
        ProblemError: its file cannot be read, or has changed since indexing.
    """
    return full_picture(open_indexed(photo), headers)


def full_picture(file: IO[bytes], headers: dict[str, str]) -> Response:
    """Return a photo in full size: its file where browsers show it upright, otherwise a JPEG.

    The file is closed.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(file)
        media_type = browser_type(file)
        if media_type is not None:
            stack.pop_all()
            return FileContent(file, headers, media_type)
        file.seek(0)
        data = render(file, FULL_SIDE, FULL_QUALITY)
    return Response(data, headers=headers, media_type="image/jpeg")


def render(file: IO[bytes], max_side: int, quality: int) -> bytes:
    """Return a photo as an upright JPEG, its longer side at most `max_side` pixels."""
    try:
        image = load_image(file, 2 * max_side)
    except ImageError as error:
        raise ProblemError(404, f"The photo's file cannot be read: {error}.") from None
    size = scaled_size(image.width, image.height, max_side, upscale=False)
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(
        buffer, "JPEG", quality=quality
    )
    return buffer.getvalue()


def _existing_thumbnails(folder: Path) -> list[tuple[str, int]]:
    """Return content and size of thumbnails, oldest use first; delete unfinished files."""
    entries: list[tuple[float, str, int]] = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if path.suffix == SUFFIX:
                entries.append((status.st_mtime, path.stem, status.st_size))
            elif path.is_file():
                path.unlink()
    return [(content, size) for _, content, size in sorted(entries)]


def heat_overlay(heat: np.ndarray, size: tuple[int, int]) -> str | None:
    """Return a heat map, float (h, w) in 0..1, as a `data:` URL for a photo; None without heat."""
    if not heat.size or float(heat.max()) <= 0:
        return None
    return _data_url(overlay.heat_overlay(heat, scaled_size(*size, OVERLAY_SIDE, upscale=False)))


def mask_overlay(mask: np.ndarray | None, size: tuple[int, int]) -> str | None:
    """Return a `data:` URL that shades a photo outside a mask, bool (h, w); None without one."""
    if mask is None:
        return None
    cells = Image.fromarray(mask.astype(np.uint8) * 255)
    size = scaled_size(*size, OVERLAY_SIDE, upscale=False)
    inside = np.asarray(cells.resize(size, Image.Resampling.BILINEAR)) / 255
    picture = np.empty((*inside.shape, 4), np.uint8)
    picture[:] = SHADE
    picture[..., 3] = (SHADE[3] * (1 - inside)).round().astype(np.uint8)
    return _data_url(Image.fromarray(picture))


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
