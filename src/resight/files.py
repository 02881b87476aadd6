"""Files: atomic writes, checks before long work, hashes of content, the user's cache folder."""

import contextlib
import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
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


@contextlib.contextmanager
def write_output(target: Path) -> Iterator[Path]:
    """Yield the path to write a user's file to; until the block ends, the old file stays.

    A link is followed, so that its target is replaced. Pipes and devices are written directly.

    Raises:
        UsageError: the file cannot be written.
    """
    with write_errors(target):
        whole = Path(os.path.realpath(target))
        if whole.exists() and not whole.is_file():
            yield whole
            return
        with write_atomically(whole) as unfinished:
            yield unfinished


def ensure_writable(target: Path) -> None:
    """Refuse a file that cannot be written, without changing anything.

    Raises:
        UsageError: its folder is missing, it is a folder itself, or permission is denied.
    """
    with write_errors(target):
        if target.is_fifo():  # the reader of a pipe would take its opening for its end
            return
        if target.exists():
            target.open("ab").close()
        if target.is_file() or not target.exists():  # it will be written next to its place
            tempfile.TemporaryFile(dir=Path(os.path.realpath(target)).parent).close()


def ensure_replaceable(target: Path, is_own: Callable[[Path], bool]) -> None:
    """Refuse a file that cannot be written, or that exists and was not written by Resight.

    Raises:
        UsageError: see `ensure_writable`, or `is_own` is false for a file that is not empty.
    """
    ensure_writable(target)
    if target.is_file() and target.stat().st_size and not is_own(target):
        raise UsageError(f"{target}: exists, and may be a photo, which would be overwritten")


def ensure_picture_writable(target: Path) -> None:
    """Refuse a picture that cannot be written, without changing anything.

    Raises:
        UsageError: see `ensure_writable`, the suffix names no image format, or the file exists and
            was not written by `save_picture`, so it may be a photo.
    """
    from PIL import Image

    if Image.registered_extensions().get(target.suffix.lower()) not in Image.SAVE:
        raise _unknown_format(target)
    ensure_replaceable(target, _is_own_picture)


def save_picture(image: "Image.Image", target: Path) -> None:
    """Save a picture in the format that its suffix names, marked as written by Resight.

    Raises:
        UsageError: see `ensure_picture_writable`.
    """
    from PIL import Image

    ensure_picture_writable(target)
    exif = Image.Exif()
    exif[SOFTWARE] = NAME
    with write_output(target) as unfinished:
        image.save(unfinished, Image.EXTENSION[target.suffix.lower()], quality=90, exif=exif)


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
