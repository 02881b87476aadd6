"""The commands decide, hints and groups: what they print, and what they refuse."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def collection(textured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(textured, tmp_path_factory.mktemp("hint-commands") / "c"))


def test_decisions_are_printed_listed_exported_and_undone(
    resight: Run, textured: Path, collection: Path, tmp_path: Path
) -> None:
    first, second, third = (textured.parent / "photos" / f"{n}.png" for n in range(3))
    done = resight("decide", "same", first, second, "-c", collection)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("decided: same /")
    assert resight("decide", "keep", second, "-c", collection).returncode == 0
    listed = resight("hints", "-c", collection)
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["1", "same"],
        ["2", "keep"],
    ]
    exported = resight("hints", "-c", collection, "--json").stdout
    assert [hint["verdict"] for hint in json.loads(exported)["hints"]] == ["same", "keep"]
    file = tmp_path / "hints.json"
    file.write_text(exported)
    groups = json.loads(resight("groups", "-c", collection, "--json").stdout)["groups"]
    assert groups == [
        {"kind": "same-thing", "photos": [str(first), str(second)], "best": str(second)}
    ]
    table = resight("groups", "-c", collection, "--sheet", tmp_path / "sheet.png")
    assert f"{second}  (best)" in table.stdout
    assert "sheet.png" in table.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400

    undone = resight("hints", "-c", collection, "--undo", "last")
    assert undone.stderr == f"no longer: keep {second}\n"
    assert resight("hints", "-c", collection, "--undo", "1").stderr.startswith("no longer: same")
    imported = resight("hints", "-c", collection, "--import", file)
    assert len(imported.stderr.splitlines()) == 2
    assert resight("hints", "-c", collection, "--import", file).stderr == "no hints changed\n"
    refused = resight("decide", "different", second, first, third, "-c", collection)
    assert refused.returncode == 0  # a decision on the same pair replaces the former one
    assert "no longer: same" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("decide", "same", "nowhere.jpg", "other.jpg"), "nowhere.jpg: no photo of"),
        (("decide", "maybe", "a.jpg"), "VERDICT"),
        (("decide", "same", "a.jpg"), "same needs two photos"),
        (("hints", "--undo", "soon"), "--undo: expected last or the number"),
        (("hints", "--undo", "99"), "--undo: no hint 99"),
        (("hints", "--undo", "1", "--import", "x.json"), "--undo: not together"),
        (("hints", "--import", "nowhere.json"), "nowhere.json: cannot be read"),
        (("groups", "--gap", "-5"), "--gap: expected seconds"),
        (("groups", "--gap", "5", "--limit", "1"), "--gap: only by evidence"),
        (("groups", "--limit", "nan"), "--limit: expected a distance"),
        (("groups", "--limit", "-1"), "--limit: expected a distance"),
        (("groups", "--json", "--csv"), "--json: not together with --csv"),
        (("groups", "--sheet", "sheet.txt"), "name it with .jpg or .png"),
    ],
)
def test_mistakes_are_one_line(
    resight: Run, collection: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = resight(*arguments, "-c", collection)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("resight: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_json_too_deep_to_read_is_no_json(resight: Run, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    done = resight("hints", "--import", tmp_path / "deep.json", "-c", collection)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("deep.json: is no JSON\n")
