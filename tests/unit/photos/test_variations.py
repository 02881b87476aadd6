"""Varied copies: deterministic, of the requested size, never mirrored, of any image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resight.photos import variations
from resight.photos.variations import BLUR, GAINS, GAMMA, varied_copies
from samples import picture


def pixels(copies: list[Image.Image]) -> list[bytes]:
    return [copy.tobytes() for copy in copies]


def test_the_same_image_and_seed_give_the_same_copies() -> None:
    first, again = (varied_copies(picture(0), 6, 64, seed=3) for _ in range(2))
    assert pixels(first) == pixels(again)
    assert len(set(pixels(first))) == 6
    assert pixels(varied_copies(picture(0), 6, 64, seed=4)) != pixels(first)
    # Fewer copies are the first of more, so that more can be described later.
    assert pixels(varied_copies(picture(0), 2, 64, seed=3)) == pixels(first)[:2]


def test_the_image_is_not_changed() -> None:
    image = picture(1)
    before = image.tobytes()
    varied_copies(image, 4, 200, seed=0)
    assert image.tobytes() == before


@settings(deadline=None, max_examples=40)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    side=st.integers(1, 150),
    seed=st.integers(0, 2**32 - 1),
)
def test_sizes(width: int, height: int, side: int, seed: int) -> None:
    image = picture(2).resize((width, height))
    for copy in varied_copies(image, 3, side, seed):
        assert copy.mode == "RGB"
        assert max(copy.size) == side
        # In the proportions of the image.
        expected = side * min(width, height) / max(width, height)
        assert abs(min(copy.size) - max(1, expected)) <= 0.5
        assert (copy.width >= copy.height) == (width >= height) or copy.width == copy.height


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3000, 1), (1, 3000), (6000, 7)])
def test_tiny_and_long_images(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (90, 120, 30))
    copies = varied_copies(image, 8, 96, seed=1)
    assert all(max(copy.size) == 96 for copy in copies)
    assert all(min(copy.size) >= 1 for copy in copies)


def test_a_large_image_is_reduced_first() -> None:
    """A fine pattern becomes gray, rather than coarse stripes."""
    stripes = np.zeros((40, 4000, 3), np.uint8)
    stripes[:, ::2] = 255
    for copy in varied_copies(Image.fromarray(stripes), 8, 100, seed=0):
        values = np.asarray(copy, float)
        middle = values[values.shape[0] // 2 :, :, 0]
        level = np.median(middle)
        assert np.mean(np.abs(middle - level) > 40) < 0.3  # a covered patch at most


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_other_modes(mode: str) -> None:
    image = picture(0).convert(mode)
    copies = varied_copies(image, 3, 50, seed=0)
    assert {copy.mode for copy in copies} == {"RGB"}
    assert pixels(copies) == pixels(varied_copies(image.convert("RGB"), 3, 50, seed=0))


def test_nothing_is_mirrored() -> None:
    """The corners stay clockwise from the upper left, whatever is drawn."""
    generator = np.random.default_rng(0)
    for _ in range(500):
        corners, _ = variations._random_quadrilateral((90, 120, 3), generator)
        x, y = corners.T
        area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2
        assert area > 0
        assert x[[1, 2]].mean() > x[[0, 3]].mean()
        assert y[[2, 3]].mean() > y[[0, 1]].mean()


def test_left_stays_left_and_up_stays_up() -> None:
    ramp = np.linspace(40, 215, 200).astype(np.uint8)
    across = np.repeat(np.tile(ramp, (160, 1))[..., None], 3, axis=2)
    for seed in range(20):
        for copy in varied_copies(Image.fromarray(across), 2, 80, seed):
            values = np.asarray(copy, float).mean(axis=(0, 2))
            assert np.polyfit(np.arange(len(values)), values, 1)[0] > 0
        for copy in varied_copies(Image.fromarray(across.transpose(1, 0, 2).copy()), 2, 80, seed):
            values = np.asarray(copy, float).mean(axis=(1, 2))
            assert np.polyfit(np.arange(len(values)), values, 1)[0] > 0


def test_most_of_a_copy_is_of_the_photo() -> None:
    """Copies look like their photo more than like another one."""
    size = (32, 24)

    def small(image: Image.Image) -> np.ndarray:
        values = np.asarray(image.convert("L").resize(size), float).ravel()
        return (values - values.mean()) / values.std()

    photos = [picture(seed) for seed in range(8)]
    thumbnails = np.stack([small(photo) for photo in photos])
    right = [
        int((thumbnails @ small(copy)).argmax() == row)
        for row, photo in enumerate(photos)
        for copy in varied_copies(photo, 6, 120, seed=row)
    ]
    assert np.mean(right) > 0.35, "one in eight by chance"


def test_gamma_and_gains() -> None:
    gray = np.full((4, 4, 3), 128, np.uint8)
    low, high = (
        255 * GAINS[0] * (128 / 255) ** GAMMA[1],
        255 * GAINS[1] * (128 / 255) ** GAMMA[0],
    )
    generator = np.random.default_rng(0)
    drawn = np.array([variations._relight(gray, generator)[0, 0] for _ in range(300)])
    assert drawn.min() >= int(low)
    assert drawn.max() <= high
    assert drawn.min() < 1.3 * low
    assert drawn.max() > high / 1.3
    assert (drawn.std(axis=1) > 0).mean() > 0.9, "each channel by itself"
    black = np.zeros((2, 2, 3), np.uint8)
    assert not variations._relight(black, generator).any()


def test_some_copies_are_blurred_and_some_have_a_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    blurs: list[float] = []

    def blur(image: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
        blurs.append(sigma)
        return image

    monkeypatch.setattr(variations.cv2, "GaussianBlur", blur)
    blank = Image.new("RGB", (60, 60), (128, 128, 128))
    patched = 0
    for copy in varied_copies(blank, 400, 40, seed=0):
        colors = copy.getcolors()
        assert colors is not None
        patched += len(colors) == 2
        if len(colors) == 2:
            assert min(count for count, _ in colors) == (copy.width // 4) * (copy.height // 4)
    assert 0.3 < len(blurs) / 400 < 0.5
    assert 0.4 < patched / 400 < 0.6
    assert min(blurs) >= BLUR[0]
    assert max(blurs) <= BLUR[1]
