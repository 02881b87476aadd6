"""Benchmarks in the layouts people have them in, their ground truth, and what is refused."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from conftest import BESIDE
from resight.datasets.landmarks import box_of
from resight.datasets.reading import READERS, SWITCHES, parse_dataset, read_dataset
from resight.datasets.unpickling import convert_to_json, read_plain
from resight.datasets.verifying import verify
from resight.errors import DatasetError
from samples import draw


@pytest.fixture
def holidays(tmp_path: Path) -> Path:
    """Two groups in two folders, and one photo that is in no group."""
    for seed, name in enumerate(("jpg1/100000", "jpg1/100001", "jpg2/100100", "jpg2/100101")):
        draw(tmp_path / "holidays" / f"{name}.jpg", seed)
    draw(tmp_path / "holidays/jpg2/100102.jpg", 9)
    return tmp_path / "holidays"


def test_holidays(holidays: Path) -> None:
    dataset = read_dataset("holidays", holidays)
    assert dataset.names == ("100000", "100001", "100100", "100101", "100102")
    first, second = dataset.queries
    assert (first.name, first.row, first.judgements["all"].positives) == ("100000", 0, {1})
    assert (second.judgements["all"].positives, second.judgements["all"].junk) == ({3, 4}, {2})
    assert not dataset.missing


def test_holidays_without_queries_in_the_database(holidays: Path) -> None:
    dataset = read_dataset("holidays", holidays, {"database": "others"})
    assert dataset.names == ("100001", "100101", "100102")
    assert [query.row for query in dataset.queries] == [None, None]
    assert dataset.queries[1].judgements["all"].positives == {1, 2}
    assert dataset.switches["ranked"] == "photos that are no queries"


def test_the_official_list_says_what_is_missing(holidays: Path) -> None:
    listed = ["100000", "100001", "100002", "100100", "100101", "100200", "100201"]
    text = "".join(f"{name}.jpg\n" for name in listed)
    (holidays / "holidays_images.dat").write_text(text)
    dataset = read_dataset("holidays", holidays)
    assert dataset.missing == ("100002", "100200", "100201")
    assert dataset.names == ("100000", "100001", "100100", "100101")
    assert dataset.lost_queries == 1
    effect = dataset.effect_of_missing()
    assert effect is not None
    assert "3 photos" in effect
    assert "1 queries are left out" in effect


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
    assert read_dataset("oxford5k", oxford, {"query": "full"}).queries[0].box is None


def classic(names: list[str], **lists: list[int]) -> dict[str, Any]:
    return {"imlist": names, "qimlist": ["q_1"], "gnd": [{"bbx": [1, 2, 31.4, 42], **lists}]}


@pytest.mark.parametrize("suffix", ["pkl", "json"])
@pytest.mark.parametrize("beside", [True, False])
def test_the_usual_pickle(tmp_path: Path, suffix: str, beside: bool) -> None:
    for seed, name in enumerate(("a", "b", "c", "q_1")):
        draw(tmp_path / "paris" / f"{name}.jpg", seed)
    content = classic(["a", "b", "c", "d"], ok=[0, 3], junk=[1])
    file = (tmp_path if beside else tmp_path / "paris") / f"gnd_paris6k.{suffix}"
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
    names = [measure.name for measure in dataset.measures]
    assert names[:3] == ["mAP medium", "mAP hard", "mAP easy"]
    assert "mP@10 hard" in names


def test_folders_of_ones_own(tmp_path: Path) -> None:
    for seed, name in enumerate(("cup/1", "cup/2", "hat/1", "hat/2", "hat/3", "hat/4", "one/1")):
        draw(tmp_path / "p" / f"{name}.png", seed)
    dataset = read_dataset("groups", tmp_path / "p")
    assert len(dataset.names) == 7
    assert len(dataset.queries) == 6
    assert [measure.name for measure in dataset.measures] == ["mAP", "N-S"]
    assert "first four" not in dataset.queries[0].judgements, "two photos are no group of four"
    assert len({query.name for query in dataset.queries}) == 6, "1.png is in several folders"
    groups = {"cup": ["cup/1.png", "cup/2.png", "cup/3.png"], "hat": ["hat/1.png"]}
    (tmp_path / "p" / "groups.json").write_text(json.dumps(groups))
    named = read_dataset("groups", tmp_path / "p")
    assert named.names == ("cup/1.png", "cup/2.png", "hat/1.png")
    assert named.missing == ("cup/3.png",)
    assert [query.group for query in named.queries] == ["cup", "cup"]


def test_boxes_are_whole_pixels() -> None:
    assert box_of((136.5, 34.1, 648.5, 955.7)) == (136, 34, 512, 922)
    assert box_of((-3, 0, 5, 0.2)) == (0, 0, 5, 1)


# Real ground truth

TRUTH = BESIDE / "groundtruth"


@pytest.mark.photos
@pytest.mark.skipif(not TRUTH.is_dir(), reason="no real ground truth beside the checkout")
def test_the_genuine_files(tmp_path: Path) -> None:
    for name, photos in (("oxford5k", 5063), ("paris6k", 6392)):
        content = read_plain(TRUTH / f"gnd_{name}.pkl")
        assert (len(content["imlist"]), len(content["qimlist"])) == (photos, 55)
        convert_to_json(TRUTH / f"gnd_{name}.pkl", tmp_path / f"{name}.json")
        assert read_plain(tmp_path / f"{name}.json") == content
    photos = BESIDE / "photos" / "benchmark-samples" / "oxford5k"
    (tmp_path / "gnd_oxford5k.pkl").write_bytes((TRUTH / "gnd_oxford5k.pkl").read_bytes())
    (tmp_path / "oxford").symlink_to(photos)
    dataset = read_dataset("oxford5k", tmp_path / "oxford")
    assert len(dataset.names) == 10
    assert len(dataset.missing) == 5053
    assert dataset.queries
    assert all(query.box is not None for query in dataset.queries)


# What is refused


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
    with pytest.raises(DatasetError, match=r"refused: it wants .*only plain lists") as caught:
        read_plain(tmp_path / "gnd.pkl")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "HARMED").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x05", b"garbage", b"\x80\x04K\x01"])
def test_damaged_ground_truth(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "gnd.pkl").write_bytes(content)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_plain(tmp_path / "gnd.pkl")


@pytest.mark.parametrize("content", [[], {"imlist": []}, {"imlist": 3, "qimlist": [], "gnd": []}])
def test_ground_truth_of_another_form(content: Any, tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 0)
    (tmp_path / "gnd_paris6k.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match="not the ground truth of paris6k"):
        read_dataset("paris6k", tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_wrong_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such f"):
        read_dataset(name, tmp_path / "none")
    with pytest.raises(DatasetError) as caught:
        read_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "switches", "said"),
    [
        ("holidays", {"query": "full"}, "has no switch 'query' .it has database."),
        ("oxford5k", {"query": "half"}, "query: 'half' is not one of crop, full"),
        ("groups", {"a": "b"}, "it has none"),
        ("oxford", {}, "no benchmark; there are groups, holidays"),
    ],
)
def test_wrong_switches(name: str, switches: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        read_dataset(name, tmp_path, switches)
    assert set(SWITCHES) == set(READERS)


def test_how_a_dataset_is_named() -> None:
    assert parse_dataset("groups:a/b:c") == ("groups", Path("a/b:c"))
    for text in ("a/b", "pictures:a", "groups", "groups:"):
        with pytest.raises(DatasetError, match=r"(not NAME:FOLDER|name the folder too)"):
            parse_dataset(text)


def test_verification(holidays: Path) -> None:
    report = verify("holidays", holidays)
    assert not report.whole, "five photos are not 1491"
    assert report.origin is not None
    assert report.origin.photos == 1491
    (holidays / "jpg1" / "100001.jpg").write_bytes(b"no photo")
    assert [path.name for path, _ in verify("holidays", holidays).unreadable] == ["100001.jpg"]
    own = verify("groups", draw(holidays.parent / "g/a/1.png", 1).parent.parent.parent / "holidays")
    assert own.origin is None
