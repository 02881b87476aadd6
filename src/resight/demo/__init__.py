"""The demo: draw photos, index them, search, and show the results."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resight.collection import Collection
from resight.config import DEFAULT_METHOD, SearchConfig
from resight.demo.objects import FAMILIES
from resight.demo.scenes import photograph
from resight.errors import UsageError
from resight.evaluation import evaluate
from resight.evaluation.measures import read_groups
from resight.files import ensure_picture_writable, save_picture, write_atomically, write_errors
from resight.indexing import pipeline
from resight.methods import load_config
from resight.methods.model import ModelOptions, find_model
from resight.photos import PathLike
from resight.photos.images import load_image
from resight.progress import Progress, no_progress
from resight.searching import Searcher
from resight.views.contact_sheet import SheetPhoto, contact_sheets

GROUPS_FILE = "groups.json"
JPEG_QUALITY = 90
SHEET_NAME = "matches.jpg"
SHEET_QUERIES = 5
SHEET_RESULTS = 5


def draw_collection(
    folder: PathLike,
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
    arguments give equal bytes with equal versions of NumPy, OpenCV and Pillow. No picture is
    replaced by another one.

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
            written to, or that has another picture of the same name.
    """
    if min(objects, views) < 1 or min(clutter, seed) < 0:
        raise UsageError("objects and views must be at least 1, clutter and seed at least 0")
    folder = Path(folder)
    groups = {
        f"object-{i + 1:02}": [f"object-{i + 1:02}/view-{j + 1}.jpg" for j in range(views)]
        for i in range(objects)
    }
    groups |= {f"clutter-{i + 1:02}": [f"clutter/{i + 1:02}.jpg"] for i in range(clutter)}
    total = objects * views + clutter
    done = 0
    with write_errors(folder):
        for number, paths in enumerate(groups.values()):
            rng = np.random.default_rng((seed, number))
            in_clutter = number >= objects
            family = FAMILIES[(number // 2 if in_clutter else number) % len(FAMILIES)]
            shows_object = not in_clutter or (number - objects) % 2 == 0
            thing = family(rng) if shows_object else None
            for view, path in enumerate(paths):
                ease = rng.random() if in_clutter else 1 - view / views
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _save(photograph(rng, thing, ease), target)
                done += 1
                progress("drawing", done, total)
        file = folder / GROUPS_FILE
        file.write_text(json.dumps(groups, indent=1) + "\n", "utf-8")
    return file


def _save(picture: Image.Image, target: Path) -> None:
    """Save a picture; refuse to replace another one, which may be a photo."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    if not target.exists():
        with write_atomically(target) as unfinished:
            unfinished.write_bytes(stream.getvalue())
    elif target.read_bytes() != stream.getvalue():
        raise UsageError(f"{target}: exists, and may be a photo; choose an empty folder")


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo.

    Attributes:
        photos, collection, sheet: the folder of pictures, the collection, the contact sheet.
        config: name of the configuration.
        mean_average_precision: in 0..1.
        ns_score: in 0..4.
    """

    photos: Path
    collection: Path
    sheet: Path
    config: str
    mean_average_precision: float
    ns_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        folders = {name: str(getattr(self, name)) for name in ("photos", "collection", "sheet")}
        return {**asdict(self), **folders}


def run_demo(
    folder: PathLike,
    *,
    config: str = DEFAULT_METHOD,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> DemoResult:
    """Draw a sample collection into a folder, index it, search it, and write a contact sheet.

    Resumes an earlier run in the same folder.

    Raises:
        WeightsError: the method needs weights that cannot be used, or that are missing.
    """
    folder, model = Path(folder), model or ModelOptions()
    method, _ = load_config(config)
    if method.needs_network:
        find_model(method, model)  # missing weights are reported before pictures are drawn
    photos = folder / "photos"
    sheet = folder / SHEET_NAME
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    ensure_picture_writable(sheet)
    groups = photos / GROUPS_FILE
    if not groups.exists():
        groups = draw_collection(photos, progress=progress)
    collection = folder / f"collection-{Path(config).stem}"
    run = pipeline.index([photos], collection, config=config, model=model, progress=progress)
    if run.report.interrupted:
        raise KeyboardInterrupt
    evaluation = evaluate(groups, collection)
    _write_sheet(groups, collection, model, sheet)
    return DemoResult(
        photos,
        collection,
        sheet,
        config,
        evaluation.report.mean_average_precision,
        evaluation.report.ns_score,
    )


def _write_sheet(groups: Path, collection: Path, model: ModelOptions, target: Path) -> None:
    """Write a row per object: its first picture and its search results."""
    truth = [photos for photos in read_groups(groups).values() if len(photos) > 1]
    rows = []
    with Collection.open(collection) as opened:
        searcher = Searcher(opened, model)
        for photos in truth[:SHEET_QUERIES]:
            query = photos[0]
            results = searcher.search(query, SearchConfig(k=SHEET_RESULTS + 1)).results
            others = [result for result in results if result.path != query][:SHEET_RESULTS]
            tiles = [
                SheetPhoto(
                    load_image(result.path),
                    result.path.parent.name,
                    f"{result.distance:.3f}",
                    highlight=result.path in photos,
                )
                for result in others
            ]
            rows.append((SheetPhoto(load_image(query), query.parent.name), tiles))
    save_picture(contact_sheets(rows), target)
