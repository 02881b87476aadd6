"""Several hundred photo files, intact, odd and broken, drawn from a seed: the same on every run.

All pictures are drawn here: smooth, with four different corners, so that a decoder that mixes up
channels, rows or orientations shows. `make_files(folder)` writes them and returns what to expect.
"""

import functools
import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

SEED = 20170417
SIZE = (64, 48)
ORIENTATION_TAG = 274

Expectation = Literal["loads", "fails", "either"]


@dataclass(frozen=True)
class PhotoFile:
    """A file and what a reader must make of it.

    Attributes:
        path: where it lies; the name may hold any byte that the system allows.
        expect: whether it must load, must be refused, or may do either (damaged, but perhaps
            nowhere that matters).
        picture: what it shows, upright, as far as it must load (RGB).
        tolerance: mean absolute difference from `picture` that the format may cause.
        reason: a part of the reason for which it must be refused.
    """

    path: Path
    expect: Expectation
    picture: Image.Image | None = None
    tolerance: float = 3.0
    reason: str = ""


def make_files(folder: Path) -> list[PhotoFile]:
    """Write all files into an empty folder."""
    files: list[PhotoFile] = []
    for name, data, picture, tolerance in intact():
        files.append(_write(folder, name, data, "loads", picture, tolerance))
    files += _oriented(folder)
    files += _cut_and_flipped(folder)
    files += _not_images(folder)
    files += _strange_sizes(folder)
    files += _strange_metadata(folder)
    files += _strange_names(folder)
    files += _not_regular(folder)
    return files


# Drawings


def color_picture(size: tuple[int, int] = SIZE) -> Image.Image:
    """Smooth RGB; corners red, green, blue and yellow, clockwise from the upper left: (w, h)."""
    x = np.linspace(0, 1, size[0])[None, :, None]
    y = np.linspace(0, 1, size[1])[:, None, None]
    corners = np.array([[220, 30, 40], [30, 200, 60], [40, 60, 220], [230, 220, 50]], np.float64)
    upper = corners[0] * (1 - x) + corners[1] * x
    lower = corners[3] * (1 - x) + corners[2] * x
    return Image.fromarray((upper * (1 - y) + lower * y).round().astype(np.uint8))


def grey_ramp() -> np.ndarray:
    """Values 0..1 as float64 (h, w): dark upper left, light lower right."""
    x, y = np.linspace(0, 0.7, SIZE[0]), np.linspace(0, 0.3, SIZE[1])
    return x[None, :] + y[:, None]


def alpha_ramp() -> Image.Image:
    """Mode L: opaque at the left, transparent at the right."""
    ramp = np.linspace(255, 0, SIZE[0]).round().astype(np.uint8)
    return Image.fromarray(np.broadcast_to(ramp, SIZE[::-1]).copy())


def over_white(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    """Return a transparent picture as it looks on white paper."""
    share = np.asarray(alpha, np.float64)[:, :, None] / 255
    values = np.asarray(picture.convert("RGB")) * share + 255 * (1 - share)
    return Image.fromarray(values.round().astype(np.uint8))


# Intact files


def intact() -> list[tuple[str, bytes, Image.Image, float]]:
    """Name, content, what it shows, tolerance: one for each format and mode."""
    return [*_jpegs(), *_pngs(), *_tiffs(), *_others()]


def _jpegs() -> Iterator[tuple[str, bytes, Image.Image, float]]:
    color, grey = color_picture(), color_picture().convert("L")
    yield "baseline.jpg", _save(color, "JPEG", quality=95), color, 4
    yield "progressive.jpg", _save(color, "JPEG", quality=95, progressive=True), color, 4
    full = _save(color, "JPEG", quality=95, subsampling=0, optimize=True)
    yield "full-chroma.jpeg", full, color, 4
    yield "restarts.jpg", _save(color, "JPEG", quality=95, restart_marker_blocks=1), color, 4
    yield "grey.jpg", _save(grey, "JPEG", quality=95), grey.convert("RGB"), 4
    cmyk = color.convert("CMYK")
    yield "cmyk.jpg", _save(cmyk, "JPEG", quality=95), cmyk.convert("RGB"), 6
    two = _save(color, "MPO", save_all=True, append_images=[grey.convert("RGB")], quality=95)
    yield "two-pictures.jpg", two, color, 4
    yield "trailing.jpg", _save(color, "JPEG", quality=95) + b"\0more" * 100, color, 4
    for number, suffix in enumerate([".JPG", ".Jpeg", ".jpe", ".jfif", ".JPEG"]):
        shifted = color.point(lambda value, n=number: max(0, value - n))
        yield f"suffix-{number}{suffix}", _save(shifted, "JPEG", quality=95), shifted, 4


def _pngs() -> Iterator[tuple[str, bytes, Image.Image, float]]:
    color, alpha = color_picture(), alpha_ramp()
    grey = color.convert("L")
    rgba, la = color.copy(), grey.copy()
    rgba.putalpha(alpha)
    la.putalpha(alpha)
    palette = color.quantize(64)
    one_bit = grey.convert("1")
    yield "rgb.png", _save(color, "PNG"), color, 0
    yield "grey.png", _save(grey, "PNG"), grey.convert("RGB"), 0
    yield "one-bit.png", _save(one_bit, "PNG"), one_bit.convert("RGB"), 0
    yield "rgba.png", _save(rgba, "PNG"), over_white(color, alpha), 1
    yield "la.png", _save(la, "PNG"), over_white(grey, alpha), 1
    yield "palette.png", _save(palette, "PNG"), palette.convert("RGB"), 0
    for bits, colors in ((1, 2), (2, 4), (4, 16)):
        few = color.quantize(colors)
        yield f"palette-{bits}.png", _save(few, "PNG", bits=bits), few.convert("RGB"), 0
    indices = np.asarray(palette)
    clear = Image.fromarray(np.where(indices == 5, 0, 255).astype(np.uint8))
    shown = over_white(palette, clear)
    yield "palette-one-clear.png", _save(palette, "PNG", transparency=5), shown, 1
    table = bytes(255 - 4 * index for index in range(64))
    ramp = Image.fromarray(np.frombuffer(table, np.uint8)[indices])
    shown = over_white(palette, ramp)
    yield "palette-ramp.png", _save(palette, "PNG", transparency=table), shown, 1
    flat = color.copy()
    flat.paste((10, 20, 30), (0, 0, 32, 48))
    shown = flat.copy()
    shown.paste("white", (0, 0, 32, 48))
    yield "rgb-one-clear.png", _save(flat, "PNG", transparency=(10, 20, 30)), shown, 0
    half = Image.new("L", SIZE, 77)
    half.paste(200, (0, 0, 32, 48))
    shown = Image.new("RGB", SIZE, (77, 77, 77))
    shown.paste("white", (0, 0, 32, 48))
    yield "grey-one-clear.png", _save(half, "PNG", transparency=200), shown, 0
    deep = (grey_ramp() * 65535).round().astype(np.uint16)
    yield "grey-16.png", _save(Image.fromarray(deep), "PNG"), _grey(grey_ramp()), 1
    wide = np.asarray(color).astype(np.uint16) * 257
    wide_alpha = np.asarray(alpha).astype(np.uint16)[:, :, None] * 257
    yield "rgb-16.png", png(wide), color, 1
    shown = over_white(color, alpha)
    yield "rgba-16.png", png(np.concatenate([wide, wide_alpha], axis=2)), shown, 2
    shown = over_white(_grey(grey_ramp()), alpha)
    yield "la-16.png", png(np.concatenate([deep[:, :, None], wide_alpha], axis=2)), shown, 2
    yield "interlaced.png", png(np.asarray(color), interlaced=True), color, 0
    yield "interlaced-grey-16.png", png(deep[:, :, None], interlaced=True), _grey(grey_ramp()), 1
    frames = [grey.convert("RGB"), color.rotate(180)]
    animated = _save(color, "PNG", save_all=True, append_images=frames, duration=50)
    yield "animated.png", animated, color, 0


def _tiffs() -> Iterator[tuple[str, bytes, Image.Image, float]]:
    color, alpha = color_picture(), alpha_ramp()
    grey, rgba = color.convert("L"), color.copy()
    rgba.putalpha(alpha)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"):
        data = _save(color, "TIFF", compression=compression)
        yield f"{compression}.tif", data, color, 0
    yield "jpeg-inside.tiff", _save(color, "TIFF", compression="jpeg", quality=95), color, 4
    one_bit = grey.convert("1")
    fax = _save(one_bit, "TIFF", compression="group4")
    yield "fax.tif", fax, one_bit.convert("RGB"), 0
    yield "grey.tif", _save(grey, "TIFF"), grey.convert("RGB"), 0
    yield "rgba.tif", _save(rgba, "TIFF"), over_white(color, alpha), 1
    yield "palette.tif", _save(color.quantize(64), "TIFF"), color.quantize(64).convert("RGB"), 0
    cmyk = color.convert("CMYK")
    yield "cmyk.tif", _save(cmyk, "TIFF", compression="tiff_lzw"), cmyk.convert("RGB"), 0
    deep = (grey_ramp() * 65535).round().astype(np.uint16)
    yield "grey-16.tif", _save(Image.fromarray(deep), "TIFF"), _grey(grey_ramp()), 1
    yield "grey-16-big-endian.tif", tiled_tiff(deep, ">"), _grey(grey_ramp()), 1
    yield (
        "grey-32.tif",
        _save(Image.fromarray(deep.astype(np.int32)), "TIFF"),
        _grey(grey_ramp()),
        1,
    )
    share = grey_ramp().astype(np.float32)
    yield "float.tif", _save(Image.fromarray(share), "TIFF"), _grey(grey_ramp()), 1
    yield "float-255.tif", _save(Image.fromarray(share * 255), "TIFF"), _grey(grey_ramp()), 1
    share[:, :8], share[:, 8:12], share[:, 12:16] = np.nan, np.inf, -np.inf
    shown = np.nan_to_num(share * 255, nan=0, posinf=255, neginf=0).clip(0, 255)
    yield "float-not-finite.tif", _save(Image.fromarray(share), "TIFF"), _grey(shown / 255), 1
    nothing = Image.fromarray(np.full(SIZE[::-1], np.nan, np.float32))
    yield "float-nan.tif", _save(nothing, "TIFF"), Image.new("RGB", SIZE), 0
    yield "tiled.tif", tiled_tiff(np.asarray(color), "<"), color, 0
    pages = _save(color, "TIFF", save_all=True, append_images=[grey, one_bit])
    yield "pages.tif", pages, color, 0
    yield "big.tif", _save(color, "TIFF", big_tiff=True), color, 0


def _others() -> Iterator[tuple[str, bytes, Image.Image, float]]:
    color, alpha = color_picture(), alpha_ramp()
    grey, rgba = color.convert("L"), color.copy()
    rgba.putalpha(alpha)
    shown = over_white(color, alpha)
    palette = color.quantize(64)
    yield "rgb.bmp", _save(color, "BMP"), color, 0
    yield "grey.bmp", _save(grey, "BMP"), grey.convert("RGB"), 0
    yield "palette.bmp", _save(palette, "BMP"), palette.convert("RGB"), 0
    yield "one-bit.bmp", _save(grey.convert("1"), "BMP"), grey.convert("1").convert("RGB"), 0
    yield "rgba.bmp", _save(rgba, "BMP"), color, 0  # the fourth byte means nothing in BMP
    yield "palette.gif", _save(palette, "GIF"), palette.convert("RGB"), 1
    yield "straight.gif", _save(palette, "GIF", interlace=0), palette.convert("RGB"), 1
    clear = Image.fromarray(np.where(np.asarray(palette) == 5, 0, 255).astype(np.uint8))
    holes = _save(palette, "GIF", transparency=5, optimize=False)
    yield "one-clear.gif", holes, over_white(palette, clear), 1
    frames = [color.rotate(90), grey]
    animated = _save(palette, "GIF", save_all=True, append_images=frames, duration=50)
    yield "animated.gif", animated, palette.convert("RGB"), 1
    yield "lossy.webp", _save(color, "WEBP", quality=95), color, 4
    yield "lossless.webp", _save(color, "WEBP", lossless=True), color, 0
    yield "alpha.webp", _save(rgba, "WEBP", lossless=True, exact=True), shown, 1
    yield "animated.webp", _save(color, "WEBP", save_all=True, append_images=frames), color, 6
    if "AVIF" in Image.SAVE:
        yield "rgb.avif", _save(color, "AVIF", quality=95, speed=10), color, 4
        yield "alpha.avif", _save(rgba, "AVIF", quality=95, speed=10), shown, 4
        several = _save(color, "AVIF", quality=95, speed=10, save_all=True, append_images=frames)
        yield "animated.avif", several, color, 6
    if have_heif():
        yield "rgb.heic", _save(color, "HEIF", quality=95), color, 4
        yield "grey.HEIC", _save(grey, "HEIF", quality=95), grey.convert("RGB"), 4
        yield "alpha.heif", _save(rgba, "HEIF", quality=95), shown, 4


@functools.cache
def have_heif() -> bool:
    """Return whether HEIC pictures can be written here."""
    Image.init()
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def png(values: np.ndarray, *, interlaced: bool = False) -> bytes:
    """Encode (h, w, channels), 8 or 16 bit, as a PNG that Pillow cannot write."""
    height, width, channels = values.shape
    bits = 8 * values.dtype.itemsize
    values = values.astype(values.dtype.newbyteorder(">"))
    steps = [(0, 0, 1, 1)]
    if interlaced:  # Adam7: first row, first column, step down, step right
        steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
        steps += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for y, x, down, right in steps for row in values[y::down, x::right]
    )
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    return _png_file((b"IHDR", header), (b"IDAT", zlib.compress(rows)))


def tiled_tiff(values: np.ndarray, order: Literal["<", ">"], side: int = 32) -> bytes:
    """Return an uncompressed TIFF in tiles, of (h, w) or (h, w, 3), 8 or 16 bit."""
    height, width = values.shape[:2]
    channels = values.shape[2] if values.ndim == 3 else 1
    down, right = -(-height // side), -(-width // side)
    padded = np.zeros((down * side, right * side, channels), values.dtype.newbyteorder(order))
    padded[:height, :width] = values.reshape(height, width, channels)
    tiles = [
        padded[y * side : (y + 1) * side, x * side : (x + 1) * side].tobytes()
        for y in range(down)
        for x in range(right)
    ]
    bits = 8 * values.dtype.itemsize
    offsets = [8 + sum(map(len, tiles[:i])) for i in range(len(tiles))]
    tags: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [bits] * channels),
        (259, 3, [1]),
        (262, 3, [2 if channels == 3 else 1]),
        (277, 3, [channels]),
        (322, 4, [side]),
        (323, 4, [side]),
        (324, 4, offsets),
        (325, 4, [len(tile) for tile in tiles]),
    ]
    body = b"".join(tiles)
    directory_at = 8 + len(body)
    extra_at = directory_at + 2 + 12 * len(tags) + 4
    directory, extra = struct.pack(order + "H", len(tags)), b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            packed, extra = struct.pack(order + "I", extra_at + len(extra)), extra + packed
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", directory_at)
    return head + body + directory + b"\0\0\0\0" + extra


def oriented(picture: Image.Image, orientation: int) -> Image.Image:
    """Store `picture` as a camera does, so that EXIF `orientation` turns it upright again."""
    values = np.asarray(picture)
    stored = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.swapaxes(0, 1),
        6: values.swapaxes(0, 1)[::-1],  # stored turned a quarter to the left
        7: values.swapaxes(0, 1)[::-1, ::-1],
        8: values.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    return Image.fromarray(np.ascontiguousarray(stored))


def _oriented(folder: Path) -> Iterator[PhotoFile]:
    color = color_picture()
    formats: list[tuple[str, str, dict[str, Any], float]] = [
        ("JPEG", ".jpg", {"quality": 95}, 4),
        ("PNG", ".png", {}, 0),
        ("WEBP", ".webp", {"lossless": True}, 0),
        ("TIFF", ".tif", {"compression": "tiff_lzw"}, 0),
    ]
    if "AVIF" in Image.SAVE:
        formats.append(("AVIF", ".avif", {"quality": 95, "speed": 10}, 4))
    if have_heif():
        formats.append(("HEIF", ".heic", {"quality": 95}, 4))
    for format, suffix, options, tolerance in formats:
        for orientation in range(1, 9):
            stored = oriented(color, orientation)
            data = _save(stored, format, exif=_exif(orientation).tobytes(), **options)
            name = f"orientation-{orientation}{suffix}"
            yield _write(folder, name, data, "loads", color, tolerance)


# Broken files


def _cut_and_flipped(folder: Path) -> Iterator[PhotoFile]:
    chance = random.Random(SEED)
    for name, data, _, _ in intact():
        stem, suffix = os.path.splitext(name)
        for percent in (0.2, 3, 30, 75):
            length = max(3, int(len(data) * percent / 100))
            yield _write(folder, f"cut-{percent}-{stem}{suffix}", data[:length], "either")
        yield _write(folder, f"cut-last-{stem}{suffix}", data[:-3], "either")
        for where, start, stop in (("head", 0, 120), ("body", 0, len(data))):
            for number, flips in enumerate((1, 3, 20)):
                damaged = bytearray(data)
                for _ in range(flips):
                    damaged[chance.randrange(start, min(stop, len(data)))] ^= 1 << chance.randrange(
                        8
                    )
                yield _write(
                    folder, f"flip-{where}-{number}-{stem}{suffix}", bytes(damaged), "either"
                )
    # These must be refused: half a photo is no photo.
    for format in ("JPEG", "PNG", "TIFF", "BMP", "WEBP"):
        data = _save(color_picture((200, 150)), format)
        name = f"half.{format.lower()}"
        yield _write(folder, name, data[: len(data) // 2], "fails")


def _not_images(folder: Path) -> Iterator[PhotoFile]:
    html = b"<!doctype html><html><body><img src='x.jpg'></body></html>\n"
    noise = random.Random(SEED).randbytes(5000)
    jpeg = _save(color_picture(), "JPEG", quality=95)
    contents = {
        "text.jpg": b"This is not a photo.\n" * 50,
        "page.png": html,
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "paper.jpg": b"%PDF-1.4\n1 0 obj<<>>endobj\n%%EOF\n",
        "zeros.jpg": bytes(3000),
        "ones.webp": b"\xff" * 3000,
        "noise.heic": noise,
        "noise.gif": b"GIF89a" + noise,
        "noise.png": b"\x89PNG\r\n\x1a\n" + noise,
        "noise.bmp": b"BM" + noise,
        "noise.tif": b"II*\0" + noise,
        "noise.webp": b"RIFF\x00\x10\0\0WEBPVP8 " + noise,
        "noise.avif": b"\0\0\0\x20ftypavif" + noise,
        "noise.jpg": b"\xff\xd8\xff\xe0" + noise,
        "start.jpg": b"\xff\xd8\xff",
        "start-then-zeros.jpg": jpeg[:200] + bytes(20_000),
        "one-byte.jpg": b"\xff",
        "without-start.jpg": jpeg[2:],
        "twice-broken.jpg": b"\xef\xbb\xbf" + jpeg,
        "escape.jpg": b"\x1b[31m\x1b]0;title\x07",
        "netpbm.jpg": b"P6 1 1 255\n\1\2\3",  # a format that is not read
        "control.png": _png_file((b"IHDR", struct.pack(">IIBBBBB", 4, 4, 9, 7, 3, 2, 5))),
        "no-data.png": _png_file((b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))),
        "no-pixels.png": _png_file((b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0))),
        "no-pixels.gif": b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\2\1\0\0;",
        "no-size.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, *[0] * 10),
        "loop.tif": b"II*\0\x08\0\0\0" + b"\1\0\x0e\1\4\0\1\0\0\0\x08\0\0\0" + b"\x08\0\0\0",
    }
    for name, data in contents.items():
        yield _write(folder, name, data, "fails")
    yield _write(folder, "empty.jpg", b"", "fails", reason="empty")
    yield _write(folder, "empty.HEIC", b"", "fails", reason="empty")
    for name, format in [
        ("png-named.jpg", "PNG"),
        ("jpeg-named.png", "JPEG"),
        ("webp-named.JPEG", "WEBP"),
        ("gif-named.tiff", "GIF"),
        ("tiff-named.heic", "TIFF"),
        ("bmp-named.avif", "BMP"),
    ]:
        data = _save(color_picture().rotate(180), format)
        yield _write(folder, name, data, "loads", color_picture().rotate(180), 8)


def _strange_sizes(folder: Path) -> Iterator[PhotoFile]:
    for size in [(1, 1), (1, 200), (200, 1), (2, 2), (7, 3)]:
        for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
            color = color_picture(size)
            options: dict[str, Any] = {"WEBP": {"lossless": True}}
            options["JPEG"] = {"quality": 95, "subsampling": 0}
            data = _save(color, format, **options.get(format, {}))
            name = f"{size[0]}x{size[1]}.{format.lower()}"
            yield _write(folder, name, data, "loads", color, 6)
    for size in [(20000, 30), (30, 20000), (20000, 5)]:
        color = color_picture(size)
        data = _save(color, "JPEG", quality=95)
        yield _write(folder, f"{size[0]}x{size[1]}.jpg", data, "loads", color, 8)
        yield _write(folder, f"{size[0]}x{size[1]}.png", _save(color, "PNG"), "loads", color, 0)
    for name, data in _bombs():
        yield _write(folder, name, data, "fails", reason="megapixels")
    # Less data than the declared size.
    header = struct.pack(">IIBBBBB", 8000, 8000, 8, 2, 0, 0, 0)
    data = _png_file((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))))
    yield _write(folder, "declared-8000.png", data, "fails")


def _bombs() -> Iterator[tuple[str, bytes]]:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    yield "declared-60000.png", _png_file((b"IHDR", header), (b"IDAT", pixels))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(2501 * 200)) for _ in range(100)) + packer.flush()
    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    yield "real-20000.png", _png_file((b"IHDR", header), (b"IDAT", rows))
    gif = bytearray(_save(color_picture().quantize(16), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    yield "screen-65535.gif", bytes(gif)
    gif = bytearray(_save(color_picture().quantize(16), "GIF"))
    block = gif.index(b",", 13 + 48)
    gif[block + 5 : block + 9] = struct.pack("<HH", 60000, 60000)
    yield "frame-60000.gif", bytes(gif)
    jpeg = bytearray(_save(color_picture(), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65500, 65500)
    yield "declared-65500.jpg", bytes(jpeg)
    jpeg = bytearray(_save(color_picture(), "JPEG", progressive=True))
    at = jpeg.index(b"\xff\xc2") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 20000, 20000)
    yield "progressive-20000.jpg", bytes(jpeg)
    bmp = bytearray(_save(color_picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100000, 100000)
    yield "declared-100000.bmp", bytes(bmp)
    webp = bytearray(_save(color_picture(), "WEBP", quality=95))
    webp[26:30] = struct.pack("<HH", 16383, 16383)
    yield "declared-16383.webp", bytes(webp)
    tiff = _save(color_picture(), "TIFF")
    sides = [struct.pack("<HHII", tag, 4, 1, 0)[:8] for tag in (256, 257)]
    for side, length in zip(sides, SIZE, strict=True):
        short = struct.pack("<HHIHH", *struct.unpack("<HHI", side), length, 0)
        short = short[:2] + b"\3\0" + short[4:]
        at = tiff.index(short) if short in tiff else tiff.index(side)
        tiff = tiff[:at] + side + struct.pack("<I", 50000) + tiff[at + 12 :]
    yield "declared-50000.tif", tiff


def _strange_metadata(folder: Path) -> Iterator[PhotoFile]:
    color = color_picture()
    chance = random.Random(SEED)
    exif = _exif(6).tobytes()
    blocks = {
        "noise": b"Exif\0\0" + chance.randbytes(300),
        "cut": exif[:14],
        "only-name": b"Exif\0\0",
        "loop": b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0",
        "far": b"Exif\0\0II*\0\xff\xff\xff\x7f" + bytes(20),
        "many": b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + chance.randbytes(2000),
        "text": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\4\0\0\0six\0\0\0\0\0",
        "nine": _exif(9).tobytes(),
        "zero": _exif(0).tobytes(),
        "huge": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0",
    }
    for name, block in blocks.items():
        data = _save(color, "JPEG", quality=95, exif=block)
        yield _write(folder, f"exif-{name}.jpg", data, "loads", color, 4)
        data = _save(color, "PNG", exif=block)
        yield _write(folder, f"exif-{name}.png", data, "loads", color, 0)
    # The orientation is good, what follows is not.
    turned = oriented(color, 6)
    good = bytearray(_exif(6, {271: "A camera of some make", 282: 72.0}).tobytes())
    good[-12:] = b"\xff" * 12
    data = _save(turned, "JPEG", quality=95, exif=bytes(good))
    yield _write(folder, "exif-good-then-bad.jpg", data, "loads", color, 4)
    profile = chance.randbytes(500)
    data = _save(color, "JPEG", quality=95, icc_profile=profile)
    yield _write(folder, "profile-noise.jpg", data, "loads", color, 4)
    data = _save(color, "PNG", icc_profile=profile)
    yield _write(folder, "profile-noise.png", data, "loads", color, 0)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    data = _save(oriented(color, 8), "JPEG", quality=95, xmp=xmp)
    yield _write(folder, "orientation-in-xmp.jpg", data, "loads", color, 4)
    bomb = zlib.compress(bytes(50_000_000), 9)
    chunks = [(b"zTXt", b"note\0\0" + bomb), (b"iCCP", b"name\0\0" + bomb)]
    for kind, content in chunks:
        data = png(np.asarray(color))
        data = data[:33] + _png_chunk(kind, content) + data[33:]
        yield _write(folder, f"bomb-in-{kind.decode()}.png", data, "either")


# Odd names and things that are no files


def _strange_names(folder: Path) -> Iterator[PhotoFile]:
    names = [
        "with space.jpg",
        " leading and trailing .jpg ",
        "🏰 été.jpg",
        "東京タワー.jpg",
        "صورة.jpg",
        "e\u0301-decomposed.jpg",
        "-o.jpg",
        "--help.jpg",
        "50%s %d {0}.jpg",
        "quote'\"`$(date).jpg",
        "a;b&c|d.jpg",
        "[red]markup[/red].jpg",
        "back\\slash.jpg",
        "tab\tnew\nline.jpg",
        "escape\x1b[31m.jpg",
        ".hidden.jpg",
        "no suffix",
        "n" * 200 + ".jpg",
        os.fsdecode(b"not-utf8-\xff\xe9.jpg"),
    ]
    deep = folder / "très" / "写真" / "a b"
    deep.mkdir(parents=True)
    yield _write(deep, "deep.jpg", _save(color_picture(), "JPEG"), "loads", color_picture(), 8)
    formats = [("", "JPEG", 8.0)]
    # libtiff is given a file descriptor, other decoders bytes: the name matters to neither.
    formats += [(".tif", "TIFF", 0.0), (".webp", "WEBP", 8.0)]
    for number, name in enumerate(names):
        picture = color_picture().point(lambda value, n=number: max(0, value - n))
        try:
            for suffix, format, tolerance in formats:
                options = {"compression": "tiff_lzw"} if format == "TIFF" else {}
                data = _save(picture, format, **options)
                yield _write(folder, name + suffix, data, "loads", picture, tolerance)
        except (OSError, UnicodeError, ValueError):
            continue  # a name that this file system does not allow


def _not_regular(folder: Path) -> Iterator[PhotoFile]:
    (folder / "folder.jpg").mkdir()
    yield PhotoFile(folder / "folder.jpg", "fails", reason="folder")
    yield PhotoFile(folder / "nowhere.jpg", "fails", reason="no such file")
    yield PhotoFile(folder / "baseline.jpg" / "below.jpg", "fails")
    if os.name != "posix":
        return
    os.mkfifo(folder / "pipe.jpg")
    yield PhotoFile(folder / "pipe.jpg", "fails", reason="not a regular file")
    yield PhotoFile(Path(os.devnull), "fails", reason="not a regular file")
    (folder / "to-pipe.jpg").symlink_to("pipe.jpg")
    yield PhotoFile(folder / "to-pipe.jpg", "fails", reason="not a regular file")
    (folder / "loop-a.jpg").symlink_to("loop-b.jpg")
    (folder / "loop-b.jpg").symlink_to("loop-a.jpg")
    yield PhotoFile(folder / "loop-a.jpg", "fails")
    yield PhotoFile(folder / "loop-b.jpg", "fails")
    (folder / "self.jpg").symlink_to("self.jpg")
    yield PhotoFile(folder / "self.jpg", "fails")
    (folder / "loop-folder").symlink_to(".")
    (folder / "dangling.jpg").symlink_to("gone.jpg")
    yield PhotoFile(folder / "dangling.jpg", "fails", reason="no such file")
    (folder / "link.jpg").symlink_to("baseline.jpg")
    yield PhotoFile(folder / "link.jpg", "loads", color_picture(), 4)
    with (folder / "sparse.webp").open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8 ")
        file.truncate(40 << 30)  # 40 GiB that take no space on disk
    yield PhotoFile(folder / "sparse.webp", "fails", reason="larger than")
    if os.geteuid() != 0:  # root may read everything
        path = _write(folder, "unreadable.jpg", _save(color_picture(), "JPEG"), "fails").path
        path.chmod(0)
        yield PhotoFile(path, "fails", reason="ermission denied")


# Small parts


def _write(
    folder: Path,
    name: str,
    data: bytes,
    expect: Expectation,
    picture: Image.Image | None = None,
    tolerance: float = 3.0,
    reason: str = "",
) -> PhotoFile:
    path = folder / name
    if path.exists():
        raise ValueError(f"defined twice: {name!r}")
    path.write_bytes(data)
    return PhotoFile(path, expect, picture, tolerance, reason)


def _save(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _exif(orientation: int, more: dict[int, Any] | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    exif.update(more or {})
    return exif


def _grey(share: np.ndarray) -> Image.Image:
    return Image.fromarray((share * 255).round().astype(np.uint8)).convert("RGB")


def _png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(_png_chunk(kind, content) for kind, content in chunks)
    return b"\x89PNG\r\n\x1a\n" + body + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
