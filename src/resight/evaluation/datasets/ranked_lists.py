"""Rankings for other tools: the TREC run format, and that of Holidays; what is right, for TREC.

TREC: a line a photo, `query Q0 photo rank score tag`, ranks from 1; the score falls from line to
line, so it is the distance with its sign turned. Holidays: a line a query, `query 0 first 1 second
...`, as its evaluation script reads it. Words stand between spaces in both, so that a space in a
name is written as in addresses, `%20`, and `%` itself as `%25`.

What is right, for TREC (qrels): a line a judged photo, `query 0 photo relevance`. TREC's own scorer
orders photos by score alone, and its average precision is the finite sum: its figures differ from
the benchmarks', which are by trapezoids.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from resight.errors import DatasetError, UsageError
from resight.evaluation.datasets.dataset import Dataset
from resight.files import write_errors


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


def write_qrels(dataset: Dataset, target: Path, judgement: str = "all") -> None:
    """Write what is right for each query: 1 for a positive, -1 for junk, by row.

    A relevance below 0 is TREC's for photos that were not judged. Its scorer counts them among the
    wrong ones; whoever wants the benchmark's figures takes them out of the run first.

    Args:
        dataset: with queries, named as in the run.
        target: the file.
        judgement: which; the revisited benchmarks have `easy`, `medium` and `hard`, UKB has
            `first four`. Queries without it, or without positives, have no lines.

    Raises:
        UsageError: no query has such a judgement, or the file cannot be written.
    """
    there = sorted({name for query in dataset.queries for name in query.judgements})
    if judgement not in there:
        raise UsageError(f"{judgement}: no judgement of {dataset.name} ({', '.join(there)})")
    lines = []
    for query in dataset.queries:
        judged = query.judgements.get(judgement)
        if judged is None or not judged.positives:
            continue
        relevance = dict.fromkeys(judged.positives, 1) | dict.fromkeys(judged.junk, -1)
        for row, value in sorted(relevance.items()):
            photo = _without_spaces(dataset.names[row])
            lines.append(f"{_without_spaces(query.name)} 0 {photo} {value}")
    _write(target, lines)


def read_trec(path: Path) -> dict[str, RankedList]:
    """The lists of a TREC run, by rank.

    Raises:
        DatasetError: it is none, or names a photo twice for a query.
    """
    rows: dict[str, list[tuple[int, str, float]]] = {}
    for number, line in _read(path):
        try:
            query, _, photo, rank, score, _ = map(unquote, line.split())
            rows.setdefault(query, []).append((int(rank), photo, -float(score)))
            if math.isnan(float(score)):
                raise ValueError
        except ValueError:
            raise DatasetError(
                f"{path}: line {number} is not `query Q0 photo rank score tag`"
            ) from None
    for query, found in rows.items():
        _check_once(path, query, [photo for _, photo, _ in found])
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
        DatasetError: the file is not in that format, or names a query, or a photo for it, twice.
    """
    lists: dict[str, list[str]] = {}
    for number, line in _read(path):
        query, *rest = map(unquote, line.split())
        ranks, photos = rest[::2], rest[1::2]
        if len(ranks) != len(photos) or not all(rank.isdecimal() for rank in ranks):
            raise DatasetError(f"{path}: line {number} is not `query 0 first 1 second ...`")
        pairs = sorted(zip(map(int, ranks), photos, strict=True))
        if query in lists:
            raise DatasetError(f"{path}: line {number}: the query {query} is twice")
        lists[query] = [photo for _, photo in pairs]
        _check_once(path, query, lists[query])
    return lists


def _check_once(path: Path, query: str, photos: Sequence[str]) -> None:
    for photo, count in Counter(photos).items():
        if count > 1:
            raise DatasetError(f"{path}: {photo} is twice in what was found for {query}")


def _without_spaces(name: str) -> str:
    """A name as one word; `unquote` gives it back."""
    return "".join(quote(c, safe="") if c.isspace() or c == "%" else c for c in name)


def _write(target: Path, lines: list[str]) -> None:
    with write_errors(target):
        target.write_text("".join(f"{line}\n" for line in lines), "utf-8", "surrogateescape")


def _read(path: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, numbered from 1 as an editor does."""
    try:
        lines = path.read_text("utf-8", "surrogateescape").split("\n")
        return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
