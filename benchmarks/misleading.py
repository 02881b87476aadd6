"""Draw photos that mislead decisions, each folder with its `groups.json`.

    python benchmarks/misleading.py TARGET

- `tables`: covers photographed on three tables, so that photos of different covers share most of
  what they show;
- `bursts`: photos taken in a row, four series each of 3, 5, 8, 12 and 20;
- `pages`: pages of different text, which look alike and have nothing in common;
- `odd`: photos of different scenes, 30 edited copies of one, 16 blank pictures, and pages of text.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from resight.demo.objects import facade, noise, vase
from resight.demo.scenes import background, photograph

WIDTH, HEIGHT = 640, 480
QUALITY = 88
SYLLABLES = (
    "ba",
    "co",
    "da",
    "el",
    "fi",
    "gor",
    "hum",
    "in",
    "ja",
    "ku",
    "lo",
    "men",
    "no",
    "or",
    "pa",
    "qui",
    "re",
    "sol",
    "tu",
    "ven",
    "wis",
    "xa",
    "yo",
    "zer",
)

Photos = dict[str, list[Image.Image]]
"""By group."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path)
    target = parser.parse_args().target
    for name, draw in {"tables": tables, "bursts": bursts, "pages": pages, "odd": odd}.items():
        save(draw(np.random.default_rng(1)), target / name)


def save(photos: Photos, folder: Path) -> None:
    """Write the photos of a folder, and its ground truth."""
    groups = {}
    for group, images in photos.items():
        (folder / group).mkdir(parents=True, exist_ok=True)
        groups[group] = [f"{group}/{number}.jpg" for number in range(len(images))]
        for path, image in zip(groups[group], images, strict=True):
            image.convert("RGB").save(folder / path, quality=QUALITY)
    (folder / "groups.json").write_text(json.dumps(groups, indent=1) + "\n", "utf-8")


def tables(rng: np.random.Generator) -> Photos:
    """Draw 40 covers, each on one of three tables, from three sides."""
    surfaces = [_table(rng) for _ in range(3)]
    photos: Photos = {}
    for number in range(40):
        cover = _cover(rng)
        table = surfaces[number % len(surfaces)]
        photos[f"cover-{number:02}"] = [_on_table(rng, table, cover) for _ in range(3)]
    return photos


def bursts(rng: np.random.Generator) -> Photos:
    """Draw four series of each length; a moving camera, and a little noise."""
    photos: Photos = {}
    for length in (3, 5, 8, 12, 20):
        for number in range(4):
            thing = (vase, facade)[number % 2](rng)
            scene = photograph(rng, thing, 1.0)
            photos[f"burst-{length:02}-{number}"] = [_frame(rng, scene) for _ in range(length)]
    return photos


def pages(rng: np.random.Generator, count: int = 40) -> Photos:
    """Draw pages of different text in one layout, each a group of its own."""
    return {f"page-{number:02}": [_page(rng)] for number in range(count)}


def odd(rng: np.random.Generator) -> Photos:
    """Draw 40 scenes, the first with 30 copies, 16 blank pictures and 10 pages."""
    photos = {
        f"scene-{number:02}": [photograph(rng, (vase, facade)[number % 2](rng), 1.0)]
        for number in range(40)
    }
    first = photos["scene-00"][0]
    photos["scene-00"] += [_copy(rng, first) for _ in range(30)]
    for number in range(16):
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        photos[f"blank-{number:02}"] = [Image.new("RGB", (WIDTH, HEIGHT), color)]
    return photos | pages(rng, 10)


def _table(rng: np.random.Generator) -> np.ndarray:
    """Draw a table with things on it that stay, twice as large as a photo, uint8."""
    scene = background(rng, 2 * WIDTH, 2 * HEIGHT).clip(0, 255).astype(np.uint8)
    for _ in range(60):
        x, y = rng.integers(0, (2 * WIDTH - 90, 2 * HEIGHT - 90))
        side = int(rng.integers(30, 90))
        scene[y : y + side, x : x + side] = rng.integers(0, 256, 3)
        cv2.putText(scene, f"{rng.integers(1000)}", (x, y + side), 0, side / 50, (20, 20, 20), 2)
    return scene


def _cover(rng: np.random.Generator) -> np.ndarray:
    """Draw a square cover with ornaments and a title, uint8 (300, 300, 3)."""
    grain = noise(rng, 300, 300, 40, 4)[..., None]
    pixels = (grain * rng.integers(60, 256, 3) + (1 - grain) * rng.integers(0, 160, 3)) % 256
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y = rng.integers(0, 260, 2)
        w, h = rng.integers(8, 70, 2)
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), color)
    draw.text((20, 230), _words(rng, 2).title(), "white", ImageFont.load_default(34))
    return np.asarray(image)


def _on_table(rng: np.random.Generator, table: np.ndarray, cover: np.ndarray) -> Image.Image:
    """Photograph a cover on a table."""
    scene = table.copy()
    side = float(rng.uniform(260, 380))
    x, y = rng.uniform((300, 250), (2 * WIDTH - 300 - side, 2 * HEIGHT - 250 - side))
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    corners = square * side + (x, y) + rng.normal(0, 0.05 * side, (4, 2))
    _lay(scene, cover, corners.astype(np.float32))
    # The camera looks at the cover, and at much of the table around it.
    middle, reach = corners.mean(axis=0), rng.uniform(0.9, 1.3) * side
    window = (square - 0.5) * (2 * reach, 1.5 * reach) + middle
    window += rng.normal(0, 0.08 * reach, (4, 2))
    frame = square * (WIDTH - 1, HEIGHT - 1)
    matrix = cv2.getPerspectiveTransform(window.astype(np.float32), frame.astype(np.float32))
    seen = cv2.warpPerspective(scene, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return _noisy(rng, Image.fromarray(seen))


def _lay(scene: np.ndarray, cover: np.ndarray, corners: np.ndarray) -> None:
    """Draw a cover between four corners of a scene."""
    height, width = cover.shape[:2]
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, corners)
    size = scene.shape[1], scene.shape[0]
    mask = cv2.warpPerspective(np.ones(cover.shape[:2], np.uint8), matrix, size) > 0
    scene[mask] = cv2.warpPerspective(cover, matrix, size)[mask]


def _frame(rng: np.random.Generator, scene: Image.Image) -> Image.Image:
    """Return a frame of a burst: the camera moves a little."""
    width, height = scene.size
    share = rng.uniform(0.88, 0.97)
    left, top = rng.uniform(0, 1 - share, 2)
    box = (left * width, top * height, (left + share) * width, (top + share) * height)
    turned = scene.rotate(rng.normal(0, 0.7), Image.Resampling.BILINEAR)
    return _noisy(rng, turned.resize(scene.size, Image.Resampling.BILINEAR, box))


def _noisy(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Return a photo with other light and a little noise."""
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.85, 1.15))
    pixels = np.asarray(image, np.float32) + rng.normal(0, 3, (image.height, image.width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _copy(rng: np.random.Generator, photo: Image.Image) -> Image.Image:
    """Return a copy: smaller, or with other colors or edges."""
    share = rng.uniform(0.4, 1.0)
    copy = photo.resize((round(photo.width * share), round(photo.height * share)))
    copy = ImageEnhance.Color(copy).enhance(rng.uniform(0, 1.5))
    margin = round(rng.uniform(0, 0.08) * copy.width)
    return copy.crop((margin, margin, copy.width - margin, copy.height - margin))


def _page(rng: np.random.Generator) -> Image.Image:
    """Draw a page of two columns of text."""
    page = Image.new("RGB", (600, 800), (250, 248, 242))
    draw = ImageDraw.Draw(page)
    draw.text((60, 50), _words(rng, 4).title(), "black", ImageFont.load_default(28))
    for x in (60, 320):
        for y in range(110, 750, 17):
            draw.text((x, y), _words(rng, 6)[:34], (25, 25, 25), ImageFont.load_default(13))
    return page


def _words(rng: np.random.Generator, count: int) -> str:
    return " ".join("".join(rng.choice(SYLLABLES, int(rng.integers(1, 4)))) for _ in range(count))


if __name__ == "__main__":
    main()
