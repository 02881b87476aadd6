"""Contact sheets: sizes, the box, frames, and everything that may come from outside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from resight.errors import UsageError
from resight.views import contact_sheet as module
from resight.views.contact_sheet import (
    BACKGROUND,
    BOX,
    GAP,
    INK,
    MARGIN,
    PANEL,
    RIGHT,
    WRONG,
    SheetPhoto,
    contact_sheet,
    contact_sheets,
    shorten,
)

RED = (220, 20, 30)
BLUE = (30, 60, 200)


def photo(color=RED, size=(400, 300), caption="photo.jpg", **fields):
    return SheetPhoto(Image.new("RGB", size, color), caption, **fields)


def area(image, color):
    """Return the box (x0, y0, x1, y1) around the pixels of exactly this color, or None."""
    rows, columns = np.nonzero((np.asarray(image) == color).all(axis=2))
    if not len(rows):
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_query_is_larger_than_the_results_and_left_of_them():
    image = contact_sheet(photo(RED), [photo(BLUE)], tile=200)
    query, result = area(image, RED), area(image, BLUE)
    assert (query[2] - query[0], query[3] - query[1]) == (300, 225)
    assert (result[2] - result[0], result[3] - result[1]) == (200, 150)
    assert query[0] == MARGIN
    assert query[2] < result[0]
    assert image.width == result[2] + MARGIN


@pytest.mark.parametrize(
    ("count", "columns", "across", "down"), [(1, 5, 1, 1), (5, 5, 5, 1), (6, 5, 5, 2), (7, 2, 2, 4)]
)
def test_results_fill_the_grid_row_by_row(count, columns, across, down):
    colors = [(10 + 30 * i, 100, 200) for i in range(count)]
    results = [photo(color, (100, 100)) for color in colors]
    image = contact_sheet(photo(RED), results, columns=columns, tile=100)
    corners = [area(image, color)[:2] for color in colors]
    xs, ys = sorted({x for x, _ in corners}), sorted({y for _, y in corners})
    assert (len(xs), len(ys)) == (across, down)
    assert corners == [(xs[i % columns], ys[i // columns]) for i in range(count)]
    if across > 1:
        assert xs[1] - xs[0] == 100 + GAP


def test_box_is_drawn_where_it_is_and_the_rest_is_dimmed():
    # A query of 600 x 600 is shown at half its size with tile=200.
    query = photo(RED, (600, 600))
    image = contact_sheet(query, [photo(BLUE)], box=(100, 200, 240, 120), tile=200)
    x, y = MARGIN, MARGIN
    assert area(image, BOX) == (x + 50, y + 100, x + 170, y + 160)
    assert image.getpixel((x + 110, y + 130)) == RED
    dimmed = tuple((a + b) // 2 for a, b in zip(RED, INK, strict=True))
    for point in ((x + 2, y + 2), (x + 45, y + 130), (x + 110, y + 170), (x + 298, y + 298)):
        assert image.getpixel(point) == pytest.approx(dimmed, abs=1)
    assert area(image, BLUE)  # results are never dimmed


@given(st.data())
def test_any_box_inside_the_photo_is_marked_inside_the_photo(data):
    width, height = data.draw(st.integers(1, 900)), data.draw(st.integers(1, 900))
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    image = contact_sheet(photo(RED, (width, height)), [], box=(x, y, w, h), tile=64)
    left, top, right, bottom = area(image, BOX)
    scale = 96 / max(width, height)
    x0 = MARGIN + (96 - max(1, round(width * scale))) / 2
    y0 = MARGIN + (96 - max(1, round(height * scale))) / 2
    assert left == pytest.approx(x0 + x * scale, abs=3)
    assert top == pytest.approx(y0 + y * scale, abs=3)
    assert right == pytest.approx(x0 + (x + w) * scale, abs=3)
    assert bottom == pytest.approx(y0 + (y + h) * scale, abs=3)


def test_box_outside_the_photo_is_refused():
    with pytest.raises(UsageError, match="not inside the photo"):
        contact_sheet(photo(size=(40, 30)), [], box=(20, 10, 21, 5))


def test_a_sheet_without_results():
    image = contact_sheet(photo(RED), [], tile=200)
    assert image.size == (MARGIN + 300 + 2 * GAP + 200 + MARGIN, image.height)
    right = image.crop((MARGIN + 300 + 2 * GAP, MARGIN, image.width, MARGIN + 200))
    assert len(right.getcolors()) > 2  # words on the background


@pytest.mark.parametrize("size", [(1, 1), (20000, 30), (30, 20000), (3, 2)])
def test_any_shape_is_fitted_into_its_square(size):
    image = contact_sheet(photo(RED, size), [photo(BLUE, size)], tile=100)
    x0, y0, x1, y1 = area(image, BLUE)
    assert max(x1 - x0, y1 - y0) == 100
    assert image.size == contact_sheet(photo(RED), [photo(BLUE)], tile=100).size


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
)
def test_any_mode_is_shown(mode):
    image = contact_sheet(SheetPhoto(Image.new(mode, (50, 40)), "x"), [], box=(5, 5, 10, 10))
    assert image.mode == "RGB"
    assert area(image, BOX)


def test_a_missing_photo_gets_a_gray_tile_with_words():
    gone = SheetPhoto(None, "gone.jpg", "0.5")
    image = contact_sheet(photo(RED), [gone, photo(BLUE)], tile=200)
    left = MARGIN + 300 + 2 * GAP
    tile = image.crop((left, MARGIN, left + 200, MARGIN + 200))
    assert area(tile, PANEL) == (0, 0, 200, 200)
    words = np.asarray(tile.crop((20, 80, 180, 120))).reshape(-1, 3)
    assert (words != PANEL).any(axis=1).sum() > 100
    assert area(image, BLUE)


def test_a_missing_query_has_no_box():
    image = contact_sheet(SheetPhoto(None, "gone.jpg"), [photo(BLUE)], box=(0, 0, 9, 9))
    assert area(image, BOX) is None


def test_frames_tell_right_from_wrong():
    results = [
        photo(BLUE, (100, 100), highlight=True),
        photo(BLUE, (100, 100), highlight=False),
        photo(BLUE, (100, 100)),
    ]
    image = contact_sheet(photo(RED), results, tile=100)
    left = MARGIN + 150 + 2 * GAP
    frame = (left - 4, MARGIN - 4, left + 104, MARGIN + 104)
    assert area(image, RIGHT) == frame
    assert area(image, WRONG) == (frame[0] + 100 + GAP, frame[1], frame[2] + 100 + GAP, frame[3])
    x0, y0, x1, y1 = area(image, BLUE)  # frames cover no photo
    assert (x0, y0, x1, y1) == (left, MARGIN, left + 3 * 100 + 2 * GAP, MARGIN + 100)


def test_rank_distance_and_name_are_written_below():
    plain = contact_sheet(photo(RED), [SheetPhoto(Image.new("RGB", (9, 9), BLUE), "")], tile=200)
    named = contact_sheet(photo(RED), [photo(BLUE, (9, 9), "x.jpg", detail="0.412")], tile=200)
    changed = np.nonzero((np.asarray(plain) != np.asarray(named)).any(axis=2))
    left, bottom = MARGIN + 300 + 2 * GAP, MARGIN + 200
    assert changed[0].min() >= bottom
    assert changed[1].min() >= left - 2  # letters overhang by a pixel or two
    assert left + 195 <= changed[1].max() < left + 200  # the distance ends where the tile ends


@pytest.mark.parametrize(
    "text",
    [
        "写真/カメラ.jpg",
        "фото ё.jpg",
        "مرحبا.jpg",
        "e\u0301 \U0001f600.jpg",
        "bad-\udcff\udc80.jpg",
        "two\nlines\r\t\0.jpg",
        "",
        " ",
        "x" * 100_000,
        "\u202eleft",
    ],
)
def test_any_text_is_drawn(text):
    strange = SheetPhoto(Image.new("RGB", (40, 30), BLUE), text, text, None)
    image = contact_sheet(strange, [strange] * 2, tile=64)
    contact_sheets([(strange, [strange])])
    outside = image.crop((image.width - MARGIN + 4, 0, image.width, image.height))
    assert outside.getcolors() == [(outside.width * outside.height, BACKGROUND)]


def test_shorten_keeps_both_ends():
    font = ImageFont.load_default(15)
    assert shorten("short.jpg", font, 200) == "short.jpg"
    text = shorten("a/very/long/path/with/many/folders/photo-1234.jpg", font, 200)
    front, back = text.split("...")
    assert "a/very/long/path/with/many/folders/photo-1234.jpg".startswith(front)
    assert back.endswith("1234.jpg")
    assert abs(len(front) - len(back)) <= 1


@given(st.text(max_size=80), st.integers(0, 300))
def test_shortened_text_fits_and_is_as_long_as_can_be(text, width):
    font = ImageFont.load_default(12)
    short = shorten(text, font, width)
    assert short.isprintable()
    assert short == "..." or font.getlength(short) <= width
    printable = "".join(c if c.isprintable() else "?" for c in text)
    if font.getlength(printable) <= width:
        assert short == printable


def test_a_sheet_too_high_for_a_jpeg_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_SIDE", 600)
    contact_sheet(photo(), [photo()] * 2, columns=1, tile=100)
    with pytest.raises(UsageError, match="more than 600"):
        contact_sheet(photo(), [photo()] * 5, columns=1, tile=100)
    with pytest.raises(UsageError, match="more than 600"):
        contact_sheets([(photo(), [photo()])] * 5, tile=100)


def test_rows_of_queries_and_results():
    colors = [(50, 100, 10 * i) for i in range(5)]
    a, b, c, d, e = (photo(color, (100, 100)) for color in colors)
    image = contact_sheets([(a, [b, c]), (d, [e]), (SheetPhoto(None, "gone"), [])], tile=100)
    corners = [area(image, color)[:2] for color in colors]
    left = MARGIN + 100 + 2 * GAP
    below = corners[3][1] - MARGIN
    assert corners == [
        (MARGIN, MARGIN),
        (left, MARGIN),
        (left + 100 + GAP, MARGIN),
        (MARGIN, MARGIN + below),
        (left, MARGIN + below),
    ]
    assert below > 100 + GAP
    assert image.width == left + 2 * 100 + GAP + MARGIN
    assert image.height == 2 * MARGIN + 3 * below - GAP


def test_no_rows_give_a_small_empty_sheet():
    image = contact_sheets([])
    assert image.getcolors() == [(image.width * image.height, BACKGROUND)]


def test_a_sheet_can_be_saved_as_jpeg(tmp_path):
    file = tmp_path / "sheet.jpg"
    contact_sheet(photo(), [photo()] * 3).save(file)
    with Image.open(file) as image:
        assert image.size == contact_sheet(photo(), [photo()] * 3).size
