"""Files that the user wants written: looked at before the work for them, written after it."""

import tempfile
from pathlib import Path

from PIL import Image

from resight.errors import UsageError


def ensure_writable(target: Path) -> None:
    """Refuse a file that could not be written; nothing is changed.

    Raises:
        UsageError: its folder is missing, it is a folder itself, or there is no permission.
    """
    try:
        if not target.exists():
            tempfile.TemporaryFile(dir=target.parent).close()
        elif not target.is_fifo():  # whoever reads a pipe would take this for the end
            target.open("ab").close()
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None


def ensure_picture_writable(target: Path) -> None:
    """The same for a picture, whose format is that of its name.

    Raises:
        UsageError: also where the suffix names no image format.
    """
    if Image.registered_extensions().get(target.suffix.lower()) not in Image.SAVE:
        raise _no_picture(target)
    ensure_writable(target)


def save_picture(image: Image.Image, target: Path) -> None:
    """Save a picture by the format its name asks for.

    Raises:
        UsageError: the file cannot be written, or its suffix names no image format.
    """
    try:
        image.save(target, quality=90)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None
    except (ValueError, KeyError):  # no such suffix, or a format that can only be read
        raise _no_picture(target) from None


def _no_picture(target: Path) -> UsageError:
    return UsageError(f"{target}: name it with .jpg or .png")
