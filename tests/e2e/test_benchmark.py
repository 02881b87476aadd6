"""Benchmarks end to end on drawn pictures: one extraction for all methods, resumable, reported."""

import dataclasses
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import oracle
from environment import Run
from ranked_list_files import read_holidays_ranks, read_trec
from resight.collection import Collection
from resight.config import (
    ExtractionConfig,
    NoReduction,
    SearchConfig,
    SelectionConfig,
    WhiteningConfig,
)
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.errors import DatasetError, FitError, UsageError, WeightsError, WeightsMissingError
from resight.evaluation import benchmark as running
from resight.evaluation import evaluate
from resight.evaluation.benchmark import BenchmarkRun, ranking, run_benchmark, select_methods
from resight.evaluation.benchmark.extraction import (
    columns_of,
    extract,
    read_descriptors,
    superset_configs,
)
from resight.evaluation.benchmark.report import (
    as_json,
    effects,
    html_report,
    markdown,
    ranked_lists,
    rows,
)
from resight.evaluation.datasets import read_dataset
from resight.evaluation.datasets.dataset import Dataset
from resight.files import file_sha256
from resight.indexing import pipeline
from resight.methods import METHODS
from resight.methods.model import ModelOptions
from resight.methods.spec import MethodSpec, Published
from resight.progress import no_progress
from resight.searching import search
from samples import QUICK, picture

SMALL = ExtractionConfig(resolutions=(96, 64))
SMALL_METHODS = {
    "one": MethodSpec(
        title="one",
        source="x",
        config=dataclasses.replace(SMALL, resolutions=(64,), layers=("layer4",)),
        published=Published(tables=(1,), scores={"holidays": 90.0}),
    ),
    "late": MethodSpec(title="late", source="x", config=dataclasses.replace(SMALL, fusion="late")),
    "both": MethodSpec(title="both", source="x", config=SMALL),
    "second": MethodSpec(
        title="second", source="x", config=dataclasses.replace(SMALL, layers=("layer3",))
    ),
    "cam": MethodSpec(
        title="cam",
        source="x",
        config=dataclasses.replace(SMALL, cam=True),
        reduction=SelectionConfig(features=16),
    ),
    "white": MethodSpec(
        title="white", source="x", config=SMALL, reduction=WhiteningConfig(min_photos=4)
    ),
    "gem": MethodSpec(title="gem", source="x", config=dataclasses.replace(SMALL, pooling="gem")),
    "sift": MethodSpec(title="sift", source="x", config=QUICK),
}


def draw_views(folder: Path, things: int, views: int) -> Path:
    """Draw things in some views each, and one photo of nothing else."""
    groups: dict[str, list[str]] = {}
    for thing in range(things):
        for view in range(views):
            image = picture(thing).rotate(4 * view, expand=False)
            groups.setdefault(f"thing {thing}", []).append(f"{thing}-{view}.png")
            image.save(folder / f"{thing}-{view}.png")
    picture(99).save(folder / "other.png")
    groups["other"] = ["other.png"]
    (folder / "groups.json").write_text(json.dumps(groups))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three things in four views each, and one photo of nothing else."""
    return draw_views(tmp_path_factory.mktemp("photos"), 3, 4)


@pytest.fixture(scope="module")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with four views of a thing, and one photo of nothing else."""
    return draw_views(tmp_path_factory.mktemp("few"), 1, 4)


@pytest.fixture(scope="module")
def run(
    photos: Path, small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[BenchmarkRun, Path]:
    cache = tmp_path_factory.mktemp("cache")
    dataset = read_dataset("groups", photos)
    options = ModelOptions(small_weights)
    return run_benchmark(dataset, SMALL_METHODS, cache=cache, model=options), cache


def test_every_method_has_its_figures(run: tuple[BenchmarkRun, Path]) -> None:
    actual, _ = run
    assert [result.method for result in actual.results] == list(SMALL_METHODS)
    for result in actual.results:
        assert 0 <= result.measures["mAP"] <= 1  # type: ignore[operator]
        assert 0 <= result.measures["N-S"] <= 4  # type: ignore[operator]
        assert len(result.values["mAP"]) == len(result.rankings) == 12
        assert result.measures["mAP"] == pytest.approx(np.mean(result.values["mAP"]))
    dimensions = {result.method: result.dimensions for result in actual.results}
    assert dimensions["one"] == 2048
    assert dimensions["both"] == 3072
    assert dimensions["second"] == 1024
    assert dimensions["cam"] == 16


@pytest.mark.parametrize("name", [name for name in SMALL_METHODS if name not in ("cam", "white")])
def test_a_method_ranks_as_a_collection_of_it_does(
    name: str, run: tuple[BenchmarkRun, Path], photos: Path, small_weights: Path, tmp_path: Path
) -> None:
    config = SMALL_METHODS[name].config
    options = ModelOptions(small_weights)
    pipeline.index([photos], tmp_path / "c", config=config, model=options)
    expected = evaluate(photos / "groups.json", tmp_path / "c", SearchConfig(decide=False)).report
    (actual,) = (result for result in run[0].results if result.method == name)
    values = [query.average_precision for query in expected.queries]
    assert actual.values["mAP"] == pytest.approx(values)
    assert actual.measures["N-S"] == expected.ns_score


@pytest.mark.parametrize(("name", "by"), [("sift", "sift"), ("both", "columns")])
def test_a_method_verifies_as_a_collection_of_it_does(
    name: str,
    by: Any,
    run: tuple[BenchmarkRun, Path],
    photos: Path,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resight.searching.spatial_verification.COLUMNS_SIDE", 400)
    actual, cache = run
    dataset = dataclasses.replace(actual.dataset, queries=actual.dataset.queries[2::6])
    spec = dataclasses.replace(SMALL_METHODS[name], verify=3, verify_by=by)
    options = ModelOptions(small_weights)
    checked = run_benchmark(dataset, {name: spec}, cache=cache, model=options).results[0]
    pipeline.index([photos], tmp_path / "c", config=spec.config, model=options)
    for query, ranked in zip(dataset.queries, checked.rankings, strict=True):
        config = SearchConfig(k=13, verify=3, verify_by=by)
        expected = search(query.path, tmp_path / "c", config, model=options).results
        assert ranked is not None
        assert [dataset.paths[row] for row in ranked.rows] == [r.path for r in expected]
        assert (np.diff(ranked.distances) >= 0).all()
    (plain,) = (result for result in actual.results if result.method == name)
    pairs = zip(plain.rankings[2::6], checked.rankings, strict=True)
    assert any(list(one.rows) != list(other.rows) for one, other in pairs), "verified for nothing"


def test_descriptors_equal_those_of_a_single_method(
    run: tuple[BenchmarkRun, Path], photos: Path, small_weights: Path
) -> None:
    actual, cache = run
    configs = [r.config for r in SMALL_METHODS.values() if r.config.method == "cnn"]
    covers = superset_configs(configs)
    options = ModelOptions(small_weights)
    places = extract(actual.dataset.paths, covers.values(), cache, options, no_progress)
    for config in configs:
        superset = read_descriptors(places[covers[config]], actual.dataset.paths)
        extractor = CnnExtractor(config, small_weights)
        with Image.open(photos / "1-2.png") as image:
            own = extractor.describe(extractor.prepare(image.convert("RGB")))
        row = superset.rows[photos / "1-2.png"]
        columns = columns_of(config, covers[config])
        np.testing.assert_allclose(superset.global_[row][columns], own.global_, atol=1e-6)
        if config.cam:
            assert own.local is not None
            assert superset.local is not None
            np.testing.assert_allclose(superset.local[row][columns], own.local, atol=1e-6)


def test_superset_configurations() -> None:
    table = [METHODS[name].config for name in ("baseline", "mr-late", "mr-lj", "mr-lj1")]
    both, cam = METHODS["paper"].config, METHODS["paper-cam"].config
    covers = superset_configs([*table, both, cam])  # type: ignore[list-item]
    assert len(set(covers.values())) == 3, "the paper's seven rows are three extractions"
    assert covers[table[2]] == covers[both] == covers[cam]  # type: ignore[index]
    assert covers[cam].cam  # type: ignore[index]
    # Descriptors with class activation maps serve methods without them, too.
    assert superset_configs([both], cached=[covers[cam]])[both] == covers[cam]  # type: ignore[index, list-item]
    assert not superset_configs([both])[both].cam  # type: ignore[index, list-item]
    normalized = dataclasses.replace(SMALL, normalize_concatenation=True)
    one = dataclasses.replace(normalized, layers=("layer4",))
    assert superset_configs([normalized, one]) == {normalized: normalized, one: one}


def test_an_interrupted_run_resumes(photos: Path, small_weights: Path, tmp_path: Path) -> None:
    dataset, options = read_dataset("groups", photos), ModelOptions(small_weights)
    methods = {"both": SMALL_METHODS["both"]}
    described: list[int] = []

    def stop_at_five(what: str, done: int, total: int) -> None:
        if what == "describing" and done == 5:
            raise KeyboardInterrupt

    def count(what: str, done: int, total: int) -> None:
        if what == "describing":
            described.append(total)

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(dataset, methods, cache=tmp_path, model=options, progress=stop_at_five)
    run_benchmark(dataset, methods, cache=tmp_path, model=options, progress=count)
    assert set(described) == {8}
    described.clear()
    run_benchmark(dataset, methods, cache=tmp_path, model=options, progress=count)
    assert described == []
    # A method that shares the network, but was not there before, is described now.
    more = {**methods, "gem": SMALL_METHODS["gem"]}
    run_benchmark(dataset, more, cache=tmp_path, model=options, progress=count)
    assert set(described) == {13}


def test_every_network_has_its_weights(
    few_photos: Path, small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("RESIGHT_WEIGHTS", str(tmp_path / "not-looked-at"))
    state = oracle.random_state(50, seed=1)
    tuned = {f"module.{name}": value for name, value in state.items() if name[:3] != "fc."}
    tuned |= {"adpool.p": torch.tensor([2.0]), "fc.weight": torch.eye(9, 2048)}
    options = {"arch": "resnet50_rmac", "pooling": "gem"}
    content = {"state_dict": tuned | {"fc.bias": torch.zeros(9)}, "model_options": options}
    torch.save(content, tmp_path / "tuned.pth")
    torch.save(oracle.random_vgg16_state(seed=0), tmp_path / "vgg16.pth")
    small = {"resolutions": (64,), "fusion": "late"}
    configs = {
        "plain": ExtractionConfig(layers=("layer4",), pooling="gem", gem_power=2.0, **small),
        "vgg": ExtractionConfig(backbone="vgg16", layers=("conv5",), pooling="mac", **small),
        "tuned": ExtractionConfig(layers=("layer4",), pooling="fine-tuned", **small),
        "deep": ExtractionConfig(backbone="resnet101", layers=("layer4",), **small),
    }
    methods = {n: MethodSpec(title=n, source="x", config=c) for n, c in configs.items()}
    files = (tmp_path / "vgg16.pth", tmp_path / "tuned.pth", small_weights)
    model, dataset = ModelOptions(weights_files=files), read_dataset("groups", few_photos)
    with pytest.raises(WeightsMissingError, match="no weights for resnet101"):
        run_benchmark(dataset, methods, cache=tmp_path / "c", model=model)
    assert not (tmp_path / "c").exists(), "refused before anything is described"
    actual = run_benchmark(
        dataset, methods, cache=tmp_path / "c", model=model, skip_unavailable=True
    )
    assert [(result.method, result.dimensions) for result in actual.results] == [
        ("plain", 2048),
        ("vgg", 512),
        ("tuned", 9),
    ]
    assert actual.skipped == {"deep": "needs ResNet-101 weights"}
    assert "| `deep` | needs ResNet-101 weights |" in markdown(actual)
    assert "needs ResNet-101 weights" in html_report(actual)
    hashes = actual.conditions["weights"]
    assert hashes["fine-tuned ResNet-50"] == file_sha256(tmp_path / "tuned.pth")
    assert hashes["ResNet-50"] == file_sha256(small_weights)
    only = {"tuned": methods["tuned"]}
    with pytest.raises(
        WeightsMissingError, match="fine-tuned for retrieval, as its authors publish"
    ):
        run_benchmark(
            dataset, only, cache=tmp_path / "d", model=ModelOptions(weights_files=files[:1])
        )
    bad = tmp_path / "bad.pth"
    torch.save({"a": torch.ones(1)}, bad)
    with pytest.raises(WeightsError, match=r"bad\.pth: are weights of none of resnet50"):
        run_benchmark(
            dataset, methods, cache=tmp_path / "d", model=ModelOptions(weights_files=(bad,))
        )


def test_unreadable_photos_are_listed(small_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("a", "b", "c"):
        picture(0).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no photo")
    groups = {"g": ["a.png", "b.png", "broken.png"], "h": ["c.png"]}
    (folder / "groups.json").write_text(json.dumps(groups))
    dataset = read_dataset("groups", folder)
    methods = {"both": SMALL_METHODS["both"]}
    options = ModelOptions(small_weights)
    run = run_benchmark(dataset, methods, cache=tmp_path / "c", model=options)
    assert [path.name for path, _ in run.failed] == ["broken.png"]
    assert "1 photo could not be read (broken.png)" in effects(run)[0]
    values = run.results[0].values["mAP"]
    assert values[2] is None, "a query that cannot be read has no value"
    # Its group's other photo is found first or second; the broken one is never found.
    assert all(value is not None and value <= 0.5 for value in values[:2])
    # A photo that is no part of the data set any more is not spoken of either.
    (folder / "broken.png").unlink()
    (folder / "groups.json").write_text(json.dumps({"g": ["a.png", "b.png"], "h": ["c.png"]}))
    less = read_dataset("groups", folder)
    assert not run_benchmark(less, methods, cache=tmp_path / "c", model=options).failed


def test_methods_are_fitted_only_on_the_given_photos(tmp_path: Path) -> None:
    """A vocabulary is that of the ranked photos, or of others that are named; never of queries."""
    for name, seeds in (("a", range(5)), ("b", range(5, 10))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            picture(seed).save(tmp_path / name / f"{seed}.png")
            picture(seed).rotate(5).save(tmp_path / name / f"{seed}-turned.png")
        groups = {str(seed): [f"{seed}.png", f"{seed}-turned.png"] for seed in seeds}
        (tmp_path / name / "groups.json").write_text(json.dumps(groups))
    a, b = (read_dataset("groups", tmp_path / name) for name in "ab")
    methods = {"sift": SMALL_METHODS["sift"]}

    def ranked(cache: str, dataset: Dataset, fit_on: Dataset | None = None) -> list[list[float]]:
        run = run_benchmark(dataset, methods, fit_on=fit_on, cache=tmp_path / cache)
        return [
            actual.distances.tolist() for actual in run.results[0].rankings if actual is not None
        ]

    own, of_others = ranked("own", b), ranked("others", b, a)
    assert own != of_others
    ranked("shared", a)
    assert ranked("shared", b) == own, "what a cache saw before does not matter"
    assert ranked("shared", b, a) == of_others
    some = dataclasses.replace(a, paths=a.paths[:6])
    totals: list[int] = []

    def watch(what: str, done: int, total: int) -> None:
        totals.extend([total] * (what == "sampling"))

    run_benchmark(b, methods, fit_on=some, cache=tmp_path / "some", progress=watch)
    assert set(totals) == {6}


def test_fitting_does_not_depend_on_the_order_of_the_photos(tmp_path: Path) -> None:
    """A run names photos in the order of its groups, an index run in that of their paths."""
    folder = tmp_path / "p"
    folder.mkdir()
    for seed in range(6):
        picture(seed).save(folder / f"{seed}.png")
        picture(seed).rotate(5).save(folder / f"{seed}-turned.png")
    groups = {str(seed): [f"{seed}.png", f"{seed}-turned.png"] for seed in reversed(range(6))}
    (folder / "groups.json").write_text(json.dumps(groups))
    dataset, sift = read_dataset("groups", folder), SMALL_METHODS["sift"]
    run_benchmark(dataset, {"sift": sift}, cache=tmp_path / "cache")
    pipeline.index([folder], tmp_path / "c", config=(sift.config, NoReduction()))
    (stored,) = (tmp_path / "cache").glob("*")
    with Collection.open(stored) as ran, Collection.open(tmp_path / "c") as indexed:
        of_run, of_index = ran.fitted_params(), indexed.fitted_params()
    assert of_run is not None
    assert of_index is not None
    assert of_run.keys() == of_index.keys()
    for name, values in of_run.items():
        np.testing.assert_array_equal(values, of_index[name])


@pytest.fixture
def landmarks(tmp_path: Path) -> Path:
    """Pictures with a query whose box is a part of one of them, and one that is not ranked."""
    folder = tmp_path / "paris"
    folder.mkdir()
    for seed in range(6):
        picture(seed).save(folder / f"p_{seed}.png")
    picture(2).save(folder / "q_apart.png")
    gnd = [
        {"bbx": [10, 10, 90, 80], "ok": [0], "junk": [1]},
        {"bbx": [0, 0, 130, 95], "ok": [2], "junk": []},
    ]
    names = [f"p_{seed}" for seed in range(6)]
    content = {"imlist": names, "qimlist": ["p_0", "q_apart"], "gnd": gnd}
    (folder / "gnd_paris6k.pkl").write_bytes(pickle.dumps(content))
    return folder


def test_queries_that_are_regions_or_external_are_verified(landmarks: Path, tmp_path: Path) -> None:
    dataset = read_dataset("paris6k", landmarks)
    methods = {"sift": dataclasses.replace(SMALL_METHODS["sift"], verify=6)}
    first, second = run_benchmark(dataset, methods, cache=tmp_path / "c").results[0].rankings
    assert first is not None
    assert second is not None
    assert (first.rows[0], second.rows[0]) == (0, 2)


@pytest.mark.parametrize("query", ["crop", "full"])
def test_queries_that_are_regions_or_external(
    query: str, landmarks: Path, small_weights: Path, tmp_path: Path
) -> None:
    dataset = read_dataset("paris6k", landmarks, {"query": query})
    options, cache = ModelOptions(small_weights), tmp_path / "c"
    methods = {
        "cam": dataclasses.replace(SMALL_METHODS["cam"], reduction=SelectionConfig(features=4))
    }
    run = run_benchmark(dataset, methods, cache=cache, model=options)
    first, second = run.results[0].rankings
    assert first is not None
    assert second is not None
    assert len(first.rows) == 6
    if query == "full":
        assert first.rows[0] == 0
        assert first.distances[0] == 0
        assert second.rows[0] == 2
    else:
        names = (query.file_name.name for query in dataset.queries)
        first_cut, second_cut = (next((cache / "queries").glob(f"*-{name}")) for name in names)
        with Image.open(first_cut) as cut:
            assert cut.size == (80, 70)
        with Image.open(second_cut) as cut:
            assert cut.size == (120, 90), "corners outside of the photo are cut to it"
        assert first.distances[0] > 0
        assert second.rows[0] == 2


def test_a_region_is_cut_from_the_photo_that_is_there_now(landmarks: Path, tmp_path: Path) -> None:
    dataset = read_dataset("paris6k", landmarks)
    methods = {"bow": SMALL_METHODS["sift"]}

    def run(cache: str) -> BenchmarkRun:
        return run_benchmark(dataset, methods, cache=tmp_path / cache)

    def nearest(actual: BenchmarkRun) -> list[int]:
        assert actual.results[0].rankings[1] is not None
        return actual.results[0].rankings[1].rows.tolist()

    assert nearest(run("c"))[0] == 2
    picture(4).save(landmarks / "q_apart.png")
    assert nearest(run("c")) == nearest(run("fresh"))
    (landmarks / "q_apart.png").write_bytes(b"no photo")
    damaged = run("c")
    assert damaged.results[0].rankings[1] is None
    assert [path.name for path, _ in damaged.failed] == ["q_apart.png"]


def test_a_region_outside_of_its_photo_is_refused(landmarks: Path, tmp_path: Path) -> None:
    picture(0).crop((0, 0, 9, 80)).save(landmarks / "p_0.png")
    dataset = read_dataset("paris6k", landmarks)
    with pytest.raises(DatasetError, match=r"^p_0: its box begins at 10, 10, outside of .* 9 x 80"):
        run_benchmark(dataset, {"sift": SMALL_METHODS["sift"]}, cache=tmp_path / "c")


def test_stored_ranks_are_limited(
    run: tuple[BenchmarkRun, Path], small_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actual, cache = run
    assert all(
        len(ranked.rows) == 13 for ranked in actual.results[0].rankings if ranked is not None
    )
    methods, options = {"one": SMALL_METHODS["one"]}, ModelOptions(small_weights)
    for lines, min_photos, stored in ((36, 2, 3), (12, 2, 2)):
        monkeypatch.setattr(ranking, "MAX_RANKS", lines)
        monkeypatch.setattr(ranking, "MIN_RANKS", min_photos)
        cut = run_benchmark(actual.dataset, methods, cache=cache, model=options).results[0]
        assert {len(ranked.rows) for ranked in cut.rankings if ranked is not None} == {stored}
        assert cut.measures == actual.results[0].measures


def test_the_number_of_values_is_the_benchmarks(run: tuple[BenchmarkRun, Path]) -> None:
    assert METHODS["paper"].reduction_for("oxford5k", 5063) == SelectionConfig(features=320)
    assert METHODS["paper"].reduction_for("paris6k", 5063) == SelectionConfig(features=384)
    assert METHODS["paper"].reduction_for("holidays", 5063) == SelectionConfig(features=768)
    assert METHODS["combined"].reduction_for("oxford5k", 5063) == METHODS["combined"].reduction
    crow, plain = METHODS["crow-pcaw"], WhiteningConfig(features=512, shrinkage=0)
    assert crow.reduction_for("holidays", 1491) == plain
    assert crow.reduction_for("holidays", 1023) == crow.reduction, "a part of it is too little"
    assert crow.reduction_for("groups", 1491) == crow.reduction


def test_too_few_photos_for_a_method(run: tuple[BenchmarkRun, Path], small_weights: Path) -> None:
    actual, cache = run
    methods = {"white": dataclasses.replace(SMALL_METHODS["white"], reduction=WhiteningConfig())}
    model = ModelOptions(small_weights)
    nowhere = ModelOptions(cache / "nowhere.pth")  # refused before anything is described
    with pytest.raises(FitError, match=r"^white: whitening needs at least 30 photos, not 13"):
        run_benchmark(actual.dataset, methods, cache=cache / "empty", model=nowhere)
    methods["gem"] = SMALL_METHODS["gem"]
    of_a_table = run_benchmark(
        actual.dataset, methods, cache=cache, model=model, skip_unavailable=True
    )
    assert [result.method for result in of_a_table.results] == ["gem"]
    assert of_a_table.skipped == {"white": "whitening needs at least 30 photos, not 13"}


def test_fitted_on_other_photos(run: tuple[BenchmarkRun, Path], small_weights: Path) -> None:
    actual, cache = run
    methods = {"white": SMALL_METHODS["white"]}
    six = dataclasses.replace(actual.dataset, name="six", paths=actual.dataset.paths[:6])
    options = ModelOptions(small_weights)
    other = run_benchmark(actual.dataset, methods, fit_on=six, cache=cache, model=options)
    assert other.results[0].fitted_on == "six (6 photos)"
    (own,) = (result for result in actual.results if result.method == "white")
    first, second = other.results[0].rankings[0], own.rankings[0]
    assert first is not None
    assert second is not None
    assert first.distances.tolist() != second.distances.tolist()
    assert "- fitted on: six (6 photos)" in markdown(other)


# Reports


def named(run: BenchmarkRun, name: str) -> BenchmarkRun:
    """Return the same figures, as if of another benchmark."""
    dataset = dataclasses.replace(run.dataset, name=name, own=False)
    return dataclasses.replace(run, dataset=dataset)


def test_rows_are_compared_with_the_papers(run: tuple[BenchmarkRun, Path]) -> None:
    actual, _ = run
    first = rows(actual, table=1)[0]
    assert (first.published, first.published_on, first.difference) == (90.0, "holidays", None)
    assert rows(actual)[0].published is None, "without a table there is nothing to refer to"
    folder = dataclasses.replace(actual.dataset, name="holidays")
    of_that_name = rows(dataclasses.replace(actual, dataset=folder))[0]
    assert of_that_name.published is None, "a folder's name makes no benchmark of it"
    same = rows(named(actual, "holidays"))[0]
    assert same.difference == pytest.approx(same.values["mAP"] - 90.0)  # type: ignore[operator]
    whole = named(actual, "holidays").dataset
    for part in (
        dataclasses.replace(whole, missing=("100200",)),
        dataclasses.replace(whole, official=(1491, 500)),
    ):
        assert rows(dataclasses.replace(actual, dataset=part))[0].difference is None
    text = markdown(named(actual, "holidays"))
    assert "| paper, holidays mAP | difference |" in text
    assert f"| {same.difference:+.2f} |" in text
    assert f">{same.difference:+.2f}</td>" in html_report(named(actual, "holidays"))
    assert "- 12 queries, 13 photos" in text


def test_json_lists_what_the_figures_depend_on(run: tuple[BenchmarkRun, Path]) -> None:
    actual = json.loads(json.dumps(as_json(run[0], 1)))
    assert set(actual["conditions"]) >= {"folder", "weights", "versions", "device", "time"}
    assert actual["conditions"]["runtime"] in ("openvino", "torch"), "not what auto leaves open"
    assert actual["conditions"]["seconds of extraction"] >= 0
    assert len(actual["conditions"]["weights"]["ResNet-50"]) == 64
    assert actual["switches"] == {"queries": "every photo of a group of two or more"}
    method = actual["methods"][0]
    assert method["method"] == "one"
    assert len(method["per_query"]["mAP"]) == len(actual["queries"]) == 12
    assert not method["fitted_on"], "it fits nothing"
    assert method["source"] == "x"
    white = next(entry for entry in actual["methods"] if entry["method"] == "white")
    assert white["fitted_on"] == "the ranked photos"
    assert white["settings"]["selection"]["min_photos"] == 4
    assert white["settings"]["extraction"]["resolutions"] == [96, 64]


def test_the_page(run: tuple[BenchmarkRun, Path]) -> None:
    dataset = dataclasses.replace(run[0].dataset, name="<script>alert(1)</script>")
    text = html_report(dataclasses.replace(run[0], dataset=dataset), table=1)
    assert "<script>" not in text
    best = max(run[0].results, key=lambda result: result.measures["mAP"] or 0)
    hard = [value for value in best.values["mAP"] if value is not None and value < 1 - 1e-9]
    assert text.count('class="query"') == len(hard)
    assert ("None: every query" in text) == (not hard)
    worst = min(run[0].results, key=lambda result: result.measures["mAP"] or 0)
    text_of_worst = html_report(dataclasses.replace(run[0], results=[worst]))
    assert 0 < text_of_worst.count('class="query"') <= 12
    assert text_of_worst.count("data:image/jpeg;base64,") >= 2
    assert "http" not in text, "the page stands by itself"
    assert "<dt>weights</dt><dd>ResNet-50 " in text
    assert "<dt>versions</dt><dd>resight " in text
    assert ">paper</th>" in text
    assert ">paper</th>" not in text_of_worst, "where no paper has a number there is no column"
    for name in SMALL_METHODS:
        assert f">{name}<" in text


def test_methods_of_a_table() -> None:
    assert list(select_methods(None, 1)) == [
        "baseline",
        "mr-late",
        "mr-lj",
        "mr-lj1",
        "mr-lj-lj1",
        "paper",
        "paper-cam",
    ]
    assert set(select_methods("paper, mac", None)) == {"paper", "mac"}
    for wrong in ((None, None), ("paper", 1), ("papr", None), (None, 6)):
        with pytest.raises(UsageError):
            select_methods(*wrong)
    assert set(running.TABLES) == {
        table for spec in METHODS.values() for table in spec.published.tables
    }


# The command line


def test_the_commands(few_photos: Path, small_weights: Path, tmp_path: Path, resight: Run) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    common = (f"groups:{few_photos}", "--cache", cache, "--weights", small_weights)
    done = resight("benchmark", "run", *common, "--methods", "gem-pcaw,mac", "-o", out)
    assert done.returncode == 2, "5 photos are too few for whitening"
    assert "whitening needs at least 30 photos, not 5" in done.stderr
    done = resight("benchmark", "run", *common, "--methods", "mac,spoc", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "4 queries, 5 photos" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["method", "values", "mAP", "N-S"]
    assert [line.split()[0] for line in lines[1:]] == ["mac", "spoc"]
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("report.html", "report.md", "report.json"),
        *("all.qrels", "first-four.qrels"),
        *(f"{method}.{kind}" for method in ("mac", "spoc") for kind in ("trec", "ranks")),
    }
    assert not list(out.glob("*.npz")), "they can be large"
    run = (*common, "--methods", "spoc", "-o", out, "--descriptors")
    assert resight("benchmark", "run", *run).returncode == 0
    with np.load(out / "spoc.npz", allow_pickle=False) as stored:
        assert (stored["descriptors"].shape, stored["queries"].shape) == ((5, 2048), (0, 2048))
        assert str(stored["distance"]) == "manhattan"
        first = read_trec(out / "spoc.trec")["0-0.png"]
        places = [stored["names"].tolist().index(name) for name in ("0-0.png", first.photos[1])]
        one, other = stored["descriptors"][places]
        assert first.distances[1] == pytest.approx(np.abs(one - other).sum(), abs=1e-5)
    refused = resight("benchmark", "run", *common, "--methods", "spoc", "--descriptors")
    assert (refused.returncode, "needs --output FOLDER" in refused.stderr) == (2, True)
    assert len(read_trec(out / "mac.trec")) == len(read_holidays_ranks(out / "mac.ranks")) == 4
    other = ("--weights", tmp_path / "vgg16.pth")
    torch.save(oracle.random_vgg16_state(seed=0), other[1])
    as_text = resight("benchmark", "run", *other, *common, "--methods", "mac", "--json").stdout
    assert json.loads(as_text)["methods"][0]["method"] == "mac"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_names_that_are_no_text(small_weights: Path, tmp_path: Path, resight: Run) -> None:
    photos = tmp_path / "photos"
    for thing in range(2):
        (photos / str(thing)).mkdir(parents=True)
        for view in range(2):
            picture(7 * view).save(photos / str(thing) / f"{view}.png")
    named = photos / "0" / os.fsdecode(b"\xff.png")
    (photos / "0" / "0.png").rename(named)
    (photos / "1" / os.fsdecode(b"\xfe.png")).write_bytes(b"no photo")
    common = (f"groups:{photos}", "--cache", tmp_path / "c", "--weights", small_weights)
    done = resight("benchmark", "run", *common, "--methods", "mac", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for report in ("report.html", "report.md"):
        assert "xfe.png" in (tmp_path / "out" / report).read_text("utf-8")
    lists = read_trec(tmp_path / "out" / "mac.trec")
    assert f"0/{named.name}" in lists, "there the name is what it is"


def test_photos_that_lie_on_their_side_are_turned(small_weights: Path, tmp_path: Path) -> None:
    ways = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180}
    ways[270] = Image.Transpose.ROTATE_270  # as Pillow turns, which is the other way
    for folder in ("upright", "shot"):
        (tmp_path / folder).mkdir()
        for thing in (1000, 1001):
            for view in range(3):
                image = picture(thing).crop((4 * view, 0, 120, 90))
                degrees = 90 * ((thing + view) % 4) if folder == "shot" else 0
                shown = image.transpose(ways[degrees]) if degrees else image
                shown.save(tmp_path / folder / f"{thing}{view:02}.png")
                if degrees:
                    with (tmp_path / "turns.txt").open("a") as turns:
                        turns.write(f"{thing}{view:02}.jpg {degrees}\n")
    turned = {"upright": str(tmp_path / "turns.txt")}
    methods, model = {"one": SMALL_METHODS["one"]}, ModelOptions(small_weights)

    def ranked(folder: str, cache: str, switches: dict[str, str]) -> list[Any]:
        dataset = read_dataset("holidays", tmp_path / folder, switches)
        run = run_benchmark(dataset, methods, cache=tmp_path / cache, model=model)
        actual = run.results[0].rankings
        return [(r.rows.tolist(), r.distances.tolist()) for r in actual if r is not None]

    expected = ranked("upright", "a", {})
    assert ranked("shot", "b", turned) == expected
    assert ranked("shot", "b", turned) == expected, "cached pictures are used again"
    assert ranked("shot", "c", {}) != expected


def test_methods_are_listed(resight: Run) -> None:
    done = resight("methods")
    assert done.returncode == 0
    for name, spec in METHODS.items():
        (line,) = (line for line in done.stdout.splitlines() if line.split()[0] == name)
        assert spec.title in line
    shown = resight("methods", "paper").stdout
    for text in (METHODS["paper"].values, METHODS["paper"].source, "holidays 93.98"):
        assert text in shown
    assert "resight: no method 'papr'" in resight("methods", "papr").stderr
    listed = json.loads(resight("methods", "--json").stdout)
    assert listed["paper"]["published"] == dict(METHODS["paper"].published.scores)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "groups:/none", "--table", "1"), "/none: no such file or folder"),
        (("run", "photos:x", "--table", "1"), "not NAME:FOLDER with a name of groups, holidays"),
        (("run", "groups:.", "--methods", "papr"), "--methods: papr is not one of baseline"),
        (("run", "groups:.", "--methods", ","), "--methods: no names"),
        (("run", "groups:.", "--table", "7"), "--table: 7 is not one of 1, 2, 3, 4, 5"),
        (("run", "groups:."), "give either methods or a table"),
        (("run", "groups:.", "--table", "1", "--switch", "x"), "is not NAME=VALUE"),
        (("verify", "oxford5k", "/none"), "/none: no such folder"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], message: str, resight: Run) -> None:
    done = resight("benchmark", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout


def test_a_report_of_something_else_is_not_overwritten(
    photos: Path, tmp_path: Path, resight: Run
) -> None:
    (tmp_path / "report.md").write_text("mine")
    done = resight("benchmark", "run", f"groups:{photos}", "--methods", "mac", "-o", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "report.md: exists, and is no report of a benchmark" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_verify(photos: Path, tmp_path: Path, resight: Run) -> None:
    done = resight("benchmark", "verify", f"groups:{photos}")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "complete")
    (tmp_path / "full").mkdir()
    picture(0).save(tmp_path / "full" / "ukbench00000.jpg")
    done = resight("benchmark", "verify", "ukb", tmp_path)
    assert done.returncode == 1
    assert "missing: 10199" in done.stdout
    assert "download: https://" in done.stdout
    assert done.stdout.splitlines()[-1] == "incomplete"


def test_a_pickle_becomes_json_once(landmarks: Path, tmp_path: Path, resight: Run) -> None:
    before = read_dataset("paris6k", landmarks)
    pickled, target = landmarks / "gnd_paris6k.pkl", landmarks / "gnd_paris6k.json"
    assert resight("benchmark", "convert", pickled, target).returncode == 0
    assert "gnd_paris6k.json: exists" in resight("benchmark", "convert", pickled, target).stderr
    pickled.unlink()
    assert read_dataset("paris6k", landmarks) == before
    pickled.write_bytes(pickle.dumps(Path))
    refused = resight("benchmark", "convert", pickled, target)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_regions_and_whole_photos_side_by_side(landmarks: Path, tmp_path: Path) -> None:
    methods, actual = {"sift": SMALL_METHODS["sift"]}, {}
    for query in ("crop", "full", "both"):
        dataset = read_dataset("paris6k", landmarks, {"query": query})
        run = run_benchmark(dataset, methods, cache=tmp_path / "c")
        actual[query] = run.results[0].measures
        lists = ranked_lists(run, run.results[0])
        assert len(lists) == (4 if query == "both" else 2)
    assert actual["both"] == {
        "mAP crop": actual["crop"]["mAP"],
        "mAP full": actual["full"]["mAP"],
    }
    assert dataset.official == (6392, 110)


def test_without_weights(photos: Path, tmp_path: Path, resight: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    done = resight("benchmark", "run", f"groups:{photos}", "--methods", "mac", "--cache", tmp_path)
    assert done.returncode == 2
    assert "weights" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
