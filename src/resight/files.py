"""Files: atomic writes, checks before long work, hashes of content, the user's cache folder."""

import contextlib
import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resight.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

SOFTWARE = 0x0131
"""The EXIF tag that names the program; it marks pictures that may be overwritten."""
NAME = "Resight"


@contextlib.contextmanager
def write_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path next to `target` that replaces it when the block ends without error.

    Readers see the old file or the whole new one, also after a loss of power. After an error
    nothing is left.
    """
    name = f"{target.name}.{os.getpid()}-{threading.get_ident()}.new"
    unfinished = target.with_name(name)
    unfinished.unlink(missing_ok=True)  # left by a killed process with the same ID
    try:
        yield unfinished
        sync_file(unfinished)
        unfinished.replace(target)
        sync_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Wait until the bytes of a file are on the disk, where a loss of power leaves them."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(folder)


def create_folder(path: Path) -> None:
    """Create a folder and its parents, unless they exist; their names are on the disk then."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """Return the folder for what can be computed again, such as folded networks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resight"


@contextlib.contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Raise a `UsageError` that names `target` in place of an `OSError` in the block."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None


def ensure_writable(target: Path) -> None:
    """Refuse a file that cannot be written, without changing anything.

    Raises:
        UsageError: its folder is missing, it is a folder itself, or permission is denied.
    """
    with write_errors(target):
        if not target.exists():
            tempfile.TemporaryFile(dir=target.parent).close()
        elif not target.is_fifo():  # the reader of a pipe would take this for its end
            target.open("ab").close()


def ensure_picture_writable(target: Path) -> None:
    """Refuse a picture that cannot be written, without changing anything.

    Raises:
        UsageError: see `ensure_writable`, the suffix names no image format, or the file exists and
            was not written by `save_picture`, so it may be a photo.
    """
    from PIL import Image

    if Image.registered_extensions().get(target.suffix.lower()) not in Image.SAVE:
        raise _unknown_format(target)
    ensure_writable(target)
    if target.is_file() and target.stat().st_size and not _is_own_picture(target):
        raise UsageError(f"{target}: exists, and may be a photo, which would be overwritten")


def save_picture(image: "Image.Image", target: Path) -> None:
    """Save a picture in the format that its suffix names, marked as written by Resight.

    Raises:
        UsageError: the file cannot be written, or its suffix names no image format.
    """
    from PIL import Image

    exif = Image.Exif()
    exif[SOFTWARE] = NAME
    try:
        with write_errors(target):
            image.save(target, quality=90, exif=exif)
    except (ValueError, KeyError):  # an unknown suffix, or a format that can only be read
        raise _unknown_format(target) from None


def _is_own_picture(target: Path) -> bool:
    """Return whether `save_picture` wrote a file, as far as its format has EXIF."""
    from PIL import Image

    try:
        with Image.open(target) as image:
            return bool(image.getexif().get(SOFTWARE) == NAME)
    except Exception:  # noqa: BLE001 - Pillow raises errors of many kinds for damaged files
        return False


def _unknown_format(target: Path) -> UsageError:
    return UsageError(f"{target}: name it with .jpg or .png")
