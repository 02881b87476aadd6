"""Query photos that were uploaded or fetched: kept for a while under a random name, on disk.

They lie in a folder of their own outside the collection, encoded as they came: the memory of the
server does not grow with them, and what is searched is exactly what was sent.
"""

import collections
import hashlib
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resight.errors import ImageError
from resight.photos.images import image_size
from resight.web.problems import Problem
from resight.web.settings import WebSettings


@dataclass(frozen=True)
class Upload:
    """A kept photo: its random name, file, SHA-256, bytes, and upright size in pixels."""

    token: str
    path: Path
    content: str
    size: int
    width: int
    height: int


class Uploads:
    """The kept photos of a server; thread-safe, bounded in bytes and time."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._made: Path | None = None
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[str, tuple[Upload, float]] = collections.OrderedDict()
        self._bytes = 0

    def add(self, file: IO[bytes]) -> Upload:
        """Keep a photo.

        Args:
            file: at its start; it is read to its end.

        Raises:
            Problem: it is no photo, or has too many pixels.
        """
        token = secrets.token_urlsafe(18)
        path = self._folder() / token
        try:
            with path.open("wb") as target:
                shutil.copyfileobj(file, target, 1 << 18)
            upload = self._inspect(token, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        with self._lock:
            self._kept[token] = upload, time.monotonic()
            self._bytes += upload.size
            self._drop_old()
        return upload

    def get(self, token: str) -> Upload:
        """The photo kept under a name.

        Raises:
            Problem: there is none (any more).
        """
        with self._lock:
            self._drop_old()
            found = self._kept.get(token)
            if found is None:
                raise Problem(404, "That photo is not kept here any more; add it once more.")
            self._kept[token] = found[0], time.monotonic()
            self._kept.move_to_end(token)
            return found[0]

    @property
    def kept_bytes(self) -> int:
        """Bytes on disk of all kept photos."""
        return self._bytes

    def close(self) -> None:
        """Remove all of them."""
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def _folder(self) -> Path:
        with self._lock:
            if self._made is None:
                self._made = Path(tempfile.mkdtemp(prefix="resight-uploads-"))
            return self._made

    def _inspect(self, token: str, path: Path) -> Upload:
        try:
            width, height = image_size(path)
        except ImageError as error:
            raise Problem(415, f"That is no photo that can be read: {error}.") from None
        if width * height > self._settings.max_pixels:
            raise Problem(
                413,
                f"The photo has {width} x {height} pixels, more than the limit of "
                f"{self._settings.max_pixels / 1e6:g} megapixels.",
            )
        with path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        return Upload(token, path, content, path.stat().st_size, width, height)

    def _drop_old(self) -> None:
        """The last one added stays, however large it is."""
        expired = time.monotonic() - self._settings.kept_s
        while self._kept:
            token, (upload, used) = next(iter(self._kept.items()))
            too_many = self._bytes > self._settings.kept_bytes and len(self._kept) > 1
            if used > expired and not too_many:
                return
            del self._kept[token]
            self._bytes -= upload.size
            upload.path.unlink(missing_ok=True)
