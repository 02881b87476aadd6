"""Disks that are read-only, and clocks and times of files that are wrong."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import samples
from resight.backends.hints import decide, hints, hints_to_dict, import_hints, undo_hints
from resight.collection.integrity import check
from resight.collection.writer import writing
from resight.config import LocalConfig
from resight.errors import CollectionError
from resight.indexing.pipeline import index
from resight.searching import search

METHOD = LocalConfig(method="sift-vlad", longest_side=128, max_keypoints=60, centers=2, sample=4000)

READ_ONLY = """
import json, shutil, sys
from pathlib import Path
from resight.backends.hints import decide
from resight.backends.manage import remove
from resight.collection.integrity import check
from resight.errors import ResightError
from resight.indexing.fitting import fit
from resight.indexing.pipeline import index
from resight.searching import search
photos, folder = map(Path, sys.argv[1:])
first, second, *_ = sorted(photos.iterdir())
actions = {
    "index": lambda: index([photos], folder),
    "new": lambda: index([photos], folder / "new"),
    "remove": lambda: remove([first], folder),
    "decide": lambda: decide("same", [first, second], folder),
    "fit": lambda: fit(folder, method="pfa", features=2),
    "check": lambda: check(folder),
}
errors = {}
for name, action in actions.items():
    try:
        action()
    except ResightError as error:
        errors[name] = str(error)
found = search(first, folder, k=3).results
print(json.dumps({"errors": errors, "found": [[r.path.name, r.distance] for r in found]}))
"""


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    samples.draw_many(tmp_path / "photos", 4)
    index([tmp_path / "photos"], tmp_path / "c", config=METHOD)
    return tmp_path / "c"


def run_read_only(code: str, photos: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code with a folder mounted read-only, or skip the test where that is not possible."""
    if sys.platform != "linux":
        pytest.skip("mounts as on Linux")
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    program = [sys.executable, "-c", code, str(photos), str(folder)]
    command = ["unshare", "--mount", "sh", "-c", mount, str(folder), *program]
    try:
        probe = [*command[:6], "true"]
        subprocess.run(probe, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a folder can be mounted only by root")
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_read_only_collection_is_searched_and_refuses_changes(collection: Path) -> None:
    photos = collection.parent / "photos"
    found = search(sorted(photos.iterdir())[0], collection, k=3).results
    for path in (collection / "arrays").rglob("*"):
        if path.is_file():
            path.unlink()
    samples.draw(photos / "new.png", 99)
    before = {path: path.read_bytes() for path in collection.rglob("*") if path.is_file()}
    done = run_read_only(READ_ONLY, photos, collection)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    message = f"{collection}: cannot be changed, as its disk is read-only"
    assert set(report["errors"]) == {"index", "new", "remove", "decide", "fit", "check"}
    assert {report["errors"][name] for name in report["errors"] if name != "new"} == {message}
    assert "\n" not in report["errors"]["new"]
    assert [name for name, _ in report["found"]] == [result.path.name for result in found]
    assert {path: path.read_bytes() for path in before} == before


def test_files_of_all_times_are_indexed_once(collection: Path) -> None:
    photos, chance = collection.parent / "photos", random.Random(0)
    for round_ in range(4):
        for path in photos.iterdir():
            seconds = chance.choice([-(2**31), -1, 0, 2**31, 2**33]) + chance.randrange(10**6)
            os.utime(path, ns=(0, seconds * 10**9 + chance.randrange(10**9)))
        report = index([photos], collection).report
        assert (report.changed, report.new, report.failed) == (0, 0, []), round_
        assert index([photos], collection).report.unchanged == 4
        assert search(sorted(photos.iterdir())[0], collection).results[0].distance == 0
    assert check(collection, read_photos=True).intact


def test_the_last_decision_is_undone_although_the_clock_was_set_back(collection: Path) -> None:
    first, second, third, _ = sorted((collection.parent / "photos").iterdir())
    decide("same", [first, second], collection)
    exported = hints_to_dict(hints(collection))
    for entry in exported["hints"]:
        entry["decided"] = "2999-01-01T00:00:00+00:00"  # as by a wrong clock
    file = collection.parent / "hints.json"
    file.write_text(json.dumps(exported))
    import_hints(file, collection)
    decide("keep", [third], collection)
    assert [hint.verdict for hint in undo_hints(collection, "last").removed] == ["keep"]
    assert [hint.verdict for hint in hints(collection)] == ["same"]


def test_a_collection_that_is_unmounted_acknowledges_nothing(collection: Path) -> None:
    away = collection.with_name("away")
    samples.draw(collection.parent / "photos" / "new.png", 99)
    with writing(collection) as writer:
        photo = next(writer.collection.photos("ok"))
        collection.rename(away)
        collection.mkdir()
        with pytest.raises(CollectionError, match="c: is gone; connect its disk"):
            writer.remove([photo])
        shutil.copytree(away, collection, dirs_exist_ok=True)
        with pytest.raises(CollectionError, match="c: was replaced in the meantime"):
            writer.remove([photo])
    shutil.rmtree(collection)
    away.rename(collection)
    assert check(collection).intact
    assert index([collection.parent / "photos"], collection).report.new == 1
