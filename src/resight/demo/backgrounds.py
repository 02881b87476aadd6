"""What the demo's objects lie on or hang on: float32 RGB arrays (h, w, 3) in 0..255."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from resight.demo.paint import PALETTES, mix, noise, pick, vertical_gradient


def background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A surface of a random kind."""
    return pick(rng, SURFACES)(rng, width, height)


def street(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A sky with clouds over neighboring houses and a paved road: where house fronts stand."""
    top = pick(rng, ((92, 142, 205), (128, 150, 178), (214, 160, 130)))
    sky = vertical_gradient(height, width, (top, (232, 228, 220)))
    clouds = np.clip(noise(rng, height, width, 200, 4) * 3 - 1.4, 0, 0.9)[..., None]
    image = Image.fromarray((sky + clouds * (248 - sky)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    x, ground = -20.0, height * 0.88
    while x < width:
        house, roof = rng.uniform(80, 170), height * rng.uniform(0.15, 0.5)
        colors = pick(rng, PALETTES)
        wall = mix(pick(rng, colors.colors), (190, 180, 170), 0.5)
        draw.rectangle((x, roof, x + house, ground), fill=wall)
        draw.rectangle((x, roof - 8, x + house, roof), fill=mix(wall, (0, 0, 0), 0.5))
        step = float(rng.uniform(24, 36))
        for wx in np.arange(x + 10, x + house - 16, step):
            for wy in np.arange(roof + 14, ground - 30, step * 1.5):
                draw.rectangle((wx, wy, wx + step * 0.45, wy + step * 0.8), fill=(60, 70, 86))
        x += house
    pixels = np.asarray(image).astype(np.float32)
    paving = stone(rng, width, height) * 0.8
    pixels[int(ground) :] = paving[int(ground) :]
    return pixels


def wood(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Planks, lying or upright."""
    if rng.random() < 0.5:
        return np.ascontiguousarray(_planks(rng, height, width).transpose(1, 0, 2))
    return _planks(rng, width, height)


def _planks(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    base = np.array(pick(rng, ((152, 106, 66), (196, 158, 112), (92, 64, 46), (176, 170, 160))))
    plank = int(rng.integers(60, 130))
    shade = np.ones((height, width), np.float32)
    for top in range(0, height, plank):
        rows = min(plank, height - top)
        grain = noise(rng, rows, 12, 5, 3)  # stretched along the plank
        grain = cv2.resize(grain, (width, rows), interpolation=cv2.INTER_CUBIC)
        rings = np.sin(26 * noise(rng, rows, width, 300) + np.arange(rows)[:, None] / 4.0)
        shade[top : top + rows] = rng.uniform(0.82, 1.1) + 0.3 * (grain - 0.5) + 0.05 * rings
        shade[top : top + 2] *= 0.45
    return (base * shade[..., None]).astype(np.float32)


def brick(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A brick wall, sometimes painted."""
    base = pick(rng, ((158, 78, 58), (188, 120, 84), (206, 200, 190), (120, 128, 134)))
    image = Image.new("RGB", (width, height), mix(base, (200, 195, 185), 0.6))
    draw = ImageDraw.Draw(image)
    tall = int(rng.integers(18, 30))
    wide = tall * 5 // 2
    for row, y in enumerate(range(-2, height, tall)):
        for x in range(-(row % 2) * wide // 2 - 3, width, wide):
            tint = mix(mix(base, (40, 30, 30), rng.uniform(0, 0.35)), (230, 200, 170), 0.1)
            draw.rectangle((x, y, x + wide - 4, y + tall - 4), fill=tint)
    rough = 0.8 + 0.4 * noise(rng, height, width, 9, 3)
    return (np.asarray(image) * rough[..., None]).astype(np.float32)


def grass(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A meadow seen from above: thousands of blades, some flowers."""
    image = Image.new("RGB", (width, height), (48, 70, 32))
    draw = ImageDraw.Draw(image)
    count = width * height // 40
    spots = rng.random((count, 2)) * (width, height)
    lean = rng.normal(0, 7, (count, 2))
    greens = rng.integers((60, 100, 30), (140, 185, 80), (count, 3))
    dark = noise(rng, height, width, 120, 2)
    for (x, y), (dx, dy), green in zip(spots.tolist(), lean.tolist(), greens.tolist(), strict=True):
        share = 0.4 + 0.6 * float(dark[int(y), int(x)])
        fill = tuple(int(c * share) for c in green)
        draw.line((x, y, x + dx, y - 6 + dy), fill=fill, width=2)
    for x, y in rng.random((int(rng.integers(0, 50)), 2)) * (width, height):
        draw.circle((x, y), 4, fill=(250, 246, 235))
        draw.circle((x, y), 1.6, fill=(235, 190, 40))
    return np.asarray(image).astype(np.float32)


def cloth(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A checked or striped tablecloth with folds."""
    colors = pick(rng, PALETTES)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step = float(rng.uniform(18, 44))
    across, down = (x // step) % 2, (y // step) % 2
    share = (across + down) / 2 if rng.random() < 0.6 else across
    light, dark = (np.array(c, np.float32) for c in (colors.paper, pick(rng, colors.colors)))
    pixels = light + share[..., None] * (dark - light)
    weave = 1 + 0.07 * np.sin(x * 1.9) * np.sin(y * 1.9)
    folds = 0.82 + 0.36 * noise(rng, height, width, 150, 2)
    return (pixels * (weave * folds)[..., None]).astype(np.float32)


def stone(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Terrazzo: chips of several stones in cement."""
    base = pick(rng, ((206, 200, 190), (150, 152, 156), (228, 218, 200), (96, 98, 104)))
    image = Image.new("RGB", (width, height), base)
    draw = ImageDraw.Draw(image)
    chips = [mix(pick(rng, p.colors), base, 0.45) for p in PALETTES[:5]]
    for x, y in rng.random((width * height // 500, 2)) * (width, height):
        radius = rng.uniform(2, 9)
        turns = np.sort(rng.uniform(0, 2 * np.pi, 5))
        points = [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in turns.tolist()]
        draw.polygon(points, fill=mix(pick(rng, chips), (60, 56, 54), rng.uniform(0, 0.3)))
    rough = 0.9 + 0.2 * noise(rng, height, width, 160, 5)
    return (np.asarray(image) * rough[..., None]).astype(np.float32)


def plaster(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A painted wall with marks of the trowel."""
    base = np.array(mix(pick(rng, pick(rng, PALETTES).colors), (225, 220, 210), 0.55), np.float32)
    rough = 0.9 + 0.2 * noise(rng, height, width, 140, 3)
    marks = noise(rng, height, width, 14, 3)
    relief = np.roll(marks, 2, 0) - marks
    return base * (rough + 0.5 * relief)[..., None]


def tiles(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Ornamental floor tiles, each turned its own way."""
    colors = pick(rng, PALETTES)
    side = int(rng.integers(50, 90))
    tile = Image.new("RGB", (side, side), mix(colors.paper, (255, 255, 255), 0.3))
    draw = ImageDraw.Draw(tile)
    for share, color in zip((0.95, 0.7, 0.42, 0.2), colors.colors, strict=True):
        draw.circle((0, 0), side * share, fill=mix(color, colors.paper, 0.35))
    draw.rectangle((0, 0, side - 1, side - 1), outline=(110, 105, 100))
    image = Image.new("RGB", (width, height))
    for y in range(0, height, side):
        for x in range(0, width, side):
            image.paste(tile.rotate(90 * int(rng.integers(4))), (x, y))
    worn = 0.8 + 0.3 * noise(rng, height, width, 130, 4)
    return (np.asarray(image) * worn[..., None]).astype(np.float32)


SURFACES = (wood, brick, grass, cloth, stone, plaster, tiles, wood)
