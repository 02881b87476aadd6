"""Filters by a part of the file name, with the same outcome on every backend.

File names are bytes, whose form depends on the system: a letter of the filter stands for its
upper and lower case, and an accented one for both of its Unicode forms.
"""

import functools
import os
import re
import unicodedata
from pathlib import Path


def spellings(text: str) -> list[list[bytes]]:
    r"""Return for each letter of a text the bytes that stand for it in file names.

    >>> spellings("É1")[1], sorted(spellings("É1")[0])
    ([b'1'], [b'E\xcc\x81', b'e\xcc\x81', b'\xc3\x89', b'\xc3\xa9'])
    """
    letters = unicodedata.normalize("NFC", text)
    return [
        sorted(
            {
                os.fsencode(unicodedata.normalize(form, case))
                for case in (letter, letter.lower(), letter.upper())
                for form in ("NFC", "NFD")
            }
        )
        for letter in letters
    ]


@functools.lru_cache(64)
def name_pattern(text: str) -> re.Pattern[bytes]:
    """Return the pattern that is found in the file names that contain a text."""
    parts = (b"|".join(map(re.escape, letter)) for letter in spellings(text))
    return re.compile(b"".join(b"(?:" + part + b")" for part in parts))


def has_name(path: Path, text: str) -> bool:
    """Return whether the name of a file, without its folders, contains a text in any case."""
    return name_pattern(text).search(os.fsencode(path.name)) is not None


def postgres_pattern(text: str) -> str:
    """Return a regular expression of PostgreSQL for whole paths, as Latin-1, of such files."""
    parts = (
        "|".join("".join(f"\\u{byte:04x}" for byte in spelling) for spelling in letter)
        for letter in spellings(text)
    )
    return "".join(f"(?:{part})" for part in parts) + "[^/]*$"
