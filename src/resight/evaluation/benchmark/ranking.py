"""Rankings of a benchmark's queries by one method, their measures, and their files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from resight.backends.local import ArrayStore
from resight.backends.store import as_query
from resight.config import MethodConfig, SearchConfig
from resight.errors import FitError, UsageError
from resight.evaluation.benchmark.decisions import RankingJudge, StoredEvidence
from resight.evaluation.benchmark.extraction import Descriptors, columns_of
from resight.evaluation.datasets.dataset import Dataset, DatasetQuery
from resight.evaluation.decisions import Decisions
from resight.evaluation.measures import judge, mean_values
from resight.files import write_output
from resight.methods.spec import MethodSpec
from resight.progress import Progress
from resight.ranking.exact import Database, Query
from resight.reductions import Reduction, fit_reduction
from resight.searching.pipeline import make_ranker
from resight.searching.query import QueryPhoto
from resight.searching.spatial_verification import ColumnsMap

MAX_RANKS = 2_000_000
"""Number of ranks stored of all rankings of a method together, for reports."""
MIN_RANKS = 100
"""Minimum number of ranks stored of each ranking."""


@dataclass(frozen=True)
class QueryRanking:
    """First photos of a query's ranking: rows of the dataset, int32 (K,), and distances (K,).

    After re-ranking or verification, ranks replace the distances.
    """

    rows: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class MethodResult:
    """Figures of a method on a dataset.

    Attributes:
        method: its name.
        measures: the mean of each measure; fractions, or for the N-S score 0 to 4.
        values: each measure's value for each query, in the dataset's order; None if a query has no
            positives or could not be read.
        rankings: the first photos of each query's ranking.
        dimensions: number of compared values of a descriptor.
        fitted_on: photos on which a selection, whitening or vocabulary was fitted; empty without.
        seconds: time of fitting and ranking (and deciding), without extraction.
        decisions: how good the decisions on the rankings are; None if they were not measured.
    """

    method: str
    measures: dict[str, float | None]
    values: dict[str, list[float | None]]
    rankings: list[QueryRanking | None]
    dimensions: int
    fitted_on: str
    seconds: float
    decisions: Decisions | None = None


@dataclass(frozen=True)
class ComparableDescriptors:
    """Descriptors after the reduction.

    Attributes:
        photos: of the ranked photos.
        queries: of queries that are not among them, by `file_name`.
    """

    photos: ArrayStore
    queries: dict[Path, Query]

    def save(self, target: Path, dataset: Dataset) -> None:
        """Write the descriptors as an `.npz` file, for other tools.

        It holds `names` (N,) and `descriptors` (N, D) of the ranked photos, `query_names` (Q,) and
        `queries` (Q, D) of queries that are not among them, `local` and `query_local` with class
        activation maps, and the name of the `distance`.

        Raises:
            UsageError: the file cannot be written.
        """
        name_of = dict(zip(dataset.paths, dataset.names, strict=True))
        queries = list(self.queries.values())
        database = self.photos.database
        width = database.global_.shape[1]
        arrays = {
            "names": np.array([name_of[path] for path in self.photos.paths]),
            "descriptors": database.global_,
            "query_names": np.array([str(path) for path in self.queries]),
            "queries": np.array([query.global_ for query in queries]).reshape(len(queries), width),
            "distance": np.array(self.photos.distance),
        }
        if database.local is not None:
            arrays["local"] = database.local
            local = [query.local for query in queries if query.local is not None]
            arrays["query_local"] = np.array(local).reshape(len(local), width)
        with write_output(target) as unfinished, unfinished.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]


def comparable_descriptors(
    method: MethodSpec,
    benchmark: str,
    superset: MethodConfig,
    photos: Descriptors,
    queries: Descriptors | None,
    fitted_on: Descriptors | None = None,
    variations: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> ComparableDescriptors:
    """Select a method's columns of descriptors, and fit and apply its reduction.

    The descriptors of ranked photos, of queries that are not among them, and of other photos to fit
    on are by the configuration `superset`. Papers specify the number of values by benchmark. An
    adaptation needs `variations`, by the same configuration.

    Raises:
        FitError: too few photos for the number of values.
    """
    columns = columns_of(method.config, superset)
    reduction = _fit(method, benchmark, (fitted_on or photos).global_[:, columns], variations)

    def reduce(values: np.ndarray) -> np.ndarray:
        selected = np.ascontiguousarray(values[..., columns])
        return selected if reduction is None else reduction.apply(selected)

    cam = method.config.cam
    local = reduce(photos.local) if cam and photos.local is not None else None
    database = Database(np.arange(len(photos.global_)), reduce(photos.global_), local)
    external = {}
    if queries is not None:
        for path, row in queries.rows.items():
            query_local = reduce(queries.local[row]) if cam and queries.local is not None else None
            query = Query(reduce(queries.global_[row]), query_local)
            external[path] = as_query(query, reduction)
    store = ArrayStore(database, list(photos.rows), method.config, reduction)
    return ComparableDescriptors(store, external)


def rank_queries(
    method: str,
    dataset: Dataset,
    descriptors: ComparableDescriptors,
    progress: Progress,
    plan: SearchConfig,
    fitted_on: str,
    columns_map: ColumnsMap,
    files: Mapping[Path, Path],
    evidence: StoredEvidence | None = None,
) -> MethodResult:
    """Rank the photos for every query of a dataset, and measure the rankings.

    Photos that could not be read are not ranked: as positives they count as missed. With evidence
    the first photos of each ranking are decided on as well; that does not change the rankings.

    `fitted_on` names the photos that the method was fitted on; `files` holds, by `file_name`, the
    files of queries that are not photos of the dataset.
    """
    started = time.perf_counter()
    row_of = {path: row for row, path in enumerate(dataset.paths)}
    rows = np.array([row_of[path] for path in descriptors.photos.paths])
    values: dict[str, list[float | None]] = {measure.name: [] for measure in dataset.measures}
    rankings: list[QueryRanking | None] = []
    by_distance = plan.rerank.method == "none" and not plan.verify
    store = descriptors.photos
    store_rows = {path: row for row, path in enumerate(store.paths)}
    rank = make_ranker(store, plan, columns_map)
    stored = max(MIN_RANKS, MAX_RANKS // len(dataset.queries))
    decision_judge = None if evidence is None else RankingJudge(store, rows, evidence)
    for done, query in enumerate(dataset.queries, 1):
        vectors = _query_descriptors(query, descriptors, store_rows)
        order = None
        if vectors is None:
            rankings.append(None)
        else:
            file = files.get(query.file_name, query.file_name)
            ranking = rank(vectors, QueryPhoto(file, file))
            if decision_judge is not None:
                decision_judge.add(query, file, vectors, ranking)
            order = rows[ranking.ids]
            first_rows = order[:stored].astype(np.int32)
            ranks = np.arange(len(first_rows), dtype=np.float32)
            distances = ranking.distances[:stored] if by_distance else ranks
            rankings.append(QueryRanking(first_rows, distances))
        for measure in dataset.measures:
            judgement = query.judgements.get(measure.judgement)
            value = None
            if order is not None and judgement is not None:
                value = judge(order, judgement, measure)
            values[measure.name].append(value)
        progress(f"ranking {method}", done, len(dataset.queries))
    seconds = time.perf_counter() - started
    dimensions = descriptors.photos.database.global_.shape[1]
    means = mean_values(values)
    decisions = None if decision_judge is None else decision_judge.measure()
    return MethodResult(method, means, values, rankings, dimensions, fitted_on, seconds, decisions)


def _query_descriptors(
    query: DatasetQuery, descriptors: ComparableDescriptors, row_of: Mapping[Path, int]
) -> Query | None:
    if query.box is not None or query.path not in row_of:
        return descriptors.queries.get(query.file_name)
    row = row_of[query.path]
    database = descriptors.photos.database
    local = None if database.local is None else database.local[row]
    return as_query(Query(database.global_[row], local), descriptors.photos.fitted)


def _fit(
    method: MethodSpec,
    benchmark: str,
    descriptors: np.ndarray,
    variations: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Reduction | None:
    config = method.reduction_for(benchmark, len(descriptors))
    if config.method == "none" or not method.config.reducible:
        return None
    sizes = method.config.part_sizes(descriptors.shape[1])
    try:
        applied = config.for_photos(len(descriptors))
        return fit_reduction(lambda: [descriptors], sizes, applied, lambda: variations)
    except FitError as error:
        raise FitError(f"{method.title}: {error}") from None


# Files for other tools


@dataclass(frozen=True)
class RankedList:
    """Results of a query: names of photos, nearest first, and their distances."""

    photos: Sequence[str]
    distances: Sequence[float]


def write_trec(lists: Mapping[str, RankedList], target: Path, tag: str) -> None:
    """Write a TREC run, a line for each photo: `query Q0 photo rank score tag`.

    Ranks start at 1, the score is the negative distance, and `tag` is the name of the run.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = []
    for query, results in lists.items():
        pairs = zip(results.photos, results.distances, strict=True)
        lines += [
            f"{_as_word(query)} Q0 {_as_word(photo)} {rank} {-distance:.9g} {_as_word(tag)}"
            for rank, (photo, distance) in enumerate(pairs, 1)
        ]
    _write(target, lines)


def write_qrels(dataset: Dataset, target: Path, judgement: str = "all") -> None:
    """Write TREC's ground truth, a line for each judged photo: `query 0 photo relevance`.

    The relevance is 1 for a positive and -1 for junk, which TREC has for photos that were not
    judged. Its scorer counts them as wrong; remove them from the run for the benchmark's figures.
    It orders photos by score only, and its average precision is the finite sum, not trapezoids.

    Args:
        dataset: with queries, named as in the run.
        target: the file.
        judgement: the revisited benchmarks have `easy`, `medium` and `hard`, UKB has `first four`.
            Queries without it, or without positives, have no lines.

    Raises:
        UsageError: no query has such a judgement, or the file cannot be written.
    """
    available = sorted({name for query in dataset.queries for name in query.judgements})
    if judgement not in available:
        raise UsageError(f"{judgement}: no judgement of {dataset.name} ({', '.join(available)})")
    lines = []
    for query in dataset.queries:
        judged = query.judgements.get(judgement)
        if judged is None or not judged.positives:
            continue
        relevance = dict.fromkeys(judged.positives, 1) | dict.fromkeys(judged.junk, -1)
        for row, value in sorted(relevance.items()):
            photo = _as_word(dataset.names[row])
            lines.append(f"{_as_word(query.name)} 0 {photo} {value}")
    _write(target, lines)


def write_holidays(lists: Mapping[str, RankedList], target: Path) -> None:
    """Write a line for each query, as Holidays' evaluation reads: `query 0 first 1 second ...`."""
    lines = []
    for query, results in lists.items():
        ranks = (f"{rank} {_as_word(photo)}" for rank, photo in enumerate(results.photos))
        lines.append(" ".join([_as_word(query), *ranks]))
    _write(target, lines)


def _as_word(name: str) -> str:
    """Write spaces as `%20` and so on, for `urllib.parse.unquote`: spaces separate words."""
    return "".join(quote(c, safe="") if c.isspace() or c == "%" else c for c in name)


def _write(target: Path, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    with write_output(target) as unfinished:
        unfinished.write_text(text, "utf-8", "surrogateescape")
