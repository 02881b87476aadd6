"""Photographs of the demo: an object among other things, in the light, before a camera."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from resight.demo.objects import noise, palette, pick

SIZE = (640, 480)
PORTRAIT_SHARE = 0.3
CAMERA_DISTANCE = 3.6
"""In half sides of the object."""
SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
"""Corners of a texture, clockwise from the upper left."""


def photograph(rng: np.random.Generator, texture: Image.Image | None, ease: float) -> Image.Image:
    """Draw a photo, RGB, of 640 x 480 or 480 x 640 pixels.

    Args:
        rng: decides background, place, pose, light, cover, and camera.
        texture: the object, RGBA; None shows small things only.
        ease: from 0 (far, slanted, dark, partly covered) to 1 (large, straight, clear).
    """
    size = SIZE[::-1] if rng.random() < PORTRAIT_SHARE else SIZE
    scene = background(rng, *size)
    for _ in range(int(rng.integers(1, 4)) if texture else 20):
        _drop(rng, scene, rng.random(2) * size, rng.uniform(60, 170))
    if texture is not None:
        corners = pose(rng, texture.size, size, ease)
        # The lens is focused on the object; what lies behind it is a little soft.
        scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.8, 2.2))
        lay(scene, texture, corners, float(rng.uniform(5, 14)))
        for _ in range(round(3 * (1 - ease))):
            spot = corners[int(rng.integers(4))] * 0.6 + corners.mean(axis=0) * 0.4
            _drop(rng, scene, spot, np.ptp(corners[:, 0]) * rng.uniform(0.15, 0.3))
    return _develop(rng, scene, ease)


def background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Draw planks, cloth, bricks or stone, float32 (height, width, 3) in 0..255."""
    paper, ink, strong = (np.array(part, np.float32) for part in palette(rng))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step = rng.uniform(20, 60)
    rough = noise(rng, height, width, 150, 5)
    kind = pick(rng, ("planks", "cloth", "bricks", "stone"))
    if kind == "planks":
        share = 0.3 + 0.4 * noise(rng, height, 12, 4, 3)[:, :1] + 0.1 * np.sin(40 * rough + y / 4)
        share = np.where(y % (3 * step) < 3, 0.0, share)
    elif kind == "cloth":
        share = (x // step % 2 + y // step % 2) / 2 * rough + 0.1 * np.sin(2 * x) * np.sin(2 * y)
    elif kind == "bricks":
        row = y // step
        joint = (y % step < 4) | ((x + row % 2 * step) % (2 * step) < 4)
        share = np.where(joint, 1.0, 0.3 + 0.5 * noise(rng, height, width, 9, 3))
    else:
        share = noise(rng, height, width, 12, 3) + 0.4 * (rough - 0.5)
    base = 0.25 * strong[0] + 0.25 * ink + 60
    return np.asarray(base + 0.5 * share[..., None] * (paper - base), np.float32)


def _small_thing(rng: np.random.Generator) -> Image.Image:
    """Draw a coin, pencil, leaf or note, RGBA."""
    paper, ink, strong = palette(rng)
    kind = pick(rng, ("coin", "pencil", "leaf", "note"))
    image = Image.new("RGBA", (300, 60 if kind == "pencil" else 200), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    if kind == "coin":
        draw.circle((150, 100), 95, fill=strong[0], outline=ink, width=8)
        draw.regular_polygon((150, 100, 60), int(rng.integers(3, 9)), fill=strong[1])
    elif kind == "pencil":
        draw.polygon([(0, 30), (50, 5), (300, 5), (300, 55), (50, 55)], fill=strong[0], outline=ink)
        draw.rectangle((250, 5, 300, 55), fill=strong[1])
    elif kind == "leaf":
        draw.ellipse((0, 50, 300, 150), fill=strong[0])
        for x in range(20, 290, 30):
            draw.line((x, 100, x + 30, rng.choice([60, 140])), fill=ink, width=4)
    else:
        draw.rectangle((20, 5, 280, 195), fill=paper)
        for y in range(25, 185, 20):
            draw.line((40, y, rng.uniform(150, 260), y), fill=ink, width=5)
    return image


def pose(
    rng: np.random.Generator, texture: tuple[int, int], size: tuple[int, int], ease: float
) -> np.ndarray:
    """Return where the corners of an object come to lie, float32 (4, 2), inside of the photo.

    Args:
        rng: decides angles, distance, and place.
        texture: width and height of the object.
        size: width and height of the photo, in pixels.
        ease: as `photograph` takes it.
    """
    hard = 1 - ease
    yaw, pitch = rng.uniform(-1, 1, 2) * np.radians(8 + 24 * hard)
    roll = rng.uniform(-1, 1) * np.radians(3 + 10 * hard)
    points = np.column_stack([SQUARE * texture / max(texture), np.zeros(4)])
    for angle, (i, j) in ((roll, (0, 1)), (pitch, (1, 2)), (yaw, (0, 2))):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, [i, j]] = points[:, [i, j]] @ turn
    seen = points[:, :2] / (points[:, 2:] / CAMERA_DISTANCE + 1)
    share = rng.uniform(0.68 + 0.15 * ease, 0.85 + 0.1 * ease)
    seen *= (share * np.array(size) / np.ptp(seen, axis=0)).min()
    margin = (size - np.ptp(seen, axis=0)) / 2
    center = np.array(size) / 2 + margin * rng.uniform(-0.95, 0.95, 2)
    seen += center - (seen.min(axis=0) + seen.max(axis=0)) / 2
    return np.asarray(seen, np.float32)


def lay(scene: np.ndarray, texture: Image.Image, corners: np.ndarray, lift: float) -> None:
    """Draw a texture into a scene (H, W, 3) at `corners` (4, 2), over its own soft shadow.

    The shadow falls to the lower right; it is longer and softer the higher the object is lifted,
    in pixels.
    """
    height, width = scene.shape[:2]
    # Warping does not smooth: the texture is first shrunk to about its size in the picture.
    share = min(1.0, 1.2 * float(np.ptp(corners, axis=0).max()) / max(texture.size))
    small = texture.resize([max(2, round(share * side)) for side in texture.size])
    pixels = np.asarray(small, np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    source = (SQUARE + 1) / 2 * small.size - 0.5
    warp = cv2.getPerspectiveTransform(source.astype(np.float32), corners.astype(np.float32))
    seen = cv2.warpPerspective(pixels, warp, (width, height), flags=cv2.INTER_LINEAR)
    shift = np.array([[1, 0, 0.8 * lift], [0, 1, lift]], np.float32)
    shadow = cv2.warpAffine(seen[..., 3], shift, (width, height))
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.7 * lift)
    scene *= (1 - 0.5 * shadow[..., None]) * (1 - seen[..., 3:])
    scene += 255 * seen[..., :3]


def _drop(rng: np.random.Generator, scene: np.ndarray, spot: np.ndarray, reach: float) -> None:
    """Lay a small thing, `reach` pixels long and turned at random, around a spot."""
    texture = _small_thing(rng)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (SQUARE * texture.size / max(texture.size) * reach / 2) @ turn + spot
    lay(scene, texture, corners.astype(np.float32), 4.0)


def _develop(rng: np.random.Generator, scene: np.ndarray, ease: float) -> Image.Image:
    """Apply light, lens and sensor: gradient, shadow, tint, exposure, blur, noise."""
    height, width = scene.shape[:2]
    hard = 1 - ease
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(angle) + y * np.sin(angle)
    light = (1 - rng.uniform(0.05, 0.25) * (x**2 + y**2) / 2) * (1 + 0.22 * slope)
    if rng.random() < 0.2 + 0.4 * hard:  # the shadow of something outside of the picture
        edge = slope + 0.5 * (noise(rng, height, width, 260, 2) - 0.5) - rng.uniform(-0.2, 0.7)
        light *= 1 - rng.uniform(0.2, 0.45) / (1 + np.exp(-edge * rng.uniform(8, 40)))
    warmth = rng.normal(0, 0.04 + 0.04 * hard)
    tint = np.array([1 + warmth, 1.0, 1 - warmth]) * np.exp(rng.normal(0.05, 0.05 + 0.12 * hard))
    pixels = scene * (light[..., None] * tint).astype(np.float32)
    pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.6 + 0.9 * hard))
    grain = rng.standard_normal(pixels.shape, dtype=np.float32)
    pixels += grain * np.float32(rng.uniform(1.5, 3 + 5 * hard))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
