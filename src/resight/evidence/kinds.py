"""Name how two photos that show the same thing differ.

A copy, however it was edited, lies in the original (or the original in it) as a scaled and shifted
rectangle, perhaps mirrored or turned by quarters, and its features are where they were to a
fraction of a pixel. Another view is not that exact, or each photo shows what the other does not.

    matches --place--> rectangle of one photo in the other --> crop, border, or the whole
    the whole: thumbnails and sharpness --> resized or edited
"""

import itertools
from dataclasses import dataclass

import numpy as np

from resight.evidence import THUMBNAIL_SIDE, Evidence, Kind
from resight.evidence.matching import Match

MAX_RESIDUAL = 0.3
"""Largest median distance of a copy's features from their places, in pixels of the coarser copy."""
MAX_OVERHANG = 1.5
"""Pixels of the coarser copy by which a rectangle may miss the edges of the photo it fills."""
BLUR_SLACK = 5.0
"""Times as much is allowed of both where one photo is blurred, as its features are inaccurate."""
BLURRED = 0.25
"""Ratio of sharpness below which a photo is blurred compared with another."""
LEAST_SHARP = 10.0
"""Sharpness of a photo with hardly any detail, of which no other one is a blurred copy."""
LIKE_SIZES = 0.8
"""Minimum ratio of sizes at which two copies should be equally sharp."""
MIN_MATCHES = 5
"""Fewer matches can be exact by chance."""
WEAK = -6.0
"""Logarithm of the number of false alarms above which features do not tell where photos lie."""

SAME_THUMBNAIL = 3.0
"""Largest mean difference in brightness of equal thumbnails, of 255."""
SAME_PROPORTIONS = 0.03
"""Largest relative difference of the proportions of equal photos; tiny copies are rounded."""
EDITED_CELL = 8.0
"""Difference of a cell of the thumbnails, of 255, that neither resizing nor saving makes."""
EDITED_MEAN = 3.0
"""The same for the mean of all cells, as in pictures with another tone."""
PLAIN = 8.0
"""Largest difference of a cell of a border from the border's color, of 255; more where the cell
shows the photo, too, as what the photo adds to it is known less exactly."""
PLAIN_SHARE = 0.9
"""Least share of a border's cells that have its color."""
RIM = 0.25
"""Least share of the cells along a photo's edge that differ from its border."""
SHOWN = 0.9
"""Least share of a cell beyond the photo, to see the border's color."""
PARTLY_SHOWN = 0.3
"""The same around photos with a thin border, which fills no cell."""
PASTED = 0.6
"""Least share of a photo that a collage shows; another view from the same place shows as much."""
COLLAGE = 0.5
"""Largest share of a collage that one of its photos fills."""


@dataclass(frozen=True)
class Placement:
    """The position of the first photo in the second.

    Attributes:
        mirrored: the first photo is mirrored, left and right exchanged, before it is turned.
        turns: quarter turns clockwise of the first photo, 0 to 3.
        box: left, top, right and bottom edge of the first photo in widths and heights of the
            second; (0, 0, 1, 1) fills it, negative values and those above 1 stick out.
        tolerance: of the edges, in the same units, along x and y.
    """

    mirrored: bool
    turns: int
    box: tuple[float, float, float, float]
    tolerance: tuple[float, float]

    @property
    def sticks_out(self) -> bool:
        """The first photo shows something that the second does not."""
        (x, y), (left, top, right, bottom) = self.tolerance, self.box
        return min(left, 1 - right) < -x or min(top, 1 - bottom) < -y

    @property
    def leaves_room(self) -> bool:
        """The second photo shows something that the first does not."""
        (x, y), (left, top, right, bottom) = self.tolerance, self.box
        return max(left, 1 - right) > x or max(top, 1 - bottom) > y

    @property
    def is_pasted(self) -> bool:
        """Most of one photo lies in a part of the other, as in a collage."""
        left, top, right, bottom = self.box
        common = (min(right, 1.0) - max(left, 0.0)) * (min(bottom, 1.0) - max(top, 0.0))
        shares = common, common / ((right - left) * (bottom - top))
        return max(shares) >= PASTED and min(shares) <= COLLAGE


def kind_of(first: Evidence, second: Evidence, match: Match, *, same_content: bool) -> Kind:
    """Name how two photos differ that were decided to show the same thing.

    Args:
        first: evidence of one photo.
        second: evidence of the other.
        match: of the first with the second.
        same_content: their files are identical.
    """
    if same_content:
        return "copy"
    blurred = _blurred(first, second)
    placement = _place(first, second, match, BLUR_SLACK if blurred else 1.0)
    if placement is None and (blurred or match.log10_nfa > WEAK):
        placement = _place_by_thumbnails(first, second)
    both = placement is not None and placement.sticks_out and placement.leaves_room
    if placement is None or (both and not placement.is_pasted):
        return "view"
    if placement.mirrored or placement.turns:
        return "mirrored" if placement.mirrored else "rotated"
    if placement.sticks_out:
        plain = _bordered(second.thumbnail, first.thumbnail, _inverse(placement.box))
        return "edited" if plain and not both else "crop"
    if placement.leaves_room:
        plain = _bordered(first.thumbnail, second.thumbnail, placement.box)
        return "edited" if plain else "crop"
    return "edited" if blurred or _retouched(first, second) else "resized"


def _blurred(first: Evidence, second: Evidence) -> bool:
    """Check whether one photo is much less sharp although its copy is not much larger.

    A larger copy may well be less sharp: shrinking sharpens.
    """
    for one, other in ((first, second), (second, first)):
        ratio = max(other.size) / max(one.size)
        detailed = other.sharpness >= LEAST_SHARP
        if detailed and ratio >= LIKE_SIZES and one.sharpness < BLURRED * other.sharpness:
            return True
    return False


def _place(first: Evidence, second: Evidence, match: Match, slack: float) -> Placement | None:
    """Place the first photo in the second by their matches; None if they are not that exact."""
    if match.map is None or len(match) < MIN_MATCHES:
        return None
    source = first.points[match.matches[:, 0]].astype(np.float64)
    target = second.points[match.matches[:, 1]].astype(np.float64)
    mirrored, turns = _orientation(match.map, source.mean(axis=0))
    source, size = _oriented(source, first.size, mirrored, turns)
    scale, shift = _fit(source, target)
    if not (scale > 0).all():
        return None
    coarser = max(1.0, float(scale.max()))
    residual = float(np.median(np.linalg.norm(source * scale + shift - target, axis=1)))
    if residual > MAX_RESIDUAL * slack * coarser:
        return None
    # Pixel centers have whole coordinates: a photo's edges are half a pixel further out.
    near = (shift - 0.5 * scale + 0.5) / second.size
    far = near + scale * size / second.size
    tolerance = MAX_OVERHANG * slack * coarser / np.array(second.size)
    box = (float(near[0]), float(near[1]), float(far[0]), float(far[1]))
    return Placement(mirrored, turns, box, (float(tolerance[0]), float(tolerance[1])))


def _orientation(matrix: np.ndarray, point: np.ndarray) -> tuple[bool, int]:
    """Return whether a map mirrors, and its quarter turns clockwise after that, at a point."""
    u, v, w = matrix @ [*point, 1.0]
    jacobian = (matrix[:2, :2] - np.outer([u / w, v / w], matrix[2, :2])) / w
    mirrored = bool(np.linalg.det(jacobian) < 0)
    across = -jacobian[:, 0] if mirrored else jacobian[:, 0]
    return mirrored, round(float(np.arctan2(across[1], across[0])) / (np.pi / 2)) % 4


def _oriented(
    points: np.ndarray, size: tuple[int, int], mirrored: bool, turns: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Mirror and turn points (N, 2) of a photo; return them and the turned photo's size."""
    x, y = points.T
    width, height = size
    if mirrored:
        x = width - 1 - x
    for _ in range(turns):
        x, y, width, height = height - 1 - y, x, height, width
    return np.stack([x, y], axis=1), (width, height)


def _fit(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit scales and shifts (2,) along x and y by least squares; scales are 0 without extent."""
    means = source.mean(axis=0), target.mean(axis=0)
    centered = source - means[0]
    extent = (centered**2).sum(axis=0)
    scale = (centered * (target - means[1])).sum(axis=0) / np.maximum(extent, 1.0)
    return scale, means[1] - scale * means[0]


def _place_by_thumbnails(first: Evidence, second: Evidence) -> Placement | None:
    """Place the whole of a photo on the whole of another, if their thumbnails are nearly equal."""
    best, smallest = None, SAME_THUMBNAIL
    for mirrored, turns in itertools.product((False, True), range(4)):
        width, height = first.size if turns % 2 == 0 else first.size[::-1]
        ratios = [width / height, second.size[0] / second.size[1]]
        if max(ratios) > min(ratios) * (1 + SAME_PROPORTIONS):
            continue
        turned = np.rot90(first.thumbnail[:, ::-1] if mirrored else first.thumbnail, -turns)
        difference = float(np.abs(_brightness(turned) - _brightness(second.thumbnail)).mean())
        # Of plain or symmetric photos, noise must not make a mirror image.
        if difference < (smallest if best is None else smallest / 2):
            best, smallest = Placement(mirrored, turns, (0, 0, 1, 1), (0, 0)), difference
    return best


def _brightness(thumbnail: np.ndarray) -> np.ndarray:
    """Return the brightness (16, 16) of a thumbnail, ITU-R BT.601, 0 to 255."""
    return np.asarray(thumbnail @ np.array([0.299, 0.587, 0.114]))


def _retouched(first: Evidence, second: Evidence) -> bool:
    """Check whether whole photos differ more than by resizing and saving.

    Resizing blurs the edges between cells by a pixel of the coarser copy, so the limit of a cell's
    difference grows with the contrast to its neighbors and the share of a pixel in a cell.
    """
    one, other = (photo.thumbnail.astype(np.float64) for photo in (first, second))
    difference = np.abs(one - other).max(axis=2)
    pixel = THUMBNAIL_SIDE / min(*first.size, *second.size)
    resized = pixel * np.maximum(_contrast(one), _contrast(other))
    if (difference > EDITED_CELL + resized).any():
        return True
    return bool(difference.mean() > EDITED_MEAN + resized.mean())


def _contrast(thumbnail: np.ndarray) -> np.ndarray:
    """Return the largest difference of each cell to its four neighbors, (16, 16)."""
    padded = np.pad(thumbnail, ((1, 1), (1, 1), (0, 0)), "edge")
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.asarray(np.max([np.abs(side - thumbnail).max(axis=2) for side in sides], axis=0))


def _inverse(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    """Return the box of the second photo in the first from that of the first in the second."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return -left / width, -top / height, (1 - left) / width, (1 - top) / height


def _bordered(inner: np.ndarray, outer: np.ndarray, box: tuple[float, ...]) -> bool:
    """Check whether what surrounds a photo in another one is a plain border.

    Around a part of a photo of something on plain ground is the same ground; so a border is also
    to differ from the photo that it surrounds.

    Args:
        inner: thumbnail of the photo.
        outer: thumbnail of the one that it lies in.
        box: left, top, right and bottom edge of the photo, in widths and heights of the other.
    """
    across, down = _overlaps(box[0], box[2]), _overlaps(box[1], box[3])
    covered = np.einsum("yi,ijc,xj->yxc", down, inner.astype(np.float64), across)
    room = 1 - np.outer(down.sum(axis=1), across.sum(axis=1))
    shown = room >= SHOWN if (room >= SHOWN).any() else room >= PARTLY_SHOWN
    if not shown.any():
        return False
    surroundings = (outer[shown] - covered[shown]) / room[shown][:, None]
    color = np.median(surroundings, axis=0)
    plain = np.abs(surroundings - color).max(axis=1) <= PLAIN / room[shown]
    if plain.mean() < PLAIN_SHARE:
        return False
    rim = np.ones(inner.shape[:2], bool)
    rim[1:-1, 1:-1] = False
    differs = np.abs(inner[rim] - color).max(axis=1) > 2 * PLAIN
    return bool(differs.mean() >= RIM)


def _overlaps(start: float, end: float) -> np.ndarray:
    """Return the share of each cell of a side that each cell of another photo covers, (16, 16).

    The other photo reaches from `start` to `end`, in lengths of the side.
    """
    edges = THUMBNAIL_SIDE * np.linspace(start, end, THUMBNAIL_SIDE + 1)
    cells = np.arange(THUMBNAIL_SIDE)[:, None]
    overlap = np.minimum(cells + 1, edges[1:]) - np.maximum(cells, edges[:-1])
    return np.asarray(np.maximum(overlap, 0.0))
