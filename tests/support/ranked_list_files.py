"""Readers of the ranked lists that `resight.evaluation.benchmark.ranking` writes."""

from pathlib import Path
from urllib.parse import unquote

from resight.evaluation.benchmark.ranking import RankedList


def read_trec(path: Path) -> dict[str, RankedList]:
    """Read the ranked lists of a TREC run, ordered by their ranks."""
    entries: dict[str, list[tuple[int, str, float]]] = {}
    for words in _read_words(path):
        query, _, photo, rank, score, _ = words
        entries.setdefault(query, []).append((int(rank), photo, -float(score)))
    return {
        query: RankedList([p for _, p, _ in sorted(rows)], [d for *_, d in sorted(rows)])
        for query, rows in entries.items()
    }


def read_holidays_ranks(path: Path) -> dict[str, list[str]]:
    """Read ranked lists in the format of Holidays: query to photos."""
    return {
        query: [photo for _, photo in sorted(zip(map(int, rest[::2]), rest[1::2], strict=True))]
        for query, *rest in _read_words(path)
    }


def _read_words(path: Path) -> list[list[str]]:
    lines = path.read_text("utf-8", "surrogateescape").split("\n")
    return [[unquote(word) for word in line.split()] for line in lines if line.strip()]
