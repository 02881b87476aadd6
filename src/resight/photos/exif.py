"""Texts of a photo's EXIF data: when it was taken, with which camera and lens."""

from datetime import datetime

from PIL import ExifTags, Image

MAX_TEXT = 100
"""Longest text; a longer one is cut."""


def exif_texts(exif: Image.Exif) -> dict[str, str]:
    """Return the present ones of `taken` (as EXIF writes times), `camera` and `lens`."""
    details = exif.get_ifd(ExifTags.IFD.Exif)
    maker, model = (_text(exif.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    named = model.lower().startswith(maker.lower().split(" ")[0])
    texts = {
        "taken": _text(
            details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
        ),
        "camera": model if model and named else f"{maker} {model}".strip(),
        "lens": _text(details.get(ExifTags.Base.LensModel)),
    }
    return {name: text for name, text in texts.items() if text}


def parse_time(text: str) -> datetime | None:
    """Return the time in a text of EXIF data, None if it has no time.

    >>> parse_time("2020:06:01 12:00:00"), parse_time("0000:00:00 00:00:00")
    (datetime.datetime(2020, 6, 1, 12, 0), None)
    """
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _text(value: object) -> str:
    """Return a value as one line of printable text, empty without a value."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    shown = "".join(c if c.isprintable() else " " for c in text.split("\0")[0])
    return " ".join(shown.split())[:MAX_TEXT]
