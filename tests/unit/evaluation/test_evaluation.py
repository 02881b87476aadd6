"""Average precision, N-S score and ground truth: hand-counted, and against the oracle."""

import itertools
import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import resight as api
import samples
from environment import Run
from resight.errors import DatasetError
from resight.evaluation.measures import (
    Report,
    TiedRanking,
    average_precision,
    evaluate_groups,
    read_groups,
)

RELEVANCE = st.lists(st.booleans(), min_size=1, max_size=40)


def line(points: Sequence[float]) -> np.ndarray:
    """Distances of points on a line, so that rankings can be read off."""
    values = np.array(points, dtype=float)
    return np.abs(values[:, None] - values)


def evaluate(distances: np.ndarray, groups: dict[str, list[int]]) -> Report:
    return evaluate_groups(groups, lambda query: oracle.rank(list(distances[query])))


# Average precision


@pytest.mark.parametrize(
    ("ranks", "positives", "expected"),
    [
        ([0, 2], 2, (1 + 1) / 4 + (1 / 2 + 2 / 3) / 4),  # 0.7917; the finite sum gives 0.8333
        ([0, 1, 2], 3, 1.0),
        ([0], 1, 1.0),
        ([1], 1, (0 + 1 / 2) / 2),
        ([9], 1, (0 + 1 / 10) / 2),
        ([0], 2, 0.5),  # the other was never found
        ([], 3, 0.0),
        ([1, 2], 2, (0 + 1 / 2) / 4 + (1 / 2 + 2 / 3) / 4),
    ],
)
def test_average_precision_counted_by_hand(
    ranks: list[int], positives: int, expected: float
) -> None:
    assert average_precision(ranks, positives) == pytest.approx(expected, abs=1e-12)
    assert average_precision(np.array(ranks, int), positives) == pytest.approx(expected, abs=1e-12)


@given(relevance=RELEVANCE, missing=st.integers(0, 5))
def test_average_precision_equals_the_oracle(relevance: list[bool], missing: int) -> None:
    positives = sum(relevance) + missing
    ranks = np.flatnonzero(relevance)
    if positives == 0:
        with pytest.raises(DatasetError):
            average_precision(ranks, positives)
        return
    actual = average_precision(ranks, positives)
    assert actual == pytest.approx(oracle.average_precision(relevance, positives), abs=1e-12)
    assert 0 <= actual <= 1


@given(relevance=RELEVANCE)
def test_average_precision_is_one_exactly_for_a_perfect_ranking(relevance: list[bool]) -> None:
    positives = sum(relevance)
    if positives:
        actual = average_precision(np.flatnonzero(relevance), positives)
        assert (actual == 1) == all(relevance[:positives])


@given(relevance=RELEVANCE, place=st.integers(0, 38))
def test_a_positive_moved_up_never_lowers_the_average_precision(
    relevance: list[bool], place: int
) -> None:
    place %= len(relevance)
    better = list(relevance)
    if place and better[place] and not better[place - 1]:
        better[place - 1], better[place] = True, False
    if positives := sum(relevance):
        before, after = (
            average_precision(np.flatnonzero(r), positives) for r in (relevance, better)
        )
        assert after >= before - 1e-12


@pytest.mark.parametrize("positives", [0, -1])
def test_average_precision_without_positives_is_refused(positives: int) -> None:
    with pytest.raises(DatasetError, match="one positive or more"):
        average_precision([], positives)


# Groups


def test_groups_counted_by_hand() -> None:
    # Places of the photos a a b c b, where c is a distractor.
    report = evaluate(line([0, 1, 1.5, 9, 10]), {"a": [0, 1], "b": [2, 4], "c": [3]})
    # a0: 1 2 3 4; a1: 2 0 3 4; b2: 1 0 3 4; b4: 3 2 1 0. One positive each, at rank 0 1 3 1.
    precisions = [1.0, (0 + 1 / 2) / 2, (0 + 1 / 4) / 2, (0 + 1 / 2) / 2]
    assert [q.photo for q in report.queries] == [0, 1, 2, 4]
    assert [q.group for q in report.queries] == ["a", "a", "b", "b"]
    assert [q.average_precision for q in report.queries] == pytest.approx(precisions)
    # With the query: 0 1 2 3; 1 2 0 3; 2 1 0 3; 4 3 2 1.
    assert [q.among_first_four for q in report.queries] == [2, 2, 1, 2]
    assert report.mean_average_precision == pytest.approx(sum(precisions) / 4)
    assert report.ns_score is None  # no group of four
    assert report.by_group() == pytest.approx({"a": 0.625, "b": 0.1875})


def test_the_ns_score_is_only_of_groups_of_four() -> None:
    distances = line([0, 1, 2, 3, 3.4, 11, 12, 13, 50, 60])
    four = {"a": [0, 1, 2, 3], "b": [4, 5, 6, 7]}
    expected = (4 + 4 + 3 + 3 + 1 + 4 + 4 + 4) / 8
    assert evaluate(distances, four).ns_score == expected
    assert evaluate(distances, {**four, "pair": [8, 9]}).ns_score == expected
    assert evaluate(distances, {**four, "single": [8]}).ns_score == expected


def test_a_perfect_ranking_is_perfect() -> None:
    distances = line([0, 1, 2, 3, 100, 101, 102, 103, 1000])
    report = evaluate(distances, {"a": [0, 1, 2, 3], "b": [4, 5, 6, 7], "single": [8]})
    assert report.mean_average_precision == 1.0
    assert report.ns_score == 4.0
    assert report.by_group() == {"a": 1.0, "b": 1.0}


@given(
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    positive=st.lists(st.booleans(), min_size=12, max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_ties_are_the_mean_over_all_orders(sizes: list[int], positive: list[bool]) -> None:
    ids = np.arange(sum(sizes))
    positives = frozenset(id_ for id_ in ids.tolist() if positive[id_]) or frozenset([0])
    tied = [list(block) for block in np.split(ids, np.cumsum(sizes)[:-1])]
    orders = [
        list(itertools.chain(*blocks))
        for blocks in itertools.product(*(itertools.permutations(block) for block in tied))
    ]
    ranking = TiedRanking(ids, np.repeat(np.arange(len(sizes)), sizes))
    expected = np.mean(
        [
            average_precision(
                [i for i, id_ in enumerate(order) if id_ in positives], len(positives)
            )
            for order in orders
        ]
    )
    assert ranking.average_precision(positives) == pytest.approx(expected, abs=1e-12)
    first = np.mean([len(positives.intersection(order[:4])) for order in orders])
    assert ranking.among_first(4, positives) == pytest.approx(first, abs=1e-12)


def test_groups_that_lack_photos_do_not_count_for_the_ns_score() -> None:
    distances = line([0, 1, 2, 3, 3.4, 11, 12, 13, 50, 60])
    groups = {"a": [0, 1, 2, 3], "b": [4, 5, 6, 7]}
    report = evaluate_groups(
        groups, lambda query: oracle.rank(list(distances[query])), incomplete={"b"}
    )
    assert (report.ns_score, report.ns_groups) == ((4 + 4 + 3 + 3) / 4, 1)
    assert len(report.queries) == 8


@pytest.mark.parametrize("prefix", ["0", "z"])
def test_names_of_identical_photos_do_not_matter(tmp_path: Path, prefix: str) -> None:
    paths = samples.draw_many(tmp_path / "photos", 4)
    for number in range(3):  # copies of a photo of another group
        shutil.copy(paths[2], tmp_path / "photos" / f"{prefix}_{number}.png")
    groups = {"a": ["000.png", "001.png"], "b": ["002.png", f"{prefix}_1.png"]}
    (tmp_path / "photos" / "groups.json").write_text(json.dumps(groups))
    samples.index(tmp_path / "photos", tmp_path / "c")
    for decide in (False, True):
        evaluation = api.evaluate(tmp_path / "photos", tmp_path / "c", decide=decide)
        by_group = evaluation.report.by_group()
        # The positive is at place 0, 1 or 2 among three copies of the query.
        expected = (1 + (0 + 1 / 2) / 2 + (0 + 1 / 3) / 2) / 3
        assert by_group["b"] == pytest.approx(expected)


def test_missing_photos_are_said_or_refused(tmp_path: Path, resight: Run) -> None:
    paths = samples.draw_many(tmp_path / "photos", 9)
    names = [path.name for path in paths]
    truth = {"a": names[:4], "b": names[4:8], "c": [*names[8:], "gone.png"]}
    (tmp_path / "photos" / "groups.json").write_text(json.dumps(truth))
    paths[7].unlink()
    samples.index(tmp_path / "photos", tmp_path / "c")
    command = ("evaluate", tmp_path / "photos", "-c", tmp_path / "c", "--no-decide")
    done = resight(*command)
    assert done.returncode == 0
    assert "the N-S score leaves out 1 group of four with missing photos" in done.stderr
    assert json.loads(resight(*command, "--json").stdout)["incomplete_fours"] == 1
    refused = resight(*command, "--strict")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "2 of its photos are not in" in refused.stderr


def test_photos_of_no_group_are_distractors() -> None:
    with_stranger = evaluate(line([0, 1, 0.5]), {"a": [0, 1]})
    assert with_stranger.mean_average_precision == pytest.approx(0.25)
    assert evaluate(line([0, 1, 7]), {"a": [0, 1]}).mean_average_precision == 1.0


def test_an_unranked_group_member_counts_as_missed() -> None:
    report = evaluate_groups({"a": [0, 1, 2]}, lambda query: [query, (query + 1) % 3])
    assert report.mean_average_precision == pytest.approx(0.5)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_random_rankings_score_as_by_the_oracle(seed: int) -> None:
    generator = random.Random(seed)
    sizes = [generator.randint(1, 6) for _ in range(generator.randint(1, 6))] + [4, 4]
    photos = iter(generator.sample(range(sum(sizes)), sum(sizes)))
    groups = [[next(photos) for _ in range(size)] for size in sizes]
    # Few different values, so that ties abound.
    matrix = [[generator.randint(0, 6) for _ in range(sum(sizes))] for _ in range(sum(sizes))]
    distances = np.array(matrix, dtype=float)
    np.fill_diagonal(distances, -1)
    report = evaluate(distances, {str(i): group for i, group in enumerate(groups)})
    assert report.mean_average_precision == pytest.approx(
        oracle.mean_average_precision(distances, groups), abs=1e-12
    )
    four = [group for group in groups if len(group) == 4]
    assert report.ns_score == pytest.approx(oracle.ns_score(distances, four), abs=1e-12)


@pytest.mark.parametrize("groups", [{}, {"a": [0]}, {"a": [0], "b": [1], "c": []}])
def test_nothing_to_evaluate_is_refused(groups: dict[str, list[int]]) -> None:
    with pytest.raises(DatasetError, match="no group has two photos or more"):
        evaluate(line([0, 1]), groups)


# groups.json


def write(folder: Path, text: str) -> Path:
    path = folder / "groups.json"
    path.write_text(text, "utf-8")
    return path


def test_paths_are_relative_to_the_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, json.dumps({"tower": ["a.jpg", "sub/ü b.JPG"], "alone": ["c.png"]}))
    expected = {
        "tower": [tmp_path / "a.jpg", tmp_path / "sub" / "ü b.JPG"],
        "alone": [tmp_path / "c.png"],
    }
    assert read_groups(path) == read_groups(tmp_path) == expected
    monkeypatch.chdir(tmp_path)
    assert read_groups(Path("groups.json")) == expected


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    photo = tmp_path / "elsewhere" / "a.jpg"
    (tmp_path / "sub").mkdir()
    path = write(tmp_path / "sub", json.dumps({"a": [str(photo)]}))
    assert read_groups(path) == {"a": [photo]}


@pytest.mark.parametrize(
    "text",
    ["[]", "3", "null", '"a"', '{"a": "b.jpg"}', '{"a": [1]}', '{"a": {"b": "c"}}', '{"a": null}'],
)
def test_another_form_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"groups\.json: expected \{group: \[paths\]\}$"):
        read_groups(write(tmp_path, text))


@pytest.mark.parametrize("text", ["", "{", "{'a': []}", "\ufeff", "not json\nat all"])
def test_invalid_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"groups\.json: not JSON: ") as caught:
        read_groups(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_mark_before_the_text_is_no_part_of_it(tmp_path: Path) -> None:
    assert read_groups(write(tmp_path, '\ufeff{"a": ["b.jpg"]}')) == {"a": [tmp_path / "b.jpg"]}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "[" * 100_000])
def test_lists_in_lists_without_end_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"groups\.json: nested too deeply; expected \{group"):
        read_groups(write(tmp_path, text))


@pytest.mark.parametrize("name", ["\ud800x.jpg", "sub/\udc00.jpg", "x\0.jpg"])
def test_impossible_names_are_refused(name: str, tmp_path: Path) -> None:
    for groups in ({"a": ["y.jpg", name]}, {name: ["y.jpg"]}):
        with pytest.raises(
            DatasetError, match=r"groups\.json: '.*' \(in '.*'\) is not a valid name"
        ) as error:
            read_groups(write(tmp_path, json.dumps(groups)))
        assert str(error.value).isprintable(), "one line, that can be written anywhere"


def test_names_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    photo = tmp_path / os.fsdecode(b"\xff.jpg")
    groups = read_groups(write(tmp_path, json.dumps({"a": [photo.name]})))
    assert groups == {"a": [photo]}
    assert os.fsencode(groups["a"][0]).endswith(b"/\xff.jpg")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_bytes(b'{"\xff": []}')
    with pytest.raises(DatasetError, match="not JSON"):
        read_groups(tmp_path / "groups.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.json: No such file or directory$"):
        read_groups(tmp_path / "nothing.json")
    with pytest.raises(DatasetError, match=r"groups\.json: No such file or directory$"):
        read_groups(tmp_path)


@pytest.mark.parametrize(
    "groups",
    [
        {"a": ["x.jpg"], "b": ["x.jpg"]},
        {"a": ["y.jpg"], "b": ["x.jpg", "./x.jpg"]},
        {"a": ["y.jpg"], "b": ["x.jpg", "sub/../x.jpg"]},
    ],
)
def test_a_duplicate_photo_is_refused(groups: dict[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"x\.jpg appears twice \(in 'b'\)"):
        read_groups(write(tmp_path, json.dumps(groups)))


@pytest.mark.parametrize(
    "text", ['{"b": ["x.jpg"], "b": ["y.jpg"]}', '{"b": ["x.jpg"], "a": [], "b": ["x.jpg"]}']
)
def test_a_duplicate_group_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"groups\.json: the group 'b' appears twice$"):
        read_groups(write(tmp_path, text))


def test_a_duplicate_absolute_path_is_refused(tmp_path: Path) -> None:
    photo = str(tmp_path.parent / "x.jpg")
    with pytest.raises(DatasetError, match=r"x\.jpg appears twice \(in 'b'\)"):
        read_groups(write(tmp_path, json.dumps({"a": [photo], "b": [photo]})))


def test_an_empty_file_of_groups_holds_none(tmp_path: Path) -> None:
    assert read_groups(write(tmp_path, "{}")) == {}
