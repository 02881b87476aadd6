"""The kinds of sameness: edited copies of drawn pictures get their names, other views do not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from resight.evidence import Evidence, Kind
from resight.evidence.extraction import extract_evidence
from resight.evidence.kinds import kind_of
from resight.evidence.matching import match_near
from samples import picture, textured_picture

Draw = Callable[[Image.Image], Image.Image]

ORIGINAL = textured_picture(1)


def evidence_of(image: Image.Image, quality: int = 90) -> Evidence:
    """Return the evidence of a picture saved as JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return extract_evidence(Image.open(file).convert("RGB"))


def kinds(first: Evidence, second: Evidence) -> set[Kind]:
    """Return the kind in both directions; one if it does not depend on the direction."""
    return {
        kind_of(one, other, match_near(one, other, 0.8), same_content=False)
        for one, other in ((first, second), (second, first))
    }


def with_text(image: Image.Image) -> Image.Image:
    copy = image.copy()
    font = ImageFont.load_default(image.width / 14)
    ImageDraw.Draw(copy).text((image.width / 2, image.height * 0.85), "HELLO", "white", font, "mm")
    return copy


def with_watermark(image: Image.Image) -> Image.Image:
    ink = Image.new("L", image.size)
    font = ImageFont.load_default(image.width / 6)
    ImageDraw.Draw(ink).text((image.width / 2, image.height / 2), "sample", 120, font, "mm")
    return Image.composite(Image.new("RGB", image.size, "white"), image, ink)


def tilted(image: Image.Image) -> Image.Image:
    """Return the picture as a camera sees it that looks from the side."""
    corners = (20, 10, 30, image.height - 25, image.width, image.height, image.width - 40, 20)
    return image.transform(image.size, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)


EDITS: dict[str, tuple[Draw, Kind]] = {
    "re-saved": (lambda image: image, "resized"),
    "half": (lambda image: image.resize((240, 180), Image.Resampling.LANCZOS), "resized"),
    "128 pixels": (lambda image: ImageOps.contain(image, (128, 128)), "resized"),
    "squeezed": (lambda image: image.resize((360, 360)), "resized"),
    "corner": (lambda image: image.crop((240, 180, 480, 360)), "crop"),
    "middle": (lambda image: image.crop((120, 60, 330, 270)), "crop"),
    "gray": (lambda image: image.convert("L").convert("RGB"), "edited"),
    "brighter": (lambda image: image.point(lambda value: min(255, value + 25)), "edited"),
    "text": (with_text, "edited"),
    "watermark": (with_watermark, "edited"),
    "blur": (lambda image: image.filter(ImageFilter.GaussianBlur(4)), "edited"),
    "border": (lambda image: ImageOps.expand(image, 100, "white"), "edited"),
    "thin border": (lambda image: ImageOps.expand(image, 24, "black"), "edited"),
    "mirror": (ImageOps.mirror, "mirrored"),
    "upside down mirror": (ImageOps.flip, "mirrored"),
    "mirrored corner": (lambda image: ImageOps.mirror(image.crop((0, 0, 300, 220))), "mirrored"),
    "quarter turn": (lambda image: image.rotate(90, expand=True), "rotated"),
    "half turn": (lambda image: image.rotate(180), "rotated"),
    "three quarters": (lambda image: image.rotate(270, expand=True), "rotated"),
    "from the side": (tilted, "view"),
    "turned a little": (lambda image: image.rotate(5).crop((40, 40, 440, 320)), "view"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_copies_are_named_in_both_directions(name: str) -> None:
    draw, kind = EDITS[name]
    assert kinds(evidence_of(draw(ORIGINAL)), evidence_of(ORIGINAL)) == {kind}


def test_identical_content_is_a_copy_whatever_else_is_seen() -> None:
    first, second = evidence_of(ORIGINAL), evidence_of(textured_picture(2))
    assert kind_of(first, second, match_near(first, second, 1.0), same_content=True) == "copy"


@pytest.mark.parametrize("shift", [4, 12, 40])
def test_frames_of_a_burst_are_views(shift: int) -> None:
    frames = [evidence_of(ORIGINAL.crop((x, 20, x + 400, 320))) for x in (10, 10 + shift)]
    assert kinds(*frames) == {"view"}


def test_a_photo_in_a_collage_is_a_crop() -> None:
    collage = Image.new("RGB", (640, 480))
    for number in range(4):
        photo = textured_picture(number + 1).resize((480, 360))
        corner = (number % 2 * 320, number // 2 * 240)
        collage.paste(ImageOps.fit(photo, (320, 240)), corner)
    wide = textured_picture(2).resize((480, 270))
    collage.paste(ImageOps.fit(wide, (320, 240)), (320, 0))
    assert kinds(evidence_of(wide), evidence_of(collage)) == {"crop"}


def test_photos_without_features_are_compared_by_thumbnails() -> None:
    smooth = picture(5).resize((600, 450), Image.Resampling.BICUBIC)
    smooth = smooth.filter(ImageFilter.GaussianBlur(60))
    first, small = evidence_of(smooth), evidence_of(smooth.resize((64, 48)))
    assert len(small) < 10
    assert kinds(first, small) == {"resized"}
    assert kinds(first, evidence_of(smooth.rotate(90, expand=True).resize((48, 64)))) == {"rotated"}
    assert kinds(first, evidence_of(ImageOps.mirror(smooth).resize((64, 48)))) == {"mirrored"}


def test_plain_photos_are_not_mirrored() -> None:
    noise = np.random.default_rng(0).integers(99, 101, (90, 90, 3), np.uint8)
    plain = evidence_of(Image.fromarray(noise)), evidence_of(Image.new("RGB", (90, 90), (100,) * 3))
    assert kinds(*plain) == {"resized"}


def test_a_part_of_something_on_plain_ground_is_a_crop() -> None:
    ground = Image.new("RGB", (640, 480), "white")
    ground.paste(ORIGINAL.resize((320, 240)), (160, 120))
    assert kinds(evidence_of(ground), evidence_of(ground.crop((80, 60, 560, 420)))) == {"crop"}
