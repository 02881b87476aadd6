"""Small things that lie about in the demo's pictures and cover a part of its objects.

Each is an RGBA image of some 150 to 400 pixels, transparent around the thing.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import (
    PALETTES,
    Color,
    circle,
    font,
    lettering,
    mix,
    noise,
    person,
    pick,
    polar,
    star,
    title,
)

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)


def small_thing(rng: np.random.Generator) -> Image.Image:
    """A thing of a random kind."""
    return pick(rng, THINGS)(rng)


def street_thing(rng: np.random.Generator) -> Image.Image:
    """A tree or a lamp, for pictures of houses; its foot is at the bottom."""
    image, draw = _sheet(300, 420)
    if rng.random() < 0.3:
        iron = pick(rng, ((40, 46, 50), (36, 66, 54)))
        draw.rectangle((144, 70, 156, 420), fill=iron)
        draw.rectangle((134, 360, 166, 420), fill=iron)
        draw.polygon([(112, 20), (188, 20), (170, 84), (130, 84)], fill=(246, 232, 180))
        draw.polygon([(112, 20), (188, 20), (150, 0)], fill=iron)
        draw.line([(112, 20), (130, 84), (170, 84), (188, 20)], fill=iron, width=7)
        return image
    draw.polygon([(138, 200), (162, 200), (170, 420), (130, 420)], fill=(92, 70, 52))
    green = pick(rng, ((70, 110, 50), (110, 130, 50), (190, 120, 40), (50, 90, 60)))
    for k in range(900):
        x, y = polar((150, 140), 130 * float(np.sqrt(rng.random())), rng.uniform(0, 360))
        shade = mix(green, BLACK, 0.5 - 0.45 * k / 900 + 0.1 * rng.random())
        draw.ellipse((x - 11, y - 7, x + 11, y + 7), fill=shade)
    return image


def _sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (width, height))
    return image, ImageDraw.Draw(image)


def _cup(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(360, 300)
    china = mix(pick(rng, pick(rng, PALETTES).colors), WHITE, rng.uniform(0, 0.8))
    circle(draw, (150, 150), 146, mix(china, WHITE, 0.4))
    circle(draw, (150, 150), 120, None, outline=mix(china, BLACK, 0.25), width=5)
    draw.rounded_rectangle((220, 134, 330, 168), 16, fill=mix(china, BLACK, 0.12))
    circle(draw, (150, 150), 92, china, outline=mix(china, BLACK, 0.3), width=4)
    circle(draw, (150, 150), 78, (66, 38, 20))
    for k in range(5):
        foam = mix((196, 150, 100), (240, 220, 190), k / 5)
        circle(draw, (150, 165 - 12 * k), 50 - 9 * k, foam, outline=(120, 76, 42), width=3)
    return image


def _leaf(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(300, 180)
    color = pick(rng, ((176, 86, 30), (196, 140, 40), (92, 124, 46), (150, 44, 36), (60, 98, 58)))
    along = np.linspace(0, 1, 40)
    width = 74 * np.sin(np.pi * along**0.8) * (1 + 0.06 * np.sin(along * 70))
    xs = 20 + 250 * along
    edge = list(zip(xs, 90 - width, strict=True)) + list(zip(xs, 90 + width, strict=True))[::-1]
    draw.polygon([(float(x), float(y)) for x, y in edge], fill=color)
    dark = mix(color, BLACK, 0.4)
    draw.line((2, 96, 270, 90), fill=dark, width=5)
    for k in range(3, 34, 4):
        x = float(xs[k])
        for side in (-1, 1):
            end = (x + 34, 90 + side * float(width[min(39, k + 5)]) * 0.85)
            draw.line((x, 90, *end), fill=dark, width=3)
    return image


def _pencil(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(420, 44)
    color = pick(rng, pick(rng, PALETTES).colors)
    for k, share in enumerate((0.25, 0.0, -0.3)):
        tint = mix(color, WHITE if share > 0 else BLACK, abs(share))
        draw.rectangle((50, 6 + 11 * k, 350, 17 + 11 * k), fill=tint)
    draw.polygon([(350, 6), (350, 39), (412, 22)], fill=(226, 190, 140))
    draw.polygon([(392, 17), (392, 28), (412, 22)], fill=mix(color, BLACK, 0.5))
    draw.rectangle((34, 5, 56, 39), fill=(190, 190, 194))
    draw.rounded_rectangle((4, 7, 36, 37), 9, fill=(226, 130, 130))
    draw.text((90, 14), f"{person(rng)}  HB {rng.integers(1, 6)}", fill=WHITE, font=font(17))
    return image


def _coin(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(170, 170)
    metal = pick(rng, ((196, 150, 70), (176, 178, 184), (170, 100, 60)))
    circle(draw, (85, 85), 82, mix(metal, BLACK, 0.25))
    circle(draw, (82, 82), 78, mix(metal, WHITE, 0.25))
    circle(draw, (85, 85), 70, metal)
    points = int(rng.integers(5, 12))
    for k in range(36):
        circle(draw, polar((85, 85), 64, 10 * k), 3, mix(metal, BLACK, 0.35))
    star(draw, (88, 88), (54, 24), points, mix(metal, BLACK, 0.35))
    star(draw, (85, 85), (54, 24), points, mix(metal, WHITE, 0.35))
    lettering(draw, (85, 86), str(rng.integers(1, 60)), (40, 34), mix(metal, BLACK, 0.6), bold=0.04)
    return image


def _note(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(260, 260)
    paper = pick(rng, ((250, 232, 130), (250, 190, 200), (180, 225, 240), (244, 242, 236)))
    draw.rectangle((4, 4, 255, 255), fill=paper)
    draw.rectangle((4, 4, 255, 40), fill=mix(paper, BLACK, 0.06))
    ink = pick(rng, ((30, 40, 90), (40, 40, 44), (140, 30, 40)))
    for k in range(5):
        text = f"{title(rng).lower()} {rng.integers(2, 99)}"
        draw.text((20 + rng.uniform(0, 12), 52 + 38 * k), text, fill=ink, font=font(25))
    line = 60 + 38 * float(rng.integers(1, 5))
    draw.line((16, line, 230, line + rng.uniform(-8, 8)), fill=ink, width=4)
    return image


def _pebble(rng: np.random.Generator) -> Image.Image:
    side = 200
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    bump = noise(rng, side, side, 90, 2)
    inside = np.hypot(x, y * rng.uniform(1.1, 1.6)) < 0.72 + 0.3 * bump
    base = np.array(pick(rng, ((128, 122, 116), (168, 150, 130), (88, 90, 98), (206, 200, 190))))
    light = 0.85 - 0.35 * x - 0.35 * y + 0.5 * (noise(rng, side, side, 30, 4) - 0.5)
    pixels = np.dstack([np.clip(base * light[..., None], 0, 255), 255.0 * inside])
    return Image.fromarray(pixels.astype(np.uint8))


def _ruler(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(420, 72)
    color = pick(rng, ((226, 190, 130), (240, 240, 236), (250, 214, 90), (150, 200, 210)))
    draw.rectangle((2, 2, 417, 69), fill=color, outline=mix(color, BLACK, 0.4), width=3)
    for k in range(50):
        x = 10 + 8 * k
        draw.line((x, 4, x, 32 if k % 5 == 0 else 18), fill=(30, 30, 30), width=2)
        if k % 5 == 0:
            draw.text((x + 2, 36), str(k // 5), fill=(30, 30, 30), font=font(22))
    return image


def _button(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(150, 150)
    color = pick(rng, pick(rng, PALETTES).colors)
    circle(draw, (75, 75), 72, mix(color, BLACK, 0.3))
    circle(draw, (73, 73), 68, mix(color, WHITE, 0.2))
    circle(draw, (75, 75), 50, color, outline=mix(color, BLACK, 0.3), width=4)
    for k in range(4):
        circle(draw, polar((75, 75), 20, 45 + 90 * k), 8, mix(color, BLACK, 0.75))
    draw.line((polar((75, 75), 20, 45), polar((75, 75), 20, 225)), fill=(235, 230, 220), width=5)
    draw.line((polar((75, 75), 20, 135), polar((75, 75), 20, 315)), fill=(235, 230, 220), width=5)
    return image


def _ticket(rng: np.random.Generator) -> Image.Image:
    image, draw = _sheet(360, 170)
    colors = pick(rng, PALETTES)
    ground = mix(pick(rng, colors.colors), colors.paper, 0.55)
    draw.rectangle((2, 2, 357, 167), fill=ground)
    draw.rectangle((14, 14, 345, 155), outline=colors.ink, width=4)
    lettering(draw, (150, 62), title(rng).upper(), (240, 44), colors.ink, bold=0.03)
    lettering(
        draw, (150, 116), f"ADMIT ONE   No. {rng.integers(1000, 9999)}", (230, 26), colors.ink
    )
    for k in range(0, 170, 14):
        draw.line((285, k, 285, k + 7), fill=colors.ink, width=4)
    star(draw, (318, 85), (24, 10), int(rng.integers(5, 9)), colors.ink)
    for y in (0, 170):
        circle(draw, (285, y), 14, None)
    return image


THINGS: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    _cup, _leaf, _pencil, _coin, _note, _pebble, _ruler, _button, _ticket, _leaf,
)  # fmt: skip
