"""The demo: draw photos, index them, search with them, show what was found."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from resight.collection.reader import Collection
from resight.config import SearchConfig
from resight.demo.pictures import GROUPS_FILE, draw_collection
from resight.errors import WeightsMissingError
from resight.evaluation.evaluate_collection import evaluate
from resight.evaluation.measures import read_groups
from resight.files import save_picture
from resight.indexing import pipeline
from resight.methods.model import ModelOptions, find_model
from resight.methods.resolve import load_config
from resight.photos.images import load_image
from resight.progress import no_progress
from resight.searching.searcher import Searcher
from resight.views.contact_sheet import SheetPhoto, contact_sheets

SHOWN_QUERIES = 5
SHOWN_RESULTS = 5


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        photos, collection, sheet: the folder of pictures, the collection, the contact sheet.
        config: the configuration used.
        why_no_network: why the method without a network was taken, or None.
        mean_average_precision: in 0..1.
        ns_score: in 0..4.
    """

    photos: Path
    collection: Path
    sheet: Path
    config: str
    why_no_network: str | None
    mean_average_precision: float
    ns_score: float | None


def run_demo(
    folder: Path,
    *,
    config: str = "fast",
    model: ModelOptions | None = None,
    progress: Callable[[str, int, int], None] = no_progress,
) -> DemoResult:
    """Draw a sample collection into a folder, index it, search in it, write a contact sheet.

    Without weights, and only when none were named, it takes `sift-vlad` and says so. What an
    earlier run left in the folder is used again.

    Raises:
        WeightsError: the weights that were named cannot be used.
    """
    model = model or ModelOptions()
    photos = folder / "photos"
    groups = photos / GROUPS_FILE
    if not groups.exists():
        groups = draw_collection(photos, progress=progress)
    config, why_no_network = _possible_config(config, model)
    collection = folder / f"collection-{Path(config).stem}"
    # What the last run described is known by now; a run that was stopped goes on.
    run = pipeline.index([photos], collection, config=config, model=model, progress=progress)
    if run.report.interrupted:
        raise KeyboardInterrupt
    evaluation = evaluate(groups, collection)
    sheet = folder / "matches.jpg"
    _write_sheet(groups, collection, model, sheet)
    return DemoResult(
        photos,
        collection,
        sheet,
        config,
        why_no_network,
        evaluation.report.mean_average_precision,
        evaluation.report.ns_score,
    )


def _possible_config(config: str, model: ModelOptions) -> tuple[str, str | None]:
    """The configuration asked for, or `sift-vlad` and the reason where no weights can be had."""
    method, _ = load_config(config)
    if not method.needs_network:
        return config, None
    try:
        find_model(method, model)
    except WeightsMissingError as error:
        return "sift-vlad", str(error)
    return config, None


def _write_sheet(groups: Path, collection: Path, model: ModelOptions, target: Path) -> None:
    """A row for each of some objects: its first picture and the nearest others."""
    truth = [photos for photos in read_groups(groups).values() if len(photos) > 1]
    rows = []
    with Collection.open(collection) as opened:
        searcher = Searcher(opened, model)
        for photos in truth[:: max(1, len(truth) // SHOWN_QUERIES)][:SHOWN_QUERIES]:
            query = photos[0]
            found = searcher.search(query, SearchConfig(k=SHOWN_RESULTS + 1)).results
            others = [result for result in found if result.path != query][:SHOWN_RESULTS]
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
