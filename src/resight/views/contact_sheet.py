"""Contact sheets: a query and its results in one picture.

Sheets are RGB images. They accept photos of any shape or mode, missing photos, and names in
any language (letters that the font lacks are drawn as boxes).
"""

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from resight.errors import ImageError, UsageError
from resight.photos import escape_undecodable, path_text
from resight.photos.images import image_size, load_image
from resight.photos.transforms import Box, check_box, crop_box, scale_box, scaled_size
from resight.searching.query import Result, SearchResults

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MARGIN = 28
GAP = 18
ROW_TILE = 200
"""Side of the squares of `contact_sheets`, in pixels."""
MAX_SIDE = 65_000
"""A JPEG holds at most 65535 pixels in either direction."""

BACKGROUND: Color = (250, 249, 246)
PANEL: Color = (239, 237, 231)
LINE: Color = (218, 215, 207)
INK: Color = (36, 36, 40)
FAINT: Color = (122, 120, 116)
BOX: Color = (255, 122, 26)
RIGHT: Color = (40, 145, 84)
WRONG: Color = (203, 58, 52)


@dataclass(frozen=True)
class SheetPhoto:
    """A photo of a sheet and its captions.

    Attributes:
        image: any mode and size; None for a file that cannot be read any more.
        caption: usually the file's name; shortened in the middle when it is too long.
        detail: usually the distance, like "0.412".
        highlight: a green frame (True), a red one (False), or none.
    """

    image: Image.Image | None
    caption: str
    detail: str = ""
    highlight: bool | None = None


def results_sheet(results: SearchResults) -> Image.Image:
    """Draw a query photo, with its box if it has one, and its search results.

    Several views of one thing are drawn below one another. Results that show the same thing have
    a green frame.

    Raises:
        UsageError: the query is no file, or there are too many results for one sheet.
    """
    queries = [query for query in results.queries or (results.query,) if query is not None]
    if not queries:
        raise UsageError("a contact sheet needs a query file")
    tiles = [_tile(query) for query in queries]
    box = results.box
    if box is not None and tiles[0].image is not None:
        box = scale_box(box, image_size(queries[0]), tiles[0].image.size)
    return contact_sheet(tiles, [_result_tile(result) for result in results], box=box)


def results_sheets(answers: Sequence[SearchResults]) -> Image.Image:
    """Draw each of many queries in a row with its search results.

    Raises:
        UsageError: there are too many queries or results for one sheet.
    """
    check_rows(len(answers))
    return contact_sheets(
        [
            (_tile(answer.query or Path("query")), [_result_tile(result) for result in answer])
            for answer in answers
        ]
    )


def check_rows(count: int) -> None:
    """Refuse more rows than a sheet can hold.

    Raises:
        UsageError: it says how many.
    """
    most = (MAX_SIDE - 2 * MARGIN) // (ROW_TILE + label_height(ROW_TILE) + GAP)
    if count > most:
        raise UsageError(f"a sheet holds {most} queries at most; there are {count}")


def _result_tile(result: Result) -> SheetPhoto:
    """Load a result for a sheet, with its probability or else its distance."""
    detail = f"{result.distance:.3f}"
    if result.probability is not None:
        detail += f", {100 * result.probability:.0f} %"
    return _tile(result.path, detail, True if result.verdict == "same" else None)


def _tile(path: Path, detail: str = "", highlight: bool | None = None) -> SheetPhoto:
    """Load a photo for a sheet; a tile without an image shows that the file cannot be read."""
    caption = escape_undecodable(path_text(Path(path.name)))
    image = None
    with contextlib.suppress(ImageError):
        image = load_image(path, 2 * ROW_TILE)
    return SheetPhoto(image, caption, detail, highlight)


def contact_sheet(
    query: SheetPhoto | Sequence[SheetPhoto],
    results: Sequence[SheetPhoto],
    *,
    box: Box | None = None,
    columns: int = 5,
    tile: int = 240,
) -> Image.Image:
    """Draw one query, large and on the left, and its results in a grid with their ranks.

    Args:
        query: the photo searched with, or several views, below one another.
        results: best first; there may be none.
        box: the region searched with, in pixels of the (first) query's image: it gets a frame, and
            what is outside of it is dimmed. Ignored when the query cannot be read.
        columns: results in a row, at most.
        tile: side of the square a result is fitted into, in pixels.

    Raises:
        UsageError: the box is not inside the query, or the sheet would be higher or wider than
            `MAX_SIDE`.
    """
    queries = [query] if isinstance(query, SheetPhoto) else query
    columns = max(1, min(columns, len(results)))
    rows = max(1, -(-len(results) // columns))
    large, cell = tile * 3 // 2, tile + label_height(tile)
    left, top = MARGIN + large + 2 * GAP, MARGIN
    width = left + columns * (tile + GAP) - GAP + MARGIN
    step = large + label_height(tile) + GAP
    height = top + max(len(queries) * step, rows * (cell + GAP)) - GAP + MARGIN
    sheet, draw = new_sheet(width, height)
    draw.line((left - GAP, top, left - GAP, height - MARGIN), fill=LINE)
    for i, view in enumerate(queries):
        corner = MARGIN, top + i * step
        place_photo(sheet, view, corner, large, tile, box=None if i else box)
    for i, photo in enumerate(results):
        row, column = divmod(i, columns)
        corner = left + column * (tile + GAP), top + row * (cell + GAP)
        place_photo(sheet, photo, corner, tile, tile, rank=i + 1)
    if not results:
        center = (left + tile / 2, top + tile / 2)
        draw.text(center, "no results", fill=FAINT, font=_font(_text_size(tile)), anchor="mm")
    return sheet


def contact_sheets(
    rows: Sequence[tuple[SheetPhoto, Sequence[SheetPhoto]]], *, tile: int = ROW_TILE
) -> Image.Image:
    """Draw several queries below one another, each followed by its results.

    Args:
        rows: a query and its results, best first; rows may differ in length.
        tile: side of the square each photo is fitted into, in pixels.

    Raises:
        UsageError: the sheet would be higher or wider than `MAX_SIDE`.
    """
    cell = tile + label_height(tile)
    longest = max((len(results) for _, results in rows), default=0)
    left, top = MARGIN + tile + 2 * GAP, MARGIN
    width = left + max(1, longest) * (tile + GAP) - GAP + MARGIN
    height = top + max(0, len(rows) * (cell + GAP) - GAP) + MARGIN
    sheet, draw = new_sheet(width, height)
    if rows:
        draw.line((left - GAP, top, left - GAP, height - MARGIN), fill=LINE)
    for i, (query, results) in enumerate(rows):
        y = top + i * (cell + GAP)
        place_photo(sheet, query, (MARGIN, y), tile, tile)
        for k, photo in enumerate(results):
            place_photo(sheet, photo, (left + k * (tile + GAP), y), tile, tile, rank=k + 1)
    return sheet


def shorten(text: str, font: Font, width: float) -> str:
    """Shorten a text to one line of at most `width` pixels, with "..." in its middle.

    Characters that cannot be drawn (line ends, parts of damaged file names) become "?".
    """
    text = "".join(c if c.isprintable() else "?" for c in text)
    if len(text) <= 1000 and font.getlength(text) <= width:
        return text
    # The most characters, half from the front and half from the end, that fit.
    low, high = 0, min(len(text) - 1, 1000)
    while low < high:
        middle = (low + high + 1) // 2
        fits = font.getlength(_cut(text, middle)) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return _cut(text, low)


def _cut(text: str, count: int) -> str:
    front, back = count - count // 2, count // 2
    return text[:front] + "..." + text[len(text) - back :]


def new_sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty sheet of a size in pixels, and what draws on it.

    Raises:
        UsageError: it would be higher or wider than `MAX_SIDE`.
    """
    if width > MAX_SIDE or height > MAX_SIDE:
        raise UsageError(
            f"the sheet would be {width} x {height} pixels, more than {MAX_SIDE}: show less on it"
        )
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    return sheet, ImageDraw.Draw(sheet)


def place_photo(
    sheet: Image.Image,
    photo: SheetPhoto,
    corner: tuple[int, int],
    side: int,
    tile: int,
    *,
    rank: int | None = None,
    box: Box | None = None,
) -> None:
    """Draw a photo into the square at `corner`, with its frame and two captions below."""
    x, y = corner
    draw = ImageDraw.Draw(sheet)
    font = _font(_text_size(tile))
    draw.rectangle((x, y, x + side - 1, y + side - 1), fill=PANEL)
    if photo.image is None:
        center = (x + side / 2, y + side / 2)
        draw.text(center, "cannot be read", fill=FAINT, font=font, anchor="mm")
    else:
        fitted = _fit(photo.image, side, box)
        sheet.paste(fitted, (x + (side - fitted.width) // 2, y + (side - fitted.height) // 2))
    if photo.highlight is not None:
        frame = (x - 4, y - 4, x + side + 3, y + side + 3)
        draw.rectangle(frame, outline=RIGHT if photo.highlight else WRONG, width=4)
    line = _line_height(tile)
    first, second = y + side + line // 2, y + side + line // 2 + line
    head = "query" if rank is None else str(rank)
    draw.text((x, first), head, fill=INK, font=font, anchor="la")
    width = side - draw.textlength(head, font=font) - line / 2
    detail = shorten(photo.detail, font, width) if photo.detail else ""
    draw.text((x + side, first), detail, fill=INK, font=font, anchor="ra")
    draw.text((x, second), shorten(photo.caption, font, side), fill=FAINT, font=font, anchor="la")


def _fit(image: Image.Image, side: int, box: Box | None) -> Image.Image:
    """Return the image as RGB, its longest side `side`, with the box marked."""
    size = scaled_size(image.width, image.height, side)
    fitted = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    if box is None:
        return fitted
    check_box(box, image.size)
    x, y, w, h = scaled = scale_box(box, image.size, fitted.size)
    dimmed = Image.blend(fitted, Image.new("RGB", fitted.size, INK), 0.5)
    dimmed.paste(crop_box(fitted, scaled), (x, y))
    thick = min(max(2, side // 100), (min(w, h) + 1) // 2)
    ImageDraw.Draw(dimmed).rectangle((x, y, x + w - 1, y + h - 1), outline=BOX, width=thick)
    return dimmed


@functools.cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _text_size(tile: int) -> int:
    return max(9, tile // 16)


def _line_height(tile: int) -> int:
    return _text_size(tile) * 4 // 3


def label_font(tile: int) -> Font:
    """Return the font of captions below tiles of a side."""
    return _font(_text_size(tile))


def label_height(tile: int) -> int:
    """Return the height of the captions below a tile."""
    return _line_height(tile) * 5 // 2
