"""House fronts of the demo."""

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
    person,
    pick,
)


def facade(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """The front of a town house: bricks, windows with a life behind them, a shop, a roof."""
    width, height = 860, 1150
    a, b, c, d = palette.colors
    wall = mix(pick(rng, (a, b, mix(c, palette.paper, 0.4))), palette.paper, rng.uniform(0.2, 0.5))
    image, draw = canvas(width, height, wall)
    _bricks(rng, draw, wall, palette.ink, (width, height))
    columns, floors = int(rng.integers(4, 6)), int(rng.integers(4, 6))
    top, ground = 190, 890
    shutters = mix(d, palette.ink, 0.25) if rng.random() < 0.6 else None
    arched = bool(rng.random() < 0.5)
    step = (ground - top) / floors
    for floor in range(floors):
        y = top + floor * step
        for column in range(columns):
            x = (column + 0.5) * width / columns
            box = (x, y + step * 0.12, width / columns * 0.46, step * 0.68)
            _window(rng, draw, palette, box, (shutters, arched))
        draw.rectangle((0, y - 9, width, y + 4), fill=palette.paper)
        draw.line((0, y + 5, width, y + 5), fill=mix(wall, (0, 0, 0), 0.5), width=3)
    _roof(rng, draw, palette, wall, width)
    _shop(rng, draw, palette, width, height)
    return aged(rng, image, 0.7)


def _bricks(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, wall: Color, ink: Color, size: Point
) -> None:
    for row, y in enumerate(range(0, int(size[1]), 14)):
        for x in range(-16 * (row % 2), int(size[0]), 32):
            tint = mix(wall, ink, rng.uniform(0, 0.22))
            draw.rectangle((x, y, x + 30, y + 12), fill=tint)


def _roof(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    palette: Palette,
    wall: Color,
    width: int,
) -> None:
    for k in range(12):
        for x in range(-20 * (k % 2), width, 40):
            tile = mix(palette.colors[0], palette.ink, rng.uniform(0.3, 0.65))
            draw.pieslice((x, 10 * k - 14, x + 39, 10 * k + 26), 0, 180, fill=tile)
    draw.rectangle((0, 132, width, 176), fill=mix(palette.paper, wall, 0.2))
    for x in range(6, width, 34):
        draw.rectangle((x, 150, x + 18, 176), fill=mix(wall, palette.ink, 0.4))


def _window(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    palette: Palette,
    box: tuple[float, float, float, float],
    style: tuple[Color | None, bool],
) -> None:
    (x, y, w, h), (shutters, arched) = box, style
    left, right, bottom = x - w / 2, x + w / 2, y + h
    frame = palette.paper
    if arched:
        draw.pieslice((left - 9, y - w / 2 - 4, right + 9, y + w / 2), 180, 360, fill=frame)
    draw.rectangle((left - 9, y - 9, right + 9, bottom + 6), fill=frame)
    glass = mix((38, 52, 70), (150, 185, 210), rng.random() ** 2)
    glass = pick(rng, (glass, glass, glass, (240, 205, 120)))
    draw.rectangle((left, y, right, bottom), fill=glass)
    draw.polygon([(left, y + h * 0.5), (left + w * 0.7, y), (right, y), (left, bottom)],
                 fill=mix(glass, (255, 255, 255), 0.18))  # fmt: skip
    curtain = mix(pick(rng, palette.colors), palette.paper, 0.4)
    drawn = rng.uniform(0.05, 0.45) * w
    draw.rectangle((left, y, left + drawn, bottom), fill=curtain)
    draw.rectangle((right - drawn, y, right, bottom), fill=curtain)
    draw.line((x, y, x, bottom), fill=frame, width=6)
    for k in range(1, int(rng.integers(2, 4))):
        draw.line((left, y + h * k / 3, right, y + h * k / 3), fill=frame, width=5)
    if shutters:
        for x0 in (left - 9 - w * 0.42, right + 9):
            draw.rectangle((x0, y - 6, x0 + w * 0.42, bottom), fill=shutters)
            for k in range(10):
                yk = y + h * k / 10
                draw.line((x0, yk, x0 + w * 0.42, yk), fill=mix(shutters, (0, 0, 0), 0.45), width=3)
    if rng.random() < 0.45:
        _flowers(rng, draw, palette, (left, bottom, w))


def _flowers(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    palette: Palette,
    sill: tuple[float, float, float],
) -> None:
    x, y, w = sill
    wood = mix(palette.ink, (120, 60, 20), 0.6)
    draw.rectangle((x - 6, y - 4, x + w + 6, y + 16), fill=wood)
    tints = ((60, 120, 50), (90, 150, 60), (230, 70, 90), *palette.colors[:2])
    for _ in range(22):
        spot = (rng.uniform(x - 4, x + w + 4), y - rng.uniform(2, 24))
        circle(draw, spot, rng.uniform(3, 7), pick(rng, tints))


def _shop(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, width: int, height: int
) -> None:
    a, b, _, d = palette.colors
    draw.rectangle((0, 890, width, height), fill=mix(d, palette.ink, 0.45))
    sign = pick(rng, ("BAKERY", "BOOKS", "CAFE", "FLOWERS", "TAILOR", "CHEESE", "WINES"))
    draw.rectangle((20, 905, width - 20, 965), fill=palette.ink)
    text = f"{person(rng).split()[1].upper()}'S {sign}"
    lettering(draw, (width / 2, 935), text, (width - 120, 50), b, bold=0.04)
    for k in range(16):
        x = 20 + k * (width - 40) / 16
        color = (a, palette.paper)[k % 2]
        draw.rectangle((x, 968, x + (width - 40) / 16, 1010), fill=color)
        draw.pieslice((x, 990, x + (width - 40) / 16, 1032), 0, 180, fill=color)
    door = float(pick(rng, (120, width / 2 - 60, width - 240)))
    for x in range(30, width - 100, 150):
        draw.rectangle((x, 1036, x + 130, height - 20), fill=(46, 58, 66))
        for _ in range(14):
            px, py = rng.uniform(x + 12, x + 118), rng.uniform(1060, height - 34)
            circle(draw, (px, py), rng.uniform(7, 15), pick(rng, (*palette.colors, palette.paper)))
    draw.rectangle(
        (door, 1020, door + 120, height), fill=mix(a, palette.ink, 0.3), outline=b, width=5
    )
    draw.rectangle((door + 24, 1040, door + 96, 1090), fill=(150, 180, 190))
    circle(draw, (door + 102, 1105), 6, b)
