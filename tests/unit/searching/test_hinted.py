"""Searches that obey hints, and the functions that give, list, import and undo them."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import resight
import samples
from resight.config import SearchConfig
from resight.errors import UsageError
from views import texture, view


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views of one thing among 17 strangers, and a collection of them."""
    root = tmp_path_factory.mktemp("hinted")
    (root / "photos").mkdir()
    thing = texture(320, 240, seed=1)
    for number in range(3):
        save(root / "photos" / f"thing-{number}.png", view(thing, seed=number, strength=0.05))
    for number in range(17):
        save(root / "photos" / f"other-{number:02}.png", texture(320, 240, seed=20 + number))
    samples.index(root / "photos", root / "c")
    samples.index(root / "photos", root / "bare", evidence=False)
    return root


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """Return a folder with a copy of the collection, which may be changed."""
    shutil.copytree(drawn / "c", tmp_path / "c")
    (tmp_path / "photos").symlink_to(drawn / "photos")
    return tmp_path


def save(path: Path, pixels: np.ndarray) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


def photo(root: Path, name: str) -> Path:
    return (root / "photos").resolve() / f"{name}.png"


def by_name(root: Path, query: Path | str, **options: object) -> dict[str, resight.Result]:
    found = resight.search(query, root / "c", **{"k": 20, **options})  # type: ignore[arg-type]
    return {result.path.stem: result for result in found}


@pytest.mark.slow
def test_the_same_is_found_however_far(root: Path) -> None:
    query = photo(root, "thing-0")
    far = resight.search(query, root / "c", k=20).results[-1].path
    assert far.stem not in by_name(root, query, k=10)
    change = resight.decide("same", [query, far], root / "c")
    assert [hint.verdict for hint in change.added] == ["same"]
    result = by_name(root, query, k=10)[far.stem]
    assert (result.verdict, result.probability, result.hint) == ("same", 1.0, True)
    assert result.to_dict()["hint"] is True
    assert resight.same(query, far, collection=root / "c").verdict == "same"
    for same in (by_name(root, query, k=1), by_name(root, query, k=20, min_probability=0.9)):
        assert "thing-0" in same  # the query itself stays the first
        assert "hint" not in same["thing-0"].to_dict()


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, 10),
        ({}, -1),
        ({"rerank": "alpha-qe"}, 10),
        pytest.param({"verify": 5}, -1, marks=pytest.mark.slow),
    ],
)
def test_the_same_is_among_the_first_whatever_orders_the_results(
    drawn: Path, tmp_path: Path, options: dict[str, object], place: int
) -> None:
    for name in ("c", "bare"):
        root = tmp_path / name
        shutil.copytree(drawn / name, root / "c")
        query = photo(drawn, "thing-0")
        far = resight.search(query, root / "c", k=20).results[place].path
        resight.decide("same", [query, far], root / "c")
        found = list(by_name(root, query, k=3, **options))
        assert found[0] == "thing-0"
        assert far.stem in found


def test_the_different_is_never_the_same(root: Path) -> None:
    query, other = photo(root, "thing-0"), photo(root, "thing-1")
    assert by_name(root, query)["thing-1"].verdict == "same"
    resight.decide("different", [query, other], root / "c")
    result = by_name(root, query)["thing-1"]
    assert (result.verdict, result.probability, result.kind) == ("different", 0.0, None)
    assert by_name(root, query)["thing-2"].verdict == "same"
    assert by_name(root, other)["thing-0"].verdict == "different"
    sameness = resight.same(query, other, collection=root / "c")
    assert (sameness.verdict, sameness.to_dict()["hint"]) == ("different", True)
    assert resight.same(query, other).verdict == "same"  # without the collection


def test_the_different_from_one_of_several_queries_is_never_the_same(root: Path) -> None:
    first, second, third = (photo(root, f"thing-{number}") for number in range(3))
    resight.decide("different", [first, second], root / "c")
    for queries in ([first, third], [third, first]):
        result = by_name(root, queries)["thing-1"]  # type: ignore[arg-type]
        assert (result.verdict, result.hint) == ("different", True)
    assert by_name(root, first, mirrored=True, rotated=True)["thing-1"].verdict == "different"


@pytest.mark.slow
def test_copies_of_the_same_are_folded(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn / "photos", tmp_path / "photos")
    query = tmp_path / "photos" / "thing-0.png"
    far = resight.search(drawn / "photos" / "thing-0.png", drawn / "c", k=20).results[-1].path
    shutil.copy(far, tmp_path / "photos" / "zz-copy.png")
    samples.index(tmp_path / "photos", tmp_path / "c")
    resight.decide("same", [query, tmp_path / "photos" / far.name], tmp_path / "c")
    found = by_name(tmp_path, query)
    assert (far.stem in found) != ("zz-copy" in found)
    (lead,) = [result for result in found.values() if result.hint]
    assert len(lead.copies) == 1
    assert len(by_name(tmp_path, query, fold=False)) == 20


def test_a_region_of_the_query_is_decided_without_hints(root: Path) -> None:
    query = photo(root, "thing-0")
    resight.decide("different", [query, photo(root, "thing-1")], root / "c")
    assert by_name(root, query, box=(0, 0, 320, 240))["thing-1"].verdict == "same"


def test_a_filter_and_a_maximum_distance_stay_in_force(root: Path) -> None:
    query = photo(root, "thing-0")
    far = resight.search(query, root / "c", k=20).results[-1]
    resight.decide("same", [query, far.path], root / "c")
    near = SearchConfig(max_distance=far.distance / 2)
    assert far.path.stem not in by_name(root, query, config=near)
    assert far.path.stem not in by_name(root, query, k=5, min_side=1000)


def test_hints_follow_content(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.png"
    shutil.copy(photo(root, "thing-0"), copy)
    resight.decide("different", [copy, photo(root, "thing-1")], root / "c")
    assert by_name(root, photo(root, "thing-0"))["thing-1"].hint
    assert by_name(root, copy)["thing-1"].hint
    (hint,) = resight.hints(root / "c")
    assert {path and path.stem for path in hint.photos} == {"thing-0", "thing-1"}


def test_hints_survive_removal_and_another_index_run(root: Path) -> None:
    first, second = photo(root, "thing-0"), photo(root, "thing-1")
    resight.decide("different", [first, second], root / "c")
    resight.remove(first, root / "c")
    (hint,) = resight.hints(root / "c")
    assert None in hint.photos
    samples.index((root / "photos").resolve(), root / "c")
    assert by_name(root, first)["thing-1"].hint


def test_a_pair_is_the_same_both_ways_and_the_last_decision_replaces(root: Path) -> None:
    first, second = photo(root, "thing-0"), photo(root, "thing-1")
    resight.decide("different", [first, second], root / "c")
    change = resight.decide("same", [second, first], root / "c")
    assert [hint.verdict for hint in change.removed] == ["different"]
    assert [hint.verdict for hint in resight.hints(root / "c")] == ["same"]


def test_contradictions_and_wrong_photos_are_refused(root: Path, tmp_path: Path) -> None:
    first, second, third = (photo(root, f"thing-{number}") for number in range(3))
    resight.decide("same", [first, second, third], root / "c")
    with pytest.raises(UsageError, match=r"same .*thing.*same .*thing.*different .*thing"):
        resight.decide("different", [second, third], root / "c")
    copy = tmp_path / "copy.png"
    shutil.copy(first, copy)
    with pytest.raises(UsageError, match="the same content"):
        resight.decide("different", [first, copy], root / "c")
    for photos, message in (
        ([first, tmp_path / "none.png"], "none.png: no photo"),
        ([first, (root / "photos").resolve()], "no photo"),
        ([first], "two photos"),
    ):
        with pytest.raises(UsageError, match=message):
            resight.decide("same", photos, root / "c")
    with pytest.raises(UsageError, match="verdict"):
        resight.decide("maybe", [first, second], root / "c")  # type: ignore[arg-type]
    assert len(resight.hints(root / "c")) == 2


def test_undo_removes_the_last_decision_or_one_by_its_number(root: Path) -> None:
    first, second, third = (photo(root, f"thing-{number}") for number in range(3))
    resight.decide("keep", first, root / "c")
    resight.decide("different", [first, second, third], root / "c")
    assert len(resight.undo_hints(root / "c", "last").removed) == 3
    resight.decide("keep", second, root / "c")
    (undone,) = resight.undo_hints(root / "c", 1).removed
    assert undone.photos == (first,)
    for which in (0, 2):
        with pytest.raises(UsageError, match=f"no hint {which}"):
            resight.undo_hints(root / "c", which)
    resight.undo_hints(root / "c", "last")
    with pytest.raises(UsageError, match="no hint last"):
        resight.undo_hints(root / "c", "last")


def test_an_export_is_imported_once_and_the_newest_hint_wins(root: Path, tmp_path: Path) -> None:
    from resight.backends.hints import hints_to_dict

    first, second = photo(root, "thing-0"), photo(root, "thing-1")
    resight.decide("same", [first, second], root / "c")
    resight.decide("keep", first, root / "c")
    file = tmp_path / "hints.json"
    file.write_text(json.dumps(hints_to_dict(resight.hints(root / "c"))))
    before = resight.hints(root / "c")
    assert resight.import_hints(file, root / "c") == resight.HintChange()
    resight.undo_hints(root / "c", 1)
    assert len(resight.import_hints(file, root / "c").added) == 1
    assert resight.hints(root / "c") == before
    resight.decide("different", [first, second], root / "c")
    change = resight.import_hints(file, root / "c")
    assert (len(change.added), [hint.verdict for hint in change.ignored]) == (0, ["same"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "no JSON"),
        ("[]", "hints"),
        ('{"hints": [{"verdict": "same"}]}', "hint 1"),
    ],
)
def test_a_file_without_hints_is_refused(
    root: Path, tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "hints.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=message):
        resight.import_hints(file, root / "c")
    assert resight.hints(root / "c") == []
