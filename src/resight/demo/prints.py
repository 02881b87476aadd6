"""Printed things of the demo: book covers, record sleeves, stamps, tarot cards, cereal boxes."""

import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import (
    Color,
    Palette,
    aged,
    canvas,
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
    to_image,
    vertical_gradient,
)


def book(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A book cover: ridges, a sun or moon, trees, and lettering in an ornamental frame."""
    width, height = 780, 1150
    a, b, c, d = palette.colors
    sky = vertical_gradient(height, width, (mix(c, palette.ink, 0.3), mix(b, palette.paper, 0.4)))
    sky += 26 * (noise(rng, height, width, 180, 4) - 0.5)[..., None]
    image = to_image(sky).convert("RGBA")
    draw = ImageDraw.Draw(image)
    for x, y in rng.random((90, 2)) * (width, height * 0.5):
        star(draw, (x, y), (rng.uniform(3, 9), 2), 4, palette.paper)
    sun = (rng.uniform(0.25, 0.75) * width, rng.uniform(0.43, 0.48) * height)
    for i in range(5, -1, -1):
        circle(draw, sun, 70 + 18 * i, mix(palette.paper, b, i / 6))
    levels = int(rng.integers(5, 8))
    for i in range(levels):
        share = i / (levels - 1)
        color = mix(mix(d, palette.paper, 0.45), mix(a, palette.ink, 0.65), share)
        _ridge(rng, draw, (width, height), (0.46 + 0.42 * share, 150 - 90 * share), color)
    _cover_lettering(rng, draw, palette, width, height)
    return aged(rng, image)


def _ridge(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    shape: tuple[float, float],
    color: Color,
) -> None:
    (width, height), (level, swing) = size, shape
    line = noise(rng, 4, width, 210, 5)[1]
    tops = (level * height + swing * 2.2 * (0.5 - line)).tolist()
    draw.polygon([(0, height), *enumerate(tops), (width, height)], fill=color)
    light = mix(color, (255, 255, 255), 0.22)
    for x in rng.integers(0, width, 110):  # slopes
        y = tops[x] + rng.uniform(4, 70)
        draw.line((x, y, x + rng.uniform(-26, 26), y + rng.uniform(10, 50)), fill=light, width=3)
    for x in rng.integers(8, width - 8, int(rng.integers(8, 22))):  # firs
        y, tall = tops[x] + 14, rng.uniform(24, 60)
        for k in range(4):
            top, half = y - tall + k * tall / 5, tall * (0.12 + 0.07 * k)
            points = [(x, top), (x - half, top + tall / 3), (x + half, top + tall / 3)]
            draw.polygon(points, fill=mix(color, (0, 0, 0), 0.35))


def _cover_lettering(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, width: int, height: int
) -> None:
    paper, ink = palette.paper, palette.ink
    words = title(rng).upper().split()
    for i, word in enumerate(words):
        lettering(draw, (width / 2, 175 + 120 * i), word, (width - 170, 118), paper, bold=0.03)
    series = f"THE COMPLETE TALES, VOL. {rng.integers(2, 9)}"
    lettering(draw, (width / 2, 90), series, (width - 260, 30), paper)
    draw.rectangle((90, height - 150, width - 90, height - 76), fill=paper)
    lettering(
        draw, (width / 2, height - 113), person(rng).upper(), (width - 240, 48), ink, bold=0.02
    )
    for inset, thick in ((22, 7), (38, 3)):
        box = (inset, inset, width - inset, height - inset)
        draw.rectangle(box, outline=paper, width=thick)
    petals = int(rng.integers(5, 9))
    for x in (30, width - 30):
        for y in (30, height - 30):
            circle(draw, (x, y), 36, palette.colors[0], outline=paper, width=4)
            star(draw, (x, y), (30, 10), petals, paper)


def sleeve(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A record sleeve: tiles of arcs in the manner of the sixties, worn by the disc inside."""
    side = 1000
    image, draw = canvas(side, side, palette.paper)
    cells = int(rng.integers(5, 8))
    size = side / cells
    inks = [palette.ink, *palette.colors]
    for row in range(cells):
        for column in range(cells):
            _sleeve_tile(rng, image, (column * size, row * size), size, inks)
    band = pick(rng, (0.12, 0.5, 0.86)) * side
    draw.rectangle((0, band - 85, side, band + 85), fill=palette.paper)
    lettering(draw, (side / 2, band - 22), title(rng).upper(), (900, 100), palette.ink, bold=0.035)
    line = f"{person(rng)} quartet    ·    stereo    ·    LP {rng.integers(1000, 9999)}"
    lettering(draw, (side / 2, band + 54), line, (860, 36), palette.colors[0])
    pixels = np.asarray(image).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    ring = np.exp(-(((np.hypot(x, y) - 0.88) / 0.02) ** 2)) * noise(rng, side, side, 40, 3)
    pixels[..., :3] += 70 * ring[..., None]
    return aged(rng, to_image(pixels))


def _sleeve_tile(
    rng: np.random.Generator,
    image: Image.Image,
    corner: tuple[float, float],
    size: float,
    inks: list[Color],
) -> None:
    side = round(size) + 1
    order = [inks[i] for i in rng.permutation(len(inks))]
    tile, draw = canvas(side, side, order[0])
    kind = int(rng.integers(5))
    if kind == 0:  # quarter rings
        rings = int(rng.integers(2, 6))
        for i in range(rings, 0, -1):
            circle(draw, (0, 0), side * i / rings, order[i % 3])
    elif kind == 1:  # an eye
        for i, share in enumerate((0.48, 0.34, 0.2, 0.09)):
            circle(draw, (side / 2, side / 2), side * share, order[1 + i % 3])
    elif kind == 2:  # bars
        bars = int(rng.integers(3, 8))
        for i in range(0, bars, 2):
            draw.rectangle((side * i / bars, 0, side * (i + 1) / bars, side), fill=order[1])
    elif kind == 3:  # a leaf of two arcs
        leaf = [(side * t, side * t**2) for t in np.linspace(0, 1, 30)]
        leaf += [(side * t**2, side * t) for t in np.linspace(1, 0, 30)]
        draw.polygon(leaf, fill=order[1])
        draw.line((0, 0, side, side), fill=order[2], width=6)
    else:  # a burst
        star(
            draw, (side / 2, side / 2), (side * 0.5, side * 0.2), int(rng.integers(4, 13)), order[1]
        )
        circle(draw, (side / 2, side / 2), side * 0.13, order[2])
    tile = tile.rotate(90 * int(rng.integers(4)))
    image.paste(tile, (round(corner[0]), round(corner[1])))


def cereal(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """The front of a cereal box: a burst, a loud name, a full bowl, small print and a bar code."""
    width, height = 780, 1120
    a, b, c, d = palette.colors
    image, draw = canvas(width, height, a)
    star(draw, (width / 2, height * 0.5), (1100, 60), int(rng.integers(14, 30)), mix(a, b, 0.6))
    for _ in range(60):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        circle(draw, (x, y), rng.uniform(5, 16), pick(rng, (b, palette.paper, d)))
    draw.polygon([(0, 0), (width, 0), (width, 60), (0, 110)], fill=c)
    brand = pick(rng, ("CRISPY SUNS", "HONEY HOOPS", "OATY STARS", "NUTTY NESTS", "MAPLE MOONS"))
    layer = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(layer)
    lines = brand.split()
    for k, word in enumerate(lines):
        at = (width / 2, 235 + 150 * (k - (len(lines) - 1) / 2))
        lettering(pen, at, word, (width - 110, 175), palette.paper, bold=0.05, outline=palette.ink)
    image.alpha_composite(layer.rotate(rng.uniform(2, 9), center=(width / 2, 235)))
    draw = ImageDraw.Draw(image)
    slogan = f"with real {pick(rng, ('honey', 'cocoa', 'apple', 'almond', 'berry'))} bits"
    ribbon = [(120, 412), (width - 120, 400), (width - 90, 468), (150, 480)]
    draw.polygon(ribbon, fill=c, outline=palette.ink, width=4)
    lettering(draw, (width / 2, 440), slogan, (440, 46), palette.paper)
    _bowl(rng, draw, palette, (width / 2, 740))
    badge = (rng.uniform(0.2, 0.8) * width, 560)
    star(draw, badge, (92, 74), 16, d)
    lettering(
        draw,
        badge,
        pick(rng, ("NEW!", "+25 %", "FUN!", "TOY!")),
        (120, 56),
        palette.paper,
        bold=0.05,
    )
    _small_print(rng, draw, palette, width, height)
    return aged(rng, image, 0.6)


def _bowl(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, at: tuple[float, float]
) -> None:
    x, y = at
    _, b, c, d = palette.colors
    draw.chord((x - 310, y - 270, x + 310, y + 270), 0, 180, fill=c, outline=palette.ink, width=7)
    for k in range(11):
        star(draw, (x - 250 + 50 * k, y + 60 + 5 * (25 - (k - 5) ** 2)), (24, 10), 5, b)
    draw.ellipse(
        (x - 310, y - 90, x + 310, y + 90), fill=(252, 250, 244), outline=palette.ink, width=7
    )
    for _ in range(120):  # hoops, heaped
        angle, r = rng.uniform(0, 360), np.sqrt(rng.random())
        px, py = polar((0, 0), r, angle)
        center = (x + 265 * px, y - 70 * (1 - r) + 62 * py)
        color = mix(pick(rng, (b, (214, 150, 70), d)), (255, 240, 200), rng.uniform(0, 0.35))
        circle(draw, center, 31, color, outline=mix(color, (60, 30, 0), 0.6), width=4)
        circle(draw, center, 10, mix(color, (60, 30, 0), 0.75))


def _small_print(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, width: int, height: int
) -> None:
    draw.rectangle((0, height - 150, width, height), fill=palette.paper)
    for k in range(5):
        words = " ".join(title(rng).lower() for _ in range(3))
        draw.text((30, height - 138 + 25 * k), words, fill=palette.ink, font=font(21))
    x = width - 300
    draw.rectangle((x, height - 135, x + 270, height - 15), fill=(255, 255, 255))
    while x < width - 45:
        bar = int(rng.integers(2, 8))
        draw.rectangle((x + 8, height - 128, x + 8 + bar, height - 40), fill=(10, 10, 10))
        x += bar + int(rng.integers(3, 8))
    code = " ".join(str(n) for n in rng.integers(0, 10, 10))
    lettering(draw, (width - 165, height - 27), code, (240, 24), (10, 10, 10))
