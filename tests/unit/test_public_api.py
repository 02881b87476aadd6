"""The public names: functions, results that are frozen dataclasses, and shared searchers."""

import dataclasses
import json
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

import resight
import samples
from resight.cli.app import app
from resight.cli.benchmark import benchmark
from resight.collection.writer import writing
from resight.demo import draw_collection


def modules() -> set[str]:
    """Return every module by its name below `resight`."""
    found = pkgutil.walk_packages(resight.__path__, "resight.")
    return {module.name.removeprefix("resight.") for module in found}


def plain(result: Any) -> Any:
    """Return `to_dict()` of a result after a round trip through JSON; check that it is frozen."""
    name = next(iter(vars(result)))
    with pytest.raises(FrozenInstanceError):
        setattr(result, name, None)
    return json.loads(json.dumps(result.to_dict()))


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Eight photos, two of them of the same content, indexed."""
    photos = samples.draw_many(tmp_path / "photos", 7)
    (tmp_path / "photos" / "copy.png").write_bytes(photos[0].read_bytes())
    samples.index(tmp_path / "photos", tmp_path / "c")
    return tmp_path / "c"


def test_every_public_name_is_lazy_and_documented() -> None:
    for name in resight.__all__:
        assert getattr(resight, name) is not None
        assert name == "METHODS" or getattr(resight, name).__doc__
    with pytest.raises(AttributeError, match="serch"):
        resight.serch  # type: ignore[attr-defined]  # noqa: B018
    assert modules().isdisjoint(resight.__all__), "a module would hide the public name"


def test_every_command_is_a_public_function() -> None:
    other_names = {
        "demo": "run_demo",
        "methods": "METHODS",
        "benchmark": "run_benchmark",
        "run": "run_benchmark",
        "verify": "verify_dataset",
        "convert": None,
    }
    for group in (typer.main.get_command(app), typer.main.get_command(benchmark)):
        for name in group.commands:  # type: ignore[attr-defined]
            public = other_names.get(name, name)
            assert public is None or public in resight.__all__


def test_the_interface_takes_plain_paths_and_returns_plain_values(tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 4)
    collection = str(tmp_path / "c")
    run = resight.index(str(tmp_path / "photos"), collection, config=samples.QUICK)
    assert json.loads(json.dumps(run.to_dict()))["new"] == 4
    query = str(tmp_path / "photos" / "001.png")
    (result,) = resight.search(query, collection, k=1, rerank="aqe", verify=2, under=tmp_path)
    assert result.path == Path(query)
    assert json.loads(json.dumps(resight.info(collection).to_dict()))["photos"] == 4
    (tmp_path / "photos" / "groups.json").write_text('{"a": ["000.png", "001.png"]}')
    evaluation = resight.evaluate(str(tmp_path / "photos"), collection)
    assert json.loads(json.dumps(evaluation.to_dict()))["photos"] == 4
    assert resight.remove(query, collection) == [Path(query)]


@pytest.mark.slow
def test_paths_may_be_text_everywhere(tmp_path: Path, small_weights: Path) -> None:
    folder = str(draw_collection(str(tmp_path / "demo"), objects=2, views=2, clutter=0).parent)
    dataset = resight.read_dataset("groups", folder)
    assert resight.verify_dataset("groups", folder).complete
    options = resight.ModelOptions(str(small_weights), weights_files=[str(small_weights)])  # type: ignore[arg-type]
    assert (options.weights, options.weights_files) == (small_weights, (small_weights,))
    method = {"sift-vlad": dataclasses.replace(resight.METHODS["sift-vlad"], config=samples.QUICK)}
    cache, out = str(tmp_path / "cache"), str(tmp_path)
    resight.run_benchmark(dataset, method, cache=cache, descriptors=out)
    assert (tmp_path / "sift-vlad.npz").exists()
    samples.index(Path(folder), tmp_path / "c")
    where = resight.Filter(under=f"{folder}/object-01")  # type: ignore[arg-type]
    query, other = sorted(map(str, (tmp_path / "demo" / "object-01").iterdir()))
    with resight.Collection.open(tmp_path / "c") as opened:
        found = resight.Searcher(opened).search([query, other], where=where)
    assert {str(result.path) for result in found} == {query, other}
    resight.export_found(found, str(tmp_path / "found"))
    resight.save_results_page(found, str(tmp_path / "page.html"))
    assert resight.same(query, other).verdict in ("same", "probable", "different")
    assert resight.decide("same", [query, other], str(tmp_path / "c")).added


def test_images_in_memory_are_described_like_files(tmp_path: Path, small_weights: Path) -> None:
    path = samples.draw(tmp_path / "photo.png", 1)
    options = {
        "config": resight.ExtractionConfig(resolutions=(64,)),
        "model": resight.ModelOptions(small_weights, "cpu"),
    }
    image = samples.picture(1)
    described = resight.describe([str(path), image, np.asarray(image)], **options)
    assert [p.name for p, _ in described] == ["photo.png", "image-1", "image-2"]
    assert len(described) == 3
    assert np.ptp(described.descriptors, axis=0).max() < 1e-6


@pytest.mark.slow
def test_public_names_stay_when_every_package_is_imported() -> None:
    # A module becomes an attribute of the package right above it.
    names = sorted(n for n in modules() if "." not in n and n not in ("__main__", "web"))
    code = f"""
import importlib, types
for name in {names!r}:
    importlib.import_module("resight." + name)
import resight
from resight import *
for public in resight.__all__:
    assert not isinstance(getattr(resight, public), types.ModuleType), public
    assert globals()[public] is getattr(resight, public)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_results_are_frozen_dataclasses() -> None:
    public = [getattr(resight, name) for name in resight.__all__]
    classes = [item for item in public if dataclasses.is_dataclass(item)]
    assert len(classes) > 20
    assert all(cls.__dataclass_params__.frozen for cls in classes)  # type: ignore[union-attr]


def test_the_result_of_the_demo(tmp_path: Path) -> None:
    folders = tmp_path / "photos", tmp_path / "c", tmp_path / "sheet.jpg"
    result = plain(resight.DemoResult(*folders, "paper", 0.5, None))
    assert result["sheet"] == str(tmp_path / "sheet.jpg")


def test_the_report_of_an_index_run(collection: Path) -> None:
    photos = collection.parent / "photos"
    (photos / "broken.jpg").write_text("not an image")
    (photos / "006.png").rename(photos / "moved.png")
    (photos / "005.png").unlink()
    run = resight.index(photos, collection, prune=True)
    report = plain(run.report)
    assert report["moved"] == [[str(photos / "006.png"), str(photos / "moved.png")]]
    assert [entry["path"] for entry in report["failed"]] == [str(photos / "broken.jpg")]
    assert report["vanished"] == [str(photos / "005.png")]
    assert (report["new"], report["unchanged"], report["pruned"]) == (0, 6, 1)
    assert run.to_dict() == {"photos": 7, "selection_note": None} | run.report.to_dict()


def test_the_report_of_a_check(collection: Path) -> None:
    assert plain(resight.check(collection)) == {
        "photos": 8,
        "share": 1.0,
        "intact": True,
        "problems": [],
        "repaired": [],
        "to_describe": [],
        "read": 0,
        "rotted": [],
        "changed": [],
        "missing": [],
    }
    with writing(collection) as writer:
        writer.collection.connection.execute("UPDATE descriptors SET crc32 = 1 WHERE rowid = 3")
    report = resight.check(collection)
    assert not report.intact
    (lost,) = plain(report)["to_describe"]
    assert report.problems == [f"{lost}: its descriptor was damaged or missing"]


def test_the_result_of_a_transfer(collection: Path) -> None:
    pytest.importorskip("qdrant_client")
    with writing(collection) as writer:
        writer.collection.connection.execute("UPDATE descriptors SET crc32 = 1 WHERE rowid = 3")
    address = f"qdrant+file://{collection.parent}/qdrant/name"
    sent = plain(resight.push(collection, address))
    assert (sent["photos"], sent["sent"], sent["unchanged"]) == (7, 7, 0)
    assert sent["failed"][0]["reason"] == "its descriptor is damaged; run resight check"
    pulled = plain(resight.pull(address, collection.parent / "copy"))
    assert (pulled["photos"], pulled["sent"], pulled["failed"]) == (7, 7, [])


def test_groups_name_their_photos(collection: Path) -> None:
    photos = collection.parent / "photos"
    groups = resight.groups(collection, limit=0.0)
    (group,) = groups
    assert (len(groups), group.kind) == (1, "near-duplicate")
    assert group.paths == (photos / "000.png", photos / "copy.png")
    assert plain(groups)["groups"] == [
        {
            "kind": "near-duplicate",
            "photos": list(map(str, group.paths)),
            "best": str(photos / "000.png"),
        }
    ]
    assert groups._repr_html_().count("data:image/jpeg;base64,") == 2


@pytest.mark.slow
def test_threads_share_a_searcher(collection: Path) -> None:
    photos = sorted((collection.parent / "photos").iterdir())
    configs = [
        resight.SearchConfig(k=5),
        resight.SearchConfig(k=5, verify=3),
        resight.SearchConfig(k=5, rerank=resight.RerankConfig(method="aqe")),
    ]
    tasks = [(photo, config) for photo in photos for config in configs]
    with resight.Collection.open(collection) as opened:
        one_after_another = [resight.Searcher(opened).search(*task).to_dict() for task in tasks]
        shared = resight.Searcher(opened)
        with ThreadPoolExecutor(8) as pool:
            at_once = list(pool.map(lambda task: shared.search(*task).to_dict(), tasks))
    assert at_once == one_after_another
