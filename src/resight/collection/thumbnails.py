"""Files of thumbnails, which servers of a collection create and which end with the photos."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

FOLDER_NAME = "thumbnails"
SUFFIX = ".jpg"


def thumbnail_path(folder: Path, content: str) -> Path:
    """Return the file of the thumbnail of a content (SHA-256) in a folder of thumbnails."""
    return folder / content[:2] / f"{content}{SUFFIX}"


def delete_thumbnails(folder: Path, contents: Iterable[str]) -> None:
    """Delete the thumbnails of contents, as far as there are any and they can be deleted."""
    for content in contents:
        with contextlib.suppress(OSError):
            thumbnail_path(folder, content).unlink()
