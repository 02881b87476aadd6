"""A method's descriptors made comparable, every query's ranking, and how good it is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resight.config import (
    MethodConfig,
    RerankConfig,
)
from resight.errors import FitError
from resight.evaluation.benchmark.extraction import Descriptors, columns_of
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.evaluation.protocols import judge, mean_values
from resight.methods.spec import MethodSpec
from resight.output_files import write_errors
from resight.progress import Progress
from resight.ranking.exact import DISTANCES, Database, Query, distances_to, ranking
from resight.ranking.rerank.methods import make_rerank_set, reorder
from resight.reductions.reduction import Reduction, fit_reduction
from resight.searching.spatial_verification import PhotoMatcher

KEPT_LINES = 2_000_000
"""Places that are kept of all rankings of a method together, for exports and pages: all of them,
but on the largest benchmarks."""
FEWEST_RANKS = 100
"""First photos that are kept of every ranking at least."""


@dataclass(frozen=True)
class Ranked:
    """The first photos of a query's ranking: rows of the dataset, and their distances.

    After re-ranking, ranks stand in place of the distances.

    Attributes:
        rows: int32 (K,), nearest first.
        distances: float (K,).
    """

    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class MethodResult:
    """How good a method is on a dataset.

    Attributes:
        method: its name.
        measures: the mean of each measure; fractions, or for the N-S score 0 to 4.
        values: each measure's value for each query, in the dataset's order; None where a query
            has no positives, or could not be read.
        ranked: the first of each ranking.
        dimensions: values of a descriptor as it is compared.
        fitted_on: what a selection, a whitening or a vocabulary was fitted on; empty without any.
        seconds: fitting and ranking, without extraction.
    """

    method: str
    measures: dict[str, float | None]
    values: dict[str, list[float | None]]
    ranked: list[Ranked | None]
    dimensions: int
    fitted_on: str
    seconds: float


@dataclass(frozen=True)
class ComparableDescriptors:
    """Descriptors as they are compared: reduced, for the photos and for queries apart from them.

    `sizes` are the values of each of their parts.
    """

    database: Database
    queries: dict[Path, Query]
    distance: str
    dimensions: int
    paths: list[Path] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def save(self, target: Path, dataset: Dataset) -> None:
        """Write all that is compared as an `.npz` file, for other tools.

        It holds `names` (N,) and `descriptors` (N, D) of the photos that are ranked, `query_names`
        (Q,) and `queries` (Q, D) of those that stand apart from them, `local` and `query_local`
        where there are class activation maps, and the name of the `distance`.

        Raises:
            UsageError: the file cannot be written.
        """
        name_of = dict(zip(dataset.paths, dataset.names, strict=True))
        apart = list(self.queries.values())
        width = self.database.global_.shape[1]
        arrays = {
            "names": np.array([name_of[path] for path in self.paths]),
            "descriptors": self.database.global_,
            "query_names": np.array([str(path) for path in self.queries]),
            "queries": np.array([query.global_ for query in apart]).reshape(len(apart), width),
            "distance": np.array(self.distance),
        }
        if self.database.local is not None:
            arrays["local"] = self.database.local
            local = [query.local for query in apart if query.local is not None]
            arrays["query_local"] = np.array(local).reshape(len(local), width)
        with write_errors(target), target.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def compare(
    recipe: MethodSpec,
    benchmark: str,
    covers: MethodConfig,
    photos: Descriptors,
    queries: Descriptors | None,
    fitted_on: Descriptors | None = None,
) -> ComparableDescriptors:
    """The descriptors of a recipe as it compares them.

    Args:
        recipe: selection or whitening, layers, local descriptors.
        benchmark: whose number of values is kept, where the paper names one.
        covers: the configuration that made the descriptors.
        photos: of the photos that are ranked.
        queries: of queries that are not among them.
        fitted_on: of other photos to fit on; None fits on those that are ranked.

    Raises:
        FitError: too few photos for the wanted number of values.
    """
    keep = _columns(recipe, covers)
    reduction = _fit(recipe, benchmark, (fitted_on or photos).global_[:, keep])

    def made(values: np.ndarray) -> np.ndarray:
        kept = np.ascontiguousarray(values[..., keep])
        return kept if reduction is None else reduction.apply(kept)

    cam = recipe.config.cam
    local = made(photos.local) if cam and photos.local is not None else None
    database = Database(np.arange(len(photos.global_)), made(photos.global_), local)
    apart = {}
    if queries is not None:
        for path, row in queries.rows.items():
            own = made(queries.local[row]) if cam and queries.local is not None else None
            apart[path] = Query(made(queries.global_[row]), own)
    distance = recipe.config.descriptor_distance
    if reduction is not None and reduction.distance == "cosine":
        distance = "cosine"
    dimensions = database.global_.shape[1]
    config = recipe.config
    sizes = reduction.part_sizes(config) if reduction else config.part_sizes(dimensions)
    return ComparableDescriptors(database, apart, distance, dimensions, list(photos.rows), sizes)


@dataclass(frozen=True)
class Verifying:
    """How the first results are verified.

    Attributes:
        matcher: compares photos.
        count: so many first results are checked.
        files: by `query_file`, the files of queries that are not photos of the dataset.
    """

    matcher: PhotoMatcher
    count: int
    files: Mapping[Path, Path]

    def order(self, query: DatasetQuery, paths: Sequence[Path]) -> list[int]:
        """Places among the paths of the first results, in a better order."""
        name = query_file(query)
        features, _ = self.matcher.of_file(self.files.get(name, name))
        return self.matcher.order(features, paths)[0]


def rank_all(
    method: str,
    dataset: Dataset,
    compared: ComparableDescriptors,
    progress: Progress,
    rerank: RerankConfig | None = None,
    fitted_on: str = "",
    verifying: Verifying | None = None,
) -> MethodResult:
    """Rank the photos for every query of a dataset, and judge the rankings.

    Photos that could not be read are not ranked: as positives they count as not found.
    """
    started = time.perf_counter()
    row_of = {path: row for row, path in enumerate(dataset.paths)}
    rows = np.array([row_of[path] for path in compared.paths])
    values: dict[str, list[float | None]] = {measure.name: [] for measure in dataset.measures}
    ranked: list[Ranked | None] = []
    rank_one = _ranker(compared, rerank or RerankConfig(), verifying)
    kept = max(FEWEST_RANKS, KEPT_LINES // len(dataset.queries))
    for done, query in enumerate(dataset.queries, 1):
        found, order = rank_one(query), None
        if found is None:
            ranked.append(None)
        else:
            places, distances = found
            order, first = rows[places], places[:kept]
            ranked.append(Ranked(rows[first].astype(np.int32), distances[first]))
        for measure in dataset.measures:
            judgement = query.judgements.get(measure.judgement)
            value = None
            if order is not None and judgement is not None:
                value = judge(order, judgement, measure)
            values[measure.name].append(value)
        progress(f"ranking {method}", done, len(dataset.queries))
    seconds = time.perf_counter() - started
    means = mean_values(values)
    return MethodResult(method, means, values, ranked, compared.dimensions, fitted_on, seconds)


def _ranker(
    compared: ComparableDescriptors, config: RerankConfig, verifying: Verifying | None
) -> Callable[[DatasetQuery], tuple[np.ndarray, np.ndarray] | None]:
    """From a query to places, nearest first (N,), and each place's distance (N,).

    None for a query that could not be read.
    """
    own = {path: place for place, path in enumerate(compared.paths)}
    database, distance = compared.database, DISTANCES[compared.distance]
    small = config.method != "none" and len(own) <= config.shortlist
    sizes = compared.sizes if config.method == "late-fusion" else []
    whole = make_rerank_set(database, distance, sizes) if small else None

    def rank(query: DatasetQuery) -> tuple[np.ndarray, np.ndarray] | None:
        vectors = _vectors(query, compared, own)
        if vectors is None:
            return None
        distances = distances_to(vectors, database, distance)
        places = ranking(distances, database.ids)
        places = reorder(vectors, database, places, distance, config, whole, sizes)
        if verifying is not None:
            first = places[: verifying.count]
            better = verifying.order(query, [compared.paths[place] for place in first])
            places = np.concatenate([first[better], places[len(first) :]])
        if config.method != "none" or verifying is not None:
            distances[places] = np.arange(len(places))
        return places, distances

    return rank


def _vectors(
    query: DatasetQuery, compared: ComparableDescriptors, own: dict[Path, int]
) -> Query | None:
    if query.box is None and query.path in own:
        place, database = own[query.path], compared.database
        local = None if database.local is None else database.local[place]
        return Query(database.global_[place], local)
    return compared.queries.get(query_file(query))


def query_file(query: DatasetQuery) -> Path:
    """The file that stands for a query: its photo, or the name of its region's."""
    if query.box is None:
        return query.path
    return Path(f"{query.path.stem}-{'-'.join(map(str, query.box))}.png")


def _columns(recipe: MethodSpec, covers: MethodConfig) -> np.ndarray | slice:
    if recipe.config == covers:
        return slice(None)
    return columns_of(recipe.config, covers)


def _fit(recipe: MethodSpec, benchmark: str, descriptors: np.ndarray) -> Reduction | None:
    selection = recipe.reduction_for(benchmark, len(descriptors))
    if selection.method == "none" or not recipe.config.reducible:
        return None
    sizes = recipe.config.part_sizes(descriptors.shape[1])
    chosen = selection.for_photos(len(descriptors))
    try:
        return fit_reduction(lambda: [descriptors], sizes, chosen)
    except FitError as error:
        raise FitError(f"{recipe.title}: {error}") from None
