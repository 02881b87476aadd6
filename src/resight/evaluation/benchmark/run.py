"""One command's work: read a benchmark, extract once, rank by every method, collect the results."""

import datetime
import functools
import hashlib
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resight.config import MethodConfig, SearchConfig
from resight.descriptors.extractor import Extractor
from resight.errors import FitError, UsageError, WeightsMissingError
from resight.evaluation.benchmark.extraction import (
    Descriptors,
    covering,
    extract,
    kept_configs,
    read,
    unreadable,
)
from resight.evaluation.benchmark.query_images import queries_apart, turned
from resight.evaluation.benchmark.ranking import MethodResult, compare, rank_all
from resight.evaluation.datasets.dataset import Dataset
from resight.files import user_cache
from resight.methods.catalogue import METHODS, find_method
from resight.methods.factory import FittedMethod
from resight.methods.model import ModelOptions, find_model
from resight.methods.spec import MethodSpec
from resight.networks.runtimes import choose_runtime
from resight.progress import Progress, no_progress
from resight.searching.spatial_verification import ColumnsMap, columns_map

TABLES = {
    1: "the steps of the method (Holidays in the paper)",
    2: "comparison with other methods (Holidays in the paper)",
    3: "comparison with other methods (UKB in the paper)",
    4: "the steps of the method (Oxford5k and Paris6k in the paper)",
    5: "comparison with other methods (Oxford5k and Paris6k in the paper)",
}


@dataclass(frozen=True)
class BenchmarkRun:
    """What a run found.

    Attributes:
        dataset: what was ranked.
        recipes: the methods by name.
        results: one for each method.
        failed: photos that could not be read, and why; they are not ranked.
        conditions: weights, versions, switches, time: what the figures depend on.
        left_out: methods that could not be computed, and what they need.
    """

    dataset: Dataset
    recipes: Mapping[str, MethodSpec]
    results: list[MethodResult]
    failed: list[tuple[Path, str]] = field(default_factory=list)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def chosen_methods(methods: str | None, table: int | None) -> dict[str, MethodSpec]:
    """Recipes by name, from a comma-separated list, or those of a table of the paper.

    Raises:
        UsageError: an unknown name or table, or neither or both are given.
    """
    if (methods is None) == (table is None):
        raise UsageError("benchmark run: name either --methods or --table")
    if table is not None:
        if table not in TABLES:
            raise UsageError(f"--table {table}: is not one of {', '.join(map(str, TABLES))}")
        return {name: recipe for name, recipe in METHODS.items() if table in recipe.published.tables}
    names = [name.strip() for name in str(methods).split(",") if name.strip()]
    found = {}
    for name in names:
        recipe = find_method(name)
        if recipe is None:
            raise UsageError(f"--methods {name}: is not one of {', '.join(METHODS)}")
        found[name] = recipe
    if not found:
        raise UsageError("--methods: names none; resight methods lists them")
    return found


def run_benchmark(
    dataset: Dataset,
    recipes: Mapping[str, MethodSpec],
    *,
    fit_on: Dataset | None = None,
    cache: Path | None = None,
    model: ModelOptions | None = None,
    leave_out: bool = False,
    descriptors: Path | None = None,
    progress: Progress = no_progress,
) -> BenchmarkRun:
    """Compare methods on a dataset.

    Args:
        dataset: photos, queries and what is right.
        recipes: methods by name; `METHODS`, some of them, or others.
        fit_on: photos on which selections, whitenings and vocabularies are fitted; None is the
            ranked ones.
        cache: folder in which descriptors are kept; None is one in the user's cache.
        model: weights, runtime and device.
        leave_out: methods without weights, or that need more photos, are left out, as long as there
            are others.
        descriptors: a folder for each method's descriptors as they are compared, `METHOD.npz`.
        progress: called while photos are described and ranked.

    Raises:
        WeightsError: a method needs weights and there are none.
        FitError: too few photos for the values that a method keeps.
        UsageError: the descriptors cannot be written.
    """
    options = model or ModelOptions()
    fitted_on = len((fit_on or dataset).paths)
    left_out = _with_too_few_photos(recipes, fitted_on)
    if leave_out:
        left_out |= _without_weights(recipes, options)
    elif left_out:
        name, needs = next(iter(left_out.items()))
        raise FitError(f"{name}: {needs}")
    if len(left_out) < len(recipes):
        recipes = {name: recipe for name, recipe in recipes.items() if name not in left_out}
    conditions = _conditions(dataset, fit_on, recipes, options)  # finds that weights are missing
    folder = cache or default_cache(dataset)
    dataset = turned(dataset, folder / "upright")
    covers = _covers(recipes, folder)
    apart, failed = queries_apart(dataset, folder / "queries")
    fitted = dataset.paths if fit_on is None else fit_on.paths
    every = dict.fromkeys([*dataset.paths, *apart, *fitted])
    started = time.perf_counter()
    places = extract(list(every), covers.values(), folder, options, progress, fitted)
    conditions["seconds of extraction"] = round(time.perf_counter() - started, 1)
    results: list[MethodResult] = []
    known: dict[MethodConfig, tuple[Descriptors, Descriptors | None]] = {}
    for name, recipe in recipes.items():
        config = covers[name]
        if config not in known:
            failed |= dict(unreadable(places[config], every.keys()))
            queries = _renamed(read(places[config], list(apart)), apart) if apart else None
            known[config] = read(places[config], dataset.paths), queries
        others = read(places[config], fit_on.paths) if fit_on else None
        compared = compare(recipe, dataset.benchmark, config, *known[config], fitted_on=others)
        if descriptors is not None:
            compared.save(descriptors / f"{name}.npz", dataset)
        plan = SearchConfig(
            rerank=recipe.rerank, verify=recipe.verify, verify_by=recipe.verify_by
        )
        results.append(
            rank_all(
                name,
                dataset,
                compared,
                progress,
                plan,
                _fitted_on(recipe, fit_on),
                _columns_map(recipe, options),
                {query: file for file, query in apart.items()},
            )
        )
    return BenchmarkRun(dataset, recipes, results, sorted(failed.items()), conditions, left_out)


def _fitted_on(recipe: MethodSpec, other: Dataset | None) -> str:
    """What a method learns from, and what is fitted on; empty where it does neither."""
    if not recipe.config.learns and recipe.reduction.method == "none":
        return ""
    return "the ranked photos" if other is None else f"{other.name} ({len(other.paths)} photos)"


def _without_weights(recipes: Mapping[str, MethodSpec], options: ModelOptions) -> dict[str, str]:
    """Methods whose weights are nowhere to be found, and what they need."""
    missing: dict[str, bool] = {}
    for recipe in recipes.values():
        if recipe.weights in missing or not recipe.config.needs_network:
            continue
        try:
            find_model(recipe.config, options)
        except WeightsMissingError:
            missing[recipe.weights] = True
        else:
            missing[recipe.weights] = False
    return {
        name: f"needs {recipe.weights} weights"
        for name, recipe in recipes.items()
        if missing.get(recipe.weights)
    }


def _with_too_few_photos(recipes: Mapping[str, MethodSpec], photos: int) -> dict[str, str]:
    """Methods whose whitening needs more photos: said before any is described."""
    found = {}
    for name, recipe in recipes.items():
        required = recipe.reduction.required_photos
        if photos < required:
            found[name] = f"whitening needs {required} photos or more, not {photos}"
    return found


def default_cache(dataset: Dataset) -> Path:
    """Where descriptors of a dataset are kept when nothing else is asked for."""
    place = hashlib.sha256(os.fsencode(_root(dataset))).hexdigest()[:8]
    return user_cache() / "benchmarks" / f"{dataset.name}-{place}"


def _root(dataset: Dataset) -> str:
    """The folder that holds all photos of a dataset."""
    return os.path.commonpath([str(path.absolute()) for path in dataset.paths])


def _covers(recipes: Mapping[str, MethodSpec], folder: Path) -> dict[str, MethodConfig]:
    """Method to the configuration whose descriptors hold its own, kept ones if there are any."""
    extractions = [recipe.config for recipe in recipes.values()]
    shared = covering(extractions, kept_configs(folder))
    return {name: shared[recipe.config] for name, recipe in recipes.items()}


def _columns_map(recipe: MethodSpec, options: ModelOptions) -> ColumnsMap:
    """Return what computes the maps for verification; it loads the network on first use."""

    @functools.cache
    def network() -> Extractor:
        config = recipe.config
        if not config.needs_network:
            raise UsageError(f"{recipe.title}: has no network whose columns could be compared")
        return FittedMethod(config, find_model(config, options)).load_extractor(options)

    return lambda image: columns_map(network(), image)


def _renamed(descriptors: Descriptors, names: Mapping[Path, Path]) -> Descriptors:
    rows = {names[path]: row for path, row in descriptors.rows.items()}
    return Descriptors(descriptors.global_, descriptors.local, rows)


def _conditions(
    dataset: Dataset,
    fit_on: Dataset | None,
    recipes: Mapping[str, MethodSpec],
    options: ModelOptions,
) -> dict[str, Any]:
    weights = {
        recipe.weights: find_model(recipe.config, options).sha256
        for recipe in recipes.values()
        if recipe.config.needs_network
    }
    packages = ("resight", "numpy", "opencv-python-headless", "pillow", "torch", "openvino")
    return {
        "folder": _root(dataset),
        "fitted on": None if fit_on is None else {"folder": _root(fit_on), **fit_on.switches},
        "weights": weights,
        "runtime": choose_runtime(options.runtime, options.device) if weights else None,
        "device": options.device,
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:
        return None
