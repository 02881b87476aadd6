"""Hints: what a person decided about photos, by their contents; searches and groups obey them.

A hint says that two photos show the same thing or different things, or which photo to keep of its
group. "Same" is transitive: what is the same as one photo and different from another is a
contradiction, which no `Hints` holds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from resight.config import HintVerdict
from resight.errors import UsageError
from resight.photos import path_text

HASH_DIGITS = 64


@dataclass(frozen=True)
class Hint:
    """A decision on one or two photos.

    Attributes:
        verdict: `same` or `different` for two contents, `keep` for one.
        contents: SHA-256 of the files, ascending.
        decided: when, in UTC (ISO 8601, to the microsecond).
        photos: the files in the collection, in the same order, None for one that is not there;
            empty until they are looked up.
    """

    verdict: HintVerdict
    contents: tuple[str, ...]
    decided: str
    photos: tuple[Path | None, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """Short name, of the contents: a hint that replaces it has the same."""
        return "-".join(content[:16] for content in self.contents)

    @classmethod
    def from_dict(cls, value: Any) -> "Hint":
        """Return a hint from the values of `to_dict`; the photos are ignored.

        Raises:
            UsageError: the values are no hint.
        """
        if not isinstance(value, dict) or value.get("verdict") not in get_args(HintVerdict):
            raise UsageError("expected the verdict same, different or keep")
        verdict, contents = value["verdict"], value.get("contents")
        count = 1 if verdict == "keep" else 2
        if not isinstance(contents, list) or len(set(map(str, contents))) != count:
            photos = "1 photo" if count == 1 else "2 photos"
            raise UsageError(f"{verdict} needs the contents of {photos}")
        if not all(is_hash(content) for content in contents):
            raise UsageError("contents are the SHA-256 of files, 64 hexadecimal digits")
        try:
            decided = timestamp(datetime.fromisoformat(str(value.get("decided"))))
        except (ValueError, OverflowError):  # overflow: in UTC before year 1 or after 9999
            raise UsageError("decided is no time") from None
        return cls(verdict, tuple(sorted(contents)), decided)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        entry = {
            "verdict": self.verdict,
            "contents": list(self.contents),
            "decided": self.decided,
        }
        photos = [None if photo is None else path_text(photo) for photo in self.photos]
        return {**entry, "photos": photos} if photos else entry


class Hints:
    """Hints without contradictions, oldest first."""

    def __init__(self, hints: Iterable[Hint] = ()) -> None:
        """Sort the hints by age; no two are about the same contents."""
        self._hints = sorted(hints, key=lambda hint: (hint.decided, hint.contents))

    def __len__(self) -> int:
        return len(self._hints)

    def __iter__(self) -> Iterator[Hint]:
        return iter(self._hints)

    @cached_property
    def labels(self) -> dict[str, int]:
        """By the content of a decided pair: the number of the set that shows the same thing."""
        labels: dict[str, int] = {}
        for content in [c for hint in self._pairs() for c in hint.contents]:
            if content not in labels:
                members = self._chain(content, None)
                labels |= dict.fromkeys(members, len(labels))
        return labels

    @cached_property
    def apart(self) -> frozenset[tuple[int, int]]:
        """Pairs of labels, the smaller first, that show different things."""
        pairs = [
            sorted(self.labels[content] for content in hint.contents)
            for hint in self._pairs("different")
        ]
        return frozenset((first, second) for first, second in pairs)

    @cached_property
    def kept(self) -> dict[str, str]:
        """When it was decided to keep a photo, by its content."""
        return {hint.contents[0]: hint.decided for hint in self if hint.verdict == "keep"}

    def verdict(self, first: str, second: str) -> Literal["same", "different"] | None:
        """Return what follows from the hints for two contents; None if nothing does."""
        labels = self.labels.get(first), self.labels.get(second)
        if labels[0] is None or labels[1] is None:
            return None
        if labels[0] == labels[1]:
            return "same"
        low, high = sorted((labels[0], labels[1]))
        return "different" if (low, high) in self.apart else None

    def same_as(self, content: str) -> set[str]:
        """Return the other contents that show the same thing."""
        label = self.labels.get(content)
        if label is None:
            return set()
        return {other for other, each in self.labels.items() if each == label} - {content}

    def contradiction(self) -> list[Hint]:
        """Return the first hints that contradict each other: a chain of `same`, and `different`."""
        for hint in self._pairs("different"):
            first, second = hint.contents
            if self.labels[first] == self.labels[second]:
                return [*self._chain(first, second)[second], hint]
        return []

    def _pairs(self, *verdicts: str) -> list[Hint]:
        wanted = verdicts or ("same", "different")
        return [hint for hint in self._hints if hint.verdict in wanted]

    @cached_property
    def _neighbors(self) -> dict[str, list[Hint]]:
        neighbors: dict[str, list[Hint]] = {}
        for hint in self._pairs("same"):
            for content in hint.contents:
                neighbors.setdefault(content, []).append(hint)
        return neighbors

    def _chain(self, start: str, end: str | None) -> dict[str, list[Hint]]:
        """Return the hints that lead to each content which is the same; stop at `end`."""
        chains: dict[str, list[Hint]] = {start: []}
        queue = [start]
        for content in queue:
            for hint in self._neighbors.get(content, ()):
                (other,) = set(hint.contents) - {content}
                if other not in chains:
                    chains[other] = [*chains[content], hint] if end is not None else []
                    queue.append(other)
            if end in chains:
                break
        return chains


def combine(hints: Sequence[Hint]) -> tuple[Hints, list[Hint]]:
    """Return the hints without contradictions, and those left out; the newest win.

    Of several hints on the same contents only the newest remains, and a hint that contradicts
    newer ones is left out. The result does not depend on the order.
    """
    newest: dict[tuple[str, ...], Hint] = {}
    for hint in sorted(hints, key=_age):
        newest[hint.contents] = hint
    known = _Known()
    accepted = [
        hint for hint in sorted(newest.values(), key=_age, reverse=True) if known.accept(hint)
    ]
    present = set(accepted)
    return Hints(accepted), [hint for hint in dict.fromkeys(hints) if hint not in present]


class _Known:
    """Sets of contents that show the same thing, and the sets from which each differs."""

    def __init__(self) -> None:
        self._labels: dict[str, int] = {}
        self._members: dict[int, list[str]] = {}
        self._apart: dict[int, set[int]] = {}

    def accept(self, hint: Hint) -> bool:
        """Add a hint unless it contradicts those added before; return whether it was added."""
        if hint.verdict == "keep":
            return True
        # The smaller set joins the larger one, so that n hints take n log n steps.
        first, second = sorted(map(self._label, hint.contents), key=self._size)
        if hint.verdict == "different" and first != second:
            self._apart[first].add(second)
            self._apart[second].add(first)
            return True
        if hint.verdict == "different" or second in self._apart[first]:
            return False
        if first != second:
            self._join(first, second)
        return True

    def _join(self, label: int, target: int) -> None:
        members, apart = self._members.pop(label), self._apart.pop(label)
        self._labels |= dict.fromkeys(members, target)
        self._members[target] += members
        self._apart[target] |= apart
        for other in apart:
            self._apart[other].remove(label)
            self._apart[other].add(target)

    def _label(self, content: str) -> int:
        if content not in self._labels:
            label = self._labels[content] = len(self._labels)
            self._members[label], self._apart[label] = [content], set()
        return self._labels[content]

    def _size(self, label: int) -> int:
        return len(self._members[label])


def timestamp(moment: datetime) -> str:
    """Return a moment as hints store it; without a time zone it is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds")


def next_moment(decided: Iterable[str], now: datetime) -> str:
    """Return the time of a new decision: now, or just after the others if the clock was set back.

    Otherwise the last decision would not be the newest. `decided` has the times of the others.
    """
    newest = max(decided, default="")
    moment = timestamp(now)
    if moment > newest:
        return moment
    try:
        return timestamp(datetime.fromisoformat(newest) + timedelta(microseconds=1))
    except OverflowError:
        return newest


def _age(hint: Hint) -> tuple[str, tuple[str, ...], str]:
    """Return a key that orders hints from old to new, never by chance."""
    return hint.decided, hint.contents, hint.verdict


def is_hash(content: object) -> bool:
    """Return whether a value is a SHA-256 in hexadecimal digits."""
    digits = set("0123456789abcdef")
    return isinstance(content, str) and len(content) == HASH_DIGITS and set(content) <= digits
