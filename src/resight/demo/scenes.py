"""One picture of the demo: an object seen by a camera, on a surface, among other things."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from resight.demo.backgrounds import background, street
from resight.demo.litter import small_thing, street_thing
from resight.demo.paint import noise

PORTRAIT_SHARE = 0.3
SIZE = (640, 480)


@dataclass(frozen=True)
class Thing:
    """An object to be photographed.

    Attributes:
        texture: RGBA, seen from straight ahead.
        outdoors: it stands in a street.
    """

    texture: Image.Image
    outdoors: bool = False


def photograph(rng: np.random.Generator, thing: Thing, ease: float) -> Image.Image:
    """A photo of `thing`, RGB, 640 x 480 or 480 x 640 pixels.

    Args:
        rng: decides place, pose, light, cover and camera.
        thing: what is seen.
        ease: 0 (far, slanted, dark, half covered) to 1 (large, straight, clear).
    """
    size = _size(rng)
    corners = pose(rng, thing, size, ease)
    if thing.outdoors:
        scene = cv2.GaussianBlur(street(rng, *size), (0, 0), rng.uniform(0.8, 2.2))
        lay(scene, thing.texture, corners, 6.0)
        for _ in range(int(rng.integers(1, 4)) if ease < 1 else 0):
            _plant(rng, scene, corners)
        return _develop(rng, scene, ease)
    scene = background(rng, *size)
    _scatter(rng, scene, int(rng.integers(2, 6)))
    # The lens is focused on the object; what lies lower is a little soft.
    scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.8, 2.2))
    lay(scene, thing.texture, corners, float(rng.uniform(5, 14)))
    for _ in range(int(rng.integers(1, 4)) if ease < 1 else 0):
        spot = corners[int(rng.integers(4))] * 0.6 + corners.mean(axis=0) * 0.4
        spot += rng.normal(0, 22, 2)
        reach = float(np.ptp(corners[:, 0]) * rng.uniform(0.25, 0.42))
        _drop(rng, scene, spot, min(reach, 180.0))
    return _develop(rng, scene, ease)


def still_life(rng: np.random.Generator) -> Image.Image:
    """A photo of many small things and nothing else, RGB, of the size of `photograph`."""
    scene = background(rng, *_size(rng))
    _scatter(rng, scene, int(rng.integers(14, 26)))
    return _develop(rng, scene, float(rng.random()))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    return (SIZE[1], SIZE[0]) if rng.random() < PORTRAIT_SHARE else SIZE


def pose(rng: np.random.Generator, thing: Thing, size: tuple[int, int], ease: float) -> np.ndarray:
    """Where the corners of the texture come to lie, float32 (4, 2), clockwise from upper left."""
    width, height = thing.texture.size
    hard = 1 - ease
    yaw, pitch = rng.uniform(-1, 1, 2) * np.radians(8 + 30 * hard)
    roll = rng.uniform(-1, 1) * np.radians(3 if thing.outdoors else 4 + 22 * hard)
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    points = np.column_stack([square * (width, height) / max(width, height), np.zeros(4)])
    for angle, (i, j) in ((roll, (0, 1)), (pitch, (1, 2)), (yaw, (0, 2))):
        sine, cosine = np.sin(angle), np.cos(angle)
        first, second = points[:, i].copy(), points[:, j].copy()
        points[:, i], points[:, j] = cosine * first - sine * second, sine * first + cosine * second
    seen: np.ndarray = points[:, :2] / (
        points[:, 2:] / 3.6 + 1
    )  # the camera is 3.6 half sides away
    extent = np.ptp(seen, axis=0)
    share = rng.uniform(0.3 + 0.3 * ease, 0.65 + 0.2 * ease)
    if thing.outdoors:
        share = max(share, 0.45)
    # Tall things are limited by the height of the picture instead.
    scale = min(share * size[0] / extent[0], (0.45 + 0.5 * share) * size[1] / extent[1])
    seen *= scale
    room = (np.array(size) - np.ptp(seen, axis=0)) / 2
    center = np.array(size) / 2 + room * rng.uniform(-0.95, 0.95, 2) * (0.4 + 0.6 * hard)
    seen += center - (seen.min(axis=0) + seen.max(axis=0)) / 2
    if thing.outdoors:
        seen[:, 1] += size[1] * 0.93 - seen[:, 1].max()
    return seen.astype(np.float32)


def lay(scene: np.ndarray, texture: Image.Image, corners: np.ndarray, lift: float) -> None:
    """Draw the texture into the scene at `corners`, over its own soft shadow."""
    # Only the part around the corners and the shadow is worked on.
    reach = int(4 * lift) + 2
    x0, y0 = np.maximum(corners.min(axis=0).astype(int) - reach, 0).tolist()
    x1, y1 = np.maximum(corners.max(axis=0).astype(int) + reach, 0).tolist()
    part = scene[y0:y1, x0:x1]
    height, width = part.shape[:2]
    if not height or not width:
        return
    pixels = _shrunk(texture, corners)
    th, tw = pixels.shape[:2]
    source = np.array([(0, 0), (tw, 0), (tw, th), (0, th)], np.float32) - np.float32(0.5)
    target = (corners - (x0, y0)).astype(np.float32)
    warp = cv2.getPerspectiveTransform(source, target)
    seen = cv2.warpPerspective(pixels, warp, (width, height), flags=cv2.INTER_LINEAR)
    alpha = seen[..., 3:] / 255
    shift = np.array([[1, 0, lift * 0.8], [0, 1, lift]], np.float32)
    shadow = cv2.warpAffine(seen[..., 3], shift, (width, height))
    shadow = cv2.GaussianBlur(shadow, (0, 0), lift * 0.7) / 255
    part *= (1 - 0.5 * shadow[..., None]) * (1 - alpha)
    part += seen[..., :3]


def _shrunk(texture: Image.Image, corners: np.ndarray) -> np.ndarray:
    """The texture at about its size in the picture, for warping does not smooth.

    Returns:
        float32 (h, w, 4), colors already multiplied by the alpha channel.
    """
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    across, down = sides[0::2].max() / texture.width, sides[1::2].max() / texture.height
    share = min(1.0, 1.15 * max(across, down))
    size = max(2, round(texture.width * share)), max(2, round(texture.height * share))
    # Pillow multiplies by alpha while it resizes, so that no color of empty parts shows.
    small = texture.convert("RGBA").resize(size, Image.Resampling.BOX)
    pixels = np.asarray(small).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return pixels


def _drop(rng: np.random.Generator, scene: np.ndarray, spot: np.ndarray, reach: float) -> None:
    """Let a small thing, at most `reach` pixels long, lie around `spot`, turned at random."""
    texture = small_thing(rng)
    reach *= (max(texture.size) / 420) ** 0.6
    angle = rng.uniform(0, 2 * np.pi)
    half = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * texture.size * (reach / 2)
    half /= max(texture.size)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    lay(scene, texture, (half @ turn + spot).astype(np.float32), 4.0)


def _plant(rng: np.random.Generator, scene: np.ndarray, corners: np.ndarray) -> None:
    """Let a tree or a lamp stand before the house whose corners are given."""
    texture = street_thing(rng)
    foot = corners[:, 1].max() + rng.uniform(2, 16)
    middle = rng.uniform(corners[:, 0].min(), corners[:, 0].max())
    tall = np.ptp(corners[:, 1]) * rng.uniform(0.35, 0.6)
    half = tall * texture.width / texture.height / 2
    left, right, top = middle - half, middle + half, foot - tall
    seen = np.array([(left, top), (right, top), (right, foot), (left, foot)], np.float32)
    lay(scene, texture, seen, 4.0)


def _scatter(rng: np.random.Generator, scene: np.ndarray, count: int) -> None:
    size = scene.shape[1], scene.shape[0]
    for _ in range(count):
        _drop(rng, scene, rng.uniform(0, 1, 2) * size, float(rng.uniform(60, 170)))


def _develop(rng: np.random.Generator, scene: np.ndarray, ease: float) -> Image.Image:
    """Light, lens and sensor: shadow, vignette, tint, exposure, blur, noise."""
    height, width = scene.shape[:2]
    hard = 1 - ease
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    light = 1 - rng.uniform(0.05, 0.28) * (x**2 + y**2) / 2
    turn = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(turn) + y * np.sin(turn)
    light *= 1 + 0.22 * slope
    if rng.random() < 0.2 + 0.5 * hard:  # the shadow of something outside the picture
        edge = slope + 0.5 * (noise(rng, height, width, 260, 2) - 0.5) - rng.uniform(-0.2, 0.7)
        light *= 1 - rng.uniform(0.25, 0.5) / (1 + np.exp(-edge * rng.uniform(8, 40)))
    warm = rng.normal(0, 0.05 + 0.05 * hard)
    tint = np.array([1 + warm, 1 + rng.normal(0, 0.015), 1 - warm])
    exposure = np.exp(rng.normal(0.1, 0.05 + 0.15 * hard))
    pixels = scene * (light[..., None] * tint * exposure).astype(np.float32)
    sigma = rng.uniform(0.3, 0.6 + 1.0 * hard)
    if rng.random() < 0.3 * hard:
        pixels = _shaken(rng, pixels, int(rng.integers(3, 8)))
    pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
    grain = rng.standard_normal(pixels.shape, dtype=np.float32)
    pixels += grain * np.float32(rng.uniform(1.5, 3 + 6 * hard))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _shaken(rng: np.random.Generator, pixels: np.ndarray, length: int) -> np.ndarray:
    """Blur along a line, as of a hand that moved."""
    kernel = np.zeros((length, length), np.float32)
    dx, dy = (length - 1) / 2 * np.array([np.cos(a := rng.uniform(0, np.pi)), np.sin(a)])
    middle = (length - 1) / 2
    ends = [(round(middle + s * dx), round(middle + s * dy)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    blurred: np.ndarray = cv2.filter2D(pixels, -1, kernel / kernel.sum())
    return blurred
