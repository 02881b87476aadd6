"""Things of the demo that are made by hand: carpets, paintings, clocks, house fronts."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import (
    Color,
    Palette,
    Point,
    circle,
    font,
    lettering,
    mix,
    noise,
    person,
    pick,
    polar,
    star,
    to_image,
    vertical_gradient,
)


def carpet(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A knotted carpet: medallion, motifs, borders, and a fringe at both ends."""
    colors = np.array([palette.ink, *palette.colors, palette.paper], np.float32)
    order = rng.permutation(4) + 1
    rows, columns = 50, 75  # a quarter of the knots; the rest is its mirror image
    y, x = np.mgrid[rows:0:-1, columns:0:-1].astype(np.float32)
    quarter = np.full((rows, columns), order[0])
    slant = rng.uniform(0.9, 1.8)
    distance = (x + slant * y) / slant
    bands = rng.choice([0, 5, *order[1:]], 14)
    medallion = distance < rng.uniform(34, 46)
    step = int(rng.integers(3, 6))
    quarter[medallion] = bands[(distance[medallion] // step).astype(int) % len(bands)]
    for _ in range(int(rng.integers(26, 40))):
        motif = _motif(rng, int(rng.integers(2, 6)))
        top, left = rng.integers(10, rows - 11), rng.integers(10, columns - 11)
        part = quarter[top : top + len(motif), left : left + len(motif)]
        part[motif[: part.shape[0], : part.shape[1]]] = rng.choice([0, 5, *order[1:]])
    _carpet_borders(rng, quarter, order)
    half = np.hstack([quarter, quarter[:, ::-1]])
    knots = np.vstack([half, half[::-1]])
    stray = rng.random(knots.shape) < 0.012
    knots[stray] = rng.integers(0, 6, int(stray.sum()))
    return _knotted(rng, colors[knots])


def _motif(rng: np.random.Generator, half: int) -> np.ndarray:
    corner = rng.random((half, half)) < 0.55
    corner |= corner.T
    side = np.hstack([corner, corner[:, -2::-1]])
    motif: np.ndarray = np.vstack([side, side[-2::-1]])
    return motif


def _carpet_borders(rng: np.random.Generator, quarter: np.ndarray, order: np.ndarray) -> None:
    rows, columns = quarter.shape
    y, x = np.mgrid[:rows, :columns]
    edge = np.minimum(y, x)
    along = np.where(y < x, x, y)
    motif = _motif(rng, 4)  # 7 x 7 knots
    quarter[edge < 12] = order[1]
    inside = (edge >= 2) & (edge < 9)
    quarter[inside & motif[np.clip(edge - 2, 0, 6), along % 9 % 7]] = 5
    quarter[inside & (along % 9 >= 7)] = order[3]
    quarter[(edge < 2) | (edge == 9) | (edge == 11)] = 0
    quarter[edge == 10] = np.where(along[edge == 10] % 4 < 2, 5, order[2])


def _knotted(rng: np.random.Generator, colors: np.ndarray) -> Image.Image:
    cell = 7
    pixels = colors.repeat(cell, axis=0).repeat(cell, axis=1)
    height, width = pixels.shape[:2]
    ramp = np.abs(np.linspace(-1, 1, cell))
    bump = 1.08 - 0.28 * np.maximum.outer(ramp, ramp) ** 2
    shade = np.tile(bump, (height // cell, width // cell))
    shade *= 0.86 + 0.28 * noise(rng, height, width, 5, 2)
    shade *= 0.9 + 0.2 * noise(rng, height, 4, 60, 2)[:, :1]  # the dye differs from row to row
    fringe = 44
    image = Image.new("RGBA", (width + 2 * fringe, height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    for top in range(0, height, 7):
        for side, away in ((fringe + 4, -1), (fringe + width - 4, 1)):
            end = (side + away * rng.uniform(26, fringe), top + rng.uniform(-9, 9))
            tint = int(rng.integers(190, 245))
            draw.line((side, top, *end), fill=(tint, tint - 8, tint - 30, 255), width=5)
    image.paste(to_image(pixels * shade[..., None]), (fringe, 0))
    return image


def painting(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """An oil painting in thousands of strokes, in a gilded frame."""
    width, height, rim = 960, 720, 70
    motif = _landscape(rng, palette, width, height)
    angle = 120 * noise(rng, height, width, 240, 2) - 60
    strokes = np.ascontiguousarray(motif * 0.8)
    for count, length, thick, jitter in (
        (1000, 40, 12, 16),
        (4000, 19, 6, 18),
        (9000, 10, 3, 20),
        (9000, 6, 2, 14),
    ):
        xs = rng.integers(0, width, count)
        ys = rng.integers(0, height, count)
        colors = motif[ys, xs] + rng.normal(0, jitter, (count, 1)) + rng.normal(0, 9, (count, 3))
        sizes = rng.uniform(0.6, 1.4, count)
        for x, y, color, size in zip(xs.tolist(), ys.tolist(), colors, sizes, strict=True):
            axes = (int(length * size), max(1, int(thick * size)))
            turn = float(angle[y, x])
            cv2.ellipse(strokes, (x, y), axes, turn, 0, 360, color.tolist(), -1)
    relief = strokes.mean(axis=2)
    relief = np.roll(relief, 2, (0, 1)) - relief  # light from above left on thick paint
    strokes -= 0.22 * relief[..., None]
    image = _gilded_frame(rng, width + 2 * rim, height + 2 * rim, rim)
    image.paste(to_image(strokes), (rim, rim))
    draw = ImageDraw.Draw(image)
    name = person(rng).split()[1]
    draw.text((width + rim - 150, height + rim - 50), name, fill=palette.ink, font=font(34))
    return image


def _landscape(rng: np.random.Generator, palette: Palette, width: int, height: int) -> np.ndarray:
    """What is painted, float32 (height, width, 3): hills, fields, trees and houses under a sky."""
    a, b, c, d = palette.colors
    sky = vertical_gradient(height, width, (mix(c, (40, 70, 160), 0.4), palette.paper, b))
    clouds = np.clip(noise(rng, height, width, 260, 4) * 3 - 1.3, 0, 1)[..., None]
    image = to_image(sky + clouds * (np.array(palette.paper) - sky))
    draw = ImageDraw.Draw(image)
    sun = (rng.uniform(0.15, 0.85) * width, rng.uniform(0.12, 0.28) * height)
    for k in range(4):
        circle(draw, sun, 70 - 15 * k, mix((255, 250, 220), b, k / 3))
    meadow = mix(d, (120, 150, 60), 0.5)
    fields = (mix(c, palette.paper, 0.45), meadow, mix(meadow, b, 0.55), mix(b, a, 0.3), d)
    for k in range(6):
        level = height * (0.42 + 0.1 * k)
        line = level + (170 - 18 * k) * (noise(rng, 4, width, 300, 3)[1] - 0.5)
        draw.polygon([(0, height), *enumerate(line.tolist()), (width, height)], fields[k % 5])
        for _ in range(3 + 3 * k):
            x = float(rng.integers(20, width - 20))
            y, size = line[int(x)] + rng.uniform(5, 50), rng.uniform(20, 34) * (0.7 + 0.3 * k)
            if rng.random() < 0.3:
                _cottage(draw, (x, y), size, pick(rng, (a, palette.ink, b)), palette.paper)
            else:
                leaves = mix(pick(rng, (d, a, c)), palette.ink, rng.uniform(0.2, 0.7))
                top = y - size * rng.uniform(1.4, 3.2)
                draw.ellipse((x - size * 0.6, top, x + size * 0.6, y), fill=leaves)
                light = mix(leaves, b, 0.5)
                draw.ellipse((x - size * 0.4, top + 4, x, (y + top) / 2), fill=light)
        for x in rng.integers(0, width, 14):  # furrows
            y = float(line[x]) + 20
            draw.line(
                (x, y, x + rng.uniform(-90, 90), y + 70), fill=mix(d, palette.ink, 0.5), width=4
            )
    return np.asarray(image).astype(np.float32)


def _cottage(draw: ImageDraw.ImageDraw, at: Point, size: float, roof: Color, wall: Color) -> None:
    x, y = at
    draw.rectangle((x - size, y - size, x + size, y), fill=wall)
    points = [(x - size * 1.25, y - size), (x, y - size * 2), (x + size * 1.25, y - size)]
    draw.polygon(points, fill=roof)
    for side in (-0.5, 0.5):
        left = x + side * size - size * 0.2
        draw.rectangle((left, y - size * 0.75, left + size * 0.4, y - size * 0.3), fill=roof)


def _gilded_frame(rng: np.random.Generator, width: int, height: int, rim: int) -> Image.Image:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    along = np.where(np.minimum(x, width - 1 - x) < np.minimum(y, height - 1 - y), y, x)
    share = edge / rim
    profile = 0.62 + 0.3 * np.sin(share * 9) + 0.12 * np.sign(y - x * height / width)
    period = rng.uniform(34, 60)
    phase = 2 * np.pi * along / period
    beads = np.sin(phase) * np.sin(2 * np.pi * share) + 0.5 * np.sin(2 * phase + 6 * share)
    profile += 0.2 * beads + 0.2 * (noise(rng, height, width, 5, 2) - 0.5)
    gold = np.array([222, 176, 92], np.float32) * np.clip(profile, 0.15, 1.25)[..., None]
    return to_image(gold).convert("RGBA")


def clock(rng: np.random.Generator, palette: Palette) -> Image.Image:
    """A wall clock: an engraved dial, Roman numerals, hands, and a metal rim."""
    side = 1000
    middle = (side / 2, side / 2)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    lobes = int(rng.integers(9, 30))
    waves = np.sin(lobes * angle + 30 * r) * np.sin(lobes * angle - 30 * r)
    dial = np.array(palette.paper, np.float32) + 18 * waves[..., None]
    inner = np.array(mix(pick(rng, palette.colors), palette.paper, 0.35), np.float32)
    dial = np.where((r < 0.52)[..., None], inner + 26 * np.sign(waves)[..., None], dial)
    rim_color = np.array(pick(rng, ((205, 164, 88), (150, 154, 162), (140, 84, 48))), np.float32)
    shine = 0.75 + 0.35 * np.sin(2 * angle + 0.8) + 0.2 * np.sin(60 * r)
    dial = np.where((r > 0.86)[..., None], rim_color * shine[..., None], dial)
    image = to_image(dial + 14 * (noise(rng, side, side, 90, 5) - 0.5)[..., None]).convert("RGBA")
    draw = ImageDraw.Draw(image)
    ink, accent = palette.ink, palette.colors[0]
    for k in range(60):
        ends = polar(middle, 418 if k % 5 else 400, 6 * k), polar(middle, 428, 6 * k)
        draw.line(ends, fill=ink, width=4 if k % 5 else 12)
    for radius in (260, 272, 430):
        circle(draw, middle, radius, None, outline=accent if radius == 272 else ink, width=4)
    numerals = ["XII", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI"]
    for k, numeral in enumerate(numerals):
        size = 92
        tile = Image.new("RGBA", (220, 220))
        lettering(ImageDraw.Draw(tile), (110, 110), numeral, (150, size), ink, bold=0.035)
        tile = tile.rotate(-30 * k, Image.Resampling.BILINEAR)
        cx, cy = polar(middle, 335, 30 * k)
        image.alpha_composite(tile, (int(cx) - 110, int(cy) - 110))
    _clock_center(rng, image, palette)
    alpha = Image.new("L", image.size, 0)
    circle_pen = ImageDraw.Draw(alpha)
    circle_pen.ellipse((4, 4, side - 5, side - 5), fill=255)
    image.putalpha(alpha)
    return image


def _clock_center(rng: np.random.Generator, image: Image.Image, palette: Palette) -> None:
    draw = ImageDraw.Draw(image)
    middle = (image.width / 2, image.height / 2)
    petals = int(rng.integers(8, 17))
    for k, color in enumerate(palette.colors):
        star(
            draw,
            middle,
            (240 - 45 * k, 120 - 25 * k),
            petals,
            mix(color, palette.paper, 0.25),
            turn=7 * k,
        )
    x, y = middle
    lettering(
        draw,
        (x, y - 110),
        f"{person(rng).split()[1].upper()} & SONS",
        (230, 44),
        palette.ink,
        bold=0.03,
    )
    lettering(
        draw, (x, y + 120), pick(rng, ("GENOA", "WIEN", "PORTO", "GENT")), (130, 34), palette.ink
    )
    hour = rng.uniform(0, 360)
    for turn, length, thick in ((hour, 235, 20), (hour * 12 % 360, 375, 13)):
        tip, neck = polar(middle, length, turn), polar(middle, length * 0.72, turn)
        draw.line((polar(middle, -60, turn), tip), fill=palette.ink, width=thick)
        circle(draw, neck, thick * 1.6, None, outline=palette.ink, width=9)
    circle(draw, middle, 22, palette.colors[1], outline=palette.ink, width=6)
