"""Decoding of photo files to upright 8-bit RGB images, `PIL.Image.Image` in mode RGB.

Files are not trusted: sizes are limited before decoding, only common formats are decoded, and
whatever a decoder raises becomes an `ImageError`.
"""

import base64
import contextlib
import ctypes
import functools
import html
import importlib
import io
import logging
import os
import struct
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, _imaging

from resight.errors import ImageError
from resight.photos import escape_undecodable, exif, isolation, open_photo, path_text
from resight.photos.conversion import to_reduced_rgb, to_rgb
from resight.photos.deep_gray import check_layout
from resight.photos.raw import RAW_HEADERS, RAW_SUFFIXES, find_preview

MAX_PIXELS = 80_000_000
"""Limit of the decoded size. A photo of this size takes 320 MB (Pillow stores 4 bytes a pixel) and,
while it is decoded and rotated, 0.9 GB, which together with the network stays within 2 GiB. Larger
JPEGs, PNGs and TIFFs are reduced: see `MAX_REDUCED_PIXELS`."""

MAX_REDUCED_PIXELS = 4 * MAX_PIXELS
"""JPEGs up to this size are decoded at half scale or less, within `MAX_PIXELS`; except progressive
ones, for which libjpeg keeps the coefficients of the whole image. PNGs and TIFFs, such as scans of
archives, are decoded in another process, and reduced to half scale there."""

MAX_WEBP_PIXELS = MAX_PIXELS // 2
"""Decoding WebP and JPEG 2000 takes 16 bytes a pixel, twice as many as other formats."""

MAX_FILE_BYTES = 1 << 30
"""Larger files are refused: some decoders read the whole file into memory first."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PHOTO_SUFFIXES = HEIF_SUFFIXES | RAW_SUFFIXES | {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif",
    ".avif", ".jp2", ".j2k", ".jpf", ".jpx",
}  # fmt: skip
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000")
"""Formats that are decoded, by content rather than by name; no rare format is tried."""
REDUCED_FORMATS = ("PNG", "TIFF")
"""Formats of scans, which are reduced after they are decoded, see `MAX_REDUCED_PIXELS`."""
PLUGINS = ("Jpeg", "Mpo", "Png", "WebP", "Tiff", "Bmp", "Gif", "Avif", "Jpeg2K")
"""Pillow's plugins for them; importing all forty would take a tenth of a second."""

BROWSER_FORMATS = ("PNG", "GIF", "WEBP", "AVIF")
"""Formats that browsers show, besides JPEG."""

HEADER_BYTES = 32
TIFF_HEADERS = b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"
JPEG_2000_HEADERS = b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"
PNG_HEADER = b"\x89PNG\r\n\x1a\n"
BASE_MEDIA_MARK = b"ftyp"
"""At the fifth byte of HEIC and AVIF."""

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
MAX_REPAIRED_BYTES = 64 << 20
"""Size up to which a JPEG without its end marker is read."""
CUT_BYTES = 24
"""Number of bytes in which the last corner of a JPEG is coded, at least in part."""

THUMBNAIL_SIDE = 120
"""Longer side of a thumbnail, in pixels."""


def load_image(file: Path | IO[bytes], reduce_to: int | None = None) -> Image.Image:
    """Decode the (first) image of a file: upright, RGB, 8 bit.

    EXIF orientation is applied, transparency becomes white, and gray of more than 8 bits is scaled.

    Args:
        file: a path, or a binary file at its start.
        reduce_to: a JPEG may be decoded at 1/2, 1/4 or 1/8 while its longest side stays at
            least this many pixels.

    A JPEG may lack the marker at its end, which some programs cut off.

    Raises:
        ImageError: the file is not an image, is damaged or truncated, or has too many pixels.
    """
    try:
        return _decode(file, reduce_to)
    except ImageError:
        complete = _with_end_marker(file)
        if complete is None:
            raise
        return _decode(io.BytesIO(complete), reduce_to)


def _decode(file: Path | IO[bytes], reduce_to: int | None) -> Image.Image:
    with _open_file(file) as stream:
        if _is_isolated(stream):
            return isolation.ask("load_image", stream, reduce_to)
        image = _open_image(stream)
        scale = _limit_size(image, reduce_to)
        check_layout(image)
        image.load()
        if scale > 1:
            reduced = to_reduced_rgb(image, scale)
            _make_upright(reduced)
            return reduced
        _make_upright(image)
        return to_rgb(image)


def image_size(file: Path | IO[bytes]) -> tuple[int, int]:
    """Return width and height of the upright image in a file, from its header only.

    Raises:
        ImageError: the file is not an image.
    """
    with _open_file(file) as stream:
        if _is_isolated(stream):
            width, height = isolation.ask("image_size", stream)
            return width, height
        image = _open_image(stream)
        width, height = image.size
        # Pillow rotates a TIFF's size itself, and would decode a whole PNG to look for EXIF.
        if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
            return width, height
        orientation = 1
        with contextlib.suppress(Exception):  # as in `_make_upright`
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def taken_at(file: Path | IO[bytes]) -> datetime | None:
    """Return when a photo was taken (EXIF, the camera's local time); None if unknown."""
    return exif.parse_time(read_exif(file).get("taken", ""))


def read_exif(file: Path | IO[bytes]) -> dict[str, str]:
    """Return the texts of a photo's EXIF data, see `exif.exif_texts`; empty without any."""
    with contextlib.suppress(Exception), _open_file(file) as stream:  # as in `_make_upright`
        if _is_isolated(stream):
            return dict(isolation.ask("read_exif", stream))
        image = _open_image(stream)
        if image.format == "PNG":  # Pillow decodes all of it to look for EXIF
            _check_pixels(*image.size, MAX_PIXELS)
        return exif.exif_texts(image.getexif())
    return {}


def browser_type(file: Path | IO[bytes]) -> str | None:
    """Return the media type of a file that all browsers show, and show upright; None of others."""
    with contextlib.suppress(Exception), _open_file(file) as stream:  # as in `_make_upright`
        if _is_isolated(stream):
            return isolation.ask("browser_type", stream)
        header = _header(stream)
        image = _open_image(stream)
        if header.startswith(JPEG_START):
            return "image/jpeg"  # not all browsers turn other formats by their EXIF orientation
        turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if image.format in BROWSER_FORMATS and not turned:
            return f"image/{image.format.lower()}"
    return None


def _with_end_marker(file: Path | IO[bytes]) -> bytes | None:
    """Return the content of a JPEG that lacks nothing but its end marker, with that.

    Decoders fill what is missing. So the picture is complete if its last corner becomes another one
    when some more bytes are cut off.
    """
    try:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(open_photo(file)) if isinstance(file, Path) else file
            stream.seek(0)
            data = stream.read(MAX_REPAIRED_BYTES + 1)
        if data[:2] != JPEG_START or data[-2:] == JPEG_END or len(data) > MAX_REPAIRED_BYTES:
            return None
        complete = data.removesuffix(JPEG_END[:1]) + JPEG_END
        corners = []
        for content in (complete, complete[:-CUT_BYTES] + JPEG_END):
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                _limit_size(image, None)
                width, height = image.size
                corners.append(image.crop((width - 8, height - 8, width, height)).tobytes())
    except Exception:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        return None
    return complete if corners[0] != corners[1] else None


@contextlib.contextmanager
def _open_file(file: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """Open a file, or take one that is open; every failure with it becomes an `ImageError`."""
    header = b""
    try:
        with contextlib.ExitStack() as stack:
            stream: IO[bytes]
            stream = stack.enter_context(open_photo(file)) if isinstance(file, Path) else file
            _check_file(stream)
            header = _header(stream)
            yield stream
    except UnidentifiedImageError:
        raise ImageError(_unidentified(file, header)) from None
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except IsADirectoryError:
        raise ImageError("a folder, not a file") from None
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("not enough memory to decode it") from None
    except Exception as error:  # noqa: BLE001 - a damaged file can make a decoder raise anything
        raise ImageError(_reason(error)) from None


def _open_image(stream: IO[bytes]) -> ImageFile.ImageFile:
    """Open the image in a file, whose pixels are not decoded yet."""
    header = _header(stream)
    if header.startswith(b"GIF8"):
        _check_pixels(*_gif_size(stream), MAX_PIXELS)  # Pillow may fill the frame already
    preview = find_preview(stream) if header.startswith(RAW_HEADERS) else None
    if preview is None:
        return Image.open(stream, formats=_decoders())
    image = Image.open(io.BytesIO(preview), formats=_decoders())
    if header.startswith(TIFF_HEADERS):
        with contextlib.suppress(Exception):  # as in `_make_upright`
            image.getexif().load_from_fp(stream)
    return image


def _header(stream: IO[bytes]) -> bytes:
    """Return the first bytes of a file at its start."""
    header = stream.read(HEADER_BYTES)
    stream.seek(0)
    return header


def _is_isolated(stream: IO[bytes]) -> bool:
    """Return whether a file is decoded in another process, see `isolation`."""
    header = _header(stream)
    if header.startswith(PNG_HEADER):  # and the sides in pixels, after 8 bytes
        width, height = struct.unpack_from(">II", header.ljust(HEADER_BYTES, b"\0"), 16)
        return isolation.available and width * height > MAX_PIXELS
    known = header.startswith((*TIFF_HEADERS, *JPEG_2000_HEADERS))
    return isolation.available and (known or header[4:8] == BASE_MEDIA_MARK)


def _check_file(file: IO[bytes]) -> None:
    try:
        status = os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return  # bytes in memory
    if status.st_size == 0:
        raise ImageError("an empty file")
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(f"larger than the limit of {MAX_FILE_BYTES >> 20} MiB")


def _limit_size(image: ImageFile.ImageFile, reduce_to: int | None) -> int:
    """Choose the decoding scale of a JPEG, and refuse an image with too many pixels.

    Returns:
        By how much the decoded image is to be reduced.
    """
    pixels = image.width * image.height
    if pixels == 0:
        raise ImageError("a picture without pixels")
    if image.format in REDUCED_FORMATS and MAX_PIXELS < pixels <= MAX_REDUCED_PIXELS:
        return 2
    limit = MAX_WEBP_PIXELS if image.format in ("WEBP", "JPEG2000") else MAX_PIXELS
    reducible = pixels <= MAX_PIXELS or not image.info.get("progressive")
    if image.format in ("JPEG", "MPO") and pixels <= MAX_REDUCED_PIXELS and reducible:
        longest = max(image.size)
        scale = 2 if pixels > MAX_PIXELS else 1
        while reduce_to and scale < 8 and longest // (2 * scale) >= reduce_to:
            scale *= 2
        if scale > 1:
            image.draft("RGB", (max(1, image.width // scale), max(1, image.height // scale)))
    _check_pixels(image.width, image.height, limit)
    return 1


def _check_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise ImageError(
            f"{width} x {height} pixels, more than the limit of {limit // 10**6} megapixels"
        )


def _gif_size(stream: IO[bytes]) -> tuple[int, int]:
    """Return the size of a GIF up to its first frame, and leave the file at its start.

    Extensions are skipped exactly as Pillow does, or a damaged file could show it another frame.

    Source: GIF89a specification, sections 18, 20 and 24.
    """

    def read_block() -> bytes:
        length = stream.read(1)
        return stream.read(length[0]) if length else b""

    width, height, flags = struct.unpack("<6xHHB2x", stream.read(13).ljust(13, b"\0"))
    stream.seek(3 << (flags & 7) + 1 if flags & 0x80 else 0, os.SEEK_CUR)  # the color table
    while (kind := stream.read(1)) not in (b"", b";"):
        if kind == b"!":
            label, block = stream.read(1), read_block()
            if label == b"\xff" and block.startswith(b"NETSCAPE2.0"):
                read_block()
            if block or label != b"\xfe":
                while read_block():
                    pass
        elif kind == b",":
            x, y, w, h = struct.unpack("<4H", stream.read(8).ljust(8, b"\0"))
            width, height = max(width, x + w), max(height, y + h)
            break
    stream.seek(0)
    return width, height


def _make_upright(image: Image.Image) -> None:
    with contextlib.suppress(Exception):  # damaged EXIF must not cost a good photo
        ImageOps.exif_transpose(image, in_place=True)


@functools.cache
def _decoders() -> list[str]:
    """Set Pillow up and return the formats that it can decode."""
    # Pillow's limit would refuse JPEGs that can be decoded at half scale; see `_limit_size`.
    Image.MAX_IMAGE_PIXELS = None
    # Problems with a photo are reported by `ImageError` only, not on standard error as well.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError, OSError):  # where libtiff is linked in statically
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    for name in PLUGINS:
        with contextlib.suppress(ImportError):  # AVIF comes with newer versions of Pillow
            importlib.import_module(f"PIL.{name}ImagePlugin")
    # Without the extra, the error about a HEIC file names it.
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return [name for name in FORMATS if name in Image.OPEN]


def _reason(error: Exception) -> str:
    # An OSError's text would contain the path; a damaged file's text may contain anything.
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if not isinstance(error, OSError | SyntaxError | ValueError):
        text = f"damaged ({type(error).__name__}: {text})"
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:200] or type(error).__name__


def _unidentified(file: Path | IO[bytes], header: bytes) -> str:
    if header.startswith(TIFF_HEADERS):
        return "a TIFF of a kind that is not read, such as 32-bit colors; save it with 8 or 16 bits"
    name = file if isinstance(file, Path) else getattr(file, "name", "")
    if Path(str(name)).suffix.lower() in HEIF_SUFFIXES and "HEIF" not in Image.OPEN:
        return "HEIC needs an extra: pip install 'resight[heif]'"
    return "not an image, or damaged beyond recognition"


# Thumbnails in the HTML views of results, for notebooks


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
