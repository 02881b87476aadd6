"""Ranked lists for other tools: written and read again."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environment import SHARED
from ranked_list_files import read_holidays_ranks, read_trec
from resight.errors import UsageError
from resight.evaluation.benchmark.ranking import (
    RankedList,
    write_holidays,
    write_qrels,
    write_trec,
)
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.evaluation.measures import Judgement, Measure, judge

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
    path = SHARED / "groundtruth" / "holidays_ranked_top10.txt"
    if not path.is_file():
        pytest.skip("no real ground truth next to the checkout")
    lists = read_holidays_ranks(path)
    assert len(lists) == 500
    # As the official script walks through it, and by ours: the same mean.
    names = (SHARED / "groundtruth" / "holidays_images.dat").read_text().split()
    rows = {name: row for row, name in enumerate(names)}
    official, ours = [], []
    for query, ranked in lists.items():
        right = [name for name in names if name[:4] == query[:4] and name != query]
        area, hits, place = 0.0, 0, 0
        for photo in ranked:
            if photo == query:
                continue
            if photo in right:
                before = 1.0 if place == 0 else hits / place
                area += (before + (hits + 1) / (place + 1)) / 2 / len(right)
                hits += 1
            place += 1
        official.append(area)
        judgement = Judgement(frozenset(rows[name] for name in right), frozenset([rows[query]]))
        row_list = np.array([rows[photo] for photo in ranked])
        ours.append(judge(row_list, judgement, Measure("mAP", "average precision")))
    assert np.mean(official) > 0.5
    assert ours == pytest.approx(official, abs=1e-12)
    assert lists["100000.jpg"][:3] == ["100000.jpg", "100501.jpg", "100400.jpg"]


def test_names_with_spaces(tmp_path: Path) -> None:
    lists = {"my cup.jpg": RankedList(["a b.jpg", "100 %.jpg", "é\u00a0.jpg"], [0.0, 1.0, 2.0])}
    write_trec(lists, tmp_path / "run", "x")
    assert (tmp_path / "run").read_text().startswith("my%20cup.jpg Q0 a%20b.jpg 1 -0 x\n")
    assert read_trec(tmp_path / "run") == lists
    write_holidays(lists, tmp_path / "ranks")
    assert read_holidays_ranks(tmp_path / "ranks") == {
        query: list(hits.photos) for query, hits in lists.items()
    }


WORDS = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() or text.isspace())


@settings(max_examples=40)  # each writes three files
@given(query=WORDS, photos=st.lists(WORDS, min_size=1, unique=True), data=st.data())
def test_all_names_and_distances_are_read_again(
    query: str, photos: list[str], data: st.DataObject
) -> None:
    floats = st.floats(0, 100, width=32)
    distances = sorted(data.draw(st.lists(floats, min_size=len(photos), max_size=len(photos))))
    lists = {query: RankedList(photos, distances)}
    with tempfile.TemporaryDirectory() as folder:
        write_trec(lists, Path(folder, "run"), "a tag")
        write_holidays(lists, Path(folder, "ranks"))
        read = read_trec(Path(folder, "run"))
        assert read_holidays_ranks(Path(folder, "ranks")) == {query: photos}
    assert list(read) == [query]
    assert read[query].photos == photos
    # Nine digits tell all float32 apart.
    assert np.array_equal(np.float32(read[query].distances), np.float32(distances))


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")  # as the file system gives it
    write_trec({"q": RankedList([name], [1.0])}, tmp_path / "run", "x")
    assert read_trec(tmp_path / "run")["q"].photos == [name]


def test_the_ranks_decide_and_not_the_order_of_lines(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("q Q0 b 2 -2 x\n\nr Q0 b 1 -1 x\nq Q0 a 1 -1 x\n")
    assert read_trec(tmp_path / "run")["q"] == RankedList(["a", "b"], [1.0, 2.0])
    (tmp_path / "ranks").write_text("q 1 b 10 c 0 a\n")
    assert read_holidays_ranks(tmp_path / "ranks") == {"q": ["a", "b", "c"]}


# Ground truth


def dataset(**judgements: Judgement) -> Dataset:
    names = ("a.jpg", "b c.jpg", "d.jpg", "q.jpg")
    paths = tuple(Path("/", name) for name in names)
    query = DatasetQuery("q.jpg", paths[3], judgements, row=3)
    empty = DatasetQuery("none", paths[0], {"all": Judgement(frozenset())})
    return Dataset("some", names, paths, (query, empty), (), (4, 2))


def test_qrels(tmp_path: Path) -> None:
    hard = Judgement(frozenset([0]), frozenset([1, 2, 3]))
    truth = dataset(all=Judgement(frozenset([2, 1]), frozenset([3])), hard=hard)
    write_qrels(truth, tmp_path / "all.qrels")
    assert (tmp_path / "all.qrels").read_text().splitlines() == [
        "q.jpg 0 b%20c.jpg 1",
        "q.jpg 0 d.jpg 1",
        "q.jpg 0 q.jpg -1",
    ]
    write_qrels(truth, tmp_path / "hard.qrels", "hard")
    assert (tmp_path / "hard.qrels").read_text().count(" -1\n") == 3
    with pytest.raises(UsageError, match=r"^easy: no judgement of some \(all, hard\)$"):
        write_qrels(truth, tmp_path / "easy.qrels", "easy")


# Errors


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_trec(LISTS, tmp_path / "no" / "run", "x")
