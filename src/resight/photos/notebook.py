"""Pictures in the HTML views of results, for notebooks."""

import base64
import html
import io
from pathlib import Path

from PIL import Image

from resight.errors import ImageError
from resight.photos import escape_undecodable, path_text
from resight.photos.images import load_image

THUMBNAIL_SIDE = 120
"""Longer side of a thumbnail, in pixels."""


def data_uri(image: Image.Image) -> str:
    """Encode an RGB picture as the data URI of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def thumbnail_figure(path: Path, caption: str = "") -> str:
    """Return a `figure` element with the thumbnail of a photo, its path as the title.

    The picture is empty if the file cannot be read.
    """
    title = html.escape(escape_undecodable(path_text(path)), quote=True)
    return (
        f'<figure style="display: inline-block; margin: 4px" title="{title}">'
        f'<img src="{_thumbnail(path)}" alt="{title}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _thumbnail(path: Path) -> str:
    try:
        image = load_image(path, 2 * THUMBNAIL_SIDE)
    except ImageError:
        return ""
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return data_uri(image)
