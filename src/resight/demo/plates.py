"""Sheets of the demo one can look at for long: butterfly plates, city maps, star charts."""

import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import (
    Color,
    Palette,
    Point,
    aged,
    canvas,
    circle,
    font,
    lettering,
    mix,
    noise,
    pick,
    polar,
    star,
    to_image,
)

# fmt: off
LATIN = (
    "Papilio", "Vanessa", "Morpho", "Argynnis", "Colias", "Danaus", "Lycaena", "Zygaena",
    "Limenitis", "Parnassius",
)
EPITHETS = (
    "aurea", "nocturna", "borealis", "minor", "velata", "rubra", "insularis", "alpina", "picta",
    "serena",
)
STREETS = (
    "Mill", "Castle", "Harbor", "King", "Linden", "Market", "Abbey", "Orchard", "Bridge",
    "Garden", "Foundry", "Chapel",
)
STARS = (
    "Lyra", "Corvus", "Draco", "Cetus", "Ara", "Volans", "Pyxis", "Lupus", "Crater", "Mensa",
    "Hydra", "Vela", "Norma", "Pavo",
)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# fmt: on


def butterflies(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A collector's plate of twelve butterflies with their names."""
    width, height = 860, 1100
    image, draw = canvas(width, height, mix(palette.paper, (255, 255, 255), 0.25))
    draw.rectangle((24, 24, width - 24, height - 24), outline=palette.ink, width=6)
    draw.rectangle((38, 38, width - 38, height - 38), outline=palette.colors[0], width=3)
    numeral = pick(rng, ("III", "V", "VIII", "XI", "XII", "XIV", "XIX"))
    heading = f"LEPIDOPTERA  ·  PLATE {numeral}"
    lettering(draw, (width / 2, 84), heading, (620, 46), palette.ink, bold=0.02)
    for row in range(4):
        for column in range(3):
            x, y = 165 + 265 * column, 235 + 232 * row
            side = 236
            insect = _butterfly(rng, palette, side)
            insect = insect.rotate(rng.uniform(-7, 7), Image.Resampling.BICUBIC)
            image.alpha_composite(insect, (x - side // 2, y - side // 2))
    for row in range(4):
        for column in range(3):
            x, y = 165 + 265 * column, 235 + 232 * row
            name = f"{3 * row + column + 1}. {pick(rng, LATIN)} {pick(rng, EPITHETS)}"
            lettering(draw, (x, y + 113), name, (230, 25), palette.ink)
    return aged(rng, image)


def _butterfly(rng: np.random.Generator, palette: Palette, side: int) -> Image.Image:
    half = Image.new("RGBA", (side // 2, side))
    draw = ImageDraw.Draw(half)
    colors = [palette.colors[i] for i in rng.permutation(4)]
    base, second = colors[0], colors[1]
    root = (3.0, side * 0.47)
    fore = _wing(rng, root, side * rng.uniform(0.46, 0.52), 55, 46)
    hind = _wing(rng, root, side * rng.uniform(0.36, 0.46), 128, 44)
    for wing, color in ((hind, second), (fore, base)):
        pale = mix(color, palette.paper, 0.45)
        for scale, tint in ((1.0, palette.ink), (0.92, color), (0.62, pale), (0.42, colors[2])):
            points = [
                (root[0] + (x - root[0]) * scale, root[1] + (y - root[1]) * scale) for x, y in wing
            ]
            draw.polygon(points, fill=tint)
        for tip in wing[2::4]:
            draw.line((root, tip), fill=mix(palette.ink, color, 0.2), width=2)
        for k in range(3, len(wing) - 2, 4):
            x, y = wing[k]
            spot = (root[0] + (x - root[0]) * 0.82, root[1] + (y - root[1]) * 0.82)
            tint = pick(rng, (palette.paper, colors[3]))
            circle(draw, spot, side * 0.018, tint, outline=palette.ink, width=2)
    for wing in (fore, hind):
        x, y = wing[len(wing) // 2]
        eye = (root[0] + (x - root[0]) * 0.58, root[1] + (y - root[1]) * 0.58)
        size = side * rng.uniform(0.03, 0.06)
        for k, tint in enumerate((palette.ink, colors[3], palette.ink, palette.paper)):
            circle(draw, eye, size * (1 - 0.27 * k), tint)
    image = Image.new("RGBA", (side, side))
    image.paste(half, (side // 2, 0))
    image.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, 0))
    pen = ImageDraw.Draw(image)
    x, y = side / 2, root[1]
    pen.ellipse((x - 7, y - 30, x + 7, y + 62), fill=palette.ink)
    circle(pen, (x, y - 36), 9, palette.ink)
    for turn in (-24, 24):
        feeler = polar((x, y - 36), 62, turn)
        pen.line(((x, y - 36), feeler), fill=palette.ink, width=3)
        circle(pen, feeler, 5, palette.ink)
    return image


def _wing(
    rng: np.random.Generator, root: Point, reach: float, middle: float, spread: float
) -> list[Point]:
    turns = np.linspace(-1, 1, 26)
    scallop = 1 + 0.035 * np.sin(turns * rng.uniform(14, 26))
    power = rng.uniform(0.3, 0.6)
    radii = reach * np.clip(1 - turns**4, 0, 1) ** power * scallop
    radii *= 1 + rng.uniform(-0.2, 0.05) * turns
    edge = [polar(root, r, middle + spread * t) for r, t in zip(radii, turns, strict=True)]
    return [(max(0.0, x), y) for x, y in edge]


def city_map(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A folded city map: blocks by repeated division, a river with bridges, parks, names."""
    width, height = 1080, 820
    a, b, c, d = palette.colors
    paper = mix(palette.paper, (255, 255, 255), 0.4)
    image, draw = canvas(width, height, paper)
    tints = [mix(paper, color, share) for color in (b, b, a, d) for share in (0.35, 0.6)]
    corners = [(-150.0, -120.0), (1260.0, -60.0), (1200.0, 960.0), (-90.0, 900.0)]
    turn = rng.uniform(-0.3, 0.3)
    sine, cosine = float(np.sin(turn)), float(np.cos(turn))
    quad = [
        (540 + cosine * (x - 540) - sine * (y - 410), 410 + sine * (x - 540) + cosine * (y - 410))
        for x, y in corners
    ]
    green = mix((120, 170, 90), d, 0.35)
    for block in _blocks(rng, quad, 0):
        outline = mix(palette.ink, paper, 0.45)
        if rng.random() < 0.06:
            draw.polygon(block, fill=green, outline=outline)
            (x0, y0), (x1, y1) = np.min(block, axis=0), np.max(block, axis=0)
            for x, y in rng.uniform((x0, y0), (x1, y1), (14, 2)):
                circle(draw, (x, y), 5, mix(green, (20, 60, 20), 0.45))
        else:
            draw.polygon(block, fill=pick(rng, tints), outline=outline)
    _river(rng, draw, mix(c, (110, 175, 220), 0.75), paper, (width, height))
    for _ in range(3):  # tram lines
        ends = [
            (rng.uniform(0, width), 0),
            (width / 2, height / 2),
            (rng.uniform(0, width), height),
        ]
        draw.line(ends, fill=a, width=7)
    for _ in range(34):
        x, y = rng.uniform(90, width - 90), rng.uniform(90, height - 90)
        name = f"{pick(rng, STREETS)} {pick(rng, ('St', 'Row', 'Lane', 'Sq'))}"
        tile = Image.new("RGBA", (170, 170))
        lettering(ImageDraw.Draw(tile), (85, 85), name, (165, 23), palette.ink, bold=0.01)
        tile = tile.rotate(-float(np.degrees(turn)) + pick(rng, (0, 90)), Image.Resampling.BILINEAR)
        image.alpha_composite(tile, (int(x) - 85, int(y) - 85))
    _map_margin(rng, draw, palette, width, height)
    pixels = np.asarray(aged(rng, image, 0.7)).astype(np.float32)
    for k in (1, 2, 3):  # folds
        x = width * k // 4
        pixels[:, x - 2 : x + 2, :3] *= 0.84
        pixels[:, x + 2 : x + 24, :3] *= np.linspace(1.05, 1, 22)[None, :, None]
    pixels[height // 2 - 2 : height // 2 + 2, :, :3] *= 0.86
    return to_image(pixels)


def _blocks(rng: np.random.Generator, quad: list[Point], depth: int) -> list[list[Point]]:
    """Divide a quadrilateral by streets, wide ones first, until the blocks are small."""
    p = np.array(quad)
    across, down = np.linalg.norm(p[1] - p[0]), np.linalg.norm(p[3] - p[0])
    if across * down < rng.uniform(1500, 5200) or depth > 11:
        return [quad]
    if across < down:  # turn it, so that the first side is the longer one
        p = p[[1, 2, 3, 0]]
        across = down
    street = max(4.0, 17.0 - 2.2 * depth) / across / 2
    s, t = np.clip(rng.uniform(0.36, 0.64) + rng.uniform(-0.07, 0.07, 2), 0.25, 0.75)
    top, bottom = p[1] - p[0], p[2] - p[3]
    left = [p[0], p[0] + (s - street) * top, p[3] + (t - street) * bottom, p[3]]
    right = [p[0] + (s + street) * top, p[1], p[2], p[3] + (t + street) * bottom]
    halves = [[(float(x), float(y)) for x, y in half] for half in (left, right)]
    return [block for half in halves for block in _blocks(rng, half, depth + 1)]


def _river(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    water: Color,
    road: Color,
    size: tuple[int, int],
) -> None:
    width, height = size
    xs = np.linspace(-60, width + 60, 60)
    line = height * (0.5 + 1.1 * (noise(rng, 4, 60, 22, 2)[1] - 0.5))
    points = list(zip(xs.tolist(), line.tolist(), strict=True))
    for shade, extra in ((mix(water, (0, 0, 0), 0.35), 5), (water, 0)):
        draw.line(points, fill=shade, width=62 + 2 * extra, joint="curve")
    for k in range(6, 58, int(rng.integers(6, 10))):
        x, y = points[k]
        draw.line((x - 8, y - 46, x + 8, y + 46), fill=(70, 70, 70), width=18)
        draw.line((x - 8, y - 46, x + 8, y + 46), fill=road, width=12)


def _map_margin(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, palette: Palette, width: int, height: int
) -> None:
    paper, ink = mix(palette.paper, (255, 255, 255), 0.4), palette.ink
    for inset, color, thick in ((0, paper, 44), (40, ink, 5)):
        draw.rectangle(
            (inset, inset, width - 1 - inset, height - 1 - inset), outline=color, width=thick
        )
    for k in range(8):
        x = 40 + (k + 0.5) * (width - 80) / 8
        for y in (20, height - 22):
            lettering(draw, (x, y), "ABCDEFGH"[k], (40, 28), ink)
    name = f"{pick(rng, ('Port', 'Saint', 'New', 'Upper'))} {pick(rng, STREETS)}"
    draw.rectangle((70, 70, 410, 190), fill=paper, outline=ink, width=5)
    lettering(draw, (240, 115), name.upper(), (310, 62), palette.colors[0], bold=0.03)
    lettering(draw, (240, 165), f"scale 1 : {rng.integers(5, 20)} 000", (250, 26), ink)
    rose = (width - 150, height - 150)
    circle(draw, rose, 84, paper, outline=ink, width=4)
    star(draw, rose, (76, 22), 4, ink)
    star(draw, rose, (52, 16), 4, palette.colors[0], turn=45)


def star_chart(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A round chart of an invented sky, with its Milky Way and constellations."""
    side = 1040
    middle = (side / 2, side / 2)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    deep = np.array(mix(pick(rng, palette.colors), (8, 18, 60), 0.8), np.float32)
    turn = rng.uniform(0, np.pi)
    band = np.abs(
        x * np.cos(turn) + y * np.sin(turn) + 0.4 * (noise(rng, side, side, 300, 2) - 0.5)
    )
    glow = np.clip(1 - band * 3.2, 0, 1) * noise(rng, side, side, 110, 5)
    image = to_image(deep + 150 * glow[..., None]).convert("RGBA")
    draw = ImageDraw.Draw(image)
    grid = mix(palette.colors[1], (8, 14, 40), 0.35)
    for radius in (110, 220, 330, 440):
        circle(draw, middle, radius, None, outline=grid, width=3)
    for k in range(24):
        draw.line((polar(middle, 40, 15 * k), polar(middle, 440, 15 * k)), fill=grid, width=2)
    for r, angle in zip(440 * np.sqrt(rng.random(620)), rng.uniform(0, 360, 620), strict=True):
        circle(draw, polar(middle, r, angle), rng.exponential(2.0) + 1.2, (255, 252, 235))
    gold = mix(palette.colors[1], (255, 236, 170), 0.45)
    for k in range(11):
        seat = polar(middle, (150, 320, 385)[k % 3] + rng.uniform(-30, 20), 360 * k / 11)
        _constellation(rng, draw, seat, gold, pick(rng, STARS))
    circle(draw, middle, 515, None, outline=palette.paper, width=74)
    for k in range(72):
        ends = polar(middle, 442, 5 * k), polar(middle, 456 if k % 2 else 466, 5 * k)
        draw.line(ends, fill=palette.ink, width=4)
    for k in range(12):
        tile = Image.new("RGBA", (170, 170))
        lettering(ImageDraw.Draw(tile), (85, 85), MONTHS[k], (160, 40), palette.ink, bold=0.03)
        tx, ty = polar(middle, 488, 30 * k + 15)
        tile = tile.rotate(-30 * k - 15, Image.Resampling.BILINEAR)
        image.alpha_composite(tile, (int(tx) - 85, int(ty) - 85))
    for radius in (441, 514):
        circle(draw, middle, radius, None, outline=palette.colors[0], width=5)
    alpha = Image.new("L", image.size, 0)
    ImageDraw.Draw(alpha).circle(middle, 516, fill=255)
    image.putalpha(alpha)
    return image


def _constellation(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, seat: Point, gold: Color, name: str
) -> None:
    stars = [
        (seat[0] + dx, seat[1] + dy) for dx, dy in rng.normal(0, 46, (int(rng.integers(5, 9)), 2))
    ]
    for k, end in enumerate(stars[1:], 1):  # each joins the nearest before it
        start = min(stars[:k], key=lambda s: (s[0] - end[0]) ** 2 + (s[1] - end[1]) ** 2)
        draw.line((start, end), fill=gold, width=4)
    for spot in stars:
        star(draw, spot, (rng.uniform(12, 19), 5), 5, gold, turn=rng.uniform(0, 72))
    draw.text((seat[0] + 24, seat[1] + 24), name, fill=gold, font=font(30))
