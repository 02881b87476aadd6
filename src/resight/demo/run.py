"""The demo: draw photos, index them, search, and show the results."""

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
from resight.methods import load_config
from resight.methods.model import ModelOptions, find_model
from resight.photos.images import load_image
from resight.progress import Progress, no_progress
from resight.searching.searcher import Searcher
from resight.views.contact_sheet import SheetPhoto, contact_sheets

SHEET_QUERIES = 5
SHEET_RESULTS = 5


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo.

    Attributes:
        photos, collection, sheet: the folder of pictures, the collection, the contact sheet.
        config: name of the configuration.
        why_no_network: reason for using a method without a network, or None.
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
    progress: Progress = no_progress,
) -> DemoResult:
    """Draw a sample collection into a folder, index it, search it, and write a contact sheet.

    Falls back to `sift-vlad` if no weights are given or available. Resumes an earlier run in the
    same folder.

    Raises:
        WeightsError: the given weights cannot be used.
    """
    model = model or ModelOptions()
    photos = folder / "photos"
    groups = photos / GROUPS_FILE
    if not groups.exists():
        groups = draw_collection(photos, progress=progress)
    config, why_no_network = _available_config(config, model)
    collection = folder / f"collection-{Path(config).stem}"
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


def _available_config(config: str, model: ModelOptions) -> tuple[str, str | None]:
    """Return the configuration, or `sift-vlad` and the reason if there are no weights."""
    method, _ = load_config(config)
    if not method.needs_network:
        return config, None
    try:
        find_model(method, model)
    except WeightsMissingError as error:
        return "sift-vlad", str(error)
    return config, None


def _write_sheet(groups: Path, collection: Path, model: ModelOptions, target: Path) -> None:
    """Write a row per object: its first picture and its search results."""
    truth = [photos for photos in read_groups(groups).values() if len(photos) > 1]
    rows = []
    with Collection.open(collection) as opened:
        searcher = Searcher(opened, model)
        for photos in truth[:: max(1, len(truth) // SHEET_QUERIES)][:SHEET_QUERIES]:
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
