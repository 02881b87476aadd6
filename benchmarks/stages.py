"""Time by stage: of an index run, of the network, and of a search.

    python benchmarks/stages.py PHOTOS --weights resnet50.pth

Prints Markdown tables. The index run is real, over some of the photos: while the network processes
one, the next are decoded and the previous one is pooled and stored. Separate stages are measured
sequentially. Run it on an idle machine.
"""

import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from harness import draw_descriptors, make_parser, spread

PHOTOS, WARM_UP = 16, 2
STAGES = ("decoding", "copies", "network", "pooling")
QUERIES = 32


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("photos", type=Path, help="a folder of JPEGs")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rows", type=int, default=200_000, help="descriptors searched in")
    options = parser.parse_args()
    from resight.memory import keep_heap_small

    keep_heap_small()  # as the command does
    photos = select_photos(options.photos)
    for name, extractor in extractors(photos, options.weights).items():
        index = index_profile(extractor, photos)
        print(table(f"{name}: an index run, a photo", index), end="\n\n")
    stages = network_profile(photos, options.weights)
    print(table("float32: the network, a photo", stages), end="\n\n")
    shapes = shape_profile(options.weights)
    print(table("float32: a picture of 800 x 600 pixels", shapes), end="\n\n")
    search = search_profile(options.rows)
    print(table(f"a search in {options.rows:,} descriptors", search))


def table(title: str, figures: dict[str, float]) -> str:
    """Lay out seconds as a Markdown table of milliseconds."""
    lines = [f"| {title} | ms |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {1e3 * value:.1f} |" for name, value in figures.items()])


# An index run


def select_photos(folder: Path) -> list[Path]:
    """Return photos at equal intervals of a folder."""
    from resight.photos.files import find_photos

    photos = find_photos([folder]).photos
    return [photo.path for photo in spread(photos, PHOTOS + WARM_UP)]


def extractors(photos: Sequence[Path], weights: Path | None) -> dict[str, Any]:
    """Load extractors of `paper` on this machine's runtime, in float32 and int8."""
    from resight.config import ExtractionConfig
    from resight.indexing.method_setup import fit_quantized_network
    from resight.methods.model import FittedMethod, ModelOptions, find_model
    from resight.photos.files import find_photos
    from resight.progress import no_progress

    config, int8 = ExtractionConfig(), ExtractionConfig(precision="int8")
    model = find_model(config, ModelOptions(weights))
    files = find_photos(photos).photos
    network, _ = fit_quantized_network(int8, model, files, no_progress)
    return {
        "float32": FittedMethod(config, model).load_extractor(ModelOptions()),
        "int8": FittedMethod(int8, model, quantized=network).load_extractor(ModelOptions()),
    }


def index_profile(extractor: Any, photos: Sequence[Path]) -> dict[str, float]:
    """Measure seconds per photo: each stage separately, and an index run, in which they overlap."""
    profiles = [describe(extractor, photo) for photo in photos][WARM_UP:]
    result = {stage: float(np.median([profile[stage] for profile in profiles])) for stage in STAGES}
    result["storing"] = storing(extractor, len(photos))
    result["sequentially"] = sum(result.values())
    run = index_run(extractor, photos)
    result["index run"] = run["seconds"]
    result["index run, network busy"] = run["busy"] * run["seconds"]
    result["network alone"] = run["alone"] * run["seconds"]
    return result


def storing(extractor: Any, count: int) -> float:
    """Measure the seconds to store a descriptor, each in its own transaction."""
    from resight.collection.writer import writing
    from resight.config import NoReduction
    from resight.photos.files import PhotoFile

    values = np.zeros(extractor.dimensions, np.float32)
    seconds = []
    with (
        tempfile.TemporaryDirectory() as folder,
        writing(Path(folder) / "c", (extractor.config, NoReduction())) as writer,
    ):
        for number in range(count):
            started = time.perf_counter()
            file = PhotoFile(Path(f"/{number}.jpg"), 1, 1)
            writer.record_described(file, f"content {number}", (4, 3), values, None)
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


class TimedNetwork:
    """A network that records the intervals in which it computes."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.intervals: list[tuple[float, float]] = []

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the network's feature maps."""
        started = time.perf_counter()
        try:
            return self.network.feature_maps(pixels)
        finally:
            self.intervals.append((started, time.perf_counter()))


@contextlib.contextmanager
def timed(extractor: Any) -> Iterator[TimedNetwork]:
    """Record when an extractor's network computes."""
    network = extractor.network
    extractor.network = TimedNetwork(network)
    try:
        yield extractor.network
    finally:
        extractor.network = network


def index_run(extractor: Any, photos: Sequence[Path]) -> dict[str, float]:
    """Run a real index run over photos, timed after the first few are stored.

    Returns:
        `seconds` per photo; `busy`, the share in which the network was computing; `alone`, the
        network's time for the same photos with nothing else running, as a share.
    """
    from resight.collection.writer import writing
    from resight.config import NoReduction
    from resight.indexing.extraction import extract_photos
    from resight.indexing.plan import plan_run
    from resight.indexing.recording import record_results
    from resight.photos.files import find_photos

    stored: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        timed(extractor) as network,
        writing(Path(folder) / "c", (extractor.config, NoReduction())) as writer,
    ):
        plan = plan_run(writer.collection, [], find_photos(photos))
        results = extract_photos(plan.todo, extractor)
        batches = ((result,) for result in results)
        record_results(writer, plan, batches, lambda *_: stored.append(time.perf_counter()))
    begin, end = stored[WARM_UP - 1], stored[-1]
    busy = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in network.intervals)
    undisturbed = network_only(extractor, [file.path for file in plan.todo][WARM_UP:])
    wall = end - begin
    return {
        "seconds": wall / (len(stored) - WARM_UP),
        "busy": busy / wall,
        "alone": undisturbed / wall,
    }


def network_only(extractor: Any, photos: Sequence[Path]) -> float:
    """Measure the network's seconds for photos with nothing else running."""
    from resight.photos.images import load_image

    seconds = 0.0
    for photo in photos:
        copies = extractor.prepare(load_image(photo, extractor.decode_size))
        started = time.perf_counter()
        extractor.feature_maps(copies)
        seconds += time.perf_counter() - started
    return seconds


def describe(extractor: Any, photo: Path) -> dict[str, float]:
    """Describe a photo, and return the seconds of each stage."""
    from resight.descriptors.pipeline import describe_maps
    from resight.photos.images import load_image

    moments = [time.perf_counter()]
    image = load_image(photo, extractor.decode_size)
    moments.append(time.perf_counter())
    copies = extractor.prepare(image)
    moments.append(time.perf_counter())
    maps = extractor.feature_maps(copies)
    moments.append(time.perf_counter())
    describe_maps(maps, extractor.config, extractor.classifier)
    moments.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(moments).tolist(), strict=True))


# The network, stage by stage


def network_profile(photos: Sequence[Path], weights: Path | None) -> dict[str, float]:
    """Measure each stage of the float32 network for a photo, at all three resolutions.

    Networks truncated after each stage run in turn; a stage takes the difference to the previous
    one. This is approximate, since larger results take longer to return.
    """
    from resight.config import ExtractionConfig
    from resight.descriptors.cnn_extractor import CnnExtractor
    from resight.methods.model import ModelOptions, find_model
    from resight.networks import BACKBONES
    from resight.photos.images import load_image

    config = ExtractionConfig()
    model = find_model(config, ModelOptions(weights))
    result = {}
    before = 0.0
    for stage in BACKBONES[config.backbone].channels:
        extractor = CnnExtractor(config, model.path, sha256=model.sha256, layers=[stage])
        seconds = []
        for photo in photos[: PHOTOS // 2]:
            copies = extractor.prepare(load_image(photo))
            started = time.perf_counter()
            extractor.feature_maps(copies)
            seconds.append(time.perf_counter() - started)
        total = float(np.median(seconds[WARM_UP:]))
        result[stage] = total - before
        before = total
    return result


def shape_profile(weights: Path | None) -> dict[str, float]:
    """Measure the float32 network for the first image of a shape, and for the next one."""
    from resight.config import ExtractionConfig
    from resight.methods.model import FittedMethod, ModelOptions, find_model

    config = ExtractionConfig()
    extractor: Any = FittedMethod(config, find_model(config, ModelOptions(weights))).load_extractor(
        ModelOptions()
    )
    seconds = []
    for number in range(PHOTOS // 2 + WARM_UP):
        picture = np.full((600 + 16 * number, 800, 3), 100, np.uint8)
        moments = [time.perf_counter()]
        for _ in range(2):
            extractor.feature_maps([picture])
            moments.append(time.perf_counter())
        seconds.append(np.diff(moments))
    first, again = np.median(seconds[WARM_UP:], axis=0)
    return {"first of its shape": float(first), "next": float(again)}


# A search


def search_profile(rows: int) -> dict[str, float]:
    """Measure the parts of a search over synthetic descriptors."""
    from resight.config import RerankConfig
    from resight.ranking import exact as neighbors
    from resight.ranking.quantized import encode, fit_quantizer
    from resight.ranking.rerank import reorder
    from resight.ranking.rerank.rerank_set import make_rerank_set

    values = draw_descriptors(rows, np.random.default_rng(0))
    coded = encode(values, fit_quantizer(values))
    database = neighbors.Database(np.arange(rows), values, coded=(coded,))
    seconds: dict[str, list[float]] = {}

    def measured(part: str, run: Callable[..., Any], *given: Any) -> Any:
        started = time.perf_counter()
        result = run(*given)
        seconds.setdefault(part, []).append(time.perf_counter() - started)
        return result

    scan = functools.partial(measured, "scan of the codes", neighbors.shortlist)
    for row in np.random.default_rng(1).choice(rows, QUERIES, replace=False):
        query = neighbors.Query(values[row] * np.float32(1.01))
        with mock.patch.object(neighbors, "shortlist", scan):
            measured("the whole search", neighbors.nearest, query, database, 10)
        order = neighbors.nearest(query, database, RerankConfig().shortlist).ids
        shortlist = neighbors.Database(order, values[order])
        for method in ("alpha-qe", "diffusion"):
            config = RerankConfig(method=method)

            def rerank(query: Any, shortlist: Any, config: Any) -> None:
                rerank_set = make_rerank_set(shortlist, neighbors.manhattan, config)
                reorder(query, rerank_set, shortlist.ids, config)

            measured(f"re-ranking by {method}", rerank, query, shortlist, config)
    medians = {part: float(np.median(values)) for part, values in seconds.items()}
    scanning, whole = medians.pop("scan of the codes"), medians.pop("the whole search")
    parts = {"scan of the codes": scanning, "comparing exactly": whole - scanning}
    return parts | {"the whole search, k = 10": whole} | medians


if __name__ == "__main__":
    main()
