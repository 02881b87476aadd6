"""Contact sheets of groups: one row a group, the best photo first."""

from pathlib import Path

from PIL import Image

from resight.errors import ImageError
from resight.photos import escape_undecodable, path_text
from resight.photos.images import load_image
from resight.ranking.groups import Group, Groups
from resight.views.contact_sheet import (
    FAINT,
    GAP,
    INK,
    MARGIN,
    SheetPhoto,
    label_font,
    label_height,
    new_sheet,
    place_photo,
)

MAX_GROUPS = 50
"""Groups on a sheet."""
MAX_PHOTOS = 8
"""Photos in a row; the others are counted."""


def groups_sheet(groups: Groups, *, tile: int = 200) -> Image.Image:
    """Draw the first `MAX_GROUPS` groups below one another, with a frame around the best photos.

    Args:
        groups: with the paths of their photos.
        tile: side of the square that each photo is fitted into, in pixels.
    """
    shown = groups.groups[:MAX_GROUPS]
    photos = [_ordered(group) for group in shown]
    columns = max((min(len(paths), MAX_PHOTOS) for paths in photos), default=1)
    title = label_height(tile)
    row = title + tile + label_height(tile) + GAP
    width = 2 * MARGIN + max(columns, 2) * (tile + GAP) - GAP
    sheet, draw = new_sheet(width, 2 * MARGIN + max(1, len(shown)) * row + title)
    font = label_font(tile)
    for number, (group, paths) in enumerate(zip(shown, photos, strict=True), 1):
        top = MARGIN + (number - 1) * row
        rest = len(paths) - MAX_PHOTOS
        more = f", {rest} more not shown" if rest > 0 else ""
        text = f"{number}  {group.kind}, {len(paths)} photos{more}"
        draw.text((MARGIN, top), text, fill=INK, font=font)
        for column, path in enumerate(paths[:MAX_PHOTOS]):
            corner = MARGIN + column * (tile + GAP), top + title
            place_photo(sheet, _tile(path, group, tile), corner, tile, tile, rank=column + 1)
    hidden = len(groups) - len(shown)
    note = f"{hidden} more groups are not shown" if hidden else "" if shown else "no groups"
    draw.text((MARGIN, MARGIN + len(shown) * row), note, fill=FAINT, font=font)
    return sheet


def _ordered(group: Group) -> list[Path]:
    """Return the photos of a group, the best first."""
    return sorted(group.paths, key=lambda path: path != group.best_path)


def _tile(path: Path, group: Group, tile: int) -> SheetPhoto:
    """Load a photo, no larger than it is drawn."""
    caption = escape_undecodable(path_text(Path(path.name)))
    best = path == group.best_path
    detail, highlight = ("best", True) if best else ("", None)
    try:
        image = load_image(path, tile)
    except ImageError:
        return SheetPhoto(None, caption, detail, highlight)
    image.thumbnail((tile, tile))
    return SheetPhoto(image, caption, detail, highlight)
