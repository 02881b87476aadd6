"""Photos as a browser can show them: the file itself where it can, else a JPEG."""

import contextlib
from pathlib import Path

from fastapi import Response
from fastapi.responses import FileResponse
from PIL import ExifTags, Image

from resight.web.problems import Problem
from resight.web.thumbnails import render

RENDERED_SIDE, RENDERED_QUALITY = 4096, 90

PRIVATE = "private, no-cache"
"""Kept by the browser, asked about each time: an id may come to show another photo."""

IMMUTABLE = "private, max-age=31536000, immutable"
"""For addresses that name the version of the content."""


def browser_type(path: Path) -> str | None:
    """The media type of a file that browsers show, by its first bytes; None for others.

    Raises:
        Problem: the file is gone or cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except OSError:
        raise Problem(404, "The photo's file is gone or cannot be read.") from None
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return None


def picture(path: Path, headers: dict[str, str]) -> Response:
    """The answer with a photo that a browser shows upright; runs in a thread.

    Raises:
        Problem: the file is gone or cannot be read.
    """
    media_type = browser_type(path)
    # All browsers turn a JPEG by its EXIF orientation; of other formats not all do.
    if media_type is None or (media_type != "image/jpeg" and _is_turned(path)):
        data = render(path, RENDERED_SIDE, RENDERED_QUALITY)
        return Response(data, headers=headers, media_type="image/jpeg")
    return FileResponse(path, headers=headers, media_type=media_type)


def _is_turned(path: Path) -> bool:
    with contextlib.suppress(Exception), Image.open(path) as image:
        return "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return False
