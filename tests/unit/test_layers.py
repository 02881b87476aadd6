"""The architecture: imports between packages, what is imported when, and the public names."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main

import resight
import samples
from environment import ROOT
from resight.cli.app import app
from resight.cli.benchmark import benchmark


def modules() -> set[str]:
    """Every module by its name below `resight`."""
    found = pkgutil.walk_packages(resight.__path__, "resight.")
    return {module.name.removeprefix("resight.") for module in found}


def test_imports_between_packages_point_one_way() -> None:
    # The contracts are in pyproject.toml, [tool.importlinter].
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


# What is imported when


def loaded(code: str, *names: str) -> set[str]:
    """Which of some packages are loaded in a fresh process after some code."""
    code += f"\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_torch_is_for_describing_alone() -> None:
    names = """ranking.exact evaluation.measures reductions.pfa collection.reader
    collection.search_arrays searching.searcher collection.writer indexing.plan
    backends.manage"""
    # One after the other in one process: the first that loads it is named.
    code = f"""
import importlib, sys
for name in {names.split()!r}:
    importlib.import_module("resight." + name)
    assert "torch" not in sys.modules, name
import resight.indexing.pipeline, resight.cli.output
"""
    assert loaded(code, "torch", "sklearn", "cv2", "numpy") == {"numpy"}


def test_the_package_costs_nothing() -> None:
    heavy = ("numpy", "torch", "PIL", "cv2", "sklearn", "sqlite3", "typer", "resight.config")
    assert loaded("import resight", *heavy) == set()


def test_help_costs_next_to_nothing() -> None:
    code = """
import sys
sys.argv = ["resight", "--help"]
from resight.cli.app import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
"""
    heavy = ("numpy", "torch", "PIL", "cv2", "sklearn", "sqlite3", "safetensors", "filelock")
    assert loaded(code, *heavy, "typer") == {"typer"}


def test_searching_by_a_known_photo_loads_no_network(tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(ROOT / "tests" / "fixtures" / "collection-v1", tmp_path / "c")
    (tmp_path / "query.jpg").write_bytes(b"photo one")
    code = f"""
import sys
sys.argv = ["resight", "search", {str(tmp_path / "query.jpg")!r}, "-c", {str(folder)!r}]
from resight.cli.app import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
"""
    assert loaded(code, "torch", "sklearn", "cv2", "numpy") == {"numpy"}


# The public names


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
def test_public_names_stay_when_every_module_is_imported() -> None:
    names = sorted(n for n in modules() if n and n != "__main__" and not n.startswith("web"))
    code = f"""
import importlib, types
for name in {names!r}:
    importlib.import_module("resight." + name)
import resight
from resight import *
for name in resight.__all__:
    assert not isinstance(getattr(resight, name), types.ModuleType), name
    assert globals()[name] is getattr(resight, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
