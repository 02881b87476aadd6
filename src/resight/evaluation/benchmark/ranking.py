"""A method's descriptors made comparable, every query's ranking, and how good it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from resight.config import (
    MethodConfig,
    SearchConfig,
)
from resight.errors import FitError, UsageError
from resight.evaluation.benchmark.extraction import Descriptors, columns_of
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.evaluation.protocols import judge, mean_values
from resight.files import write_errors
from resight.methods.spec import MethodSpec
from resight.progress import Progress
from resight.ranking.exact import Database, Query
from resight.reductions.reduction import Reduction, fit_reduction
from resight.searching.pipeline import Ranking, make_matcher, rank_photos, shared_rerank_set
from resight.searching.query import QueryPhoto
from resight.searching.searchable import ArrayStore
from resight.searching.spatial_verification import ColumnsMap

MAX_RANKS = 2_000_000
"""Ranks stored of all rankings of a method together, for exports and pages: all of them, but on the
largest benchmarks."""
MIN_RANKS = 100
"""Ranks stored of every ranking at least."""


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
    """Descriptors after the reduction.

    Attributes:
        photos: those of the photos that are ranked.
        queries: those of queries that are not among them.
    """

    photos: ArrayStore
    queries: dict[Path, Query]

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
        database = self.photos.database
        width = database.global_.shape[1]
        arrays = {
            "names": np.array([name_of[path] for path in self.photos.paths]),
            "descriptors": database.global_,
            "query_names": np.array([str(path) for path in self.queries]),
            "queries": np.array([query.global_ for query in apart]).reshape(len(apart), width),
            "distance": np.array(self.photos.distance),
        }
        if database.local is not None:
            arrays["local"] = database.local
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
    store = ArrayStore(database, list(photos.rows), recipe.config, reduction)
    return ComparableDescriptors(store, apart)


def rank_all(
    method: str,
    dataset: Dataset,
    compared: ComparableDescriptors,
    progress: Progress,
    plan: SearchConfig | None = None,
    fitted_on: str = "",
    columns_map: ColumnsMap | None = None,
    files: Mapping[Path, Path] | None = None,
) -> MethodResult:
    """Rank the photos for every query of a dataset, and measure the rankings.

    Photos that could not be read are not ranked: as positives they count as missed.

    Args:
        method: its name.
        dataset: queries and ground truth.
        compared: descriptors of photos and queries.
        progress: called after each query.
        plan: re-ranking and verification.
        fitted_on: name of the photos that the method was fitted on.
        columns_map: for verification by columns.
        files: by `query_file`, the files of queries that are not photos of the dataset.
    """
    started = time.perf_counter()
    row_of = {path: row for row, path in enumerate(dataset.paths)}
    rows = np.array([row_of[path] for path in compared.photos.paths])
    values: dict[str, list[float | None]] = {measure.name: [] for measure in dataset.measures}
    ranked: list[Ranked | None] = []
    rank = _ranker(compared, plan or SearchConfig(), columns_map, files or {})
    kept = max(MIN_RANKS, MAX_RANKS // len(dataset.queries))
    for done, query in enumerate(dataset.queries, 1):
        ranking, order = rank(query), None
        if ranking is None:
            ranked.append(None)
        else:
            order = rows[ranking.ids]
            ranked.append(Ranked(order[:kept].astype(np.int32), ranking.distances[:kept]))
        for measure in dataset.measures:
            judgement = query.judgements.get(measure.judgement)
            value = None
            if order is not None and judgement is not None:
                value = judge(order, judgement, measure)
            values[measure.name].append(value)
        progress(f"ranking {method}", done, len(dataset.queries))
    seconds = time.perf_counter() - started
    dimensions = compared.photos.database.global_.shape[1]
    return MethodResult(method, mean_values(values), values, ranked, dimensions, fitted_on, seconds)


def _ranker(
    compared: ComparableDescriptors,
    config: SearchConfig,
    columns_map: ColumnsMap | None,
    files: Mapping[Path, Path],
) -> Callable[[DatasetQuery], Ranking | None]:
    """Return a function from a query to its ranking; None for one that could not be read.

    After re-ranking or verification, ranks stand in place of the distances.
    """
    store = compared.photos
    row_of = {path: row for row, path in enumerate(store.paths)}
    plan = replace(config, k=len(store.paths), offset=0, max_distance=None)
    matcher = make_matcher(plan, columns_map or _no_columns)
    rerank_set = shared_rerank_set(store, plan.rerank)

    def rank(query: DatasetQuery) -> Ranking | None:
        descriptors = _descriptors(query, compared, row_of)
        if descriptors is None:
            return None
        file = files.get(query_file(query), query_file(query))
        ranking = rank_photos(
            store,
            descriptors,
            plan,
            photo=QueryPhoto(file, file),
            matcher=matcher,
            rerank_set=rerank_set,
        )
        if plan.rerank.method == "none" and matcher is None:
            return ranking
        return replace(ranking, distances=np.arange(len(ranking.ids), dtype=np.float32))

    return rank


def _no_columns(image: Image.Image) -> np.ndarray:
    raise UsageError("'columns' needs a network", parameter="verify_by")


def _descriptors(
    query: DatasetQuery, compared: ComparableDescriptors, row_of: Mapping[Path, int]
) -> Query | None:
    if query.box is not None or query.path not in row_of:
        return compared.queries.get(query_file(query))
    row, database = row_of[query.path], compared.photos.database
    local = None if database.local is None else database.local[row]
    return Query(database.global_[row], local)


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
