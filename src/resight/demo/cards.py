"""Small cards of the demo: engraved postage stamps and tarot cards."""

import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import (
    Color,
    Palette,
    Point,
    aged,
    canvas,
    circle,
    lettering,
    mix,
    noise,
    pick,
    polar,
    star,
    title,
    to_image,
)


def stamp(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A postage stamp: an engraved picture, rosettes, perforation and a postmark."""
    width, height = 1080, 860
    image, draw = canvas(width, height, palette.paper)
    ink = mix(palette.colors[int(rng.integers(3))], palette.ink, 0.6)
    tone = _engraver_tone(rng, height - 320, width - 180)
    image.paste(_engrave(rng, tone, ink, palette.paper), (90, 150))
    draw.rectangle((60, 60, width - 60, height - 60), outline=ink, width=8)
    draw.rectangle((82, 142, width - 82, height - 162), outline=ink, width=6)
    land = f"{pick(rng, ('ISLA', 'PORT', 'MONT', 'LAND'))} {pick(rng, ('VERA', 'CALMA', 'NOVA'))}"
    lettering(draw, (width / 2, 102), f"{land}  ·  POSTAGE", (width - 520, 58), ink, bold=0.04)
    lettering(draw, (width / 2, height - 110), title(rng), (width - 480, 54), ink)
    value = f"{pick(rng, (2, 5, 12, 20, 35, 60))}c"
    for x in (150, width - 150):
        for y in (112, height - 122):
            _rosette(draw, (x, y), (ink, palette.paper), int(rng.integers(7, 17)))
            circle(draw, (x, y), 38, palette.paper, outline=ink, width=4)
            lettering(draw, (x, y), value, (60, 44), ink, bold=0.04)
    _postmark(rng, draw, width, height)
    image = aged(rng, image, 0.8)
    hole = ImageDraw.Draw(alpha := Image.new("L", image.size, 255))
    for along, across in ((width, height), (height, width)):
        for k in range(0, along + 1, 43):
            for edge in (0, across):
                center = (k, edge) if along == width else (edge, k)
                hole.circle(center, 14, fill=0)
    image.putalpha(alpha)
    return image


def _engraver_tone(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """How dark the engraved picture is, float32 (height, width) in 0..1: a coast with a tower."""
    tone = 0.12 + 0.5 * noise(rng, height, width, 170, 4) ** 2
    image = Image.fromarray((255 * tone).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    horizon = int(height * rng.uniform(0.52, 0.68))
    for level in range(3):
        line = horizon - 130 + 60 * level + 170 * (noise(rng, 4, width, 200, 4)[1] - 0.5)
        draw.polygon([(0, horizon), *enumerate(line.tolist()), (width, horizon)], 70 + 45 * level)
    draw.rectangle((0, horizon, width, height), 120)
    for _ in range(70):
        x, y = rng.uniform(0, width), rng.uniform(horizon, height)
        draw.arc((x - 50, y - 12, x + 50, y + 16), 190, 350, fill=25, width=6)
    x, foot = rng.uniform(0.2, 0.8) * width, horizon + 60
    top = foot - rng.uniform(250, 330)
    for k in range(7):  # a striped lighthouse
        y0, y1 = top + (foot - top) * k / 7, top + (foot - top) * (k + 1) / 7
        w0, w1 = 24 + 4 * k, 28 + 4 * k
        band = [(x - w0, y0), (x + w0, y0), (x + w1, y1), (x - w1, y1)]
        draw.polygon(band, 215 if k % 2 else 15)
    draw.rectangle((x - 34, top - 40, x + 34, top), 190)
    for angle in (70, 100, 250, 280):
        draw.line(((x, top - 20), polar((x, top - 20), 700, angle)), fill=0, width=16)
    ship = (x + width * 0.4) % width
    for k, size in enumerate((1.0, 0.8, 0.6)):
        sail = [
            (ship + 50 * k, foot - 130 * size),
            (ship + 50 * k, foot),
            (ship + 50 * k + 46, foot),
        ]
        draw.polygon(sail, 40 + 60 * k)
    draw.polygon(
        [(ship - 40, foot + 4), (ship + 170, foot + 4), (ship + 130, foot + 40), (ship, foot + 40)],
        225,
    )
    return np.asarray(image, np.float32) / 255


def _engrave(rng: np.random.Generator, tone: np.ndarray, ink: Color, paper: Color) -> Image.Image:
    height, width = tone.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = 16 * noise(rng, height, width, 220, 2)
    first = np.abs(((y + bend) / 9) % 1 - 0.5) * 2 < tone * 0.95
    second = np.abs(((x * 0.7 + y + bend) / 11) % 1 - 0.5) * 2 < (tone - 0.42) * 1.5
    dark = (first | second)[..., None]
    return to_image(np.where(dark, np.array(ink), np.array(paper)))


def _rosette(
    draw: ImageDraw.ImageDraw, center: Point, colors: tuple[Color, Color], lobes: int
) -> None:
    ink, paper = colors
    radius = 84
    circle(draw, center, radius, paper)
    for k in range(6):
        turns = np.linspace(0, 360, 220)
        radii = radius * (0.72 + 0.24 * np.sin(np.radians(lobes * turns + 60 * k)))
        points = [polar(center, r, t) for r, t in zip(radii, turns, strict=True)]
        draw.line(points, fill=ink, width=3)


def _postmark(rng: np.random.Generator, draw: ImageDraw.ImageDraw, width: int, height: int) -> None:
    x, y = pick(rng, (0.2, 0.8)) * width, rng.uniform(0.3, 0.7) * height
    black = (38, 34, 40)
    for radius, thick in ((150, 7), (104, 4)):
        circle(draw, (x, y), radius, None, outline=black, width=thick)
    month = pick(rng, ("JAN", "MAR", "MAY", "JUL", "OCT"))
    day = f"{rng.integers(1, 29)} {month} 19{rng.integers(20, 80)}"
    lettering(draw, (x, y), day, (180, 44), black, bold=0.03)
    sign = 1 if x < width / 2 else -1
    for k in range(5):
        along = np.linspace(0, 380, 60)
        wave = y - 100 + 50 * k + 12 * np.sin(along / 28)
        points = list(zip((x + sign * (160 + along)).tolist(), wave.tolist(), strict=True))
        draw.line(points, fill=black, width=6)


def tarot(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A tarot card: a face in the sky, rays, drops and a patterned border."""
    width, height = 680, 1160
    a, b, c, d = palette.colors
    image, draw = canvas(width, height, palette.paper)
    draw.rectangle((60, 130, width - 60, height - 130), fill=mix(c, palette.paper, 0.25))
    for k in range(int(rng.integers(140, 200))):
        x, y = rng.uniform(70, width - 70), rng.uniform(140, height - 330)
        star(draw, (x, y), (rng.uniform(5, 13), 3), 4 + k % 3, (b, palette.paper, a)[k % 3])
    center = (width / 2, rng.uniform(370, 450))
    rays = int(rng.integers(9, 17))
    star(draw, center, (270, 150), rays, b, turn=180 / rays)
    star(draw, center, (225, 150), rays, a)
    for k in range(rays * 2):
        ends = polar(center, 150, k * 180 / rays), polar(center, 255, k * 180 / rays)
        draw.line(ends, fill=palette.ink, width=4)
    _face(rng, draw, center, (mix(b, palette.paper, 0.5), palette.ink, a))
    for k, color in enumerate((d, mix(d, palette.ink, 0.4), mix(a, palette.ink, 0.3))):
        line = height - 330 + 70 * k + 100 * (noise(rng, 4, width, 150, 3)[1] - 0.5)
        hill = [(x, y) for x, y in enumerate(line.tolist()) if 60 <= x <= width - 60]
        draw.polygon([(60, height - 130), *hill, (width - 60, height - 130)], fill=color)
        for x in rng.integers(80, width - 80, 16):
            y = line[x] + rng.uniform(10, 60)
            draw.line((x, y, x + rng.uniform(-12, 12), y - 40), fill=palette.ink, width=4)
            star(draw, (x, y - 44), (17, 6), int(rng.integers(4, 8)), (b, palette.paper)[k % 2])
    _card_border(rng, draw, palette, width, height)
    image = aged(rng, image)
    alpha = Image.new("L", image.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, width - 1, height - 1), 45, fill=255)
    image.putalpha(alpha)
    return image


def _face(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    center: Point,
    colors: tuple[Color, Color, Color],
) -> None:
    skin, ink, cheek = colors
    x, y = center
    circle(draw, center, 158, skin, outline=ink, width=7)
    brow = rng.uniform(-14, 14)
    for side in (-1, 1):
        eye = x + side * 58
        draw.ellipse(
            (eye - 34, y - 52, eye + 34, y - 14), fill=(250, 248, 240), outline=ink, width=5
        )
        circle(draw, (eye + rng.uniform(-9, 9), y - 33), 13, ink)
        draw.arc((eye - 46, y - 92 + brow, eye + 46, y - 20), 200, 340, fill=ink, width=8)
        circle(draw, (x + side * 88, y + 38), 27, mix(skin, cheek, 0.6))
    draw.line([(x, y - 40), (x + 20, y + 24), (x - 14, y + 30)], fill=ink, width=6)
    mouth = rng.uniform(40, 68)
    draw.chord((x - mouth, y + 30, x + mouth, y + 110), 10, 170, fill=cheek, outline=ink, width=5)


def _card_border(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, width: int, height: int
) -> None:
    a, b, _, d = palette.colors
    step = int(rng.integers(30, 46))
    points = int(rng.integers(4, 7))
    for k in range(height // step + 1):
        for x in (30, width - 30):
            star(draw, (x, k * step), (step * 0.45, step * 0.2), points, (a, d, palette.ink)[k % 3])
    draw.rectangle((58, 130, width - 58, height - 130), outline=palette.ink, width=7)
    numeral = pick(rng, ("IV", "VII", "IX", "XI", "XIV", "XVI", "XVIII", "XIX"))
    name = (
        f"THE {pick(rng, ('DREAMER', 'SUMMER', 'WANDERER', 'ORACLE', 'MEADOW', 'JESTER', 'NOON'))}"
    )
    for y, text in ((70, numeral), (height - 70, name)):
        draw.rectangle((70, y - 45, width - 70, y + 45), fill=b, outline=palette.ink, width=6)
        lettering(draw, (width / 2, y), text, (width - 200, 66), palette.ink, bold=0.03)
