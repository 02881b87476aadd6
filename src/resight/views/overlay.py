"""Pictures of explanations: two photos, heat maps, lines between places, and the decision."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from resight.views.contact_sheet import BACKGROUND, INK, shorten
from resight.views.explain import Explanation

HEIGHT = 640
"""Longest side of the photos in the picture, in pixels."""
MAX_WIDTH = 1400
"""Largest width of a photo; panoramas are drawn lower."""
GAP = 24
MARGIN = 24
CAPTION = 36
"""Height of the decision below the photos, in pixels."""
CAPTION_SIZE, MIN_CAPTION_SIZE = 22, 10
"""Size of its letters, where it fits and at least, in pixels."""
MAX_LINES = 60
SMOOTH = 2
"""Lines are drawn at twice the size and shrunk, which smooths them."""

RAMP = np.array(
    [
        (20, 11, 52),
        (77, 17, 108),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    np.float32,
)
"""Colors of equal steps in heat, about equal steps in lightness, also for the color-blind."""
STRONGEST = 0.72
"""Opacity of the overlay where the heat is 1."""
CALM = 0.55
"""Saturation of the photo where the heat is 0."""
OUTLINE = (255, 255, 255)
LINE = (94, 234, 212)


def draw_explanation(explanation: Explanation, *, height: int = HEIGHT) -> Image.Image:
    """Draw both photos side by side, with heat, mask outlines, lines and the decision, RGB.

    `height` is that of the photos, in pixels; very wide photos are drawn lower.
    """
    images = explanation.images
    sizes = [_fitted(image, height) for image in images]
    left = _photo(images[0], sizes[0], explanation.heat_query, explanation.mask_query)
    right = _photo(images[1], sizes[1], explanation.heat_other, explanation.mask_other)
    tallest = max(left.height, right.height)
    width = left.width + right.width + GAP + 2 * MARGIN
    canvas = Image.new("RGB", (width, tallest + 2 * MARGIN + CAPTION), BACKGROUND)
    corners = [
        (MARGIN, MARGIN + (tallest - left.height) // 2),
        (MARGIN + left.width + GAP, MARGIN + (tallest - right.height) // 2),
    ]
    canvas.paste(left, corners[0])
    canvas.paste(right, corners[1])
    _write(canvas, str(explanation.sameness))
    ends = [
        _placed(explanation.matches[:, 2 * side : 2 * side + 2], image, size, corner)
        for side, image, size, corner in zip((0, 1), images, sizes, corners, strict=True)
    ]
    chosen = spread_out(ends[0], MAX_LINES)
    return _lines(canvas, ends[0][chosen], ends[1][chosen]) if len(chosen) else canvas


def _write(canvas: Image.Image, text: str) -> None:
    """Write a line of text below the photos, as large as fits."""
    width = canvas.width - 2 * MARGIN
    fonts = (ImageFont.load_default(size) for size in range(CAPTION_SIZE, MIN_CAPTION_SIZE, -1))
    smallest = ImageFont.load_default(MIN_CAPTION_SIZE)
    font = next((font for font in fonts if font.getlength(text) <= width), smallest)
    at = canvas.width / 2, canvas.height - MARGIN
    draw = ImageDraw.Draw(canvas)
    draw.text(at, shorten(text, font, width), fill=INK, font=font, anchor="ms")


def heat_overlay(heat: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Draw a heat map (h, w), 0 to 1, as an RGBA picture of width and height `size`.

    It is transparent where there is no heat, so that it can be laid over the photo.
    """
    smooth = _enlarged(heat, size)
    steps = smooth * (len(RAMP) - 1)
    below = np.minimum(steps.astype(int), len(RAMP) - 2)
    share = (steps - below)[..., None]
    color = RAMP[below] * (1 - share) + RAMP[below + 1] * share
    alpha = 255 * STRONGEST * np.sqrt(smooth)[..., None]
    return Image.fromarray(np.concatenate([color, alpha], axis=2).astype(np.uint8), "RGBA")


def mask_outline(mask: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the borders of a mask (h, w) as closed lines, int (P, 2), in a picture of `size`."""
    large = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5
    lines, _ = cv2.findContours(large.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(line).reshape(-1, 2) for line in lines]


def spread_out(points: np.ndarray, count: int) -> np.ndarray:
    """Return indices of at most `count` points (N, 2), far from one another: int64, ascending.

    Farthest first: each next point is the one farthest from those taken.
    """
    if len(points) <= count:
        return np.arange(len(points))
    center = np.linalg.norm(points - points.mean(axis=0), axis=1)
    chosen = [int(center.argmin())]
    apart = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count:
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.unique(chosen)


def _fitted(image: Image.Image, height: int) -> tuple[int, int]:
    width = image.width * height / image.height
    share = min(1.0, MAX_WIDTH / width)
    return max(1, round(width * share)), max(1, round(height * share))


def _photo(
    image: Image.Image, size: tuple[int, int], heat: np.ndarray, mask: np.ndarray | None
) -> Image.Image:
    """Draw a photo at `size`, colored by its heat, its mask outlined."""
    photo = image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    gray = photo.convert("L").convert("RGB")
    warm = Image.fromarray((255 * np.sqrt(_enlarged(heat, size))).astype(np.uint8))
    photo = Image.composite(photo, Image.blend(gray, photo, CALM), warm)
    overlay = heat_overlay(heat, size)
    photo.paste(overlay, mask=overlay.getchannel("A"))
    if mask is not None:
        draw = ImageDraw.Draw(photo)
        for line in mask_outline(mask, size):
            draw.line([*map(tuple, line.tolist()), tuple(line[0].tolist())], OUTLINE, 2)
    return photo


def _enlarged(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 0, 1)


def _placed(
    points: np.ndarray, image: Image.Image, size: tuple[int, int], corner: tuple[int, int]
) -> np.ndarray:
    """Convert points in pixels of a photo to points of the picture, float64 (N, 2)."""
    share = np.array([size[0] / image.width, size[1] / image.height])
    return (points + 0.5) * share + corner


def _lines(canvas: Image.Image, starts: np.ndarray, ends: np.ndarray) -> Image.Image:
    layer = Image.new("RGBA", (canvas.width * SMOOTH, canvas.height * SMOOTH), (*LINE, 0))
    draw = ImageDraw.Draw(layer)
    for start, end in zip(starts * SMOOTH, ends * SMOOTH, strict=True):
        draw.line((*start, *end), fill=(*LINE, 190), width=SMOOTH)
    for x, y in np.concatenate([starts, ends]) * SMOOTH:
        draw.circle(
            (x, y), 3.5 * SMOOTH, fill=(*LINE, 255), outline=(15, 60, 60, 255), width=SMOOTH
        )
    layer = layer.resize(canvas.size, Image.Resampling.BOX)
    return Image.alpha_composite(canvas.convert("RGBA"), layer).convert("RGB")
