"""Ranked lists for other tools: written, read again, and refused where they are malformed."""

from pathlib import Path

import pytest

from conftest import BESIDE
from resight.errors import DatasetError, UsageError
from resight.rankings import (
    RankedList,
    read_holidays_ranks,
    read_trec,
    write_holidays,
    write_trec,
)

LISTS = {
    "q1.jpg": RankedList(["q1.jpg", "b.jpg", "c.jpg"], [0.0, 0.25, 1.5]),
    "q2.jpg": RankedList(["c.jpg"], [0.125]),
}


def test_trec(tmp_path: Path) -> None:
    write_trec(LISTS, tmp_path / "run", "paper")
    assert (tmp_path / "run").read_text().splitlines() == [
        "q1.jpg Q0 q1.jpg 1 -0 paper",
        "q1.jpg Q0 b.jpg 2 -0.25 paper",
        "q1.jpg Q0 c.jpg 3 -1.5 paper",
        "q2.jpg Q0 c.jpg 1 -0.125 paper",
    ]
    assert read_trec(tmp_path / "run") == LISTS


def test_holidays(tmp_path: Path) -> None:
    write_holidays(LISTS, tmp_path / "ranks")
    lines = (tmp_path / "ranks").read_text().splitlines()
    assert lines == ["q1.jpg 0 q1.jpg 1 b.jpg 2 c.jpg", "q2.jpg 0 c.jpg"]
    assert read_holidays_ranks(tmp_path / "ranks") == {
        "q1.jpg": ["q1.jpg", "b.jpg", "c.jpg"],
        "q2.jpg": ["c.jpg"],
    }


@pytest.mark.photos
def test_a_genuine_list() -> None:
    path = BESIDE / "groundtruth" / "holidays_ranked_top10.txt"
    if not path.is_file():
        pytest.skip("no real ground truth beside the checkout")
    lists = read_holidays_ranks(path)
    assert len(lists) == 500
    assert lists["100000.jpg"][:3] == ["100000.jpg", "100501.jpg", "100400.jpg"]


def test_names_with_spaces(tmp_path: Path) -> None:
    lists = {"my cup.jpg": RankedList(["a b.jpg", "100 %.jpg", "é\u00a0.jpg"], [0.0, 1.0, 2.0])}
    write_trec(lists, tmp_path / "run", "x")
    assert (tmp_path / "run").read_text().startswith("my%20cup.jpg Q0 a%20b.jpg 1 -0 x\n")
    assert read_trec(tmp_path / "run") == lists
    write_holidays(lists, tmp_path / "ranks")
    assert read_holidays_ranks(tmp_path / "ranks") == {
        query: list(found.photos) for query, found in lists.items()
    }


@pytest.mark.parametrize("line", ["q 0", "q 0 a b c", "q x a", "q 0 a 1"])
def test_what_is_no_list(line: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"q 0 a\n{line}\n")
    with pytest.raises(DatasetError, match="line 2 is not"):
        read_holidays_ranks(tmp_path / "file")
    (tmp_path / "file").write_text(f"q Q0 a 1 -0.5 x\n{line}\n")
    with pytest.raises(DatasetError, match="line 2 is not"):
        read_trec(tmp_path / "file")


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_trec(LISTS, tmp_path / "no" / "run", "x")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_trec(tmp_path / "none")
