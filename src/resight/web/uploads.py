"""Query photos; those uploaded or fetched from the web are stored for a while.

Uploads are stored unchanged in a temporary folder outside the collection: the server's memory does
not grow with them, and a search uses exactly the bytes that were sent.

A web address comes from a request, so a page could make the server fetch what only the server can
reach. Therefore the connection goes to the address that a name was resolved to and checked (the
name cannot change in between), and every redirect is checked too.
"""

import hashlib
import http.client
import ipaddress
import secrets
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

from cachetools import TTLCache
from PIL import Image

from resight.collection import Photo
from resight.errors import ImageError, UsageError
from resight.photos.images import image_size, load_image
from resight.photos.transforms import Box, check_box, crop_box, scale_box
from resight.web import WebSettings
from resight.web.problems import ProblemError, too_large
from resight.web.scratch import Scratch

MAX_REDIRECTS = 3
TIMEOUT_S = 10.0
TOTAL_S = 30.0
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class QueryImage:
    """A query photo: its file, content (SHA-256) and upright size in pixels.

    `photo` is its id if it is a photo of the collection, `upload` its random name if it was
    uploaded, and then `file_size` its bytes.
    """

    path: Path
    content: str
    size: tuple[int, int]
    photo: int | None = None
    upload: str | None = None
    file_size: int = 0

    @classmethod
    def of_photo(cls, photo: Photo) -> "QueryImage":
        """Return a photo of the collection as a query."""
        size = int(photo.width or 0), int(photo.height or 0)
        return cls(photo.path, str(photo.content), size, photo=photo.id)

    def check_box(self, box: Box | None) -> None:
        """Refuse a box that is not inside the photo."""
        if box is None:
            return
        try:
            check_box(box, self.size)
        except UsageError as error:
            raise ProblemError(422, f"{error}.") from None

    def load(self, box: Box | None) -> Image.Image:
        """Load the photo upright, cut to the box if there is one."""
        image = load_image(self.path)
        if box is None:
            return image
        size = image_size(self.path)
        if size != self.size:
            raise ProblemError(409, "The photo has changed since it was indexed; re-index it.")
        return crop_box(image, scale_box(box, size, image.size))


class UploadCache(TTLCache[str, QueryImage]):
    """Uploads by token, bounded in bytes and time; removing one deletes its file."""

    def __init__(self, max_bytes: int, time_to_live_s: float) -> None:
        super().__init__(max_bytes, time_to_live_s, getsizeof=lambda photo: photo.file_size)

    def popitem(self) -> tuple[str, QueryImage]:
        """Remove the least recently used upload."""
        token, upload = super().popitem()
        upload.path.unlink(missing_ok=True)
        return token, upload

    def expire(self, time: float | None = None) -> list[tuple[str, QueryImage]]:
        """Remove the uploads that were not used for too long."""
        expired = list(super().expire(time))
        for _, upload in expired:
            upload.path.unlink(missing_ok=True)
        return expired


class Uploads:
    """The stored query photos of a server; thread-safe."""

    def __init__(self, settings: WebSettings) -> None:
        self._max_pixels = settings.max_pixels
        self._scratch = Scratch()
        self._lock = threading.Lock()
        max_bytes = max(settings.stored_bytes, settings.max_upload_bytes)
        self._cache = UploadCache(max_bytes, settings.stored_s)

    def add(self, file: IO[bytes]) -> QueryImage:
        """Store a photo from an open file."""
        token = secrets.token_urlsafe(18)
        path = self.folder() / token
        try:
            with path.open("wb") as target:
                shutil.copyfileobj(file, target, 1 << 18)
            upload = self._inspect(token, path)
            with self._lock:
                self._cache[token] = upload
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return upload

    def get(self, token: str) -> QueryImage:
        """Return the photo stored under a token, and extend its time."""
        with self._lock:
            self._cache.expire()
            upload = self._cache.get(token)
            if upload is None:
                raise ProblemError(404, "That photo is no longer stored; upload it again.")
            self._cache[token] = upload
            return upload

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk of all stored photos."""
        return int(self._cache.currsize)

    def folder(self) -> Path:
        """Return the folder of their files, which only the owner of the server can read."""
        return self._scratch.path()

    def expire(self) -> None:
        """Delete the ones that were not used for too long."""
        with self._lock:
            self._cache.expire()

    def close(self) -> None:
        """Delete all of them."""
        self._scratch.close()

    def _inspect(self, token: str, path: Path) -> QueryImage:
        try:
            width, height = image_size(path)
        except ImageError as error:
            raise ProblemError(415, f"That is not a photo that can be read: {error}.") from None
        if width * height > self._max_pixels:
            raise ProblemError(
                413,
                f"The photo has {width} x {height} pixels, more than the limit of "
                f"{self._max_pixels / 1e6:g} megapixels.",
            )
        with path.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        size = path.stat().st_size
        return QueryImage(path, content, (width, height), upload=token, file_size=size)


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


def fetch(
    url: str, target: IO[bytes], max_bytes: int, allowed: Callable[[str], bool] = is_public
) -> None:
    """Download a web address into a file, from IP addresses that are `allowed`."""
    deadline = time.monotonic() + TOTAL_S
    for _ in range(MAX_REDIRECTS + 1):
        try:
            location = _fetch_once(url, target, max_bytes, allowed, deadline)
        except (OSError, http.client.HTTPException, ValueError, UnicodeError):
            raise ProblemError(422, "That address cannot be fetched.") from None
        if location is None:
            return
        url = urljoin(url, location)
    raise ProblemError(422, "That address redirects too often.")


def _fetch_once(
    url: str, target: IO[bytes], max_bytes: int, allowed: Callable[[str], bool], deadline: float
) -> str | None:
    """Fetch one address; return where it redirects to, if it does."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ProblemError(422, "Give an address that begins with http:// or https://.")
    connection = _connect(parts.scheme, parts.hostname, parts.port, allowed)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "resight", "Accept": "image/*"})
        with connection.getresponse() as response:
            if response.status in REDIRECTS:
                return response.getheader("Location") or ""
            if response.status != 200:
                raise ProblemError(422, f"That address answered with status {response.status}.")
            received = 0
            while block := response.read1(1 << 16):
                received += len(block)
                if received > max_bytes:
                    raise too_large(max_bytes)
                if time.monotonic() > deadline:
                    raise ProblemError(422, "That address answers too slowly.")
                target.write(block)
            return None
    finally:
        connection.close()


def _connect(
    scheme: str, host: str, port: int | None, allowed: Callable[[str], bool]
) -> http.client.HTTPConnection:
    port = port or (443 if scheme == "https" else 80)
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in entries]
    if not addresses or not all(allowed(address) for address in addresses):
        raise ProblemError(422, "Only addresses on the public internet can be fetched.")
    secure = scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, port, timeout=TIMEOUT_S)
    connection.sock = socket.create_connection((addresses[0], port), timeout=TIMEOUT_S)
    if secure:
        try:
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
        except BaseException:
            connection.close()
            raise
    return connection
