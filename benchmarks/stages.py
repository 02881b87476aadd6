"""Where the time goes: of an index run, of the network, and of a search.

    python benchmarks/stages.py PHOTOS --weights resnet50.pth

Prints Markdown tables. An index run is the real one, over some of the photos: while the network
works on one, the next are decoded and the one before is pooled and stored. The stages by
themselves are measured one photo after the other. Run it on a machine that does nothing else.
"""

import argparse
import contextlib
import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

PHOTOS, WARM_UP = 16, 2
STAGES = ("decoding", "copies", "network", "pooling")
QUERIES = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="a folder of JPEGs")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--rows", type=int, default=200_000, help="descriptors searched in")
    options = parser.parse_args()
    from resight.memory import keep_heap_small

    keep_heap_small()  # as the command does
    photos = found_photos(options.photos)
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
    """Seconds as a Markdown table of milliseconds."""
    lines = [f"| {title} | ms |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {1e3 * value:.1f} |" for name, value in figures.items()])


# An index run


def found_photos(folder: Path) -> list[Path]:
    """Some of the photos of a folder, from all over it."""
    from resight.photos.files import find_photos

    photos = find_photos([folder]).photos
    return [photo.path for photo in spread(photos, PHOTOS + WARM_UP)]


def extractors(photos: Sequence[Path], weights: Path | None) -> dict[str, Any]:
    """Extractors of the configuration `paper` on this machine's engine, in float32 and int8."""
    from resight.config import ExtractionConfig
    from resight.indexing.fitting import fit_quantized_network
    from resight.methods.factory import FittedMethod
    from resight.methods.model import ModelOptions, find_model
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
    """Seconds a photo: each stage by itself, and an index run, in which they overlap."""
    each = [describe(extractor, photo) for photo in photos][WARM_UP:]
    found = {stage: float(np.median([one[stage] for one in each])) for stage in STAGES}
    found["storing"] = storing(extractor, len(photos))
    found["one after the other"] = sum(found.values())
    run = index_run(extractor, photos)
    found["the index run"] = run["seconds"]
    found["of it the network was at work"] = run["busy"] * run["seconds"]
    found["the network alone would take"] = run["alone"] * run["seconds"]
    return found


def storing(extractor: Any, count: int) -> float:
    """Seconds to store a photo's descriptor, each in a transaction of its own."""
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


class Watched:
    """A network that remembers from when to when it worked."""

    def __init__(self, network: Any) -> None:
        self.network, self.worked = network, list[tuple[float, float]]()

    def feature_maps(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The network's, as it is."""
        started = time.perf_counter()
        try:
            return self.network.feature_maps(pixels)
        finally:
            self.worked.append((started, time.perf_counter()))


@contextlib.contextmanager
def watched(extractor: Any) -> Iterator[Watched]:
    """Watch an extractor's network."""
    network = extractor.network
    extractor.network = Watched(network)
    try:
        yield extractor.network
    finally:
        extractor.network = network


def index_run(extractor: Any, photos: Sequence[Path]) -> dict[str, float]:
    """A real index run over photos, from when the first few are stored.

    Returns:
        `seconds` a photo; `busy`, the share of them in which the network was at work, alone or
        beside the rest; `alone`, what the network would have taken by itself for the same photos,
        as a share of them.
    """
    from resight.collection.writer import writing
    from resight.config import NoReduction
    from resight.indexing.extraction import describe_files
    from resight.indexing.plan import plan_run, run_plan
    from resight.photos.files import find_photos

    stored: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        watched(extractor) as network,
        writing(Path(folder) / "c", (extractor.config, NoReduction())) as writer,
    ):
        plan = plan_run(writer.collection, [], find_photos(photos))
        outcomes = describe_files(plan.todo, extractor, known=set(), workers=1)
        each = ((outcome,) for outcome in outcomes)
        run_plan(writer, plan, each, lambda *_: stored.append(time.perf_counter()))
    begin, end = stored[WARM_UP - 1], stored[-1]
    busy = sum(max(0.0, min(b, end) - max(a, begin)) for a, b in network.worked)
    alone = network_alone(extractor, [file.path for file in plan.todo][WARM_UP:])
    wall = end - begin
    return {
        "seconds": wall / (len(stored) - WARM_UP),
        "busy": busy / wall,
        "alone": alone / wall,
    }


def network_alone(extractor: Any, photos: Sequence[Path]) -> float:
    """Seconds of the network for photos, with nothing beside it."""
    from resight.photos.images import load_image

    seconds = 0.0
    for photo in photos:
        copies = extractor.prepare(load_image(photo, extractor.decode_size))
        started = time.perf_counter()
        extractor.feature_maps(copies)
        seconds += time.perf_counter() - started
    return seconds


def describe(extractor: Any, photo: Path) -> dict[str, float]:
    """Describe a photo; the seconds of each stage."""
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


def spread(photos: Sequence[Any], count: int) -> list[Any]:
    """Some of the photos, from all over the list."""
    return [photos[i * len(photos) // count] for i in range(min(count, len(photos)))]


# The network, stage by stage


def network_profile(photos: Sequence[Path], weights: Path | None) -> dict[str, float]:
    """Seconds of each stage of the float32 network for a photo, at all three resolutions.

    Networks that end with each stage are run in turn; a stage is what one takes longer than the
    one before. Larger results take longer to give back, so that it is about right, no more.
    """
    from resight.config import ExtractionConfig
    from resight.descriptors.cnn_extractor import CnnExtractor
    from resight.methods.model import ModelOptions, find_model
    from resight.networks.specs import BACKBONES
    from resight.photos.images import load_image

    config = ExtractionConfig()
    model = find_model(config, ModelOptions(weights))
    found, before = {}, 0.0
    for stage in BACKBONES[config.backbone].channels:
        extractor = CnnExtractor(config, model.path, sha256=model.sha256, layers=[stage])
        seconds = []
        for photo in photos[: PHOTOS // 2]:
            copies = extractor.prepare(load_image(photo))
            started = time.perf_counter()
            extractor.feature_maps(copies)
            seconds.append(time.perf_counter() - started)
        reached = float(np.median(seconds[WARM_UP:]))
        found[stage], before = reached - before, reached
    return found


def shape_profile(weights: Path | None) -> dict[str, float]:
    """Seconds of the float32 network for the first picture of a shape, and for the next one."""
    from resight.config import ExtractionConfig
    from resight.methods.factory import FittedMethod
    from resight.methods.model import ModelOptions, find_model

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
    return {"the first of its shape": float(first), "the next": float(again)}


# A search


def search_profile(rows: int) -> dict[str, float]:
    """Seconds of the parts of a search over descriptors that look like real ones."""
    from resight.config import RerankConfig
    from resight.ranking import exact as neighbors
    from resight.ranking.quantized import choose_steps, encode
    from resight.ranking.rerank.methods import reorder
    from speed import draw  # which imports this module

    values = draw(rows, np.random.default_rng(0))
    coded = encode(values, choose_steps(values))
    database = neighbors.Database(np.arange(rows), values, coded=(coded,))
    found: dict[str, list[float]] = {}

    def timed(part: str, run: Callable[..., Any], *given: Any) -> Any:
        started = time.perf_counter()
        result = run(*given)
        found.setdefault(part, []).append(time.perf_counter() - started)
        return result

    scan = functools.partial(timed, "scan of the codes", neighbors.shortlist)
    for row in np.random.default_rng(1).choice(rows, QUERIES, replace=False):
        query = neighbors.Query(values[row] * np.float32(1.01))
        with mock.patch.object(neighbors, "shortlist", scan):
            timed("the whole search", neighbors.nearest, query, database, 10)
        order = neighbors.nearest(query, database, RerankConfig().shortlist).ids
        for method in ("alpha-qe", "diffusion"):
            given = (query, database, order, neighbors.manhattan, RerankConfig(method=method))
            timed(f"re-ranking by {method}", reorder, *given)
    medians = {part: float(np.median(seconds)) for part, seconds in found.items()}
    scanning, whole = medians.pop("scan of the codes"), medians.pop("the whole search")
    parts = {"scan of the codes": scanning, "comparing exactly": whole - scanning}
    return parts | {"the whole search, k = 10": whole} | medians


if __name__ == "__main__":
    main()
