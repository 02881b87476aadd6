"""A small part of the fuzzing, without Atheris; all of it is `make fuzz`."""

import contextlib
import io
import json
import random
import sys

import hostile_report
import intact_inputs
import mutated_photos
import mutations
import pytest
import targets
from PIL import Image

from environment import ROOT
from resight.errors import ImageError
from resight.photos import images
from resight.photos.images import load_image

MUTATIONS = 40
PHOTOS = 100

# A process that loads photos hides what Pillow warns of; in here pytest sets its own filters.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def test_the_table_in_the_documentation_is_that_of_the_figures():
    figures = json.loads((ROOT / "docs" / "hostile.json").read_text("utf-8"))
    table = hostile_report.START + hostile_report.table(figures) + hostile_report.END
    assert table in (ROOT / "docs" / "durability.md").read_text("utf-8")
    names = {row["target"] for row in figures["rows"]}
    assert names >= {target.name for target in targets.TARGETS}


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.slug)
def test_mutated_inputs_are_read_or_refused(target):
    drawn = target.seeds()
    if not drawn:
        pytest.skip("this format cannot be written here")
    chance = random.Random(target.name)
    for data in drawn:
        target.read(data)
    for _ in range(MUTATIONS):
        target.read(mutations.mutate(chance.choice(drawn), chance, drawn))


@pytest.mark.parametrize("format", intact_inputs.PHOTO_FORMATS)
def test_photos_that_are_mutated_are_intact(format):
    for data in intact_inputs.photos(format):
        assert min(load_image(io.BytesIO(data)).size) >= 48


def test_the_checksums_of_a_mutated_png_are_repaired():
    (data, *_) = intact_inputs.photos("PNG")
    damaged = bytearray(data)
    damaged[29] ^= 1  # of the checksum of its header
    assert mutations.repair_png(bytes(damaged)) == data


def test_the_size_of_a_mutated_gif_is_found_as_pillow_finds_it():
    drawn, chance, opened = intact_inputs.photos("GIF"), random.Random(0), 0
    for _ in range(500):
        data = mutations.mutate(chance.choice(drawn), chance)
        size = images._gif_size(io.BytesIO(data))
        if data.startswith(b"GIF8") and size[0] * size[1] < 10**7:
            found = None
            with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
                found = image.size
            assert found in (None, size)
            opened += found is not None
    assert opened > 100


def test_a_gif_that_is_filled_when_it_is_opened_is_refused_before():
    frame = b"!\xf9\4\x08\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0"
    gif = b"GIF89a\1\0\1\0\0\0\0" + frame + b"\2\2\x4c\1\0;"
    with pytest.raises(ImageError, match="65535 x 65535 pixels, more than the limit"):
        images.image_size(io.BytesIO(gif))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="waits for a process as POSIX does")
def test_mutated_photos_are_indexed_or_listed():
    outcome = mutated_photos.index_mutated(PHOTOS, seed=0)
    assert outcome.violations == []
    assert outcome.states["ok"] > PHOTOS / 10
    assert outcome.states["failed"] > PHOTOS / 10
    assert outcome.states.total() == PHOTOS
