"""RAW photos of cameras: the JPEG in them that shows the photo.

Most are TIFF files whose directories hold the sensor's values and one or more JPEGs. They are
recognized by their content, as uploads have no suffix.

Sources: TIFF 6.0, section 2; Adobe's DNG specification 1.7; the layouts of other cameras as
https://exiftool.org/TagNames describes them.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any

from resight.errors import ImageError

RAW_SUFFIXES = frozenset({".cr2", ".nef", ".nrw", ".dng", ".arw", ".srw", ".rw2", ".raf"})
TIFF_MARKS = {b"II*\0": "<", b"MM\0*": ">", b"IIU\0": "<"}
"""Beginnings of TIFF files, and their byte order."""
PANASONIC_MARK, FUJIFILM_MARK = b"IIU\0", b"FUJIFILMCCD-RAW"
CANON_MARK = b"CR\2"
"""At the ninth byte of a TIFF file."""

NEW_SUBFILE, COMPRESSION, STRIPS, STRIP_LENGTHS, SUB_DIRECTORIES = 254, 259, 273, 279, 330
JPEG_PLACE, JPEG_LENGTH, PANASONIC_JPEG, DNG_VERSION = 513, 514, 46, 50706
FUJIFILM_JPEG = 84
"""Position of the place and the length of the JPEG."""
JPEG_COMPRESSIONS = (6, 7, 34892)
FORMATS = {1: "B", 3: "H", 4: "I", 13: "I"}
"""Formats of whole numbers, by their types in TIFF."""
MAX_DIRECTORIES, MAX_ENTRIES, MAX_VALUES = 64, 1000, 64
MAX_PREVIEW_BYTES = 64 << 20
RAW_HEADERS = (*TIFF_MARKS, FUJIFILM_MARK)

JPEG_START = 0xFFD8
FRAMES = (0xFFC0, 0xFFC1, 0xFFC2)
"""Markers of the JPEGs that decoders read; lossless ones have another."""
SKIPPED = (0xFFC4, 0xFFDB, 0xFFDD, 0xFFFE, *range(0xFFE0, 0xFFF0))
"""Markers of segments before that, which begin with their length."""

Directory = dict[int, tuple[int, ...]]
"""Whole numbers by tag; of an entry with more bytes than that, its place and length."""


def find_preview(stream: IO[bytes]) -> bytes | None:
    """Return the largest JPEG in a RAW photo; None if the file, at its start, is something else.

    Raises:
        ImageError: it is a RAW photo without a JPEG.
    """
    header = stream.read(len(FUJIFILM_MARK))
    order = TIFF_MARKS.get(header[:4])
    places: list[tuple[int, int]] = []
    if header == FUJIFILM_MARK:
        place, length = _unpack(stream, FUJIFILM_JPEG, ">II")
        places = [(length, place)]
    elif order is not None:
        directories = list(_directories(stream, order))
        if directories and _is_raw(header, directories[0]):
            places = sorted(_jpegs(directories), reverse=True)
        else:
            order = None
    stream.seek(0)
    if header != FUJIFILM_MARK and order is None:
        return None
    for length, place in places:
        if _is_jpeg(stream, place, length):
            stream.seek(place)
            jpeg = stream.read(length)
            stream.seek(0)
            return jpeg
    raise ImageError("a RAW photo without a preview; export it as JPEG or TIFF")


def _is_raw(header: bytes, first: Directory) -> bool:
    """Return whether a TIFF file is a RAW photo, whose first picture is usually a thumbnail."""
    reduced = first.get(NEW_SUBFILE) == (1,) and SUB_DIRECTORIES in first
    named = header[8:].startswith(CANON_MARK) or header.startswith(PANASONIC_MARK)
    return named or reduced or DNG_VERSION in first


def _directories(stream: IO[bytes], order: str) -> Iterator[Directory]:
    """Yield the directories of a TIFF file, each once; a damaged file ends early."""
    places, seen = list(_unpack(stream, 4, f"{order}I")), {0}
    while places and len(seen) < MAX_DIRECTORIES:
        start = places.pop(0)
        if start in seen:
            continue
        seen.add(start)
        (count,) = _unpack(stream, start, f"{order}H")
        directory = {}
        for entry in range(start + 2, start + 2 + 12 * min(count, MAX_ENTRIES), 12):
            tag, kind, number = _unpack(stream, entry, f"{order}HHI")
            directory[tag] = _values(stream, order, kind, number, entry + 8)
        yield directory
        places += directory.get(SUB_DIRECTORIES, ())
        places += _unpack(stream, start + 2 + 12 * count, f"{order}I")


def _values(stream: IO[bytes], order: str, kind: int, count: int, place: int) -> tuple[int, ...]:
    """Return the values of an entry; of a long one, place and length in bytes."""
    format = FORMATS.get(kind, "B")
    length = struct.calcsize(format) * count
    if length > 4:
        (place,) = _unpack(stream, place, f"{order}I")
    if count > MAX_VALUES:
        return place, length
    return _unpack(stream, place, f"{order}{count}{format}")


def _jpegs(directories: Iterable[Directory]) -> set[tuple[int, int]]:
    """Return length and place of what may be JPEGs."""
    found = []
    for directory in directories:
        found.append(directory.get(PANASONIC_JPEG, ()))
        found.append(directory.get(JPEG_PLACE, ()) + directory.get(JPEG_LENGTH, ()))
        if directory.get(COMPRESSION, (0,))[0] in JPEG_COMPRESSIONS:
            found.append(directory.get(STRIPS, ()) + directory.get(STRIP_LENGTHS, ()))
    return {(each[1], each[0]) for each in found if len(each) == 2}


def _is_jpeg(stream: IO[bytes], place: int, length: int) -> bool:
    """Return whether a part of a file is a JPEG that can be decoded; sensors' values cannot."""
    if not 0 < length <= MAX_PREVIEW_BYTES:
        return False
    start, marker, size = _unpack(stream, place, ">HHH")
    place += 4
    while start == JPEG_START and marker in SKIPPED:
        place += size
        marker, size = _unpack(stream, place, ">HH")
        place += 2
    return start == JPEG_START and marker in FRAMES


def _unpack(stream: IO[bytes], place: int, format: str) -> tuple[Any, ...]:
    """Return the numbers at a place of a file, 0 behind its end."""
    stream.seek(place)
    size = struct.calcsize(format)
    return struct.unpack(format, stream.read(size).ljust(size, b"\0"))
