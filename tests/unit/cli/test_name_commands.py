"""The commands name and names, and searches by a name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from resight.backends.names import import_names, name, names, names_to_dict
from resight.errors import UsageError

Run = Callable[..., CompletedProcess[str]]


def test_names_are_listed_found_exported_and_removed(
    resight: Run, textured: Path, tmp_path: Path
) -> None:
    collection = Path(shutil.copytree(textured, tmp_path / "c"))
    first, second, third = (textured.parent / "photos" / f"{n}.png" for n in range(3))
    done = resight("name", "our  boat", first, second, "-c", collection)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "our boat: 2 photos\n")
    listed = resight("names", "-c", collection).stdout
    assert listed.splitlines() == ["our boat", f"  {first}", f"  {second}"]
    assert "our boat (2)" in resight("info", "-c", collection).stdout
    found = json.loads(resight("search", "name:Our Boat", "-c", collection, "--json").stdout)
    assert found["queries"] == [str(path) for path in (first, second)] or found["queries"] == [
        str(path) for path in (second, first)
    ]
    assert {result["path"] for result in found["results"][:2]} == {str(first), str(second)}
    exported = tmp_path / "names.json"
    exported.write_text(resight("names", "-c", collection, "--json").stdout)
    before = names(collection)
    assert resight("name", "our boat", "--remove", first, "-c", collection).returncode == 0
    assert [thing.photos for thing in names(collection)] == [(second,)]
    assert resight("name", "OUR BOAT", "--remove", "-c", collection).returncode == 0
    assert names(collection) == []
    assert [thing.name for thing in import_names(exported, collection)] == ["our boat"]
    assert import_names(exported, collection) == []
    assert names(collection) == before
    assert resight("check", "-c", collection).returncode == 0
    for refused, message in (
        (("search", "name:x"), 'nothing is named "x"'),
        (("search", "name:our boat", first), "search with one name, and nothing else"),
        (("name", "x" * 101, first), "from 1 to 100 characters"),
        (("name", "x", tmp_path / "no.png"), "index it first"),
        (("name", "x"), "needs a photo"),
    ):
        run = resight(*refused, "-c", collection)
        assert (run.returncode, run.stdout) == (2, "")
        assert message in run.stderr
    with pytest.raises(UsageError, match="is not named"):
        name("our boat", third, collection, remove=True)
    exported.write_text('{"names": [{"name": "a", "contents": [{"content": "b"}]}]}')
    with pytest.raises(UsageError, match="name 1: content is the SHA-256"):
        import_names(exported, collection)


def test_a_new_spelling_counts_although_the_clock_was_set_back(
    textured: Path, tmp_path: Path
) -> None:
    collection = Path(shutil.copytree(textured, tmp_path / "c"))
    first, second, *_ = sorted((textured.parent / "photos").iterdir())
    exported = names_to_dict([name("our boat", first, collection)])
    for entry in exported["names"][0]["contents"]:
        entry["decided"] = "2999-01-01T00:00:00+00:00"  # as by a wrong clock
    file = tmp_path / "names.json"
    file.write_text(json.dumps(exported))
    import_names(file, collection)
    name("Our Boat", second, collection)
    assert [thing.name for thing in names(collection)] == ["Our Boat"]
