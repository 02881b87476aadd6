"""A small part of the fuzzing, without Atheris; all of it is `make fuzz`."""

import io
import random
import sys

import mutated_photos
import mutations
import pytest
import targets

import seeds
from resight.photos.images import load_image

MUTATIONS = 40
PHOTOS = 200

# A process that loads photos hides what Pillow warns of; in here pytest sets its own filters.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


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


@pytest.mark.parametrize("format", seeds.PHOTO_FORMATS)
def test_photos_that_are_mutated_are_intact(format):
    for data in seeds.photos(format):
        assert min(load_image(io.BytesIO(data)).size) >= 48


def test_the_checksums_of_a_mutated_png_are_repaired():
    (data, *_) = seeds.photos("PNG")
    damaged = bytearray(data)
    damaged[29] ^= 1  # of the checksum of its header
    assert mutations.repair_png(bytes(damaged)) == data


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="waits for a process as POSIX does")
def test_mutated_photos_are_indexed_or_listed():
    outcome = mutated_photos.index_mutated(PHOTOS, seed=0)
    assert outcome.violations == []
    assert outcome.states["ok"] > PHOTOS / 10
    assert outcome.states["failed"] > PHOTOS / 10
    assert outcome.states.total() == PHOTOS
