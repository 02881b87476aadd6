"""The tools the demo's objects are drawn with: palettes, noise, lettering, paper.

Textures are `PIL.Image.Image` in mode RGBA, about 1000 pixels long and drawn without
antialiasing: a view shows them at half that size or less, and the shrinking smooths them.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Palette:
    """The colors of one thing: what it is made on, what lines are drawn with, and four more."""

    paper: Color
    ink: Color
    colors: tuple[Color, Color, Color, Color]


def _palette(text: str) -> Palette:
    paper, ink, a, b, c, d = (
        (int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16)) for h in text.split()
    )
    return Palette(paper, ink, (a, b, c, d))


PALETTES = tuple(
    _palette(text)
    for text in (
        "f1e4c9 2b2118 a8321f d98e2b 1f4e5f 6b7f3a",
        "e9eef0 14213d 1d4e89 f7b538 c32f27 7fb7be",
        "f6ead7 3b1f2b 7b2d43 e07a5f 3d405b 81b29a",
        "eadfc4 1c2b20 2f5d3a c9a227 8c3b1b 95a78d",
        "f4f1de 22223b 4a4e69 c9ada7 9a031e f2a65a",
        "fbe9d7 0b3142 0f8b8d ec9a29 a8201a 143642",
        "efe6dd 231942 5e548e e0b1cb be5a83 f2c14e",
        "e6ece2 10302e 116466 d9b08c d1633c 557a46",
        "f3e3d3 2d1e2f 44355b ee5622 eca72c 31263e",
        "f0ead2 31241a 6c584c a98467 adc178 bc4b32",
        "e8f1f2 13293d 006494 1b98e0 f25f5c ffe066",
        "f7ede2 2e282a cd5334 17bebb edb88b 76487a",
        "ece5da 1a1423 372549 b75d69 eacdc2 774c60",
    )
)
"""Thirteen, so that neighbors of one family never get the same one."""

# fmt: off
FIRST = (
    "Ida", "Tomas", "Vera", "Anselm", "Juno", "Piet", "Mara", "Oskar", "Lena", "Ruben", "Edda",
    "Casimir", "Noor", "Silas",
)
LAST = (
    "Marlow", "Venn", "Halloran", "Okonjo", "Brandt", "Szabo", "Lindqvist", "Ferro", "Aldaine",
    "Rook", "Tamura", "Quill",
)
ADJECTIVES = (
    "Silent", "Northern", "Golden", "Last", "Hidden", "Paper", "Salt", "Winter", "Copper",
    "Distant", "Second", "Glass", "Velvet", "Lost", "Amber", "Quiet",
)
NOUNS = (
    "Harbor", "Orchard", "Lantern", "River", "Island", "Garden", "Mountain", "Letter", "Meridian",
    "Summer", "Atlas", "Tide", "Voyage", "Cinema", "Parade", "Observatory",
)
# fmt: on


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`, each as likely."""
    return options[int(rng.integers(len(options)))]


def title(rng: np.random.Generator) -> str:
    """Two words that could be the name of a book or a record."""
    return f"{pick(rng, ADJECTIVES)} {pick(rng, NOUNS)}"


def person(rng: np.random.Generator) -> str:
    """An invented name."""
    return f"{pick(rng, FIRST)} {pick(rng, LAST)}"


def mix(a: Color, b: Color, share: float) -> Color:
    """`a` with `share` (0 to 1) of `b`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def noise(
    rng: np.random.Generator, height: int, width: int, cell: float, octaves: int = 1
) -> np.ndarray:
    """Smooth value noise, float32 (height, width) in 0..1, mean about 0.5.

    Args:
        rng: where the values come from.
        height: in pixels.
        width: in pixels.
        cell: size of the largest spots, in pixels.
        octaves: each further one has half the size and half the strength.
    """
    total = np.zeros((height, width), np.float32)
    weight, norm = 1.0, 0.0
    for _ in range(octaves):
        rows, columns = (max(2, int(side / cell) + 2) for side in (height, width))
        coarse = rng.random((rows, columns), dtype=np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        norm, weight, cell = norm + weight, weight / 2, max(1.0, cell / 2)
    return np.clip(total / np.float32(norm), 0, 1)


def vertical_gradient(height: int, width: int, stops: Sequence[Color]) -> np.ndarray:
    """Colors from top to bottom, float32 (height, width, 3) in 0..255."""
    position = np.linspace(0, len(stops) - 1, height)
    table = np.array(stops, np.float32)
    channels = [np.interp(position, np.arange(len(stops)), table[:, c]) for c in range(3)]
    column = np.stack(channels, axis=-1).astype(np.float32)
    return np.repeat(column[:, None], width, axis=1)


def to_image(pixels: np.ndarray) -> Image.Image:
    """An RGB or RGBA image from an array (h, w, 3 or 4) in 0..255; other values are clipped."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def canvas(width: int, height: int, color: Color) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A new texture of one color, opaque, and the pen to draw on it."""
    image = Image.new("RGBA", (width, height), (*color, 255))
    return image, ImageDraw.Draw(image)


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(max(4, size))


def lettering(
    draw: ImageDraw.ImageDraw,
    center: Point,
    text: str,
    room: tuple[float, float],
    fill: Color,
    *,
    bold: float = 0.0,
    outline: Color | None = None,
) -> None:
    """Text around `center`, as large as fits in the `room`.

    Args:
        draw: the pen.
        center: middle of the text, in pixels.
        text: one line.
        room: width and height in pixels; the height is the font size at most.
        fill: color of the letters.
        bold: extra thickness as a share of the font size; with `outline`, that of the outline.
        outline: color around the letters.
    """
    reference = draw.textlength(text, font=font(100)) / 100 + 2 * bold
    size = max(4, int(min(room[1], room[0] / max(reference, 0.1))))
    draw.text(
        center, text, fill=fill, font=font(size), anchor="mm",
        stroke_width=round(bold * size), stroke_fill=outline or fill,
    )  # fmt: skip


def polar(center: Point, radius: float, degrees: float) -> Point:
    """A point `radius` from `center`; 0 degrees is up, and they grow clockwise."""
    angle = np.radians(degrees)
    return float(center[0] + radius * np.sin(angle)), float(center[1] - radius * np.cos(angle))


def star(
    draw: ImageDraw.ImageDraw,
    center: Point,
    radii: tuple[float, float],
    points: int,
    fill: Color,
    *,
    turn: float = 0.0,
) -> None:
    """A star (or a burst, with many points); `radii` of its tips and its notches, in pixels."""
    step = 180 / points
    corners = [polar(center, r, turn + i * step) for i, r in enumerate(radii * points)]
    draw.polygon(corners, fill=fill)


def circle(
    draw: ImageDraw.ImageDraw,
    center: Point,
    radius: float,
    fill: Color | None = None,
    *,
    outline: Color | None = None,
    width: int = 1,
) -> None:
    """A circle, in pixels."""
    x, y = center
    box = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(box, fill=fill, outline=outline, width=width)


def aged(rng: np.random.Generator, image: Image.Image, strength: float = 1.0) -> Image.Image:
    """The texture with the grain of paper, foxing, and worn and darkened edges."""
    pixels = np.asarray(image.convert("RGBA")).astype(np.float32)
    height, width = pixels.shape[:2]
    grain = noise(rng, height, width, 3, 2) - 0.5
    stains = noise(rng, height, width, 260, 3) - 0.5
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    edge = np.maximum(np.abs(rows), np.abs(columns)).astype(np.float32) ** 12
    factor = 1 + strength * (0.16 * grain + 0.16 * stains - 0.10 * edge)
    warmth = np.array([1.0, 0.985, 0.95], np.float32) ** strength
    pixels[..., :3] *= factor[..., None] * warmth
    scratches = np.ones((height, width), np.float32)
    for _ in range(int(14 * strength)):
        x, y = rng.random(2) * (width, height)
        dx, dy = rng.normal(0, 50, 2)
        shade = float(rng.uniform(0.7, 1.3))
        cv2.line(scratches, (int(x), int(y)), (int(x + dx), int(y + dy)), (shade,), 2)
    pixels[..., :3] *= scratches[..., None]
    return to_image(pixels)
