"""Searches for edited copies: found first, with the kind of sameness."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageOps

import samples
from resight.collection import Collection
from resight.searching import Searcher

EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda image: image.resize((240, 180)),
    "crop": lambda image: image.crop((0, 0, 300, 220)),
    "edited": lambda image: ImageOps.expand(image, 100, "white"),
    "rotated": lambda image: image.rotate(180),
}


@pytest.mark.parametrize("kind", EDITS)
def test_edited_copies_are_found_and_named(textured: Path, kind: str) -> None:
    query = EDITS[kind](samples.textured_picture(4))
    with Collection.open(textured) as opened:
        first, second, *_ = Searcher(opened).search(query).results
    assert first.path.name == "4.png"
    assert first.to_dict()["kind"] == kind
    assert second.kind is None
    assert "kind" not in second.to_dict()


def test_the_same_file_is_a_copy(textured: Path) -> None:
    with Collection.open(textured) as opened:
        first = Searcher(opened).search(textured.parent / "photos" / "4.png").results[0]
    assert first.kind == "copy"


def test_a_region_of_the_same_file_is_a_crop(textured: Path) -> None:
    with Collection.open(textured) as opened:
        searcher = Searcher(opened)
        file = textured.parent / "photos" / "4.png"
        first = searcher.search(file, box=(100, 80, 300, 220)).results[0]
    assert first.kind == "crop"
