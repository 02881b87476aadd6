"""Collections whose descriptors are whitened: through the same commands as any other."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from environment import Run
from resight.backends.manage import info
from resight.collection import Collection
from resight.collection.search_arrays import load_arrays
from resight.config import RerankConfig, SearchConfig, SelectionConfig
from resight.errors import UsageError
from resight.evaluation import evaluate
from resight.evaluation.measures import average_precision
from resight.indexing import pipeline
from resight.indexing.fitting import fit
from resight.methods.model import ModelOptions
from resight.reductions.combined import SelectionPlusWhitening
from resight.reductions.pfa import Selection
from resight.reductions.whitening import Whitening
from resight.searching import search
from resight.views.explain import explain
from samples import draw_many

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("networks_loaded_once")]

TOML = (
    'layers = ["layer3", "layer1"]\nresolutions = [64]\ncam = {cam}\n'
    '[selection]\nmethod = "whitening"\nmin_photos = 20\n'
)
"""Layers of 1,280 values together: the paper's selection keeps 768 of them."""


@pytest.fixture(scope="module")
def indexed(
    small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path], ModelOptions]:
    folder = tmp_path_factory.mktemp("whitened")
    photos = draw_many(folder / "photos", 24)
    (folder / "auto.toml").write_text(TOML.format(cam="true"))
    options = ModelOptions(small_weights)
    run = pipeline.index(
        [folder / "photos"], folder / "c", config=str(folder / "auto.toml"), model=options
    )
    assert run.selection_note is not None
    assert run.selection_note.startswith("fitted a whitening of ")
    return folder / "c", photos, options


def test_searches_compare_whitened_values(indexed: tuple[Path, list[Path], ModelOptions]) -> None:
    folder, photos, _ = indexed
    with Collection.open(folder) as collection:
        whitening, arrays = collection.reduction(), load_arrays(collection)
        assert isinstance(whitening, Whitening)
        assert collection.distance == "cosine"
        stored = {id_: (a, b) for id_, a, b in collection.photo_descriptors()}
        for row, id_ in enumerate(arrays.database.ids):
            global_, local = stored[int(id_)]
            assert local is not None
            np.testing.assert_allclose(
                arrays.database.global_[row], whitening.apply(global_), atol=1e-6
            )
            assert arrays.database.local is not None
            np.testing.assert_allclose(
                arrays.database.local[row], whitening.apply(local), atol=1e-6
            )
    found = search(photos[3], folder)
    assert found.results[0].path == photos[3]
    assert found.results[0].distance == pytest.approx(0, abs=1e-5)
    assert [r.distance for r in found.results] == sorted(r.distance for r in found.results)


@pytest.mark.parametrize(
    "method", ["aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]
)
def test_searches_are_re_ranked(
    method: str, indexed: tuple[Path, list[Path], ModelOptions], resight: Run
) -> None:
    folder, photos, _ = indexed
    plain = json.loads(resight("search", photos[3], "-c", folder, "-k", 24, "--json").stdout)
    done = resight("search", photos[3], "-c", folder, "-k", 24, "--rerank", method, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["results"]
    distances = {result["path"]: result["distance"] for result in plain["results"]}
    assert {result["path"]: result["distance"] for result in found} == distances
    assert found[0]["path"] == str(photos[3])
    assert [result["rank"] for result in found] == list(range(1, 25))


def test_evaluation_fuses_as_a_search_does(
    indexed: tuple[Path, list[Path], ModelOptions], tmp_path: Path
) -> None:
    folder, photos, _ = indexed
    groups = {"a": photos[:4], "b": photos[4:9]}
    truth = tmp_path / "groups.json"
    truth.write_text(json.dumps({name: list(map(str, paths)) for name, paths in groups.items()}))
    config = SearchConfig(k=24, rerank=RerankConfig(method="late-fusion"))
    report = evaluate(truth, folder, config).report
    for query in report.queries:
        photo, others = photos[query.photo - 1], set(groups[query.group])
        found = [result.path for result in search(photo, folder, config).results]
        found.remove(photo)
        ranks = [place for place, path in enumerate(found) if path in others]
        expected = average_precision(ranks, len(others) - 1)
        assert query.average_precision == pytest.approx(expected)


def test_why_two_photos_match(indexed: tuple[Path, list[Path], ModelOptions]) -> None:
    folder, photos, options = indexed
    distances = {r.path: r.distance for r in search(photos[0], folder).results}
    other = list(distances)[1]
    found = explain(photos[0], other, collection=folder, model=options)
    assert found.distance == pytest.approx(distances[other], abs=1e-4)
    assert 0 <= found.agreement <= 1
    assert found.heat_query.max() == pytest.approx(1)


def test_an_approximate_index_is_refused(indexed: tuple[Path, list[Path], ModelOptions]) -> None:
    folder, photos, options = indexed
    with pytest.raises(
        UsageError, match="for Manhattan and Euclidean distance only, not for cosine"
    ):
        pipeline.index([photos[0].parent], folder, model=options, approximate=True)


@pytest.fixture
def _few_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Select 64 values in place of 768, which takes k-means a second."""
    few = functools.partial(SelectionConfig, features=64, restarts=1)
    for module in ("resight.config.reduction", "resight.reductions.combined"):
        monkeypatch.setattr(f"{module}.SelectionConfig", few)


@pytest.mark.usefixtures("_few_selected")
def test_a_whitening_takes_the_place_of_what_stands_in_for_it(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On fewer photos than it needs the paper's selection is fitted; later it is fitted itself."""
    monkeypatch.setattr("resight.config.reduction.AUTO_FIT_PHOTOS", 20)
    draw_many(tmp_path / "photos", 24)
    toml = TOML.format(cam="false").replace("min_photos = 20", 'min_photos = 30\nfallback = "pfa"')
    (tmp_path / "own.toml").write_text(toml + 'combine_with = "pfa"\n')
    options, folder = ModelOptions(small_weights), tmp_path / "c"

    def index() -> str:
        config = str(tmp_path / "own.toml")
        run = pipeline.index([tmp_path / "photos"], folder, config=config, model=options)
        return str(run.selection_note)

    assert index().startswith("fitted a selection of 64 of ")
    with Collection.open(folder) as collection:
        assert isinstance(collection.reduction(), Selection)
    assert index() == "None"
    draw_many(tmp_path / "photos" / "more", 8, first=24)
    assert index().startswith("fitted a selection with whitened values of ")
    with Collection.open(folder) as collection:
        assert isinstance(collection.reduction(), SelectionPlusWhitening)
    # A requested selection stays.
    fit(folder, method="pfa", features=64)
    draw_many(tmp_path / "photos" / "many", 40, first=32)
    assert index() == "None"
    with Collection.open(folder) as collection:
        assert isinstance(collection.reduction(), Selection)


@pytest.mark.usefixtures("_few_selected")
def test_a_selection_plus_whitening_is_searched_like_the_selection(
    small_weights: Path, tmp_path: Path
) -> None:
    photos = draw_many(tmp_path / "photos", 24)
    (tmp_path / "both.toml").write_text(TOML.format(cam="true") + 'combine_with = "pfa"\n')
    options, folder = ModelOptions(small_weights), tmp_path / "c"
    config = str(tmp_path / "both.toml")
    run = pipeline.index([tmp_path / "photos"], folder, config=config, model=options)
    assert str(run.selection_note).startswith("fitted a selection with whitened values of ")
    with Collection.open(folder) as collection:
        both, arrays = collection.reduction(), load_arrays(collection)
        assert isinstance(both, SelectionPlusWhitening)
        assert collection.distance == "manhattan"
        for row, (_, global_, _) in enumerate(collection.photo_descriptors()):
            values = arrays.database.global_[row]
            np.testing.assert_allclose(values, both.apply(global_), atol=1e-6)
    found = search(photos[3], folder)
    assert found.results[0].path == photos[3]
    assert found.results[0].distance == pytest.approx(0, abs=1e-5)
    run = pipeline.index([tmp_path / "photos"], folder, model=options, approximate=True)
    assert info(folder).approximate is not None
    near = search(photos[3], folder, SearchConfig(approximate=True))
    assert near.results[0].path == photos[3]
    same, other = (
        explain(photos[3], photo, collection=folder, model=options) for photo in photos[3:5]
    )
    assert (same.distance, same.agreement) == (0, 1)
    assert other.distance > 0
    assert 0 <= other.agreement < 1


def test_whitening_follows_a_growing_collection(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "auto.toml").write_text(TOML.format(cam="false"))
    options, place = ModelOptions(small_weights), tmp_path / "photos"

    def index() -> str | None:
        config = str(tmp_path / "auto.toml")
        run = pipeline.index([place], tmp_path / "c", config=config, model=options)
        return run.selection_note

    draw_many(place, 10)
    assert "until there are 20 photos for a whitening" in str(index())
    draw_many(place, 20)
    assert "on 20 photos" in str(index())
    draw_many(place, 39)
    assert index() is None, "what was fitted on 20 photos does for 39"
    draw_many(place, 40)
    assert "on 40 photos" in str(index())
    with Collection.open(tmp_path / "c") as collection:
        assert (collection.fit_info("selection") or {})["photos"] == 40


def test_fitted_otherwise_and_back(
    indexed: tuple[Path, list[Path], ModelOptions], resight: Run
) -> None:
    folder, photos, options = indexed
    assert resight("fit", "-c", folder, "--method", "none").returncode == 0
    assert pipeline.index([photos[0].parent], folder, model=options).selection_note is None
    all_values = search(photos[0], folder).results[1].distance
    assert all_values > 1, "a Manhattan distance of 1280 values"
    done = resight("fit", "-c", folder, "--method", "pfa", "--set", "features=8")
    assert "kept 8 of 1280 values" in done.stderr
    assert "pfa, 8 values" in resight("info", "-c", folder).stdout
    done = resight("fit", "-c", folder, "--method", "whitening", "--set", "fallback=pfa")
    assert "kept 768 of 1280 values" in done.stderr, "a selection: 24 photos are fewer than 30"
    assert "pfa, 768 values" in resight("info", "-c", folder).stdout
    assert search(photos[0], folder).results[1].distance > 1, "a Manhattan distance"
    white = ("--method", "whitening", "--set", "min_photos=20")
    done = resight("fit", "-c", folder, *white, "--set", "features=5", "--set", "shrinkage=0.5")
    assert "kept 10 of 1280 values" in done.stderr, "of each of the two layers"
    assert "whitening, 10 values" in resight("info", "-c", folder).stdout
    assert search(photos[0], folder).results[1].distance <= 2
    refused = resight("fit", "-c", folder, *white, "--set", "restarts=3")
    assert refused.returncode == 2
    assert "unknown field 'restarts'" in refused.stderr


def test_damaged_whitening_is_fitted_again(indexed: tuple[Path, list[Path], ModelOptions]) -> None:
    folder, photos, _ = indexed
    before = search(photos[5], folder)
    (file,) = (folder / "arrays").glob("*/selection.bin")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert search(photos[5], folder) == before
