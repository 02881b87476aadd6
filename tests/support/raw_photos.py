"""RAW photos as cameras write them, with a drawn picture and without values of a sensor."""

import io
import struct

import broken_photos

LOSSLESS = b"\xff\xd8\xff\xc4\0\4\0\0\xff\xc3" + bytes(90_000)
"""Values of a sensor, in the form of a JPEG that no decoder reads."""
TIME = b"2020:01:31 12:00:00\0"

Entries = list[tuple[int, int, bytes]]
"""Tag, type and value of each entry of a directory."""


def jpeg(size: tuple[int, int] = broken_photos.SIZE) -> bytes:
    file = io.BytesIO()
    broken_photos.color_picture(size).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


class Raw:
    """A TIFF file that is written part by part."""

    def __init__(self, order: str, mark: bytes = b"*\0", more: bytes = b"") -> None:
        self.order = order
        start = b"II" if order == "<" else b"MM"
        self.data = bytearray(start + (mark if order == "<" else mark[::-1]) + bytes(4) + more)

    def add(self, part: bytes) -> bytes:
        """Add bytes; return their place as a value."""
        self.data += bytes(len(self.data) % 2)
        place = len(self.data)
        self.data += part
        return struct.pack(self.order + "I", place)

    def number(self, value: int) -> bytes:
        return struct.pack(self.order + "I", value)

    def directory(self, entries: Entries, following: bytes = bytes(4)) -> bytes:
        """Add a directory of whole numbers and texts; return its place."""
        lines = b""
        for tag, kind, value in sorted(entries):
            count = len(value) // {1: 1, 2: 1, 4: 4, 7: 1}[kind]
            held = value.ljust(4, b"\0") if len(value) <= 4 else self.add(value)
            lines += struct.pack(self.order + "HHI", tag, kind, count) + held
        head = struct.pack(self.order + "H", len(entries))
        return self.add(head + lines + following)

    def finish(self, first: bytes) -> bytes:
        self.data[4:8] = first
        return bytes(self.data)


def picture(raw: Raw, content: bytes, *, strips: bool = False) -> Entries:
    place, length = raw.add(content), raw.number(len(content))
    if strips:
        return [(259, 4, raw.number(6)), (273, 4, place), (279, 4, length)]
    return [(513, 4, place), (514, 4, length)]


def nikon(order: str) -> bytes:
    """Thumbnail first, below it the JPEG and the sensor's values."""
    raw = Raw(order)
    shown = raw.directory(picture(raw, jpeg()))
    sensor = raw.directory(picture(raw, LOSSLESS, strips=True))
    entries = [(254, 4, raw.number(1)), (274, 4, raw.number(6)), (306, 2, TIME)]
    return raw.finish(raw.directory([*entries, (330, 4, shown + sensor)]))


def canon() -> bytes:
    """The JPEG first, then a thumbnail, then the sensor's values."""
    raw = Raw("<", more=b"CR\2\0" + bytes(4))
    sensor = raw.directory(picture(raw, LOSSLESS, strips=True))
    thumbnail = raw.directory(picture(raw, jpeg((16, 12))), sensor)
    entries = [*picture(raw, jpeg(), strips=True), (274, 4, raw.number(6)), (306, 2, TIME)]
    return raw.finish(raw.directory(entries, thumbnail))


def dng() -> bytes:
    raw = Raw("<")
    shown = raw.directory(picture(raw, jpeg(), strips=True))
    entries = [(274, 4, raw.number(6)), (306, 2, TIME), (330, 4, shown)]
    return raw.finish(raw.directory([*entries, (50706, 1, b"\1\4\0\0")]))


def panasonic() -> bytes:
    raw = Raw("<", mark=b"U\0")
    return raw.finish(raw.directory([(46, 7, jpeg())]))


def fujifilm() -> bytes:
    content = jpeg()
    return b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">II", 92, len(content)) + content


RAW_PHOTOS = {"a.nef": nikon(">"), "b.nef": nikon("<"), "c.cr2": canon(), "d.dng": dng()}
"""By name; each to be turned to the right, and taken at `TIME`."""

OTHER_CONTAINERS = {"a.rw2": panasonic(), "b.raf": fujifilm()}
