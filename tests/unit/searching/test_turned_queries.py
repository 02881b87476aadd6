"""Mirror images and quarter turns of a query."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import samples
from resight.collection import Collection
from resight.config import SearchConfig
from resight.photos.transforms import QUARTER_TURNS, turn, unturn_box
from resight.searching import Searcher
from resight.searching.query import QueryPhoto

SIZE = 320, 240
MIRROR = Image.Transpose.FLIP_LEFT_RIGHT


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures, and the mirror image of 0.png and 1.png turned clockwise."""
    folder = tmp_path_factory.mktemp("turned")
    (folder / "photos").mkdir()
    for seed in range(12):
        image = samples.textured_picture(seed, *SIZE)
        image = {0: image.transpose(MIRROR), 1: image.transpose(QUARTER_TURNS[1])}.get(seed, image)
        image.save(folder / "photos" / f"{seed}.png")
    samples.textured_picture(0, *SIZE).save(folder / "0.png")
    samples.textured_picture(1, *SIZE).save(folder / "1.png")
    config = dataclasses.replace(samples.QUICK, longest_side=320, max_keypoints=300)
    samples.index(folder / "photos", folder / "c", config=config)
    return folder / "c"


@pytest.mark.parametrize(("name", "kind"), [("0", "mirrored"), ("1", "rotated")])
@pytest.mark.slow
def test_a_turned_photo_is_found_once_and_named(collection: Path, name: str, kind: str) -> None:
    query, photo = collection.parent / f"{name}.png", collection.parent / "photos" / f"{name}.png"
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        results = searcher.search(query, SearchConfig(k=20, **{kind: True}))  # type: ignore[arg-type]
        plain = searcher.search(query, SearchConfig(k=20))
    assert len({result.path for result in results}) == len(results) == 12
    first = results.results[0]
    assert (first.path, first.verdict, first.kind) == (photo, "same", kind)
    assert first.distance < 1e-4
    (before,) = (result for result in plain if result.path == photo)
    assert first.distance < before.distance
    assert results.queries == ()


def test_only_requested_views_are_described(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[tuple[bool, int]] = []
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        describe = searcher.describe

        def count(view: QueryPhoto) -> Any:
            described.append((view.mirrored, view.turns))
            return describe(view)

        monkeypatch.setattr(searcher, "describe", count)
        photo = collection.parent / "photos" / "5.png"
        searcher.search(photo)
        assert described == []
        searcher.search(photo, SearchConfig(mirrored=True))
        assert described == [(True, 0)]
        searcher.search(photo, SearchConfig(mirrored=True, rotated=True))
        assert described[1:] == [(True, 0), (False, 1), (False, 2), (False, 3)]


@pytest.mark.parametrize("verify", [0, 3])
def test_regions_are_in_pixels_of_the_query_as_it_is(collection: Path, verify: int) -> None:
    box = (160, 0, 160, 240)  # the right half, which is the left half of the mirror image
    query = collection.parent / "0.png"
    config = SearchConfig(k=3, mirrored=True, verify=verify)
    with Collection.open(collection) as opened:
        first = Searcher(opened).search(query, config, box).results[0]
    assert first.path.name == "0.png"
    assert first.region is not None
    assert first.query_region is not None
    x, _, w, _ = first.region
    left, top, width, height = first.query_region
    assert x + w <= 170
    assert left >= 155
    assert left + width <= 320
    assert top + height <= 240
    assert left == pytest.approx(320 - x - w, abs=12)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_boxes_are_turned_back(mirrored: bool, turns: int) -> None:
    image = Image.new("L", (40, 30))
    image.paste(255, (5, 10, 16, 13))
    turned = turn(image, mirrored=mirrored, turns=turns)
    left, top, right, bottom = turned.getbbox()  # type: ignore[misc]
    box = (left, top, right - left, bottom - top)
    assert unturn_box(box, turned.size, mirrored=mirrored, turns=turns) == (5, 10, 11, 3)
