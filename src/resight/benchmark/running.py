"""One command's work: read a benchmark, extract once, rank by every method, collect the results."""

import dataclasses
import datetime
import functools
import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from resight.benchmark.extracting import (
    Descriptors,
    covering,
    extract,
    kept_configs,
    read,
    unreadable,
)
from resight.benchmark.ranking import MethodResult, Verifying, compare, query_file, rank_all
from resight.config import ExtractionConfig, MethodConfig, WhiteningConfig, has_network
from resight.datasets.dataset import Dataset
from resight.descriptors.extractor import Extractor
from resight.errors import FitError, ImageError, UsageError, WeightsMissing
from resight.methods import ModelOptions, cnn_extractor, cnn_model
from resight.networks.weights import user_cache
from resight.photos.images import Box, crop_box, load_image
from resight.progress import Progress, no_progress
from resight.recipes import RECIPES, Recipe, find_recipe
from resight.searching.geometry import PhotoMatcher, columns_map

TABLES = {
    1: "the steps of the method (Holidays in the paper)",
    2: "comparison with other methods (Holidays in the paper)",
    3: "comparison with other methods (UKB in the paper)",
    4: "the steps of the method (Oxford5k and Paris6k in the paper)",
    5: "comparison with other methods (Oxford5k and Paris6k in the paper)",
}


CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,  # Pillow turns the other way
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
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
    recipes: Mapping[str, Recipe]
    results: list[MethodResult]
    failed: list[tuple[Path, str]] = field(default_factory=list)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def chosen_methods(methods: str | None, table: int | None) -> dict[str, Recipe]:
    """Recipes by name, from a comma-separated list, or those of a table of the paper.

    Raises:
        UsageError: an unknown name or table, or neither or both are given.
    """
    if (methods is None) == (table is None):
        raise UsageError("benchmark run: name either --methods or --table")
    if table is not None:
        if table not in TABLES:
            raise UsageError(f"--table {table}: is not one of {', '.join(map(str, TABLES))}")
        return {name: recipe for name, recipe in RECIPES.items() if table in recipe.tables}
    names = [name.strip() for name in str(methods).split(",") if name.strip()]
    found = {}
    for name in names:
        recipe = find_recipe(name)
        if recipe is None:
            raise UsageError(f"--methods {name}: is not one of {', '.join(RECIPES)}")
        found[name] = recipe
    if not found:
        raise UsageError("--methods: names none; resight methods lists them")
    return found


def run_benchmark(
    dataset: Dataset,
    recipes: Mapping[str, Recipe],
    *,
    fit_on: Dataset | None = None,
    cache: Path | None = None,
    model: ModelOptions | None = None,
    leave_out: bool = False,
    progress: Progress = no_progress,
) -> BenchmarkRun:
    """Compare methods on a dataset.

    Args:
        dataset: photos, queries and what is right.
        recipes: methods by name; `RECIPES`, some of them, or others.
        fit_on: photos on which selection and whitening are fitted; None is the ranked ones.
        cache: folder in which descriptors are kept; None is one in the user's cache.
        model: weights, engine and device.
        leave_out: methods without weights, or that need more photos, are left out, as long as there
            are others.
        progress: called while photos are described and ranked.

    Raises:
        WeightsError: a method needs weights and there are none.
        FitError: too few photos for the values that a method keeps.
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
    conditions = _conditions(recipes, options)  # first, for it finds that weights are missing
    folder = cache or default_cache(dataset)
    dataset = _turned(dataset, folder / "upright")
    covers = _covers(recipes, folder)
    apart = _queries_apart(dataset, folder / "queries")
    every = list(dict.fromkeys([*dataset.paths, *apart]))
    every += [path for path in (fit_on.paths if fit_on else ()) if path not in set(every)]
    places = extract(every, covers.values(), folder, options, progress)
    results: list[MethodResult] = []
    failed: dict[Path, str] = {}
    known: dict[MethodConfig, tuple[Descriptors, Descriptors | None]] = {}
    for name, recipe in recipes.items():
        config = covers[name]
        if config not in known:
            failed |= dict(unreadable(places[config]))
            queries = _renamed(read(places[config], list(apart)), apart) if apart else None
            known[config] = read(places[config], dataset.paths), queries
        others = read(places[config], fit_on.paths) if fit_on else None
        compared = compare(recipe, dataset.name, config, *known[config], fitted_on=others)
        said = f"{fit_on.name} ({len(fit_on.paths)} photos)" if fit_on else "the ranked photos"
        checking = _verifying(recipe, apart, options)
        results.append(rank_all(name, dataset, compared, progress, recipe.rerank, said, checking))
    return BenchmarkRun(dataset, recipes, results, sorted(failed.items()), conditions, left_out)


def _without_weights(recipes: Mapping[str, Recipe], options: ModelOptions) -> dict[str, str]:
    """Methods whose weights are nowhere to be found, and what they need."""
    missing: dict[str, bool] = {}
    for recipe in recipes.values():
        if recipe.weights in missing or not isinstance(recipe.extraction, ExtractionConfig):
            continue
        try:
            cnn_model(recipe.extraction, options)
        except WeightsMissing:
            missing[recipe.weights] = True
        else:
            missing[recipe.weights] = False
    return {
        name: f"needs {recipe.weights} weights"
        for name, recipe in recipes.items()
        if missing.get(recipe.weights)
    }


def _with_too_few_photos(recipes: Mapping[str, Recipe], photos: int) -> dict[str, str]:
    """Methods whose whitening needs more photos: said before any is described."""
    found = {}
    for name, recipe in recipes.items():
        config = recipe.selection
        if not isinstance(config, WhiteningConfig) or config.below != "none":
            continue
        if photos < config.fewest:
            found[name] = f"whitening needs {config.fewest} photos or more, not {photos}"
    return found


def default_cache(dataset: Dataset) -> Path:
    """Where descriptors of a dataset are kept when nothing else is asked for."""
    root = os.path.commonpath([str(path.absolute()) for path in dataset.paths])
    place = hashlib.sha256(root.encode()).hexdigest()[:8]
    return user_cache() / "benchmarks" / f"{dataset.name}-{place}"


def _covers(recipes: Mapping[str, Recipe], folder: Path) -> dict[str, MethodConfig]:
    """Method to the configuration whose descriptors hold its own, kept ones if there are any."""
    extractions = [recipe.extraction for recipe in recipes.values()]
    networks = [c for c in extractions if isinstance(c, ExtractionConfig)]
    shared = covering(networks, kept_configs(folder))
    return {
        name: shared[recipe.extraction]
        if isinstance(recipe.extraction, ExtractionConfig)
        else recipe.extraction
        for name, recipe in recipes.items()
    }


def _verifying(
    recipe: Recipe, apart: Mapping[Path, Path], options: ModelOptions
) -> Verifying | None:
    """What verifies a recipe's first results; the network is loaded when it is asked for."""
    if not recipe.verify:
        return None

    @functools.cache
    def network() -> Extractor:
        config = recipe.extraction
        if not isinstance(config, ExtractionConfig):
            raise UsageError(f"{recipe.title}: has no network whose columns could be compared")
        return cnn_extractor(config, cnn_model(config, options), options)

    matcher = PhotoMatcher(recipe.verify_by, lambda image: columns_map(network(), image))
    return Verifying(matcher, recipe.verify, {name: path for path, name in apart.items()})


def _queries_apart(dataset: Dataset, folder: Path) -> dict[Path, Path]:
    """Files of queries that are not ranked themselves, and the names they go by.

    Regions are cut out once, and kept as pictures without loss.
    """
    ranked, apart = set(dataset.paths), {}
    for query in dataset.queries:
        if query.box is None:
            if query.path not in ranked:
                apart[query.path] = query.path
            continue
        target = folder / query_file(query)
        if not target.exists():
            try:
                image = load_image(query.path)
            except ImageError:
                continue  # the query has no descriptor, and the photo is listed as unreadable
            _save(crop_box(image, _inside(query.box, image.size)), target)
        apart[target.absolute()] = query_file(query)
    return apart


def _turned(dataset: Dataset, folder: Path) -> Dataset:
    """The dataset with upright pictures, kept without loss, in place of the photos to be turned."""
    made = {}
    for path, degrees in dataset.turns.items():
        target = (folder / f"{path.stem}-{degrees}.png").absolute()
        if not target.exists():
            try:
                image = load_image(path)
            except ImageError:
                continue  # listed as unreadable when it is to be described
            _save(image.transpose(CLOCKWISE[degrees]), target)
        made[path] = target
    return dataclasses.replace(
        dataset,
        paths=tuple(made.get(path, path) for path in dataset.paths),
        queries=tuple(
            dataclasses.replace(query, path=made.get(query.path, query.path))
            for query in dataset.queries
        ),
        turns={},
    )


def _save(image: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    image.save(partial, "PNG")
    partial.replace(target)


def _inside(box: Box, size: tuple[int, int]) -> Box:
    """A box cut to the photo: the ground truth's corners may lie a pixel outside."""
    x, y, w, h = box
    x, y = min(x, size[0] - 1), min(y, size[1] - 1)
    return x, y, min(w, size[0] - x), min(h, size[1] - y)


def _renamed(descriptors: Descriptors, names: Mapping[Path, Path]) -> Descriptors:
    rows = {names[path]: row for path, row in descriptors.rows.items()}
    return Descriptors(descriptors.global_, descriptors.local, rows)


def _conditions(recipes: Mapping[str, Recipe], options: ModelOptions) -> dict[str, Any]:
    weights = {
        recipe.weights: cnn_model(recipe.extraction, options).sha256
        for recipe in recipes.values()
        if has_network(recipe.extraction)
    }
    packages = ("resight", "numpy", "opencv-python-headless", "pillow", "torch", "openvino")
    return {
        "weights": weights,
        "engine": options.engine,
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
