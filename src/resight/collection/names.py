"""Names that a person gave to things, by the contents of photos that show them.

A name belongs to a thing, such as "our boat", and a photo can carry several. Names that differ
only in upper and lower case are the same name, in the spelling that was given last.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from resight.collection.hints import is_hash, timestamp
from resight.errors import UsageError

JOINING = "\u200c\u200d"
"""Zero-width (non-)joiners, which Persian words and emoji hold; Python calls them unprintable."""
JOINERS = dict.fromkeys(map(ord, JOINING))
MAX_LENGTH = 100
"""Longest name, in characters."""


@dataclass(frozen=True)
class Naming:
    """A name that a photo carries.

    Attributes:
        name: as `check_name` returns it.
        content: SHA-256 of the file.
        decided: when, in UTC (ISO 8601, to the microsecond).
    """

    name: str
    content: str
    decided: str

    @classmethod
    def from_dict(cls, value: Any) -> "Naming":
        """Return a naming from the values of `to_dict`.

        Raises:
            UsageError: the values are none.
        """
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise UsageError("expected a name")
        if not is_hash(value.get("content")):
            raise UsageError("content is the SHA-256 of a file, 64 hexadecimal digits")
        try:
            decided = timestamp(datetime.fromisoformat(str(value.get("decided"))))
        except (ValueError, OverflowError):  # overflow: in UTC before year 1 or after 9999
            raise UsageError("decided is no time") from None
        return cls(check_name(value["name"]), value["content"], decided)

    def to_dict(self) -> dict[str, str]:
        """Return plain JSON values."""
        return {"name": self.name, "content": self.content, "decided": self.decided}


class Names:
    """Names in one spelling each, sorted by name and content."""

    def __init__(self, namings: Iterable[Naming] = ()) -> None:
        """Keep the newest of several namings of one photo, and the newest spelling of each name."""
        spelling: dict[str, str] = {}
        newest: dict[tuple[str, str], Naming] = {}
        for each in sorted(namings, key=lambda n: (n.decided, n.name, n.content), reverse=True):
            key = each.name.casefold()
            name = spelling.setdefault(key, each.name)
            newest.setdefault((key, each.content), Naming(name, each.content, each.decided))
        self._namings = [newest[key] for key in sorted(newest)]

    def __len__(self) -> int:
        return len(self._namings)

    def __iter__(self) -> Iterator[Naming]:
        return iter(self._namings)

    @cached_property
    def things(self) -> dict[str, list[str]]:
        """The contents that carry each name, by name."""
        things: dict[str, list[str]] = {}
        for each in self._namings:
            things.setdefault(each.name, []).append(each.content)
        return things

    def contents(self, name: str) -> list[str]:
        """Return the contents that carry a name; none for an unknown one."""
        key = check_name(name).casefold()
        return [each.content for each in self._namings if each.name.casefold() == key]

    def of(self, contents: Iterable[str | None]) -> list[str]:
        """Return the names that any of some contents carries, sorted."""
        wanted = set(contents)
        return list(dict.fromkeys(n.name for n in self._namings if n.content in wanted))

    def named(self, name: str, contents: Iterable[str], decided: str) -> "Names":
        """Return these names, and one more that some contents carry from now on."""
        checked = check_name(name)
        return Names([*self, *(Naming(checked, content, decided) for content in contents)])

    def without(self, name: str, contents: Sequence[str] | None = None) -> "Names":
        """Return these names without one, or without it on some contents."""
        key = check_name(name).casefold()
        return Names(
            each
            for each in self
            if each.name.casefold() != key or not (contents is None or each.content in contents)
        )


def check_name(text: str) -> str:
    """Return a name in its stored form: Unicode's NFC, with single spaces.

    Raises:
        UsageError: it is empty, too long, or has characters that cannot be printed.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > MAX_LENGTH:
        raise UsageError(f"a name has from 1 to {MAX_LENGTH} characters")
    if not name.translate(JOINERS).isprintable() or not name.strip(JOINING):
        raise UsageError("a name has only characters that can be printed")
    return name
