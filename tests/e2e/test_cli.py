"""The command line as a user meets it."""

import dataclasses
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

import samples
from environment import Run
from resight.backends.manage import info
from resight.cli.app import app
from resight.collection import Collection
from resight.collection.writer import writing
from resight.config import (
    ExtractionConfig,
    LocalConfig,
    RerankConfig,
    SearchConfig,
    SelectionConfig,
)
from resight.evaluation import evaluate
from resight.evaluation.measures import average_precision, read_groups
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods.model import Model, ModelOptions
from resight.photos.files import find_photos
from resight.searching import Searcher, search


@pytest.fixture(scope="module")
def home(demo_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four objects of the demo in four views with their groups, and a collection of them."""
    home = tmp_path_factory.mktemp("cli")
    for number in range(1, 5):
        name = f"object-{number:02}"
        shutil.copytree(demo_photos / name, home / "photos" / name)
    truth = json.loads((demo_photos / "groups.json").read_text())
    present = {group: paths for group, paths in truth.items() if (home / "photos" / group).exists()}
    (home / "photos" / "groups.json").write_text(json.dumps(present))
    config = LocalConfig(method="sift-vlad", longest_side=400, max_keypoints=300, centers=16)
    samples.write_config(home / "sift.toml", config)
    pipeline.index([home / "photos"], home / "c", config=config)
    (home / "net.toml").write_text("resolutions = [96, 64]\n")
    return home


@pytest.fixture
def collection(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home / "c", tmp_path / "c"))


@pytest.fixture
def query(home: Path) -> Path:
    return home / "photos" / "object-02" / "view-1.jpg"


def succeed(done: subprocess.CompletedProcess[str], status: int = 0) -> list[str]:
    """Return the lines on stderr of a command that must succeed."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that must be refused."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("resight: ")
    return line


# Each command when all is well


def test_index_counts_lists_and_resumes(home: Path, tmp_path: Path, resight: Run) -> None:
    photos, folder = Path(shutil.copytree(home / "photos", tmp_path / "photos")), tmp_path / "c"
    (photos / "broken [bold].JPG").write_text("no photo")
    done = resight("index", photos, "-c", folder, "--config", home / "sift.toml")
    assert done.stdout == ""
    lines = succeed(done)
    assert f"{folder}: 16 photos (16 new, 1 failed)" in lines
    assert "ignored files that are not photos: 1 .json" in lines
    assert "1 could not be read:" in lines
    reason = "not an image, or damaged beyond recognition"
    assert f"  {photos / 'broken [bold].JPG'}: {reason}" in lines

    before = {row[0] for row in samples.contents(folder)["photos"]}
    (photos / "object-01" / "view-1.jpg").rename(photos / "moved.jpg")
    (photos / "object-01" / "view-2.jpg").unlink()
    done = resight("index", photos, "--collection", folder, "--strict", "--workers", 2)
    lines = succeed(done, status=3)
    expected = "16 photos (0 new, 1 moved, 14 unchanged, 1 failed, 1 vanished)"
    assert f"{folder}: {expected}" in lines
    assert "gone from the disk (remove them with --prune):" in lines

    (photos / "broken [bold].JPG").unlink()
    lines = succeed(resight("index", photos, "-c", folder, "--strict", "--prune"))
    assert "gone from the disk (removed from the collection):" in lines
    assert {row[0] for row in samples.contents(folder)["photos"]} < before
    assert info(folder).photos == 15


def test_index_by_a_method_takes_its_defaults(tmp_path: Path, resight: Run) -> None:
    samples.draw_many(tmp_path / "photos", 6)
    folder = tmp_path / "c"
    succeed(resight("index", tmp_path / "photos", "-c", folder, "--config", "sift-vlad"))
    assert info(folder).config == LocalConfig(method="sift-vlad").to_dict()


def test_search_prints_a_table(collection: Path, query: Path, resight: Run, tmp_path: Path) -> None:
    done = resight("search", query, "-c", collection, "-k", 3)
    assert succeed(done) == ["3 photos of the same thing"]
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["rank", "distance", "inliers", "verdict", "probability", "path"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    first = rows[0].split()
    assert (first[1], first[3:]) == ("0.0000", ["same", "thing", "100", "%", str(query)])

    done = resight("search", query, "-c", collection, "-k", 2, "--verify", 4)
    succeed(done)
    heading, first, _ = done.stdout.splitlines()
    assert heading.split()[2] == "inliers"
    assert int(first.split()[2]) > 100


def test_search_lists_what_is_the_same_and_with_all_the_rest(
    collection: Path, query: Path, resight: Run
) -> None:
    found = resight("search", query, "-c", collection, "-k", 8)
    (note,) = succeed(found)
    everything = resight("search", query, "-c", collection, "-k", 8, "--all")
    same = [line for line in everything.stdout.splitlines() if "not the same" not in line]
    assert len(everything.stdout.splitlines()) == 9
    assert 4 <= len(same) - 1 < 8
    assert [line.split()[-1] for line in found.stdout.splitlines()] == [
        line.split()[-1] for line in same
    ]
    assert note == (
        f"{len(same) - 1} photos of the same thing; --all also lists {9 - len(same)} similar photos"
    )


def test_nothing_shows_the_same_thing(collection: Path, resight: Run, tmp_path: Path) -> None:
    stranger = samples.draw(tmp_path / "stranger.png", 77)
    done = resight("search", stranger, "-c", collection)
    assert succeed(done) == ["nothing shows the same thing; --all also lists 10 similar photos"]
    assert done.stdout == ""
    assert resight("search", stranger, "-c", collection, "--fail-if-none").returncode == 1
    only = resight("search", stranger, "-c", collection, "--only-same", "--json")
    assert json.loads(only.stdout)["results"] == []
    refused_value = resight("search", stranger, "-c", collection, "--min-probability", "1.5")
    assert "min" in refused(refused_value)


def test_two_photos_are_decided_on(
    collection: Path, query: Path, resight: Run, tmp_path: Path
) -> None:
    done = resight("same", query, query)
    assert succeed(done) == []
    assert done.stdout.startswith("same thing (100 %), identical file: ")
    stranger = samples.draw(tmp_path / "stranger.png", 77)
    other = resight("same", query, stranger, "-c", collection, "--json")
    assert other.returncode == 1
    answer = json.loads(other.stdout)
    assert answer["verdict"] == "different"
    assert answer["probability"] < 0.5
    assert "no-such.jpg" in refused(resight("same", query, "no-such.jpg"))


def test_search_prints_one_json_object_and_nothing_else(
    collection: Path, query: Path, resight: Run, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    options = ("-k", 5, "--json", "--box", "60,60,200,150", "--sheet", sheet)
    done = resight("search", query, "-c", collection, *options)
    succeed(done)
    found = json.loads(done.stdout)
    assert list(found) == ["query", "box", "found", "blank", "results"]  # the box has few details
    assert found["query"] == str(query)
    assert found["box"] == [60, 60, 200, 150]
    assert [result["rank"] for result in found["results"]] == [1, 2, 3, 4, 5]
    expected = {"path", "distance", "rank", "verdict", "probability", "inliers"}
    assert all(expected <= set(result) for result in found["results"])
    with Image.open(sheet) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200


def test_the_answer_is_that_of_the_python_interface(
    collection: Path, query: Path, resight: Run
) -> None:
    for options, arguments in (
        ((), {}),
        (("-k", 16), {"config": SearchConfig(k=16)}),
        (("--box", "10,20,300,200"), {"box": (10, 20, 300, 200)}),
        (("-k", 4, "--verify", 6), {"config": SearchConfig(k=4, verify=6)}),
    ):
        done = resight("search", query, "-c", collection, "--json", *options)
        succeed(done)
        printed = json.loads(done.stdout)
        found = search(query, collection, **arguments)
        expected = [
            {"path": str(r.path), "distance": r.distance, "rank": r.rank}
            | {"verdict": r.verdict, "probability": r.probability}
            | ({} if r.kind is None else {"kind": r.kind})
            | ({} if r.inliers is None else {"inliers": r.inliers})
            | ({"region": list(r.region), "query_region": list(r.query_region)} if r.region else {})
            for r in found.results
        ]
        assert printed["results"] == expected
        assert printed["query"] == str(found.query)


def test_the_top_results_are_verified(collection: Path, query: Path) -> None:
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        plain = searcher.search(query, SearchConfig(k=6, decide=False))
        verified = searcher.search(query, SearchConfig(k=6, verify=4, decide=False))
        page = searcher.search(query, SearchConfig(k=2, offset=3, verify=4, decide=False))
    assert {result.path for result in verified} == {result.path for result in plain}
    assert [result.inliers is None for result in verified] == [False] * 4 + [True] * 2
    assert page.results == verified.results[3:5]


def test_an_unreadable_result_keeps_its_place(
    collection: Path, query: Path, tmp_path: Path, resight: Run
) -> None:
    plain = search(query, collection, SearchConfig(k=6, decide=False))
    gone = plain.results[1].path
    content = gone.read_bytes()
    gone.unlink()
    try:
        verified = search(query, collection, SearchConfig(k=6, verify=6, decide=False))
        done = resight("search", query, "-c", collection, "--verify", 6, "--json")
        table = resight("search", query, "-c", collection, "--verify", 6)
    finally:
        gone.write_bytes(content)
    assert (verified.results[1].path, verified.results[1].unread) == (gone, True)
    assert [result.unread for result in verified].count(True) == 1
    listed = {entry["path"]: entry for entry in json.loads(done.stdout)["results"]}
    assert listed[str(gone)]["unread"] is True
    assert f"not verified, because they cannot be read: {gone}" in succeed(table)


def test_the_matched_region_lies_on_the_common_part(collection: Path, tmp_path: Path) -> None:
    """A photo with a wide margin around, and a box in it."""
    with Collection.open(collection) as opened:
        paths = [photo.path for photo in opened.photos()]
        with Image.open(paths[0]) as image:
            framed = Image.new("RGB", (image.width + 500, image.height + 300), "grey")
            framed.paste(image, (400, 200))
            size = image.size
        framed.save(tmp_path / "framed.png")
        box = (300, 150, framed.width - 300, framed.height - 150)
        config = SearchConfig(k=1, verify=2)
        for region in (None, box):
            (first,) = Searcher(opened).search(tmp_path / "framed.png", config, region).results
            assert first.path == paths[0]
            assert first.inliers is not None
            assert first.inliers > 100
            assert first.region is not None
            assert first.query_region is not None
            x, y, w, h = first.region
            assert min(x, y) >= 0
            assert x + w <= size[0]
            assert y + h <= size[1]
            assert w * h > 0.3 * size[0] * size[1]
            moved = np.subtract(first.query_region, first.region)
            assert np.abs(moved - [400, 200, 0, 0]).max() <= 3


def test_what_does_not_match_has_no_region(collection: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "grey.png")
    found = search(
        tmp_path / "grey.png", collection, SearchConfig(k=3, verify=2, decide=False)
    ).results
    assert [(r.inliers, r.region, r.query_region) for r in found[:2]] == [(0, None, None)] * 2
    assert found[2].inliers is None


def test_names_of_any_kind_are_printed_safely(
    tmp_path: Path, resight: Run, resight_process: Run
) -> None:
    names = ["new\nline.png", "[red]北京.png", "caf\udce9.png", "\x1b[31mescape.png", ":+1:.png"]
    for seed, name in enumerate(names):
        samples.draw(tmp_path / "photos" / f"{seed}.png", seed).rename(tmp_path / "photos" / name)
    samples.index(tmp_path / "photos", tmp_path / "c")
    query = tmp_path / "photos" / "[red]北京.png"
    environment = {**os.environ, "LC_ALL": "C"}
    done = resight_process("search", query, "-c", tmp_path / "c", "--all", env=environment)
    assert succeed(done) == ["1 photo of the same thing"]
    _, *rows = done.stdout.splitlines()
    assert len(rows) == 5
    assert "\x1b" not in done.stdout
    shown = {row.rsplit("/photos/", 1)[1] for row in rows}
    assert shown == {
        *("new\\nline.png", "[red]北京.png", "caf\\xe9.png", "\\x1b[31mescape.png", ":+1:.png")
    }
    done = resight("search", query, "-c", tmp_path / "c", "--json")
    paths = {result["path"] for result in json.loads(done.stdout)["results"]}
    assert paths == {str(tmp_path / "photos" / name) for name in names}


def test_evaluate(home: Path, collection: Path, resight: Run) -> None:
    groups = home / "photos" / "groups.json"
    done = resight("evaluate", groups, "-c", collection)
    assert succeed(done) == []
    expected = evaluate(groups, collection).report
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("mAP "))
    assert line.startswith(f"mAP {100 * expected.mean_average_precision:.2f}, N-S score ")
    assert line.endswith("(16 queries, 16 photos)")

    done = resight("evaluate", groups, "-c", collection, "--json")
    assert succeed(done) == []
    printed = json.loads(done.stdout)
    assert printed["mAP"] == pytest.approx(100 * expected.mean_average_precision)
    assert printed["ns_score"] == pytest.approx(expected.ns_score)
    assert printed["groups"].keys() == {f"object-{number:02}" for number in range(1, 5)}
    assert (printed["queries"], printed["photos"], printed["missing"]) == (16, 16, [])


@pytest.fixture(scope="module")
def small_groups(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small pictures of two objects, quick to verify, with their groups and a collection `c`."""
    folder = tmp_path_factory.mktemp("small")
    groups: dict[str, list[str]] = {"object-01": [], "object-02": []}
    for name, photos in groups.items():
        (folder / name).mkdir()
        for path in sorted((home / "photos" / name).glob("*.jpg")):
            with Image.open(path) as image:
                image.resize((200, 150)).save(folder / name / path.name)
            photos.append(f"{name}/{path.name}")
    (folder / "groups.json").write_text(json.dumps(groups))
    samples.index(folder, folder / "c")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        ("--rerank", "aqe"),
        ("--verify", 6),
        ("--rerank", "diffusion", "--verify", 3),
        ("--rerank", "k-reciprocal", "--rerank-with", "k1=2"),
        ("--verify", 6, "--verify-geometry", "affine"),
    ],
)
def test_evaluate_ranks_as_search_does(
    options: tuple[Any, ...], small_groups: Path, resight: Run
) -> None:
    groups, collection = small_groups / "groups.json", small_groups / "c"
    done = resight("evaluate", groups, "-c", collection, "--json", *options)
    assert done.returncode == 0, done.stderr  # a slow machine shows its progress there
    names = (str(name)[2:].replace("-", "_") for name in options[::2])
    fields = dict(zip(names, options[1::2], strict=True))
    settings = [fields.pop("rerank_with")] if "rerank_with" in fields else []
    fields["rerank"] = RerankConfig.parse(fields.get("rerank", "none"), settings)
    config = SearchConfig(k=8, **fields)
    truth = {name: [str(p) for p in paths] for name, paths in read_groups(groups).items()}

    def rank(photo: str) -> list[str]:
        return [str(r.path) for r in search(Path(photo), collection, config).results]

    precisions = []
    for members in truth.values():
        for photo in members:
            others = [path for path in rank(photo) if path != photo]
            found = [place for place, path in enumerate(others) if path in members]
            precisions.append(average_precision(found, len(members) - 1))
    assert json.loads(done.stdout)["mAP"] == pytest.approx(100 * np.mean(precisions))


def test_evaluate_verifies_with_the_photos_themselves(
    home: Path, collection: Path, query: Path, resight: Run, tmp_path: Path
) -> None:
    photos = shutil.copytree(home / "photos", tmp_path / "photos")
    config = LocalConfig(method="sift-vlad", longest_side=400, max_keypoints=300, centers=16)
    pipeline.index([photos], tmp_path / "c2", config=config)
    next(photos.rglob("*.jpg")).unlink()
    arguments = (photos / "groups.json", "-c", tmp_path / "c2")
    assert resight("evaluate", *arguments).returncode == 0
    done = resight("evaluate", *arguments, "--verify", 3)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("spatial verification needs the file")


def test_info(collection: Path, resight: Run) -> None:
    with writing(collection) as writer:
        photo = next(writer.collection.photos())
        file = find_photos([photo.path]).photos[0]
        writer.record_failed(file, None, "Permission denied")
    done = resight("info", "-c", collection)
    assert succeed(done) == ["1 could not be read:", f"  {photo.path}: Permission denied"]
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert (rows["photos"], rows["failed"], rows["method"]) == ("15", "1", "sift-vlad")
    (folder,) = info(collection).folders
    assert rows["folders"] == str(folder)
    assert "centers" not in rows
    done = resight("info", "-c", collection, "--settings")
    assert dict(line.split(maxsplit=1) for line in done.stdout.splitlines())["centers"] == "16"

    done = resight("info", "-c", collection, "--json")
    assert succeed(done) == []
    printed = json.loads(done.stdout)
    assert (printed["photos"], printed["config"]["centers"]) == (15, 16)
    assert printed["failed"] == [{"path": str(photo.path), "reason": "Permission denied"}]
    assert printed["fingerprint"] == info(collection).fingerprint


def test_remove(home: Path, collection: Path, query: Path, resight: Run) -> None:
    done = resight("remove", query, home / "photos" / "object-01", "-c", collection)
    assert done.stdout == ""
    assert succeed(done) == [f"removed 5 photos from {collection}"]
    assert query.exists()
    assert info(collection).photos == 11


def test_check(collection: Path, resight: Run) -> None:
    assert succeed(resight("check", "-c", collection)) == [f"{collection}: 16 photos, intact"]
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        database.execute("UPDATE descriptors SET crc32 = 0 WHERE rowid = 1")
        database.commit()
    lines = succeed(resight("check", "-c", collection), status=1)
    assert "run resight index again to extract 1 photo again" in lines
    assert lines[-1] == f"{collection}: 15 photos, damaged"
    assert succeed(resight("check", "-c", collection)) == [f"{collection}: 15 photos, intact"]


def test_fit(tmp_path: Path, resight: Run) -> None:
    folder = network_collection(tmp_path / "c", 40)
    done = resight("fit", "-c", folder, "--set", "features=5", "--set", "seed=3")
    assert done.stdout == ""
    assert succeed(done)[-1] == "kept 5 of 8 values, fitted on 40 photos"
    selection = info(folder).selection
    assert selection is not None
    assert (selection["config"]["features"], selection["config"]["seed"]) == (5, 3)


def test_describe_writes_arrays(
    home: Path, tmp_path: Path, resight: Run, small_weights: Path
) -> None:
    folder = home / "photos" / "object-01"
    broken = tmp_path / "broken.jpg"
    broken.write_text("no photo")
    options = ("--weights", small_weights, "--config", home / "net.toml", "--device", "cpu")
    out = tmp_path / "out.npz"
    done = resight("describe", folder, broken, "-o", out, "--cam", *options)
    lines = succeed(done)
    assert done.stdout == ""
    assert lines[-1] == f"{out}: descriptors (4, 3072) of 4 photos"
    assert f"  {broken}: not an image, or damaged beyond recognition" in lines
    with np.load(out) as arrays:
        assert sorted(arrays) == ["descriptors", "local", "paths"]
        assert arrays["paths"].tolist() == sorted(map(str, folder.iterdir()))
        assert arrays["descriptors"].shape == arrays["local"].shape == (4, 3072)
        assert arrays["descriptors"].dtype == arrays["local"].dtype == np.float32
        described = describe(
            [folder],
            config=str(home / "net.toml"),
            cam=True,
            model=ModelOptions(small_weights, "cpu"),
        )
        np.testing.assert_allclose(arrays["descriptors"], described.descriptors, atol=1e-5)


def test_index_and_search_with_the_network(
    home: Path, tmp_path: Path, query: Path, resight: Run, small_weights: Path
) -> None:
    config = home / "net.toml"
    folder, device = tmp_path / "c", ("--device", "cpu")
    photos = home / "photos" / "object-02"
    arguments = ("--config", config, "--weights", small_weights, "--cam", *device)
    lines = succeed(resight("index", photos, "-c", folder, *arguments))
    assert f"{folder}: 4 photos (4 new)" in lines
    assert any("until there are 128 photos for a selection" in line for line in lines)
    assert info(folder).config["cam"] is True
    options = ("--box", "50,50,200,200", "--json", *device)  # the weights are remembered
    done = resight("search", query, "-c", folder, *options)
    assert succeed(done) == []
    assert len(json.loads(done.stdout)["results"]) == 4


def commands(group: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the names and the object of every command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield (*names, name), command


ALL_COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_help_lists_every_command(resight: Run) -> None:
    done = resight("--help")
    assert succeed(done) == []
    assert resight().stdout == resight("-h").stdout == done.stdout
    assert resight("--version").stdout == f"resight {version('resight')}\n"
    listed = {words[1] for line in done.stdout.splitlines() if len(words := line.split()) > 2}
    assert {names[0] for names in ALL_COMMANDS} <= listed


@pytest.mark.parametrize("names", ALL_COMMANDS, ids=" ".join)
def test_the_help_of_a_command_explains_every_option_on_one_screen(
    names: tuple[str, ...], resight: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    done = resight(*names, "--help")
    assert succeed(done) == []
    lines = done.stdout.strip().splitlines()
    assert lines[0].strip().startswith(f"Usage: resight {' '.join(names)} ")
    assert len(lines) <= 50
    command = ALL_COMMANDS[names]
    assert command.help
    for param in command.params:
        assert param.help
        assert param.param_type_name == "argument" or param.opts[0] in done.stdout


def test_defaults_are_those_of_the_configurations(resight: Run) -> None:
    group: Any = typer.main.get_command(app)

    def default(command: str, name: str) -> Any:
        (param,) = (p for p in group.commands[command].params if p.name == name)
        return param.default

    assert default("search", "k") == SearchConfig().k
    assert default("search", "verify") == SearchConfig().verify
    for command in ("index", "search", "describe", "demo"):
        assert default(command, "device") == ModelOptions().device
        assert default(command, "weights") is ModelOptions().weights is None
    for name in ("config", "cam"):
        assert default("index", name) is None
    index = pipeline.index.__kwdefaults__
    assert index is not None
    for name in ("config", "cam", "workers", "prune"):
        assert default("index", name) == index[name]


# Bad input: one line on stderr, exit status 2, nothing harmed


def network_collection(folder: Path, count: int) -> Path:
    """Return a collection of the network's kind with synthetic descriptors of eight values."""
    with writing(folder, (ExtractionConfig(), SelectionConfig())) as writer:
        writer.bind_model(Model("cd" * 32))
        for number in range(count):
            values = np.random.default_rng(number).random(8, np.float32)
            file = find_photos([Path(__file__)]).photos[0]
            file = dataclasses.replace(file, path=Path(f"/photos/{number}.jpg"))
            writer.record_described(file, f"content {number}", (4, 3), values, None)
    return folder


@pytest.fixture(scope="module")
def bad(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Files and folders that something is wrong with, by name."""
    place = tmp_path_factory.mktemp("bad")
    (place / "empty").mkdir()
    (place / "text.jpg").write_text("no photo")
    (place / "junk.pth").write_bytes(b"no weights")
    (place / "broken.toml").write_text("resolutions = [")
    (place / "unknown.toml").write_text("resolution = 550")
    (place / "wrong.toml").write_text("resolutions = [3]")
    (place / "broken.json").write_text("{")
    (place / "list.json").write_text("[1, 2]")
    (place / "twice.json").write_text('{"tower": ["a.jpg"], "tower": ["b.jpg"]}')
    (place / "others.json").write_text('{"group": ["a.jpg", "b.jpg"]}')
    os.mkfifo(place / "pipe.jpg")
    newer = Path(shutil.copytree(home / "c", place / "newer"))
    with closing(sqlite3.connect(newer / "resight.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")
    (place / "damaged").mkdir()
    (place / "damaged" / "resight.sqlite").write_bytes(b"no database" * 1000)
    (place / "occupied").mkdir()
    (place / "occupied" / "diary.txt").write_text("mine")
    samples.draw_many(place / "photos", 2)
    return {
        "BAD": place,
        "C": home / "c",
        "PHOTOS": home / "photos",
        "NET": network_collection(place / "net", 3),
        "QUERY": home / "photos" / "object-02" / "view-1.jpg",
        "NEW": place / "new-collection",
        "HOME": home,
    }


BAD_INPUT = [
    ("info -c {C} --nonsense", "--nonsense"),
    ("serch {QUERY} -c {C}", "serch"),
    ("info", "--collection"),
    ("index {BAD}/nowhere -c {NEW} --config sift-vlad", "nowhere: no such file or folder"),
    ("index {BAD}/empty -c {NEW} --config sift-vlad", "empty: no photos there"),
    ("search {BAD}/text.jpg -c {C}", "text.jpg: not an image"),
    ("search {BAD}/pipe.jpg -c {C}", "pipe.jpg: not a regular file"),
    ("search {QUERY} -c {C} --box 600,400,900,900", "not inside the photo"),
    ("search {QUERY} -c {C} --box 1,2,3", "expected x,y,w,h in whole pixels"),
    ("search {QUERY} -c {BAD}/nowhere", "no collection here"),
    ("index {PHOTOS} -c {BAD}/newer", "has format 99, newer than"),
    ("search {QUERY} -c {BAD}/damaged", "damaged"),
    ("index {PHOTOS} -c {C} --config fast", "another configuration"),
    ("index {PHOTOS} -c {NET} --weights {BAD}/junk.pth", "other weights"),
    (
        "index {PHOTOS} -c {NEW} --config {HOME}/net.toml --weights {WEIGHTS} --device nonsense",
        "--device: nonsense is not available",
    ),
    ("index {BAD}/text.jpg -c {NEW} --config sift-vlad", "text.jpg: not an image"),
    ("search -c {C}", "QUERY"),
    ("search {QUERY} {BAD}/text.jpg -c {C} --box 1,2,3,4", "--box: only with a single query"),
    ("search {QUERY} -c {C} --each --box 1,2,3,4", "--box: only with a single query"),
    ("search {QUERY} {BAD}/text.jpg -c {C}", "text.jpg: not an image"),
    ("search @{BAD}/nowhere.txt -c {C}", "the list cannot be read"),
    ("search {QUERY} -c {C} --json --csv", "--json: not together with --csv"),
    ("search {QUERY} -c {C} --html {BAD}/text.jpg", "text.jpg: name it with .html"),
    ("search {QUERY} -c {C} --html {BAD}/nowhere/a.html", "a.html: cannot be written"),
    ("search {QUERY} -c {C} --sheet {QUERY}", "may be a photo, which would be overwritten"),
    ("search {QUERY} -c {C} --copy-to {BAD}/text.jpg", "text.jpg: cannot be written"),
    ("search {QUERY} -c {C} --link-to {BAD}/text.jpg", "text.jpg: cannot be written"),
    ("search {QUERY} -c {C} --copy-to {C}/found", "is a collection"),
    ("search {QUERY} -c {C} --copy-to ''", "an argument is empty"),
    ("index '' -c {NEW}", "an argument is empty"),
    ("search {QUERY} -c {C} --min-probability -1", "min_probability: expected float >= 0"),
    (
        "search {QUERY} -c {C} --file-name a/b",
        "--file-name: holds a slash, so it is no part of a file name",
    ),
    ("search {QUERY} -c {C} --under {BAD}", "--under: the collection has no photos in this folder"),
    (
        "search {QUERY} -c {C} --taken-from 2020 --taken-before 2010",
        "--taken-before: must be later than taken_from",
    ),
    ("groups -c {C} --limit nan", "--limit: expected a distance, 0 or more, not nan"),
    ("groups -c {C} --limit -1", "--limit: expected a distance"),
    ("groups -c {C} --csv --json", "--json: not together with --csv"),
    ("search {QUERY} -c {C} -k 0", "k: expected int >= 1"),
    ("search {QUERY} -c {C} -k many", "'-k'"),
    ("search {QUERY} -c {C} --verify -1", "verify: expected int >= 0"),
    ("index {PHOTOS} -c {C} --workers 0", "--workers"),
    ("index {PHOTOS} -c {NEW} --config whitened-dba", "search with rerank=dba"),
    ("search {QUERY} -c {C} --rerank dba --rerank-with k9=1", "unknown field 'k9'; the fields are"),
    (
        "search {QUERY} -c {C} --rerank dba --rerank-with k1=0",
        "--rerank-with: k1: expected int >= 1, not 0",
    ),
    ("search {QUERY} -c {C} --rerank-with k1=3", "--rerank-with: needs a method in rerank"),
    ("search {QUERY} -c {C} --rerank nonsense", "'--rerank': 'nonsense' is not one of"),
    ("search {QUERY} -c {C} --verify 3 --verify-by columns", "needs a network; sift-vlad has none"),
    (
        "evaluate {PHOTOS}/groups.json -c {C} --verify 3 --verify-by columns",
        "needs a network; sift-vlad has none",
    ),
    ("search {QUERY} -c {C} --verify 3 --verify-by orb", "'orb' is not one of 'sift'"),
    ("fit -c {C} --method nonsense", "method: expected one of pfa, whitening, wccn, none"),
    ("index {PHOTOS} -c {NEW} --config nonsense", "--config: no method or file 'nonsense'"),
    ("index {PHOTOS} -c {NEW} --config {BAD}/broken.toml", "cannot be read as TOML"),
    ("index {PHOTOS} -c {NEW} --config {BAD}/unknown.toml", "unknown field 'resolution'"),
    ("index {PHOTOS} -c {NEW} --config {BAD}/wrong.toml", "resolutions: expected int >= 32"),
    ("index {PHOTOS} -c {NEW} --cam --config sift-vlad", "--cam"),
    ("index {PHOTOS} {BAD}/nowhere -c {C}", "nowhere: no such file or folder"),
    ("search {BAD}/nowhere.jpg -c {C}", "nowhere.jpg: no such file"),
    ("search {BAD}/empty -c {C}", "empty: no photos there"),
    ("search {BAD}/text.jpg -c {C} --box 0,0,9,9", "text.jpg: not an image"),
    ("search {QUERY} -c {C} --box=-5,0,10,10", "not inside the photo"),
    ("search {QUERY} -c {C} --box 1.5,2,30,40", "expected x,y,w,h in whole pixels"),
    ("check -c {BAD}/empty", "no collection here"),
    ("index {PHOTOS} -c {BAD}/occupied --config sift-vlad", "is no collection and not empty"),
    ("index {BAD}/text.jpg -c {BAD}/occupied --config sift-vlad", "is no collection and not empty"),
    ("index {PHOTOS} -c {BAD}/text.jpg --config sift-vlad", "text.jpg"),
    ("search {QUERY} -c {BAD}/newer", "has format 99, newer than"),
    ("index {PHOTOS} -c {C} --config sift-vlad", "centers is 16, not 128"),
    ("fit -c {C}", "sift-vlad has no selection to fit"),
    ("fit -c {NET} --set features=9", "cannot keep 9 features"),
    ("fit -c {NET} --set features=0", "features: expected int >= 1"),
    ("fit -c {NET} --from {C}", "another configuration or other weights"),
    ("remove {BAD}/text.jpg -c {C}", "nothing was removed"),
    ("index {PHOTOS} -c {NEW} --config fast --weights {BAD}/nowhere.pth", "nowhere.pth"),
    ("index {PHOTOS} -c {NEW} --config fast --weights {BAD}/junk.pth", "junk.pth"),
    ("describe {PHOTOS} -o {BAD}/out.npz --config sift-vlad", "learns from a collection"),
    ("demo {BAD}/text.jpg", "text.jpg"),
    ("evaluate {BAD}/nowhere.json -c {C}", "nowhere.json"),
    ("evaluate {BAD}/broken.json -c {C}", "broken.json"),
    ("evaluate {BAD}/list.json -c {C}", "list.json"),
    ("evaluate {BAD}/twice.json -c {C}", "twice.json: the group 'tower' appears twice"),
    ("evaluate {BAD}/others.json -c {C}", "none of its photos is in"),
    ("search {QUERY} -c {C} --sheet {BAD}/out.psd", "out.psd: name it with .jpg or .png"),
    # Output files are checked first: the photos do not even exist.
    ("describe {BAD}/gone.jpg -o {BAD}/nowhere/out.npz", "nowhere/out.npz: cannot be written"),
    ("describe {BAD}/gone.jpg -o {BAD}/empty", "empty: name it with .npz"),
    ("describe {BAD}/gone.jpg -o {BAD}/new.jpg", "new.jpg: name it with .npz"),
    ("search {BAD}/gone.jpg -c {C} --sheet {BAD}/nowhere/a.jpg", "a.jpg: cannot be written"),
    ("search {BAD}/gone.jpg -c {C} --sheet {BAD}/out.xyz", "out.xyz: name it with .jpg or .png"),
    ("explain {BAD}/gone.jpg {QUERY} -o {BAD}/nowhere/a.png", "a.png: cannot be written"),
    ("explain {BAD}/gone.jpg {QUERY} -o {BAD}/out.psd", "out.psd: name it with .jpg or .png"),
]


def state(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and "sqlite-" not in path.name
    }


def arguments(command: str, bad: dict[str, Any], request: pytest.FixtureRequest) -> list[str]:
    weights = request.getfixturevalue("small_weights") if "{WEIGHTS}" in command else None
    return [part.format(**bad, WEIGHTS=weights) for part in shlex.split(command)]


State = tuple[dict[str, bytes], dict[str, Any], str]


def state_of_all(bad: dict[str, Any]) -> State:
    return state(bad["BAD"]), samples.contents(bad["C"]), samples.stamp(bad["C"])


@pytest.fixture(scope="module")
def untouched(bad: dict[str, Any]) -> State:
    """Return what the files and collections hold before all tests."""
    search(bad["QUERY"], bad["C"])  # its arrays are there
    return state_of_all(bad)


@pytest.fixture
def unharmed(bad: dict[str, Any], untouched: State) -> Iterator[None]:
    """Whatever a test does, it changes nothing."""
    yield
    assert state_of_all(bad) == untouched
    assert not bad["NEW"].exists()


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize(("command", "message"), BAD_INPUT, ids=[c for c, _ in BAD_INPUT])
def test_bad_input_is_one_line_and_harms_nothing(
    command: str, message: str, bad: dict[str, Any], request: pytest.FixtureRequest, resight: Run
) -> None:
    assert message in refused(resight(*arguments(command, bad, request)))


def test_a_process_of_its_own_refuses_bad_input_too(
    collection: Path, tmp_path: Path, resight_process: Run
) -> None:
    done = resight_process("search", tmp_path / "nowhere.jpg", "-c", collection)
    assert "nowhere.jpg: no such file" in refused(done)


def test_a_second_writer_is_refused_and_a_reader_is_not(
    home: Path, collection: Path, query: Path, resight: Run
) -> None:
    with writing(collection):
        for command in (
            ("index", home / "photos", "-c", collection),
            ("check", "-c", collection),
        ):
            assert "another process is writing" in refused(resight(*command))
        succeed(resight("search", query, "-c", collection))


# Disks and permissions


def test_a_full_disk_is_one_line_and_the_next_run_resumes(tmp_path: Path, resight: Run) -> None:
    samples.draw_many(tmp_path / "photos", 30)
    config = samples.write_config(
        tmp_path / "large.toml", dataclasses.replace(samples.QUICK, centers=64)
    )
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.mkdir()
    script = '"$@"; status=$?; cp -r "$DISK/c" "$SAVED"; exit $status'
    # Room for the descriptors, but not for the log they are written to first.
    command = [*samples.on_small_disk(disk, 1200), "sh", "-c", script, "sh"]
    command += [sys.executable, "-m", "resight", "index", str(tmp_path / "photos")]
    command += ["-c", str(disk / "c"), "--config", str(config)]
    environment = {**os.environ, "DISK": str(disk), "SAVED": str(saved)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert refused(done) == (
        f"resight: {disk / 'c'}: the disk is full; free some space and run again"
    )
    samples.assert_whole(saved)
    saved_photos = info(saved).photos
    assert 0 < saved_photos < 30
    lines = succeed(resight("index", tmp_path / "photos", "-c", saved))
    assert f"{saved}: 30 photos ({30 - saved_photos} new, {saved_photos} unchanged)" in lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_output_to_a_full_disk_is_one_line(collection: Path, resight: Run) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "resight", "info", "-c", str(collection)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("resight: ")
    assert "No space left on device" in done.stderr


def test_without_permission_to_write_a_collection_is_searched_and_not_indexed(
    home: Path, collection: Path, query: Path, tmp_path: Path
) -> None:
    shut = tmp_path / "shut"
    shut.mkdir()
    user = samples.as_ordinary_user()
    before = samples.contents(collection)
    samples.draw_many(tmp_path / "photos", 2)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*user, sys.executable, "-m", "resight", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shut.chmod(0o555)
    collection.chmod(0o555)
    for path in collection.iterdir():
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert "ermission" in refused(run("index", tmp_path / "photos", "-c", collection))
        assert "ermission" in refused(run("remove", query, "-c", collection))
        new = ("-c", shut / "c", "--config", home / "sift.toml")
        assert "ermission" in refused(run("index", tmp_path / "photos", *new))
        sheet = ("--sheet", shut / "sheet.jpg")
        assert "ermission" in refused(run("search", query, "-c", collection, *sheet))
        done = run("search", query, "-c", collection, "--all")
        succeed(done)
        assert len(done.stdout.splitlines()) == 11
        assert succeed(run("info", "-c", collection)) == []
    finally:
        collection.chmod(0o755)
        shut.chmod(0o755)
        for path in collection.iterdir():
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert samples.contents(collection) == before
    assert list(shut.iterdir()) == []


def test_an_unreadable_folder_is_listed(home: Path, collection: Path, tmp_path: Path) -> None:
    samples.draw(tmp_path / "photos" / "open" / "a.png", 1)
    samples.draw(tmp_path / "photos" / "shut" / "b.png", 2)
    samples.draw(tmp_path / "photos" / "c.png", 3).chmod(0)
    (tmp_path / "photos" / "shut").chmod(0)
    command = [*samples.as_ordinary_user(), sys.executable, "-m", "resight", "index"]
    command += [str(tmp_path / "photos"), "-c", str(collection), "--strict"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        (tmp_path / "photos" / "shut").chmod(0o755)
    lines = succeed(done, status=3)
    assert f"{collection}: 17 photos (1 new, 2 failed)" in lines
    assert f"  {tmp_path / 'photos' / 'shut'}: folder: Permission denied" in lines
    assert f"  {tmp_path / 'photos' / 'c.png'}: Permission denied" in lines
