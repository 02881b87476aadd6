"""The demo's pictures, and the ground truth of which show the same object."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from resight.demo.objects import FAMILIES
from resight.demo.scenes import photograph
from resight.errors import UsageError
from resight.progress import Progress, no_progress

GROUPS_FILE = "groups.json"
JPEG_QUALITY = 90


def draw_collection(
    folder: Path,
    *,
    objects: int = 15,
    views: int = 4,
    clutter: int = 15,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Path:
    """Draw sample pictures, JPEGs of 640 x 480 or 480 x 640 pixels, with their ground truth.

    `object-01/view-1.jpg` and so on show objects, the first view of each being the easiest.
    `clutter/01.jpg` and so on match nothing; every other one shows an object of its own. Equal
    arguments give equal bytes with equal versions of NumPy, OpenCV and Pillow. Files of the same
    names are replaced.

    Args:
        folder: created if it is missing.
        objects: number of different objects.
        views: pictures of each object.
        clutter: pictures that show none of the objects.
        seed: another seed draws other objects.
        progress: called after each picture.

    Returns:
        The path of `groups.json`: `{group: [paths relative to the folder]}`, each clutter picture
        a group by itself.

    Raises:
        UsageError: fewer than one object or view, a negative number, or a folder that cannot be
            written to.
    """
    if min(objects, views) < 1 or min(clutter, seed) < 0:
        raise UsageError("objects and views must be at least 1, clutter and seed at least 0")
    groups = {
        f"object-{i + 1:02}": [f"object-{i + 1:02}/view-{j + 1}.jpg" for j in range(views)]
        for i in range(objects)
    }
    groups |= {f"clutter-{i + 1:02}": [f"clutter/{i + 1:02}.jpg"] for i in range(clutter)}
    total = objects * views + clutter
    done = 0
    try:
        for number, paths in enumerate(groups.values()):
            rng = np.random.default_rng((seed, number))
            in_clutter = number >= objects
            shows_object = not in_clutter or (number - objects) % 2 == 0
            texture = FAMILIES[number % len(FAMILIES)](rng) if shows_object else None
            for view, path in enumerate(paths):
                ease = rng.random() if in_clutter else 1 - view / views
                _save(photograph(rng, texture, ease), folder / path)
                done += 1
                progress("drawing", done, total)
        file = folder / GROUPS_FILE
        file.write_text(json.dumps(groups, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to: {error.strerror or error}") from None
    return file


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=JPEG_QUALITY)
