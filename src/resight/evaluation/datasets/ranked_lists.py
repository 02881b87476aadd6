"""Write rankings and ground truth for other tools, in the formats of TREC and Holidays.

A TREC run has a line for each photo, `query Q0 photo rank score tag`, ranks from 1; the score is
the negative distance. The Holidays format has a line for each query, `query 0 first 1 second ...`.
Both separate words by spaces, so that a space in a name is written `%20`, and `%` as `%25`.

TREC's ground truth (qrels) has a line for each judged photo, `query 0 photo relevance`. Its scorer
orders photos by score only, and its average precision is the finite sum: the figures differ from
those of the benchmarks, which use trapezoids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from resight.errors import UsageError
from resight.evaluation.datasets.dataset import Dataset
from resight.files import write_errors


@dataclass(frozen=True)
class RankedList:
    """Results of a query: names of photos, nearest first, and their distances."""

    photos: Sequence[str]
    distances: Sequence[float]


def write_trec(lists: Mapping[str, RankedList], target: Path, tag: str) -> None:
    """Write a TREC run; `tag` is its name, in the last column.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = []
    for query, results in lists.items():
        pairs = zip(results.photos, results.distances, strict=True)
        lines += [
            f"{_as_word(query)} Q0 {_as_word(photo)} {rank} {-distance:.9g} {_as_word(tag)}"
            for rank, (photo, distance) in enumerate(pairs, 1)
        ]
    _write(target, lines)


def write_qrels(dataset: Dataset, target: Path, judgement: str = "all") -> None:
    """Write the ground truth of each query: 1 for a positive, -1 for junk, by row.

    A relevance below 0 is TREC's for photos that were not judged. Its scorer counts them as wrong;
    remove them from the run for the benchmark's figures.

    Args:
        dataset: with queries, named as in the run.
        target: the file.
        judgement: the revisited benchmarks have `easy`, `medium` and `hard`, UKB has `first four`.
            Queries without it, or without positives, have no lines.

    Raises:
        UsageError: no query has such a judgement, or the file cannot be written.
    """
    available = sorted({name for query in dataset.queries for name in query.judgements})
    if judgement not in available:
        raise UsageError(f"{judgement}: no judgement of {dataset.name} ({', '.join(available)})")
    lines = []
    for query in dataset.queries:
        judged = query.judgements.get(judgement)
        if judged is None or not judged.positives:
            continue
        relevance = dict.fromkeys(judged.positives, 1) | dict.fromkeys(judged.junk, -1)
        for row, value in sorted(relevance.items()):
            photo = _as_word(dataset.names[row])
            lines.append(f"{_as_word(query.name)} 0 {photo} {value}")
    _write(target, lines)


def write_holidays(lists: Mapping[str, RankedList], target: Path) -> None:
    """Write ranked lists in the format of the Holidays evaluation; see `write_trec`."""
    lines = []
    for query, results in lists.items():
        ranks = (f"{rank} {_as_word(photo)}" for rank, photo in enumerate(results.photos))
        lines.append(" ".join([_as_word(query), *ranks]))
    _write(target, lines)


def _as_word(name: str) -> str:
    """Quote a name to one word, for `urllib.parse.unquote`."""
    return "".join(quote(c, safe="") if c.isspace() or c == "%" else c for c in name)


def _write(target: Path, lines: list[str]) -> None:
    with write_errors(target):
        target.write_text("".join(f"{line}\n" for line in lines), "utf-8", "surrogateescape")
