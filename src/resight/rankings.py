"""Rankings for other tools: the TREC run format, and that of Holidays.

TREC: a line a photo, `query Q0 photo rank score tag`, ranks from 1; the score falls from line to
line, so it is the distance with its sign turned. Holidays: a line a query, `query 0 first 1 second
...`, as its evaluation script reads it. In both, spaces in names are written as `%20`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from resight.errors import DatasetError, UsageError


@dataclass(frozen=True)
class RankedList:
    """What was found for a query: names of photos, nearest first, and their distances."""

    photos: Sequence[str]
    distances: Sequence[float]


def write_trec(lists: Mapping[str, RankedList], target: Path, tag: str) -> None:
    """Write a TREC run.

    Args:
        lists: query to what was found.
        target: the file.
        tag: name of the run, in the last column.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = []
    for query, found in lists.items():
        pairs = zip(found.photos, found.distances, strict=True)
        for rank, (photo, distance) in enumerate(pairs, 1):
            names = _without_spaces(query), _without_spaces(photo), _without_spaces(tag)
            lines.append(f"{names[0]} Q0 {names[1]} {rank} {-distance:.9g} {names[2]}")
    _write(target, lines)


def read_trec(path: Path) -> dict[str, RankedList]:
    """The lists of a TREC run, by rank.

    Raises:
        DatasetError: it is none.
    """
    rows: dict[str, list[tuple[int, str, float]]] = {}
    for number, line in enumerate(_read(path), 1):
        try:
            query, _, photo, rank, score, _ = line.split()
            found = int(rank), unquote(photo), -float(score)
            rows.setdefault(unquote(query), []).append(found)
        except ValueError:
            raise DatasetError(
                f"{path}: line {number} is not `query Q0 photo rank score tag`"
            ) from None
    return {
        query: RankedList([p for _, p, _ in sorted(found)], [d for _, _, d in sorted(found)])
        for query, found in rows.items()
    }


def write_holidays(lists: Mapping[str, RankedList], target: Path) -> None:
    """Write ranked lists in the format of the Holidays evaluation; see `write_trec`."""
    lines = []
    for query, found in lists.items():
        photos = map(_without_spaces, found.photos)
        ranks = " ".join(f"{rank} {photo}" for rank, photo in enumerate(photos))
        lines.append(f"{_without_spaces(query)} {ranks}")
    _write(target, lines)


def read_holidays_ranks(path: Path) -> dict[str, list[str]]:
    """Query to what was found, in the order of the ranks.

    Raises:
        DatasetError: the file is not in that format.
    """
    lists = {}
    for number, line in enumerate(_read(path), 1):
        query, *rest = line.split()
        ranks, photos = rest[::2], rest[1::2]
        if len(ranks) != len(photos) or not all(rank.isdigit() for rank in ranks):
            raise DatasetError(f"{path}: line {number} is not `query 0 first 1 second ...`")
        pairs = sorted(zip(map(int, ranks), photos, strict=True))
        lists[unquote(query)] = [unquote(photo) for _, photo in pairs]
    return lists


def _without_spaces(name: str) -> str:
    return "".join(quote(c) if c.isspace() or c == "%" else c for c in name)


def _write(target: Path, lines: list[str]) -> None:
    try:
        target.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None


def _read(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
