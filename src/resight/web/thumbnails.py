"""Small pictures of photos: made once, kept in the collection's folder, bounded in bytes."""

import collections
import contextlib
import io
import os
import tempfile
import threading
from pathlib import Path

from PIL import Image

from resight.collection.reader import Photo
from resight.errors import ImageError
from resight.photos.images import load_image, scaled_size
from resight.web.problems import Problem

FOLDER_NAME = "thumbnails"
LONGEST_SIDE = 320
QUALITY = 80
SUFFIX = ".jpg"


class Thumbnails:
    """The thumbnails of a collection by the content of the photos; thread-safe.

    When they take more bytes than allowed, those not looked at for longest go.
    """

    def __init__(self, collection: Path, max_bytes: int) -> None:
        self._folder = collection / FOLDER_NAME
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes = _found(self._folder)
        self._bytes = sum(self._sizes.values())
        self._evict()

    @property
    def kept_bytes(self) -> int:
        """Bytes on disk of all of them."""
        return self._bytes

    def get(self, photo: Photo) -> bytes | None:
        """The thumbnail of a photo, a JPEG, if it was made before."""
        content = str(photo.content)
        with self._lock:
            if content not in self._sizes:
                return None
            self._sizes.move_to_end(content)
        try:
            path = self._path(content)
            data = path.read_bytes()
            os.utime(path)  # the order of use outlives the server
        except OSError:
            with self._lock:
                self._bytes -= self._sizes.pop(content, 0)
            return None
        return data

    def make(self, photo: Photo) -> tuple[bytes, bool]:
        """The thumbnail of a photo, made if it was not yet.

        Returns:
            The JPEG, and whether it shows the photo as it was indexed.

        Raises:
            Problem: the photo's file is gone or cannot be read.
        """
        known = self.get(photo)
        if known is not None:
            return known, True
        as_indexed = is_as_indexed(photo)
        data = render(photo.path, LONGEST_SIDE, QUALITY)
        if as_indexed:
            # Where the folder cannot be written to, they are made each time.
            with contextlib.suppress(OSError):
                self._keep(str(photo.content), data)
        return data, as_indexed

    def _keep(self, content: str, data: bytes) -> None:
        path = self._path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=self._folder, suffix=".new")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(unfinished, path)
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise
        with self._lock:
            self._bytes += len(data) - self._sizes.pop(content, 0)
            self._sizes[content] = len(data)
        self._evict()

    def _evict(self) -> None:
        with self._lock:
            while self._bytes > self._max_bytes and self._sizes:
                content, size = self._sizes.popitem(last=False)
                self._bytes -= size
                with contextlib.suppress(OSError):
                    self._path(content).unlink()

    def _path(self, content: str) -> Path:
        return self._folder / content[:2] / f"{content}{SUFFIX}"


def is_as_indexed(photo: Photo) -> bool:
    """Whether a photo's file has the size and time that it was indexed with."""
    try:
        status = photo.path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (photo.size, photo.mtime_ns)


def render(path: Path, longest_side: int, quality: int) -> bytes:
    """A photo as an upright JPEG, shrunk to `longest_side` pixels where it is larger.

    Raises:
        Problem: the file is gone or cannot be read.
    """
    try:
        image = load_image(path, 2 * longest_side)
    except ImageError as error:
        raise Problem(404, f"The photo's file cannot be read: {error}.") from None
    size = scaled_size(image.width, image.height, longest_side, upscale=False)
    buffer = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0).save(
        buffer, "JPEG", quality=quality
    )
    return buffer.getvalue()


def _found(folder: Path) -> "collections.OrderedDict[str, int]":
    """What lies in the folder, least recently used first; remains of a kill are removed."""
    found: list[tuple[float, str, int]] = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with contextlib.suppress(OSError):
                if path.suffix == SUFFIX:
                    status = path.stat()
                    found.append((status.st_mtime, path.stem, status.st_size))
                else:
                    path.unlink()
    return collections.OrderedDict((stem, size) for _, stem, size in sorted(found))
