"""Objects of the demo, seen from straight ahead: carpets, covers, maps, charts, house fronts.

A family is a function that draws one object by a random generator, as a `PIL.Image.Image` in mode
RGBA, about 800 to 1000 pixels long. Views show objects at half that size or less.
"""

import colorsys
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
T = TypeVar("T")

NAMES: Sequence[str] = (  # noqa: SIM905 - a list of forty lines says no more
    "Amber Atlas Aldaine Brandt Cinema Copper Distant Ferro Garden Glass Golden Halloran Harbor "
    "Hidden Island Lantern Letter Lindqvist Lost Marlow Meridian Mountain Northern Okonjo Orchard "
    "Paper Parade Quiet Quill River Rook Salt Silent Summer Szabo Tamura Tide Velvet Venn Winter"
).split()
"""Words on covers, shop signs, and maps."""


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def palette(rng: np.random.Generator) -> tuple[Color, Color, list[Color]]:
    """Return a light color for paper, a dark one for ink, and four strong colors that differ."""
    hue = rng.random()

    def color(shift: float, lightness: float, saturation: float) -> Color:
        red, green, blue = colorsys.hls_to_rgb((hue + shift) % 1, lightness, saturation)
        return round(255 * red), round(255 * green), round(255 * blue)

    shifts = (0, 0.5, *rng.uniform(0.1, 0.9, 2))
    strong = [color(shift, rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.85)) for shift in shifts]
    return color(0.1, 0.92, 0.35), color(0.6, 0.13, 0.3), strong


def mix(a: Color, b: Color, share: float) -> Color:
    """Return `a` with `share` (0 to 1) of `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def noise(
    rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 1
) -> np.ndarray:
    """Return smooth value noise, float32 (height, width) in 0..1, of mean about 0.5.

    Args:
        rng: source of the values.
        height: in pixels.
        width: in pixels.
        cell: size of the largest spots, in pixels.
        octaves: number of layers; each has half the size and half the strength of the one before.
    """
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for _ in range(octaves):
        shape = [max(2, int(side / cell) + 2) for side in (height, width)]
        coarse = rng.random(shape, dtype=np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        weight /= 2
        cell = max(1.0, cell / 2)
    return np.clip(total / (2 - 2 * weight), 0, 1)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Return an RGBA image of an array (h, w, 3) in 0..255; other values are clipped."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert("RGBA")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def lettering(
    draw: ImageDraw.ImageDraw,
    center: tuple[float, float],
    text: str,
    space: tuple[float, float],
    fill: Color,
) -> None:
    """Write one line of text around `center`, as large as fits in `space` (width, height)."""
    reference = draw.textlength(text, font=_font(100)) / 100
    size = max(6, int(min(space[1], space[0] / reference)))
    draw.text(center, text, fill=fill, font=_font(size), anchor="mm")


def carpet(rng: np.random.Generator) -> Image.Image:
    """Draw a knotted carpet: motifs around a medallion, mirrored twice, with a border."""
    paper, ink, strong = palette(rng)
    colors = np.array([ink, *strong, paper], np.float32)
    rows, columns = 50, 75
    quarter = np.full((rows, columns), rng.integers(1, 5))
    y, x = np.mgrid[rows:0:-1, columns:0:-1]
    distance = x / rng.uniform(0.8, 1.5) + y
    bands = rng.permutation(6)
    medallion = distance < rng.uniform(38, 50)
    quarter[medallion] = bands[(distance[medallion] // rng.integers(3, 6)).astype(int) % 6]
    for _ in range(40):
        half = int(rng.integers(2, 6))
        corner = rng.random((half, half)) < 0.55
        side = np.hstack([corner | corner.T, (corner | corner.T)[:, -2::-1]])
        motif = np.vstack([side, side[-2::-1]])
        top, left = rng.integers(10, rows - 11), rng.integers(10, columns - 11)
        part = quarter[top : top + len(motif), left : left + len(motif)]
        part[motif[: part.shape[0], : part.shape[1]]] = rng.integers(0, 6)
    edge = np.minimum(*np.mgrid[:rows, :columns])
    along = np.maximum(*np.mgrid[:rows, :columns])
    border = rng.integers(0, 6, (10, 9))
    quarter[edge < 10] = border[edge[edge < 10], along[edge < 10] % 9]
    half_carpet = np.hstack([quarter, quarter[:, ::-1]])
    knots = colors[np.vstack([half_carpet, half_carpet[::-1]])]
    pixels = knots.repeat(7, axis=0).repeat(7, axis=1)
    height, width = pixels.shape[:2]
    return to_image(pixels * (0.75 + 0.5 * noise(rng, height, width, 6, 2))[..., None])


def cover(rng: np.random.Generator) -> Image.Image:
    """Draw the cover of a book or record: ridges under a sun, or shapes, with a title."""
    paper, ink, strong = palette(rng)
    width, height = pick(rng, ((700, 950), (900, 900)))
    shade = noise(rng, height, width, 200, 4)[..., None]
    image = to_image(np.array(strong[0]) * shade + np.array(paper) * (1 - shade))
    draw = ImageDraw.Draw(image)
    for x, y in rng.random((80, 2)) * (width, 0.5 * height):
        points = int(rng.integers(3, 7))
        draw.regular_polygon((x, y, rng.uniform(6, 20)), points, fill=pick(rng, (paper, *strong)))
    center = rng.uniform(0.3, 0.7) * width, rng.uniform(0.35, 0.55) * height
    for ring in range(int(rng.integers(2, 7)), 0, -1):
        reach = 45 * ring
        box = [center[0] - reach, center[1] - reach, center[0] + reach, center[1] + reach]
        draw.ellipse(box, fill=mix(strong[1], paper, ring / 7))
    for level in np.linspace(0.5, 0.85, int(rng.integers(2, 6))):
        ridge = level * height + 160 * (noise(rng, 4, width, 170, 5)[1] - 0.5)
        color = mix(strong[2], ink, float(level) - 0.3)
        draw.polygon([(0, height), *enumerate(ridge.tolist()), (width, height)], fill=color)
        for x in rng.integers(10, width - 10, 60).tolist():
            tree = rng.uniform(25, 75)
            fir = [(x, ridge[x] - tree), (x - 0.4 * tree, ridge[x]), (x + 0.4 * tree, ridge[x])]
            draw.polygon(fir, fill=mix(color, strong[3], rng.uniform(0, 0.7)))
    for line, y in enumerate((0.09, 0.19)):
        lettering(draw, (width / 2, y * height), pick(rng, NAMES).upper(), (600, 95), ink)
        author = f"{pick(rng, NAMES)} {pick(rng, NAMES)} No. {rng.integers(1, 99)}"
        lettering(draw, (width / 2, (0.9 + 0.05 * line) * height), author, (500, 38), paper)
    draw.rectangle((18, 18, width - 18, height - 18), outline=ink, width=8)
    return image


def city_map(rng: np.random.Generator) -> Image.Image:
    """Draw a folded city map: blocks between streets, a river, parks, and names."""
    paper, ink, strong = palette(rng)
    image = Image.new("RGBA", (1000, 760), (*mix(paper, strong[0], 0.15), 255))
    draw = ImageDraw.Draw(image)
    angle = rng.uniform(-0.6, 0.6)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    xs, ys = (np.cumsum(rng.uniform(28, 85, 60)) - 1300 for _ in range(2))
    for left, right in itertools.pairwise(xs):
        for top, bottom in itertools.pairwise(ys):
            corners = [(left, top), (right - 9, top), (right - 9, bottom - 9), (left, bottom - 9)]
            block = np.array(corners) @ turn + (500, 380)
            color = pick(rng, (strong[0], strong[0], strong[1], ink, paper))
            draw.polygon([tuple(p) for p in block.tolist()], fill=mix(color, paper, 0.15))
    bends = 380 + 420 * (noise(rng, 4, 1000, 350, 3)[1] - 0.5)
    draw.line(list(enumerate(bends.tolist())), fill=strong[2], width=int(rng.integers(26, 60)))
    for x, y in rng.random((4, 2)) * (1000, 760):
        reach = rng.uniform(40, 90)
        draw.ellipse((x - reach, y - reach, x + reach, y + 0.7 * reach), fill=strong[3])
    for x, y in rng.random((14, 2)) * (900, 700) + 50:
        lettering(draw, (x, y), pick(rng, NAMES), (150, 30), ink)
    for fold in range(200, 1000, 200):
        draw.line((fold, 0, fold, 760), fill=mix(paper, ink, 0.35), width=3)
    return image


def star_chart(rng: np.random.Generator) -> Image.Image:
    """Draw a chart of the night sky: stars joined to constellations within a graduated circle."""
    paper, ink, strong = palette(rng)
    side = 900
    sky = noise(rng, side, side, 300, 5)[..., None]
    image = to_image(np.array(ink) * (1 - sky) + np.array(strong[0]) * sky)
    draw = ImageDraw.Draw(image)
    for reach in (430, 300, 170):
        draw.circle((450, 450), reach, outline=strong[1], width=4)
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        draw.line((*(450 + 170 * way), *(450 + 430 * way)), fill=mix(ink, paper, 0.4), width=2)
    for x, y in rng.random((300, 2)) * side:
        draw.circle((x, y), rng.uniform(1, 5), fill=pick(rng, (paper, paper, *strong)))
    for x, y in rng.random((16, 2)) * 700 + 100:
        points = [(x + dx, y + dy) for dx, dy in rng.normal(0, 55, (int(rng.integers(3, 7)), 2))]
        draw.line(points, fill=strong[2], width=4)
        for point in points:
            draw.regular_polygon((*point, 13), int(rng.integers(3, 7)), fill=paper)
        lettering(draw, (x, y + 60), pick(rng, NAMES), (130, 26), paper)
    draw.rectangle((0, 0, side - 1, side - 1), outline=strong[3], width=22)
    return image


def facade(rng: np.random.Generator) -> Image.Image:
    """Draw the front of a house: a roof, rows of windows with shutters, and a shop."""
    paper, ink, strong = palette(rng)
    width, height = int(rng.integers(560, 900)), 960
    wall = np.array(mix(strong[0], paper, rng.uniform(0.3, 0.8)))
    image = to_image(wall * (0.85 + 0.3 * noise(rng, height, width, 40, 4))[..., None])
    draw = ImageDraw.Draw(image)
    for y in range(0, 110, 14):
        for x in range(-20 * (y % 2), width, 26):
            tile = mix(strong[1], ink, rng.uniform(0, 0.6))
            draw.ellipse((x, y, x + 25, y + 25), fill=tile)
    columns, rows = int(rng.integers(3, 6)), int(rng.integers(3, 5))
    shutter, frame = pick(rng, (strong[2], strong[3], None)), pick(rng, (paper, ink, strong[3]))
    step_x, step_y = width / columns, 600 / rows
    for column, row in np.ndindex(columns, rows):
        x, y = (column + 0.5) * step_x, 150 + row * step_y
        w, h = 0.2 * step_x, 0.68 * step_y
        draw.rectangle((x - w - 8, y - 8, x + w + 8, y + h + 8), fill=frame)
        glass = mix((40, 55, 75), (240, 215, 150), rng.random() ** 3)
        draw.rectangle((x - w, y, x + w, y + h), fill=glass)
        curtain = rng.uniform(0, 0.9) * w
        draw.rectangle((x - w, y, x - w + curtain, y + h), fill=mix(paper, strong[1], 0.3))
        draw.line((x, y, x, y + h), fill=frame, width=6)
        for side in (-1, 1) if shutter else ():
            edges = sorted((x + side * (w + 8), x + side * (w + 0.2 * step_x)))
            draw.rectangle((edges[0], y, edges[1], y + h), fill=shutter, outline=ink, width=3)
        for px in x + w * rng.uniform(-1, 1, int(rng.integers(0, 14))):
            draw.circle((px, y + h + rng.uniform(-6, 8)), 7, fill=pick(rng, strong))
    draw.rectangle((0, 770, width, height), fill=mix(strong[3], ink, 0.4))
    name = f"{pick(rng, NAMES)}'s {pick(rng, ('Bakery', 'Books', 'Cafe', 'Wines', 'Tailor'))}"
    lettering(draw, (width / 2, 800), name, (width - 120, 56), paper)
    for x in range(20, width - 110, 130):
        draw.rectangle((x, 840, x + 105, height), fill=pick(rng, (ink, *strong)))
        for px, py in rng.uniform((x + 12, 855), (x + 93, height - 12), (12, 2)):
            draw.circle((px, py), rng.uniform(5, 12), fill=pick(rng, (paper, *strong)))
    return image


FAMILIES: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    carpet,
    cover,
    facade,
    city_map,
    star_chart,
)
