"""Benchmark runs: extract once, rank by every method, collect the results."""

import datetime
import functools
import hashlib
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from resight.config import MethodConfig, SearchConfig
from resight.descriptors.extractor import Extractor
from resight.errors import FitError, UsageError, WeightsMissingError
from resight.evaluation.benchmark.decisions import store_evidence
from resight.evaluation.benchmark.extraction import (
    Descriptors,
    cached_configs,
    columns_of,
    extract,
    extract_variations,
    read_descriptors,
    superset_configs,
    unreadable_photos,
)
from resight.evaluation.benchmark.ranking import MethodResult, comparable_descriptors, rank_queries
from resight.evaluation.datasets.dataset import Dataset, external_queries, upright_dataset
from resight.files import user_cache
from resight.methods import METHODS, find_method
from resight.methods.model import FittedMethod, ModelOptions, find_model
from resight.methods.spec import MethodSpec
from resight.networks.runtimes import choose_runtime
from resight.photos import PathLike
from resight.progress import Progress, no_progress
from resight.searching.spatial_verification import ColumnsMap, columns_map

TABLES = {1: "holidays", 2: "holidays", 3: "ukb", 4: "oxford5k", 5: "oxford5k"}
"""Benchmark of each table of the paper, whose numbers are shown for datasets without their own."""

PACKAGES = ("resight", "numpy", "opencv-python-headless", "pillow", "torch", "openvino")


@dataclass(frozen=True)
class BenchmarkRun:
    """Results of a benchmark run.

    Attributes:
        dataset: what was ranked.
        methods: by name.
        results: one per method.
        failed: unreadable photos with the reasons; they are not ranked.
        conditions: weights, versions, switches, time: what the figures depend on.
        skipped: methods that could not be computed, with what they need.
    """

    dataset: Dataset
    methods: Mapping[str, MethodSpec]
    results: list[MethodResult]
    failed: list[tuple[Path, str]] = field(default_factory=list)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[MethodResult]:
        return iter(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        from resight.evaluation.benchmark.report import as_json

        return as_json(self)

    def _repr_html_(self) -> str:
        from resight.evaluation.benchmark.report import html_report

        return html_report(self)


def select_methods(methods: str | None, table: int | None) -> dict[str, MethodSpec]:
    """Look up methods from a comma-separated list of names, or those of a table of the paper.

    Raises:
        UsageError: an unknown name or table, or neither or both are given.
    """
    if (methods is None) == (table is None):
        raise UsageError("give either methods or a table")
    if table is not None:
        if table not in TABLES:
            valid = ", ".join(map(str, TABLES))
            raise UsageError(f"{table} is not one of {valid}", parameter="table")
        return {name: spec for name, spec in METHODS.items() if table in spec.published.tables}
    selected = {}
    for name in filter(None, map(str.strip, str(methods).split(","))):
        spec = find_method(name)
        if spec is None:
            raise UsageError(f"{name} is not one of {', '.join(METHODS)}", parameter="methods")
        selected[name] = spec
    if not selected:
        raise UsageError("no names; resight methods lists them", parameter="methods")
    return selected


def run_benchmark(
    dataset: Dataset,
    methods: Mapping[str, MethodSpec],
    *,
    fit_on: Dataset | None = None,
    cache: PathLike | None = None,
    model: ModelOptions | None = None,
    skip_unavailable: bool = False,
    descriptors: PathLike | None = None,
    decisions: bool = False,
    progress: Progress = no_progress,
) -> BenchmarkRun:
    """Compare methods on a dataset.

    Args:
        dataset: photos, queries and ground truth.
        methods: by name; `METHODS`, some of them, or others.
        fit_on: photos on which selections, whitenings and vocabularies are fitted; None is the
            ranked photos.
        cache: folder of descriptors; None is one in the user's cache.
        model: weights, runtime and device.
        skip_unavailable: skip methods without weights, or that need more photos, as long as any
            method remains.
        descriptors: folder for each method's compared descriptors, `METHOD.npz`.
        decisions: also decide, by evidence, which of the first photos of each ranking show the same
            thing, and measure that; the rankings stay the same.
        progress: called while photos are extracted and ranked.

    Raises:
        WeightsError: a method needs weights and there are none.
        FitError: too few photos for the number of values of a method.
        UsageError: the descriptors cannot be written.
    """
    options = model or ModelOptions()
    skipped = _with_too_few_photos(methods, len((fit_on or dataset).paths))
    if skip_unavailable:
        skipped |= _without_weights(methods, options)
    elif skipped:
        name, reason = next(iter(skipped.items()))
        raise FitError(f"{name}: {reason}")
    if len(skipped) < len(methods):
        methods = {name: spec for name, spec in methods.items() if name not in skipped}
    conditions = _conditions(dataset, fit_on, methods, options)  # raises if weights are missing
    suffix = hashlib.sha256(os.fsencode(_root(dataset))).hexdigest()[:8]
    folder = Path(cache) if cache else user_cache() / "benchmarks" / f"{dataset.name}-{suffix}"
    dataset = upright_dataset(dataset, folder / "upright")
    query_files, failed = external_queries(dataset, folder / "queries")
    fit_photos = dataset.paths if fit_on is None else fit_on.paths
    photos = dict.fromkeys([*dataset.paths, *query_files, *fit_photos])
    supersets = superset_configs((spec.config for spec in methods.values()), cached_configs(folder))

    started = time.perf_counter()
    collections = extract(list(photos), supersets.values(), folder, options, progress, fit_photos)
    conditions["seconds of extraction"] = round(time.perf_counter() - started, 1)

    @functools.cache
    def read(config: MethodConfig) -> tuple[Descriptors, Descriptors | None]:
        failed.update(unreadable_photos(collections[config], photos.keys()))
        ranked = read_descriptors(collections[config], dataset.paths)
        if not query_files:
            return ranked, None
        queries = read_descriptors(collections[config], list(query_files))
        rows = {query_files[path]: row for path, row in queries.rows.items()}
        return ranked, Descriptors(queries.global_, queries.local, rows)

    evidence = None
    if decisions:
        collection = next(iter(collections.values()))
        evidence = store_evidence(collection, [*dataset.paths, *query_files], progress)
    results = []
    for name, spec in methods.items():
        superset = supersets[spec.config]
        fitted_on = read_descriptors(collections[superset], fit_on.paths) if fit_on else None
        columns = columns_of(spec.config, superset)
        variations = extract_variations(
            collections[superset], fit_photos, spec, columns, options, progress
        )
        comparable = comparable_descriptors(
            spec,
            dataset.benchmark,
            superset,
            *read(superset),
            fitted_on=fitted_on,
            variations=variations,
        )
        if descriptors is not None:
            comparable.save(Path(descriptors) / f"{name}.npz", dataset)
        result = rank_queries(
            name,
            dataset,
            comparable,
            progress,
            SearchConfig(
                rerank=spec.rerank, verify=spec.verify, verify_by=spec.verify_by, decide=False
            ),
            _fitted_on(spec, fit_on),
            _columns_map(spec, options),
            {query: file for file, query in query_files.items()},
            evidence,
        )
        results.append(result)
    return BenchmarkRun(dataset, methods, results, sorted(failed.items()), conditions, skipped)


def _root(dataset: Dataset) -> str:
    """Return the folder that holds all photos of a dataset."""
    return os.path.commonpath([str(path.absolute()) for path in dataset.paths])


def _fitted_on(spec: MethodSpec, other: Dataset | None) -> str:
    """Describe the photos on which a method is fitted; empty if it is not."""
    if not spec.config.learns and spec.reduction.method == "none":
        return ""
    return "the ranked photos" if other is None else f"{other.name} ({len(other.paths)} photos)"


def _without_weights(methods: Mapping[str, MethodSpec], options: ModelOptions) -> dict[str, str]:
    """Return the methods without weights, with what they need."""
    available: dict[str, bool] = {}
    for spec in methods.values():
        if spec.config.needs_network and spec.weights not in available:
            try:
                find_model(spec.config, options)
                available[spec.weights] = True
            except WeightsMissingError:
                available[spec.weights] = False
    return {
        name: f"needs {spec.weights} weights"
        for name, spec in methods.items()
        if not available.get(spec.weights, True)
    }


def _with_too_few_photos(methods: Mapping[str, MethodSpec], photos: int) -> dict[str, str]:
    """Return the methods whose whitening needs more photos, with the reasons."""
    return {
        name: f"whitening needs at least {spec.reduction.required_photos} photos, not {photos}"
        for name, spec in methods.items()
        if photos < spec.reduction.required_photos
    }


def _columns_map(spec: MethodSpec, options: ModelOptions) -> ColumnsMap:
    """Return a function that computes maps for verification; it loads the network on first use."""

    @functools.cache
    def network() -> Extractor:
        if not spec.config.needs_network:
            raise UsageError(f"{spec.title}: has no network whose columns could be compared")
        return FittedMethod(spec.config, find_model(spec.config, options)).load_extractor(options)

    return lambda image: columns_map(network(), image)


def _conditions(
    dataset: Dataset,
    fit_on: Dataset | None,
    methods: Mapping[str, MethodSpec],
    options: ModelOptions,
) -> dict[str, Any]:
    """Return what the figures depend on, by name."""
    weights = {
        spec.weights: find_model(spec.config, options).sha256
        for spec in methods.values()
        if spec.config.needs_network
    }
    return {
        "folder": _root(dataset),
        "fitted on": None if fit_on is None else {"folder": _root(fit_on), **fit_on.switches},
        "weights": weights,
        "runtime": choose_runtime(options.runtime, options.device) if weights else None,
        "device": options.device,
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
