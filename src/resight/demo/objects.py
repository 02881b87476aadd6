"""Objects of the demo: vases and mugs, books, house fronts.

A family is a function that draws the surface of one object by a random generator.
"""

import colorsys
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Place = Literal["table", "street"]
T = TypeVar("T")

NAMES: Sequence[str] = (  # noqa: SIM905 - a list of forty lines says no more
    "Amber Atlas Aldaine Brandt Cinema Copper Distant Ferro Garden Glass Golden Halloran Harbor "
    "Hidden Island Lantern Letter Lindqvist Lost Marlow Meridian Mountain Northern Okonjo Orchard "
    "Paper Parade Quiet Quill River Rook Salt Silent Summer Szabo Tamura Tide Velvet Venn Winter"
).split()
"""Words on mugs, covers and shop signs."""
PIGMENTS = (0.0, 0.04, 0.08, 0.11, 0.14, 0.24, 0.36, 0.47, 0.55, 0.6, 0.66, 0.8, 0.95)
"""Hues of paints and dyes, of which warm ones are more frequent."""


@dataclass(frozen=True)
class Thing:
    """An object.

    Attributes:
        surface: RGBA, about 700 to 1000 pixels long; of a turned object, once around its axis.
        relief: float32 (h, w), heights in pixels, which cast light and shade.
        place: where it stands.
        gloss: strength of highlights, 0 to 1.
        depth: thickness of a flat object, as a share of its longer side.
        profile: radii of a turned object from top to bottom, float32 (n,), as a share of its
            height; None for flat objects.
        handle: angle of the handle in radians, 0 in front; None without one.
    """

    surface: Image.Image
    relief: np.ndarray
    place: Place
    gloss: float = 0.0
    depth: float = 0.0
    profile: np.ndarray | None = None
    handle: float | None = None


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of `options`, all equally likely."""
    return options[int(rng.integers(len(options)))]


def palette(rng: np.random.Generator) -> tuple[Color, Color, list[Color]]:
    """Return a light color for paper, a dark one for ink, and four strong colors that differ."""

    def color(hue: float, lightness: float, saturation: float) -> Color:
        red, green, blue = colorsys.hls_to_rgb(hue % 1, lightness, saturation)
        return round(255 * red), round(255 * green), round(255 * blue)

    hues = rng.permutation(PIGMENTS)[:4] + rng.normal(0, 0.02, 4)
    strong = [color(hue, rng.uniform(0.22, 0.6), rng.uniform(0.2, 0.7)) for hue in hues]
    return color(rng.uniform(0.06, 0.16), 0.87, 0.4), color(hues[0], 0.12, 0.3), strong


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


def marble(
    rng: np.random.Generator, height: int, width: int, cell: float, swirl: float
) -> np.ndarray:
    """Return noise whose places are shifted by other noise, float32 (height, width) in 0..1.

    It looks like clouds, glaze or veins; `swirl` is the shift in cells of `cell` pixels.
    """
    shape = height // 2 + 1, width // 2 + 1, cell / 2
    rows, columns = np.indices(shape[:2], np.float32)
    x, y = (
        axis + (noise(rng, *shape, 3) - 0.5) * np.float32(swirl * cell) for axis in (columns, rows)
    )
    fine = noise(rng, *shape, 5)
    shifted = cv2.remap(fine, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.clip(cv2.resize(shifted, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def bricks(
    rng: np.random.Generator, height: int, width: int, course: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return a tone in 0..1 for each brick, and where the joints are, (height, width) each.

    A brick is `length` pixels long; rows of them, `course` pixels high, are staggered.
    """
    y, x = np.indices((height, width))
    row, along = y // course, x + y // course % 2 * (length // 2)
    tones = rng.random((height, width // length + 2), dtype=np.float32)
    return tones[row, along // length], (y % course < 3) | (along % length < 3)


def ramp(values: np.ndarray, colors: Sequence[Color]) -> np.ndarray:
    """Color noise (h, w) in 0..1 by a gradient of colors: float32 (h, w, 3) in 0..255."""
    table = cv2.resize(np.array(colors, np.float32)[:, None], (1, 256))[:, 0]
    return np.take(table, np.clip((values - 0.5) * 400 + 128, 0, 255).astype(np.uint8), axis=0)


def to_image(pixels: np.ndarray) -> Image.Image:
    """Return an RGBA image of an array (h, w, 3 or 4) in 0..255; other values are clipped."""
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


def vase(rng: np.random.Generator) -> Thing:
    """Draw a glazed vase or mug with bands, painted ornaments and often a name."""
    paper, ink, strong = palette(rng)
    height, width = 560, 1120
    glazes = [paper, strong[0], mix(strong[0], ink, 0.5), strong[1]]
    glaze = marble(rng, height, width, rng.uniform(60, 260), rng.uniform(0.1, 1.5))
    image = to_image(ramp(glaze, [glazes[i] for i in rng.permutation(4)[: rng.integers(2, 5)]]))
    raised = Image.new("L", image.size)
    draw, relief = ImageDraw.Draw(image), ImageDraw.Draw(raised)
    for y in rng.integers(30, height - 60, int(rng.integers(1, 4))).tolist():
        band = (0, y, width, y + int(rng.integers(10, 70)))
        draw.rectangle(band, fill=pick(rng, (*strong, paper, ink)))
        relief.rectangle(band, fill=150)
    count, petals = int(rng.integers(5, 12)), int(rng.integers(3, 8))
    reach = width / count * rng.uniform(0.25, 0.55)
    line, flowers = rng.uniform(0.25, 0.75) * height, rng.random() < 0.6
    for x in (np.arange(count) + 0.5) * width / count:
        color = pick(rng, strong[1:])
        if not flowers:
            draw.ellipse((x - reach / 2, line - reach, x + reach / 2, line + 2 * reach), fill=color)
            draw.line((x, line - reach, x, height), fill=ink, width=5)
        for turn in 2 * np.pi / petals * np.arange(petals) if flowers else ():
            petal = (x + reach * np.cos(turn), line + reach * np.sin(turn))
            draw.circle(petal, 0.45 * reach, fill=color)
            relief.circle(petal, 0.45 * reach, fill=200)
        draw.circle((x, line), 0.3 * reach, fill=pick(rng, (paper, ink)))
    if rng.random() < 0.5:
        y = rng.uniform(0.35, 0.7) * height
        draw.rectangle((width / 2 - 150, y - 50, width / 2 + 150, y + 50), fill=paper, outline=ink)
        lettering(draw, (width / 2, y), pick(rng, NAMES).upper(), (270, 80), ink)
    heights = cv2.GaussianBlur(np.asarray(raised, np.float32) / 40, (0, 0), 3)
    heights = heights + rng.uniform(0.5, 4) * noise(rng, height, width, 60, 4)
    mug = rng.random() < 0.4
    radii = [rng.uniform(0.36, 0.46)] * 5 if mug else [*rng.uniform(0.16, 0.42, 4), 0.24]
    knots = np.array(radii, np.float32)[:, None]
    profile = cv2.resize(knots, (1, 100), interpolation=cv2.INTER_CUBIC)[:, 0]
    handle = pick(rng, (-1.5, 1.5)) if mug else None
    return Thing(image, heights, "table", rng.uniform(0.2, 0.8), 0, profile, handle)


def _landscape(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint hills in haze under a cloudy sky with a sun, float32 (height, width, 3)."""
    paper, ink, strong = palette(rng)
    y, x = np.indices((height, width), np.float32)
    clouds = marble(rng, height, width, rng.uniform(120, 300), 0.8) + 0.3 - 0.6 * y / height
    pixels = ramp(clouds, [mix(strong[0], ink, 0.2), mix(strong[0], paper, 0.2), paper])
    center = rng.uniform(0.15, 0.85) * width, rng.uniform(0.12, 0.4) * height
    far = np.hypot(x - center[0], y - center[1]) / (rng.uniform(0.04, 0.13) * width)
    sun = np.clip(8 - 8 * far, 0, 1) + 0.5 * np.exp(-far)
    pixels += sun[..., None] * (np.array(mix(strong[1], paper, 0.4)) - pixels)
    for near in np.sort(rng.uniform(0.35, 0.9, int(rng.integers(2, 6)))).tolist():
        steep = height * rng.uniform(0.2, 0.8)
        ridge = height * near + steep * (noise(rng, 4, width, 260, 6)[1] - 0.5)
        base = mix(mix(strong[2], strong[3], rng.random()), paper, 0.5 * (1 - near))
        ground = marble(rng, height, width, 90, 0.6)
        colors = ramp(ground, [mix(base, ink, 0.6 * near), base, mix(base, paper, 0.3)])
        pixels = np.where((y > ridge)[..., None], colors, pixels)
    return pixels


def _still_life(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Paint large shaded fruits before a clouded ground, float32 (height, width, 3)."""
    paper, ink, strong = palette(rng)
    clouds = marble(rng, height, width, 200, 1.2)
    pixels = ramp(clouds, [ink, strong[0], mix(strong[0], paper, 0.5)])
    skin = noise(rng, height, width, 40, 4) * 0.5 + 0.6
    y, x = np.indices((height, width), np.float32) / max(height, width)
    for number in range(int(rng.integers(3, 8))):
        reach, left, top = rng.uniform([0.08, 0.1, 0.1], [0.26, 0.9, 0.9]).tolist()
        dx, dy = (x - left * x.max()) / reach, (y - top * y.max()) / reach * rng.uniform(0.7, 1.4)
        far = np.hypot(dx, dy)
        lit = skin * (0.25 + 1.1 * np.clip(1.2 - np.hypot(dx + 0.4, dy + 0.4) / 1.6, 0, 1))
        pixels *= 1 - 0.5 * np.clip(1 - np.abs(far - 1) * 4, 0, 1)[..., None]
        cover = np.clip((1 - far) * 30, 0, 1)[..., None]
        pixels += cover * (np.array(strong[number % 4]) * lit[..., None] - pixels)
    return pixels


def book(rng: np.random.Generator) -> Thing:
    """Draw a worn book: a picture, a title, an author."""
    paper, ink, strong = palette(rng)
    width, height = pick(rng, ((640, 900), (700, 900), (800, 800)))
    image = to_image(pick(rng, (_landscape, _still_life))(rng, height, width))
    draw = ImageDraw.Draw(image)
    part = height * rng.uniform(0.18, 0.3)
    top = float(rng.random() < 0.5) * (height - part)
    if rng.random() < 0.75:
        draw.rectangle((0, top, width, top + part), fill=pick(rng, (*strong[:2], ink)))
    title = pick(rng, NAMES).upper(), 0.35, 0.6
    for words, line, size in (title, (f"{pick(rng, NAMES)} {pick(rng, NAMES)}", 0.8, 0.2)):
        for shift, color in ((3, ink), (0, paper)):
            center = width / 2 + shift, top + part * line + shift
            lettering(draw, center, words, (0.9 * width, size * part), color)
    pixels = np.asarray(image.convert("RGB"), np.float32)
    y, x = np.indices((height, width), np.float32)
    to_edge = np.minimum(np.minimum(y, height - y), np.minimum(x, width - x))
    worn = noise(rng, height, width, 25, 4) * 1.6 - 0.35 - to_edge / 40
    pixels += np.clip(worn, 0, 0.8)[..., None] * (np.array(paper) - pixels)
    cloth = rng.uniform(0.3, 1.5) * noise(rng, height, width, 4, 2)
    return Thing(to_image(pixels), cloth, "table", rng.uniform(0.05, 0.4), rng.uniform(0.04, 0.12))


def facade(rng: np.random.Generator) -> Thing:
    """Draw the front of a house: bricks or plaster, a roof, windows, a shop, ivy."""
    paper, ink, strong = palette(rng)
    width, height = int(rng.integers(520, 900)), 900
    wall = mix(strong[0], pick(rng, (paper, (160, 90, 70), (190, 180, 160))), rng.uniform(0.4, 0.9))
    heights = 3 * noise(rng, height, width, 8, 3)
    rough = marble(rng, height, width, 120, 0.5)
    if rng.random() < 0.6:
        tone, joint = bricks(
            rng, height, width, int(rng.integers(12, 30)), int(rng.integers(30, 70))
        )
        rough = np.where(joint, 0.75, 0.3 * rough + 0.5 * tone)
        heights -= 3 * joint
    image = to_image(ramp(rough, [mix(wall, ink, 0.45), wall, mix(wall, paper, 0.4)]))
    raised = Image.new("L", image.size, 100)
    draw, relief = ImageDraw.Draw(image), ImageDraw.Draw(raised)

    def block(left: float, top: float, right: float, bottom: float, fill: Color, up: int) -> None:
        draw.rectangle((left, top, right, bottom), fill=fill)
        relief.rectangle((left, top, right, bottom), fill=up)

    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    shutters, frame = rng.random() < 0.5, pick(rng, (paper, ink, strong[3]))
    step_x, step_y = width / columns, 540 / rows
    w, h = rng.uniform(0.16, 0.3) * step_x, rng.uniform(0.5, 0.7) * step_y
    round_top = w * float(rng.random() < 0.4)
    for column, row in np.ndindex(columns, rows):
        mid, top = (column + 0.5) * step_x, 160 + row * step_y
        draw.circle((mid, top), round_top + 10, fill=frame)
        block(mid - w - 10, top - 10, mid + w + 10, top + h + 10, frame, 160)
        block(mid - w - 22, top + h + 4, mid + w + 22, top + h + 18, mix(frame, wall, 0.3), 220)
        inside = mix((70, 95, 120), (240, 210, 150), float(rng.random() ** 3))
        glass = ramp(marble(rng, int(h), int(2 * w), 60, 0.5), [ink, inside, (190, 205, 215)])
        image.paste(to_image(glass), (int(mid - w), int(top)))
        relief.rectangle((mid - w, top, mid + w, top + h), fill=40)
        block(mid - 4, top, mid + 4, top + h, frame, 130)
        block(mid - w, top + 0.4 * h, mid + w, top + 0.4 * h + 7, frame, 130)
        for left in (mid - 1.8 * w - 12, mid + w + 12) if shutters else ():
            block(left, top, left + 0.8 * w, top + h, strong[2], 170)
    block(0, 100, width, 126, mix(frame, wall, 0.4), 230)
    block(20, 730, width - 20, 785, mix(strong[3], ink, 0.4), 180)
    name = f"{pick(rng, NAMES)}'s {pick(rng, ('Bakery', 'Books', 'Cafe', 'Wines', 'Tailor'))}"
    lettering(draw, (width / 2, 757), name, (width - 120, 48), paper)
    wide = int(rng.integers(120, 220))
    for left in range(20, width - wide, wide):
        block(left, 795, left + wide - 16, height, pick(rng, (ink, frame, strong[3])), 60)
        block(left + 12, 810, left + wide - 28, height - 30, mix(ink, (110, 130, 140), 0.4), 40)
    pixels = np.array(image, np.float32)
    roof = mix(pick(rng, ((140, 75, 55), (80, 85, 95), strong[1])), ink, 0.1)
    y, x = np.indices((height, width))
    tiles = ((x + y // 12 % 2 * 10) % 20 / 40 + y % 12 / 24) * 0.6 + 0.25 * rough
    pixels[:100, :, :3] = ramp(tiles[:100], [mix(roof, ink, 0.6), roof, mix(roof, paper, 0.3)])
    ivy = marble(rng, height, width, 160, 0.8) > rng.uniform(0.62, 0.8)
    leaves = noise(rng, height, width, 14, 3)
    pixels[ivy, :3] = ramp(leaves, [(20, 40, 15), (60, 95, 40), (130, 150, 70)])[ivy]
    # The ends of the roof slope; beside them is the sky.
    pixels[..., 3][y < 100 - rng.uniform(0, 1.2) * np.minimum(x, width - x)] = 0
    heights += cv2.GaussianBlur(np.asarray(raised, np.float32) / 12, (0, 0), 1.5)
    return Thing(to_image(pixels), heights + 8 * ivy * leaves, "street", 0.05, 0.45)


FAMILIES: tuple[Callable[[np.random.Generator], Thing], ...] = (vase, book, facade)
