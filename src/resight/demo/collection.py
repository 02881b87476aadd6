"""The demo's sample pictures, drawn from nothing, with the answer of which show the same."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from resight.demo import cards, facades, plates, prints, things
from resight.demo.paint import PALETTES, Palette
from resight.demo.scenes import Thing, photograph, still_life
from resight.errors import UsageError

FAMILIES: tuple[Callable[[np.random.Generator, Palette], Image.Image], ...] = (
    things.carpet,
    prints.book,
    things.painting,
    plates.butterflies,
    prints.sleeve,
    plates.city_map,
    cards.stamp,
    cards.tarot,
    facades.facade,
    things.clock,
    prints.cereal,
    plates.star_chart,
)
"""With more objects than families the first ones come twice: two carpets, two books."""

GROUPS_FILE = "groups.json"
JPEG_QUALITY = 90


def draw_collection(
    folder: Path,
    *,
    objects: int = 15,
    views: int = 4,
    clutter: int = 15,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw the sample pictures, JPEGs of 640 x 480 or 480 x 640 pixels.

    They are `object-01/view-1.jpg` and so on, where the first view of each object is the easiest,
    and `clutter/01.jpg` and so on, of which every second shows an object like the others that is
    in no other picture. Equal arguments give equal bytes with equal versions of NumPy, OpenCV and
    Pillow. Files of the same names are replaced; others in the folder stay.

    Args:
        folder: made if it is missing.
        objects: how many different objects.
        views: pictures of each.
        clutter: pictures that show none of them.
        seed: another seed, other objects.
        progress: called with (pictures done, pictures in all) after each picture.

    Returns:
        The path of `groups.json`: `{group: [paths relative to the folder]}`, each clutter picture
        a group of its own.

    Raises:
        UsageError: fewer than one object or view, a negative number, or a folder that cannot be
            written to.
    """
    if objects < 1 or views < 1:
        raise UsageError("objects and views: 1 or more")
    if clutter < 0 or seed < 0:
        raise UsageError("clutter and seed: 0 or more")
    total = objects * views + clutter
    groups: dict[str, list[str]] = {}
    done = 0
    try:
        for i in range(objects):
            thing = _thing(seed, i)
            paths = [f"object-{i + 1:02}/view-{j + 1}.jpg" for j in range(views)]
            groups[f"object-{i + 1:02}"] = paths
            for j, path in enumerate(paths):
                rng = np.random.default_rng((seed, 1, i, j))
                # The first view is plain, the others ever harder.
                ease = 1 - j / max(1, views - 1) * rng.uniform(0.6, 1.0)
                _write(photograph(rng, thing, ease), folder / path)
                done += 1
                if progress:
                    progress(done, total)
        for i in range(clutter):
            path = f"clutter/{i + 1:02}.jpg"
            groups[f"clutter-{i + 1:02}"] = [path]
            rng = np.random.default_rng((seed, 2, i))
            if i % 2:
                image = still_life(rng)
            else:
                image = photograph(rng, _thing(seed, objects + i // 2), rng.random())
            _write(image, folder / path)
            done += 1
            if progress:
                progress(done, total)
        file = folder / GROUPS_FILE
        file.write_text(json.dumps(groups, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to: {error.strerror or error}") from None
    return file


def _thing(seed: int, number: int) -> Thing:
    family = FAMILIES[number % len(FAMILIES)]
    order = np.random.default_rng((seed, 3)).permutation(len(PALETTES))
    palette = PALETTES[order[number % len(PALETTES)]]
    texture = family(np.random.default_rng((seed, 0, number)), palette)
    return Thing(texture, outdoors=family is facades.facade)


def _write(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=JPEG_QUALITY)
