"""The main job on real photos with real weights, through the command line, and its figures.

The figures are those of an independent reference implementation with these weights
(`docs/results.md`).
"""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import oracle
from resight.config import ExtractionConfig, SelectionConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.fusion import early_fusion
from resight.descriptors.pipeline import class_activation_map
from resight.evaluation.benchmark import run_benchmark
from resight.evaluation.benchmark.extraction import (
    extract,
    read_descriptors,
    superset_configs,
)
from resight.evaluation.benchmark.report import markdown
from resight.evaluation.datasets import read_dataset
from resight.evaluation.measures import read_groups
from resight.methods import METHODS
from resight.methods.model import ModelOptions
from resight.photos.images import load_image
from resight.progress import no_progress
from resight.ranking.exact import Database, Query, nearest, nearest_to_each
from resight.ranking.quantized import encode, fit_quantizer

VALUES = 768
SAMPLE = ["benchmark-samples/holidays/jpg/100000.jpg", "ukbench-first500/ukbench00018.jpg"]
"""A large portrait, which is reduced, and a small landscape, which is enlarged."""


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_descriptors_equal_a_plain_reading_of_the_method(real_weights, real_photos, request):
    names = SAMPLE
    if request.config.getoption("--all-photos"):
        names = [str(p.relative_to(real_photos)) for p in sorted(real_photos.rglob("*.jpg"))]
    state = oracle.load_state(real_weights)
    extractor = CnnExtractor(ExtractionConfig(cam=True), real_weights)
    undecided = []
    for name in names:
        copies = extractor.prepare(load_image(real_photos / name))
        found = extractor.describe(copies)
        expected_global, expected_local = oracle.describe(real_photos / name, state, cam=True)
        assert_equal(found.global_, np.asarray(expected_global), name)
        if heat_margin(extractor, copies) < UNDECIDED:
            undecided.append(name)
        else:
            assert_equal(found.local, np.asarray(expected_local), name)
    assert len(undecided) <= len(names) / 100


UNDECIDED = 3e-5
"""A place whose heat is this near to the mask's threshold (as a share of the mean heat) may be in
the mask or not: float32 networks that differ only in the order of their sums differ by so much."""


def heat_margin(extractor, copies):
    maps = [resolution["layer4"] for resolution in extractor.feature_maps(copies)]
    heat = class_activation_map(early_fusion(maps), extractor.classifier)
    return float(np.abs(heat / heat.mean() - 0.9).min())


def assert_equal(ours, plain, name):
    assert cosine(ours, plain) >= 0.99999, name
    assert np.abs(ours - plain).max() <= 1e-4, name


def copy_groups(folder, groups, target):
    """Copy the photos of some groups of a folder, with their `groups.json`."""
    for photo in (photo for photos in groups.values() for photo in photos):
        (target / photo).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / photo, target / photo)
    (target / "groups.json").write_text(json.dumps(groups))
    return target


@pytest.fixture(scope="module")
def scene_photos(real_photos, tmp_path_factory):
    """Return a folder with up to five photos of each of three places, 13 in all."""
    folder = real_photos / "scenes"
    groups = json.loads((folder / "groups.json").read_text())
    few = {name: sorted(photos)[:5] for name, photos in groups.items()}
    return copy_groups(folder, few, tmp_path_factory.mktemp("scenes") / "photos")


@pytest.fixture(scope="module")
def scenes(real_weights, scene_photos):
    """Return a collection of the photos of three places, indexed by the command line."""
    folder = scene_photos.parent / "collection"
    command = [sys.executable, "-m", "resight", "index", scene_photos, "-c", folder]
    run = subprocess.run(
        [*map(str, command), "--config", "paper", "--cam", "--weights", str(real_weights)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "13 photos (13 new)" in run.stderr
    return folder


def test_every_scene_finds_its_place(scenes, scene_photos, resight):
    run = resight("evaluate", scene_photos / "groups.json", "-c", scenes, "--json")
    assert json.loads(run.stdout)["mAP"] >= 99.5


def test_search_with_a_photo_that_is_not_in_the_collection(scenes, scene_photos, resight, tmp_path):
    castle = min((scene_photos / "sceaux_castle").glob("*.jpg"))
    image = load_image(castle)
    cut = tmp_path / "cut.png"
    image.crop((40, 40, image.width - 40, image.height - 40)).save(cut)
    run = resight("search", cut, "-c", scenes, "-k", 5, "--json", "--sheet", tmp_path / "s.jpg")
    answer = json.loads(run.stdout)
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4, 5]
    assert all("sceaux_castle" in result["path"] for result in answer["results"])
    assert answer["results"][0]["path"] == str(castle)
    assert answer["results"][0]["kind"] == "crop"
    assert answer["found"] >= 3
    assert load_image(tmp_path / "s.jpg").width > 500
    run = resight("search", cut, "-c", scenes, "--verify", 2, "--verify-by", "columns", "--json")
    found = json.loads(run.stdout)["results"]
    assert found[0]["inliers"] >= 100
    assert all(result["verdict"] == "same" for result in found[:2])


def test_search_with_a_region(scenes, scene_photos, resight):
    photos = read_groups(scene_photos / "groups.json")
    for group, members in photos.items():
        image = load_image(members[0])
        box = ",".join(
            str(round(v))
            for v in (image.width * 0.2, image.height * 0.2, image.width * 0.6, image.height * 0.6)
        )
        run = resight("search", members[0], "-c", scenes, "-k", 3, "--box", box, "--json")
        found = [result["path"] for result in json.loads(run.stdout)["results"]]
        assert all(path in map(str, members) for path in found), group


def test_weights_are_guarded(scenes, scene_photos, small_weights, resight):
    refused = resight("index", scene_photos, "-c", scenes, "--weights", small_weights)
    assert refused.returncode == 2
    assert "other weights" in refused.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("descriptors")


PAPERS_ROWS = ["baseline", "mr-late", "mr-lj", "mr-lj1", "mr-lj-lj1", "paper", "paper-cam"]
POOLINGS = ["mac", "spoc", "rmac", "spoc-pcaw", "crow-pcaw", "gem-pcaw"]
OURS = ["combined", "whitened", "whitened-diffusion"]
LARGER = {"rmac-pcaw": METHODS["rmac-pcaw"]}
"""Described at a resolution of its own: too slow, except with `--all-photos`."""
METHODS = {name: METHODS[name] for name in [*PAPERS_ROWS, *POOLINGS, *OURS]}


@pytest.fixture(scope="module")
def all_photos(request):
    return request.config.getoption("--all-photos")


@pytest.fixture(scope="module")
def dataset(real_photos, all_photos, tmp_path_factory):
    """Return the photos of buildings: every third building, or with `--all-photos` all of them."""
    folder = real_photos / "buildings"
    if all_photos:
        return read_dataset("groups", folder)
    groups = json.loads((folder / "groups.json").read_text())
    names = sorted(name for name, photos in groups.items() if len(photos) > 1)[::3]
    part = {name: groups[name] for name in names}
    target = tmp_path_factory.mktemp("buildings")
    return read_dataset("groups", copy_groups(folder, part, target))


@pytest.fixture(scope="module")
def buildings(real_weights, dataset, cache, all_photos):
    """Return mAP by method, and of the paper's with other seeds."""
    seeds = {
        f"{name} {seed}": dataclasses.replace(METHODS[name], reduction=SelectionConfig(seed=seed))
        for name in ("paper", "paper-cam")
        for seed in (0, 1, 2)
    }
    options = ModelOptions(real_weights)
    methods = {**METHODS, **seeds, **(LARGER if all_photos else {})}
    run = run_benchmark(dataset, methods, cache=cache, model=options)
    print(markdown(run, table=1))
    return {result.method: 100 * result.measures["mAP"] for result in run.results}


FIGURES = {  # mAP of the reference implementation on 35 and on all 135 photos
    "baseline": (81.79, 70.66),
    "mr-late": (83.95, 73.88),
    "mr-lj": (83.44, 75.11),
    "mr-lj1": (83.46, 73.05),
    "mr-lj-lj1": (82.95, 75.60),
    "rmac": (74.54, 61.8),
    "mac": (74.61, 60.9),
    "spoc": (67.04, 60.6),
}


def test_figures_of_methods_without_fitting(buildings, all_photos):
    expected = {name: figures[all_photos] for name, figures in FIGURES.items()}
    assert {name: buildings[name] for name in FIGURES} == pytest.approx(expected, abs=0.2)


def test_figures_of_the_selection(buildings, all_photos):
    paper = np.mean([buildings[f"paper {seed}"] for seed in range(3)])
    paper_cam = np.mean([buildings[f"paper-cam {seed}"] for seed in range(3)])
    assert (paper, paper_cam) >= ((76.5, 77.5) if all_photos else (86.3, 86.3))
    assert buildings["paper"] == buildings["paper 0"]
    assert paper > buildings["baseline"] > buildings["rmac"]
    assert buildings["combined"] == buildings["paper"], "few photos are left to the selection"


def test_figures_of_whitening(buildings, all_photos):
    if not all_photos:
        pytest.skip("35 photos are too few; use --all-photos")
    others = [buildings[f"{name}-pcaw"] for name in ("spoc", "crow", "gem")]
    assert buildings["rmac-pcaw"] > max(others)
    paper = np.mean([buildings[f"paper {seed}"] for seed in range(3)])
    assert buildings["whitened"] >= 83
    assert buildings["whitened-diffusion"] >= paper + 8


COVERS = superset_configs(
    recipe.config for recipe in METHODS.values() if isinstance(recipe.config, ExtractionConfig)
)


def descriptors_of(config, dataset, real_weights, cache):
    photos = dataset.paths
    places = extract(photos, [COVERS[config]], cache, ModelOptions(real_weights), no_progress)
    return read_descriptors(places[COVERS[config]], photos)


def test_searches_in_codes_are_exact_on_real_descriptors(buildings, dataset, real_weights, cache):
    both = descriptors_of(METHODS["paper-cam"].config, dataset, real_weights, cache)
    rng = np.random.default_rng(0)
    sides = []
    for descriptors in (both.global_, both.local):
        real = descriptors[:, :VALUES]
        first, second = rng.integers(0, len(real), (2, 20_000))
        share = rng.random((20_000, 1)).astype(np.float32)  # of each value, from either photo
        mixed = np.where(rng.random((20_000, VALUES)) < share, real[first], real[second])
        views = mixed * np.exp(rng.normal(0, 0.1, mixed.shape))
        sides.append(np.concatenate([real, views]).astype(np.float32))
    ids = np.arange(len(sides[0]))
    coded = []
    for rows in sides:
        coded.append(encode(rows, fit_quantizer(rows)))
    sample_queries = [Query(sides[0][i], sides[1][i]) for i in range(0, 10_000, 250)]
    for count in (1, 2):  # without and with local descriptors
        plain = Database(ids, sides[0], sides[1] if count == 2 else None)
        fast = dataclasses.replace(plain, coded=tuple(coded[:count]))
        for query, found in zip(
            sample_queries, nearest_to_each(sample_queries, fast, 10), strict=True
        ):
            expected = nearest(query, plain, 10)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.distances, expected.distances)


def test_hundreds_of_lists_equal_the_exact_search(buildings, dataset, real_weights, cache):
    # Descriptors of the methods, every second channel, a batch at a time: none is synthetic.
    parts = []
    for config in {covers: config for config, covers in COVERS.items()}.values():
        both = descriptors_of(config, dataset, real_weights, cache)
        for side in (both.global_, both.local):
            if side is not None:
                parts += np.split(side[:, ::2], side.shape[1] // (2 * VALUES), axis=1)
    rows = np.concatenate(parts)
    assert len(rows) >= 600
    plain = Database(np.arange(len(rows)), rows)
    coded = dataclasses.replace(plain, coded=(encode(rows, fit_quantizer(rows)),))
    chosen = np.random.default_rng(0).choice(len(rows), min(1000, len(rows)), replace=False)
    queries = [Query(row) for row in rows[chosen]]
    for query, found in zip(queries, nearest_to_each(queries, coded, 10), strict=True):
        expected = nearest(query, plain, 10)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
