"""Photographs of the demo: an object among other things, in the light, before a camera."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from resight.demo.objects import (
    Place,
    Thing,
    bricks,
    marble,
    mix,
    noise,
    palette,
    pick,
    ramp,
    to_image,
)

SIZE = (640, 480)
PORTRAIT_SHARE = 0.3
CAMERA_DISTANCE = 3.6
"""In half sides of the object."""
SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
"""Corners of a surface, clockwise from the upper left."""
LAMP = np.array([-0.5, -0.6, 0.62])
"""A unit vector to the right, down, and toward the viewer: the direction of the usual light."""


def photograph(rng: np.random.Generator, thing: Thing | None, ease: float) -> Image.Image:
    """Draw a photo, RGB, of 640 x 480 or 480 x 640 pixels.

    Args:
        rng: decides background, pose, light, cover, and camera.
        thing: the object; None shows small things only.
        ease: from 0 (far, slanted, dark, partly covered) to 1 (large, straight, clear).
    """
    size = SIZE[::-1] if rng.random() < PORTRAIT_SHARE else SIZE
    place: Place = thing.place if thing else pick(rng, ("table", "table", "street"))
    scene = background(rng, *size, place)
    for _ in range(int(rng.integers(1, 5)) if thing else 14):
        if place == "table":
            spot = rng.uniform((0, 0.75 * size[1]), size)
            _drop(rng, scene, spot, rng.uniform(50, 120))
    if thing is not None:
        corners = _put(rng, scene, thing, ease)
        for _ in range(round(4 * (1 - ease))):
            spot = corners[int(rng.integers(2, 4))] * 0.8 + corners.mean(axis=0) * 0.2
            reach = np.ptp(corners[:, 0]) * rng.uniform(0.25, 0.4)
            if place == "table":
                _drop(rng, scene, spot, reach)
            else:
                _plant(rng, scene, spot, reach)
    return _develop(rng, scene, ease)


def shade(pixels: np.ndarray, relief: np.ndarray, light: np.ndarray, gloss: float) -> np.ndarray:
    """Return a surface (h, w, 3) as a light shows its relief (h, w), with highlights.

    The direction of the light is a unit vector, as `LAMP` is.
    """
    relief = relief.astype(np.float32)
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=1 / 8)
    lit = np.float32(light[2]) - np.float32(light[0]) * slope_x - np.float32(light[1]) * slope_y
    lit = np.maximum(lit, 0) / np.sqrt(1 + slope_x**2 + slope_y**2)
    shaded = pixels * (0.35 + 0.75 * lit[..., None])
    if gloss:
        shaded += (150 * gloss * np.minimum(lit, 1) ** 30)[..., None]
    return np.asarray(shaded, np.float32)


def _material(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw planks, bricks, tiles, cloth, stone or plaster, float32 (height, width, 3)."""
    paper, ink, strong = palette(rng)
    base = mix(
        strong[0], pick(rng, (paper, (150, 125, 100), (150, 145, 140))), rng.uniform(0.4, 0.9)
    )
    kind, step = (
        pick(rng, ("planks", "bricks", "tiles", "cloth", "stone", "plaster")),
        int(rng.integers(25, 70)),
    )
    relief = 2.5 * noise(rng, height, width, 6, 2)
    if kind in ("planks", "bricks", "tiles"):
        length = {"planks": 4 * width, "bricks": 2 * step, "tiles": step}[kind]
        tone, joint = bricks(rng, height, width, step, length)
        if kind == "planks":
            rough = cv2.resize(noise(rng, height, max(2, width // 25), 5, 4), (width, height))
        else:
            rough = noise(rng, height, width, 150, 5)
        share = 0.6 * rough + 0.4 * tone
    else:
        cell = {"cloth": 200, "stone": 60, "plaster": 260}[kind]
        share, joint = marble(rng, height, width, cell, 1.0), np.zeros((height, width), bool)
        if kind == "cloth":
            y, x = np.indices((height, width), np.float32)
            share = 0.6 * share + 0.12 * (x // step % 2 + y // step % 2)
            relief += 0.3 * (np.sin(2 * x) + np.sin(2 * y))
    pixels = ramp(share, [mix(base, ink, 0.4), base, mix(base, paper, 0.5)])
    pixels[joint] *= 0.6
    return shade(pixels, relief - 2 * joint, LAMP, 0.0)


def background(
    rng: np.random.Generator, width: int, height: int, place: Place = "table"
) -> np.ndarray:
    """Draw what is behind an object, float32 (height, width, 3) in 0..255.

    On a table, things and lamps out of focus are in the distance; in a street, houses and trees.
    """
    surface, soft, table = _material(rng, height, width), rng.uniform(0.8, 2.0), place == "table"
    horizon = int(height * (rng.uniform(0.45, 0.65) if table else 0.9))
    y, x = np.indices((height, width), np.float32)
    if table:
        scene = _material(rng, height, width) * np.float32(rng.uniform(0.6, 1.1))
    else:
        clouds = marble(rng, height, width, 220, 0.8) - 0.3 + y / height / 2
        scene = ramp(clouds, [(95, 135, 190), (150, 180, 210), (235, 235, 235)])
    panes = (1 - 0.55 * ((x % 40 < 16) & (y % 60 < 32))) * (
        0.7 + 0.6 * noise(rng, height, width, 18, 3)
    )
    for left in (rng.uniform(-0.1, 1, int(rng.integers(4, 9))) * width).astype(int).tolist():
        tall = int(height * (rng.uniform(0.1, 0.35) if table else rng.uniform(0.3, 0.8)))
        right = left + int(tall * rng.uniform(0.4, 0.9))
        color = mix(pick(rng, palette(rng)[2]), (150, 145, 140), rng.uniform(0.2, 0.7))
        if table and rng.random() < 0.5:
            cv2.ellipse(scene, ((left, horizon), (right - left, 2 * tall), 0), color, -1)
        elif table:
            cv2.rectangle(scene, (left, horizon - tall), (right, horizon), color, -1)
        elif rng.random() < 0.5:
            _plant(rng, scene, np.array([left, horizon - tall / 2]), tall)
        else:
            part = np.s_[horizon - tall : horizon, max(0, left) : max(0, right)]
            scene[part] = panes[part][..., None] * color
    for spot in rng.uniform((0, 0), (width, horizon), (int(rng.integers(0, 14)), 2)).astype(int):
        if table:  # lamps
            lamp = mix((255, 220, 160), (120, 100, 80), rng.random())
            cv2.circle(scene, spot.tolist(), int(rng.integers(4, 16)), lamp, -1)
    distance = cv2.GaussianBlur(scene, (0, 0), rng.uniform(5, 11) if table else soft)
    # The ground is a surface that runs away to a vanishing line above the horizon.
    far = np.float32(height - 0.6 * horizon) / (np.maximum(y, horizon) - np.float32(0.6 * horizon))
    u, v = width / 2 + (x - width / 2) * far, height * (2 - far)
    ground = cv2.remap(surface, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    ground = cv2.GaussianBlur(ground, (0, 0), soft)
    edge = np.clip((y - horizon) / 4, 0, 1)[..., None]
    return np.asarray(distance + edge * (ground - distance), np.float32)


def _put(rng: np.random.Generator, scene: np.ndarray, thing: Thing, ease: float) -> np.ndarray:
    """Put an object into a scene, and return the corners of its front, float32 (4, 2)."""
    height, width = scene.shape[:2]
    light = np.array([rng.uniform(-1, 1), rng.uniform(-1, -0.3), rng.uniform(0.9, 1.6)])
    light /= np.linalg.norm(light)
    pixels = np.asarray(thing.surface, np.float32)
    lit = np.dstack([shade(pixels[..., :3], thing.relief, light, thing.gloss), pixels[..., 3]])
    if thing.profile is not None:
        angle, tilt = rng.normal(0, 0.1 + 0.5 * (1 - ease)), rng.uniform(0.1, 0.35)
        lit = turned(lit, thing, light, angle, tilt)
    front, back = pose(rng, thing, (lit.shape[1], lit.shape[0]), (width, height), ease)
    foot = height * (0.97 if thing.place == "street" else rng.uniform(0.88, 0.96))
    down = np.array([0, foot - front[:, 1].max()], np.float32)
    front, back = front + down, back + down
    rim = lit[:, :40, :3].mean(axis=(0, 1)) if thing.place == "street" else (205, 195, 170)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)) if thing.depth else ():
        side = np.array([back[i], back[j], front[j], front[i]])
        if np.linalg.det(side[[1, 3]] - side[0]) > 0:  # it faces the camera
            strip = np.array(rim) * (0.5 + 0.5 * noise(rng, 60, 200, 5, 2)[..., None])
            lay(scene, to_image(strip * rng.uniform(0.5, 1)), side, 3.0)
    lay(scene, to_image(lit), front, rng.uniform(5, 14), light)
    return front


def turned(
    surface: np.ndarray, thing: Thing, light: np.ndarray, angle: float, tilt: float
) -> np.ndarray:
    """Return a turned object, seen from above a little, RGBA float32 (H, W, 4) in 0..255.

    `surface` (h, w, 4) goes once around the axis, its middle in front; `angle` turns it, in
    radians; `tilt` is the sine of the camera's elevation; `light` is a unit vector, as `LAMP` is.
    """
    profile = np.asarray(thing.profile)
    levels, tall = np.linspace(0, 1, len(profile)), 420
    rim, half = profile[0] * tilt, int(tall * (profile.max() + 0.3 * (thing.handle is not None)))
    shape = int(tall * (1.02 + rim + profile[-1] * tilt)), 2 * half
    y, x = np.indices(shape, np.float32) / np.float32(tall)
    y, x = y - rim, x - half / tall
    level = y
    for _ in range(5):  # approach the point of the surface that is seen at each pixel
        radius = np.interp(level, levels, profile)
        sine = np.clip(x / radius, -1, 1)
        cosine = np.sqrt(1 - sine**2)
        level = y - radius * cosine * tilt
    slope = np.interp(level, levels, np.gradient(profile, levels))
    lit = (light[0] * sine + light[2] * cosine - light[1] * slope) / np.sqrt(1 + slope**2)
    lit = np.clip(lit, 0, 1)[..., None]
    u = ((np.arcsin(sine) + angle) / (2 * np.pi) + 0.5) * (surface.shape[1] - 1)
    v = level * (surface.shape[0] - 1)
    seen = cv2.remap(surface, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
    seen[..., :3] = seen[..., :3] * (0.35 + 0.85 * lit) + 230 * thing.gloss * lit**40
    body = (np.abs(x) < radius) & (level > 0) & (level < 1)
    inside = np.hypot(x / profile[0], y / rim)
    lip = (inside < 1) & (level < 0.02)
    deep = np.where(inside > 0.9, 1.1, np.clip(0.4 + y / rim / 4 - x * light[0], 0.15, 0.8))
    color = surface[..., :3].mean(axis=(0, 1))
    seen[lip, :3] = color * deep[lip, None]
    seen[..., 3] = 255 * (body | lip)
    if thing.handle is not None:
        side = np.sin(thing.handle - angle)
        ring = np.abs(np.hypot(x / abs(side) - np.sign(side) * profile.max(), y - 0.5) - 0.24)
        bow = (ring < 0.05) & ~body & ~lip
        seen[bow] = [*color, 255] * np.column_stack([*[1 - 12 * ring[bow]] * 3, ring[bow] * 0 + 1])
    return seen


def pose(
    rng: np.random.Generator,
    thing: Thing,
    side: tuple[int, int],
    size: tuple[int, int],
    ease: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the corners of an object come to lie, inside of the photo.

    Args:
        rng: decides angles, distance, and place.
        thing: the object; a turned one stands upright.
        side: its width and height.
        size: width and height of the photo, in pixels.
        ease: as `photograph` takes it.

    Returns:
        The corners of the front and of the back, float32 (4, 2) each.
    """
    hard = 1 - ease
    flat = thing.profile is None
    yaw, pitch = rng.uniform(-1, 1, 2) * np.radians((8 + 40 * hard, 10)) * flat
    roll = rng.uniform(-1, 1) * np.radians(2 + 4 * hard)
    square = SQUARE * side / max(side)
    points = np.vstack([np.column_stack([square, np.full(4, z)]) for z in (0, 2 * thing.depth)])
    for angle, (i, j) in ((roll, (0, 1)), (pitch, (1, 2)), (yaw, (0, 2))):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points[:, [i, j]] = points[:, [i, j]] @ turn
    seen = points[:, :2] / (points[:, 2:] / CAMERA_DISTANCE + 1)
    share = rng.uniform(0.5 + 0.25 * ease, 0.75 + 0.15 * ease)
    seen *= (share * np.array(size) / np.ptp(seen, axis=0)).min()
    margin = (size - np.ptp(seen, axis=0)) / 2
    center = np.array(size) / 2 + margin * rng.uniform(-0.95, 0.95, 2)
    seen += center - (seen.min(axis=0) + seen.max(axis=0)) / 2
    return seen[:4].astype(np.float32), seen[4:].astype(np.float32)


def lay(
    scene: np.ndarray,
    surface: Image.Image,
    corners: np.ndarray,
    lift: float,
    light: np.ndarray = LAMP,
) -> None:
    """Draw a surface, RGBA, into a scene (H, W, 3) at `corners` (4, 2), over its own soft shadow.

    The shadow falls away from the light; it is longer and softer the higher the object is lifted,
    in pixels.
    """
    height, width = scene.shape[:2]
    # Warping does not smooth: the surface is first shrunk to about its size in the picture.
    share = min(1.0, 1.2 * float(np.ptp(corners, axis=0).max()) / max(surface.size))
    small = surface.resize([max(2, round(share * side)) for side in surface.size])
    pixels = np.asarray(small, np.float32) / 255
    pixels[..., :3] *= pixels[..., 3:]
    source = (SQUARE + 1) / 2 * small.size - 0.5
    warp = cv2.getPerspectiveTransform(source.astype(np.float32), corners.astype(np.float32))
    seen = cv2.warpPerspective(pixels, warp, (width, height), flags=cv2.INTER_LINEAR)
    shift = np.array([[1, 0, -1.6 * lift * light[0]], [0, 1, -1.6 * lift * light[1]]], np.float32)
    shadow = cv2.warpAffine(seen[..., 3], shift, (width, height))
    reach = 8 * lift + 8  # of the shadow and its blur; nothing changes beyond it
    left, top = np.maximum(corners.min(axis=0) - reach, 0).astype(int)
    right, bottom = np.maximum(corners.max(axis=0) + reach, 0).astype(int)
    part = np.s_[top:bottom, left:right]
    scene, seen, shadow = scene[part], seen[part], shadow[part]
    if not scene.size:
        return
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.7 * lift)
    scene *= (1 - 0.5 * shadow[..., None]) * (1 - seen[..., 3:])
    scene += 255 * seen[..., :3]


def _plant(rng: np.random.Generator, scene: np.ndarray, spot: np.ndarray, reach: float) -> None:
    """Draw the foliage of a bush or tree, about `reach` pixels wide, around a spot."""
    side = 160
    y, x = np.indices((side, side), np.float32) / (side / 2) - 1
    leaves = noise(rng, side, side, 12, 3)
    dense = 0.9 - np.hypot(x, y) + 1.6 * (noise(rng, side, side, 40, 4) - 0.5)
    green = mix((70, 105, 45), pick(rng, ((120, 90, 40), (40, 80, 60))), rng.uniform(0, 0.6))
    colors = ramp(leaves, [mix(green, (10, 15, 5), 0.8), green, mix(green, (220, 230, 120), 0.4)])
    pixels = shade(colors, 8 * leaves, LAMP, 0.0) * (0.9 - 0.3 * (x + y)[..., None])
    alpha = np.clip((dense + 0.5 * (leaves - 0.5)) * 700, 0, 255)
    corners = SQUARE * reach * 0.6 + spot
    lay(scene, to_image(np.dstack([pixels, alpha])), corners.astype(np.float32), 3.0)


def _drop(rng: np.random.Generator, scene: np.ndarray, spot: np.ndarray, reach: float) -> None:
    """Lay a coin, leaf or note, `reach` pixels long and turned at random, on a spot."""
    paper, ink, strong = palette(rng)
    image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    draw, kind = ImageDraw.Draw(image), pick(rng, ("coin", "leaf", "note"))
    if kind == "coin":
        draw.circle((150, 100), 95, fill=strong[0], outline=ink, width=8)
        draw.regular_polygon((150, 100, 60), int(rng.integers(3, 9)), fill=strong[1])
    elif kind == "leaf":
        draw.ellipse((0, 50, 300, 150), fill=strong[0])
        for x in range(20, 290, 30):
            draw.line((x, 100, x + 30, pick(rng, (60, 140))), fill=ink, width=4)
    else:
        draw.rectangle((20, 5, 280, 195), fill=paper)
        for y in range(25, 185, 20):
            draw.line((40, y, rng.uniform(150, 260), y), fill=ink, width=5)
    pixels = np.asarray(image, np.float32)
    relief = pixels[..., 3] / 60 + 5 * noise(rng, 200, 300, 40, 4)
    lit = np.dstack([shade(pixels[..., :3], relief, LAMP, 0.1), pixels[..., 3]])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = (SQUARE * image.size / max(image.size) * reach / 2) @ turn * (1, 0.6) + spot
    lay(scene, to_image(lit), corners.astype(np.float32), 4.0)


def _develop(rng: np.random.Generator, scene: np.ndarray, ease: float) -> Image.Image:
    """Apply light, lens and sensor: gradient, shadow, vignette, tint, gamma, blur, noise."""
    height, width = scene.shape[:2]
    hard = 1 - ease
    y, x = np.indices((height, width), np.float32)
    x, y = 2 * x / width - 1, 2 * y / height - 1
    angle = rng.uniform(0, 2 * np.pi)
    slope = x * np.cos(angle) + y * np.sin(angle)
    light = (1 - rng.uniform(0.05, 0.3) * (x**2 + y**2) / 2) * (1 + 0.2 * slope)
    if rng.random() < 0.2 + 0.4 * hard:  # the shadow of something outside of the picture
        edge = slope + 0.5 * (noise(rng, height, width, 260, 2) - 0.5) - rng.uniform(-0.2, 0.7)
        light *= 1 - rng.uniform(0.2, 0.45) / (1 + np.exp(-edge * rng.uniform(8, 40)))
    warmth = rng.normal(0.02, 0.05 + 0.08 * hard)
    tint = np.array([1 + warmth, 1.0, 1 - warmth]) * np.exp(
        rng.normal(0.2 - 0.4 * hard, 0.05 + 0.15 * hard)
    )
    pixels = np.maximum(scene * light[..., None] * np.float32(tint), 0)
    pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 0.7 + 0.8 * hard))
    pixels = 320 * (1 - np.exp(-pixels / 190))  # bright places saturate slowly
    pixels = 255 * (pixels / 255) ** np.exp(rng.normal(0.25, 0.06 + 0.1 * hard))
    grain = rng.standard_normal(pixels.shape, dtype=np.float32) * np.sqrt(pixels / 128 + 0.3)
    pixels += cv2.GaussianBlur(grain, (0, 0), 0.6) * np.float32(rng.uniform(3, 6 + 8 * hard))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
