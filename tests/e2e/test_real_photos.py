"""The main job on real photos through the command line: by the default method and the paper's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from environment import Run
from resight.evaluation.measures import read_groups
from resight.indexing import pipeline
from resight.photos.images import load_image

CopyPhotos = Callable[[list[str], int], Path]


@pytest.fixture(scope="module")
def copy_photos(real_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> CopyPhotos:
    """Copy photos of some places with their `groups.json`."""

    def copy(places: list[str], photos_each: int) -> Path:
        target = tmp_path_factory.mktemp("scenes") / "photos"
        groups = json.loads((real_photos / "scenes" / "groups.json").read_text())
        few = {name: sorted(groups[name])[:photos_each] for name in places}
        for photo in (photo for photos in few.values() for photo in photos):
            (target / photo).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(real_photos / "scenes" / photo, target / photo)
        (target / "groups.json").write_text(json.dumps(few))
        return target

    return copy


@pytest.fixture(scope="module")
def photos(copy_photos: CopyPhotos) -> Path:
    """Return a folder with eleven photos of three places."""
    return copy_photos(["berlin", "sacre_coeur", "sceaux_castle"], 4)


@pytest.fixture(scope="module")
def scenes(photos: Path) -> Path:
    """Return a collection of the photos, indexed by the default method."""
    run = pipeline.index([photos], photos.parent / "collection")
    assert run.photos == 11
    return photos.parent / "collection"


def test_every_photo_finds_its_place(scenes: Path, photos: Path, resight: Run) -> None:
    run = resight("evaluate", photos / "groups.json", "-c", scenes, "--json")
    assert json.loads(run.stdout)["mAP"] >= 99.5


def test_search_with_a_photo_that_is_not_in_the_collection(
    scenes: Path, photos: Path, resight: Run, tmp_path: Path
) -> None:
    castle = min((photos / "sceaux_castle").glob("*.jpg"))
    image = load_image(castle)
    cut = tmp_path / "cut.png"
    image.crop((40, 40, image.width - 40, image.height - 40)).save(cut)
    run = resight("search", cut, "-c", scenes, "-k", 4, "--json", "--sheet", tmp_path / "s.jpg")
    answer = json.loads(run.stdout)
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4]
    assert all("sceaux_castle" in result["path"] for result in answer["results"])
    assert answer["results"][0]["path"] == str(castle)
    assert answer["results"][0]["kind"] == "crop"
    assert answer["found"] >= 3
    assert load_image(tmp_path / "s.jpg").width > 500


def test_search_with_a_region(scenes: Path, photos: Path, resight: Run) -> None:
    for group, members in read_groups(photos / "groups.json").items():
        image = load_image(members[0])
        width, height = image.width, image.height
        box = f"{width // 5},{height // 5},{width * 3 // 5},{height * 3 // 5}"
        run = resight("search", members[0], "-c", scenes, "-k", 3, "--box", box, "--json")
        found = [result["path"] for result in json.loads(run.stdout)["results"]]
        assert all(path in map(str, members) for path in found), group


def test_the_papers_method(
    copy_photos: CopyPhotos, real_weights: Path, small_weights: Path, resight: Run, tmp_path: Path
) -> None:
    photos = copy_photos(["berlin", "sceaux_castle"], 2)
    command = ["index", photos, "-c", tmp_path / "c", "--config", "paper", "--cam", "--weights"]
    run = resight(*command, real_weights)
    assert run.returncode == 0, run.stderr
    run = resight("evaluate", photos / "groups.json", "-c", tmp_path / "c", "--json")
    assert json.loads(run.stdout)["mAP"] == 100
    query = min((photos / "sceaux_castle").glob("*.jpg"))
    verify = ["--verify", 2, "--verify-by", "columns", "--json"]
    run = resight("search", query, "-c", tmp_path / "c", *verify)
    found = json.loads(run.stdout)["results"]
    assert found[0]["inliers"] >= 100
    assert {result["verdict"] for result in found[:2]} == {"same"}
    refused = resight(*command, small_weights)
    assert refused.returncode == 2
    assert "other weights" in refused.stderr
