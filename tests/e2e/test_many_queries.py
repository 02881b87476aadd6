"""`resight search` with many queries, and its outputs."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import samples
from environment import Run
from resight.searching import Searcher, search, search_each
from resight.searching.export import COLUMNS


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures and a copy of 3.png in `photos`, indexed in `c`; queries in `queries`."""
    home = tmp_path_factory.mktemp("many")
    samples.index_textured(home)
    shutil.copy(home / "photos" / "3.png", home / "photos" / "copy.png")
    samples.pipeline.index([home / "photos"], home / "c")
    (home / "queries").mkdir()
    for seed in (3, 7):
        crop = samples.textured_picture(seed).crop((40, 30, 440, 330))
        crop.save(home / "queries" / f"{seed}.png")
    samples.textured_picture(77).save(home / "queries" / "stranger.png")
    return home


def test_several_photos_get_one_answer(home: Path, resight: Run) -> None:
    queries = [home / "queries" / f"{seed}.png" for seed in (3, 7)]
    done = resight("search", *queries, "-c", home / "c")
    assert done.returncode == 0
    assert done.stderr.startswith("2 photos of the same thing, and 1 copy of them")
    heading, *rows = done.stdout.splitlines()
    assert heading.split()[0] == "rank"
    found = {row.partition("100 %")[2].strip() for row in rows}
    assert found == {f"{home / 'photos' / '3.png'} (+1 copy)", str(home / "photos" / "7.png")}
    done = resight("search", *queries, "-c", home / "c", "--json")
    assert json.loads(done.stdout) == search(queries, home / "c").to_dict()


def test_each_query_of_a_folder_gets_its_answer(home: Path, resight: Run, tmp_path: Path) -> None:
    shutil.copytree(home / "queries", tmp_path / "q")
    (tmp_path / "q" / "broken.jpg").write_text("no photo")
    done = resight("search", tmp_path / "q", "-c", home / "c", "--strict")
    assert done.returncode == 3
    answers = done.stdout.split("\n\n")
    names = [answer.partition(":")[0] for answer in answers]
    assert names == [str(tmp_path / "q" / f"{name}.png") for name in ("3", "7", "stranger")]
    assert "1 photo of the same thing, and 1 copy" in answers[0]
    assert answers[0].splitlines()[1].split()[0] == "rank"
    assert answers[2].strip().endswith("stranger.png: nothing shows the same thing")
    assert done.stderr.splitlines() == [
        "3 queries, 2 of them found something",
        "1 could not be read:",
        f"  {tmp_path / 'q' / 'broken.jpg'}: not an image, or damaged beyond recognition",
    ]
    assert resight("search", tmp_path / "q", "-c", home / "c").returncode == 0


def test_json_is_a_list_and_csv_has_one_heading(home: Path, resight: Run) -> None:
    queries = sorted((home / "queries").iterdir())
    expected = list(search_each(queries, home / "c"))
    done = resight("search", "--each", *queries, "-c", home / "c", "--json")
    assert json.loads(done.stdout) == [results.to_dict() for results in expected]
    done = resight("search", home / "queries", "-c", home / "c", "--csv")
    heading, *rows = csv.reader(io.StringIO(done.stdout))
    assert tuple(heading) == COLUMNS
    assert [(row[0], row[2]) for row in rows] == [
        (str(results.query), str(result.path)) for results in expected for result in results
    ]
    assert json.loads(resight("search", "--each", queries[0], "-c", home / "c", "--json").stdout)


def test_queries_that_are_all_unreadable_are_listed(
    home: Path, resight: Run, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_text("no photo")
    for option, printed in (("--json", "[]"), ("--csv", ",".join(COLUMNS))):
        done = resight("search", tmp_path, "-c", home / "c", option, "--html", tmp_path / "p.html")
        assert (done.returncode, done.stdout.strip()) == (0, printed)
        assert "1 could not be read:" in done.stderr


def test_one_searcher_serves_all_queries(
    home: Path, resight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    extractor = Searcher.extractor

    def load(self: Searcher) -> object:
        loaded.append(self)
        return extractor(self)

    monkeypatch.setattr(Searcher, "extractor", load)
    assert resight("search", home / "queries", "-c", home / "c").returncode == 0
    assert len(loaded) == 3
    assert len(set(map(id, loaded))) == 1


def test_fail_if_none_looks_at_all_queries(home: Path, resight: Run) -> None:
    stranger = home / "queries" / "stranger.png"
    options = "-c", home / "c", "--fail-if-none"
    assert resight("search", "--each", stranger, *options).returncode == 1
    assert resight("search", home / "queries", *options).returncode == 0


@pytest.mark.parametrize("each", [False, True])
def test_files_of_results(home: Path, resight: Run, tmp_path: Path, each: bool) -> None:
    queries = [home / "queries"] if each else sorted((home / "queries").iterdir())
    targets = "--html", tmp_path / "p.html", "--sheet", tmp_path / "s.jpg"
    folders = "--copy-to", tmp_path / "copies", "--link-to", tmp_path / "links"
    done = resight("search", *queries, "-c", home / "c", *targets, *folders)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'copies'}: copied 2 photos" in done.stderr
    assert f"{tmp_path / 'links'}: linked 2 photos" in done.stderr
    for folder in ("copies", "links"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {"3.png", "7.png"}
    assert (tmp_path / "p.html").read_text().count("<h2>") == (3 if each else 1)
    with Image.open(tmp_path / "s.jpg") as sheet:
        assert sheet.width > 1000
