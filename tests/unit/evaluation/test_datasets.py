"""Benchmarks in their usual layouts, their ground truth, and errors."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from environment import SHARED
from resight.errors import DatasetError
from resight.evaluation.datasets import (
    BENCHMARKS,
    parse_dataset,
    read_dataset,
    verify_dataset,
)
from resight.evaluation.datasets.landmarks import UNREADABLE, box_of, convert_to_json, read_plain
from samples import draw


@pytest.fixture
def holidays(tmp_path: Path) -> Path:
    """Draw two groups in two folders, and one photo that is in no group."""
    for seed, name in enumerate(("jpg1/100000", "jpg1/100001", "jpg2/100100", "jpg2/100101")):
        draw(tmp_path / "holidays" / f"{name}.jpg", seed)
    draw(tmp_path / "holidays/jpg2/100102.jpg", 9)
    return tmp_path / "holidays"


def test_holidays(holidays: Path) -> None:
    dataset = read_dataset("holidays", holidays)
    assert dataset.names == ("100000.jpg", "100001.jpg", "100100.jpg", "100101.jpg", "100102.jpg")
    first, second = dataset.queries
    assert (first.name, first.row, first.judgements["all"].positives) == ("100000.jpg", 0, {1})
    assert (second.judgements["all"].positives, second.judgements["all"].junk) == ({3, 4}, {2})
    assert not dataset.missing


def test_holidays_without_queries_in_the_database(holidays: Path) -> None:
    dataset = read_dataset("holidays", holidays, {"database": "others"})
    assert dataset.names == ("100001.jpg", "100101.jpg", "100102.jpg")
    assert [query.row for query in dataset.queries] == [None, None]
    assert dataset.queries[1].judgements["all"].positives == {1, 2}
    assert dataset.switches["ranked"] == "photos that are not queries"


def test_missing_photos_by_the_official_list(holidays: Path) -> None:
    listed = ["100000", "100001", "100002", "100100", "100101", "100200", "100201"]
    text = "".join(f"{name}.jpg\n" for name in listed)
    (holidays / "holidays_images.dat").write_text(text)
    dataset = read_dataset("holidays", holidays)
    assert dataset.missing == ("100002.jpg", "100200.jpg", "100201.jpg")
    assert dataset.names == ("100000.jpg", "100001.jpg", "100100.jpg", "100101.jpg")
    assert dataset.effect_of_missing() == (
        "4 photos and 2 queries where the benchmark has 1491 and 500 (missing: 100002.jpg, "
        "100200.jpg, 100201.jpg): what is missing is neither query nor positive nor ranked, so the "
        "figures are not the benchmark's"
    )


def test_missing_photos_without_a_list(holidays: Path) -> None:
    dataset = read_dataset("holidays", holidays)
    assert dataset.missing == ()
    assert "5 photos and 2 queries where the benchmark has 1491 and 500:" in str(
        dataset.effect_of_missing()
    )


def test_a_complete_benchmark_misses_nothing(tmp_path: Path) -> None:
    draw(tmp_path / "cup" / "1.png", 0)
    draw(tmp_path / "cup" / "2.png", 1)
    assert read_dataset("groups", tmp_path).effect_of_missing() is None


@pytest.mark.parametrize(
    ("name", "switches", "official"),
    [
        ("holidays", {}, (1491, 500)),
        ("holidays", {"database": "others"}, (991, 500)),
        ("ukb", {}, (10200, 10200)),
        ("ukb", {"queries": "first"}, (10200, 2550)),
    ],
)
def test_official_sizes(
    name: str, switches: dict[str, str], official: tuple[int, int], holidays: Path
) -> None:
    for number in range(4):
        draw(holidays / f"ukbench{number:05d}.jpg", number)
    assert read_dataset(name, holidays, switches).official == official


def test_holidays_upright(holidays: Path) -> None:
    (holidays / "turns.txt").write_text(
        "100001.jpg 90\n\n100100 270\n100101.jpg 0\n149900.jpg 90\n"
    )
    dataset = read_dataset("holidays", holidays, {"upright": str(holidays / "turns.txt")})
    assert dataset.turns == {
        holidays / "jpg1" / "100001.jpg": 90,
        holidays / "jpg2" / "100100.jpg": 270,
    }
    assert dataset.switches["orientation"] == (
        "2 photos rotated, 1 unknown names in the file (149900)"
    )
    as_shot = read_dataset("holidays", holidays)
    assert (as_shot.turns, as_shot.switches["orientation"]) == ({}, "as shot")


@pytest.mark.parametrize("database", ["all", "others"])
def test_rotations_of_unknown_photos_are_reported(database: str, holidays: Path) -> None:
    def orientation(*lines: str) -> str:
        (holidays / "turns.txt").write_text("\n".join(lines), "utf-8-sig")
        switches = {"database": database, "upright": str(holidays / "turns.txt")}
        return read_dataset("holidays", holidays, switches).switches["orientation"]

    there = ("100000.jpg 90", "100001.jpg 180")
    assert orientation(*there) == "2 photos rotated", "queries too, and after a byte order mark"
    assert orientation(*there, "3.jpg 0", "2 90") == (
        "2 photos rotated, 2 unknown names in the file (2, 3)"
    )
    assert orientation("4.jpg 90", "3.jpg 90", "2.jpg 90", "1.jpg 90") == (
        "0 photos rotated, 4 unknown names in the file (1, 2, 3, ...)"
    )


@pytest.mark.parametrize("line", ["100000.jpg", "100000.jpg 45", "100000.jpg 90 1", "a b.jpg 90"])
def test_invalid_rotations(line: str, holidays: Path) -> None:
    (holidays / "turns.txt").write_text(f"100001.jpg 90\n{line}\n")
    with pytest.raises(DatasetError, match=r"turns.txt: line 2 is not like `100000.jpg 90`$"):
        read_dataset("holidays", holidays, {"upright": str(holidays / "turns.txt")})
    (holidays / "turns.txt").write_text("100001.jpg 90\n100001.jpg 0\n")
    with pytest.raises(DatasetError, match=r"turns.txt: line 2: 100001.jpg appears twice$"):
        read_dataset("holidays", holidays, {"upright": str(holidays / "turns.txt")})
    (holidays / "turns.txt").write_bytes(b"\xff")
    with pytest.raises(DatasetError, match=r"turns.txt: cannot be read: not a text$"):
        read_dataset("holidays", holidays, {"upright": str(holidays / "turns.txt")})
    with pytest.raises(DatasetError, match=r"none: cannot be read: No such file"):
        read_dataset("holidays", holidays, {"upright": str(holidays / "none")})


def test_photos_as_shot_and_upright_in_one_folder(holidays: Path) -> None:
    draw(holidays / "jpg_rotated" / "100001.jpg", 5)
    with pytest.raises(DatasetError, match=r"jpg1 and in .*; name one of these folders"):
        read_dataset("holidays", holidays)


def test_ukb(tmp_path: Path) -> None:
    for number in (0, 1, 2, 3, 4, 6):
        draw(tmp_path / "full" / f"ukbench{number:05d}.jpg", number)
    dataset = read_dataset("ukb", tmp_path)
    assert len(dataset.queries) == len(dataset.names) == 6
    assert dataset.queries[1].judgements["first four"].positives == {0, 1, 2, 3}
    assert dataset.queries[5].judgements["first four"].positives == {4, 5}
    assert len(dataset.missing) == 10194
    first = read_dataset("ukb", tmp_path, {"queries": "first"})
    assert [query.name for query in first.queries] == ["ukbench00000", "ukbench00004"]


@pytest.fixture
def oxford(tmp_path: Path) -> Path:
    """Four photos and the official text files of one query."""
    folder = tmp_path / "oxford"
    for seed, name in enumerate(("all_souls_000013", "all_souls_000026", "bodleian_1", "x_2")):
        draw(folder / "jpg" / f"{name}.jpg", seed)
    truth = {
        "query": "oxc1_all_souls_000013 10.4 20.5 60.6 80.0\n",
        "good": "all_souls_000013\n",
        "ok": "all_souls_000026\nall_souls_000099\n",
        "junk": "x_2\n",
    }
    (folder / "gt").mkdir()
    for kind, text in truth.items():
        (folder / "gt" / f"all_souls_1_{kind}.txt").write_text(text)
    return folder


def test_oxford_from_its_text_files(oxford: Path) -> None:
    dataset = read_dataset("oxford5k", oxford)
    (query,) = dataset.queries
    assert query.name == "all_souls_000013"
    assert query.box == (10, 20, 51, 60)
    assert query.judgements["all"].positives == {0, 1}, "the query itself counts, missing ones not"
    assert query.judgements["all"].junk == {3}
    assert dataset.missing == ("all_souls_000099",), "listed as right, and not on the disk"
    assert read_dataset("oxford5k", oxford, {"query": "full"}).queries[0].box is None


@pytest.mark.parametrize(
    "text", ["", "oxc1_all_souls_000013 1 2 3", "oxc1_all_souls_000013 1 2 3 inf", "a b c d e"]
)
def test_a_query_file_of_another_form(text: str, oxford: Path) -> None:
    (oxford / "gt" / "all_souls_1_query.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"_query\.txt: not the official ground truth"):
        read_dataset("oxford5k", oxford)


@pytest.mark.parametrize("place", [".", "gt_files"])
def test_text_files_next_to_the_photos(place: str, oxford: Path) -> None:
    truth = read_dataset("oxford5k", oxford)
    in_parent = oxford.parent / place
    in_parent.mkdir(exist_ok=True)
    for path in (oxford / "gt").iterdir():
        path.rename(in_parent / path.name)
    assert read_dataset("oxford5k", oxford) == truth


def test_a_missing_list(oxford: Path) -> None:
    (oxford / "gt" / "all_souls_1_junk.txt").unlink()
    with pytest.raises(
        DatasetError, match=r"_query\.txt: not the official .*No such file"
    ) as message:
        read_dataset("oxford5k", oxford)
    assert "\n" not in str(message.value)


def test_oxford_and_paris_in_one_folder(oxford: Path) -> None:
    names = ("paris_louvre_000001", "paris_louvre_000002", "paris_louvre_000136")
    for seed, name in enumerate(names):
        draw(oxford / "paris" / "louvre" / f"{name}.jpg", seed)
    for kind, text in (
        ("query", f"{names[0]} 1 2 30 40\n"),
        ("good", f"{names[0]}\n{names[1]}\n"),
        ("ok", f"{names[2]}\n"),
        ("junk", ""),
    ):
        (oxford / "gt" / f"louvre_1_{kind}.txt").write_text(text)
    assert [query.name for query in read_dataset("oxford5k", oxford).queries] == [
        "all_souls_000013"
    ]
    paris = read_dataset("paris6k", oxford)
    assert paris.names == names[:2], "the third is no photo in the official archive"
    assert paris.missing == ()
    assert [query.name for query in paris.queries] == [names[0]]
    assert paris.queries[0].judgements["all"].positives == {0, 1}


def test_the_ground_truth_of_the_other_benchmark_is_none(oxford: Path) -> None:
    with pytest.raises(DatasetError, match="no ground truth of paris6k: put the official text"):
        read_dataset("paris6k", oxford)


def test_twenty_files_of_paris_are_no_photos() -> None:
    assert len(UNREADABLE) == 6412 - 6392


def classic(names: list[str], box: Any = (1, 2, 31.4, 42), **lists: list[int]) -> dict[str, Any]:
    return {"imlist": names, "qimlist": ["q_1"], "gnd": [{"bbx": box, **lists}]}


@pytest.mark.parametrize("suffix", ["pkl", "json"])
@pytest.mark.parametrize("in_parent", [True, False])
def test_the_usual_pickle(tmp_path: Path, suffix: str, in_parent: bool) -> None:
    for seed, name in enumerate(("a", "b", "c", "q_1")):
        draw(tmp_path / "paris" / f"{name}.jpg", seed)
    content = classic(["a", "b", "c", "d"], ok=[0, 3], junk=[1])
    file = (tmp_path if in_parent else tmp_path / "paris") / f"gnd_paris6k.{suffix}"
    file.write_bytes(pickle.dumps(content) if suffix == "pkl" else json.dumps(content).encode())
    dataset = read_dataset("paris6k", tmp_path / "paris")
    assert dataset.names == ("a", "b", "c")
    assert dataset.missing == ("d",)
    (query,) = dataset.queries
    assert (query.row, query.box, query.path.name) == (None, (1, 2, 30, 40), "q_1.jpg")
    assert (query.judgements["all"].positives, query.judgements["all"].junk) == ({0}, {1})


def test_revisited(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "c", "d", "q_1")):
        draw(tmp_path / f"{name}.jpg", seed)
    content = classic(["a", "b", "c", "d"], easy=[0], hard=[1], junk=[2])
    (tmp_path / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(content))
    dataset = read_dataset("roxford5k", tmp_path)
    judgements = dataset.queries[0].judgements
    assert (judgements["easy"].positives, judgements["easy"].junk) == ({0}, {1, 2})
    assert (judgements["medium"].positives, judgements["medium"].junk) == ({0, 1}, {2})
    assert (judgements["hard"].positives, judgements["hard"].junk) == ({1}, {0, 2})
    assert dataset.missing == ()
    names = [measure.name for measure in dataset.measures]
    assert names[:3] == ["mAP medium", "mAP hard", "mAP easy"]
    assert "mP@10 hard" in names


def test_a_query_without_its_photo_is_reported(tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b", "q_1")):
        draw(tmp_path / f"{name}.jpg", seed)
    content = classic(["a", "b"], easy=[0], hard=[1], junk=[])
    content["qimlist"].append("q_2")
    content["gnd"] *= 2
    (tmp_path / "gnd_rparis6k.pkl").write_bytes(pickle.dumps(content))
    dataset = read_dataset("rparis6k", tmp_path)
    assert [query.name for query in dataset.queries] == ["q_1"]
    assert dataset.missing == ("q_2",)
    assert "2 photos and 1 queries where the benchmark has 6322 and 70" in str(
        dataset.effect_of_missing()
    )


def test_folders_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, name in enumerate(("cup/1", "cup/2", "hat/1", "hat/2", "hat/3", "hat/4", "one/1")):
        draw(tmp_path / "p" / f"{name}.png", seed)
    dataset = read_dataset("groups", tmp_path / "p")
    assert len(dataset.names) == 7
    assert [query.name for query in dataset.queries] == list(dataset.names[:6])
    assert [measure.name for measure in dataset.measures] == ["mAP", "N-S"]
    assert "first four" not in dataset.queries[0].judgements, "two photos are no group of four"
    assert len({query.name for query in dataset.queries}) == 6, "1.png is in several folders"
    groups = {"cup": ["cup/1.png", "cup/2.png", "cup/3.png"], "hat": ["hat/1.png"]}
    (tmp_path / "p" / "groups.json").write_text(json.dumps(groups))
    named = read_dataset("groups", tmp_path / "p")
    assert named.names == ("cup/1.png", "cup/2.png", "hat/1.png")
    assert named.missing == ("cup/3.png",)
    assert named.official == (4, 3)
    monkeypatch.chdir(tmp_path / "p" / "cup")
    for place in ("..", "../../p/groups.json"):
        assert read_dataset("groups", Path(place)).names == named.names


def test_boxes_are_whole_pixels() -> None:
    assert box_of((136.5, 34.1, 648.5, 955.7)) == (136, 34, 512, 922)
    assert box_of((-3, 0, 5, 0.2)) == (0, 0, 5, 1)


BOXES = [
    [500, 400, 10, 10],
    [0, 0, 0, 0],
    [10, 10, 10, 20],
    [10, 20, 20, 10],
    [-9, -9, -1, -1],  # would be cut to the first pixel
    [-9, 5, 0, 9],
    [5, -9, 9, -1],
    [1e300, 0, 1e308, 1],
    [0, 0, 5, 1_000_000.5],
    [-1_000_001, 0, 5, 5],
    [0, 0, float("nan"), 5],
    [0, 0, float("inf"), 5],
]


@pytest.mark.parametrize("box", BOXES)
def test_a_box_that_no_photo_has(box: list[float], oxford: Path, tmp_path: Path) -> None:
    corners = " ".join(map(str, box))
    (oxford / "gt" / "all_souls_1_query.txt").write_text(f"oxc1_all_souls_000013 {corners}")
    for query in ("crop", "full"):
        with pytest.raises(
            DatasetError, match=r"_query\.txt: .* the box of the query all_souls_000013 \("
        ):
            read_dataset("oxford5k", oxford, {"query": query})
    content = classic(["bodleian_1"], box, ok=[0], junk=[])
    (tmp_path / "gnd_paris6k.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"gnd_paris6k\.json: .* the box of the query q_1 \("):
        read_dataset("paris6k", oxford)


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ([-3, -2, 31.4, 42], (0, 0, 31, 42)),
        ([0, 0, 0.2, 0.2], (0, 0, 1, 1)),
        ([5, 6, 1e6, 1e6], (5, 6, 999_995, 999_994)),
    ],
)
def test_a_box_a_little_outside_is_one(
    box: list[float], cut: tuple[int, ...], tmp_path: Path
) -> None:
    for seed, name in enumerate(("a", "q_1")):
        draw(tmp_path / f"{name}.jpg", seed)
    content = classic(["a"], box, ok=[0], junk=[])
    (tmp_path / "gnd_paris6k.json").write_text(json.dumps(content))
    assert read_dataset("paris6k", tmp_path).queries[0].box == cut


def test_a_duplicate_query_is_refused(oxford: Path, tmp_path: Path) -> None:
    content = classic(["bodleian_1", "x_2"], ok=[0], junk=[])
    content |= {"qimlist": ["x_2", "x_2"], "gnd": content["gnd"] * 2}
    file = tmp_path / "gnd_paris6k.json"
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"gnd_paris6k\.json: the query x_2 appears twice"):
        read_dataset("paris6k", oxford)
    content["gnd"] = [content["gnd"][0], {**content["gnd"][1], "bbx": [1, 2, 33, 42]}]
    file.write_text(json.dumps(content))
    assert len(read_dataset("paris6k", oxford).queries) == 2, "another box is another query"
    for path in list((oxford / "gt").iterdir()):
        (oxford / "gt" / f"copy_of_{path.name}").write_bytes(path.read_bytes())
    with pytest.raises(DatasetError, match=r"oxford: the query all_souls_000013 appears twice"):
        read_dataset("oxford5k", oxford)


@pytest.mark.parametrize(
    ("name", "lists", "both"),
    [
        ("paris6k", {"ok": [0, 1], "junk": [2, 1]}, "ok and junk"),
        ("rparis6k", {"easy": [0, 1], "hard": [2], "junk": [1]}, "easy and junk"),
        ("rparis6k", {"easy": [0], "hard": [1, 2], "junk": [1]}, "hard and junk"),
        ("rparis6k", {"easy": [0, 1], "hard": [1, 2], "junk": []}, "easy and hard"),
    ],
)
def test_a_photo_on_two_lists_is_refused(
    name: str, lists: dict[str, list[int]], both: str, tmp_path: Path
) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / f"gnd_{name}.pkl").write_bytes(pickle.dumps(classic(["a", "b", "c"], **lists)))
    with pytest.raises(
        DatasetError, match=rf"gnd_{name}\.pkl: .* the photo b is both {both} of the query q_1$"
    ):
        read_dataset(name, tmp_path)


def test_a_photo_on_two_lists_of_the_text_files_is_refused(oxford: Path) -> None:
    (oxford / "gt" / "all_souls_1_ok.txt").write_text("all_souls_000013\n")
    assert read_dataset("oxford5k", oxford).queries, "good and ok are the same"
    (oxford / "gt" / "all_souls_1_junk.txt").write_text("all_souls_000013\n")
    with pytest.raises(
        DatasetError, match=r"_query\.txt: .* all_souls_000013 is both ok and junk of the query"
    ):
        read_dataset("oxford5k", oxford)


# Real ground truth

TRUTH = SHARED / "groundtruth"


@pytest.mark.photos
@pytest.mark.skipif(not TRUTH.is_dir(), reason="no real ground truth next to the checkout")
def test_the_genuine_files(tmp_path: Path) -> None:
    for name, photos in (("oxford5k", 5063), ("paris6k", 6392)):
        content = read_plain(TRUTH / f"gnd_{name}.pkl")
        assert (len(content["imlist"]), len(content["qimlist"])) == (photos, 55)
        convert_to_json(TRUTH / f"gnd_{name}.pkl", tmp_path / f"{name}.json")
        assert read_plain(tmp_path / f"{name}.json") == content
    photos = SHARED / "photos" / "benchmark-samples" / "oxford5k"
    (tmp_path / "gnd_oxford5k.pkl").write_bytes((TRUTH / "gnd_oxford5k.pkl").read_bytes())
    (tmp_path / "oxford").symlink_to(photos)
    dataset = read_dataset("oxford5k", tmp_path / "oxford")
    assert len(dataset.names) == 10
    assert len(dataset.missing) == 5053
    assert dataset.queries
    assert all(query.box is not None for query in dataset.queries)


@pytest.mark.photos
@pytest.mark.skipif(not TRUTH.is_dir(), reason="no real ground truth next to the checkout")
@pytest.mark.parametrize(("name", "photos"), [("oxford5k", 5063), ("paris6k", 6412)])
def test_both_layouts_are_the_same_benchmark(name: str, photos: int, tmp_path: Path) -> None:
    content = read_plain(TRUTH / f"gnd_{name}.pkl")
    images, extra = content["imlist"], sorted(UNREADABLE) if name == "paris6k" else []
    for photo in [*images, *extra]:  # contents are not read
        place = tmp_path / "texts" / "photos" / (photo.split("_")[1] if extra else "")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{photo}.jpg").touch()
    for number, (query, truth) in enumerate(zip(content["qimlist"], content["gnd"], strict=True)):
        shown = query if extra else f"oxc1_{query}"
        half = len(truth["ok"]) // 2
        for kind, text in (
            ("query", f"{shown} {' '.join(map(str, truth['bbx']))}\n"),
            ("good", "".join(f"{images[row]}\n" for row in truth["ok"][:half])),
            ("ok", "".join(f"{images[row]}\n" for row in truth["ok"][half:])),
            ("junk", "".join(f"{images[row]}\n" for row in truth["junk"])),
        ):
            (tmp_path / "texts" / f"{number:02}_{kind}.txt").write_text(text)
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "photos").symlink_to(tmp_path / "texts" / "photos")
    (tmp_path / "pickle" / f"gnd_{name}.pkl").symlink_to(TRUTH / f"gnd_{name}.pkl")

    def by_name(folder: str) -> list[Any]:
        dataset = read_dataset(name, tmp_path / folder)
        assert dataset.effect_of_missing() is None
        assert len(dataset.names) == photos - len(extra)
        chosen = [
            (query.name, query.box, [dataset.names[row] for row in sorted(rows)])
            for query in dataset.queries
            for judgement in query.judgements.values()
            for rows in (judgement.positives, judgement.junk)
        ]
        assert len(chosen) == 110
        return [(query, box, sorted(names)) for query, box, names in chosen]

    assert by_name("texts") == by_name("pickle")


# Refusals


class _Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    "payload",
    [
        _Hostile(os.system, "touch HARMED"),
        _Hostile(eval, "open('HARMED', 'w')"),
        _Hostile(getattr, object, "__subclasses__"),
        Path("x"),
        {"imlist": [_Hostile(exec, "open('HARMED', 'w')")]},
    ],
)
def test_a_pickle_that_runs_programs_is_refused(
    payload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(payload))
    with pytest.raises(DatasetError, match=r"refused: it references .*only plain lists") as caught:
        read_plain(tmp_path / "gnd.pkl")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "HARMED").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x05", b"garbage", b"\x80\x04K\x01"])
def test_damaged_ground_truth(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "gnd.pkl").write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_plain(tmp_path / "gnd.pkl")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"imlist":' * 100_000])
def test_lists_in_lists_without_end(content: str, tmp_path: Path) -> None:
    (tmp_path / "gnd_paris6k.json").write_text(content)
    with pytest.raises(DatasetError, match=r"paris6k\.json: cannot be read: nested too deeply$"):
        read_dataset("paris6k", tmp_path)


def test_a_mark_before_the_ground_truth_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "gnd.json").write_text('{"imlist": ["\u00fc"]}', "utf-8-sig")
    assert read_plain(tmp_path / "gnd.json") == {"imlist": ["\u00fc"]}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"imlist": []},
        {"imlist": 3, "qimlist": [], "gnd": []},
        classic(["a"], ok=[-1], junk=[]),
        classic(["a"], ok=[1], junk=[]),
        classic(["a"], ok=["a"], junk=[]),
        classic(["a"], ok=[0]),
        {**classic(["a"], ok=[0], junk=[]), "gnd": [{"bbx": [1, 2], "ok": [], "junk": []}]},
        {**classic(["a"], ok=[0], junk=[]), "gnd": []},
        {
            **classic(["a"], ok=[0], junk=[]),
            "gnd": [{"bbx": [1, 2, 3, float("nan")], "ok": [0], "junk": []}],
        },
        {**classic(["a"], ok=[0], junk=[]), "imlist": [7]},
        {**classic(["a"], ok=[0], junk=[]), "qimlist": ["\ud800"]},
        classic(["a\0"], ok=[0], junk=[]),
        classic(["a"], [0, 0, 5, 10**400], ok=[0], junk=[]),
    ],
)
def test_ground_truth_of_another_form(content: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "gnd_paris6k.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match="not the ground truth of paris6k"):
        read_dataset("paris6k", tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_wrong_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such f"):
        read_dataset(name, tmp_path / "none")
    with pytest.raises(DatasetError) as caught:
        read_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "switches", "message"),
    [
        ("holidays", {"query": "full"}, "has no switch 'query' .it has database, upright."),
        ("oxford5k", {"query": "half"}, "query: 'half' is not one of crop, full, both"),
        ("groups", {"a": "b"}, "it has none"),
        ("oxford", {}, "no benchmark; there are groups, holidays"),
    ],
)
def test_wrong_switches(name: str, switches: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_dataset(name, tmp_path, switches)
    assert all(benchmark.name == name for name, benchmark in BENCHMARKS.items())


def test_how_a_dataset_is_named() -> None:
    assert parse_dataset("groups:a/b:c") == ("groups", Path("a/b:c"))
    for text in ("a/b", "pictures:a", "groups", "groups:"):
        with pytest.raises(DatasetError, match=r"(not NAME:FOLDER|name the folder too)"):
            parse_dataset(text)


def test_verification(holidays: Path) -> None:
    report = verify_dataset("holidays", holidays)
    assert not report.complete, "five photos are not 1491"
    assert report.origin is not None
    assert report.origin.url.startswith("https://")
    assert not report.unexpected
    (holidays / "jpg1" / "100001.jpg").write_bytes(b"no photo")
    draw(holidays / "jpg1" / "holiday.jpg", 7)
    report = verify_dataset("holidays", holidays)
    assert [path.name for path, _ in report.unreadable] == ["100001.jpg"]
    assert [path.name for path in report.unexpected] == ["holiday.jpg"]


def test_a_folder_of_ones_own_is_whole_as_far_as_it_is_there(tmp_path: Path) -> None:
    for seed, name in enumerate(("1.png", "2.png", "other.png")):
        draw(tmp_path / name, seed)
    (tmp_path / "groups.json").write_text('{"a": ["1.png", "2.png"]}')
    for place in (tmp_path, tmp_path / "groups.json"):
        report = verify_dataset("groups", place)
        assert report.complete
        assert report.origin is None
        assert [path.name for path in report.unexpected] == ["other.png"]
    (tmp_path / "2.png").write_bytes(b"no photo")
    assert not verify_dataset("groups", tmp_path).complete


def test_every_benchmark_has_an_origin() -> None:
    assert [name for name, b in BENCHMARKS.items() if b.origin is None] == ["groups"]
